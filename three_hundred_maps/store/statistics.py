"""Statistics of the train split: moments and fixed-bin histograms of log10, which merge exactly.

numpy alone (zarr, where they are read from a store).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.store.score_grid import radius_grid, smooth_score_grid

LOG_MIN, LOG_STEP, LOG_BINS = -16.0, 0.02, 3000
"""Histograms count log10 of positive values in 3000 bins of 0.02 dex from -16; the end bins take the rest."""

RINGS = 40
RING_EDGES = np.linspace(0.0, 1.0, RINGS + 1)
"""Edges of the climatology's rings, in R200c."""

FLOOR_MSUN_KPC2 = 1e6
"""S0 of the benchmark: l(m) = log10(max(m, S0))."""

TARGET = "mass"


def bin_edges() -> NDArray[np.float64]:
    """(3001,): edges of the histograms' bins, log10."""
    return LOG_MIN + LOG_STEP * np.arange(LOG_BINS + 1, dtype=np.float64)


def histogram_of(logs: NDArray[np.floating]) -> NDArray[np.int64]:
    """Counts of log10 values in the fixed bins."""
    # In the precision of the input: against bins of 0.02 dex single precision is of no account.
    places = np.subtract(logs, logs.dtype.type(LOG_MIN)) * logs.dtype.type(round(1.0 / LOG_STEP))
    rows = np.clip(places, 0, LOG_BINS - 1).astype(np.int32).ravel()
    return np.bincount(rows, minlength=LOG_BINS).astype(np.int64)


@dataclass(frozen=True)
class ViewStatistics:
    """What is known of one view's pixels.

    Parameters
    ----------
    count, zeros
        Number of pixels, and of those that are exactly 0.
    mean, std
        Of log10 of the positive pixels (NaN where there are none); ``std`` is of the population.
    minimum, maximum
        Linear, over all pixels (NaN where there are none).
    histogram
        (3000,) counts of log10 of the positive pixels.
    """

    count: int
    zeros: int
    mean: float
    std: float
    minimum: float
    maximum: float
    histogram: NDArray[np.int64]

    @staticmethod
    def empty() -> ViewStatistics:
        """Of no pixels."""
        return ViewStatistics(0, 0, math.nan, math.nan, math.nan, math.nan, np.zeros(LOG_BINS, np.int64))

    @staticmethod
    def of(maps: NDArray[np.generic]) -> ViewStatistics:
        """Of an array (block, ...) of pixels; blocks are merged in order, so memory stays one block's."""
        return merge_all(ViewStatistics._of_block(block) for block in maps)

    @staticmethod
    def _of_block(values: NDArray[Any]) -> ViewStatistics:
        flat = np.ravel(values)
        if flat.size == 0:
            return ViewStatistics.empty()
        minimum, maximum = float(flat.min()), float(flat.max())
        if not (math.isfinite(minimum) and math.isfinite(maximum)) or minimum < 0:
            raise ValueError(
                f"maps must be finite and not negative; these lie between {minimum} and {maximum}"
            )
        positive = flat if minimum > 0 else flat[flat > 0]
        if positive.size == 0:
            return ViewStatistics(
                flat.size, flat.size, math.nan, math.nan, minimum, maximum, np.zeros(LOG_BINS, np.int64)
            )
        logs = np.log10(positive)
        mean = float(np.mean(logs, dtype=np.float64))
        # The deviations are small numbers: squared in the input's precision, summed in double.
        deviation = logs - logs.dtype.type(mean)
        variance = (
            float(np.mean(np.square(deviation), dtype=np.float64))
            - float(np.mean(deviation, dtype=np.float64)) ** 2
        )
        return ViewStatistics(
            flat.size,
            flat.size - positive.size,
            mean,
            math.sqrt(max(variance, 0.0)),
            minimum,
            maximum,
            histogram_of(logs),
        )

    @property
    def positive(self) -> int:
        """Number of pixels above 0."""
        return self.count - self.zeros

    def merge(self, other: ViewStatistics) -> ViewStatistics:
        """Of both together: Chan, Golub & LeVeque's update of mean and variance; counts add."""
        if other.count == 0:
            return self
        if self.count == 0:
            return other
        n_a, n_b = self.positive, other.positive
        if n_a == 0 or n_b == 0:
            some = self if n_a else other
            mean, std = some.mean, some.std
        else:
            n = n_a + n_b
            delta = other.mean - self.mean
            mean = self.mean + delta * n_b / n
            m2 = self.std**2 * n_a + other.std**2 * n_b + delta**2 * n_a * n_b / n
            std = math.sqrt(max(m2 / n, 0.0))
        return ViewStatistics(
            self.count + other.count,
            self.zeros + other.zeros,
            mean,
            std,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.histogram + other.histogram,
        )

    def quantile(self, q: float) -> float:
        """The q-quantile of log10 of the positive pixels, to the histogram's 0.02 dex."""
        return histogram_quantile(self.histogram, q)

    def to_json(self) -> dict[str, Any]:
        """For a progress file: the histogram as first bin and counts."""
        return {
            "count": self.count,
            "zeros": self.zeros,
            **{
                name: None if math.isnan(value) else value
                for name, value in (
                    ("mean", self.mean),
                    ("std", self.std),
                    ("minimum", self.minimum),
                    ("maximum", self.maximum),
                )
            },
            "histogram": _sparse(self.histogram),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ViewStatistics:
        """The inverse of `to_json`."""
        floats = {k: math.nan if value[k] is None else float(value[k]) for k in _FLOATS}
        return ViewStatistics(value["count"], value["zeros"], histogram=_dense(value["histogram"]), **floats)


_FLOATS = ("mean", "std", "minimum", "maximum")


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


def merge_all(parts: Iterable[ViewStatistics]) -> ViewStatistics:
    """Merge in order."""
    total = ViewStatistics.empty()
    for part in parts:
        total = total.merge(part)
    return total


@dataclass(frozen=True)
class Climatology:
    """The train split's mean mass map by radius, on the score grid; sums, so that parts add.

    Parameters
    ----------
    sum_l, sum_scaled
        (40,): sums over pixels of l = log10(max(m, 1e6)), and of l - log10(R200c rho_crit), by ring.
    pixels
        (40,): number of pixels summed.
    histogram
        (3000,): counts of l over whole maps of the score grid.
    """

    sum_l: NDArray[np.float64]
    sum_scaled: NDArray[np.float64]
    pixels: NDArray[np.int64]
    histogram: NDArray[np.int64]
    ring_edges = RING_EDGES

    @staticmethod
    def empty() -> Climatology:
        """Of no maps."""
        return Climatology(
            np.zeros(RINGS), np.zeros(RINGS), np.zeros(RINGS, np.int64), np.zeros(LOG_BINS, np.int64)
        )

    @staticmethod
    def of(
        maps: NDArray[np.generic], M200c: NDArray[np.generic], R200c: NDArray[np.generic], pixel: float
    ) -> Climatology:
        """Of mass maps (halo, los, y, x) in Msun kpc-2 with the halos' M200c (Msun) and R200c (kpc)."""
        total = Climatology.empty()
        if len(maps) == 0:
            return total
        pixels = maps.shape[-1]
        ring = np.floor(radius_grid(pixels, pixel) * RINGS).astype(np.int64).ravel()
        inside = ring < RINGS
        counts = np.bincount(ring[inside], minlength=RINGS)
        sums, scaled, histogram = np.zeros(RINGS), np.zeros(RINGS), np.zeros(LOG_BINS, np.int64)
        for halo, (mass, radius) in enumerate(zip(M200c, R200c, strict=True)):
            logs = np.log10(np.maximum(smooth_score_grid(maps[halo], pixel), FLOOR_MSUN_KPC2))
            histogram += histogram_of(logs)
            by_pixel = logs.sum(axis=0).ravel()[inside]
            by_ring = np.bincount(ring[inside], weights=by_pixel, minlength=RINGS)
            sums += by_ring
            scaled += by_ring - counts * maps.shape[1] * math.log10(column_scale(float(mass), float(radius)))
        return Climatology(sums, scaled, counts * maps.shape[0] * maps.shape[1], histogram)

    def merge(self, other: Climatology) -> Climatology:
        """Of both together."""
        return Climatology(
            self.sum_l + other.sum_l,
            self.sum_scaled + other.sum_scaled,
            self.pixels + other.pixels,
            self.histogram + other.histogram,
        )

    @property
    def climatology(self) -> NDArray[np.float64]:
        """(40,): mean of l by ring, interpolated where a ring has no pixel centre; NaN without maps."""
        return self._mean(self.sum_l)

    @property
    def scaled_climatology(self) -> NDArray[np.float64]:
        """(40,): mean of l - log10(R200c rho_crit) by ring."""
        return self._mean(self.sum_scaled)

    def _mean(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        filled = self.pixels > 0
        if not filled.any():
            return np.full(RINGS, math.nan)
        means = sums[filled] / self.pixels[filled]
        rings = np.arange(RINGS)
        return np.interp(rings, rings[filled], means)

    def log_range(self, low: float = 0.001, high: float = 0.999) -> tuple[float, float]:
        """Quantiles of l over the score grid: the data range of ssim."""
        return histogram_quantile(self.histogram, low), histogram_quantile(self.histogram, high)

    def to_json(self) -> dict[str, Any]:
        """For a progress file."""
        return {
            "sum_l": self.sum_l.tolist(),
            "sum_scaled": self.sum_scaled.tolist(),
            "pixels": self.pixels.tolist(),
            "histogram": _sparse(self.histogram),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Climatology:
        """The inverse of `to_json`."""
        return Climatology(
            np.array(value["sum_l"]),
            np.array(value["sum_scaled"]),
            np.array(value["pixels"], np.int64),
            _dense(value["histogram"]),
        )


def column_scale(M200c: float, R200c: float) -> float:
    """R200c rho_crit in Msun kpc-2, from M200c (Msun) = 800/3 pi rho_crit R200c^3 (kpc)."""
    return 3.0 * M200c / (800.0 * math.pi * R200c**2)


class Statistics(dict[str, ViewStatistics]):
    """Statistics by view name, and the target's climatology (None in a store without mass maps)."""

    climatology: Climatology | None = None

    @staticmethod
    def of(
        maps: Mapping[str, NDArray[np.generic]], halos: Mapping[str, NDArray[np.generic]], pixel: float
    ) -> Statistics:
        """Of the maps (halo, los, y, x) of some halos."""
        result = Statistics({view: ViewStatistics.of(values) for view, values in maps.items()})
        if TARGET in maps:
            result.climatology = Climatology.of(maps[TARGET], halos["M200c"], halos["R200c"], pixel)
        return result

    def merge(self, other: Statistics) -> Statistics:
        """Of both together; the views must be the same."""
        if set(self) != set(other):
            raise InputError(f"statistics of different views: {sorted(self)} and {sorted(other)}")
        result = Statistics({view: self[view].merge(other[view]) for view in self})
        if self.climatology is not None and other.climatology is not None:
            result.climatology = self.climatology.merge(other.climatology)
        return result

    def to_json(self) -> dict[str, Any]:
        """For a progress file."""
        return {
            "views": {view: value.to_json() for view, value in self.items()},
            "climatology": None if self.climatology is None else self.climatology.to_json(),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Statistics:
        """The inverse of `to_json`."""
        result = Statistics({view: ViewStatistics.from_json(v) for view, v in value["views"].items()})
        if value["climatology"] is not None:
            result.climatology = Climatology.from_json(value["climatology"])
        return result

    @staticmethod
    def empty(views: Iterable[str]) -> Statistics:
        """Of no halos."""
        result = Statistics({view: ViewStatistics.empty() for view in views})
        if TARGET in result:
            result.climatology = Climatology.empty()
        return result


def _sparse(histogram: NDArray[np.int64]) -> list[Any]:
    filled = np.flatnonzero(histogram)
    if not filled.size:
        return [0, []]
    return [int(filled[0]), histogram[filled[0] : filled[-1] + 1].tolist()]


def _dense(value: list[Any]) -> NDArray[np.int64]:
    first, counts = value
    histogram = np.zeros(LOG_BINS, np.int64)
    histogram[first : first + len(counts)] = counts
    return histogram


def read_statistics(path: str | Path) -> Statistics:
    """The statistics kept in a finished store (or at a URL of one).

    Raises
    ------
    InputError
        Where the store has none, with what to do.
    """
    from three_hundred_maps.store.arrays import open_group

    root = open_group(path)
    if "statistics" not in root:
        raise InputError(f"{path} has no statistics: finish it with `three-hundred-maps finalise {path}`")
    group = root["statistics"]
    columns = {name: np.asarray(group[name][...]) for name in ("count", "zeros", *_FLOATS, "histogram")}
    result = Statistics()
    for row, view in enumerate(group.attrs["views"]):
        result[view] = ViewStatistics(
            int(columns["count"][row]),
            int(columns["zeros"][row]),
            histogram=columns["histogram"][row],
            **{name: float(columns[name][row]) for name in _FLOATS},
        )
    if "ring_sum" in group:
        result.climatology = Climatology(
            *(
                np.asarray(group[k][...])
                for k in ("ring_sum", "ring_sum_scaled", "ring_pixels", "score_histogram")
            )
        )
    return result
