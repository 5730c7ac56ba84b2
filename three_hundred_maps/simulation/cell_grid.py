"""A cell grid over particles: built once by counting sort, asked for all particles within a sphere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.compiled import njit
from three_hundred_maps.errors import InputError

_PER_CELL = 16
_MOST_CELLS = 128
"""Along one axis; a grid of that size takes 8 MB."""


@njit(cache=True, nogil=True)
def _bounds(position: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    low = np.full(3, np.inf)
    high = np.full(3, -np.inf)
    bad = -1
    for i in range(position.shape[0]):
        for k in range(3):
            value = np.float64(position[i, k])
            if not np.isfinite(value):
                if bad < 0:
                    bad = i
                continue
            if value < low[k]:
                low[k] = value
            if value > high[k]:
                high[k] = value
    return low, high, bad


@njit(cache=True, nogil=True)
def _cell(x: float, low: float, inverse: float, cells: int) -> int:
    c = int((x - low) * inverse)
    return min(max(c, 0), cells - 1)


@njit(cache=True, nogil=True)
def _sort(
    position: NDArray[np.float32], low: NDArray[np.float64], inverse: NDArray[np.float64], cells: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Rows in the order of their cells, in two passes so that no cell number is stored."""
    n = position.shape[0]
    starts = np.zeros(cells**3 + 1, np.int64)
    for i in range(n):
        a = _cell(position[i, 0], low[0], inverse[0], cells)
        b = _cell(position[i, 1], low[1], inverse[1], cells)
        c = _cell(position[i, 2], low[2], inverse[2], cells)
        starts[(a * cells + b) * cells + c + 1] += 1
    for k in range(cells**3):
        starts[k + 1] += starts[k]
    order = np.empty(n, np.int32)
    for i in range(n):
        a = _cell(position[i, 0], low[0], inverse[0], cells)
        b = _cell(position[i, 1], low[1], inverse[1], cells)
        c = _cell(position[i, 2], low[2], inverse[2], cells)
        cell = (a * cells + b) * cells + c
        order[starts[cell]] = i
        starts[cell] += 1
    for k in range(cells**3, 0, -1):
        starts[k] = starts[k - 1]
    starts[0] = 0
    return order, starts


@njit(cache=True, nogil=True)
def _within(
    position: NDArray[np.float32],
    order: NDArray[np.int32],
    starts: NDArray[np.int64],
    low: NDArray[np.float64],
    inverse: NDArray[np.float64],
    cells: int,
    centre: NDArray[np.float64],
    radius: float,
    found: NDArray[np.int32],
    n: int,
) -> tuple[NDArray[np.int32], int]:
    """Append the rows within ``radius`` of ``centre`` to ``found[:n]``, growing it; its new length."""
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    for k in range(3):
        first[k] = _cell(centre[k] - radius, low[k], inverse[k], cells)
        last[k] = _cell(centre[k] + radius, low[k], inverse[k], cells)
    limit = radius * radius
    for a in range(first[0], last[0] + 1):
        for b in range(first[1], last[1] + 1):
            row = (a * cells + b) * cells
            # The cells of one row are consecutive: one run of particles.
            for j in range(starts[row + first[2]], starts[row + last[2] + 1]):
                i = order[j]
                x = np.float64(position[i, 0]) - centre[0]
                y = np.float64(position[i, 1]) - centre[1]
                z = np.float64(position[i, 2]) - centre[2]
                if x * x + y * y + z * z <= limit:
                    if n == found.shape[0]:
                        grown = np.empty(2 * n + 1024, np.int32)
                        for old in range(n):  # compiles ten times as fast as a slice does
                            grown[old] = found[old]
                        found = grown
                    found[n] = i
                    n += 1
    return found, n


@njit(cache=True, nogil=True)
def _gather(
    position: NDArray[np.float32],
    rows: NDArray[np.int32],
    centre: NDArray[np.float64],
    box: float,
    scale: float,
) -> NDArray[np.float32]:
    out = np.empty((rows.shape[0], 3), np.float32)
    for j in range(rows.shape[0]):
        for k in range(3):
            d = np.float64(position[rows[j], k]) - centre[k]
            if box > 0.0:
                d -= box * np.round(d / box)
            out[j, k] = d * scale
    return out


@njit(cache=True, nogil=True)
def _farthest(position: NDArray[np.float32], centre: NDArray[np.float64]) -> float:
    largest = 0.0
    for i in range(position.shape[0]):
        x = np.float64(position[i, 0]) - centre[0]
        y = np.float64(position[i, 1]) - centre[1]
        z = np.float64(position[i, 2]) - centre[2]
        largest = max(largest, x * x + y * y + z * z)
    return np.sqrt(largest)


@dataclass(frozen=True)
class CellGrid:
    """An index of positions (n, 3) float32, which it refers to and does not copy."""

    position: NDArray[np.float32]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    order: NDArray[np.int32]
    starts: NDArray[np.int64]
    inverse: NDArray[np.float64]
    cells: int

    @staticmethod
    def build(position: NDArray[np.float32], of: str = "particles") -> CellGrid:
        """Sort particles into cells over their bounding box; InputError names the first bad row."""
        n = len(position)
        if n >= 2**31:
            raise InputError(f"{of}: {n} particles of one species are too many for one region")
        low, high, bad = _bounds(position)
        if bad >= 0:
            raise InputError(f"{of}: the position of row {bad} is {position[bad].tolist()}, not finite")
        cells = int(np.clip(round((max(n, 1) / _PER_CELL) ** (1 / 3)), 1, _MOST_CELLS))
        if not n:
            low, high = np.zeros(3), np.zeros(3)
        span = high - low
        inverse = np.where(span > 0, cells / np.where(span > 0, span, 1.0), 0.0)
        order, starts = _sort(position, low, inverse, cells)
        return CellGrid(position, low, high, order, starts, inverse, cells)

    def within(self, centre: NDArray[np.float64], radius: float, box: float) -> NDArray[np.int32]:
        """Rising row numbers of the particles within ``radius`` of ``centre`` (units of the positions).

        ``box`` is the side of the periodic box, 0 where there is none; ``radius`` is under half of it.
        """
        found, n = np.empty(0, np.int32), 0
        if not len(self.position):
            return found
        shifts = (-box, 0.0, box) if box > 0 else (0.0,)
        for x in shifts:
            for y in shifts:
                for z in shifts:
                    image = centre + np.array([x, y, z])
                    if np.all(image + radius >= self.low) and np.all(image - radius <= self.high):
                        found, n = _within(
                            self.position,
                            self.order,
                            self.starts,
                            self.low,
                            self.inverse,
                            self.cells,
                            image,
                            radius,
                            found,
                            n,
                        )
        return np.sort(found[:n])

    def farthest(self, centre: NDArray[np.float64]) -> float:
        """The largest distance of a particle from ``centre``, 0 without particles."""
        return float(_farthest(self.position, centre))

    def relative(
        self, rows: NDArray[np.int32], centre: NDArray[np.float64], box: float, scale: float
    ) -> NDArray[np.float32]:
        """(n, 3) float32: positions of ``rows`` from ``centre``, nearest image, times ``scale``."""
        return _gather(self.position, rows, centre, box, scale)
