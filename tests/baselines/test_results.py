"""A page that compares runs is made from their files and says when it is stale."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from baselines import publish, results
from tests.helpers import command, refused
from three_hundred_maps.errors import InputError
from three_hundred_maps.testing import tiny_store

MASS = Path(__file__).resolve().parents[2] / "docs" / "mass"


def test_the_page_in_docs_is_what_its_numbers_give():
    results.check(MASS)


def test_a_stale_page_is_named(tmp_path):
    for name in (results.SUMMARY, results.PAGE):
        (tmp_path / name).write_bytes((MASS / name).read_bytes())
    results.check(tmp_path)
    page = tmp_path / results.PAGE
    page.write_text(page.read_text(encoding="utf-8").replace("0.", "1.", 1), encoding="utf-8")
    with pytest.raises(InputError, match="is stale"):
        results.check(tmp_path)
    results.render_again(tmp_path)
    results.check(tmp_path)
    with pytest.raises(InputError, match="has no page of runs"):
        results.check(tmp_path / "nowhere")


def test_a_run_of_samples_says_what_it_predicted(tmp_path):
    (tmp_path / "config.yaml").write_text("method: flow\ndata: mini\n", encoding="utf-8")
    assert results._data_of(tmp_path) == "mini"


def test_any_runs_make_a_page(tmp_path, settings, monkeypatch):
    from baselines import ridge
    from baselines.unet import train

    train(settings, tmp_path / "net")
    words = ("--data", settings.data, "--views", "sz", "--out", tmp_path / "ridge", "--quiet")
    assert command(ridge.main, *words).returncode == 0
    runs, page = [tmp_path / "net", tmp_path / "ridge"], tmp_path / "page"
    refused(
        results.main,
        *runs,
        "--out",
        page,
        said="ridge has no config.yaml that says what was predicted: give --data",
    )
    assert command(results.main, *runs, "--out", page, "--data", settings.data).returncode == 0
    text = (page / "results.md").read_text(encoding="utf-8")
    for run in runs:
        score = json.loads((Path(run) / "result.json").read_text())["scores"]["residual_rms_dex"]["value"]
        assert f"{score:.4f}" in text
    for picture in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (page / picture).stat().st_size > 1000
    assert command(results.main, *runs, "--out", page, "--check").returncode == 0
    (page / "results.md").write_text(text.replace("0.", "1.", 1), encoding="utf-8")
    refused(results.main, *runs, "--out", page, "--check", said="is stale")
    refused(results.main, *runs, said="required: --out")
    assert command(results.main, "--out", page, "--render").returncode == 0
    assert command(results.main, *runs, "--out", page, "--check").returncode == 0
    refused(results.main, "--out", page, said="name the runs")
    net, other = tmp_path / "net", tmp_path / "ridge"
    refused(publish.main, net, "org/run", "--result", other / "result.json", said="is not the result of")
    refused(publish.main, net, "run", said="ORG/NAME")
    own = (net / "result.json").read_bytes()
    shutil.copy(other / "result.json", net / "result.json")
    assert command(results.main, *runs, "--out", page).returncode == 0
    assert (net / "result.json").read_bytes() == own  # scored anew: it was of another submission
    elsewhere = tiny_store(tmp_path / "elsewhere", halos=(2, 1, 2), n_los=3, pixels=32, first_region=50)
    refused(results.main, net, "--out", page, "--data", elsewhere, said="net could not be scored")
    killed = subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr(results.subprocess, "run", lambda *given, **more: killed)
    refused(results.main, net, "--out", page, "--data", elsewhere, said="could not be scored: exit status -9")
    (other / "submission" / "submission.json").unlink()
    refused(results.main, *runs, "--out", page, said="is not a run")
