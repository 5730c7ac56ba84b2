"""The fast back end: stamps added by vector instructions, one line of sight a thread.

Particles are sorted by the bin of their stamp once; for every line of sight blocks of 256 are rotated, cut
in depth and to the map, and their stamps added to padded float32 images (one for each class of stamp size,
so that the small ones stay in the nearest cache), which are emptied into float64 sums in time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from three_hundred_maps.mapping import stamps
from three_hundred_maps.mapping.projection import Batch, Grid
from three_hundred_maps.mapping.vector import add_stamp as _add_stamp

Array = NDArray[np.float64]
add_stamp: Any = _add_stamp  # to the compiler an intrinsic, whose arguments a type checker miscounts

BLOCK = 256
FLUSH = 1 << 17
"""Particles added to a float32 image before it is emptied: bounds rounding to a few 1e-6 of a pixel."""

_PADS = (8, 16, 40)  # images on the pixel grid, by the widest stamp they take
_COARSE_PAD = 40
_COARSE_EXTRA = 2  # points of a coarse lattice beyond the map's edge that interpolation reads


@dataclass(frozen=True)
class _Image:
    """A padded image within the flat buffer of a field: ``inner`` cells a side that stamps may touch."""

    level: int
    inner: int
    pad: int
    rows: int
    stride: int
    start: int

    @property
    def stop(self) -> int:
        return self.start + self.rows * self.stride

    @staticmethod
    def make(pixels: int, level: int, pad: int, start: int) -> _Image:
        inner = stamps.coarse_cells(pixels, level, _COARSE_EXTRA) if level else pixels
        rows = inner + 2 * pad
        return _Image(level, inner, pad, rows, -(-rows // 16) * 16, start)


@dataclass(frozen=True)
class _Prepared:
    """A batch sorted by stamp, in pixels, with what every run of equal stamps needs."""

    position: NDArray[np.float32]  # (3, n)
    weights: NDArray[np.float32]  # (n * n_fields,)
    segments: NDArray[np.int64]  # (n_segments, columns as named below)
    images: tuple[_Image, ...]
    table: NDArray[np.float32]


_FIRST, _LAST, _OFFSET, _WIDTH, _NODES, _ROW, _LANES, _POINT, _IMAGE, _LEVEL = range(10)
_INNER, _ORIGIN, _STRIDE, _START = range(4)


def project(batch: Batch, grid: Grid, rotations: Array, threads: int = 1) -> tuple[Array, Array]:
    """See `Backend`. The result is the same bytes for any number of threads."""
    prepared = _prepare(batch, grid)
    n_fields = batch.weights.shape[1]
    maps = np.zeros((n_fields, len(rotations), grid.pixels, grid.pixels))
    totals = np.zeros((n_fields, len(rotations)))

    def one(los: int) -> None:
        maps[:, los], totals[:, los] = _one_line_of_sight(prepared, grid, rotations[los], n_fields)

    if threads == 1 or len(rotations) == 1:
        for los in range(len(rotations)):
            one(los)
    else:
        with ThreadPoolExecutor(min(threads, len(rotations))) as pool:
            for done in [pool.submit(one, los) for los in range(len(rotations))]:
                done.result()
    return maps, totals


def _prepare(batch: Batch, grid: Grid) -> _Prepared:
    n = len(batch.position)
    inverse = np.float32(1.0 / grid.pixel_kpc)
    position = np.empty((3, n), np.float32)
    if batch.smoothing_length is None:
        stamp_set = stamps.point_stamps(grid.sigma_px)
        keys, starts = np.zeros(1, np.int64), np.array([0, n])
        np.multiply(batch.position.T, inverse, out=position)
        weights = np.ascontiguousarray(batch.weights)
    else:
        stamp_set = stamps.kernel_stamps(batch.kernel, grid.sigma_px)
        number, level = stamp_set.assign(batch.smoothing_length * inverse)
        key = level * np.int16(len(stamp_set.width)) + number
        order = np.argsort(key, kind="stable")
        keys, counts = np.unique(key[order], return_counts=True)
        starts = np.concatenate([[0], np.cumsum(counts)])
        for axis in range(3):
            np.multiply(batch.position[order, axis], inverse, out=position[axis])
        weights = batch.weights[order]

    images: dict[tuple[int, int], int] = {}
    made: list[_Image] = []
    segments = np.zeros((len(keys), 10), np.int64)
    for row, key_value in enumerate(keys):
        level_k, bin_k = divmod(int(key_value), len(stamp_set.width))
        width = int(stamp_set.width[bin_k])
        pad = _COARSE_PAD if level_k else next(p for p in _PADS if width <= p)
        if (level_k, pad) not in images:
            images[level_k, pad] = len(made)
            made.append(_Image.make(grid.pixels, level_k, pad, made[-1].stop if made else 0))
        segments[row, _FIRST], segments[row, _LAST] = starts[row], starts[row + 1]
        segments[row, _OFFSET] = stamp_set.offset[bin_k]
        segments[row, _WIDTH] = width
        segments[row, _NODES] = stamp_set.nodes[bin_k]
        segments[row, _ROW] = stamp_set.row[bin_k]
        segments[row, _LANES] = stamp_set.lanes[bin_k]
        segments[row, _POINT] = batch.smoothing_length is None
        segments[row, _IMAGE] = images[level_k, pad]
        segments[row, _LEVEL] = level_k
    return _Prepared(position, weights.ravel(), segments, tuple(made), stamp_set.table)


def _one_line_of_sight(
    prepared: _Prepared, grid: Grid, rotation: Array, n_fields: int
) -> tuple[Array, Array]:
    size = prepared.images[-1].stop
    sums = np.zeros((n_fields, size))
    added = np.zeros((len(prepared.images), n_fields))
    geometry = np.array(
        [[i.inner, i.pad + (_COARSE_EXTRA if i.level else 0), i.stride, i.start] for i in prepared.images],
        np.int64,
    )
    _add_particles(
        prepared.position,
        prepared.weights,
        prepared.segments,
        geometry,
        prepared.table,
        rotation.astype(np.float32),
        np.float32(grid.half_depth_kpc / grid.pixel_kpc),
        np.float32(0.5 * grid.pixels),
        tuple(f * size for f in range(n_fields)),
        np.zeros(n_fields * size, np.float32),
        sums.reshape(-1),
        added,
    )
    maps = np.zeros((n_fields, grid.pixels, grid.pixels))
    totals = np.zeros(n_fields)
    for number, image in enumerate(prepared.images):
        padded = sums[:, image.start : image.stop].reshape(n_fields, image.rows, image.stride)
        if image.level == 0:
            middle = slice(image.pad, image.pad + grid.pixels)
            inside = padded[:, middle, middle]
            maps += inside
            # what the particles brought, less what fell on the padding
            beside = padded.sum(axis=(1, 2)) - inside.sum(axis=(1, 2))
            totals += added[number] - beside
        else:
            weights = stamps.coarse_interpolation(grid.pixels, image.level, image.pad + _COARSE_EXTRA)
            lattice = padded[:, :, : image.rows] / 4.0**image.level
            part = np.einsum("yv,fvx->fyx", weights, np.einsum("fvu,xu->fvx", lattice, weights))
            maps += part
            totals += part.sum(axis=(1, 2))
    return maps, totals


@njit(nogil=True, cache=True, fastmath=True, boundscheck=False, error_model="numpy")
def _add_particles(
    position: Any,
    weights: Any,
    segments: Any,
    geometry: Any,
    table: Any,
    turn: Any,
    half_depth: Any,
    centre: Any,
    planes: Any,
    image: Any,
    sums: Any,
    added: Any,
) -> None:
    """Add every particle to the padded images of one line of sight (flat: field, image, row, column).

    ``position`` (3, n) float32 in pixels, ``weights`` (n * n_fields,), ``sums`` float64 like ``image``,
    ``added`` (n_images, n_fields): the weights of the particles that touched each image.
    """
    n_fields = len(planes)
    u = np.empty(BLOCK, np.float32)
    v = np.empty(BLOCK, np.float32)
    d = np.empty(BLOCK, np.float32)
    kept = np.empty(BLOCK, np.int64)
    xs, ys, zs = position[0], position[1], position[2]
    since_flush = 0
    for s in range(segments.shape[0]):
        width = segments[s, _WIDTH]
        nodes = segments[s, _NODES]
        row = segments[s, _ROW]
        lanes = segments[s, _LANES]
        point = segments[s, _POINT]
        number = segments[s, _IMAGE]
        inner = geometry[number, _INNER]
        origin = geometry[number, _ORIGIN]
        stride = geometry[number, _STRIDE]
        base = geometry[number, _START]
        cell = np.float32(0.5 ** segments[s, _LEVEL])
        # in units of cells, counted from the first padding cell that this stamp may touch
        pad = origin - (0 if segments[s, _LEVEL] == 0 else _COARSE_EXTRA)
        shift = centre * cell + np.float32(0.5 * (1 - width % 2)) + np.float32(origin)
        low = np.float32(pad - width + 1 + width // 2)
        high = np.float32(pad + inner + width // 2)
        stamp_size = row * width
        line = (nodes + 1) * stamp_size
        a00, a01, a02 = turn[0, 0] * cell, turn[0, 1] * cell, turn[0, 2] * cell
        a10, a11, a12 = turn[1, 0] * cell, turn[1, 1] * cell, turn[1, 2] * cell
        a20, a21, a22 = turn[2, 0], turn[2, 1], turn[2, 2]
        for first in range(segments[s, _FIRST], segments[s, _LAST], BLOCK):
            n = min(BLOCK, segments[s, _LAST] - first)
            for i in range(n):
                x, y, z = xs[first + i], ys[first + i], zs[first + i]
                u[i] = a00 * x + a01 * y + a02 * z + shift
                v[i] = a10 * x + a11 * y + a12 * z + shift
                d[i] = abs(a20 * x + a21 * y + a22 * z)
            m = 0
            for i in range(n):
                kept[m] = i
                inside = (d[i] <= half_depth) & (u[i] >= low) & (u[i] < high) & (v[i] >= low) & (v[i] < high)
                m += 1 if inside else 0
            for k in range(m):
                i = kept[k]
                iu, iv = np.int64(u[i]), np.int64(v[i])
                fu = (u[i] - np.float32(iu)) * np.float32(nodes)
                fv = (v[i] - np.float32(iv)) * np.float32(nodes)
                at = base + (iv - width // 2) * stride + iu - width // 2
                w = (first + i) * n_fields
                for f in range(n_fields):
                    added[number, f] += weights[w + f]
                if point:
                    nu, nv = np.int64(fu + np.float32(0.5)), np.int64(fv + np.float32(0.5))
                    at_node = (segments[s, _OFFSET] + nv * line + nu * stamp_size,)
                    whole = (np.float32(1.0),)
                    if lanes == 4:
                        add_stamp(4, image, at, stride, planes, table, at_node, whole, row, width, weights, w)
                    else:
                        add_stamp(8, image, at, stride, planes, table, at_node, whole, row, width, weights, w)
                else:
                    nu, nv = np.int64(fu), np.int64(fv)
                    tu, tv = fu - np.float32(nu), fv - np.float32(nv)
                    su, sv = np.float32(1.0) - tu, np.float32(1.0) - tv
                    c = segments[s, _OFFSET] + nv * line + nu * stamp_size
                    nodes4 = (c, c + stamp_size, c + line, c + line + stamp_size)
                    shares = (su * sv, tu * sv, su * tv, tu * tv)
                    if lanes == 4:
                        add_stamp(4, image, at, stride, planes, table, nodes4, shares, row, width, weights, w)
                    else:
                        add_stamp(8, image, at, stride, planes, table, nodes4, shares, row, width, weights, w)
            since_flush += m
            if since_flush >= FLUSH:
                since_flush = 0
                for j in range(len(image)):
                    sums[j] += image[j]
                    image[j] = np.float32(0.0)
    for j in range(len(image)):
        sums[j] += image[j]
