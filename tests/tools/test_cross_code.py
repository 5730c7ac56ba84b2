"""Across codes: what is trained, predicted and scored, and in which order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.results import read_result
from benchmarks.tasks import TASKS
from tests.helpers import command, refused
from three_hundred_maps.errors import InputError
from three_hundred_maps.testing import tiny_store
from tools import cross_code
from tools.cross_code_page import PAGE, render
from tools.steps import Work

ROOT = Path(__file__).resolve().parents[2]


def test_both_directions_and_mixed_training_of_every_track(tmp_path: Path):
    stores = {"mini": tmp_path / "a", "mini-gizmo": tmp_path / "b"}
    training, predicting, home, away = cross_code.make_stages(stores, Work(tmp_path, steps=5))
    assert len(training) == 12 and len(predicting) == 26 and len(home) == 10 and len(away) == 16
    commands = {step.name: step.command for step in (*training, *predicting, *home, *away)}
    assert f"--data {tmp_path}/a+{tmp_path}/b " in commands["train both-sz"]
    assert "--task mass-map" in commands["predict mini-star"]
    assert "--task cross-code" in commands["predict mini-from-mini-gizmo-star"]
    assert "--task cross-code" in commands["predict mini-from-both-all"]
    # What one step clears away is never what another has made.
    steps = (*training, *predicting, *home, *away)
    for step in (step for step in steps if step.scrap is not None):
        assert not [other for other in steps if other is not step and other.done.is_relative_to(step.scrap)]
    assert "--in-domain" not in commands["score mini-all"]
    assert f"--in-domain {tmp_path}/results/mini-all.json" in commands["score mini-from-both-all"]
    # The benchmark's own list of what is trained on and what is scored.
    trained = {"mini": "mini", "mini-gizmo": "mini-gizmo", "both": "mini+mini-gizmo"}
    pairs = {
        (trained[source], test)
        for test in stores
        for source in ("both", *stores)
        if f"score {test}-from-{source}-sz" in commands
    }
    varied = {("mini-hypercube", test) for test in stores}
    assert pairs | varied == {pair for pair in TASKS["cross-code"].recipes if pair[1].startswith("mini")}


def test_names_that_cannot_be_told_apart_are_refused(tmp_path: Path):
    words = ("--data", "mini", "--twin", "mini", "--out", tmp_path / "c")
    refused(cross_code.main, *words, said="give two different names")


def test_a_result_across_codes_needs_the_one_at_home():
    away = {"task": "cross-code", "track": "sz", "trained_on": "b", "dataset": {"name": "a", "digest": "0"}}
    with pytest.raises(InputError, match="no in-domain result for sz on a"):
        render([away])


def test_the_page_in_docs_is_what_the_kept_results_give():
    kept = [read_result(path) for path in sorted((ROOT / "benchmarks" / "results").glob("*.json"))]
    page = (ROOT / "docs" / PAGE).read_text(encoding="utf-8")
    assert page == render(kept), "run python -m tools.cross_code, or render the page again"
    assert page.count("| `mini` and `mini-gizmo` |") == 8 and page.count("| `mini-hypercube` |") == 2


@pytest.mark.long
def test_a_whole_comparison(tmp_path: Path):
    for seed, name in enumerate(("a", "b")):
        tiny_store(tmp_path / name, halos=(8, 4, 4), n_los=2, pixels=32, seed=seed, name=name)
    words = ["--data", tmp_path / "a", "--twin", tmp_path / "b", "--out", tmp_path / "c", "--steps", "2"]
    done = command(cross_code.main, *words, "--device", "cpu", "--results", tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    kept = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "kept").glob("*.json")}
    assert len(kept) == 26
    away = kept["a-from-both-all"]
    assert away["task"] == "cross-code" and away["trained_on"] == "a+b" and away["dataset"]["name"] == "a"
    assert kept["b-climatology"]["track"] == "none"
    page = (tmp_path / "c" / "page" / "cross-code.md").read_text()
    assert page == render(list(kept.values())) and page.count("| `a` and `b` |") == 8
    assert away["in_domain"]["name"] == kept["a-all"]["name"] and "degradation" in away["scores"]
