"""The demo: its stages, its folder and its report, on a tiny store and on noisy copies of the truth."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import figures
from benchmarks.demo import MARK, MODELS, demo, run_stage
from benchmarks.demo_report import board, write_report
from benchmarks.results import read_result
from benchmarks.scoring import score_submission
from tests.helpers import submitted
from tests.webdriver_client import Browser
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import claim_folder, write_json
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.testing import tiny_store

NOISE_DEX = {"sz": 0.30, "xray": 0.25, "star": 0.20, "all": 0.05}


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, four submissions of known errors, their results, and a report."""
    out = tmp_path_factory.mktemp("demo")
    store = tiny_store(out / "data", halos=(6, 2, 3), n_los=2)
    split = read_split(store, "test")
    rng = np.random.default_rng(1)
    submissions, results = {}, {}
    for model, views in MODELS.items():
        truth = split.maps["mass"]
        # An error common to all pixels of a map, which the score grid's smoothing cannot remove.
        maps = truth * 10 ** (NOISE_DEX[model] * rng.choice([-1.0, 1.0], truth.shape[:2])[..., None, None])
        folder, title = out / model / "submission", f"model <{model}>"
        submissions[model] = submitted(folder, maps, name=title, track=views, rows=(store, "test"))
        results[model] = out / f"{model}.json"
        write_json(results[model], score_submission(submissions[model], store))
    stage = run_stage("version", ["three_hundred_maps", "--version"], log=out / "stages" / "version.json")
    write_report(
        out / "report.html",
        store=store,
        submissions=submissions,
        results=results,
        site=out / "leaderboard",
        stages=[stage],
    )
    return out


def test_report_needs_nothing_else_and_escapes_names(demo_folder: Path) -> None:
    page = (demo_folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5
    # No request leaves the page, and its one link is to the leaderboard beside it.
    assert not re.findall(r"src=\"(?!data:)[^\"]+\"", page)
    assert re.findall(r"href=\"([^\"]*)\"", page) == ["leaderboard/index.html"]
    assert "@import" not in page and "url(" not in page
    assert "model <all>" not in page and "model &lt;all&gt;" in page
    assert "Synthetic data" in page


def test_board_ranks_by_error_and_ends_with_references(demo_folder: Path) -> None:
    rows = board({model: read_result(demo_folder / f"{model}.json") for model in MODELS})
    names = [name for name, _, _ in rows]
    assert names[:4] == ["model <all>", "model <star>", "model <xray>", "model <sz>"]
    assert names[4:] == ["climatology", "oracle R200c"]
    values = [float(cells[0]["value"]) for _, _, cells in rows[:4]]
    assert values == pytest.approx(sorted(NOISE_DEX.values()), abs=2e-3)


def test_report_says_by_how_much_all_views_win(demo_folder: Path) -> None:
    page = (demo_folder / "report.html").read_text(encoding="utf-8")
    assert "0.050 dex, 75 % below the best single view (star, 0.200 dex)" in page


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_page_in_a_browser(demo_folder: Path, browser: Browser, width: int) -> None:
    browser.size(width, 900)
    browser.open(demo_folder / "report.html")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    cut = browser.run(
        "return [...document.querySelectorAll('.board')].filter("
        "t => t.getBoundingClientRect().right > document.querySelector('main').getBoundingClientRect().right"
        ").length"
    )
    assert cut == 0 or width < 1280, "the whole table of scores is in view"
    # A label of 8 points at 110 dots an inch is 12 pixels of the picture: at least 8 on the screen.
    scales = browser.run("return [...document.images].map(i => i.clientWidth / i.naturalWidth)")
    assert len(scales) == 5 and min(scales) * 8 * 110 / 72 >= 8
    assert browser.console() == []


def test_an_axis_says_what_runs_along_it() -> None:
    maps = dict.fromkeys(("sz", "mass"), np.ones((4, 4)))
    shown = figures.inputs_and_truth([("a cluster", maps)], ["sz", "mass"]).axes[:2]
    assert [axis.get_xlabel() for axis in shown] == ["x / R200c"] * 2
    assert shown[0].get_title() == "Sunyaev-Zeldovich\nCompton y"
    (counts,) = figures.mass_distribution({"train": np.array([1e14, 2e14])}).axes
    assert all(tick == round(tick) for tick in counts.get_yticks())


def test_what_lies_beyond_the_axis_is_told_and_makes_no_spike() -> None:
    values = np.concatenate([np.zeros(900), np.full(100, 9.0)])
    axis = figures.residual_histogram({"unet": values}).axes[0]
    (bars,) = axis.patches
    density, edges, _ = bars.get_data()
    assert density[-1] == 0 and np.sum(density * np.diff(edges)) == pytest.approx(0.9)
    assert axis.get_legend().get_texts()[0].get_text() == "unet (10.0 % beyond)"


def test_stage_is_measured_and_not_run_twice(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "stages" / "a.json"
    first = run_stage("a", ["three_hundred_maps", "--version"], log=log)
    assert first.seconds > 0 and first.peak_mib > 5
    again = run_stage("a", ["three_hundred_maps", "--version"], log=log)
    assert again == first and "done before" in capfd.readouterr().out


def test_failing_stage_leaves_no_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the stage bad ended with status 2"):
        run_stage("bad", ["three_hundred_maps", "no-such-command"], log=tmp_path / "bad.json")
    assert not (tmp_path / "bad.json").exists()


def test_foreign_folder_is_refused_and_ours_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("words")
    with pytest.raises(InputError, match="holds other things"):
        claim_folder(tmp_path / "mine", MARK, {"config": "mini"})
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    claim_folder(tmp_path / "new", MARK, {"config": "mini"})
    claim_folder(tmp_path / "new", MARK, {"config": "mini"})
    with pytest.raises(InputError, match="other settings"):
        claim_folder(tmp_path / "new", MARK, {"config": "mini-gizmo"})


@pytest.mark.long
def test_whole_demo(tmp_path: Path) -> None:
    """The real thing, as `make demo` runs it."""
    command = [sys.executable, "-m", "three_hundred_maps", "demo", "--out", str(tmp_path / "demo"), "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert Path(result.stdout.splitlines()[-1]).is_file()


def test_the_build_takes_the_cores_that_it_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(name, arguments, *, log):
        raise InputError(" ".join(map(str, arguments)))

    for what, value in (("run_stage", stop), ("cores", lambda: 3), ("set_quiet", lambda quiet: None)):
        monkeypatch.setattr(f"benchmarks.demo.{what}", value)
    with pytest.raises(InputError, match="build mini .*--workers 3$"):
        demo(tmp_path / "demo", workers=0, quiet=True)
