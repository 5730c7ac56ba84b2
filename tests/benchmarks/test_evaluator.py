"""Scores of maps in memory are those of a submission, whatever the rows are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import Evaluator
from benchmarks.registry import RANKING
from benchmarks.scoring import score_submission
from three_hundred_maps import load_dataset, open_store
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import SplitArrays, read_split
from three_hundred_maps.torch_data import MapDataset, StreamDataset


def test_the_scores_are_those_of_a_submission(
    submit: Callable[..., Path], store: Path, test_split: SplitArrays, fair: np.ndarray
) -> None:
    sigma = np.full_like(fair, 0.1)
    expected = score_submission(submit(mass_sigma=sigma), store)["scores"]
    evaluator = Evaluator(store)
    assert evaluator.evaluate(fair, mass_sigma=sigma) == expected
    order = np.random.default_rng(0).permutation(len(fair))
    keys = {name: values[order] for name, values in test_split.halos.items()}
    assert evaluator.evaluate(fair[order], keys, mass_sigma=sigma[order]) == expected


def test_rows_and_maps_of_many_kinds(store: Path, fair: np.ndarray) -> None:
    evaluator = Evaluator(store)
    rows = MapDataset(store, "test", ["sz"])
    maps = fair.reshape(-1, *fair.shape[2:])
    streamed = load_dataset(data_dir=store, split="test", streaming=True)
    scores = evaluator.evaluate(fair)
    mapped = streamed.map(dict)  # datasets knows no columns of it
    split = open_store(store)["test"]
    for given, of in ((maps, rows), (list(maps), streamed), (maps, mapped), (fair, split)):
        assert evaluator.evaluate(given, of) == scores


def test_another_split_is_found_by_its_rows(store: Path) -> None:
    maps = read_split(store, "train", ["mass"]).maps["mass"]
    evaluator = Evaluator(store)
    for rows in ("train", MapDataset(store, "train", ["sz"])):
        assert evaluator.evaluate(maps * 1.2, rows)[RANKING]["value"] == pytest.approx(
            np.log10(1.2), rel=1e-3
        )


def test_what_cannot_be_evaluated(store: Path, fair: np.ndarray) -> None:
    evaluator = Evaluator(store)
    for maps, rows, message in (
        (fair, "tests", "no split 'tests'"),
        (fair[:3], "test", r"shape \(3, 2, 80, 80\); expected \(12, 2, 80, 80\)"),
        (fair[:3], MapDataset(store, "test", ["sz"], halos=slice(0, 3)), "9 of 12 test halos missing"),
        (-fair, "test", "mass is negative"),
        (fair.astype(float) * 1e100, "test", "mass is infinite"),
        (fair + 0j, "test", "mass holds complex"),
        (fair, StreamDataset(store, "test", ["sz"]), "take a MapDataset"),
        (fair, load_dataset(data_dir=store), "several splits: take one, of train, validation, test"),
        ([fair[:1], fair[1:]], "test", "maps of a list differ in shape"),
    ):
        with pytest.raises(InputError, match=message):
            evaluator.evaluate(maps, rows)
    with pytest.raises(InputError, match="no task 'mass'"):
        Evaluator(store, "mass")
    with pytest.raises(InputError, match="no store"):
        Evaluator(store / "nothing")
