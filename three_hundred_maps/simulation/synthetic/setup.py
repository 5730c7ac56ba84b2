"""What every part of the synthetic simulation agrees on: universe, resolutions, flavours, seeds."""

from __future__ import annotations

import math
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
RHO_MEAN = COSMOLOGY.critical_density_msun_kpc3(0.0) * COSMOLOGY.omega_m
"""Mean matter density, Msun per comoving kpc^3."""
BARYON_FRACTION = COSMOLOGY.omega_b / COSMOLOGY.omega_m

LAST_SNAPSHOT = 128
"""The Three Hundred's snapshot of z = 0."""
_SNAPSHOT_STEP = 0.0221
"""Its snapshots before that lie nearly so far apart in ln(1 + z): number 97 is z = 0.99."""
HIGHEST_REDSHIFT = 1.0
BOX_KPC_H = 1.0e6
CENTRE_KPC_H = 5.0e5
"""Every region lies around the middle of a 1 Gpc/h box, as The Three Hundred's files have it."""

REGION_KPC = 15.0e3 / H
"""Radius filled with high-resolution particles, comoving kpc."""
EDGE_KPC = 21.0e3 / H
"""Radius out to which low-resolution particles go on, comoving kpc."""

Flavour = Literal["gadgetx", "gizmo", "simba-strong", "hypercube"]
FLAVOURS: tuple[Flavour, ...] = ("gadgetx", "gizmo")
"""The flavours of The Three Hundred's two codes, each on its own published relations."""
ALL_FLAVOURS: tuple[Flavour, ...] = (*FLAVOURS, "simba-strong", "hypercube")
"""Those, and two made of them by stronger, weaker or mixed feedback; see `feedback`."""


@dataclass(frozen=True)
class Resolution:
    """Particle masses in Msun, of stars the mean; every halo of a region has the same.

    Of dark matter and stars one particle is written for each ``merge``, with their mass: a region is made
    at the masses given and then made coarser, so that it holds the same clusters.
    """

    name: str
    dark_matter: float
    gas: float
    star: float
    merge: int = 1

    def written(self) -> Resolution:
        """The masses as they stand in files."""
        return Resolution(self.name, self.dark_matter * self.merge, self.gas, self.star * self.merge)


STAR_BIRTH_MASS = 4.0e7 / H
"""Msun, of The Three Hundred's star particles: a gas particle forms up to four, and has less mass by then."""
STAR_MASS_LEFT = 0.53
"""Of a star particle's mass at birth, in the mean of a cluster's stars at z = 0; see `mass_left`."""
_DARK_MATTER, _GAS, _STAR = 1.27e9 / H, 2.36e8 / H, STAR_MASS_LEFT * STAR_BIRTH_MASS
RESOLUTIONS = {
    "full": Resolution("full", _DARK_MATTER, _GAS, _STAR),
    "light": Resolution("light", 2.0 * _DARK_MATTER, 2.0 * _GAS, 2.0 * _STAR),
    "coarse": Resolution("coarse", 2.0 * _DARK_MATTER, 2.0 * _GAS, 2.0 * _STAR, merge=8),
}
"""``full`` has The Three Hundred's particle masses, ``light`` twice those: 4e5 particles for 10^14.5;
``coarse`` is ``light`` with dark matter and stars of eight times the particle mass."""


def check_flavour(flavour: str) -> int:
    """The number (1, 2, ...) of a flavour in the seeds of its baryons."""
    if flavour not in ALL_FLAVOURS:
        raise InputError(f"flavour {flavour!r} is unknown: one of {', '.join(ALL_FLAVOURS)}")
    return ALL_FLAVOURS.index(flavour) + 1


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


def check_redshift(redshift: float) -> None:
    """Refuse redshifts that the synthetic simulation has no snapshot of."""
    number = not isinstance(redshift, bool) and isinstance(redshift, (int, float, np.number))
    if not (number and 0.0 <= redshift <= HIGHEST_REDSHIFT):
        raise InputError(
            f"the synthetic simulation has snapshots at redshifts 0 to {HIGHEST_REDSHIFT:g}, not {redshift!r}"
        )


def generators(
    seed: int, region: int, halo: int, blocks: int, flavour: int = 0, snapshot: int = LAST_SNAPSHOT
) -> list[np.random.Generator]:
    """Independent random streams of one halo (0: the region itself), one for each block of its making.

    Dark matter is seeded by (seed, region, halo), baryons by these and the flavour's number: what one
    block draws never moves another, so flavours share their dark matter to the byte. Earlier snapshots
    have streams of their own.
    """
    entropy = [int(seed), int(region), int(halo)]
    if snapshot != LAST_SNAPSHOT:
        entropy += [int(flavour), int(snapshot)]
    elif flavour:
        entropy.append(int(flavour))
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


def concentration(mass_msun: ArrayLike, z: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Median c200c of Ishiyama et al. (2021) at ``mass_msun`` (Msun), between z = 0 and 1."""
    log_mass = np.log10(np.asarray(mass_msun) * H)
    now = np.interp(log_mass, _LOG_MASS, np.log(_CONCENTRATION_Z0))
    then = np.interp(log_mass, _LOG_MASS, np.log(_CONCENTRATION_Z1))
    return np.exp(now + np.clip(np.asarray(z), 0.0, 1.5) * (then - now))


def peak_height(mass_msun: float, z: float = 0.0) -> float:
    """Peak height nu of a halo."""
    now = float(np.interp(np.log10(mass_msun * H), _LOG_MASS, _PEAK_HEIGHT))
    return now * _growth(0.0) / _growth(z)


def _growth(z: float) -> float:
    """Linear growth, not normalised (Carroll, Press & Turner 1992)."""
    e2 = float(expansion(z)) ** 2
    matter, dark_energy = COSMOLOGY.omega_m * (1 + z) ** 3 / e2, COSMOLOGY.omega_lambda / e2
    bend = matter ** (4 / 7) - dark_energy + (1 + matter / 2) * (1 + dark_energy / 70)
    return 2.5 * matter / bend / (1 + z)


def cosmic_time_gyr(z: ArrayLike) -> NDArray[np.float64]:
    """Time since the Big Bang in Gyr, of matter and a cosmological constant."""
    ratio = np.sqrt(COSMOLOGY.omega_lambda / COSMOLOGY.omega_m) * (1 + np.asarray(z, np.float64)) ** -1.5
    return 2.0 / 3.0 * _HUBBLE_TIME_GYR / np.sqrt(COSMOLOGY.omega_lambda) * np.arcsinh(ratio)


def lookback_gyr(z: ArrayLike) -> NDArray[np.float64]:
    """Lookback time in Gyr."""
    return cosmic_time_gyr(0.0) - cosmic_time_gyr(z)


def expansion(z: ArrayLike) -> NDArray[np.float64]:
    """H(z)/H0."""
    z = np.asarray(z, np.float64)
    return np.sqrt(COSMOLOGY.omega_m * (1 + z) ** 3 + COSMOLOGY.omega_lambda)


_HUBBLE_TIME_GYR = 977.7922 / (100.0 * H)


@dataclass(frozen=True)
class Epoch:
    """The universe at one redshift; lengths and densities are proper.

    Parameters
    ----------
    redshift
        Of the snapshot.
    """

    redshift: float = 0.0

    @property
    def snapshot(self) -> int:
        """The number of The Three Hundred's snapshot next to this redshift."""
        return LAST_SNAPSHOT - round(math.log1p(self.redshift) / _SNAPSHOT_STEP)

    @property
    def scale(self) -> float:
        """Scale factor: proper over comoving lengths."""
        return 1.0 / (1.0 + self.redshift)

    @property
    def e(self) -> float:
        """H(z)/H0."""
        return float(expansion(self.redshift))

    @property
    def rho_crit(self) -> float:
        """Critical density in Msun/kpc^3."""
        return COSMOLOGY.critical_density_msun_kpc3(self.redshift)

    @property
    def rho_mean(self) -> float:
        """Mean matter density in Msun/kpc^3."""
        return RHO_MEAN / self.scale**3

    @property
    def omega_m(self) -> float:
        """Mean over critical density."""
        return self.rho_mean / self.rho_crit

    @property
    def region_kpc(self) -> float:
        """Radius filled with high-resolution particles, kpc."""
        return REGION_KPC * self.scale

    @property
    def edge_kpc(self) -> float:
        """Radius out to which low-resolution particles go on, kpc."""
        return EDGE_KPC * self.scale

    @property
    def time_unit_gyr(self) -> float:
        """R200c/V200c in Gyr, the same for every halo: 1/(10 H(z))."""
        return _HUBBLE_TIME_GYR / (10.0 * self.e)

    def radius_200c(self, mass_msun: ArrayLike) -> NDArray[np.float64]:
        """R200c in kpc."""
        return np.cbrt(np.asarray(mass_msun, np.float64) / (800.0 / 3.0 * np.pi * self.rho_crit))

    def velocity_200c(self, mass_msun: float) -> float:
        """Circular velocity at R200c in km/s."""
        return float(np.sqrt(GRAVITY_KPC_KMS2_PER_MSUN * mass_msun / self.radius_200c(mass_msun)))


TODAY = Epoch()
