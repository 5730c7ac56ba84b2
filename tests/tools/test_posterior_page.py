"""Every model of posterior samples beside the others: what is trained, sampled, scored, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines.posterior_model import METHODS
from tests.helpers import command, refused
from three_hundred_maps.testing import tiny_store
from tools import posterior
from tools.posterior_page import CURVES_FIGURE, PAGE, SAMPLES_FIGURE, SMALL, SUMMARY, render
from tools.steps import Work

ROOT = Path(__file__).resolve().parents[2]


def test_every_method_on_every_track_at_home_and_away(tmp_path: Path) -> None:
    stores = {"mini": tmp_path / "a", "mini-gizmo": tmp_path / "b"}
    stages = posterior.make_stages(stores, ["sz", "all"], Work(tmp_path), samples=20, flow_steps=7)
    first, second, sampling, scoring = stages
    assert len(first) == 6 and len(second) == 4 and len(sampling) == len(scoring) == 20
    commands = {step.name: step.command for stage in stages for step in stage}
    assert {f"train {method}-sz" for method in METHODS} <= set(commands)
    # Networks that are taken are trained in the stage before.
    assert f"--members {tmp_path}/runs/flow-sz" in commands["train field-sz"]
    assert f"--members {tmp_path}/runs/deep-all" in commands["train white-all"]
    assert "--flow-steps 7" in commands["train flow-sz"] and "--flow-steps" not in commands["train deep-sz"]
    assert "--task cross-code" in commands["predict mini-gizmo-white-all"]
    assert "--task mass-map" in commands["predict mini-white-all"]
    assert "--samples 20" in commands["predict mini-deep-sz"]
    assert "--samples" not in commands["predict mini-unet-sz"]


def test_all_halos_of_a_real_simulation_are_sampled_last(tmp_path: Path) -> None:
    stores = {"mini": tmp_path / "a", "mini-gizmo": tmp_path / "b", "zoom": tmp_path / "z"}
    *_, sampling, scoring = posterior.make_stages(
        stores, ["sz"], Work(tmp_path), samples=20, flow_steps=7, real=True
    )
    assert len(sampling) == len(scoring) == 15
    commands = {step.name: step.command for step in [*sampling, *scoring]}
    assert "--task transfer --split all" in commands["predict zoom-flow-sz"]
    assert f"--split all --trained-on {tmp_path}/a" in commands["score zoom-flow-sz"]
    assert "--task cross-code" in commands["predict mini-gizmo-flow-sz"]
    assert "--split" not in commands["score mini-gizmo-flow-sz"]


def test_mistakes_are_told(tmp_path: Path) -> None:
    for args, message in (
        (["--tracks", "sz,radio", "--out", tmp_path / "c"], "--tracks radio"),
        (["--data", "mini", "--twin", "mini", "--out", tmp_path / "c"], "give two different names"),
        (["--methods", "flow,magic", "--out", tmp_path / "c"], "--methods magic"),
        (["--methods", "white", "--out", tmp_path / "c"], "those of deep, which is left out"),
        ([], "--out"),
        (["--render", "--page", tmp_path], "run python -m tools.posterior"),
    ):
        refused(posterior.main, *args, said=message)


def test_the_page_in_docs_is_what_its_numbers_give() -> None:
    parts = [json.loads((ROOT / "docs" / name).read_text("utf-8")) for name in (SUMMARY, SMALL)]
    assert (ROOT / "docs" / PAGE).read_text("utf-8") == render(*parts), (
        "run python -m tools.posterior --render --page docs"
    )


@pytest.mark.long
def test_a_whole_comparison(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b", "z")):
        tiny_store(tmp_path / name, halos=(8, 4, 11), n_los=2, pixels=32, seed=seed, name=name)
    words = ["--data", tmp_path / "a", "--twin", tmp_path / "b", "--real", tmp_path / "z", "--tracks", "sz"]
    words += ["--out", tmp_path / "c", "--steps", "2", "--flow-steps", "2", "--device", "cpu"]
    done = command(posterior.main, *words)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "c" / "page"
    text = (page / PAGE).read_text()
    assert text == render(json.loads((page / SUMMARY).read_text()))
    for words in (
        *METHODS,
        "On another code's clusters",
        "On a real simulation",
        "paired over regions",
        "times the residual_rms_dex",
    ):
        assert words in text
    assert all((page / name).stat().st_size > 10_000 for name in (SAMPLES_FIGURE, CURVES_FIGURE))
