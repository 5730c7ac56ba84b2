"""Near-duplicate halos across splits: mass maps that correlate whatever the turn or mirror of the square.

What is correlated is the logarithm of the map less its mean at each radius: the profile that all clusters
share would make strangers look alike. Maps are first compared on a coarse grid, all against all; what
looks alike there is compared on a finer one, whose cells still average the noise of single pixels away, with
every line of sight: a stranger may look alike along one, a copy does along most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.geometry import FLOOR_MSUN_KPC2, radius_grid
from three_hundred_maps.keys import HaloKey, halo_keys
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import iter_shards, read_split

CORRELATION = 0.90
"""Median over lines of sight. On 80 pixels a copy with 0.08 dex of noise in every pixel has 0.99, the nearest
of 300,000 strange pairs of maps 0.86 along its best line of sight."""
COARSE_CORRELATION = 0.94
"""Of the best pair of lines of sight; the same copy has 0.99, the nearest stranger 0.92."""
COARSE, FINE = 10, 20
"""Cells a side."""
_BLOCK = 512


@dataclass(frozen=True)
class Duplicate:
    """Two halos of different splits that look the same."""

    split_a: str
    key_a: HaloKey
    split_b: str
    key_b: HaloKey
    correlation: float


def symmetries(maps: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """The eight turns and mirrors of maps (..., y, x)."""
    for mirrored in (maps, maps[..., ::-1]):
        for turns in range(4):
            yield np.rot90(mirrored, turns, axes=(-2, -1))


def structure(maps: NDArray[np.generic]) -> NDArray[np.float32]:
    """log10 of mass maps (n, y, x) less its mean by radius, scaled to unit length: (n, y * x)."""
    n, pixels, _ = maps.shape
    logs = np.log10(np.maximum(np.asarray(maps, np.float64), FLOOR_MSUN_KPC2)).reshape(n, -1)
    ring = np.floor(radius_grid(pixels, 1.0) + 0.5).astype(np.int64).ravel()
    order = np.argsort(ring, kind="stable")
    starts = np.flatnonzero(np.diff(ring[order], prepend=-1))
    counts = np.diff(np.append(starts, len(order)))
    means = np.add.reduceat(logs[:, order], starts, axis=1) / counts
    logs[:, order] -= np.repeat(means, counts, axis=1)
    length = np.linalg.norm(logs, axis=1, keepdims=True)
    return (logs / np.maximum(length, 1e-30)).astype(np.float32)


def coarse(maps: NDArray[np.generic], cells: int = COARSE) -> NDArray[np.float32]:
    """(n, y, x) averaged down to ``cells`` a side, pixels shared out by area: turns and mirrors commute."""
    pixels = maps.shape[-1]
    edges, left = np.linspace(0.0, pixels, min(cells, pixels) + 1), np.arange(pixels)
    shared = np.minimum(edges[1:, None], left + 1) - np.maximum(edges[:-1, None], left)
    weights = np.maximum(shared, 0.0) / edges[1]
    return np.asarray(weights @ np.asarray(maps, np.float64) @ weights.T, np.float32)


@dataclass(frozen=True)
class CoarseSplit:
    """The mass maps of a split on the coarse grid.

    Parameters
    ----------
    path, split
        Where they are of.
    maps
        (halo * los, y, x).
    keys
        Of the halos.
    """

    path: str | Path
    split: str
    maps: NDArray[np.float32]
    keys: list[HaloKey]

    @staticmethod
    def read(path: str | Path, split: str) -> CoarseSplit:
        """Of a split of a store with mass maps."""
        parts, keys = [np.zeros((0, COARSE, COARSE), np.float32)], []
        for shard in iter_shards(path, split, [schema.TARGET]):
            maps = coarse(shard.maps[schema.TARGET].reshape(-1, *shard.maps[schema.TARGET].shape[2:]))
            parts = [part for part in parts if len(part)] + [maps]
            keys += halo_keys(shard.halos)
        return CoarseSplit(path, split, np.concatenate(parts), keys)

    @property
    def n_los(self) -> int:
        """Lines of sight a halo."""
        return len(self.maps) // max(len(self.keys), 1)


def find_duplicates(path: str | Path) -> list[Duplicate]:
    """Halos of different splits of a store whose mass maps look the same under some symmetry.

    Any line of sight of one is compared with any of the other. A store without mass maps has none to find.
    """
    splits = [CoarseSplit.read(path, split) for split in schema.SPLITS]
    return [found for a, b in combinations(splits, 2) for found in copies_between(a, b)]


def copies_between(a: CoarseSplit, b: CoarseSplit) -> list[Duplicate]:
    """Halos of ``a`` and ``b`` that look the same; empty where the grids cannot be compared."""
    if not len(a.maps) or not len(b.maps) or a.maps.shape[1:] != b.maps.shape[1:]:
        return []
    vectors_a = structure(a.maps)
    pairs: set[tuple[int, int]] = set()
    for turned in symmetries(b.maps):
        vectors_b = structure(np.ascontiguousarray(turned))
        for first in range(0, len(vectors_b), _BLOCK):
            alike = vectors_a @ vectors_b[first : first + _BLOCK].T
            places = np.argwhere(alike > COARSE_CORRELATION) + (0, first)
            pairs |= set(map(tuple, (places // (a.n_los, b.n_los)).tolist()))
    found = []
    for row_a, row_b in sorted(pairs):
        correlation = map_correlation((a.path, a.split, row_a), (b.path, b.split, row_b))
        if correlation > CORRELATION:
            found.append(Duplicate(a.split, a.keys[row_a], b.split, b.keys[row_b], correlation))
    return found


def map_correlation(a: tuple[str | Path, str, int], b: tuple[str | Path, str, int]) -> float:
    """How alike two halos, each as (store, split, row), look: the median over the lines of sight of ``a``.

    Each is compared with every line of sight of ``b``, under every symmetry.
    """
    maps_a, maps_b = (
        coarse(read_split(path, split, [schema.TARGET], slice(row, row + 1)).maps[schema.TARGET][0], FINE)
        for path, split, row in (a, b)
    )
    vectors = structure(maps_a)
    alike = [vectors @ structure(np.ascontiguousarray(turned)).T for turned in symmetries(maps_b)]
    return float(np.median(np.max(alike, axis=(0, 2))))
