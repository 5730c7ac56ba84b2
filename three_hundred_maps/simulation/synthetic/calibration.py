"""The published relations that the two flavours are calibrated on, and what follows for a halo's baryons."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.simulation.synthetic.profiles import LOG_X, HaloProfile, X
from three_hundred_maps.simulation.synthetic.setup import BARYON_FRACTION, FLAVOURS, Flavour

LOG_M500 = np.array([13.3, 13.5, 13.7, 13.9, 14.1, 14.3, 14.5, 14.7, 14.9, 15.1])
"""log10 M500c in Msun."""
F_GAS: dict[Flavour, NDArray[np.float64]] = {
    "gadgetx": np.array([0.0747, 0.0864, 0.0969, 0.1063, 0.1143, 0.1204, 0.1263, 0.1290, 0.1336, 0.1353]),
    "gizmo": np.array([0.0274, 0.0327, 0.0458, 0.0599, 0.0772, 0.0870, 0.1018, 0.1153, 0.1208, 0.1278]),
}
"""Median gas fraction inside R500c (Cui et al. 2022)."""
F_STAR: dict[Flavour, NDArray[np.float64]] = {
    "gadgetx": np.array([0.0200, 0.0186, 0.0174, 0.0165, 0.0154, 0.0151, 0.0141, 0.0134, 0.0132, 0.0131]),
    "gizmo": np.array([0.0254, 0.0234, 0.0208, 0.0188, 0.0174, 0.0159, 0.0152, 0.0138, 0.0129, 0.0126]),
}
"""Median stellar fraction inside R500c."""
SCATTER_LOG_M500 = np.array([13.5, 14.1, 14.7])
F_GAS_SCATTER: dict[Flavour, NDArray[np.float64]] = {
    "gadgetx": np.array([0.018, 0.011, 0.007]),
    "gizmo": np.array([0.030, 0.015, 0.009]),
}
"""Half of the 16-84 % range of f_gas."""
F_STAR_SCATTER: dict[Flavour, NDArray[np.float64]] = {
    "gadgetx": np.array([0.0044, 0.0032, 0.0019]),
    "gizmo": np.array([0.0063, 0.0036, 0.0013]),
}
"""Half of the 16-84 % range of f_star."""

_STARS_DRAWN = np.array([1.0, 0.95, 0.80])
"""Of the scatter of f_star; the rest comes by itself, from substructure that moves R500c."""


def _table(
    log_m500: ArrayLike, nodes: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear in log mass, going on beyond the ends with half the end's slope."""
    x = np.asarray(log_m500, np.float64)
    inside = np.interp(x, nodes, values)
    low = np.minimum(x - nodes[0], 0.0) * (values[1] - values[0]) / (nodes[1] - nodes[0])
    high = np.maximum(x - nodes[-1], 0.0) * (values[-1] - values[-2]) / (nodes[-1] - nodes[-2])
    return inside + 0.5 * (low + high)


def gas_fraction(flavour: Flavour, log_m500: float, state: float) -> float:
    """f_gas inside R500c of a halo whose gas is ``state`` standard deviations from the median."""
    median = float(_table(log_m500, LOG_M500, F_GAS[flavour]))
    scatter = float(np.interp(log_m500, SCATTER_LOG_M500, F_GAS_SCATTER[flavour]))
    scatter = min(scatter, 0.75 * median)
    return float(np.clip(median + scatter * state, 0.12 * median, 0.97 * BARYON_FRACTION))


def star_fraction(flavour: Flavour, log_m500: float, state: float) -> float:
    """f_star inside R500c, log-normal around the median."""
    median = float(_table(log_m500, LOG_M500, F_STAR[flavour]))
    scatter = float(np.interp(log_m500, SCATTER_LOG_M500, F_STAR_SCATTER[flavour] * _STARS_DRAWN))
    return float(median * np.exp(scatter / median * state))


_SHELL = {"gadgetx": (0.82, 0.3), "gizmo": (1.0, 0.4)}
"""Baryon fraction between R500c and R200c over the universe's where R500c has kept all its baryons, and how
much of it is missing where R500c has kept none."""

_GAS_STATE_MARGIN = 0.6
"""A flavour's gas differs from the shared state by up to this, in standard deviations."""
_LEAST_SHELL = 0.45
"""The least baryon fraction between R500c and R200c, over the universe's."""


def common_baryons(mass_msun: float, profile: HaloProfile, gas_state: float, star_state: float) -> float:
    """Baryon fraction inside R200c, the same in both flavours.

    What feedback drives out of R500c stays, in part, between R500c and R200c: there the flavour that has
    lost more gas from its core holds more. So M200c is one number for both flavours to within 1 %.
    """
    log_m500 = float(np.log10(mass_msun * profile.m500))
    inner = [
        gas_fraction(flavour, log_m500, gas_state) + star_fraction(flavour, log_m500, star_state)
        for flavour in FLAVOURS
    ]
    shell = [
        (_SHELL[flavour][0] - _SHELL[flavour][1] * (1.0 - own / BARYON_FRACTION)) * BARYON_FRACTION
        for flavour, own in zip(FLAVOURS, inner, strict=True)
    ]
    natural = [i * profile.m500 + s * (1.0 - profile.m500) for i, s in zip(inner, shell, strict=True)]
    # A group rich in gas in one flavour and robbed of it in the other: there must be room for the richer.
    richest = max(
        gas_fraction(flavour, log_m500, gas_state + _GAS_STATE_MARGIN)
        + star_fraction(flavour, log_m500, star_state)
        for flavour in FLAVOURS
    )
    least = richest * profile.m500 + _LEAST_SHELL * BARYON_FRACTION * (1.0 - profile.m500)
    return max(float(np.mean(natural)), least)


def r500_of(
    flavour: Flavour,
    mass_msun: float,
    profile: HaloProfile,
    baryons: float,
    gas_state: float,
    star_state: float,
) -> tuple[float, float]:
    """R500c (R200c) and M500c (M200c) of a halo in one flavour.

    Dark matter is the same in both; the flavour that has lost more gas from inside R500c has a smaller R500c.
    """
    log_m500 = float(np.log10(mass_msun * profile.m500))
    inside = gas_fraction(flavour, log_m500, gas_state) + star_fraction(flavour, log_m500, star_state)
    mass = profile.mass * (1.0 - baryons + inside)
    r500 = float(np.exp(np.interp(-np.log(2.5), -np.log(mass / X**3), LOG_X)))
    return r500, 2.5 * r500**3
