"""Structural similarity of l."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.grid import Grid

Array = NDArray[np.float64]
_ORIGIN = 8.0
"""l is taken from here while it is squared, so that variances keep their digits."""


def local_moments(logs: Array, grid: Grid, other: Array | None = None) -> Array:
    """(map, y, x): Gaussian-weighted local mean of (l - 8) times (``other`` - 8), or of l - 8 alone."""
    matrix = grid.ssim_filter
    values = logs - _ORIGIN
    if other is not None:
        values = values * (other - _ORIGIN)
    # Along x as one large product; along y map by map.
    rows = values.reshape(-1, values.shape[-1]) @ matrix.T
    return np.matmul(matrix, rows.reshape(*values.shape[:-1], -1))


def ssim(
    predicted: Array,
    truth: Array,
    grid: Grid,
    data_range: float,
    moments: tuple[tuple[Array, Array], tuple[Array, Array]],
) -> Array:
    """(map,): mean structural similarity of l(p) and l(t), with scikit-image's definition.

    Wang et al. (2004): ((2 u_p u_t + C1) (2 v_pt + C2)) / ((u_p^2 + u_t^2 + C1) (v_p + v_t + C2)) with
    Gaussian weights of sigma 1.5 pixels cut at 3.5 sigma, population covariance, C = (K data_range)^2;
    the mean leaves 5 border pixels out.

    Parameters
    ----------
    predicted, truth
        (map, y, x): l, dex.
    data_range
        The 0.1 to 99.9 % range of l in the train split, dex.
    moments
        `local_moments` of the prediction and of its square, and those of the truth.
    """
    c = grid.constants
    c1, c2 = (c.ssim_k1 * data_range) ** 2, (c.ssim_k2 * data_range) ** 2
    (u_p, pp), (u_t, tt) = moments
    # In place: arrays of a batch are as large as a processor's cache.
    product = u_p * u_t
    squares = u_p * u_p
    squares += u_t * u_t
    v_pt = local_moments(predicted, grid, truth)
    v_pt -= product
    v_sum = pp + tt
    v_sum -= squares
    # The means of l itself, from those of l - 8.
    shift = u_p + u_t
    shift *= _ORIGIN
    shift += _ORIGIN**2
    product += shift
    shift *= 2
    squares += shift
    for values, factor, constant in ((product, 2, c1), (v_pt, 2, c2), (squares, 1, c1), (v_sum, 1, c2)):
        values *= factor
        values += constant
    product *= v_pt
    squares *= v_sum
    product /= squares
    return np.mean(product, axis=(1, 2))
