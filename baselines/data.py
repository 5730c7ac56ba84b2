"""The training set where it is fastest: on the device, in memory, or streamed from the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from baselines.augment import Augment
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import read_split, split_length
from three_hundred_maps.torch_data import SYMMETRIES, ScoreGrid, StreamDataset, Transforms, apply_symmetry

BLOCK_HALOS = 32

Noise = Callable[[torch.Tensor, torch.Tensor, int, int], torch.Tensor]
"""(expected maps, (N, C) scale, step, rank) -> maps with noise."""


@dataclass
class Rows:
    """Rows ready for a network.

    Parameters
    ----------
    inputs
        (N, C, H, W) standardised; for `Augment`, raw maps brought to redshift 0.
    target
        (N, H, W) dex: l of the true mass minus the climatology.
    halo, region
        (N,) int64: the number of the halo in its split, and its region.
    scale
        (N, C): where the inputs are without noise, what theirs is scaled by.
    """

    inputs: torch.Tensor
    target: torch.Tensor
    halo: np.ndarray
    region: np.ndarray
    scale: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: np.ndarray) -> Rows:
        """Some rows, by their numbers or by whether they are wanted."""
        chosen = torch.from_numpy(np.asarray(rows)).to(self.target.device)
        scale = None if self.scale is None else self.scale[chosen]
        return Rows(self.inputs[chosen], self.target[chosen], self.halo[rows], self.region[rows], scale)

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
    raw: bool = False,
) -> Rows:
    """Read a split into memory or onto a device, block by block: the items of `MapDataset`, all at once.

    Parameters
    ----------
    device, dtype
        Where and as what the inputs are kept; targets are float32.
    lines
        Use only so many lines of sight of each halo, spread over all.
    raw
        Keep the inputs as `Augment` takes them, not standardised.
    """
    halos, views, done = split_length(store, split), transforms.views, 0
    target = transforms.target_view
    rows = Rows(torch.empty(0), torch.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
    for first in range(0, halos, BLOCK_HALOS):
        arrays = read_split(store, split, [*views, target], slice(first, min(first + BLOCK_HALOS, halos)))
        chosen = spread_lines(len(arrays.los_vector), lines)
        if first == 0:
            # Room for all at once: pieces that are joined at the end would take it three times over.
            count, size = halos * len(chosen), (transforms.pixels, transforms.pixels)
            rows = Rows(
                torch.empty((count, len(views), *size), device=device, dtype=dtype),
                torch.empty((count, *size), device=device),
                np.repeat(np.arange(halos), len(chosen)),
                np.empty(count, np.int64),
            )
        for halo, region in enumerate(arrays.halos["region"]):
            here = slice(done, done + len(chosen))
            maps = torch.from_numpy(np.stack([arrays.maps[view][halo][chosen] for view in views], axis=1))
            mass = torch.from_numpy(arrays.maps[target][halo][chosen]).to(device)
            redshift, prepare = (
                arrays.halos["redshift"][halo],
                transforms.scale if raw else transforms.standardise,
            )
            rows.inputs[here] = prepare(maps.to(device), redshift).to(dtype)
            rows.target[here] = score_grid.target(mass, redshift)
            rows.region[here] = region
            done = here.stop
    for values in (rows.inputs, rows.target):
        # In parts: a mask of the whole would need as much memory again.
        if not all(bool(torch.isfinite(part).all()) for part in values.split(4096)):
            raise InputError(
                f"{store}: the split {split} holds values that are not finite: run three-hundred-maps verify"
            )
    return rows


def spread_lines(total: int, lines: int | None) -> np.ndarray:
    """So many of the lines of sight, spread over all."""
    return np.unique(np.linspace(0, total - 1, total if lines is None else lines).round()).astype(int)


class ResidentBatches:
    """Batches of rows held whole: batch ``step`` is a function of (seed, step) alone.

    So a run resumed at any step continues with the very batches it would have had. Every epoch goes once
    through a new permutation. The eight symmetries fall on equal parts of each batch. With ``augment`` the
    rows are raw, and each batch is augmented and standardised; ``noise`` is laid on them before. ``views``
    are the channels.
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
        augment: Augment | None = None,
        noise: Noise | None = None,
        views: Sequence[str] = (),
    ) -> None:
        if batch % ranks:
            raise InputError(f"a batch of {batch} cannot be dealt out to {ranks} processes")
        self.augment, self.noise, self.views = augment, noise, tuple(views)
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
            if self.noise is not None and self.rows.scale is not None:
                inputs = self.noise(inputs, self.rows.scale[places].to(inputs), step, self.rank)
            if self.augment is not None:
                inputs = self.augment(inputs, step, self.rank)
            if self.symmetries:
                inputs, target = apply_symmetries(inputs, target, self.rank, self.ranks, self.views)
            yield inputs, target
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
        augment: Augment | None = None,
        workers: int = 0,
    ) -> None:
        if batch % dataset.ranks:
            raise InputError(f"a batch of {batch} cannot be dealt out to {dataset.ranks} processes")
        # The dataset brings maps to redshift 0 alone: the rest is done on the device, a batch at a time.
        dataset.transforms, dataset.scale_only = transforms, True
        self.dataset, self.transforms, self.score_grid, self.device = dataset, transforms, score_grid, device
        self.augment = augment
        self.batch, self.symmetries, self.workers = batch // dataset.ranks, symmetries, workers

    def from_step(self, step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(inputs, target) of the batches from ``step`` on; earlier ones are read and passed over."""
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
                if self.augment is None:
                    inputs = self.transforms.standardise(inputs)
                else:
                    inputs = self.augment(inputs, done - 1, self.dataset.rank)
                target = self.score_grid.target(mass[:, 0])
                if self.symmetries:
                    inputs, target = apply_symmetries(
                        inputs, target, self.dataset.rank, self.dataset.ranks, self.transforms.views
                    )
                yield inputs, target
            if done == before:
                raise InputError(f"{self.dataset.store}: an epoch holds less than one batch of {self.batch}")
            epoch += 1


def apply_symmetries(
    inputs: torch.Tensor, target: torch.Tensor, rank: int = 0, ranks: int = 1, views: Sequence[str] = ()
) -> tuple[torch.Tensor, torch.Tensor]:
    """The eight symmetries on equal parts of a batch, of which this is the ``rank``-th share of ``ranks``."""
    share = len(inputs)
    place = (torch.arange(share) + rank * share) * SYMMETRIES // (share * ranks)
    inputs, target = inputs.clone(), target.clone()
    for number in range(1, SYMMETRIES):
        here = torch.nonzero(place == number)[:, 0]
        if len(here):
            part = slice(int(here[0]), int(here[-1]) + 1)
            inputs[part] = apply_symmetry(inputs[part].clone(), number, views)
            target[part] = apply_symmetry(target[part].clone(), number)
    return inputs, target
