"""On other simulations: what is trained, predicted and scored, and the page of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.helpers import submitted
from three_hundred_maps.keys import KEY
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import TARGET
from tools import transfer
from tools.plan import TRACKS
from tools.steps import Work
from tools.transfer_page import CURES, HEADS, TITLES, Finer, render

others = [f"{track}-{scaling}" for track in TRACKS for scaling in transfer.OTHER_SCALINGS]
DOCS = Path(__file__).resolve().parents[2] / "docs"


def stores_of(folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in (*transfer.TARGETS, transfer.VARIED, transfer.SHIPPED)}


def test_every_model_is_scored_on_every_target(tmp_path: Path):
    stages = transfer.make_stages(stores_of(tmp_path), Work(tmp_path, steps=5))
    training, predicting, scoring = stages
    models = transfer.make_models(stores_of(tmp_path), Work(tmp_path))
    assert {model.name for model in models} == set(TITLES) | set(CURES)
    assert len(training) == sum(isinstance(model.run, Path) for model in models)
    assert len(predicting) == len(scoring) == len(models) * len(HEADS) + 2 * len(others)
    commands = {step.name: step.command for step in (*training, *predicting, *scoring)}
    assert "--split all" in commands["predict sz-real"] and "--task" not in commands["predict sz-real"]
    assert f"--split all --trained-on {tmp_path}/home" in commands["score sz-real"]
    assert f"--trained-on {tmp_path}/varied" in commands["score varied-real"]
    assert "baselines.predict residual-varied --data" in commands["predict residual-varied-home"]
    assert f"--predict {tmp_path}/code" in commands["predict ridge-sz-xray-star-code"]
    assert "--plain" in commands["train plain"] and "--no-thin-stars" in commands["train no-thinning"]
    assert others and all(
        f"--scaling {name.split('-')[1]}" in commands[f"predict {name}-{target}"]
        for name in others
        for target in ("epoch", "real")
    )


def test_models_of_the_cross_code_comparison_are_taken_from_its_folder(tmp_path: Path):
    run = tmp_path / "cross" / "runs" / "mini-all"
    run.mkdir(parents=True)
    (run / "README.md").touch()
    trained = (tmp_path / "cross" / "runs", "mini")
    training, predicting, _ = transfer.make_stages(stores_of(tmp_path), Work(tmp_path), trained)
    done = {step.name: step.done.exists() for step in training}
    assert done["train mini-all"] and not done["train sz"]
    assert any(str(run) in step.command for step in predicting)


def test_a_prediction_stands_against_the_truth_of_lighter_particles(tmp_path: Path, store: Path):
    truth = read_split(store, "test", [TARGET])
    order = np.arange(len(truth))[::-1]
    halos = {name: truth.halos[name][order] for name in KEY}
    off = 10.0**0.1
    submission = submitted(tmp_path / "s", off * truth.maps[TARGET][order], track="none", rows=halos)
    # A pixel at the floor of the logarithm is off by less.
    assert Finer(store).error(submission) == pytest.approx(0.1, abs=1e-4)
    zarr.open_group(submission / "predictions.zarr")["region"][0] = 999
    assert Finer(store).error(submission) is None


def test_the_page_says_what_the_numbers_say():
    def scored(rms: float, bias: float) -> dict[str, object]:
        halo = {"halo_id": 7, "M200c": 9e13, "redshift": 0.989, "rms_over_climatology": rms / 0.2,
                "mass_bias": bias}  # fmt: skip
        return {
            "rms": rms, "above_noise": rms - 0.02, "noise_floor": 0.05, "mass_bias": bias,
            "mass_scatter": 0.1, "dataset": {"name": "x", "halos": 1}, "halos": [halo], "training": ["mini"],
            "outside": "redshifts beyond 0",
        }  # fmt: skip

    models = {
        name: {"views": "star" if name == "star" else "sz"} | {t: scored(0.11, 0.05) for t in HEADS}
        for name in {*TITLES, *CURES, *others}
    }
    for model in models.values():
        model["finer"] = 0.115
    models["star"]["real"] = scored(0.44, -0.6)
    models["plain"]["resolution"] = scored(0.15, 0.05)
    models["no-median"]["code"] = scored(0.1, 0.05)
    models["no-dropout"]["real"] = scored(0.11, 0.01)
    page = render(models, 400)
    assert "- stars: better than the climatology on 0 of 1; mass bias -60 %." in page
    assert "heavier particles -0.0400, redshift 1 " in page and "- stars: redshifts beyond 0" in page
    assert "Inputs of heavier particles alone cost +0.0050 (the plain model +0.0050)." in page
    assert page.count("| noise floor of the truth |") == 2 and "--steps 400" in page
    assert "another code, without the X-ray median (0.1000)" in page
    assert "is smallest without view dropout (+0.01)" in page
    assert page.count("2.20, -60 %") == 1 and "| U-Net | stars | 0.1100" in page


def test_the_page_is_that_of_its_numbers():
    kept = json.loads((DOCS / "transfer.json").read_text("utf-8"))
    assert (DOCS / "transfer.md").read_text("utf-8") == render(**kept)
