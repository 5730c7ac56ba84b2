"""What a model applies to maps: transforms from a store's statistics, and the square's symmetries.

Needs numpy, torch and zarr alone. Nothing here changes what a store holds: maps are raw physical values,
and everything a model applies to them is a `Transforms`, made from the store's ``statistics`` (those of the
split ``train`` alone), explicit, invertible and saved with the checkpoint.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import FLOOR_MSUN_KPC2, MapGrid, ring_map, smooth_score_grid
from three_hundred_maps.histograms import LOG_BINS, LOG_MIN, LOG_STEP
from three_hundred_maps.store.arrays import root_attrs
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.store.statistics import Statistics, ViewStatistics, read_statistics

SYMMETRIES = 8
"""The square's symmetries: four quarter turns, and the same of the mirror image."""

MAX_PIXELS = 1024
"""Pixels along a side of the largest maps that saved transforms may be for."""

TRANSFORMS_VERSION = 1
"""Version of how statistics become transforms: a checkpoint of another one is refused."""


def apply_symmetry(maps: torch.Tensor, number: int) -> torch.Tensor:
    """Symmetry ``number`` (0-7) of the square applied to ``maps`` (..., y, x); 0 is the identity."""
    if not 0 <= number < SYMMETRIES:
        raise ValueError(f"a symmetry of the square is 0 to {SYMMETRIES - 1}, not {number}")
    if number == 0:
        return maps
    if number >= 4:
        maps = maps.flip(-1)
    return torch.rot90(maps, number % 4, (-2, -1))


def undo_symmetry(maps: torch.Tensor, number: int) -> torch.Tensor:
    """The inverse of `apply_symmetry`: ``undo_symmetry(apply_symmetry(m, k), k)`` is ``m``."""
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

    @functools.cached_property
    def grid(self) -> MapGrid:
        """The grid of the maps; its depth and smoothing are defaults, which transforms do not know."""
        return MapGrid(self.pixels, self.width)

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
        grid = MapGrid.from_attrs(root_attrs(store), store)
        return Transforms(
            inputs=tuple(_log_transform(view, statistics[view], store) for view in views),
            ring_edges=tuple(float(v) for v in statistics.climatology.ring_edges),
            climatology=tuple(float(v) for v in statistics.climatology.climatology),
            pixels=grid.pixels,
            width=grid.width,
            statistics_digest=statistics_digest(statistics),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, with the version of this format."""
        return {"version": TRANSFORMS_VERSION, **asdict(self)}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Transforms:
        """The inverse of `to_dict`; InputError for another version and for what no statistics give."""
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
            transforms = Transforms(**values)
            numbers = [*transforms.ring_edges, *transforms.climatology, transforms.width]
            numbers += [v for item in transforms.inputs for v in (item.offset, item.mean, item.std)]
            finite = all(math.isfinite(number) for number in numbers)
            pixels = transforms.pixels
        except (KeyError, TypeError, OverflowError) as error:
            raise InputError(f"the saved transforms are not complete: {error}") from None
        if not finite or not all(isinstance(item.view, str) and item.std > 0 for item in transforms.inputs):
            raise InputError("the saved transforms hold numbers that no statistics give")
        if not (isinstance(pixels, int) and 1 <= pixels <= MAX_PIXELS):
            raise InputError(f"the saved transforms are for {pixels!r} pixels, not for 1 to {MAX_PIXELS}")
        return transforms

    def standardise(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) raw maps, channels in the order of ``inputs``, to standardised ones."""
        if maps.shape[1] != len(self.inputs):
            raise InputError(f"{maps.shape[1]} channels of maps for the views {', '.join(self.views)}")
        offset, mean, std = self._scales.to(maps)
        return (maps + offset).log10_().sub_(mean).div_(std)

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """The inverse of `standardise`."""
        return torch.stack([item.inverse(values[:, i]) for i, item in enumerate(self.inputs)], dim=1)

    def climatology_map(self) -> torch.Tensor:
        """(H, W) dex of Msun kpc-2: the climatology, linear between rings, constant beyond the last."""
        return self._target.climatology.clone()

    def target(self, mass: torch.Tensor) -> torch.Tensor:
        """(..., H, W) Msun kpc-2 to what is learnt: l on the score grid less the climatology, in dex."""
        return self._target.target(mass)

    @functools.cached_property
    def _scales(self) -> torch.Tensor:
        """(3, C, 1, 1) float64: offset, mean and std of each view."""
        values = [[getattr(item, name) for item in self.inputs] for name in ("offset", "mean", "std")]
        return torch.tensor(values, dtype=torch.float64)[:, :, None, None]

    @functools.cached_property
    def _target(self) -> ScoreGrid:
        return ScoreGrid(self)


class ScoreGrid:
    """l(m) = log10(max(m, S0)) of mass maps on the benchmark's score grid, and its residual: the target.

    The smoothing is the benchmark's own function, taken as a matrix: it acts on rows and columns alike,
    so that ``matrix @ map @ matrix.T`` is the smoothed map, on any device and with a gradient.

    Parameters
    ----------
    transforms
        Of which the grid and the climatology are taken.
    grid
        ``score``, or ``raw`` for l of the pixels as they are.
    device
        Where maps will lie.
    """

    def __init__(
        self, transforms: Transforms, grid: str = "score", device: torch.device | str = "cpu"
    ) -> None:
        pixels, maps = transforms.pixels, transforms.grid
        impulses = np.broadcast_to(np.eye(pixels)[:, :, None], (pixels, pixels, pixels))
        matrix = smooth_score_grid(impulses, maps.pixel)[:, :, 0].T if grid == "score" else None
        self.matrix = None if matrix is None else torch.from_numpy(matrix.copy()).float().to(device)
        self.inside = torch.from_numpy(maps.inside).to(device)
        rings = ring_map(np.asarray(transforms.climatology), maps.radius)
        self.climatology = torch.from_numpy(rings).float().to(device)

    def logarithm(self, mass: torch.Tensor) -> torch.Tensor:
        """(..., H, W) Msun kpc-2 to l, dex."""
        return self.of_scaled(mass / FLOOR_MSUN_KPC2)

    def of_scaled(self, scaled: torch.Tensor) -> torch.Tensor:
        """The same of maps in units of S0."""
        if self.matrix is not None:
            scaled = self.matrix @ scaled @ self.matrix.T
        return scaled.clamp_min(1.0).log10() + float(np.log10(FLOOR_MSUN_KPC2))

    def target(self, mass: torch.Tensor) -> torch.Tensor:
        """(..., H, W) Msun kpc-2 to l less the climatology, dex."""
        return self.logarithm(mass) - self.climatology


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
