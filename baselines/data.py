"""The training set where it is fastest: on the device, in memory, or streamed from the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import FLOOR_MSUN_KPC2, radius_grid, smooth_score_grid
from three_hundred_maps.store.arrays import read_split, split_length
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.torch_data import SYMMETRIES, StreamDataset, Transforms, symmetry

BLOCK_HALOS = 32


class ScoreGrid:
    """l(m) = log10(max(m, S0)) of mass maps, on the benchmark's score grid or on raw pixels.

    The smoothing is the benchmark's own function, taken as a matrix: it acts on rows and columns alike,
    so that ``matrix @ map @ matrix.T`` is the smoothed map, on any device and with a gradient.
    """

    def __init__(self, transforms: Transforms, grid: str, device: torch.device) -> None:
        pixels = transforms.pixels
        impulses = np.broadcast_to(np.eye(pixels)[:, :, None], (pixels, pixels, pixels))
        matrix = smooth_score_grid(impulses, transforms.pixel)[:, :, 0].T if grid == "score" else None
        self.matrix = None if matrix is None else torch.from_numpy(matrix.copy()).float().to(device)
        self.inside = torch.from_numpy(radius_grid(pixels, transforms.pixel) < 1.0).to(device)

    def logarithm(self, mass: torch.Tensor) -> torch.Tensor:
        """(..., H, W) Msun kpc-2 to dex."""
        return self.of_scaled(mass / FLOOR_MSUN_KPC2)

    def of_scaled(self, scaled: torch.Tensor) -> torch.Tensor:
        """The same of maps in units of S0."""
        if self.matrix is not None:
            scaled = self.matrix @ scaled @ self.matrix.T
        return scaled.clamp_min(1.0).log10() + float(np.log10(FLOOR_MSUN_KPC2))


@dataclass
class Rows:
    """Rows ready for a network.

    Parameters
    ----------
    inputs
        (N, C, H, W) standardised.
    target
        (N, H, W) dex: l of the true mass minus the climatology.
    halo, region
        (N,) int64: the number of the halo in its split, and its region.
    """

    inputs: torch.Tensor
    target: torch.Tensor
    halo: np.ndarray
    region: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        """The rows of several stores, in order; halos keep numbers of their own."""
        if len(parts) == 1:
            return parts[0]
        offsets = np.cumsum([0, *(int(part.halo.max(initial=-1)) + 1 for part in parts)])
        return Rows(
            torch.cat([part.inputs for part in parts]),
            torch.cat([part.target for part in parts]),
            np.concatenate([part.halo + offset for part, offset in zip(parts, offsets, strict=False)]),
            np.concatenate([part.region for part in parts]),
        )


def load_rows(
    store: str | Path,
    split: str,
    transforms: Transforms,
    score_grid: ScoreGrid,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    lines: int | None = None,
    part: tuple[int, int] = (0, 1),
) -> Rows:
    """Read a split into memory or onto a device, block by block.

    Parameters
    ----------
    device, dtype
        Where and as what the inputs are kept; targets are float32.
    lines
        Use only so many lines of sight of each halo, spread over all.
    part
        (rank, ranks): only every ranks-th halo, from the rank-th on.
    """
    halos = split_length(store, split)
    climatology = transforms.climatology_map().to(device)
    mine = np.arange(part[0], halos, part[1])
    rows = Rows(torch.empty(0), torch.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
    done = 0
    for first in range(0, halos, BLOCK_HALOS):
        last = min(first + BLOCK_HALOS, halos)
        arrays = read_split(store, split, [*transforms.views, TARGET], slice(first, last))
        chosen = spread_lines(len(arrays.los_vector), lines)
        if first == 0:
            # Room for all at once: pieces that are joined at the end would take it three times over.
            rows = _empty_rows(len(mine) * len(chosen), transforms, device, dtype)
        for halo in mine[(mine >= first) & (mine < last)] - first:
            here = slice(done, done + len(chosen))
            raw = np.stack([arrays.maps[view][halo][chosen] for view in transforms.views], axis=1)
            mass = torch.from_numpy(np.ascontiguousarray(arrays.maps[TARGET][halo][chosen])).to(device)
            rows.inputs[here] = transforms.standardise(torch.from_numpy(raw).to(device)).to(dtype)
            rows.target[here] = score_grid.logarithm(mass) - climatology
            rows.halo[here] = first + halo
            rows.region[here] = arrays.halos["region"][halo]
            done = here.stop
    if not (_finite(rows.inputs) and _finite(rows.target)):
        raise InputError(
            f"{store}: the split {split} holds values that are not finite: run three-hundred-maps verify"
        )
    return rows


def spread_lines(total: int, lines: int | None) -> np.ndarray:
    """So many of the lines of sight, spread over all."""
    return np.unique(np.linspace(0, total - 1, total if lines is None else lines).round()).astype(int)


def _empty_rows(count: int, transforms: Transforms, device: torch.device, dtype: torch.dtype) -> Rows:
    size = (transforms.pixels, transforms.pixels)
    return Rows(
        torch.empty((count, len(transforms.views), *size), device=device, dtype=dtype),
        torch.empty((count, *size), device=device),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
    )


def _finite(values: torch.Tensor) -> bool:
    """Whether all are finite, looked at in parts."""
    return all(bool(torch.isfinite(part).all()) for part in values.split(4096))


class ResidentBatches:
    """Batches of rows held whole: batch ``step`` is a function of (seed, step) alone.

    So a run that is taken up at any step goes on with the very batches it would have had. Every epoch goes
    once through a new permutation. The eight symmetries fall on equal parts of each batch.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        batch: int,
        seed: int,
        symmetries: bool,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch % ranks:
            raise InputError(f"a batch of {batch} cannot be dealt out to {ranks} processes")
        self.rows, self.batch, self.seed, self.symmetries = rows, batch, seed, symmetries
        self.device, self.rank, self.ranks = device, rank, ranks
        self._orders: dict[int, torch.Tensor] = {}

    def _order(self, epoch: int) -> torch.Tensor:
        if epoch not in self._orders:
            for old in [e for e in self._orders if e < epoch - 1]:
                del self._orders[old]
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
            self._orders[epoch] = torch.from_numpy(order).to(self.rows.target.device)
        return self._orders[epoch]

    def places(self, step: int) -> torch.Tensor:
        """Row numbers of this process's share of a batch."""
        share = self.batch // self.ranks
        first = step * self.batch + self.rank * share
        parts, here = [], first
        while here < first + share:
            epoch, offset = divmod(here, len(self.rows))
            count = min(len(self.rows) - offset, first + share - here)
            parts.append(self._order(epoch)[offset : offset + count])
            here += count
        return torch.cat(parts)

    def from_step(self, step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(inputs, target) of the batches from ``step`` on, without end."""
        while True:
            places = self.places(step)
            inputs, target = self.rows.inputs[places], self.rows.target[places]
            if inputs.device != self.device:
                # Pinned pages let the copy run beside the computation of the step before.
                pin = self.device.type == "cuda"
                inputs, target = (
                    (v.pin_memory() if pin else v).to(self.device, non_blocking=True)
                    for v in (inputs, target)
                )
            yield turn(inputs, target, self.rank, self.ranks) if self.symmetries else (inputs, target)
            step += 1


class StreamBatches:
    """Batches straight from a store that memory does not hold, through `StreamDataset`."""

    def __init__(
        self,
        dataset: StreamDataset,
        transforms: Transforms,
        score_grid: ScoreGrid,
        *,
        batch: int,
        symmetries: bool,
        device: torch.device,
        workers: int = 0,
    ) -> None:
        if batch % dataset.ranks:
            raise InputError(f"a batch of {batch} cannot be dealt out to {dataset.ranks} processes")
        # The dataset gives raw maps: they are transformed on the device, a batch at a time.
        self.dataset, self.transforms, self.score_grid, self.device = dataset, transforms, score_grid, device
        self.batch, self.symmetries, self.workers = batch // dataset.ranks, symmetries, workers

    def from_step(self, step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(inputs, target) of the batches from ``step`` on; earlier ones are read and passed over."""
        from torch.utils.data import DataLoader

        transforms = self.transforms
        climatology = transforms.climatology_map().to(self.device)
        done, epoch = 0, 0
        while True:
            self.dataset.epoch = epoch
            # Spawned workers: a store opened in this process must not be forked into another.
            context = "spawn" if self.workers else None
            loader = DataLoader(
                self.dataset,
                self.batch,
                drop_last=True,
                num_workers=self.workers,
                multiprocessing_context=context,
                pin_memory=self.device.type == "cuda",
            )
            before = done
            for inputs, mass, _ in loader:
                done += 1
                if done <= step:
                    continue
                inputs, mass = (v.to(self.device, non_blocking=True) for v in (inputs, mass))
                inputs = transforms.standardise(inputs)
                target = self.score_grid.logarithm(mass[:, 0]) - climatology
                if self.symmetries:
                    inputs, target = turn(inputs, target, self.dataset.rank, self.dataset.ranks)
                yield inputs, target
            if done == before:
                raise InputError(f"{self.dataset.store}: an epoch holds less than one batch of {self.batch}")
            epoch += 1


def turn(
    inputs: torch.Tensor, target: torch.Tensor, rank: int = 0, ranks: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """The eight symmetries on equal parts of a batch, of which this is the ``rank``-th share of ``ranks``."""
    share = len(inputs)
    place = (torch.arange(share) + rank * share) * SYMMETRIES // (share * ranks)
    inputs, target = inputs.clone(), target.clone()
    for number in range(1, SYMMETRIES):
        here = torch.nonzero(place == number)[:, 0]
        if len(here):
            part = slice(int(here[0]), int(here[-1]) + 1)
            inputs[part] = symmetry(inputs[part].clone(), number)
            target[part] = symmetry(target[part].clone(), number)
    return inputs, target
