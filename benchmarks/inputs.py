"""What a participant of a competition has: the sealed inputs, which tell all but the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.constants import STANDARD
from benchmarks.grid import make_grid
from benchmarks.rows import read_halos
from benchmarks.tasks import OBSERVED, find_task
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.keys import SEALED_KEY
from three_hundred_maps.store.arrays import root_attrs, store_digest


class SealedInputs:
    """Sealed inputs, as `benchmarks.truth.Truth` for what a submission is checked against before its scores.

    Parameters
    ----------
    store
        The folder ``inputs`` of `benchmarks.sealing.seal`.

    Raises
    ------
    InputError
        Where it cannot be read.
    """

    def __init__(self, store: Path) -> None:
        given = root_attrs(store)
        self.task = find_task(given["task"])
        self.split, self.part = self.task.split, f"{self.task.split} split"
        self.target = self.task.target
        self.name, self.digest, self.generator = str(given["dataset"]), store_digest(store), None
        self.views: tuple[str, ...] = tuple(given["views"])
        self.grid = make_grid(MapGrid.from_attrs(given, store), self.task.constants(STANDARD))
        # A sealed task is scored on what it was sealed for.
        self.attrs: dict[str, Any] = {"observed": {}} if self.task.name == OBSERVED else {}
        first, _ = read_halos(store, self.split)
        self.halos: dict[str, NDArray[Any]] = first.halos
        self.keys = {SEALED_KEY: np.asarray(first.halos[SEALED_KEY], np.int64)}
        self.n_halos, self.n_los = len(first), len(first.los_vector)
        if not self.n_halos:
            raise InputError(f"{store} holds no halo")
