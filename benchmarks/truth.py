"""The truth a submission is scored against: a split of a store, public or sealed, or all of its splits."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.constants import STANDARD, Constants
from benchmarks.grid import Grid, make_grid
from benchmarks.manifest import load_json
from benchmarks.rows import ALL, dataset_identity, read_halos
from benchmarks.tasks import MASS_MAP, Task, find_task
from three_hundred_maps.climatology import Climatology
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.keys import KEY, SEALED_KEY
from three_hundred_maps.store.arrays import iter_shards, open_group, read_split, root_attrs, store_digest
from three_hundred_maps.store.schema import TARGET, generator_of
from three_hundred_maps.store.statistics import climatology_of

SPLIT = MASS_MAP.split
SEAL_FILE = "seal.json"
MAX_SEAL_BYTES = 200_000_000
RANGES = ("M200c", "redshift")
"""What is told of the halos a model was trained on."""


@dataclass(frozen=True)
class Block:
    """Some halos of the truth.

    Parameters
    ----------
    rows
        (halo,): their rows in the truth.
    maps
        (halo, los, y, x): of the task's target, as of mass in Msun kpc-2.
    half
        The same from half of the particles, times 2; None where the store has none.
    """

    rows: NDArray[np.int64]
    maps: NDArray[np.float32]
    half: NDArray[np.float32] | None

    def parts(self, halos: int) -> Iterator[Block]:
        """The same in blocks of at most so many halos."""
        for first in range(0, len(self.rows), halos):
            part = slice(first, first + halos)
            yield Block(self.rows[part], self.maps[part], None if self.half is None else self.half[part])


def read_seal(store: Path) -> dict[str, Any]:
    """What `benchmarks.sealing.seal` says of a truth."""
    content: dict[str, Any] = load_json(store / SEAL_FILE, MAX_SEAL_BYTES)
    return content


class Truth:
    """A split of a finished store, by default ``test``, or all of its splits.

    Parameters
    ----------
    store
        Its path.
    constants
        Of the benchmark.
    task
        What is predicted and may be seen: a task, or its name.
    split
        ``train``, ``validation``, ``test`` or ``all``; by default what the task scores.
    trained_on
        Stores whose train splits set the zero of the skill; by default the store itself.

    Attributes
    ----------
    halos
        (halo,) arrays: every value of the halos.
    keys
        (halo,) by name: the halos' keys, or the opaque one of a sealed store.
    counts
        Number of halos by split, in the order of ``halos``.
    digest
        Of the store; of a sealed one that of its inputs, which is all that results may tell.
    mass_relation
        Of a sealed truth: `benchmarks.references.mass_relation` of the store it was made of.
    sealed
        Whether the truth is held back: results then show no map of it.

    Raises
    ------
    InputError
        Where the store is not finished, has no maps of the target, no halo to score, or no statistics of
        train; where it is sealed for another target.
    """

    def __init__(
        self,
        store: str | Path,
        constants: Constants = STANDARD,
        *,
        task: str | Task = MASS_MAP,
        split: str | None = None,
        trained_on: Sequence[str | Path] = (),
    ) -> None:
        self.path = Path(store)
        self.task = find_task(task)
        split = split or self.task.split
        self.constants, self.split = self.task.constants(constants), split
        self.digest = store_digest(store)
        self.attrs = root_attrs(store)
        if self.target not in self.attrs["views"]:
            raise InputError(f"{store} has no view {self.target!r}: there is no truth to score against")
        first, self.counts = read_halos(store, split)
        self.halos: dict[str, NDArray[Any]] = first.halos
        self.n_halos, self.n_los = len(first), len(first.los_vector)
        if self.n_halos == 0:
            raise InputError(f"{store} has no halo in its {self.part}: there is nothing to score")
        for name in ("M200c", "R200c", "R500c", "redshift"):
            values = np.asarray(self.halos[name], np.float64)
            if not np.isfinite(values).all() or (name != "redshift" and (values <= 0).any()):
                raise InputError(
                    f"{store}: {name} of the {self.part} holds values that cannot be scored with"
                )
        root = open_group(store)
        units = root[next(iter(self.counts))][self.target].attrs["units"]
        if units != self.task.units:
            raise InputError(
                f"{store}: {self.target} is in {units}; the task {self.task.name} scores {self.task.units}"
            )
        self.halved = tuple(name for name in self.counts if self.task.half in root[name])
        self.grid: Grid = make_grid(MapGrid.from_attrs(self.attrs, store), self.constants)
        self.trained_on = tuple(map(Path, trained_on))
        self.train_stores = self.trained_on or (self.path,)
        for path in self.trained_on:
            if (path / SEAL_FILE).exists() or root_attrs(path).get("sealed"):
                raise InputError(f"{path} is sealed: it has no maps of train, whose climatology is asked for")
        self.sealed = (self.path / SEAL_FILE).exists()
        if split == ALL and self.sealed:
            raise InputError(f"{store} is sealed: of it the test split alone can be scored")
        self.mass_relation: list[float] | None = None
        self._sealed_climatology: Climatology | None = None
        self.keys = self._read_seal() if self.sealed else {k: self.halos[k] for k in KEY}
        if (split != ALL or trained_on) and not self.data_range > 0:
            names = ", ".join(map(str, self.train_stores))
            raise InputError(f"{names}: the maps of {self.target} of the train split are all alike")

    def _read_seal(self) -> dict[str, NDArray[np.int64]]:
        content = read_seal(self.path)
        if content["target"] != self.target:
            raise InputError(
                f"{self.path} is sealed for the task {content['task']}, to predict {content['target']}, "
                f"not for {self.task.name}"
            )
        self._sealed_climatology = Climatology.from_json(content["climatology"])
        self.digest, self.mass_relation = str(content["digest"]), content["mass_relation"]
        keys = np.asarray(content["keys"], np.int64)
        if len(keys) != self.n_halos:
            raise InputError(f"{self.path / SEAL_FILE} has {len(keys)} keys for {self.n_halos} halos")
        return {SEALED_KEY: keys}

    @functools.cached_property
    def climatology(self) -> Climatology:
        """Of the train splits that set the zero of the skill."""
        if self._sealed_climatology is not None and not self.trained_on:
            return self._sealed_climatology
        total = Climatology.empty()
        for store in self.train_stores:
            total = total.merge(climatology_of(store, self.target, self.constants.floor))
        return total

    @functools.cached_property
    def data_range(self) -> float:
        """Of ssim, dex."""
        low, high = self.climatology.log_range(self.constants.ssim_low, self.constants.ssim_high)
        return high - low

    @functools.cached_property
    def training(self) -> list[dict[str, Any]]:
        """Of each store given as ``trained_on``: what it is, and the range of its train split's halos."""
        found = []
        for store in self.trained_on:
            halos = read_halos(store, "train")[0].halos
            ranges = {
                name: [float(f"{end:.6g}") for end in (halos[name].min(), halos[name].max())]
                for name in RANGES
            }
            found.append({**dataset_identity(store), **ranges})
        return found

    @property
    def identity(self) -> dict[str, Any]:
        """What is scored, as results and records keep it."""
        return {
            "name": self.name,
            # Of a sealed data set, the recipe's digest would let guesses of its seed be checked.
            "recipe_sha256": None if self.sealed else self.attrs.get("recipe_sha256"),
            "generator": self.generator,
            "digest": self.digest,
            "split": self.split,
            # Of the mass, it is left out as before there were others.
            **({"target": self.target} if self.target != TARGET else {}),
        }

    @property
    def target(self) -> str:
        """The view that is predicted."""
        return self.task.target

    @property
    def part(self) -> str:
        """What is scored, in words."""
        return "splits" if self.split == ALL else f"{self.split} split"

    @property
    def has_half(self) -> bool:
        """Whether some of its halos have half-samples."""
        return any(self.counts[name] for name in self.halved)

    @functools.cached_property
    def half_rows(self) -> NDArray[np.int64]:
        """(halo,): rows of the halos with half-samples."""
        split_of = np.repeat(list(self.counts), list(self.counts.values()))
        return np.flatnonzero(np.isin(split_of, self.halved))

    @property
    def name(self) -> str:
        """Of the store."""
        return str(self.attrs["name"])

    @property
    def generator(self) -> str | None:
        """Version of the synthetic simulation that made it; None for maps of other simulations."""
        return generator_of(self.attrs)

    @property
    def views(self) -> tuple[str, ...]:
        """Views a track may name."""
        return self.task.views(self.attrs["views"])

    @property
    def key_names(self) -> tuple[str, ...]:
        """What tells its halos apart: of one simulation, the key without it."""
        return KEY if len(set(self.halos[KEY[0]].tolist())) > 1 else KEY[1:]

    @property
    def r500(self) -> NDArray[np.float64]:
        """(halo,): R500c / R200c."""
        return np.asarray(self.halos["R500c"] / self.halos["R200c"], np.float64)

    def blocks(self, half: bool = False) -> Iterator[Block]:
        """The maps of the target, shard by shard; ``half`` for the half-samples too, where there are some."""
        start = 0
        for split in self.counts:
            names = [self.target] + ([self.task.half] if half and split in self.halved else [])
            for shard in iter_shards(self.path, split, names):
                rows = np.arange(start, start + len(shard))
                start += len(shard)
                maps = shard.maps[self.target]
                if not np.isfinite(maps).all():
                    raise InputError(
                        f"{self.path}: the maps of {self.target} of the {split} split hold NaN or inf"
                    )
                yield Block(rows, maps, shard.maps.get(self.task.half))

    def maps_of(self, halo: int) -> NDArray[np.float32]:
        """(1, los, y, x): the target's maps of one halo."""
        for split, count in self.counts.items():
            if halo < count:
                return read_split(self.path, split, [self.target], slice(halo, halo + 1)).maps[self.target]
            halo -= count
        raise IndexError(halo)
