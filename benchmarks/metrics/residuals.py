"""Residuals pixel by pixel: in dex, and as the paper's equation 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError

Array = NDArray[np.float64]


def residual_powers(predicted: Array, truth: Array) -> Array:
    """(map, 4): means of d, d^2, d^3, d^4 with d = (p - t) / std(t), over pixels.

    The paper's equation 1: the difference in units of the (population) standard deviation of the truth
    inside R200c.

    Parameters
    ----------
    predicted, truth
        (map, pixel), Msun kpc-2, of the pixels that count.

    Raises
    ------
    InputError
        Where a truth map is constant.
    """
    deviation = truth.std(axis=1)
    if not np.all(deviation > 0):
        raise InputError(f"truth map {int(np.argmin(deviation > 0))} is constant inside R200c")
    d = (predicted - truth) / deviation[:, None]
    square = d * d
    n = d.shape[1]
    return np.stack(
        [
            d.sum(axis=1) / n,
            square.sum(axis=1) / n,
            np.einsum("np,np->n", square, d) / n,
            np.einsum("np,np->n", square, square) / n,
        ],
        axis=1,
    )


def moments_from_powers(powers: Array) -> tuple[Array, Array, Array]:
    """Root mean square, skewness and excess kurtosis from averaged powers (..., 4) of `residual_powers`.

    Skewness m3 / m2^1.5 and kurtosis m4 / m2^2 - 3 of the central moments of the population, as
    `scipy.stats.skew` and `kurtosis` define them; NaN where all residuals are equal.
    """
    mean, square, cube, fourth = np.moveaxis(powers, -1, 0)
    m2 = square - mean**2
    m3 = cube - 3 * mean * square + 2 * mean**3
    m4 = fourth - 4 * mean * cube + 6 * mean**2 * square - 3 * mean**4
    # A variance that is rounding alone has no shape.
    spread = m2 > 1e-12 * np.maximum(square, 1e-300)
    safe = np.where(spread, m2, 1.0)
    skewness = np.where(spread, m3 / safe**1.5, np.nan)
    kurtosis = np.where(spread, m4 / safe**2 - 3.0, np.nan)
    return np.sqrt(square), skewness, kurtosis
