"""Near-duplicate halos across splits: mass maps that correlate whatever the turn or mirror of the square.

What is correlated is the logarithm of the map less its mean at each radius: the profile that all clusters
share would make strangers look alike. Maps are first compared on a coarse grid, all against all; what
looks alike there is compared at full resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.geometry import FLOOR_MSUN_KPC2, radius_grid
from three_hundred_maps.keys import HaloKey, halo_keys
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import SplitArrays, iter_shards, read_split

CORRELATION = 0.98
COARSE_CORRELATION = 0.90
"""On the coarse grid a copy stays a copy; this leaves room for noise and interpolation."""
COARSE = 10
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


def coarse(maps: NDArray[np.generic]) -> NDArray[np.float32]:
    """(n, y, x) averaged down to about 10 x 10 pixels."""
    step = max(maps.shape[-1] // COARSE, 1)
    size = maps.shape[-1] // step
    cut = maps[:, : size * step, : size * step]
    return np.asarray(
        cut.reshape(len(maps), size, step, size, step).mean(axis=(2, 4), dtype=np.float64), np.float32
    )


def _coarse_split(path: Path, split: str) -> tuple[NDArray[np.float32], list[HaloKey], int]:
    parts, keys, n_los = [], [], 1
    for shard in iter_shards(path, split, [schema.TARGET]):
        maps = shard.maps[schema.TARGET]
        n_los = maps.shape[1]
        parts.append(coarse(maps.reshape(-1, *maps.shape[2:])))
        keys += halo_keys(shard.halos)
    empty = np.zeros((0, 1, 1), np.float32)
    return (np.concatenate(parts) if parts else empty), keys, n_los


def find_duplicates(path: str | Path) -> list[Duplicate]:
    """Halos of different splits of a store whose mass maps correlate above 0.98 under some symmetry.

    Any line of sight of one is compared with any of the other. A store without mass maps has none to find.
    """
    store = Path(path)
    splits = {split: _coarse_split(store, split) for split in schema.SPLITS}
    found: list[Duplicate] = []
    for number, split_a in enumerate(schema.SPLITS):
        for split_b in schema.SPLITS[number + 1 :]:
            found += _between(store, split_a, split_b, splits[split_a], splits[split_b])
    return found


def _between(
    store: Path,
    split_a: str,
    split_b: str,
    a: tuple[NDArray[np.float32], list[HaloKey], int],
    b: tuple[NDArray[np.float32], list[HaloKey], int],
) -> list[Duplicate]:
    (maps_a, keys_a, n_los), (maps_b, keys_b, _) = a, b
    if not len(maps_a) or not len(maps_b):
        return []
    vectors_a = structure(maps_a)
    pairs: dict[tuple[int, int], tuple[int, int]] = {}
    for turned in symmetries(maps_b):
        vectors_b = structure(np.ascontiguousarray(turned))
        for first in range(0, len(vectors_b), _BLOCK):
            alike = vectors_a @ vectors_b[first : first + _BLOCK].T
            for i, j in np.argwhere(alike > COARSE_CORRELATION).tolist():
                pairs.setdefault((i // n_los, (first + j) // n_los), (i % n_los, (first + j) % n_los))
    found = []
    cache: dict[tuple[str, int], SplitArrays] = {}
    for (row_a, row_b), (los_a, los_b) in sorted(pairs.items()):
        map_a = _one_map(cache, store, split_a, row_a, los_a)
        map_b = _one_map(cache, store, split_b, row_b, los_b)
        best = max(
            float(structure(map_a[None])[0] @ structure(np.ascontiguousarray(t)[None])[0])
            for t in symmetries(map_b)
        )
        if best > CORRELATION:
            found.append(Duplicate(split_a, keys_a[row_a], split_b, keys_b[row_b], best))
    return found


def _one_map(
    cache: dict[tuple[str, int], SplitArrays], store: Path, split: str, row: int, los: int
) -> NDArray[np.float32]:
    if (split, row) not in cache:
        cache[split, row] = read_split(store, split, [schema.TARGET], slice(row, row + 1))
    return cache[split, row].maps[schema.TARGET][0, los]
