"""Distances to neighbours, for particles without a smoothing length of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 32
"""A kernel ends at this neighbour, as for dark matter in the maps of low-mass halos."""


def neighbour_distance(position: NDArray[np.float32], neighbours: int = NEIGHBOURS) -> NDArray[np.float32]:
    """Distance of each particle to its ``neighbours``-th nearest other, in the units of ``position``.

    Where there are fewer others, the distance to the farthest; 0 for a particle alone.

    Parameters
    ----------
    position
        (n, 3), finite.
    """
    from three_hundred_maps.mapping.kd_tree import nth_neighbour  # compiled: few views need it

    n = len(position)
    k = min(neighbours, n - 1)
    return nth_neighbour(position, k) if k > 0 else np.zeros(n, np.float32)
