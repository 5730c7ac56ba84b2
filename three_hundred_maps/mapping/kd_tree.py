"""Distances to the n-th neighbour of every particle, by a balanced tree whose leaves are asked one by one.

The particles of a leaf share the list of leaves around it. Each guesses from the particle before it how far
its neighbour is, and looks into those leaves of the list that lie within: if they hold too few, the guess
grows. What is found is the n-th smallest of all squared distances in single precision, whatever was guessed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.compiled import njit

LEAF = 16
"""Particles of a leaf, at most: twice as many numbers in single precision as a processor takes at once."""
_GUESS = np.float32(1.1)
"""First guess of a distance over that of the particle before."""
_LIST = np.float32(1.4)
"""Reach of a leaf's list over the guess that it was made for."""
_SLACK = np.float32(1.0 + 1e-5)
"""What rounding may take from a bound."""


def neighbour_distance(position: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """(n,) distance of each particle to its ``number``-th nearest other, in the units of ``position``.

    Where there are fewer others, the distance to the farthest; 0 for a particle alone.

    Parameters
    ----------
    position
        (n, 3), finite.
    """
    number = min(number, len(position) - 1)
    if number <= 0:
        return np.zeros(len(position), np.float32)
    depth = 0
    while len(position) > LEAF << depth:
        depth += 1
    points = np.array(position.T, np.float32, order="C")
    order, boxes = _build(points, depth)
    return np.asarray(_search(points, boxes, order, depth, number))


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _build(points: Any, depth: Any) -> Any:
    """Put the particles in the order of the leaves, in place: the order, and the box of every node.

    Node ``k`` of level ``l`` (number ``2^l + k``) holds the particles from ``k n / 2^l`` on.
    """
    n = points.shape[1]
    order = np.arange(n, dtype=np.int32)
    boxes = np.empty((2 << depth, 6), np.float32)
    for level in range(depth + 1):
        for node in range(1 << level):
            first, last = node * n >> level, (node + 1) * n >> level
            box = boxes[(1 << level) + node]
            axis = 0
            for a in range(3):
                low = high = points[a, first]
                for i in range(first + 1, last):
                    low = min(low, points[a, i])
                    high = max(high, points[a, i])
                box[a], box[3 + a] = low, high
                if high - low > box[3 + axis] - box[axis]:
                    axis = a
            if level < depth:
                _split(points, order, axis, first, last, (2 * node + 1) * n >> (level + 1))
    return order, boxes


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _split(points: Any, order: Any, axis: Any, first: Any, last: Any, middle: Any) -> None:
    """Reorder [first, last) so that no coordinate before ``middle`` is above one from there on."""
    along = points[axis]
    low, high = first, last - 1
    while low < high:
        pivot = along[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while along[i] < pivot:
                i += 1
            while along[j] > pivot:
                j -= 1
            if i <= j:
                for a in range(3):
                    points[a, i], points[a, j] = points[a, j], points[a, i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _count(values: Any, limit: Any) -> Any:
    """How many values are up to ``limit``; a counter of a value's own width lets eight be counted at once."""
    found = np.uint32(0)
    for i in range(values.shape[0]):
        found = np.uint32(found + np.uint32(values[i] <= limit))
    return np.int64(found)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _largest(values: Any, limit: Any) -> Any:
    """The largest value up to ``limit``, of whole numbers from 0."""
    best = np.int32(-1)
    for i in range(values.shape[0]):
        best = max(best, values[i] if values[i] <= limit else np.int32(-1))
    return best


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _smallest(values: Any, bits: Any, rank: Any, high: Any, up_to_high: Any) -> Any:
    """The value of this rank (from 0), as its bits; more than that, ``up_to_high``, are up to ``high``.

    Thresholds close in on it, for a count takes a fraction of a sort, then the last few are taken off. No
    value is negative: their bits (``bits``, the same memory) have their order.
    """
    low, up_to_low = np.float32(0.0), 0
    for turn in range(64):
        if up_to_high - rank <= 4:
            break
        share = (rank + 1.5 - up_to_low) / (up_to_high - up_to_low) if turn % 3 < 2 else 0.5
        middle = low + np.float32(share) * (high - low)
        if not low < middle < high:
            break
        counted = _count(values, middle)
        if counted > rank:
            high, up_to_high = middle, counted
        else:
            low, up_to_low = middle, counted
    most = np.int32(0)
    for i in range(values.shape[0]):
        most = max(most, bits[i] if values[i] <= high else np.int32(0))
    while _count(bits, np.int32(most - 1)) > rank:
        most = _largest(bits, np.int32(most - 1))
    return most


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _leaves_around(boxes: Any, depth: Any, box: Any, reach: Any, stack: Any, leaves: Any, around: Any) -> Any:
    """List all leaves within ``reach`` of a box, with their boxes: their number."""
    limit = reach * reach
    m = 0
    stack[0], filled = 1, 1
    while filled:
        filled -= 1
        node = stack[filled]
        apart = np.float32(0.0)
        for a in range(3):
            gap = max(boxes[node, a] - box[3 + a], box[a] - boxes[node, 3 + a], np.float32(0.0))
            apart += gap * gap
        if apart > limit:
            continue
        if node < 1 << depth:
            stack[filled], stack[filled + 1] = 2 * node, 2 * node + 1
            filled += 2
            continue
        leaves[m] = node - (1 << depth)
        for a in range(6):
            around[a, m] = boxes[node, a]
        m += 1
    return m


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _gaps(around: Any, m: Any, x: Any, y: Any, z: Any, out: Any) -> None:
    """Squared distances of the first ``m`` boxes from a point."""
    zero = np.float32(0.0)
    for i in range(m):
        a = max(max(around[0, i] - x, x - around[3, i]), zero)
        b = max(max(around[1, i] - y, y - around[4, i]), zero)
        c = max(max(around[2, i] - z, z - around[5, i]), zero)
        out[i] = a * a + b * b + c * c


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _search(points: Any, boxes: Any, order: Any, depth: Any, number: Any) -> Any:
    n = points.shape[1]
    n_leaves = 1 << depth
    # a leaf's particles side by side, filled up with such as are nobody's neighbours
    blocks = np.full((n_leaves, 3, LEAF), np.inf, np.float32)
    for leaf in range(n_leaves):
        first, last = leaf * n >> depth, (leaf + 1) * n >> depth
        for a in range(3):
            for i in range(first, last):
                blocks[leaf, a, i - first] = points[a, i]
    result = np.empty(n, np.float32)
    leaves = np.empty(n_leaves, np.int32)
    around = np.empty((6, n_leaves), np.float32)
    gaps = np.empty(n_leaves, np.float32)
    near = np.empty(n_leaves * LEAF, np.float32)
    use = np.empty(n_leaves + 1, np.int32)
    bits = near.view(np.int32)
    one = np.empty(1, np.float32)
    stack = np.empty(depth + 2, np.int64)
    up = 0  # levels up to an ancestor that holds enough
    while up < depth and (n >> (depth - up)) <= number:
        up += 1
    guess = np.float32(0.0)
    inside, chosen, kept, limit = near[:0], 0, 0, guess
    for leaf in range(n_leaves):
        first, last = leaf * n >> depth, (leaf + 1) * n >> depth
        above = boxes[(n_leaves + leaf) >> up]
        most = np.float32(0.0)
        for a in range(3):
            most += (above[3 + a] - above[a]) ** 2
        if most == 0.0:  # all in one place
            for i in range(first, last):
                result[order[i]] = np.float32(0.0)
            continue
        most = np.sqrt(most) * _SLACK
        reach = np.float32(-1.0)
        m = 0
        for i in range(first, last):
            x, y, z = points[0, i], points[1, i], points[2, i]
            reached = min(guess, most) if guess > 0.0 else most
            while True:
                if reached > reach:
                    reach = reached * _LIST
                    m = _leaves_around(boxes, depth, boxes[n_leaves + leaf], reach, stack, leaves, around)
                limit = reached * reached
                _gaps(around, m, x, y, z, gaps)
                chosen = 0
                for j in range(m):
                    use[chosen] = leaves[j]
                    chosen += gaps[j] <= limit
                for j in range(chosen):
                    block = blocks[use[j]]
                    out = near[j * LEAF : (j + 1) * LEAF]
                    for k in range(LEAF):
                        a, b, c = block[0, k] - x, block[1, k] - y, block[2, k] - z
                        out[k] = a * a + b * b + c * c
                inside = near[: chosen * LEAF]
                kept = _count(inside, limit)
                if kept > number:
                    break
                growth = np.float32(min(max(np.cbrt(1.3 * number / max(kept, 1)), 1.15), 4.0))
                reached = min(reached * growth, most) if reached < most else reached * growth
            one.view(np.int32)[0] = _smallest(inside, bits[: chosen * LEAF], number, limit, kept)
            distance = np.sqrt(one[0])
            result[order[i]] = distance
            guess = distance * _GUESS
    return result
