"""A page that compares runs is made from their files and says when it is stale."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from baselines import results
from three_hundred_maps.errors import InputError

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


def test_any_runs_make_a_page(tmp_path, settings, capsys):
    from baselines import ridge
    from baselines.unet import train

    train(settings, tmp_path / "net")
    with pytest.raises(SystemExit) as stop:
        ridge.main(["--data", settings.data, "--views", "sz", "--out", str(tmp_path / "ridge"), "--quiet"])
    assert stop.value.code == 0
    runs = [str(tmp_path / "net"), str(tmp_path / "ridge")]

    def command(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            results.main([*runs, *words])
        return ended.value.code, "".join(capsys.readouterr())

    page = tmp_path / "page"
    code, told = command("--out", str(page))
    assert code == 2 and "ridge has no config.yaml" in told and "give --data" in told
    assert command("--out", str(page), "--data", settings.data)[0] == 0
    text = (page / "results.md").read_text(encoding="utf-8")
    for run in runs:
        score = json.loads((Path(run) / "result.json").read_text())["scores"]["residual_rms_dex"]["value"]
        assert f"{score:.4f}" in text
    for picture in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (page / picture).stat().st_size > 1000
    assert command("--out", str(page), "--check")[0] == 0
    (page / "results.md").write_text(text.replace("0.", "1.", 1), encoding="utf-8")
    code, told = command("--out", str(page), "--check")
    assert code == 2 and "is stale" in told
    code, told = command()
    assert code == 2 and "required: --out" in told
    with pytest.raises(SystemExit) as ended:
        results.main(["--out", str(page), "--render"])
    assert ended.value.code == 0
    assert command("--out", str(page), "--check")[0] == 0
    with pytest.raises(SystemExit) as ended:
        results.main(["--out", str(page)])
    assert ended.value.code == 2 and "name the runs" in capsys.readouterr().err
    (tmp_path / "ridge" / "submission" / "submission.json").unlink()
    code, told = command("--out", str(page))
    assert code == 2 and "is no run" in told
