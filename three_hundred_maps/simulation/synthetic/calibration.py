"""The published relations that the two flavours are calibrated on, and what follows for a halo's baryons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.simulation.synthetic.feedback import Feedback
from three_hundred_maps.simulation.synthetic.profiles import LOG_X, HaloProfile, X
from three_hundred_maps.simulation.synthetic.setup import BARYON_FRACTION, FLAVOURS, Flavour, check_flavour

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

_LEAST_GAS = 0.004
"""Of the medians, where a table goes on below its end."""
_MOST_GAS = 0.97 * BARYON_FRACTION
_MOST_SCATTER = 0.75
"""The most half of the 16-84 % range may be of the median: more would empty the poorest groups."""
_GAS_DRAWN, _STARS_DRAWN = np.array([1.0, 0.9, 0.7]), np.array([1.0, 0.95, 0.80])
"""Of the scatter of f_gas and f_star; the rest comes by itself, from substructure that moves R500c."""


def _table(
    log_m500: ArrayLike, nodes: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear in log mass, going on beyond the ends with half the end's slope."""
    x = np.asarray(log_m500, np.float64)
    inside = np.interp(x, nodes, values)
    low = np.minimum(x - nodes[0], 0.0) * (values[1] - values[0]) / (nodes[1] - nodes[0])
    high = np.maximum(x - nodes[-1], 0.0) * (values[-1] - values[-2]) / (nodes[-1] - nodes[-2])
    return inside + 0.5 * (low + high)


def gas_fraction(feedback: Feedback, log_m500: float, state: float) -> float:
    """f_gas inside R500c of a halo whose gas is ``state`` standard deviations from the median.

    The logit of f_gas over the most that a halo holds is normal: no halo has less than nothing or more
    than the universe's share, and none piles up at a limit. The spread is such that half of the 16-84 %
    range is the published one, substructure's share included.

    The relations hold at every redshift: The Three Hundred's fractions at fixed mass hardly evolve.

    Parameters
    ----------
    feedback
        Of the flavour.
    log_m500
        log10 M500c in Msun.
    state
        Standard deviations from the median.
    """
    median = float(_table(log_m500, LOG_M500, feedback.ratio(F_GAS, "ejection")))
    median = min(max(median, _LEAST_GAS), 0.98 * _MOST_GAS)
    spread = feedback.ratio(F_GAS_SCATTER, "ejection") * _GAS_DRAWN
    scatter = float(np.interp(log_m500, SCATTER_LOG_M500, spread))
    half = min(scatter, _MOST_SCATTER * median) / _MOST_GAS
    centre = float(np.log(median / (_MOST_GAS - median)))
    # sinh(s) = 2 half (cosh(centre) + cosh(s)), solved for s
    width = 2.0 * half
    spread = np.arctanh(width) + np.arcsinh(width * np.cosh(centre) / np.sqrt(1.0 - width**2))
    return float(_MOST_GAS / (1.0 + np.exp(-(centre + spread * state))))


def star_fraction(feedback: Feedback, log_m500: float, state: float) -> float:
    """f_star inside R500c, log-normal around the median."""
    median = float(_table(log_m500, LOG_M500, feedback.ratio(F_STAR, "stars")))
    spread = feedback.ratio(F_STAR_SCATTER, "stars") * _STARS_DRAWN
    scatter = float(np.interp(log_m500, SCATTER_LOG_M500, spread))
    return float(median * np.exp(scatter / median * state))


_SHELL: dict[Flavour, NDArray[np.float64]] = {"gadgetx": np.array([0.82, 0.3]), "gizmo": np.array([1.0, 0.4])}
"""Baryon fraction between R500c and R200c over the universe's where R500c has kept all its baryons, and how
much of it is missing where R500c has kept none."""
_SHALLOWEST_GAS = 1.45
"""Gas between R500c and R200c is at most what a density of radius to minus this would put there: what
feedback has driven out further has left the halo."""
STARS_IN_SHELL = 0.8
"""The most that the stellar fraction between R500c and R200c is of that inside, where a merger lies there."""


@dataclass(frozen=True)
class Budget:
    """The baryons of a halo in one flavour, and its radii; in R200c and M200c of the plan.

    ``f_gas`` and ``f_star`` inside R500c; ``r500``, ``m500``; ``baryons`` inside the plan's R200c;
    ``r200``, ``m200`` of this flavour: 1 where the dark matter was drawn for it.
    """

    f_gas: float
    f_star: float
    r500: float
    m500: float
    baryons: float
    r200: float
    m200: float


def budget_of(
    feedback: Feedback,
    mass_msun: float,
    profile: HaloProfile,
    gas_state: float,
    star_state: float,
    dark: float | None = None,
) -> Budget:
    """What a flavour makes of a halo whose dark matter is given.

    Parameters
    ----------
    feedback
        Of the flavour.
    mass_msun, profile
        M200c of the plan and the shape of its mass.
    gas_state, star_state
        Standard deviations of the gas and stellar fraction from their medians.
    dark
        Dark matter inside the plan's R200c over the plan's M200c; by default what this flavour's baryons
        leave, so that its M200c is the plan's.
    """
    share = 1.0 - 0.75 * BARYON_FRACTION if dark is None else dark
    m500 = profile.m500
    for _ in range(6):
        log_m500 = float(np.log10(mass_msun * m500))
        f_gas = gas_fraction(feedback, log_m500, gas_state)
        f_star = star_fraction(feedback, log_m500, star_state)
        total = profile.mass * share / (1.0 - f_gas - f_star)
        r500 = float(np.exp(np.interp(-np.log(2.5), -np.log(total / X**3), LOG_X)))
        m500 = 2.5 * r500**3
        full, lost = feedback.between(_SHELL, "reach")
        shell_share = (full - lost * (1.0 - (f_gas + f_star) / BARYON_FRACTION)) * BARYON_FRACTION
        room = f_gas * m500 * (r500 ** (_SHALLOWEST_GAS - 3.0) - 1.0)
        shell_mass = max(1.0 - m500, 0.0)
        shell = min(shell_share * shell_mass, room + STARS_IN_SHELL * f_star * shell_mass)
        baryons = (f_gas + f_star) * m500 + shell
        if dark is None:
            share = 1.0 - baryons
    inside = profile.mass * share + baryons + shell / shell_mass * (profile.mass - 1.0)
    near = np.abs(LOG_X) < 0.4
    r200 = float(np.exp(np.interp(0.0, -np.log(inside[near] / X[near] ** 3), LOG_X[near])))
    return Budget(f_gas, f_star, r500, m500, baryons, r200, r200**3)


def budgets_of(
    mass_msun: float,
    profile: HaloProfile,
    gas_states: NDArray[np.float64],
    star_state: float,
    feedbacks: Mapping[Flavour, Feedback],
) -> dict[Flavour, Budget]:
    """The baryons of a halo in some flavours, the first of `FLAVOURS` among them, around one dark matter.

    The dark matter is what the first flavour's baryons leave of the plan's M200c. A flavour that has lost
    more gas has a smaller R500c and R200c.
    """
    first = FLAVOURS[0]
    budgets = {first: budget_of(feedbacks[first], mass_msun, profile, float(gas_states[0]), star_state)}
    dark = 1.0 - budgets[first].baryons
    for flavour, feedback in feedbacks.items():
        if flavour != first:
            state = float(gas_states[check_flavour(flavour) - 1])
            budgets[flavour] = budget_of(feedback, mass_msun, profile, state, star_state, dark)
    return budgets
