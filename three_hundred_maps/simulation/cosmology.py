"""The few cosmological functions that maps need: a flat or curved LCDM without radiation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from three_hundred_maps.units import GRAVITY_KPC_KMS2_PER_MSUN


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


MDPL2 = Cosmology(h=0.6777, omega_m=0.307115, omega_lambda=0.692885, omega_b=0.048206)
"""Of MultiDark Planck 2, the parent of The Three Hundred's regions."""
