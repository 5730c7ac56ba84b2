"""The reference back end: kernels on a grid far finer than a pixel. Exact, slow, and numpy alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.mapping import kernels
from three_hundred_maps.mapping.projection import Batch, Grid
from three_hundred_maps.mapping.stamps import pixel_response

Array = NDArray[np.float64]

SUBSAMPLES = 32
"""Evaluations a pixel along each axis, fewer only where the fine grid would not fit in memory."""

_MAX_FINE = 8192
_WELL_SAMPLED = 8.0  # a kernel of this many fine cells in radius is summed as it is; others are split up
_INTEGRATED = 1500.0
"""A kernel of more fine cells in radius sums to its integral to 1e-7, so its part in the image is enough."""
_REACH_SIGMAS = 6.0


def project(batch: Batch, grid: Grid, rotations: Array, threads: int = 1) -> tuple[Array, Array]:
    """See `Backend`. Positions, weights and sums are float64; threads are not used."""
    n_fields = batch.weights.shape[1]
    maps = np.zeros((n_fields, len(rotations), grid.pixels, grid.pixels))
    for los, rotation in enumerate(rotations):
        maps[:, los] = _one_line_of_sight(batch, grid, rotation)
    return maps, maps.sum(axis=(2, 3))


def _one_line_of_sight(batch: Batch, grid: Grid, rotation: Array) -> Array:
    seen = batch.position.astype(np.float64) @ rotation.T
    inside = np.abs(seen[:, 2]) <= grid.half_depth_kpc
    position = seen[inside, :2] / grid.pixel_kpc + 0.5 * grid.pixels
    weights = batch.weights[inside].astype(np.float64)
    if batch.smoothing_length is None:
        radius = np.zeros(len(position))
    else:
        radius = batch.smoothing_length[inside].astype(np.float64) / grid.pixel_kpc

    margin = math.ceil(_REACH_SIGMAS * grid.sigma_px)
    wide = grid.pixels + 2 * margin
    fine = max(2, min(SUBSAMPLES, _MAX_FINE // wide))
    image = np.zeros((weights.shape[1], wide * fine, wide * fine))
    for (x, y), r, w in zip((position + margin) * fine, radius * fine, weights, strict=True):
        _deposit(image, x, y, r, w, batch.kernel)

    # every fine cell is a point whose Gaussian is integrated over the pixels exactly
    centres = (np.arange(wide * fine) + 0.5) / fine - margin
    response = pixel_response(np.arange(grid.pixels)[:, None] + 0.5 - centres, grid.sigma_px)
    return np.stack([response @ field @ response.T for field in image])


def _deposit(image: Array, x: float, y: float, radius: float, weights: Array, kernel: str) -> None:
    """Add one kernel to a fine image (n_fields, y, x), in fine cells: normalised on its own samples, or by
    its integral where it is huge."""
    size = image.shape[1]
    if x + radius < -1 or y + radius < -1 or x - radius > size + 1 or y - radius > size + 1:
        return
    if radius < _WELL_SAMPLED:
        _deposit_small(image, x, y, radius, weights, kernel)
        return
    columns, rows = (np.arange(math.floor(c - radius), math.ceil(c + radius)) for c in (x, y))
    keep_x, keep_y = ((c >= 0) & (c < size) for c in (columns, rows))
    if radius > _INTEGRATED:
        columns, rows = columns[keep_x], rows[keep_y]
        keep_x, keep_y = np.ones(len(columns), bool), np.ones(len(rows), bool)
    distance = np.hypot(rows[:, None] + 0.5 - y, columns[None, :] + 0.5 - x)
    values = kernels.column(kernel, distance / radius)
    values /= radius**2 if radius > _INTEGRATED else values.sum()
    rows, columns = rows[keep_y], columns[keep_x]
    if len(rows) and len(columns):
        values = values[keep_y][:, keep_x]
        window = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        image[window] += weights[:, None, None] * values


def _deposit_small(image: Array, x: float, y: float, radius: float, weights: Array, kernel: str) -> None:
    """A kernel of few fine cells: as 20 x 20 points, each shared between the four nearest cells."""
    if radius > 0.0:
        offset = (np.arange(-10, 10) + 0.5) / 10.0
        values = kernels.column(kernel, np.hypot(offset[:, None], offset[None, :]))
        values = (values / values.sum()).ravel()
        xs = np.tile(x + radius * offset, 20)
        ys = np.repeat(y + radius * offset, 20)
    else:
        xs, ys, values = np.array([x]), np.array([y]), np.ones(1)
    size = image.shape[1]
    column, row = np.floor(xs - 0.5).astype(int), np.floor(ys - 0.5).astype(int)
    right, up = xs - 0.5 - column, ys - 0.5 - row
    for dy, share_y in ((0, 1.0 - up), (1, up)):
        for dx, share_x in ((0, 1.0 - right), (1, right)):
            i, j = row + dy, column + dx
            keep = (i >= 0) & (i < size) & (j >= 0) & (j < size)
            part = (values * share_y * share_x)[keep]
            for field, weight in zip(image, weights, strict=True):
                np.add.at(field, (i[keep], j[keep]), weight * part)
