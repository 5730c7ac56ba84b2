"""The truth a submission is scored against: the test split of a store, public or sealed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.constants import STANDARD, Constants
from benchmarks.grid import Grid, make_grid
from benchmarks.manifest import load_json
from benchmarks.rows import generator_of
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.keys import KEY, SEALED_KEY
from three_hundred_maps.store.schema import HALF

SEAL_FILE = "seal.json"
MAX_SEAL_BYTES = 200_000_000
TARGET = "mass"
SPLIT = "test"


@dataclass(frozen=True)
class Block:
    """Some halos of the truth.

    Parameters
    ----------
    rows
        (halo,): their rows in the split.
    mass
        (halo, los, y, x), Msun kpc-2.
    half
        The same from half of the particles, times 2; None where the store has none.
    """

    rows: NDArray[np.int64]
    mass: NDArray[np.float32]
    half: NDArray[np.float32] | None


class Truth:
    """A split of a finished store, by default ``test``.

    Parameters
    ----------
    store
        Its path.
    constants
        Of the benchmark.
    split
        Results are of ``test`` alone.

    Attributes
    ----------
    halos
        (halo,) arrays: every value of the halos.
    keys
        (halo,) by name: the halos' keys, or the opaque one of a sealed store.
    digest
        Of the store; of a sealed one that of its inputs, which is all that results may tell.
    mass_relation
        Of a sealed truth: `benchmarks.references.mass_relation` of the store it was made of.
    sealed
        Whether the truth is held back: results then show no map of it.

    Raises
    ------
    InputError
        Where the store is not finished, has no mass maps, no test halo, or no statistics of train.
    """

    def __init__(self, store: str | Path, constants: Constants = STANDARD, *, split: str = SPLIT) -> None:
        from three_hundred_maps.store.arrays import open_group, read_split, root_attrs, store_digest
        from three_hundred_maps.store.statistics import read_statistics

        self.path = Path(store)
        self.constants, self.split = constants, split
        self.digest = store_digest(store)
        self.attrs = root_attrs(store)
        if TARGET not in self.attrs["views"]:
            raise InputError(f"{store} has no view {TARGET!r}: there is no truth to score against")
        first = read_split(store, split, [])
        self.halos: dict[str, NDArray[Any]] = first.halos
        self.n_halos, self.n_los = len(first), len(first.los_vector)
        if self.n_halos == 0:
            raise InputError(f"{store} has no halo in its {split} split: there is nothing to score")
        for name in ("M200c", "R200c", "R500c", "redshift"):
            values = np.asarray(self.halos[name], np.float64)
            if not np.isfinite(values).all() or (name != "redshift" and (values <= 0).any()):
                raise InputError(
                    f"{store}: {name} of the {split} split holds values that cannot be scored with"
                )
        self.has_half = HALF in open_group(store)[split]
        self.grid: Grid = make_grid(MapGrid.from_attrs(self.attrs, store), constants)
        climatology = read_statistics(store).climatology
        if climatology is None or climatology.pixels.sum() == 0:
            raise InputError(f"{store} has no climatology in its statistics: it has no train split")
        self.climatology = climatology
        low, high = climatology.log_range(constants.ssim_low, constants.ssim_high)
        self.data_range = high - low
        if not self.data_range > 0:
            raise InputError(f"{store}: the mass maps of its train split are all alike")
        self.sealed = (self.path / SEAL_FILE).exists()
        self.mass_relation: list[float] | None = None
        self.keys = self._read_seal() if self.sealed else {k: self.halos[k] for k in KEY}

    def _read_seal(self) -> dict[str, NDArray[np.int64]]:
        content = load_json(self.path / SEAL_FILE, MAX_SEAL_BYTES)
        keys = np.asarray(content["keys"], np.int64)
        self.digest, self.mass_relation = str(content["digest"]), content["mass_relation"]
        if len(keys) != self.n_halos:
            raise InputError(f"{self.path / SEAL_FILE} has {len(keys)} keys for {self.n_halos} halos")
        return {SEALED_KEY: keys}

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
        return tuple(view for view in self.attrs["views"] if view != TARGET)

    @property
    def r500(self) -> NDArray[np.float64]:
        """(halo,): R500c / R200c."""
        return np.asarray(self.halos["R500c"] / self.halos["R200c"], np.float64)

    def blocks(self, half: bool = False) -> Iterator[Block]:
        """The mass maps, shard by shard; ``half`` for the half-samples too."""
        from three_hundred_maps.store.arrays import iter_shards

        names = [TARGET] + ([HALF] if half and self.has_half else [])
        start = 0
        for shard in iter_shards(self.path, self.split, names):
            rows = np.arange(start, start + len(shard))
            start += len(shard)
            mass = shard.maps[TARGET]
            if not np.isfinite(mass).all():
                raise InputError(f"{self.path}: the mass maps of the {self.split} split hold NaN or inf")
            yield Block(rows, mass, shard.maps.get(HALF))
