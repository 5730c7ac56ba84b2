"""The leaderboard's site: what stands on it, and how it behaves in a browser."""

from __future__ import annotations

import copy
import functools
import json
import os
import random
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks import records
from benchmarks.cases import pack_image, unpack_image
from benchmarks.compare import paired_difference
from benchmarks.constants import VERSION
from benchmarks.disclosure import rounded
from benchmarks.fingerprints import dataset_key
from benchmarks.leaderboard import render
from benchmarks.leaderboard.boards import OTHER_TRUTH, Board, Entry, make_boards, slug_of
from benchmarks.leaderboard.cells import COLUMNS, cell, marks
from benchmarks.leaderboard.charts import Series, chart, ticks
from benchmarks.leaderboard.images import palette, picture
from benchmarks.leaderboard.pages import compare_data
from benchmarks.registry import RANKING, SCORES
from benchmarks.results import Result, read_result, result_problems
from tests.helpers import fetch_axe
from tests.webdriver_client import Browser
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_json


def variant(scored: dict[str, Any], factor: float = 1.0, **changes: Any) -> dict[str, Any]:
    """A result with another rms, which agrees with itself."""
    result = copy.deepcopy(scored)
    scores, regions = result["scores"], result["regions"]
    rng = np.random.default_rng(sum(map(ord, str(changes))))
    squares = np.array(regions["mse"]) * rng.uniform(0.8, 1.2, len(regions["mse"]))
    squares *= factor**2 * np.mean(regions["mse"]) / squares.mean()
    regions["mse"] = squares.tolist()
    scores[RANKING] = {k: v * factor for k, v in scores[RANKING].items()}
    skill = 1 - squares.mean() / np.mean(regions["mse_climatology"])
    scores["skill"] = {"value": skill, "low": None, "high": None}
    return {**result, **changes}


@pytest.fixture(scope="module")
def verified(scored: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        variant(scored, 1.00, name="Alpha", date="2026-03-01"),
        variant(scored, 1.30, name="Alpha", date="2026-01-01"),
        variant(scored, 1.60, name="Gamma baseline", kind="baseline"),
    ]


@pytest.fixture(scope="module")
def sent(scored: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        variant(scored, 1.001, name="Beta", date="2026-02-01", kind="baseline"),
        variant(scored, 0.80, name="Copy", ranked=False, flags=["a copy of the truth: pixels"]),
        variant(scored, 0.90, name="Delta", track="sz,xray,star"),
        variant(scored, 1.10, name="Across", task="cross-code", trained_on="mini-gizmo"),
        variant(scored, 1.20, name="Across", task="cross-code", trained_on="mini+mini-gizmo"),
        variant(scored, 1.30, name="Real", task="transfer", ranked=False),
    ]


@pytest.fixture(scope="module")
def site(
    sent: list[dict[str, Any]], verified: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("web") / "site"
    return render(sent, out, verified=verified, repository="org/name").parent


def map_boards(*given: Any) -> list[Board]:
    """Without the probabilistic boards, on which each of these results stands as well."""
    return [board for board in make_boards(*given) if board.key.score == RANKING]


def names(entries: list[Entry]) -> list[tuple[str, int | None]]:
    return [(entry.result["name"], entry.rank) for entry in entries]


def test_boards_never_mix_tasks_datasets_or_tracks(
    sent: list[dict[str, Any]], verified: list[dict[str, Any]]
) -> None:
    boards = map_boards(sent, verified)
    assert [board.title for board in boards] == [
        "Mass maps on tiny: sz,xray,star",
        "Mass maps on tiny: sz",
        "Across simulation codes on tiny: sz",
        "From synthetic to real simulations on tiny: sz",
    ]
    board = boards[1]
    assert names(board.entries) == [("Alpha", 1), ("Beta", 2), ("Gamma baseline", 3), ("Copy", None)]
    assert [e.result["date"] for e in board.history] == ["2026-01-01"]
    assert [e.tie for e in board.entries] == [None, True, False, None]
    assert [e.result["trained_on"] for e in boards[2].entries] == ["mini-gizmo", "mini+mini-gizmo"]
    assert [e.rank for e in boards[3].entries] == [None]


def test_a_row_says_when_it_was_trained_on_other_data(scored: dict[str, Any], tmp_path: Path) -> None:
    own = variant(scored, name="Own", trained_on="tiny")
    other = variant(scored, 0.9, name="Other", trained_on="larger")
    text = render([own, other], tmp_path / "site").read_text("utf-8")
    assert "; trained on larger" in text and "; trained on tiny" not in text


def test_what_is_verified_is_told_by_its_place(scored: dict[str, Any], tmp_path: Path) -> None:
    trusted = variant(scored, 1.0, name="Net", date="2026-01-01", kind="baseline")
    later = variant(scored, 0.9, name="Net", date="2026-02-01", kind="baseline")
    (board,) = map_boards([later], [trusted])
    assert [(e.result["date"], e.verified) for e in board.entries] == [
        ("2026-02-01", False), ("2026-01-01", True),
    ]  # fmt: skip
    assert not board.history, "nobody but the maintainers puts a row aside"
    assert [mark for mark, _ in marks(board.entries[0])] == ["flag"] * (len(scored["flags"]) + 1)
    assert board.entries[0].warnings == ("not the verified result of this name",)
    assert ("baseline", "baseline") in marks(board.entries[1])
    again = variant(scored, 1.1, name="Net", date="2026-03-01")
    (board,) = map_boards([], [trusted, again])
    assert [e.result["date"] for e in board.entries] == ["2026-03-01"]
    between = variant(scored, 1.05, name="Other")
    (board,) = map_boards([], [trusted, again, between])
    assert names(board.entries) == [("Other", 1), ("Net", 2)], "ranked by what stands there, not by history"
    with pytest.raises(InputError, match="'verified' extra inputs are not permitted"):
        render([{**scored, "verified": True}], tmp_path / "site")


def test_what_rounds_to_nothing_has_no_sign() -> None:
    found = cell("skill", {"value": -1e-5, "low": -2e-4, "high": 0.1})
    assert (found["text"], found["interval"]) == ("0.000", "0.000 to 0.100")
    assert str(rounded([-1e-5, -0.004], signed=True)) == "[0.0, 0.0]"


@pytest.mark.parametrize("name", ["Nеt", "ＮＥＴ", " net "])
def test_a_name_that_looks_like_a_verified_one_is_marked(scored: dict[str, Any], name: str) -> None:
    (board,) = map_boards([variant(scored, 1.1, name=name)], [variant(scored, name="Net")])
    assert [bool(e.warnings) for e in board.entries] == [False, True]
    (board,) = map_boards([variant(scored, 1.1, name="Network")], [variant(scored, name="Net")])
    assert not any(e.warnings for e in board.entries)


def test_a_result_below_the_noise_floor_has_no_rank_and_no_place_in_the_plot(
    scored: dict[str, Any], tmp_path: Path
) -> None:
    floor = scored["noise_floor"][RANKING]
    fair = variant(scored, 0.99 * floor / scored["scores"][RANKING]["value"], name="Blurred truth")
    unsaid = {**fair, "noise_floor": {**scored["noise_floor"], RANKING: 0.0}}
    for result in (fair, unsaid):
        index = render([result], tmp_path / "site", verified=[variant(scored, name="Net")])
        (board,) = map_boards([result], [variant(scored, name="Net")])
        assert names(board.entries) == [("Net", 1), ("Blurred truth", None)]
        assert board.entries[1].warnings == ("below the noise floor",)
        assert board.noise_floor == scored["noise_floor"], "it is that of the verified result"
        text = index.read_text()
        assert "Blurred truth" not in text[text.index('<svg class="forest"') : text.index("</svg>")]


def test_reference_rows_and_floor_come_from_the_data_set_never_from_a_result(scored: dict[str, Any]) -> None:
    false = copy.deepcopy(variant(scored, 0.9, name="First"))
    row = false["references"]["climatology"]["scores"][RANKING]
    row.update({k: 2 * row[k] for k in ("value", "low", "high")})
    false["noise_floor"] = {**false["noise_floor"], RANKING: 0.0}
    for boards in (map_boards([false]), map_boards([], [false]), map_boards([false, scored])):
        (board,) = boards
        assert board.references == scored["references"] and board.noise_floor == scored["noise_floor"]
    unknown = {**scored, "dataset": {**scored["dataset"], "digest": "f" * 64}}
    (board,) = map_boards([], [unknown])
    assert board.references == {} and board.noise_floor is None


def test_a_result_on_another_truth_has_no_rank(scored: dict[str, Any]) -> None:
    marks = copy.deepcopy(scored["dataset"]["fingerprint"])
    assert len(marks["M200c"]) == scored["dataset"]["halos"]
    for factor, rank in ((1.0002, 2), (1.01, None)):
        marks["cylinder_mass"][3] = scored["dataset"]["fingerprint"]["cylinder_mass"][3] * factor
        other = variant(scored, 0.9, name="Other", dataset={**scored["dataset"], "fingerprint": marks})
        (board,) = map_boards([other, variant(scored, 0.8, name="Net")])
        assert names(board.entries) == [("Net", 1), ("Other", rank)]
        assert (OTHER_TRUTH in board.entries[1].warnings) == (rank is None)


def test_one_data_set_built_twice_is_one_board(scored: dict[str, Any]) -> None:
    """Bytes differ between types of processors: the recipe and the generator say what a data set is."""
    data = {**scored["dataset"], "recipe_sha256": "a" * 64, "generator": "synthetic 3"}
    here = {**variant(scored, name="Here"), "dataset": data}
    there = {**variant(scored, 1.1, name="There"), "dataset": {**data, "digest": "f" * 64}}
    (board,) = map_boards([here, there])
    assert names(board.entries) == [("Here", 1), ("There", 2)]
    changes = (
        {"recipe_sha256": "b" * 64},
        {"generator": "synthetic 4"},
        {"name": "other"},
        {"generator": None},
    )
    for change in changes:
        assert len(map_boards([here, {**there, "dataset": {**data, **change}}])) == 2


def test_degradation_is_a_column_where_there_is_one(scored: dict[str, Any], tmp_path: Path) -> None:
    across = variant(scored, 1.1, name="Across", task="cross-code", trained_on="other")
    across["scores"]["degradation"] = {"value": 0.0123, "low": 0.0045, "high": 0.0211}
    text = render([scored, across], tmp_path / "site").read_text()
    home, away = text.split("<h2>")[1:]
    assert "degradation" in away and "0.012" in away
    assert "<th" in home and "degradation" not in home


def test_the_same_results_give_the_same_site_whatever_the_processes(
    sent: list[dict[str, Any]],
    verified: list[dict[str, Any]],
    site: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules["benchmarks.leaderboard.render"], "AT_LEAST", 1)
    out = tmp_path / "site"
    again = render(sent[::-1], out, verified=verified[::-1], repository="org/name", workers=2).parent
    for file in sorted(p.relative_to(site) for p in site.rglob("*") if p.is_file()):
        assert (again / file).read_bytes() == (site / file).read_bytes(), file


def test_pages_need_nothing_from_outside(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.findall(
            r'(?:src|href)="(?!data:|#|\.\./|submissions/|index|compare|site.css|https://example)', text
        )
        assert "default-src 'none'" in text
        for link in re.findall(r'href="((?:\.\./|submissions/|index|compare|site.css)[^"#]*)', text):
            assert (page.parent / link).is_file(), (page.name, link)


def test_what_the_first_page_says_without_script(site: Path) -> None:
    text = (site / "index.html").read_text()
    for words in (
        "oracle R200c",
        "noise floor",
        "reference",
        "verified",
        "ties with 1",
        "baseline",
        "Earlier results",
        "A dex is a factor of ten",
        "How to submit",
        "<td>≥",
    ):
        assert words in text
    assert text.index(">Alpha<") < text.index(">Beta<") < text.index(">Gamma baseline<")


def test_a_submissions_page_has_all_of_it(site: Path, verified: list[dict[str, Any]]) -> None:
    text = (site / "submissions" / f"{slug_of(verified[0])}.html").read_text()
    assert text.count("<image ") == 3 * 3 + 2 and text.count('class="chart"') == 5
    assert text.count('<use href="#axes"/>') == text.count("url(#bar-") == 11
    axes = text[text.index('<g id="axes">') :]
    assert "x / R200c" in axes and 'class="ring"' in axes
    for words in (
        "Best: rms",
        "Median: rms",
        "Worst: rms",
        "dynamical state",
        "Compare with another",
        "A network.",
    ):
        assert words in text
    assert 'rel="nofollow noopener noreferrer"' in text


def test_the_hubs_files(site: Path, verified: list[dict[str, Any]]) -> None:
    path = site / "hub" / slug_of(verified[0]) / ".eval_results" / "three_hundred_maps.yaml"
    (entry,) = yaml.safe_load(path.read_text())
    assert entry["dataset"] == {"id": "org/name", "task_id": "tiny-mass-map-sz"}
    scores = verified[0]["scores"]
    assert entry["value"] == pytest.approx(scores["skill"]["value"])
    assert f"residual_rms_dex {scores[RANKING]['value']:.4f}" in entry["notes"]
    from huggingface_hub import parse_eval_result_entries

    assert parse_eval_result_entries([entry])[0].date == "2026-03-01"


def test_pictures_have_the_maps_way_up() -> None:
    steps = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    exact = Image.open(BytesIO(picture(steps, "inferno", lossless=True)))
    assert np.array_equal(np.asarray(exact), palette("inferno")[steps[::-1]])
    smooth = np.linspace(0, 255, 6400).reshape(80, 80).astype(np.uint8)
    shown = np.asarray(Image.open(BytesIO(picture(smooth, "viridis"))), float)
    assert np.abs(shown - palette("viridis")[smooth[::-1]]).mean() < 3
    packed = pack_image(np.array([[0.0, 0.5], [1.0, 9.0]]), 0.0, 1.0)
    assert unpack_image(packed).tolist() == [[0, 128], [255, 255]]
    with pytest.raises(ValueError, match="another size"):
        unpack_image({**packed, "shape": [3, 3]})


def test_charts_break_where_values_are_missing_and_escape_their_texts() -> None:
    line = Series(
        "<b>", [1.0, 2.0, 3.0, 4.0], [1.0, None, 2.0, 3.0], [0.5, None, 1.5, 2.5], [1.5, None, 2.5, 3.5]
    )
    svg = str(chart("<t>", [line, line], "x", "y"))
    assert "<b>" not in svg and "&lt;b&gt;" in svg and 'aria-label="&lt;t&gt;"' in svg
    path = re.search(r'class="line s0" d="([^"]*)"', svg)
    assert path is not None and path.group(1).count("M") == 2
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0.0, 5e-324) == [0.0]
    assert "Nothing to draw" in str(chart("t", [Series("a", [], [])], "x", "y"))


def test_folders_and_files_of_results(scored: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    for place in range(2):
        write_json(folder / f"{place}.json", variant(scored, 1 + 0.1 * place, name=f"n{place}"))
    index = render([folder], tmp_path / "site")
    assert index.read_text().count('type="checkbox"') == 2
    with pytest.raises(InputError, match="no results"):
        render([tmp_path / "site" / "submissions"], tmp_path / "other")
    assert ">verified<" not in index.read_text()
    assert ">verified<" in render([], tmp_path / "trusted", verified=[folder]).read_text()
    with pytest.raises(InputError, match="no result at"):
        render([tmp_path / "none.json"], tmp_path / "other")
    with pytest.raises(InputError, match="is not a result"):
        render([{"name": "x"}], tmp_path / "other")


def test_versions_of_the_benchmark_are_not_compared(scored: dict[str, Any]) -> None:
    other = variant(scored, name="Other constants", benchmark_version="constants 0123456789abcdef")
    boards = map_boards([scored, other, variant(scored, name="Same")])
    assert sorted(len(board.entries) for board in boards) == [1, 2]
    assert len({entry["dataset"] for entry in compare_data(boards)}) == 2
    # Of one submission, with the very same scores: both stay.
    assert len(map_boards([{**scored, "benchmark_version": 1}, scored])) == 2


def test_boards_of_other_versions_have_no_rows_of_this_one(
    scored: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {name: scored[name] for name in ("references", "noise_floor")}
    record["fingerprint"] = scored["dataset"]["fingerprint"]
    monkeypatch.setattr(records, "kept_records", lambda: {dataset_key(scored["dataset"]): record})
    for version, known in ((VERSION, True), (str(VERSION), True), (1, False)):
        (board,) = map_boards([{**scored, "benchmark_version": version}])
        assert (bool(board.references), board.noise_floor is not None) == (known, known)
        assert board.entries[0].rank == 1 and not board.entries[0].warnings


def test_only_its_own_files_are_replaced(
    scored: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "index.html").write_text("mine")
    (folder / "thesis.tex").write_text("words")
    with pytest.raises(InputError, match="holds other things than a leaderboard"):
        render([scored], folder)
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"index.html": "mine", "thesis.tex": "words"}
    site = render([scored], tmp_path / "site").parent
    (site / "thesis.tex").write_text("words")
    move = os.replace

    def stopped(source: Path, target: Path) -> None:
        if target == site / "index.html":
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", stopped)
        render([variant(scored, name="Between")], site)
    render([variant(scored, name="Another")], site)
    assert (site / "thesis.tex").read_text() == "words"
    assert [p.name.split("-")[0] for p in (site / "submissions").iterdir()] == ["another"]
    assert not list(tmp_path.glob(".*.partial"))


def test_many_submissions_cost_little_each(tmp_path: Path) -> None:
    """100 of a kept result; the limit is a fifth of that of 500 submissions, 20 MB."""
    kept = read_result(Path(__file__).parents[2] / "benchmarks" / "results" / "mini-all.json")
    results = [
        variant(kept, 1 + 0.002 * i, name=f"Submission number {i}", authors=[f"Author {i}", "B"])
        for i in range(100)
    ]  # fmt: skip
    index = render(results, tmp_path / "site")
    size = sum(path.stat().st_size for path in index.parent.rglob("*") if path.is_file())
    assert index.read_text().count('type="checkbox"') == 100
    assert size < 4e6, f"{size} bytes"


NAMES = (
    "return [...document.querySelectorAll('section:nth-of-type(3) tbody.rows tr:not([hidden]) th a')]"
    ".map(a => a.textContent)"
)


def choose(browser: Browser, name: str, value: str, event: str) -> None:
    browser.run(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event(arguments[2]))",
        *(name, value, event),
    )


@pytest.mark.browser
def test_sorting_filtering_and_comparing(site: Path, browser: Browser, tmp_path: Path) -> None:
    browser.size(1200, 900)
    browser.requests()
    browser.open(site / "index.html")
    assert browser.run(NAMES) == ["Alpha", "Beta", "Gamma baseline", "Copy"]
    column = "section:nth-of-type(3) th:nth-child(4)"
    browser.click(f"{column} button")
    assert browser.run(NAMES) == ["Copy", "Alpha", "Beta", "Gamma baseline"]
    assert browser.run(f"return document.querySelector('{column}').getAttribute('aria-sort')") == "ascending"
    browser.click(f"{column} button")
    assert browser.run(NAMES) == ["Gamma baseline", "Beta", "Alpha", "Copy"]
    choose(browser, "filter", "alp", "input")
    assert browser.run(NAMES) == ["Alpha"]
    choose(browser, "filter", "", "input")
    for choice, names in (
        ("baseline", ["Beta", "Alpha", "Copy"]),
        ("unverified", ["Gamma baseline", "Alpha"]),
    ):
        choose(browser, "hide", choice, "change")
        assert browser.run(NAMES) == names
    choose(browser, "hide", "", "change")
    browser.click("#compare")
    assert "exactly two" in browser.run("return document.getElementById('said').textContent")
    for place in (1, 2):
        browser.run(
            "document.querySelectorAll('section:nth-of-type(3) tbody.rows input')[arguments[0]].click()",
            place,
        )
    browser.click("#compare")
    verdict = browser.run("return document.getElementById('verdict').textContent")
    assert "A tie." in verdict and "over 12 regions" in verdict
    assert {browser.run(f"return document.getElementById('name{i}').textContent") for i in (1, 2)} == {
        "Alpha", "Beta",
    }  # fmt: skip
    assert browser.run("return document.querySelectorAll('#cross path.line').length") == 2
    browser.screenshot(tmp_path / "compare.png")
    assert browser.console() == []
    asked = [url for url in browser.requests() if not url.startswith(("data:", "about:", "chrome"))]
    assert asked and all(url.startswith(site.resolve().as_uri()) for url in asked), asked


@pytest.mark.browser
def test_the_axes_of_a_map_leave_it_to_be_seen(site: Path, browser: Browser, tmp_path: Path) -> None:
    browser.size(1200, 900)
    browser.open(
        next(page for page in sorted((site / "submissions").iterdir()) if "<use" in page.read_text())
    )
    place = browser.run(
        "const m = document.querySelector('svg.map image'); m.scrollIntoView({block: 'center'});"
        "const r = m.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]"
    )
    browser.screenshot(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        pixels = np.asarray(picture.convert("RGB").crop([round(edge) for edge in place]))
    # The circle is a line: of a filled one, more than half would be black.
    assert pixels.size > 10_000 and (pixels.max(axis=-1) < 5).mean() < 0.02


@pytest.mark.browser
def test_the_comparison_in_the_page_is_that_of_the_scores(
    site: Path, browser: Browser, verified: list[dict[str, Any]]
) -> None:
    first, second = verified[0], verified[2]
    browser.open(site / "compare.html", f"#{slug_of(first)},{slug_of(second)}")
    text = browser.run("return document.getElementById('verdict').textContent")
    numbers = [float(n) for n in re.findall(r"-?\d+\.\d{4}", text)]
    expected = paired_difference(first, second)
    assert numbers[0] == pytest.approx(expected.value, abs=2e-4)
    width = expected.high - expected.low
    # Draws of its own, the same percentiles: of 12 regions those of a plain interval are 0.85 as far apart.
    assert numbers[1] == pytest.approx(expected.low, abs=0.1 * width)
    assert numbers[2] == pytest.approx(expected.high, abs=0.1 * width)
    assert numbers[2] - numbers[1] == pytest.approx(width, rel=0.1)
    assert "The first is better." in text
    rows = browser.run(
        "return [...document.querySelectorAll('#scores tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert len(rows) == len(COLUMNS)
    for (label, *shown), name in zip(rows, COLUMNS, strict=True):
        assert label.startswith(SCORES[name].label)
        cells = [cell(name, result["scores"].get(name)) for result in (first, second)]
        assert shown == [c["text"] + c["interval"] for c in cells]
    board = browser.run("return document.getElementById('board2').textContent")
    assert board and board in browser.run("return document.getElementById('second').textContent")
    # A link to one takes another of its board; what is no link leaves the page whole.
    browser.open(site / "compare.html", f"#{slug_of(second)}")
    chosen = "return ['name1', 'name2'].map(id => document.getElementById(id).textContent)"
    assert browser.run(chosen)[0] == "Gamma baseline" != browser.run(chosen)[1]
    assert "paired over" in browser.run("return document.getElementById('verdict').textContent")
    browser.open(site / "compare.html", "#%,%E0%A4%A")
    assert browser.run("return document.getElementById('verdict').textContent") and browser.console() == []
    # Numbers of the axes are inside the picture.
    boxes = "[...document.querySelectorAll('#cross text')].map(t => t.getBBox())"
    assert max(browser.run(f"return {boxes}.map(b => b.x + b.width)")) <= 400


@pytest.mark.browser
def test_by_keyboard_alone(site: Path, browser: Browser) -> None:
    browser.size(1200, 900)
    browser.open(site / "index.html")
    seen = []
    for _ in range(60):
        browser.press("tab")
        seen.append(
            browser.run(
                "const e = document.activeElement; const o = getComputedStyle(e);"
                "return [e.tagName, (e.textContent || e.id).trim().slice(0, 30), o.outlineStyle]"
            )
        )
    assert seen[0][1] == "Skip to the content"
    assert {"A", "INPUT", "SELECT", "BUTTON", "DIV"} <= {tag for tag, _, _ in seen}
    assert all(outline != "none" for tag, _, outline in seen if tag != "BODY"), "focus is always seen"
    browser.run("document.querySelector('section:nth-of-type(3) th:nth-child(4) button').focus()")
    browser.press("enter")
    assert browser.run(NAMES)[0] == "Copy"
    browser.run("document.querySelector('section:nth-of-type(3) tbody.rows input').focus()")
    browser.press("space")
    assert browser.run("return document.activeElement.checked") is True


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 768])
def test_on_a_narrow_screen(site: Path, browser: Browser, width: int) -> None:
    browser.size(width, 800)
    pages = [site / "index.html", site / "compare.html", next((site / "submissions").iterdir())]
    for page in pages:
        browser.open(page)
        wide = browser.run("return document.documentElement.scrollWidth")
        assert wide <= width, f"{page.name} is {wide} wide on a screen of {width}"
        captions = browser.run("return [...document.querySelectorAll('caption')].map(c => c.offsetWidth)")
        assert captions and max(captions) <= width, "what is said of a table needs no scrolling to the side"
    assert browser.console() == []


@pytest.mark.browser
def test_in_print(site: Path, browser: Browser) -> None:
    browser.size(800, 1000)
    browser.open(site / "index.html")
    browser.emulate(media="print")
    try:
        assert browser.run("return getComputedStyle(document.getElementById('tools')).display") == "none"
        assert (
            browser.run("return getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
        )
    finally:
        browser.emulate(media="")


@pytest.mark.long
@pytest.mark.browser
def test_axe_finds_nothing(site: Path, browser: Browser, tmp_path: Path) -> None:
    """axe-core, fetched for this test alone through npm."""
    axe = fetch_axe(tmp_path)
    browser.size(1200, 900)
    for scheme in ("light", "dark"):
        browser.emulate(features=[{"name": "prefers-color-scheme", "value": scheme}])
        for page in (site / "index.html", site / "compare.html", next((site / "submissions").iterdir())):
            browser.open(page)
            browser.run(axe)
            found = browser.run_async("const done = arguments[0]; axe.run().then(r => done(r.violations))")
            assert not found, (page.name, json.dumps(found)[:2000])


def _places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a result can be spoilt: every key of it, and the first items of its lists."""
    if path:
        yield path
    if isinstance(content, list):
        content = dict(enumerate(content[:2]))
    for key, value in content.items() if isinstance(content, dict) else ():
        yield from _places(value, (*path, key))


def test_odd_results_keep_no_board_from_being_made(verified: list[dict[str, Any]], tmp_path: Path) -> None:
    """Without the score of the Hub, of other regions, of a target that is null, of peaks by wave number."""
    odd = copy.deepcopy({**verified[0], "name": "Odd"})
    odd["scores"].pop("skill")
    odd["regions"]["id"] = [number + 1 for number in odd["regions"]["id"]]
    odd["dataset"]["target"] = None
    odd["curves"]["peak_completeness_by_mass"] = {"k": [1.0], "value": [0.5], "low": [0.4], "high": [0.6]}
    (board,) = map_boards([odd, verified[0]])
    assert [(entry.rank, entry.tie) for entry in board.entries] == [(1, None), (2, None)]
    render([odd, verified[0]], tmp_path / "site", repository="org/name")
    assert [path.name for path in (tmp_path / "site" / "hub").iterdir()] == [slug_of(verified[0])]


def test_a_spoilt_result_is_refused_or_drawn(verified: list[dict[str, Any]], tmp_path: Path) -> None:
    """Never a traceback, whatever stands where; and the published schema is no stricter than the check."""
    rng = random.Random(6)
    good = json.loads(json.dumps(verified[0]))
    places = list(_places(good))
    odd = [None, -1, 10**30, "<script>x</script>", [], {}, [[]], True, [1, 2, 3], {"a": 1}, 0, "", "delete"]
    drawn = refused = 0
    for _ in range(300):
        spoilt = copy.deepcopy(good)
        path, value = rng.choice(places), rng.choice(odd)
        parent = functools.reduce(lambda node, key: node[key], path[:-1], spoilt)
        if value == "delete":
            del parent[path[-1]]
        else:
            parent[path[-1]] = value
        problems = result_problems(spoilt)
        if problems:
            refused += 1
            assert all("\n" not in line and len(line) <= 301 for line in problems)
            continue
        drawn += 1
        jsonschema.validate(spoilt, Result.model_json_schema())
        render([spoilt], tmp_path / "site")
        assert all("<script>x" not in page.read_text() for page in (tmp_path / "site").rglob("*.html"))
    assert drawn > 10 and refused > 200
