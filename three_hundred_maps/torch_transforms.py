"""What a model applies to maps: transforms from a store's statistics, and the square's symmetries.

Needs numpy, torch and zarr alone. Nothing here changes what a store holds: maps are raw physical values,
and everything a model applies to them is a `Transforms`, made from the store's ``statistics`` (those of the
split ``train`` alone), explicit, invertible and saved with the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import radius_grid
from three_hundred_maps.histograms import LOG_BINS, LOG_MIN, LOG_STEP
from three_hundred_maps.store.arrays import root_attrs
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.store.statistics import Statistics, ViewStatistics, read_statistics

SYMMETRIES = 8
"""The square's symmetries: four quarter turns, and the same of the mirror image."""

TRANSFORMS_VERSION = 1
"""Version of how statistics become transforms: a checkpoint of another one is refused."""


def symmetry(maps: torch.Tensor, number: int) -> torch.Tensor:
    """Symmetry ``number`` (0-7) of the square applied to ``maps`` (..., y, x); 0 is the identity."""
    if not 0 <= number < SYMMETRIES:
        raise ValueError(f"a symmetry of the square is 0 to {SYMMETRIES - 1}, not {number}")
    if number >= 4:
        maps = maps.flip(-1)
    return torch.rot90(maps, number % 4, (-2, -1))


def undo_symmetry(maps: torch.Tensor, number: int) -> torch.Tensor:
    """The inverse of `symmetry`: ``undo_symmetry(symmetry(m, k), k)`` is ``m``."""
    if not 0 <= number < SYMMETRIES:
        raise ValueError(f"a symmetry of the square is 0 to {SYMMETRIES - 1}, not {number}")
    maps = torch.rot90(maps, -(number % 4), (-2, -1))
    return maps.flip(-1) if number >= 4 else maps


@dataclass(frozen=True)
class LogTransform:
    """``z = (log10(x + offset) - mean) / std`` of one view; exactly invertible for every x >= 0.

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
    """

    view: str
    offset: float
    mean: float
    std: float

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Raw values to standardised ones; any shape."""
        return (torch.log10(maps + self.offset) - self.mean) / self.std

    def inverse(self, values: torch.Tensor) -> torch.Tensor:
        """Standardised values to raw ones."""
        return 10.0 ** (values * self.std + self.mean) - self.offset


@dataclass(frozen=True)
class Transforms:
    """All that a model applies to maps, and where it came from.

    Parameters
    ----------
    inputs
        One `LogTransform` a view, in the order of the model's channels.
    ring_edges
        (41,) in R200c, and ``climatology`` (40,): the mean over ``train`` of l(mass) in each ring, on the
        benchmark's score grid, in dex of Msun kpc-2. A model predicts the residual to it.
    pixels, width
        The grid of the maps; the width in R200c.
    statistics_digest
        sha256 of the statistics that these numbers came from.
    """

    inputs: tuple[LogTransform, ...]
    ring_edges: tuple[float, ...]
    climatology: tuple[float, ...]
    pixels: int
    width: float
    statistics_digest: str

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the input views, in the order of the channels."""
        return tuple(item.view for item in self.inputs)

    @property
    def pixel(self) -> float:
        """Side of a pixel in R200c."""
        return self.width / self.pixels

    @staticmethod
    def from_store(store: str | Path, views: Sequence[str]) -> Transforms:
        """The transforms of ``views`` from a store's statistics.

        Raises
        ------
        InputError
            Where the store lacks a view or its statistics: a missing statistic never means "no transform".
        """
        statistics = read_statistics(store)
        missing = [view for view in views if view not in statistics]
        if missing:
            raise InputError(
                f"{store} has no statistics of {', '.join(missing)}; it has those of {', '.join(statistics)}"
            )
        if statistics.climatology is None or not np.isfinite(statistics.climatology.climatology).all():
            raise InputError(
                f"{store} has no climatology of {TARGET}: its split train is empty or lacks {TARGET}"
            )
        pixels, width = grid_of(store)
        return Transforms(
            inputs=tuple(_log_transform(view, statistics[view], store) for view in views),
            ring_edges=tuple(float(v) for v in statistics.climatology.ring_edges),
            climatology=tuple(float(v) for v in statistics.climatology.climatology),
            pixels=pixels,
            width=width,
            statistics_digest=statistics_digest(statistics),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, with the version of this format."""
        return {"version": TRANSFORMS_VERSION, **asdict(self)}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Transforms:
        """The inverse of `to_dict`; InputError for another version or where something is missing."""
        values = dict(content)
        version = values.pop("version", None)
        if version != TRANSFORMS_VERSION:
            raise InputError(
                f"these transforms are of version {version}, this package applies "
                f"version {TRANSFORMS_VERSION}: train again, or install the version that wrote them"
            )
        try:
            values["inputs"] = tuple(LogTransform(**item) for item in values["inputs"])
            values["ring_edges"] = tuple(values["ring_edges"])
            values["climatology"] = tuple(values["climatology"])
            return Transforms(**values)
        except (KeyError, TypeError) as error:
            raise InputError(f"the saved transforms are not complete: {error}") from None

    def standardise(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) raw maps, channels in the order of ``inputs``, to standardised ones."""
        if maps.shape[1] != len(self.inputs):
            raise InputError(f"{maps.shape[1]} channels of maps for the views {', '.join(self.views)}")
        return torch.stack([item.forward(maps[:, i]) for i, item in enumerate(self.inputs)], dim=1)

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """The inverse of `standardise`."""
        return torch.stack([item.inverse(values[:, i]) for i, item in enumerate(self.inputs)], dim=1)

    def climatology_map(self) -> torch.Tensor:
        """(H, W) dex of Msun kpc-2: the climatology, linear between rings, constant beyond the last."""
        edges = np.asarray(self.ring_edges)
        centres = 0.5 * (edges[1:] + edges[:-1])
        radius = radius_grid(self.pixels, self.pixel)
        return torch.from_numpy(np.interp(radius, centres, self.climatology)).float()


def _log_transform(view: str, statistics: ViewStatistics, where: str | Path) -> LogTransform:
    if statistics.positive == 0:
        raise InputError(f"{where}: every pixel of {view} in train is 0, so nothing can be learnt from it")
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
    return LogTransform(view, float(offset), float(mean), float(np.sqrt(variance)))


def statistics_digest(statistics: Statistics) -> str:
    """sha256 of a store's statistics: which numbers a checkpoint's transforms came from."""
    return hashlib.sha256(json.dumps(statistics.to_json(), sort_keys=True).encode()).hexdigest()


def grid_of(store: str | Path) -> tuple[int, float]:
    """Pixels along a side and the width (R200c) of a store's maps."""
    attrs = root_attrs(store)
    try:
        return int(attrs["pixels"]), float(attrs["width_R200c"])
    except KeyError as error:
        raise InputError(f"{store} does not say {error} in its attributes: is it a store of maps?") from None
