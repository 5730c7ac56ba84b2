"""Spherical profiles of a halo in units of its own R200c, M200c and V200c, tabulated in log radius."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps import nfw
from three_hundred_maps.simulation.synthetic.setup import TODAY, Epoch, peak_height

X_MIN, X_MAX, N_X = 1e-3, 4.0, 320
LOG_X = np.linspace(np.log(X_MIN), np.log(X_MAX), N_X)
X = np.exp(LOG_X)
DLOG_X = float(LOG_X[1] - LOG_X[0])
_CUT_RADIUS = 2.9


def squared(vectors: NDArray[Any]) -> NDArray[Any]:
    """(n,) squared lengths of (n, 3) vectors; no BLAS, so added in one order."""
    return np.asarray(np.einsum("ij,ij->i", vectors, vectors))


def lengths(vectors: NDArray[Any]) -> NDArray[Any]:
    """(n,) lengths of (n, 3) vectors."""
    return np.sqrt(squared(vectors))


def cumulative_mass(density: NDArray[np.float64]) -> NDArray[np.float64]:
    """M(<X) of a density tabulated at `X`; inside the first point a power law goes on."""
    shell = 4.0 * np.pi * X**3 * density
    steps = 0.5 * (shell[1:] + shell[:-1]) * DLOG_X
    slope = np.log(density[1] / density[0]) / DLOG_X
    inner = shell[0] / max(3.0 + slope, 0.5)
    return inner + np.concatenate([[0.0], np.cumsum(steps)])


def at(x: ArrayLike, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """A positive table at ``x`` (R200c), interpolated in log-log."""
    return np.exp(np.interp(np.log(np.maximum(x, X_MIN)), LOG_X, np.log(np.maximum(table, 1e-300))))


@dataclass(frozen=True)
class HaloProfile:
    """Total mass of a halo: an NFW that steepens at the splashback radius (Diemer & Kravtsov 2014)
    and goes over into its infall region, fading out at 2.9 R200c.

    ``density`` in M200c/R200c^3, ``mass`` in M200c, ``sigma`` the isotropic one-dimensional velocity
    dispersion in V200c, all at `X`; ``r500`` and ``r200m`` in R200c, ``m500`` in M200c.
    """

    concentration: float
    density: NDArray[np.float64]
    mass: NDArray[np.float64]
    sigma: NDArray[np.float64]
    r500: float
    m500: float
    r200m: float


def halo_profile(
    mass_msun: float, concentration: float, accretion: float = 0.0, epoch: Epoch = TODAY
) -> HaloProfile:
    """The profile of a halo; ``accretion`` > 0 for one that grows fast: its splashback radius is smaller."""
    # Of the profiles of clusters to 1 %: where the density between the two radii falls as r^-2.4 on average.
    r200m = epoch.omega_m**-0.414
    mean_density = epoch.omega_m * 3.0 / (800.0 * np.pi)
    height = peak_height(mass_msun, epoch.redshift)
    truncation = r200m * np.clip(1.9 - 0.18 * height - 0.12 * accretion, 0.9, 1.9)
    s = X * concentration
    inner = 1.0 / (s * (1.0 + s) ** 2) * (1.0 + (X / truncation) ** 4) ** -2.0
    inner *= 1.0 / (4.0 * np.pi * nfw.enclosed_mass(concentration)) * concentration**3
    outer = 1.5 * mean_density * (X / (5.0 * r200m) + 0.05) ** -1.4
    density = (inner + outer) * np.exp(-((X / _CUT_RADIUS) ** 8))
    mass = cumulative_mass(density)
    scale = 1.0 / float(at(1.0, mass))
    density, mass = density * scale, mass * scale
    mean = mass / X**3
    r500 = float(np.exp(np.interp(-np.log(2.5), -np.log(mean), LOG_X)))
    sigma = jeans_sigma(density, mass)
    return HaloProfile(concentration, density, mass, sigma, r500, float(at(r500, mass)), r200m)


def jeans_sigma(density: NDArray[np.float64], mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """sigma_r of an isotropic tracer of ``density`` in the potential of ``mass`` (G = 1)."""
    pressure = outward_integral(density * mass / X)
    return np.sqrt(np.maximum(pressure / density, 1e-4))


def outward_integral(integrand_per_log: NDArray[np.float64]) -> NDArray[np.float64]:
    """The integral over d ln X from each point to the last."""
    steps = 0.5 * (integrand_per_log[1:] + integrand_per_log[:-1]) * DLOG_X
    return np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]]) + 1e-12
