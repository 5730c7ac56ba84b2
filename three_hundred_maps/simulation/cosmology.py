"""The few cosmological functions that maps need: a flat or curved LCDM without radiation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.units import GRAVITY_KPC_KMS2_PER_MSUN

HUBBLE_TIME_GYR = 9.777922
"""1 / H_0 for h = 1."""
AGE_STEPS = 4001
"""Of the integral of `Cosmology.age_gyr`."""


@dataclass(frozen=True)
class Cosmology:
    """Parameters of the background, as a snapshot's header gives them.

    Parameters
    ----------
    h
        Hubble's constant in 100 km/s/Mpc.
    omega_m, omega_lambda, omega_b
        Density parameters today; ``omega_b`` is NaN where the file does not say.
    """

    h: float
    omega_m: float
    omega_lambda: float
    omega_b: float = math.nan

    def hubble_km_s_mpc(self, redshift: float) -> float:
        """H(z) in km/s/Mpc."""
        a = 1.0 + redshift
        curvature = 1.0 - self.omega_m - self.omega_lambda
        return 100.0 * self.h * math.sqrt(self.omega_m * a**3 + curvature * a**2 + self.omega_lambda)

    def critical_density_msun_kpc3(self, redshift: float) -> float:
        """Critical density 3 H(z)^2 / (8 pi G) in Msun per proper kpc^3."""
        hubble_km_s_kpc = self.hubble_km_s_mpc(redshift) / 1e3
        return 3.0 * hubble_km_s_kpc**2 / (8.0 * math.pi * GRAVITY_KPC_KMS2_PER_MSUN)

    def radius_200c_kpc(self, mass_msun: NDArray[np.float64], redshift: float) -> NDArray[np.float64]:
        """Proper R200c in kpc of masses inside it in Msun; 0 for those below 0."""
        density = 200.0 * self.critical_density_msun_kpc3(redshift)
        return np.cbrt(np.maximum(mass_msun, 0.0) / (4.0 / 3.0 * math.pi * density))

    def age_gyr(self, scale_factor: ArrayLike) -> NDArray[np.float64]:
        """Time since the beginning at scale factors (any shape), Gyr; good to 1e-6.

        The integral of da / (a H) over u = a^1.5, in which it is smooth: 2/3 du / sqrt(u^2 H^2) / H_0.
        """
        wanted = np.asarray(scale_factor, np.float64) ** 1.5
        u = np.linspace(0.0, max(1.0, float(wanted.max(initial=0.0))), AGE_STEPS)
        curvature = 1.0 - self.omega_m - self.omega_lambda
        rate = np.sqrt(self.omega_m + curvature * u ** (2.0 / 3.0) + self.omega_lambda * u**2)
        steps = (2.0 / 3.0) * 0.5 * (1.0 / rate[1:] + 1.0 / rate[:-1]) * np.diff(u)
        ages = np.concatenate([[0.0], np.cumsum(steps)]) * HUBBLE_TIME_GYR / self.h
        return np.asarray(np.interp(wanted, u, ages), np.float64)


MDPL2 = Cosmology(h=0.6777, omega_m=0.307115, omega_lambda=0.692885, omega_b=0.048206)
"""Of MultiDark Planck 2, the parent of The Three Hundred's regions."""
