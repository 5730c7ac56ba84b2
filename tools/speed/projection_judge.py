"""The judge of the projection benchmark: every kernel on a grid 32 times finer than the pixels.

It shares no code with what it judges: kernels are evaluated anew for each particle, normalised on their own
samples, and the Gaussian is integrated over the pixels from every fine cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

FINE = 32
_MARGIN_PX = 2
_TABLE = 8192
_SPLIT = 16  # a kernel of under 8 fine cells is split into 16 x 16 points a diameter

Shape = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def projected_cubic(b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic spline integrated along the line of sight, by Simpson's rule."""
    t = np.linspace(0.0, 1.0, 2001)
    weights = np.ones(2001)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    half = np.sqrt(np.maximum(1.0 - b**2, 0.0))
    q = np.sqrt(b[:, None] ** 2 + (half[:, None] * t) ** 2)
    return half * np.sum(weights * flat_cubic(q), axis=1)


def flat_cubic(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic spline used in two dimensions as it is."""
    q = np.minimum(q, 1.0)
    return np.where(q < 0.5, 1.0 - 6.0 * q**2 + 6.0 * q**3, 2.0 * (1.0 - q) ** 3)


def flat_wendland_c2(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wendland C2 used in two dimensions as it is."""
    return np.maximum(1.0 - q, 0.0) ** 4 * (1.0 + 4.0 * q)


@njit(cache=True, fastmath=True, error_model="numpy")
def _deposit(x: Any, y: Any, radius: Any, weights: Any, table: Any, points: Any, image: Any) -> None:
    size = image.shape[1]
    n_fields = weights.shape[1]
    values = np.empty((1, 1))
    for i in range(len(x)):
        r = radius[i]
        if x[i] + r < 0 or y[i] + r < 0 or x[i] - r > size or y[i] - r > size:
            continue
        if r < 8.0:
            for p in range(len(points)):
                u, v, share = points[p, 0], points[p, 1], points[p, 2]
                j, k = int(math.floor(x[i] + r * u)), int(math.floor(y[i] + r * v))
                if 0 <= j < size and 0 <= k < size:
                    for f in range(n_fields):
                        image[f, k, j] += weights[i, f] * share
            continue
        first_x, first_y = int(math.floor(x[i] - r)), int(math.floor(y[i] - r))
        n = int(math.ceil(2 * r)) + 2
        if values.shape[0] < n:
            values = np.empty((n, n))
        total = 0.0
        for k in range(n):
            dy = first_y + k + 0.5 - y[i]
            for j in range(n):
                dx = first_x + j + 0.5 - x[i]
                q = math.sqrt(dx * dx + dy * dy) / r
                values[k, j] = 0.0
                if q < 1.0:
                    place = q * _TABLE
                    cell = int(place)
                    part = place - cell
                    values[k, j] = table[cell] * (1.0 - part) + table[cell + 1] * part
                    total += values[k, j]
        for k in range(max(0, -first_y), min(n, size - first_y)):
            for j in range(max(0, -first_x), min(n, size - first_x)):
                for f in range(n_fields):
                    image[f, first_y + k, first_x + j] += weights[i, f] * values[k, j] / total


def fine_image(
    shape: Shape,
    position_px: NDArray[np.float64],
    radius_px: NDArray[np.float64],
    weights: NDArray[np.float64],
    pixels: int,
) -> NDArray[np.float64]:
    """Every kernel on the fine grid, (n_fields, y, x), `FINE` cells a pixel, a margin of pixels all around.

    Parameters
    ----------
    shape
        The kernel as it is seen on the map, a function of the distance in kernel radii.
    position_px
        (n, 2) in pixels from the map's lower corner.
    weights
        (n, n_fields).
    """
    wide = pixels + 2 * _MARGIN_PX
    image = np.zeros((weights.shape[1], wide * FINE, wide * FINE))
    table = shape(np.linspace(0.0, 1.0 + 1.0 / _TABLE, _TABLE + 2))
    middle = (np.arange(_SPLIT) + 0.5) * 2.0 / _SPLIT - 1.0
    u, v = (axis.ravel() for axis in np.meshgrid(middle, middle, indexing="ij"))
    q = np.hypot(u, v)
    share = np.where(q < 1.0, table[(q * _TABLE).astype(int).clip(max=_TABLE)], 0.0)
    points = np.stack([u, v, share / share.sum()], axis=1)[q < 1.0]
    fine = (position_px + _MARGIN_PX) * FINE
    _deposit(fine[:, 0].copy(), fine[:, 1].copy(), radius_px * FINE, weights, table, points, image)
    return image


def to_pixels(image: NDArray[np.float64], pixels: int, sigma_px: float) -> NDArray[np.float64]:
    """Sums a pixel of a `fine_image`, under a Gaussian where ``sigma_px`` is not 0."""
    wide = pixels + 2 * _MARGIN_PX
    if sigma_px == 0.0:
        blocks = image.reshape(-1, wide, FINE, wide, FINE).sum(axis=(2, 4))
        return np.asarray(blocks[:, _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX])
    centre = (np.arange(wide * FINE) + 0.5) / FINE - _MARGIN_PX
    edges = np.arange(pixels + 1)
    cumulative = np.array(
        [[0.5 * math.erf((e - c) / (math.sqrt(2.0) * sigma_px)) for c in centre] for e in edges]
    )
    response = np.diff(cumulative, axis=0)
    return np.stack([response @ field @ response.T for field in image])
