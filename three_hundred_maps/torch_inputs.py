"""How one view enters a network: its logarithm, and what makes it like the training set's.

Needs numpy, torch and zarr alone.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.histograms import LOG_BINS, LOG_MIN, LOG_STEP
from three_hundred_maps.keys import SHEAR
from three_hundred_maps.store.statistics import ViewStatistics

SATURATION_DEX = 0.1
"""Beyond the training range, an input grows by this times log(1 + excess / this)."""


@dataclass(frozen=True)
class LogTransform:
    """``z = (log10(x + offset) - mean) / std`` of one view; exactly invertible for every x >= 0.

    Of a signed view, ``z = (asinh(x / offset) - mean) / std``, with half the 16-84 % range as the offset.

    Parameters
    ----------
    view
        Its name.
    offset
        In the view's units: of the positive pixels of ``train``, the 2 % quantile or, where that is lower,
        the value as many dex below the median as the 84 % quantile lies above it. Empty pixels stay
        finite and close to the faint ones.
    mean, std
        Of ``log10(x + offset)`` over ``train``, in dex, from the histogram in ``statistics``.
    low, high
        The 0.1 and 99.9 % quantiles of the positive pixels of ``train``, in the view's units (by default,
        of a view whose range is not known).
    """

    view: str
    offset: float
    mean: float
    std: float
    low: float = 0.0
    high: float = sys.float_info.max
    signed: bool = False

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Raw values to standardised ones; any shape."""
        shown = torch.asinh(maps / self.offset) if self.signed else torch.log10(maps + self.offset)
        return (shown - self.mean) / self.std

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same of an array."""
        shown = np.arcsinh(values / self.offset) if self.signed else np.log10(values + self.offset)
        return np.asarray((shown - self.mean) / self.std, np.float64)

    def brought(self, factor: float) -> LogTransform:
        """The transform that gives maps times ``factor`` the values which this one gives them."""
        offset, low, high = (factor * value for value in (self.offset, self.low, self.high))
        mean = self.mean if self.signed else self.mean + math.log10(factor)
        return replace(self, offset=offset, mean=mean, low=low, high=high)

    def inverse(self, values: torch.Tensor) -> torch.Tensor:
        """Standardised values to raw ones."""
        shown = values * self.std + self.mean
        return torch.sinh(shown) * self.offset if self.signed else 10.0**shown - self.offset


def log_transform(view: str, statistics: ViewStatistics, where: str | Path) -> LogTransform:
    """The transform of a view from its statistics; InputError where it has but one value."""
    if statistics.positive == 0:
        raise InputError(f"{where}: every pixel of {view} in train is 0, so nothing can be learnt from it")
    if statistics.negative.any():
        return _asinh_transform(view, statistics, where)
    # As far below the median as the 84 % quantile lies above it: views with empty sky (stars) have a tail of
    # ever fainter pixels that means nothing and would take all of the scale.
    median = statistics.quantile(0.5)
    offset = 10.0 ** max(statistics.quantile(0.02), 2 * median - statistics.quantile(0.84))
    # Moments of log10(x + offset), from the histogram's bin centres and the count of zeros.
    logs = np.logaddexp(
        (LOG_MIN + LOG_STEP * (np.arange(LOG_BINS) + 0.5)) * np.log(10), np.log(offset)
    ) / np.log(10)
    counts = statistics.histogram
    total = counts.sum() + statistics.zeros
    mean = (np.dot(counts, logs) + statistics.zeros * np.log10(offset)) / total
    variance = (
        np.dot(counts, (logs - mean) ** 2) + statistics.zeros * (np.log10(offset) - mean) ** 2
    ) / total
    if variance <= 1e-12:
        raise InputError(
            f"{where}: {view} has one and the same value everywhere in train: it cannot be standardised"
        )
    low, high = (10.0 ** statistics.quantile(q) for q in (0.001, 0.999))
    return LogTransform(view, float(offset), float(mean), float(np.sqrt(variance)), float(low), float(high))


def _asinh_transform(view: str, statistics: ViewStatistics, where: str | Path) -> LogTransform:
    """Of a signed view: its noise stays linear, its peaks are logarithmic."""
    low, below, above, high = (statistics.linear_quantile(q) for q in (0.001, 0.16, 0.84, 0.999))
    scale = 0.5 * (above - below)
    if not scale > 0:
        raise InputError(
            f"{where}: over two thirds of the pixels of {view} in train are alike: it cannot be standardised"
        )
    size = np.arcsinh(10.0 ** (LOG_MIN + LOG_STEP * (np.arange(LOG_BINS) + 0.5)) / scale)
    total = max(statistics.count, 1)
    mean = (np.dot(statistics.histogram, size) - np.dot(statistics.negative, size)) / total
    square = np.dot(statistics.histogram + statistics.negative, size**2) / total
    # A component of a field without a preferred direction has no mean, and changes sign with the axes.
    mean = 0.0 if view in SHEAR else mean
    std = math.sqrt(square - mean**2)
    return LogTransform(view, scale, float(mean), std, low, high, signed=True)


@dataclass(frozen=True)
class Robust:
    """What makes inputs of another simulation look like those of the training set.

    Parameters
    ----------
    smooth_stars
        FWHM in R200c of a Gaussian that the view ``star`` is smoothed by; 0: not at all.
    median_xray
        Replace each pixel of the view ``xray`` by the median of the 3 x 3 around it: single bright pixels go.
    saturate
        Let inputs beyond the 0.1-99.9 % range of ``train`` grow by a logarithm only.
    """

    smooth_stars: float = 0.0
    median_xray: bool = False
    saturate: bool = False


def median_3x3(maps: torch.Tensor) -> torch.Tensor:
    """(N, H, W): the median of the 3 x 3 pixels around each, the edge repeated."""
    padded = torch.nn.functional.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    height, width = maps.shape[1:]
    values = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    # Smith's network of 19 exchanges: several times as fast as a sort of nine.
    for a, b in _MEDIAN_OF_9:
        values[a], values[b] = torch.minimum(values[a], values[b]), torch.maximum(values[a], values[b])
    return values[4]


_MEDIAN_OF_9 = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
    (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip
