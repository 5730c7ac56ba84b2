"""The benchmark's commands and documents: run as a reader would, and current."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.constants import VERSION
from benchmarks.packing import opened
from benchmarks.results import read_result
from benchmarks.score_table import score_table
from benchmarks.scoring import score_submission
from tests import helpers
from tests.processes import run_python
from tests.snippets import run_lines, snippets
from three_hundred_maps.builder.recipe import load_recipe, shipped_recipes

ROOT = Path(__file__).resolve().parents[2]
SUBMIT = ROOT / "docs" / "submit.md"


command = partial(helpers.command, main)


def test_every_command_has_help() -> None:
    for name in ("validate", "score", "fingerprint", "leaderboard", "pack", "seal", "bundle", "demo"):
        done = command(name, "--help")
        assert done.returncode == 0 and "--" in done.stdout, done.stderr


def test_validate_and_score(submit: Callable[..., Path], store: Path, tmp_path: Path) -> None:
    folder = submit()
    done = command("validate", folder, "--data", store)
    assert done.returncode == 0 and "fits the test split of tiny" in done.stdout
    done = command("score", folder, "--data", store, "--out", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    for words in ("residual_rms_dex", "oracle R200c", "noise", "12 regions"):
        assert words in done.stdout
    result = json.loads((tmp_path / "r.json").read_text())
    assert set(result["scores"]["skill"]) == {"value", "low", "high"}
    again = command("score", folder, "--data", store, "--out", tmp_path / "r.json")
    assert again.returncode == 2 and "there already" in again.stderr
    printed = command("score", folder, "--data", store, "--json")
    assert json.loads(printed.stdout)["scores"] == result["scores"]


def test_long_values_stand_apart_in_the_table_of_scores() -> None:
    score = {"value": 9793.6274, "low": 9198.4138, "high": 1641017.974}
    result = {
        "name": "n", "task": "mass-map", "track": "sz", "flags": ["biased"],
        "dataset": {"name": "d", "halos": 1, "lines_of_sight": 2, "regions": 3},
        "scores": {"residual_kurtosis": score,
                   "k_0.5": {"value": 20, "low": None, "high": None, "note": ">=20"}},
        "references": {"climatology": {"scores": {"residual_kurtosis": score}}}, "noise_floor": None,
    }  # fmt: skip
    lines = score_table(result).splitlines()
    assert lines[1].split("  ")[0] == "score" and lines[-1] == "flag: biased"
    assert lines[2].split() == [
        "residual_kurtosis",
        "9793.6274",
        "9198.4138",
        "to",
        "1.6410e+06",
        "9793.6274",
        "-",
    ]
    assert lines[3].split() == ["k_0.5", ">=20", ">=20", "-", "-"]
    assert len({len(line) for line in lines[1:4]}) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("validate", "nowhere"), "no submission at nowhere"),
        (("score", "nowhere", "--data", "no/where"), "no store at no/where"),
        (("score", "nowhere"), "--data"),
        (("leaderboard", "none.json", "--out", "site"), "no result at none.json"),
        (("pack", "nowhere"), "no submission"),
        (("seal", "nowhere", "--out", "x"), "no store"),
        (("rank",), "rank"),
    ],
)
def test_mistakes_end_with_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    helpers.refused(main, *arguments, said=words, cwd=tmp_path)


def test_an_invalid_submission_is_told_line_by_line(submit: Callable[..., Path], store: Path) -> None:
    folder = submit(track="sz,radio", task="other")
    done = command("validate", folder, "--data", store)
    assert done.returncode == 2 and done.stdout.count("\n- ") == 1 and "2 problem(s)" in done.stderr


def test_the_kept_results_are_results() -> None:
    folder = ROOT / "benchmarks" / "results"
    assert (folder / "README.md").is_file()
    for path in folder.iterdir():
        if path.name != "README.md":
            result = read_result(path)
            assert result["benchmark_version"] == VERSION, path.name
            name = result["dataset"]["name"]
            if name in shipped_recipes():
                # They stand on the board of whoever builds the data set today.
                assert result["dataset"]["recipe_sha256"] == load_recipe(name).sha256(), path.name


def test_a_stranger_can_follow_the_page(store: Path, tmp_path: Path) -> None:
    environment = {"STORE": str(store)}
    pages = (SUBMIT, SUBMIT.with_name("submission.md"))
    # One after the other, as one reads: the second page goes on with the first one's maps.
    code = "\n".join(block.text for page in pages for block in snippets(page, "python"))
    done = run_python("-c", code, environment={**os.environ, **environment}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = run_lines(
        "".join(block.text for page in pages for block in snippets(page, "bash")), tmp_path, **environment
    )
    assert "valid: 'Mean map and log y'" in shown and "residual_rms_dex" in shown and "packed:" in shown
    assert command("score", "submission.npz", "--data", store, cwd=tmp_path).returncode == 0
    for made in (
        "result.json",
        "board/index.html",
        "submission.thm.tar",
        "sealed/inputs/zarr.json",
        "sealed/truth",
    ):
        assert (tmp_path / made).exists(), made
    with opened(tmp_path / "submission.npz") as folder:
        for made in (tmp_path / "submission", tmp_path / "samples", folder):
            assert score_submission(made, store)["scores"]["skill"]["value"] > 0
