"""Which cut-outs may not be used: those that leave the volume with particles, or hold low-resolution ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.particles import Cutout

if TYPE_CHECKING:
    from three_hundred_maps.simulation.region import Region

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


def edge_reason(region: Region, centre_kpc: NDArray[np.float64], radius_kpc: float) -> str | None:
    """Why a sphere is refused for leaving the region; None where it lies within.

    A periodic box has no edge, but the sphere must fit into it. Elsewhere the sphere must lie inside the box
    around all particles and inside the smallest sphere about that box's centre that holds them, so that
    both cubes and spheres cut out of larger volumes have the edge they look to have.
    """
    if region.periodic:
        if radius_kpc >= 0.5 * region.info.box_kpc:
            return f"a cut-out of radius {radius_kpc:.0f} kpc does not fit into the box"
        return None
    low, high = region.bounds_kpc()
    beyond = float(np.max(np.maximum(low - (centre_kpc - radius_kpc), centre_kpc + radius_kpc - high)))
    middle = 0.5 * (low + high)
    beyond = max(beyond, float(np.linalg.norm(centre_kpc - middle)) + radius_kpc - region.extent_kpc)
    if beyond > 0.0:
        return f"the cut-out leaves the region by {beyond:.0f} kpc"
    return None
