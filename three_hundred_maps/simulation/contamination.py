"""Low-resolution particles in a cut-out."""

from __future__ import annotations

import numpy as np

from three_hundred_maps.simulation.particles import Cutout

LARGEST_LOW_RESOLUTION_FRACTION = 1e-3
"""Of a cut-out's mass."""


def low_resolution_fraction(cutout: Cutout) -> float:
    """Share of the mass of a cut-out that low-resolution particles hold; 0 for an empty one."""
    low = float(cutout["low_resolution"].mass.sum(dtype=np.float64))
    total = sum(float(particles.mass.sum(dtype=np.float64)) for particles in cutout.particles.values())
    return low / total if total > 0 else 0.0


def contamination_reason(cutout: Cutout, limit: float = LARGEST_LOW_RESOLUTION_FRACTION) -> str | None:
    """Why a cut-out is refused for its low-resolution particles, or for being empty; None where it is not."""
    if not any(len(particles) for particles in cutout.particles.values()):
        return "there are no particles around this centre"
    fraction = low_resolution_fraction(cutout)
    if fraction > limit:
        return f"low-resolution particles hold {fraction:.2g} of the cut-out's mass, over {limit:g}"
    return None
