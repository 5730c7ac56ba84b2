"""Histograms of log10 on fixed bins, which add exactly. numpy alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOG_MIN, LOG_STEP, LOG_BINS = -16.0, 0.02, 3000
"""Histograms count log10 of positive values in 3000 bins of 0.02 dex from -16; the end bins take the rest."""


def bin_edges() -> NDArray[np.float64]:
    """(3001,): edges of the histograms' bins, log10."""
    return LOG_MIN + LOG_STEP * np.arange(LOG_BINS + 1, dtype=np.float64)


def histogram_of(logs: NDArray[np.floating]) -> NDArray[np.int64]:
    """Counts of log10 values in the fixed bins."""
    # In the precision of the input: against bins of 0.02 dex single precision is of no account.
    places = np.subtract(logs, logs.dtype.type(LOG_MIN)) * logs.dtype.type(round(1.0 / LOG_STEP))
    rows = np.clip(places, 0, LOG_BINS - 1).astype(np.int32).ravel()
    return np.bincount(rows, minlength=LOG_BINS).astype(np.int64)


def histogram_quantile(histogram: NDArray[np.int64], q: float) -> float:
    """The q-quantile (log10) of a fixed-bin histogram; NaN where it is empty."""
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"a quantile lies between 0 and 1, not at {q}")
    total = int(histogram.sum())
    if total == 0:
        return math.nan
    cumulative = np.cumsum(histogram)
    target = q * total
    place = int(np.searchsorted(cumulative, max(target, 1e-300), side="left"))
    before = cumulative[place] - histogram[place]
    return float(LOG_MIN + LOG_STEP * (place + (target - before) / histogram[place]))


def sparse(histogram: NDArray[np.int64]) -> list[Any]:
    """A histogram for a JSON file: its first filled bin, and the counts from there to the last."""
    filled = np.flatnonzero(histogram)
    if not filled.size:
        return [0, []]
    return [int(filled[0]), histogram[filled[0] : filled[-1] + 1].tolist()]


def dense(value: list[Any]) -> NDArray[np.int64]:
    """The inverse of `sparse`."""
    first, counts = value
    histogram = np.zeros(LOG_BINS, np.int64)
    histogram[first : first + len(counts)] = counts
    return histogram
