"""An analytic cluster of particles: maps known in closed form, for tests and for trying views on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.nfw import enclosed_mass
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.particles import Cutout, Particles
from three_hundred_maps.units import KEV_K

COSMOLOGY = Cosmology(h=0.678, omega_m=0.307, omega_lambda=0.693, omega_b=0.048)
CONCENTRATION, GAS_FRACTION = 4.0, 0.12
"""Of the dark matter; gas mass inside R200c over M200c."""


@dataclass(frozen=True)
class AnalyticCluster:
    """A cluster whose maps are known in closed form: what `analytic_cluster` drew its particles from.

    Gas: an isothermal beta model with beta = 2/3, density ``gas_density / (1 + (r / core)^2)``. Dark matter:
    NFW with scale radius ``R200c_kpc / concentration``. Lengths in proper kpc, densities in Msun kpc^-3.
    """

    cutout: Cutout
    R200c_kpc: float
    M200c_msun: float
    core_kpc: float
    gas_density: float
    temperature_K: float
    hydrogen_fraction: float
    electron_abundance: float
    metallicity: float
    concentration: float

    def gas_column(self, radius_kpc: NDArray[np.float64], half_depth_kpc: float) -> NDArray[np.float64]:
        """Surface density in Msun kpc^-2: the integral of 1/(1 + r^2/c^2) over the depth."""
        a = np.sqrt(self.core_kpc**2 + np.asarray(radius_kpc) ** 2)
        return self.gas_density * self.core_kpc**2 * 2.0 / a * np.arctan(half_depth_kpc / a)

    def gas_density_squared(
        self, radius_kpc: NDArray[np.float64], half_depth_kpc: float
    ) -> NDArray[np.float64]:
        """Integral of the squared density over the depth, Msun^2 kpc^-5: what X-ray maps go with."""
        a = np.sqrt(self.core_kpc**2 + np.asarray(radius_kpc) ** 2)
        d = half_depth_kpc
        integral = d / (a**2 * (a**2 + d**2)) + np.arctan(d / a) / a**3
        return self.gas_density**2 * self.core_kpc**4 * integral

    def nfw_column(self, radius_kpc: NDArray[np.float64]) -> NDArray[np.float64]:
        """Surface density of the whole NFW halo in Msun kpc^-2 (Wright & Brainerd 2000, eq. 11)."""
        c = self.concentration
        scale = self.R200c_kpc / c
        density = self.M200c_msun / (4.0 * math.pi * scale**3 * enclosed_mass(c))
        x = np.asarray(radius_kpc, np.float64) / scale
        away = np.where(np.abs(x - 1.0) < 1e-6, 1.0 + 1e-6, x)
        root = np.sqrt(np.abs((1.0 - away) / (1.0 + away)))
        angle = np.where(away < 1.0, np.arctanh(np.where(away < 1.0, root, 0.0)), np.arctan(root))
        bracket = (1.0 - 2.0 / np.sqrt(np.abs(1.0 - away**2)) * angle) / (away**2 - 1.0)
        return 2.0 * scale * density * bracket


def analytic_cluster(
    *,
    n_gas: int = 20_000,
    n_dark: int = 20_000,
    n_stars: int = 2_000,
    R200c_kpc: float = 1500.0,
    extent: float = 2.6,
    core: float = 0.15,
    temperature_keV: float = 5.0,
    metallicity: float = 0.004,
    neighbours: int = 64,
    redshift: float = 0.0,
    seed: int = 0,
) -> AnalyticCluster:
    """A cut-out around a cluster of known profiles, with little noise.

    Parameters
    ----------
    n_gas, n_dark, n_stars
        Numbers of particles; there is one black hole at the centre, and there are no low-resolution ones.
    extent
        Radius of the cut-out in R200c: the profiles end there.
    core
        Core radius of the gas in R200c.
    neighbours
        Particles within a smoothing length, on average.
    redshift
        Of the snapshot. R200c is proper; the mass follows from the critical density there.
    """
    rng = np.random.default_rng(seed)
    rho_crit = COSMOLOGY.critical_density_msun_kpc3(redshift)
    mass = 200.0 * rho_crit * 4.0 / 3.0 * math.pi * R200c_kpc**3
    edge = extent * R200c_kpc

    def place(enclosed: NDArray[np.float64], grid: NDArray[np.float64], n: int) -> NDArray[np.float32]:
        # one radius in each of n equal parts of the mass: no shot noise along the radius
        radius = np.interp((np.arange(n) + rng.random(n)) / max(n, 1), enclosed / enclosed[-1], grid)
        direction = rng.normal(size=(n, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return (radius[:, None] * direction).astype(np.float32)

    def species(position: NDArray[np.float32], total_msun: float, **fields: Any) -> Particles:
        n = len(position)
        masses = np.full(n, total_msun / max(n, 1), np.float32)
        return Particles(position, masses, np.arange(n), fields)

    grid = np.concatenate([[0.0], np.geomspace(1e-5 * edge, edge, 4000)])
    core_kpc = core * R200c_kpc
    beta_volume = core_kpc**2 * 4.0 * math.pi * (grid - core_kpc * np.arctan(grid / core_kpc))
    density_0 = GAS_FRACTION * mass / float(np.interp(R200c_kpc, grid, beta_volume))
    gas_position = place(beta_volume, grid, n_gas)
    radius = np.linalg.norm(gas_position.astype(np.float64), axis=1)
    density = density_0 / (1.0 + (radius / core_kpc) ** 2)
    gas_total = density_0 * float(beta_volume[-1])
    length = (3.0 * neighbours / (4.0 * math.pi) * gas_total / max(n_gas, 1) / density) ** (1.0 / 3.0)
    ones = np.ones(n_gas, np.float32)
    gas = species(
        gas_position,
        gas_total,
        temperature=ones * np.float32(temperature_keV * KEV_K),
        density=density.astype(np.float32),
        smoothing_length=length.astype(np.float32),
        hydrogen_fraction=ones * np.float32(0.76),
        electron_abundance=ones * np.float32(1.158),
        metallicity=ones * np.float32(metallicity),
        star_formation_rate=0.0 * ones,
        wind=0.0 * ones,
    )

    nfw = enclosed_mass(grid * CONCENTRATION / R200c_kpc)
    nfw_total = mass * float(nfw[-1] / enclosed_mass(CONCENTRATION))
    hernquist = (grid / (grid + 0.05 * R200c_kpc)) ** 2
    particles = {
        "gas": gas,
        "dark_matter": species(place(nfw, grid, n_dark), nfw_total),
        "low_resolution": Particles.empty(),
        "stars": species(place(hernquist, grid, n_stars), 0.01 * mass),
        "black_holes": species(np.zeros((1, 3), np.float32), 1e9),
    }
    cutout = Cutout(particles, edge, redshift, COSMOLOGY, "cubic_spline")
    return AnalyticCluster(
        cutout, R200c_kpc, mass, core_kpc, density_0, temperature_keV * KEV_K, 0.76, 1.158, metallicity,
        CONCENTRATION,
    )  # fmt: skip
