"""Scores of maps in memory: what `score` says of a submission, without writing one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.references import all_scores
from benchmarks.rows import ALL, Rows, find_rows
from benchmarks.scoring import score_maps
from benchmarks.summary import Summary, score_values
from benchmarks.tasks import MASS_MAP, Task, find_task
from benchmarks.truth import SPLIT, Truth
from benchmarks.validation import order_of
from benchmarks.variables import SAMPLES, check_sample_count, check_smoothed, given_maps
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import root_attrs
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.schema import SPLITS


class Evaluator:
    """Scores predicted maps against a split of a store.

    Parameters
    ----------
    store
        A store, or the name of a config as ``mini``.
    task
        The task, by its name or as declared: what is predicted.
    trained_on
        Another store, whose climatology is then the zero of the skill.
    workers
        Threads; 0 for as many as there are processors.

    Raises
    ------
    InputError
        Where there is no such store or task.
    """

    def __init__(
        self,
        store: str | Path,
        task: str | Task = MASS_MAP,
        *,
        trained_on: str | Path | None = None,
        workers: int = 0,
    ) -> None:
        self.store, self.task, self.workers = find_store(store), find_task(task), workers
        self.trained_on = () if trained_on is None else (find_store(trained_on),)
        root_attrs(self.store)
        self._truths: dict[str, Truth] = {}

    def evaluate(
        self,
        maps: Any = None,
        rows: Any = SPLIT,
        *,
        mass_sigma: Any = None,
        mass_samples: Any = None,
        smoothed_fwhm: float | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Every score with its interval.

        Parameters
        ----------
        maps
            (halo, los, y, x), or one map a row (row, y, x), or a list: total surface density, Msun kpc-2;
            of another task what it predicts, in its units.
        rows
            What ``maps`` belong to, in their order: a split of the store by its name or ``all``, a
            `MapDataset`, rows of `datasets.load_dataset`, or a mapping with the halos' keys. A whole split,
            in any order.
        mass_sigma
            As ``maps``: sigma of log10 of the prediction, dex.
        mass_samples
            Instead of both: 2 to 64 posterior samples (halo, los, sample, y, x), or (row, sample, y, x), Msun
            kpc-2.
        smoothed_fwhm
            0.05 where the samples are on the score grid already; by default they are smoothed once more.

        Returns
        -------
        ``{score: {"value", "low", "high"}}``, as a result has it.

        Raises
        ------
        InputError
            Where maps or rows are not those of a split.
        """
        if isinstance(rows, str) and rows not in (*SPLITS, ALL):
            raise InputError(f"no split {rows!r}: a store has {', '.join(SPLITS)}; or {ALL}")
        found = find_rows((self.store, rows) if isinstance(rows, str) else rows)
        truth, order = self._match(found, [rows] if isinstance(rows, str) else [SPLIT, *SPLITS])
        given = given_maps(maps, mass_sigma, mass_samples)
        check_smoothed(smoothed_fwhm, given)
        arranged = {name: np.asarray(found.arrange(_whole(values), name)) for name, values in given.items()}
        for name, values in arranged.items():
            samples = values.shape[2:3] if name == SAMPLES else ()
            expected = (truth.n_halos, truth.n_los, *samples, *[truth.grid.maps.pixels] * 2)
            if values.shape != expected:
                raise InputError(f"{name} has the shape {values.shape}; expected {expected} or one map a row")
            check_sample_count(name, values.shape)

        def read(variable: str, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
            # Float64 beyond what float32 holds becomes inf here, and the check names it.
            with np.errstate(over="ignore"):
                return arranged[variable][order[chosen]].astype(np.float32)

        measured, background = score_maps(
            truth, read, variables=tuple(given), workers=self.workers, on_grid=smoothed_fwhm is not None
        )
        assert measured is not None
        summary = Summary(measured, truth.halos["region"], truth.grid, background.noise_free(truth))
        return score_values(all_scores(summary, truth, background))

    def _match(self, found: Rows, splits: list[str]) -> tuple[Truth, NDArray[np.int64]]:
        """The split that the rows are of, and the row of each of its halos."""
        first = ""
        for split in splits:
            if split not in self._truths:
                self._truths[split] = Truth(
                    self.store, task=self.task, split=split, trained_on=self.trained_on
                )
            truth = self._truths[split]
            order, problems = order_of(found, truth)
            if not problems:
                return truth, order
            first = first or problems[0]
        raise InputError(f"the rows are those of no whole split of {self.store}: {first}")


def _whole(values: Any) -> Any:
    """A list of maps as one array."""
    if not isinstance(values, list | tuple):
        return values
    try:
        return np.stack([np.asarray(each) for each in values])
    except ValueError:
        raise InputError("maps of a list differ in shape: join batches by numpy.concatenate") from None
