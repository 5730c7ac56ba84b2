"""Distances to neighbours, for particles without a smoothing length of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 32
"""A kernel ends at this neighbour, as for dark matter in the maps of low-mass halos."""


def neighbour_distance(
    position: NDArray[np.float32], neighbours: int = NEIGHBOURS, workers: int = 1
) -> NDArray[np.float32]:
    """Distance of each particle to its ``neighbours``-th nearest other, in the units of ``position``.

    Where there are fewer others, the distance to the farthest; 0 for a particle alone.

    Parameters
    ----------
    position
        (n, 3).
    """
    from scipy.spatial import cKDTree

    n = len(position)
    k = min(neighbours, n - 1)
    if k < 1:
        return np.zeros(n, np.float32)
    tree = cKDTree(position, balanced_tree=False, compact_nodes=False)
    result = np.empty(n, np.float32)
    # asked in the tree's own order, neighbouring queries find neighbouring memory: several times faster
    for start in range(0, n, 1 << 18):
        rows = tree.indices[start : start + (1 << 18)]
        result[rows] = tree.query(position[rows], k=[k + 1], workers=workers)[0][:, 0]
    return result
