"""Training on several stores at once: all rows count, the first store's statistics and test are used."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.data import load_rows
from baselines.machine import Machine
from baselines.settings import Settings
from baselines.unet import make_trainer, train
from three_hundred_maps.errors import InputError
from three_hundred_maps.testing import tiny_store
from three_hundred_maps.torch_transforms import ScoreGrid

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same regions in the same splits, other halos."""
    return tiny_store(
        tmp_path_factory.mktemp("stores") / "twin", halos=(12, 4, 4), n_los=3, pixels=32, seed=1, name="twin"
    )


def test_rows_of_both_stores_are_trained_on(store: Path, twin: Path, settings: Settings, tmp_path: Path):
    both = replace(settings, data=f"{store}+{twin}")
    trainer = make_trainer(both, store, tmp_path / "none", Machine(CPU), [twin])
    rows = trainer.batches.rows
    transforms = trainer.model.transforms
    parts = [
        load_rows(each, "train", transforms, ScoreGrid(transforms, "score", CPU), device=CPU, raw=True)
        for each in (store, twin)
    ]
    assert len(rows) == len(parts[0]) + len(parts[1]) == trainer.samples_per_epoch
    torch.testing.assert_close(rows.inputs, torch.cat([part.inputs for part in parts]))
    assert len(np.unique(rows.halo)) == 24
    assert len(trainer.validation) == 4 * min(settings.validation_lines, 3)


def test_a_mixed_run_says_what_it_was_trained_on(store: Path, twin: Path, settings: Settings, tmp_path: Path):
    train(replace(settings, data=f"{store}+{twin}", steps=2), tmp_path / "run")
    content = json.loads((tmp_path / "run" / "submission" / "submission.json").read_text())
    assert content["trained_on"] == "tiny+twin"
    assert content["dataset"]["name"] == "tiny"


def test_a_region_in_two_splits_is_refused(store: Path, settings: Settings, tmp_path: Path):
    moved = tiny_store(tmp_path / "moved", halos=(14, 2, 4), n_los=3, pixels=32, seed=2)
    with pytest.raises(InputError, match="region 13 is in the split train of .*moved and in validation of"):
        train(replace(settings, data=f"{store}+{moved}"), tmp_path / "run")


def test_stores_of_other_units_or_another_grid_or_one_twice_are_refused(
    store: Path, twin: Path, settings: Settings, tmp_path: Path
):
    fine = tiny_store(tmp_path / "fine", halos=(12, 4, 4), n_los=3, pixels=48)
    counts = shutil.copytree(twin, tmp_path / "counts")
    for path in (counts / "zarr.json", counts / "train" / "star" / "zarr.json"):
        path.write_text(path.read_text().replace("Msun kpc-2", "ct s-1 arcmin-2"))
    seen = shutil.copytree(twin, tmp_path / "seen")
    content = json.loads((seen / "zarr.json").read_text())
    content["attributes"]["observed"] = {"level": "deep"}
    (seen / "zarr.json").write_text(json.dumps(content))
    for other, said in (
        (seen, "one is as telescopes see it"),
        (fine, "have 32 pixels over 2 R200c, those of .*fine 48 over 2"),
        (counts, "star of .*counts is in ct s-1 arcmin-2, and trained on is Msun kpc-2"),
        (store, "a store is named twice"),
    ):
        with pytest.raises(InputError, match=said):
            train(replace(settings, data=f"{store}+{other}"), tmp_path / "run")


def test_a_missing_store_of_several_is_named(store: Path, settings: Settings, tmp_path: Path):
    with pytest.raises(InputError, match="no store at .*nowhere"):
        train(replace(settings, data=f"{store}+{tmp_path}/nowhere"), tmp_path / "run")


def test_a_path_with_a_plus_is_one_store(settings: Settings, tmp_path: Path):
    plus = tiny_store(tmp_path / "a+b", halos=(4, 2, 2), n_los=2, pixels=32)
    run = train(replace(settings, data=str(plus), steps=2), tmp_path / "run")
    assert run.progress.step == 2
