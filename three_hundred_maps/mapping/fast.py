"""The ``fast`` back end: stamps added by vector instructions, one line of sight a thread.

Particles are sorted by the bin of their stamp once; for every line of sight blocks of 256 are rotated, cut
in depth and to the map, and their stamps added to padded float32 images (one for each class of stamp size,
so that the small ones stay in the nearest cache), which are emptied into float64 sums in time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.compiled import njit
from three_hundred_maps.mapping import stamps
from three_hundred_maps.mapping.projection import Batch, Grid
from three_hundred_maps.mapping.vector import add_stamp as _add_stamp

Array = NDArray[np.float64]
add_stamp: Any = _add_stamp  # to the compiler an intrinsic, whose arguments a type checker miscounts

BLOCK = 256
FLUSH = 1 << 14
"""Particles added to a float32 image before it is emptied: bounds rounding to a few 1e-6 of a pixel."""

_ZONES = 3  # cubes a side of the mapped volume
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
    weights: NDArray[np.float32]  # (n_fields * n,)
    segments: NDArray[np.int64]  # (n_segments, columns as named below)
    images: tuple[_Image, ...]
    table: NDArray[np.float32]


_FIRST, _LAST, _OFFSET, _WIDTH, _NODES, _ROW, _IMAGE, _LEVEL = range(8)
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
        weights = np.ascontiguousarray(batch.weights.T)
    else:
        stamp_set = stamps.kernel_stamps(batch.kernel, grid.sigma_px)
        number, level = stamp_set.assign(batch.smoothing_length * inverse)
        run = level.astype(np.int32) * len(stamp_set.width) + number
        weights = np.empty(batch.weights.shape[::-1], np.float32)
        counts = np.zeros((int(run.max()) + 1) * _ZONES**3 + 1, np.int64)
        _sort_particles(
            batch.position, inverse, 0.5 * grid.pixels, run, batch.weights, counts, position, weights
        )
        ends = counts[_ZONES**3 - 1 :: _ZONES**3]  # the sort leaves where each run's last zone ends
        sizes = np.diff(ends, prepend=0)
        keys = np.flatnonzero(sizes)
        starts = np.concatenate([[0], ends[keys]])

    images: dict[tuple[int, int], int] = {}
    made: list[_Image] = []
    segments = np.zeros((len(keys), 8), np.int64)
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


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _sort_particles(
    position: Any,
    inverse: Any,
    half_width: Any,
    run: Any,
    weights: Any,
    counts: Any,
    sorted_position: Any,
    sorted_weights: Any,
) -> None:
    """Counting sort by run (stamps' bin and level), and within a run by a coarse cube in space.

    Neighbours in space are neighbours in every projection: what a block adds to lies close together.
    Particles of a cube keep their order, so the result depends on nothing but the input.
    """
    n = len(run)
    key = np.empty(n, np.int32)
    scale = inverse * (0.5 * _ZONES) / half_width
    for i in range(n):
        zone = 0
        for axis in range(3):
            place = position[i, axis] * scale + 0.5 * _ZONES
            zone = zone * _ZONES + int(min(max(place, 0.0), _ZONES - 1.0))
        key[i] = run[i] * _ZONES**3 + zone
        counts[key[i] + 1] += 1
    for k in range(1, len(counts)):
        counts[k] += counts[k - 1]
    for i in range(n):
        to = counts[key[i]]
        counts[key[i]] = to + 1
        for axis in range(3):
            sorted_position[axis, to] = position[i, axis] * inverse
        for field in range(weights.shape[1]):
            sorted_weights[field, to] = weights[i, field]


@njit(nogil=True, cache=True, fastmath=True, boundscheck=False, error_model="numpy")
def _add_particles(
    position: Any,
    weights: Any,
    segments: Any,
    geometry: Any,
    table: Any,
    rotation: Any,
    half_depth: Any,
    centre: Any,
    planes: Any,
    image: Any,
    sums: Any,
    added: Any,
) -> None:
    """Add every particle to the padded images of one line of sight (flat: field, image, row, column).

    ``position`` (3, n) float32 in pixels, ``weights`` (n_fields * n,), ``sums`` float64 like ``image``,
    ``added`` (n_images, n_fields): the weights of the particles that touched each image.
    """
    n_fields = len(planes)
    n_all = position.shape[1]
    u = np.empty(BLOCK, np.float32)
    v = np.empty(BLOCK, np.float32)
    hit = np.empty(BLOCK, np.float32)
    kept = np.empty(BLOCK, np.uint32)
    corner = np.empty(BLOCK, np.int32)
    at = np.empty(BLOCK, np.int32)
    one = np.float32(1.0)
    since_flush = 0
    for s in range(segments.shape[0]):
        width = segments[s, _WIDTH]
        nodes = np.float32(segments[s, _NODES])
        row = segments[s, _ROW]
        number = segments[s, _IMAGE]
        level = segments[s, _LEVEL]
        offset = np.int32(segments[s, _OFFSET])
        origin = geometry[number, _ORIGIN]
        stride = geometry[number, _STRIDE]
        cell = np.float32(0.5**level)
        # positions in cells; a stamp starts at a particle's whole part less half the stamp's width
        shift = centre * cell + np.float32(0.5 * (1 - width % 2)) + np.float32(origin)
        pad = origin - (0 if level == 0 else _COARSE_EXTRA)
        low = np.float32(pad - width + 1 + width // 2)
        high = np.float32(pad + geometry[number, _INNER] + width // 2)
        first_cell = np.int32(geometry[number, _START] - (width // 2) * (stride + 1))
        stamp_size = np.int32(row * width)
        line = np.int32((segments[s, _NODES] + 1) * stamp_size)
        a00, a01, a02 = rotation[0, 0] * cell, rotation[0, 1] * cell, rotation[0, 2] * cell
        a10, a11, a12 = rotation[1, 0] * cell, rotation[1, 1] * cell, rotation[1, 2] * cell
        a20, a21, a22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
        for first in range(segments[s, _FIRST], segments[s, _LAST], BLOCK):
            n = min(BLOCK, segments[s, _LAST] - first)
            x, y, z = position[0, first : first + n], position[1, first : first + n], position[2, first:]
            for i in range(n):
                p = a00 * x[i] + a01 * y[i] + a02 * z[i] + shift
                q = a10 * x[i] + a11 * y[i] + a12 * z[i] + shift
                d = abs(a20 * x[i] + a21 * y[i] + a22 * z[i])
                inside = (d <= half_depth) & (p >= low) & (p < high) & (q >= low) & (q < high)
                hit[i] = one if inside else np.float32(0.0)
                u[i] = p
                v[i] = q
            for f in range(n_fields):
                brought = np.float32(0.0)
                mine = weights[f * n_all + first : f * n_all + first + n]
                for i in range(n):
                    brought += hit[i] * mine[i]
                added[number, f] += brought
            m = 0
            for i in range(n):
                kept[m] = i
                u[m] = u[i]
                v[m] = v[i]
                m += 1 if hit[i] > 0 else 0
            for k in range(m):
                iu, iv = np.int32(u[k]), np.int32(v[k])
                fu = (u[k] - np.float32(iu)) * nodes
                fv = (v[k] - np.float32(iv)) * nodes
                nu, nv = np.int32(fu), np.int32(fv)
                u[k] = fu - np.float32(nu)
                v[k] = fv - np.float32(nv)
                corner[k] = offset + nv * line + nu * stamp_size
                at[k] = first_cell + iv * np.int32(stride) + iu
            for k in range(m):
                w = first + np.int64(kept[k])
                tu, tv = u[k], v[k]
                shares = ((one - tu) * (one - tv), tu * (one - tv), (one - tu) * tv, tu * tv)
                c0 = np.int64(corner[k])
                t = np.int64(at[k])
                c4 = (c0, c0 + stamp_size, c0 + line, c0 + line + stamp_size)
                if width == 3:
                    add_stamp(4, 3, 4, image, t, stride, planes, table, c4, shares, weights, w, n_all)
                elif width == 4:
                    add_stamp(4, 4, 4, image, t, stride, planes, table, c4, shares, weights, w, n_all)
                elif width == 5:
                    add_stamp(8, 5, 8, image, t, stride, planes, table, c4, shares, weights, w, n_all)
                elif width == 6:
                    add_stamp(8, 6, 8, image, t, stride, planes, table, c4, shares, weights, w, n_all)
                elif width == 7:
                    add_stamp(8, 7, 8, image, t, stride, planes, table, c4, shares, weights, w, n_all)
                elif width == 8:
                    add_stamp(8, 8, 8, image, t, stride, planes, table, c4, shares, weights, w, n_all)
                else:
                    add_stamp(8, width, row, image, t, stride, planes, table, c4, shares, weights, w, n_all)
            since_flush += m
            if since_flush >= FLUSH:
                since_flush = 0
                for j in range(len(image)):
                    sums[j] += image[j]
                    image[j] = np.float32(0.0)
    for j in range(len(image)):
        sums[j] += image[j]
