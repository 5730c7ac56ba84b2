"""Statistics of the train split: moments and fixed-bin histograms of log10, which merge exactly.

numpy alone (zarr, where they are read from a store).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.climatology import Climatology
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import FLOOR_MSUN_KPC2, MapGrid
from three_hundred_maps.histograms import LOG_BINS, dense, histogram_of, histogram_quantile, sparse
from three_hundred_maps.store.arrays import iter_shards, open_group, read_array, root_attrs
from three_hundred_maps.store.names import resolve_store
from three_hundred_maps.store.schema import MASS_UNITS, TARGET

_FLOATS = ("mean", "std", "minimum", "maximum")


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
    negative
        (3000,) counts of log10 of minus the negative pixels, which signed views have.
    """

    count: int
    zeros: int
    mean: float
    std: float
    minimum: float
    maximum: float
    histogram: NDArray[np.int64]
    negative: NDArray[np.int64] = field(default_factory=lambda: np.zeros(LOG_BINS, np.int64))

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
        if not (math.isfinite(minimum) and math.isfinite(maximum)):
            raise ValueError(f"maps must be finite; these lie between {minimum} and {maximum}")
        positive = flat if minimum > 0 else flat[flat > 0]
        negative = flat[flat < 0] if minimum < 0 else flat[:0]
        below = histogram_of(np.log10(-negative)) if negative.size else np.zeros(LOG_BINS, np.int64)
        zeros = flat.size - positive.size - negative.size
        if positive.size == 0:
            none = np.zeros(LOG_BINS, np.int64)
            return ViewStatistics(flat.size, zeros, math.nan, math.nan, minimum, maximum, none, below)
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
            zeros,
            mean,
            math.sqrt(max(variance, 0.0)),
            minimum,
            maximum,
            histogram_of(logs),
            below,
        )

    @property
    def positive(self) -> int:
        """Number of pixels above 0."""
        return self.count - self.zeros - int(self.negative.sum())

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
            self.negative + other.negative,
        )

    def quantile(self, q: float) -> float:
        """The q-quantile of log10 of the positive pixels, to the histogram's 0.02 dex."""
        return histogram_quantile(self.histogram, q)

    def linear_quantile(self, q: float) -> float:
        """The q-quantile of all pixels of a signed view, linear, to the histograms' 0.02 dex."""
        below = int(self.negative.sum())
        place = q * self.count
        if place < below:
            return -(10.0 ** histogram_quantile(self.negative, 1.0 - place / below))
        if place <= below + self.zeros or not self.positive:
            return 0.0
        return float(10.0 ** self.quantile((place - below - self.zeros) / self.positive))

    @property
    def median(self) -> float:
        """Of the positive pixels; of all pixels of a signed view."""
        return self.linear_quantile(0.5) if self.negative.any() else float(10.0 ** self.quantile(0.5))

    def to_json(self) -> dict[str, Any]:
        """For a progress file: the histogram as first bin and counts."""
        return {
            "count": self.count,
            "zeros": self.zeros,
            **{k: None if math.isnan(getattr(self, k)) else getattr(self, k) for k in _FLOATS},
            "histogram": sparse(self.histogram),
            **({"negative": sparse(self.negative)} if self.negative.any() else {}),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ViewStatistics:
        """The inverse of `to_json`."""
        floats = {k: math.nan if value[k] is None else float(value[k]) for k in _FLOATS}
        return ViewStatistics(
            value["count"],
            value["zeros"],
            histogram=dense(value["histogram"]),
            negative=dense(value.get("negative", [0, []])),
            **floats,
        )


def merge_all(parts: Iterable[ViewStatistics]) -> ViewStatistics:
    """Merge in order."""
    total = ViewStatistics.empty()
    for part in parts:
        total = total.merge(part)
    return total


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


def read_statistics(path: str | Path) -> Statistics:
    """The statistics kept in a finished store (or at a URL of one).

    Raises
    ------
    InputError
        Where the store has none, with what to do.
    """
    path = resolve_store(path)
    root = open_group(path)
    if "statistics" not in root:
        raise InputError(f"{path} has no statistics: finish it with `three-hundred-maps finalise {path}`")
    group = root["statistics"]
    columns = {name: read_array(path, group, name) for name in ("count", "zeros", *_FLOATS, "histogram")}
    columns["negative"] = (
        read_array(path, group, "negative") if "negative" in group else np.zeros_like(columns["histogram"])
    )
    result = Statistics()
    for row, view in enumerate(group.attrs["views"]):
        result[view] = ViewStatistics(
            int(columns["count"][row]),
            int(columns["zeros"][row]),
            histogram=columns["histogram"][row],
            negative=columns["negative"][row],
            **{name: float(columns[name][row]) for name in _FLOATS},
        )
    if "ring_sum" in group:
        result.climatology = Climatology(
            *(
                read_array(path, group, k)
                for k in ("ring_sum", "ring_sum_scaled", "ring_pixels", "score_histogram")
            )
        )
    return result


def climatology_of(path: str | Path, view: str = TARGET, floor: float = FLOOR_MSUN_KPC2) -> Climatology:
    """The climatology of a view's maps over the split train: what is kept of the mass, of others made anew.

    ``floor`` is S0 of l in the units of the view, which are those of a surface density where none is given.

    Raises
    ------
    InputError
        Where the store lacks the view or halos to train on, or the view is not a surface density.
    """
    path = resolve_store(path)
    attrs, train = root_attrs(path), open_group(path)["train"]
    if view == TARGET and floor == FLOOR_MSUN_KPC2:
        kept = read_statistics(path).climatology
    elif view not in attrs["views"]:
        raise InputError(
            f"{path} has no view {view!r} to predict; it has {', '.join(attrs['views'])} (recipes name "
            "them as maps.views; the config mini-matter has gas and dark_matter too)"
        )
    elif floor == FLOOR_MSUN_KPC2 and train[view].attrs["units"] != MASS_UNITS:
        units = train[view].attrs["units"]
        raise InputError(f"{view} is in {units}: what is predicted is a surface density in {MASS_UNITS}")
    else:
        pixel, kept = MapGrid.from_attrs(attrs, path).pixel, Climatology.empty()
        for shard in iter_shards(path, "train", [view]):
            halos = shard.halos
            kept = kept.merge(Climatology.of(shard.maps[view], halos["M200c"], halos["R200c"], pixel, floor))
    if kept is None or not np.isfinite(kept.climatology).all():
        raise InputError(f"{path} has no climatology of {view}: its split train is empty or lacks {view}")
    return kept
