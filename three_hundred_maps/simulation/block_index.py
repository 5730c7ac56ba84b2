"""Where particles lie in the files: runs of rows and the box around each; a sphere costs its own alone."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes

BLOCK_ROWS = 4096
"""Particles of a block; what lies near a sphere's surface is read in such pieces."""
_PARTS, _WIDER = 8, 4.0
"""A block whose box is so many times wider than those of its parts is divided into them."""
_SCAN_ROWS = 1 << 20
_LARGEST_GAP = 1024
"""Rows between two runs that are read with them: a seek costs more."""

Ranges = NDArray[np.int64]
"""(n, 2) first row and the row after the last, rising, apart from each other."""


def merged(ranges: Ranges, gap: int = 0) -> Ranges:
    """Ranges in rising order, those less than ``gap`` rows apart made one."""
    if not len(ranges):
        return np.zeros((0, 2), np.int64)
    ordered = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:, 0] > reach[:-1] + gap]))
    return np.stack([ordered[starts, 0], reach[np.append(starts[1:] - 1, len(ordered) - 1)]], 1)


def ranges_of_rows(rows: NDArray[np.int64]) -> Ranges:
    """Ranges that hold the rising ``rows``, with small gaps."""
    return merged(np.stack([rows, rows + 1], 1), _LARGEST_GAP)


def rows_of(ranges: Ranges) -> NDArray[np.int64]:
    """(n,) every row of the ranges."""
    if not len(ranges):
        return np.zeros(0, np.int64)
    lengths = ranges[:, 1] - ranges[:, 0]
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) + np.repeat(ranges[:, 0] - (ends - lengths), lengths)


@dataclass(frozen=True)
class BlockIndex:
    """Blocks of the particles of one type.

    Parameters
    ----------
    rows
        (n, 2) of each block, not overlapping.
    low, high
        (n, 3) corners of the box around each, in the file's unit of length, origin taken off.
    file
        (n,) number of the file that holds it.
    """

    rows: Ranges
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    file: NDArray[np.int64]

    def near(self, at: NDArray[np.float64], radius: float, box: float) -> NDArray[np.int64]:
        """Which blocks a sphere may touch; ``box`` is the periodic box's side, 0 where there is none."""
        apart = np.zeros(len(self.rows))
        for axis in range(3):
            distance = np.full(len(self.rows), np.inf)
            for shift in (-box, 0.0, box) if box > 0 else (0.0,):
                x = at[axis] + shift
                outside = np.maximum(np.maximum(self.low[:, axis] - x, x - self.high[:, axis]), 0.0)
                distance = np.minimum(distance, outside)
            apart += distance**2
        return np.flatnonzero(apart <= radius**2)

    def farthest(self, at: NDArray[np.float64]) -> float:
        """The largest distance from a point to a corner of a block: no particle is farther."""
        corner = np.maximum(np.abs(self.low - at), np.abs(self.high - at))
        return float(np.sqrt((corner**2).sum(1)).max(initial=0.0))


def within_rows(ranges: Ranges | None, start: int, stop: int) -> list[tuple[int, int]]:
    """What of some ranges lies in the rows from ``start`` to ``stop``; all of these rows without ranges."""
    if ranges is None:
        return [(start, stop)] if stop > start else []
    first, last = np.maximum(ranges[:, 0], start), np.minimum(ranges[:, 1], stop)
    return [(int(a), int(b)) for a, b in zip(first, last, strict=True) if b > a]


def scan(
    ranges: Sequence[tuple[int, int, int]], read: Callable[[Ranges], NDArray[np.float32]], of: str
) -> BlockIndex:
    """The index of positions that nothing tells where they lie: every one is read once.

    Parameters
    ----------
    ranges
        (file, first row, row after the last) of every file that is here.
    read
        Gives the positions (n, 3) of some ranges.
    of
        Whose positions they are, for the error where one is not finite.
    """
    rows: list[Ranges] = []
    low, high, file = [], [], []
    for number, start, stop in ranges:
        for first in range(start, stop, _SCAN_ROWS):
            last = min(first + _SCAN_ROWS, stop)
            position = read(np.array([[first, last]], np.int64))
            if not np.isfinite(position).all():
                row = first + int(np.argmin(np.isfinite(position).all(1)))
                bad = position[row - first].tolist()
                raise InputError(f"{of}: the position of row {row} is {bad}, not finite")
            begin = _block_starts(position)
            low.append(np.minimum.reduceat(position, begin).astype(np.float64))
            high.append(np.maximum.reduceat(position, begin).astype(np.float64))
            end = np.append(begin[1:], last - first)
            rows.append(first + np.stack([begin, end], 1))
            file.append(np.full(len(begin), number))
    if not rows:
        return BlockIndex(
            np.zeros((0, 2), np.int64), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int64)
        )
    return BlockIndex(np.concatenate(rows), np.concatenate(low), np.concatenate(high), np.concatenate(file))


def _block_starts(position: NDArray[np.float32]) -> NDArray[np.int64]:
    """First row of each block: `BLOCK_ROWS` long, or an eighth of it where that is much more compact.

    Where one group of a snapshot ends and the next begins, a block would span the space between them.
    """
    step = max(BLOCK_ROWS // _PARTS, 1)
    fine = np.arange(0, len(position), step)
    coarse = np.arange(0, len(fine), _PARTS)
    low, high = np.minimum.reduceat(position, fine), np.maximum.reduceat(position, fine)
    largest = np.maximum.reduceat(np.linalg.norm(high - low, axis=1), coarse)
    joined = np.maximum.reduceat(high, coarse) - np.minimum.reduceat(low, coarse)
    wide = np.linalg.norm(joined, axis=1) > _WIDER * largest
    return fine[np.repeat(wide, np.diff(np.append(coarse, len(fine)))) | (np.arange(len(fine)) % _PARTS == 0)]


def kept(folder: Path | None, of: object, make: Callable[[], BlockIndex]) -> BlockIndex:
    """The index that ``make`` gives, kept in a folder under what it is ``of``: a scan is done once."""
    if folder is None:
        return make()
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:32]
    path = folder / f"index-{digest}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return BlockIndex(stored["rows"], stored["low"], stored["high"], stored["files"])
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    np.savez(stream, rows=made.rows, low=made.low, high=made.high, files=made.file)
    write_bytes(path, stream.getvalue())
    return made
