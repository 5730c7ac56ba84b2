"""Views of gas beside those of `views`: its entropy and metals, and its motion along the line of sight.

A velocity along the line of sight is positive where the gas recedes from the observer, as a redshift is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.mapping.views import (
    HYDROGEN_PER_CM3,
    MapContext,
    View,
    coupled_mass,
    electron_mass,
    register_view,
    spectroscopic_weight,
    temperature_keV,
)
from three_hundred_maps.simulation.particles import Particles
from three_hundred_maps.units import KM_CM, LIGHT_CM_PER_S, THOMSON_KPC2_PER_MSUN

LIGHT_KM_S = LIGHT_CM_PER_S / KM_CM


def entropy_keV_cm2(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """K = k_B T / n_e^(2/3) in keV cm^2 (Voit 2005, equation 19)."""
    electrons = np.ones(len(particles))
    for name in ("electron_abundance", "hydrogen_fraction", "density"):
        electrons *= particles.fields[name].astype(np.float64)
    # Neutral gas has no electrons and an endless entropy; it emits no X-rays, and so has no weight.
    charged = electrons > 0
    density_cm3 = HYDROGEN_PER_CM3 * np.where(charged, electrons, 1.0)
    return np.where(charged, temperature_keV(particles, context) * density_cm3 ** (-2.0 / 3.0), 0.0)


def metallicity(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """Mass fraction of metals, absolute."""
    return particles.fields["metallicity"].astype(np.float64)


def receding(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """Peculiar velocity along the line of sight in km/s, positive away from the observer."""
    assert context.sight is not None  # every view made of this says ``sight=True``
    return -(particles.fields["velocity"].astype(np.float64) @ context.sight)


def receding_from_halo(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """The same less the halo's own, that of all mass inside R200c."""
    assert context.sight is not None and context.halo_velocity is not None
    return receding(particles, context) + float(context.halo_velocity @ context.sight)


def kinetic_area(particles: Particles, context: MapContext) -> NDArray[np.float64]:
    """Integrated kinetic effect in kpc^2, -sigma_T n_e V v_los / c: gas that recedes is a decrement.

    Sunyaev & Zeldovich 1980 (MNRAS 190, 413), in units of the background's temperature, single scattering;
    the velocity is the peculiar one, the halo's own included. The gas rules are those of ``sz``.
    """
    scattering = THOMSON_KPC2_PER_MSUN * electron_mass(particles, context)
    return -scattering * receding(particles, context) / LIGHT_KM_S


for _view in (
    View(
        "entropy",
        "keV cm2",
        "entropy k T / n_e^(2/3) of X-ray emitting gas, spectroscopic-like; 0 without it",
        ("gas",),
        entropy_keV_cm2,
        spectroscopic_weight,
    ),
    View(
        "metallicity",
        "1",
        "mass fraction of metals in X-ray emitting gas, spectroscopic-like; 0 without it",
        ("gas",),
        metallicity,
        spectroscopic_weight,
    ),
    View(
        "ksz",
        "1",
        "kinetic SZ, -sigma_T integral of n_e v_los / c, v_los > 0 away from the observer",
        ("gas",),
        kinetic_area,
        needs=("velocity",),
        sight=True,
        signed=True,
    ),
    View(
        "velocity",
        "km s-1",
        "line-of-sight velocity of gas, mass-weighted, less the halo's, > 0 away from the observer",
        ("gas",),
        receding_from_halo,
        coupled_mass,
        needs=("velocity",),
        sight=True,
        signed=True,
    ),
    View(
        "velocity_dispersion",
        "km s-1",
        "standard deviation of the line-of-sight velocity of gas, mass-weighted; 0 without gas",
        ("gas",),
        receding_from_halo,
        coupled_mass,
        needs=("velocity",),
        sight=True,
        dispersion=True,
    ),
):
    register_view(_view)
