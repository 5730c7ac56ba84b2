"""Power ratio and cross-correlation of l by wave number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.grid import Grid

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


def spectrum(logs: Array, grid: Grid) -> Complex:
    """(map, y, k_x): `rfft2` of l less its mean, times the Hann window of mean square 1.

    Parameters
    ----------
    logs
        (map, y, x): l(m), dex.
    """
    import scipy.fft

    return scipy.fft.rfft2((logs - logs.mean(axis=(1, 2), keepdims=True)) * grid.hann)


def mode_powers(first: Complex, second: Complex, grid: Grid) -> Array:
    """(k,): sum over all maps and all modes of a bin of Re(F_1 F_2*), dex^2.

    Bins are 0.5 cycles per R200c wide around 0.5, 1, ... 20.

    Parameters
    ----------
    first, second
        (map, y, k_x): of `spectrum`; the same twice gives the power.
    """
    product = np.einsum("nyx,nyx->yx", first.real, second.real) + np.einsum(
        "nyx,nyx->yx", first.imag, second.imag
    )
    place, weight = grid.k_bins
    sums = np.bincount(place, weights=product.ravel() * weight, minlength=len(grid.k) + 1)
    return np.asarray(sums[: len(grid.k)], np.float64)


def cross_correlation(cross: Array, power_p: Array, power_t: Array) -> Array:
    """sum Re(F_p F_t*) / sqrt(sum P_p sum P_t).

    0 where the prediction has no power, NaN where the truth has none.
    """
    product = power_p * power_t
    ratio = np.divide(cross, np.sqrt(np.maximum(product, 0)), out=np.zeros_like(cross), where=product > 0)
    return np.where(power_t > 0, ratio, np.nan)


def falling_k(correlation: Array, k: Array, level: float) -> Array:
    """(...,): k where a correlation (..., k) first falls below ``level``, linear between bins.

    The first k where it is below from the start; inf where it never falls below: reported as ``>=`` the
    last k.
    """
    below = correlation < level
    first = np.argmax(below, axis=-1)
    never = ~below.any(axis=-1)
    before = np.maximum(first - 1, 0)
    high = np.take_along_axis(correlation, before[..., None], axis=-1)[..., 0]
    low = np.take_along_axis(correlation, first[..., None], axis=-1)[..., 0]
    drop = high - low
    part = np.where(drop > 0, (high - level) / np.where(drop > 0, drop, 1.0), 0.0)
    crossing = k[before] + np.clip(part, 0, 1) * (k[first] - k[before])
    return np.where(never, np.inf, np.where(first == 0, k[0], crossing))
