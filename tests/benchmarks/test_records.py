"""A store is held against the kept record of the data set that it says it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import records
from benchmarks.cli import app
from benchmarks.fingerprints import dataset_key
from benchmarks.scoring import score_submission
from benchmarks.sealing import seal
from benchmarks.truth import Truth
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import SplitArrays


@pytest.fixture(scope="module")
def record(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("datasets")
    done = CliRunner().invoke(app, ["fingerprint", "--data", str(store), "--out", str(folder)])
    assert done.exit_code == 0, done.output
    return json.loads((folder / "tiny.json").read_text())


def test_a_record_holds_the_masses_of_the_halos(
    record: dict[str, Any], store: Path, test_split: SplitArrays
) -> None:
    halos = test_split.halos
    order = np.lexsort([halos[k] for k in ("halo_id", "snapshot", "region", "simulation")])
    assert record["fingerprint"]["M200c"] == pytest.approx(halos["M200c"][order].tolist(), rel=1e-4)
    inside = np.sum(test_split.maps["mass"] * Truth(store).grid.circle(1.0), axis=(2, 3), dtype=float)
    cylinder = inside.mean(axis=1) * halos["R200c"] ** 2
    # On the score grid, a little of it is smoothed over the edge.
    assert record["fingerprint"]["cylinder_mass"] == pytest.approx(cylinder[order].tolist(), rel=0.02)
    assert set(record["references"]) == {"climatology", "oracle R200c"}


def test_a_store_that_is_not_what_it_says_is_refused(
    record: dict[str, Any], submit: Callable[..., Path], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = submit()
    for factor, refused in ((1.0005, False), (1.002, True)):
        other = copy.deepcopy(record)
        other["fingerprint"]["M200c"][4] *= factor
        key = dataset_key(record["dataset"])
        monkeypatch.setattr(records, "kept_records", lambda other=other, key=key: {key: other})
        if refused:
            with pytest.raises(
                InputError, match="says it is tiny, but its truth is another: M200c of its halo 5"
            ):
                score_submission(folder, store)
        else:
            score_submission(folder, store)


def test_no_record_is_made_of_held_back_truth(store: Path, tmp_path: Path) -> None:
    _, truth = seal(store, tmp_path / "s")
    done = CliRunner().invoke(app, ["fingerprint", "--data", str(truth), "--out", str(tmp_path)])
    assert isinstance(done.exception, InputError) and "would tell its truth" in str(done.exception)


def test_the_kept_records_are_of_this_version() -> None:
    for key, record in records.kept_records().items():
        assert key == dataset_key(record["dataset"], record["training"])
        assert record["noise_floor"] is None or record["noise_floor"]["residual_rms_dex"] > 0
