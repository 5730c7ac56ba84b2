"""Tasks as declarations: what is predicted and what may be seen, in every part of the benchmark."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr

from baselines import climatology, mean_profile, predict, profile_regression, ridge, scaling
from benchmarks import Evaluator
from benchmarks.competition import write_bundle
from benchmarks.leaderboard import render
from benchmarks.records import write_record
from benchmarks.results import identity
from benchmarks.score_table import score_table
from benchmarks.scoring import score_maps, score_submission
from benchmarks.sealing import seal
from benchmarks.tasks import TASKS, Task, find_task, task_of_target
from benchmarks.truth import Truth
from benchmarks.validation import find_problems, validate
from tests.helpers import restated, submitted
from tests.snippets import snippets
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.statistics import climatology_of
from three_hundred_maps.testing import tiny_store

ROOT = Path(__file__).resolve().parents[2]
VIEWS = ("sz", "xray", "star", "mass", "gas", "dark_matter")


@pytest.fixture(scope="module")
def matter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the maps of gas and dark matter too."""
    return tiny_store(
        tmp_path_factory.mktemp("matter") / "store",
        halos=(10, 3, 12), n_los=2, pixels=32, views=VIEWS, name="tiny-matter",
    )  # fmt: skip


@pytest.fixture(scope="module")
def of_gas(matter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission of the task gas-map: gas of the right shape, off by a factor for each halo."""
    test = read_split(matter, "test", ["sz", "gas"])
    factor = 10 ** np.random.default_rng(1).normal(0.0, 0.1, (len(test), 1, 1, 1))
    ratio = test.maps["gas"].mean(axis=(2, 3), keepdims=True) / test.maps["sz"].mean((2, 3), keepdims=True)
    folder, maps = tmp_path_factory.mktemp("gas") / "submission", test.maps["sz"] * ratio * factor
    return submitted(folder, maps, name="Scaled y", task="gas-map", rows=(matter, "test"))


@pytest.mark.parametrize(
    ("task", "seen"),
    [
        ("mass-map", ("sz", "xray", "star", "gas")),
        ("gas-map", ("sz", "xray", "star")),
        ("dark-matter-map", ("sz", "xray", "star")),
    ],
)
def test_what_gives_the_target_away_is_no_input(matter: Path, task: str, seen: tuple[str, ...]) -> None:
    assert Truth(matter, task=task).views == seen
    hidden = (*VIEWS, "star_grainy", "mass_half", f"{TASKS[task].target}_half")
    assert set(TASKS[task].views(hidden)) == set(seen)


def test_a_task_is_scored_on_its_target(matter: Path) -> None:
    """A prediction that is a tenth of a dex high everywhere: its scores are known."""
    truth = read_split(matter, "test", ["gas", "dark_matter"]).maps
    for task in ("gas-map", "dark-matter-map"):
        maps = truth[TASKS[task].target] * 10**0.1
        scores = {k: s["value"] for k, s in Evaluator(matter, task=task).evaluate(maps).items()}
        assert scores["residual_bias"] == pytest.approx(0.1, abs=2e-3)
        for name in ("mass_bias", "mass_bias_0.25"):
            assert scores[name] == pytest.approx(10**0.1 - 1, rel=1e-4)
        assert scores["mass_scatter"] == pytest.approx(0, abs=1e-5) and scores["k_0.5"] == 20.0
        assert "rms_above_noise" not in scores
    assert Evaluator(matter).evaluate(truth["gas"])["mass_bias"]["value"] < -0.5


def test_a_submission_of_gas(of_gas: Path, matter: Path, tmp_path: Path) -> None:
    arrays = zarr.open_group(of_gas / "predictions.zarr", mode="r")
    assert "gas" in arrays and "mass" not in arrays and arrays["gas"].attrs["units"] == "Msun kpc-2"
    assert validate(of_gas, matter).task == "gas-map"
    result = score_submission(of_gas, matter)
    assert result["dataset"]["target"] == "gas" and "gas" in identity(result) and result["ranked"]
    assert result["noise_floor"] is None and "no noise floor" in score_table(result)
    assert result["scores"]["skill"]["value"] > 0 and set(result["references"]) == {
        "climatology",
        "oracle R200c",
    }
    truth = Truth(matter, task="gas-map")
    kept = climatology_of(matter, "gas").climatology
    np.testing.assert_array_equal(truth.climatology.climatology, kept)
    # of gas in Msun against M200c in Msun: the relation is the gas's own
    assert result["scores"]["log_m200_scatter"]["value"] < 0.3
    # the board says that there is no floor, in words
    page = render([result, {**result, "name": "Another"}], tmp_path / "site").read_text()
    assert "Gas maps" in page and "no noise floor: the store has no half-samples" in page
    assert ">noise floor<" not in page
    (submission, *_) = (tmp_path / "site" / "submissions").glob("scaled-y*.html")
    assert "There is no noise floor" in submission.read_text()
    # and the record of the data set is told from that of its mass
    _, background = score_maps(truth, None)
    assert write_record(tmp_path, truth, background).name == "tiny-matter-gas.json"


def test_targets_are_not_mixed(of_gas: Path, matter: Path, tmp_path: Path) -> None:
    problems, _, _ = find_problems(of_gas, Truth(matter))
    assert problems == ["submission.json: the task gas-map is to predict gas, not mass"]
    other = restated(shutil.copytree(of_gas, tmp_path / "other"), task="mass-map")
    with pytest.raises(InputError, match="mass/zarr.json is missing"):
        validate(other, matter)
    gas = read_split(matter, "test", ["gas"]).maps["gas"]
    for track, told in (("mass", "the track names mass"), ("dark_matter,sz", "dark_matter")):
        folder = submitted(tmp_path / track, gas, task="gas-map", track=track, rows=(matter, "test"))
        assert any(told in problem for problem in find_problems(folder, Truth(matter, task="gas-map"))[0])
    with pytest.raises(InputError, match="gas looks like log10"):
        submitted(tmp_path / "log", np.log10(gas + 1e5), task="gas-map", rows=(matter, "test"))


def test_a_sealed_task(of_gas: Path, matter: Path, tmp_path: Path) -> None:
    inputs, secret = seal(matter, tmp_path / "sealed", task="gas-map")
    group = zarr.open_group(inputs, mode="r")
    maps = {name for name, array in group["test"].arrays() if array.ndim == 4}
    assert maps == {"sz", "xray", "star"} and group.attrs["task"] == "gas-map"
    with pytest.raises(InputError, match="sealed for the task gas-map, to predict gas, not for mass-map"):
        Truth(secret)
    truth, opened = Truth(secret, task="gas-map"), Truth(matter, task="gas-map")
    np.testing.assert_allclose(truth.climatology.climatology, opened.climatology.climatology)
    test = read_split(matter, "test", ["gas"])
    order = np.argsort(truth.keys["key"])
    maps, rows = (1.2 * test.maps["gas"])[order], {"key": truth.keys["key"][order]}
    folder = submitted(tmp_path / "s", maps, task="gas-map", rows=rows)
    sealed = score_submission(folder, secret)["scores"]
    known = Evaluator(matter, task="gas-map").evaluate(1.2 * test.maps["gas"])
    for name in ("residual_rms_dex", "mass_bias", "skill", "log_m200_scatter"):
        assert sealed[name]["value"] == pytest.approx(known[name]["value"], rel=6e-3, abs=6e-3), name
    with pytest.raises(InputError, match="sealed store already"):
        seal(secret, tmp_path / "again", task="gas-map")
    # a competition of it holds the truth of gas, and says what is predicted
    write_bundle(tmp_path / "sealed", tmp_path / "bundle.zip", image="us/maps:1")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        names = bundle.namelist()
        about = yaml.safe_load(bundle.read("competition.yaml"))
        assert json.loads(bundle.read("reference_data/competition.json"))["task"] == "gas-map"
        assert b"predict the\ngas (Msun kpc-2) of every cluster" in bundle.read("pages/data.md")
    assert about["title"].startswith("Gas maps") and about["tasks"][0]["name"] == "Gas maps"
    kept = {name.split("/")[3] for name in names if name.startswith("reference_data/truth/test/")}
    assert "gas" in kept and not {"sz", "xray", "star", "mass"} & kept


@pytest.mark.parametrize("baseline", [climatology, mean_profile, profile_regression, ridge])
def test_the_baselines_predict_gas(baseline: Any, matter: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as done:
        baseline.main(["--data", str(matter), "--target", "gas", "--out", str(tmp_path / "run"), "--quiet"])
    assert done.value.code == 0
    result = score_submission(tmp_path / "run" / "submission", matter)
    assert result["task"] == "gas-map"
    skill = result["scores"]["skill"]["value"]
    assert abs(skill) < 0.02 if baseline is climatology else skill > 0.2, skill


@pytest.mark.parametrize(
    ("program", "words", "message"),
    [
        (ridge, ("--target", "gas", "--views", "mass"), "mass cannot be an input view"),
        (ridge, ("--target", "dark_matter", "--views", "sz,gas"), "gas cannot be an input view"),
        (ridge, ("--target", "star"), "no task of the benchmark is on the view star"),
        (ridge, ("--target", "gas", "--split", "all"), "is on the view gas of all splits"),
        (scaling, ("--target", "gas"), "--target gas"),
    ],
)
def test_targets_that_cannot_be_submitted(
    program: Any, words: tuple[str, ...], message: str, matter: Path, tmp_path: Path, capsys: Any
) -> None:
    with pytest.raises(SystemExit) as done:
        program.main([*words, "--data", str(matter), "--out", str(tmp_path / "run")])
    assert done.value.code == 2 and message in capsys.readouterr().err


def test_a_task_is_found_or_told(matter: Path, tmp_path: Path) -> None:
    assert find_task("gas-map") is find_task(TASKS["gas-map"]) is task_of_target("gas")
    assert task_of_target("mass", "all").name == "transfer" and task_of_target("mass").name == "mass-map"
    with pytest.raises(InputError, match="no task 'gas'; the tasks are mass-map"):
        find_task("gas")
    assert predict.Predicted(matter, target="dark_matter").task == "dark-matter-map"
    # Sealed inputs say what for; what predicts another target does not follow.
    zarr.create_group(tmp_path / "inputs", attributes={"sealed": 1, "task": "observed"})
    for target, task in (("mass", "observed"), ("gas", "gas-map")):
        assert predict.Predicted(tmp_path / "inputs", target=target).task == task
    own = replace(TASKS["gas-map"], name="own", floor=1e5)
    assert own.constants().floor == 1e5 and isinstance(own, Task) and own.at_home
    assert not TASKS["cross-code"].at_home and TASKS["observed"].at_home


def test_the_reverse_task_of_the_page(matter: Path, tmp_path: Path) -> None:
    (code,) = (s.text for s in snippets(ROOT / "docs" / "benchmark.md", "python") if "Task(" in s.text)
    # In single precision np.polyfit of the millions of pixels of `mini` ends at a skill of -5.7.
    code += "\nassert x.dtype == y.dtype == np.float64"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "STORE": str(matter), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    skills = dict(line.split() for line in done.stdout.splitlines())
    assert set(skills) == {"sz", "xray"} and all(float(value) > 0.3 for value in skills.values()), skills
