"""Physical constants and unit conversions, named by their units. Sources: CODATA 2018, IAU 2015."""

from __future__ import annotations

import math

# CODATA 2018 (CGS)
BOLTZMANN_ERG_PER_K = 1.380649e-16
THOMSON_CM2 = 6.6524587321e-25
ELECTRON_MASS_G = 9.1093837015e-28
PROTON_MASS_G = 1.67262192369e-24
LIGHT_CM_PER_S = 2.99792458e10
GRAVITY_CGS = 6.67430e-8
KEV_ERG = 1.602176634e-9

# IAU 2015 nominal values and the definition of the parsec
PARSEC_CM = 1.495978707e13 * 648000.0 / math.pi
KPC_CM = 1e3 * PARSEC_CM
MPC_KPC = 1e3
SUN_GM_CGS = 1.3271244e26
SUN_G = SUN_GM_CGS / GRAVITY_CGS

KM_CM = 1e5
KEV_K = KEV_ERG / BOLTZMANN_ERG_PER_K
"""Kelvin of one keV."""

GRAVITY_KPC_KMS2_PER_MSUN = GRAVITY_CGS * SUN_G / KPC_CM / KM_CM**2
"""Newton's constant in kpc (km/s)^2 / Msun."""

HYDROGEN_FRACTION = 0.76
"""Primordial mass fraction of hydrogen: used where a snapshot does not say."""

ADIABATIC_INDEX = 5.0 / 3.0

COMPTON_KPC2_PER_MSUN_K = (
    THOMSON_CM2
    * BOLTZMANN_ERG_PER_K
    / (ELECTRON_MASS_G * LIGHT_CM_PER_S**2 * PROTON_MASS_G)
    * SUN_G
    / KPC_CM**2
)
"""sigma_T k_B / (m_e c^2 m_p): integrated Compton y in kpc^2 of one Msun of hydrogen (with X = 1) at 1 K."""

THOMSON_KPC2_PER_MSUN = THOMSON_CM2 / PROTON_MASS_G * SUN_G / KPC_CM**2
"""sigma_T / m_p: optical depth times area in kpc^2 of one Msun of hydrogen with one electron a nucleus."""
