"""What every part of the synthetic simulation agrees on: universe, resolutions, flavours, seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.cosmology import MDPL2
from three_hundred_maps.units import GRAVITY_KPC_KMS2_PER_MSUN

GENERATOR_VERSION = 4
"""Raised whenever the same seed gives other bytes."""

COSMOLOGY = MDPL2
"""MDPL2's background, that of The Three Hundred (Cui et al. 2018)."""

H = COSMOLOGY.h
RHO_CRIT = COSMOLOGY.critical_density_msun_kpc3(0.0)
RHO_MEAN = RHO_CRIT * COSMOLOGY.omega_m
BARYON_FRACTION = COSMOLOGY.omega_b / COSMOLOGY.omega_m

REDSHIFT = 0.0
SNAPSHOT = 128
BOX_KPC_H = 1.0e6
CENTRE_KPC_H = 5.0e5
"""Every region lies around the middle of a 1 Gpc/h box, as The Three Hundred's files have it."""

REGION_KPC = 15.0e3 / H
"""Radius filled with high-resolution particles, kpc."""
EDGE_KPC = 21.0e3 / H
"""Radius out to which low-resolution particles go on, kpc."""

Flavour = Literal["gadgetx", "gizmo"]
FLAVOURS: tuple[Flavour, ...] = ("gadgetx", "gizmo")


@dataclass(frozen=True)
class Resolution:
    """Particle masses in Msun; every halo of a region has the same."""

    name: str
    dark_matter: float
    gas: float
    star: float


_THREE_HUNDRED = (1.27e9 / H, 2.36e8 / H, 5.9e7 / H)  # a gas particle forms up to four stars
RESOLUTIONS = {
    "full": Resolution("full", *_THREE_HUNDRED),
    "light": Resolution("light", *(2.0 * mass for mass in _THREE_HUNDRED)),
}
"""``full`` has The Three Hundred's particle masses, ``light`` twice those: 4e5 particles for 10^14.5."""


def check_flavour(flavour: str) -> int:
    """The number (1, 2) of a flavour in the seeds of its baryons."""
    if flavour not in FLAVOURS:
        raise InputError(f"flavour {flavour!r} is unknown: one of {', '.join(FLAVOURS)}")
    return FLAVOURS.index(flavour) + 1


def check_resolution(resolution: str) -> Resolution:
    """The particle masses of a named resolution."""
    if resolution not in RESOLUTIONS:
        raise InputError(f"resolution {resolution!r} is unknown: one of {', '.join(sorted(RESOLUTIONS))}")
    return RESOLUTIONS[resolution]


def check_seed(seed: int, region: int) -> None:
    """Refuse seeds and regions that are no whole numbers from 0 (1 for a region) on."""
    for name, value, low in (("seed", seed, 0), ("region", region, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
            raise InputError(
                f"the synthetic simulation's {name} is a whole number from {low} on, not {value!r}"
            )


def generators(seed: int, region: int, halo: int, blocks: int, flavour: int = 0) -> list[np.random.Generator]:
    """Independent random streams of one halo (0: the region itself), one for each block of its making.

    Dark matter is seeded by (seed, region, halo), baryons by these and the flavour's number: what one
    block draws never moves another, so flavours share their dark matter to the byte.
    """
    entropy = [int(seed), int(region), int(halo), *([flavour] if flavour else [])]
    return [np.random.default_rng(child) for child in np.random.SeedSequence(entropy).spawn(blocks)]


# Concentrations and peak heights of this cosmology, from colossus (Ishiyama et al. 2021, c200c, median
# of all halos; tests recompute them): log10 M200c in Msun/h, z = 0.
_LOG_MASS = np.arange(11.0, 15.76, 0.25)
_CONCENTRATION_Z0 = np.array(
    [10.169, 9.597, 9.036, 8.492, 7.964, 7.452, 6.957, 6.479, 6.02, 5.589]
    + [5.195, 4.838, 4.522, 4.253, 4.042, 3.903, 3.858, 3.94, 4.192, 4.683]
)  # fmt: skip
_CONCENTRATION_Z1 = np.array(
    [6.145, 5.824, 5.515, 5.222, 4.945, 4.686, 4.447, 4.229, 4.038, 3.88]
    + [3.765, 3.7, 3.695, 3.766, 3.935, 4.234, 4.707, 5.419, 6.463, 7.97]
)  # fmt: skip
_PEAK_HEIGHT = np.array(
    [0.585, 0.628, 0.678, 0.733, 0.796, 0.867, 0.948, 1.042, 1.149, 1.274]
    + [1.42, 1.591, 1.794, 2.036, 2.328, 2.682, 3.115, 3.651, 4.318, 5.155]
)  # fmt: skip

_Z = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0])
_LOOKBACK_GYR = np.array(
    [0, 0.695897, 1.343485, 2.509259, 3.522528, 4.816898, 5.881503]
    + [7.028863, 7.939013, 8.984506, 9.76191, 10.52241]
)  # fmt: skip


def concentration(mass_msun: ArrayLike, z: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Median c200c of Ishiyama et al. (2021) at ``mass_msun`` (Msun), between z = 0 and 1."""
    log_mass = np.log10(np.asarray(mass_msun) * H)
    now = np.interp(log_mass, _LOG_MASS, np.log(_CONCENTRATION_Z0))
    then = np.interp(log_mass, _LOG_MASS, np.log(_CONCENTRATION_Z1))
    return np.exp(now + np.clip(np.asarray(z), 0.0, 1.5) * (then - now))


def peak_height(mass_msun: float) -> float:
    """Peak height nu of a halo at z = 0."""
    return float(np.interp(np.log10(mass_msun * H), _LOG_MASS, _PEAK_HEIGHT))


def lookback_gyr(z: ArrayLike) -> NDArray[np.float64]:
    """Lookback time in Gyr, z <= 2."""
    return np.interp(np.asarray(z, np.float64), _Z, _LOOKBACK_GYR)


def expansion(z: ArrayLike) -> NDArray[np.float64]:
    """H(z)/H0."""
    z = np.asarray(z, np.float64)
    return np.sqrt(COSMOLOGY.omega_m * (1 + z) ** 3 + COSMOLOGY.omega_lambda)


def radius_200c(mass_msun: ArrayLike) -> NDArray[np.float64]:
    """R200c in kpc at z = 0."""
    return np.cbrt(np.asarray(mass_msun, np.float64) / (800.0 / 3.0 * np.pi * RHO_CRIT))


def velocity_200c(mass_msun: float) -> float:
    """Circular velocity at R200c in km/s."""
    return float(np.sqrt(GRAVITY_KPC_KMS2_PER_MSUN * mass_msun / radius_200c(mass_msun)))


TIME_UNIT_GYR = 977.7922 / (10.0 * H * 100.0)
"""R200c/V200c at z = 0 in Gyr, the same for every halo: 1/(10 H0)."""
