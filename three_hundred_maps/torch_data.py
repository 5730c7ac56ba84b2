"""Torch datasets over a store: in memory or streamed, raw or transformed, with the square's symmetries.

Needs numpy, torch and zarr alone, so that it runs on a GPU machine as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import KEY, SEALED_KEY, require_list
from three_hundred_maps.store.arrays import SplitArrays, read_split, root_attrs, split_group
from three_hundred_maps.store.schema import SPLITS, TARGET, not_inputs, simulation_ids
from three_hundred_maps.torch_inputs import LogTransform
from three_hundred_maps.torch_symmetries import SYMMETRIES, apply_symmetry, undo_symmetry
from three_hundred_maps.torch_transforms import ScoreGrid, Transforms

__all__ = [
    "SYMMETRIES",
    "LogTransform",
    "MapDataset",
    "ScoreGrid",
    "StreamDataset",
    "Transforms",
    "apply_symmetry",
    "check_views",
    "undo_symmetry",
]

NAMES = ("inputs", "target", "key")
"""Of an item's parts, where it is a dict."""


def check_views(store: str | Path, split: str, views: Sequence[str], target: str = TARGET) -> None:
    """InputError unless every view is there, each asked for once, and none of them tells the target."""
    require_list(views)
    refused = not_inputs(target)
    if split not in SPLITS:
        raise InputError(f"no split {split!r}: a store has {', '.join(SPLITS)}")
    known = [str(view) for view in root_attrs(store)["views"]]
    if not views:
        raise InputError(f"no view is named; {store} has {', '.join(known)}")
    for view in views:
        if view in refused:
            raise InputError(f"{view} cannot be an input view: {refused[view]}")
        if view not in known:
            raise InputError(f"{store} has no view {view!r} in its split {split}; it has {', '.join(known)}")
    if len(set(views)) != len(views):
        raise InputError(f"a view is named twice: {','.join(views)}")


class _Rows:
    """What both data sets are made of: a split of a store, its views, their transforms and target."""

    def __init__(
        self,
        store: str | Path,
        split: str,
        views: Sequence[str],
        transforms: Transforms | None,
        target: bool | str,
        *,
        symmetries: bool,
        as_dict: bool,
    ) -> None:
        known = TARGET if transforms is None else transforms.target_view
        self.target_view = target if isinstance(target, str) else known
        check_views(store, split, views, self.target_view)
        if transforms is not None and transforms.views != tuple(views):
            raise InputError(
                f"these transforms are for the views {', '.join(transforms.views)}, not {', '.join(views)}"
            )
        if transforms is not None and self.target_view != known:
            raise InputError(f"these transforms are for the target {known}, not {target}")
        if transforms is not None:
            transforms.check_grid(store)
        self.store, self.split, self.views, self.transforms = store, split, tuple(views), transforms
        self.read = [*views, *([self.target_view] if target else [])]
        self.symmetries, self.as_dict, self.scale_only = symmetries, as_dict, False
        group, _ = split_group(store, split)
        self.halos, self.lines = (int(group[name].shape[0]) for name in ("redshift", "los_vector"))
        # By their number in keys; none for sealed inputs.
        self.simulations = simulation_ids(group["simulation"].attrs) if "simulation" in group else ()

    def item(self, arrays: SplitArrays, halo: int, los: int, symmetry: int) -> Any:
        """One row of what was read."""
        transforms, redshift = self.transforms, arrays.halos["redshift"][halo]
        inputs = torch.from_numpy(np.stack([arrays.maps[view][halo, los] for view in self.views]))
        if self.target_view not in arrays.maps:
            target = inputs.new_zeros((0, *inputs.shape[1:]))
        else:
            target = torch.from_numpy(arrays.maps[self.target_view][halo, los][None].copy())
            if transforms is not None:
                prepare = transforms.scale_mass if self.scale_only else transforms.target
                target = prepare(target, redshift)
        if transforms is not None:
            prepare = transforms.scale if self.scale_only else transforms.standardise
            inputs = prepare(inputs[None], redshift)[0]
        halos = arrays.halos
        if SEALED_KEY in halos:
            key = [int(halos[SEALED_KEY][halo])]
        else:
            simulation = self.simulations.index(str(halos["simulation"][halo]))
            key = [simulation, *(int(halos[name][halo]) for name in KEY[1:])]
        inputs = apply_symmetry(inputs, symmetry, self.views)
        item = inputs, apply_symmetry(target, symmetry), torch.tensor([*key, los])
        return dict(zip(NAMES, item, strict=True)) if self.as_dict else item


class MapDataset(_Rows, Dataset[Any]):
    """Rows (halo, line of sight) of one split, held in memory.

    Item ``i`` is ``(inputs (C, H, W), target (1, H, W), key (5,))``, float32, float32 and int64; ``key`` is
    the number of the simulation in ``simulations``, region, snapshot, halo_id and the number of the line of
    sight. Of sealed inputs, the key is the opaque one and the line of sight, (2,).

    Parameters
    ----------
    store, split
        A finished store and one of its splits.
    views
        The input views, in the order of the channels.
    transforms
        None: raw physical values. Else inputs are standardised and the target is what the baselines learn
        (`Transforms.target`): the residual of log10 of the mass on the benchmark's score grid to the
        climatology, in dex.
    target
        False where the split has no truth (sealed inputs): the target is then empty, (0, H, W). The view is
        that of the transforms, and without them the mass; or its name.
    symmetries
        Apply one of the square's eight symmetries to each item, drawn from torch's random numbers.
    halos
        Only these, as a slice.
    as_dict
        Items are ``{"inputs", "target", "key"}`` instead of a tuple.
    """

    def __init__(
        self,
        store: str | Path,
        split: str = "train",
        views: Sequence[str] = ("sz", "xray", "star"),
        *,
        transforms: Transforms | None = None,
        target: bool | str = True,
        symmetries: bool = False,
        halos: slice | None = None,
        as_dict: bool = False,
    ) -> None:
        super().__init__(store, split, views, transforms, target, symmetries=symmetries, as_dict=as_dict)
        self.arrays = read_split(store, split, self.read, halos)

    def __len__(self) -> int:
        return len(self.arrays) * self.lines

    def __getitem__(self, row: int) -> Any:
        row = operator.index(row)  # one of numpy's has too few bits to count with
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        number = int(torch.randint(SYMMETRIES, ())) if self.symmetries else 0
        halo, los = divmod(row % len(self), self.lines)
        return self.item(self.arrays, halo, los, number)


class StreamDataset(_Rows, IterableDataset[Any]):
    """The items of `MapDataset`, read block by block: for stores that memory does not hold.

    Each epoch goes once through every row: blocks of halos in an order drawn from (seed, epoch), dealt out
    to ranks and workers, rows shuffled inside a buffer of several blocks. Set ``epoch`` before iterating.

    An epoch that was stopped goes on where it stood: `state_dict`, then `load_state_dict` of a data set made
    alike. Each worker of a loader has its own state, which torchdata's ``StatefulDataLoader`` gathers.

    Parameters
    ----------
    store, split, views, transforms, target, symmetries, as_dict
        As for `MapDataset`.
    block, buffer
        Halos read at once (best a store's ``shard_halos``), and blocks held and shuffled together.
    rank, ranks
        This process and the number of processes that share the epoch.

    With ``scale_only`` set, maps are brought to redshift 0 by ``transforms``, and nothing else is applied.
    """

    def __init__(
        self,
        store: str | Path,
        split: str = "train",
        views: Sequence[str] = ("sz", "xray", "star"),
        *,
        transforms: Transforms | None = None,
        target: bool | str = True,
        symmetries: bool = False,
        seed: int = 0,
        block: int = 32,
        buffer: int = 4,
        rank: int = 0,
        ranks: int = 1,
        as_dict: bool = False,
    ) -> None:
        super().__init__(store, split, views, transforms, target, symmetries=symmetries, as_dict=as_dict)
        if seed < 0 or block < 1 or not 0 <= rank < ranks:
            raise InputError(
                f"seed {seed}, block {block}, rank {rank} of {ranks}: seeds are 0 or more, blocks 1 or more, "
                "and ranks count from 0"
            )
        self.seed, self.block, self.buffer = seed, block, max(buffer, 1)
        self.rank, self.ranks, self.epoch = rank, ranks, 0
        self._given = self._start = 0

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch stands: its number, the rows given, and what decides their order."""
        return {"epoch": self.epoch, "given": self._given, "order": self._order()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on from a state; InputError for one of another order of rows."""
        if list(state["order"]) != self._order():
            raise InputError(
                f"this state is of seed, block, buffer, rank, ranks, halos = {state['order']}; this data set "
                f"has {self._order()}"
            )
        self.epoch, self._start = int(state["epoch"]), int(state["given"])
        self._given = self._start

    def _order(self) -> list[int]:
        return [self.seed, self.block, self.buffer, self.rank, self.ranks, self.halos]

    def __iter__(self) -> Iterator[Any]:
        self._given, self._start = self._start, 0
        for item in self._rows(self._given):
            self._given += 1
            yield item
        self._given = 0

    def _rows(self, skip: int) -> Iterator[Any]:
        """The rows of this epoch and process without the first ``skip``."""
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        parts, part = self.ranks * workers, self.rank * workers + number
        blocks = np.random.default_rng([self.seed, self.epoch]).permutation(-(-self.halos // self.block))
        draw = np.random.default_rng([self.seed, self.epoch, part])
        mine = [int(b) * self.block for b in blocks[part::parts]]
        for first in range(0, len(mine), self.buffer):
            parts_of = [
                slice(start, min(start + self.block, self.halos))
                for start in mine[first : first + self.buffer]
            ]
            count = self.lines * sum(part.stop - part.start for part in parts_of)
            if skip >= count:
                # Nothing is read, but the draws that follow are those of a whole epoch.
                skip -= count
                self._draw(draw, count)
                continue
            held = [read_split(self.store, self.split, self.read, part) for part in parts_of]
            rows = [
                (arrays, halo, los)
                for arrays in held
                for halo in range(len(arrays))
                for los in range(len(arrays.los_vector))
            ]
            for place, symmetry in self._draw(draw, count)[skip:]:
                arrays, halo, los = rows[place]
                yield self.item(arrays, halo, los, symmetry)
            skip = 0

    def _draw(self, draw: np.random.Generator, count: int) -> list[tuple[int, int]]:
        """Order and symmetry of so many rows."""
        places = draw.permutation(count).tolist()
        return [(place, int(draw.integers(SYMMETRIES)) if self.symmetries else 0) for place in places]
