"""Views of the state of hot gas, as spectra of it would tell: entropy and metallicity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.mapping.views import (
    HYDROGEN_PER_CM3,
    MapContext,
    View,
    register_view,
    spectroscopic_weight,
    temperature_keV,
)
from three_hundred_maps.simulation.particles import Particles


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
):
    register_view(_view)
