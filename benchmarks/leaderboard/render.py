"""Render the site: an index of boards, a page a submission, and a page to compare two."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.constants import VERSION
from benchmarks.eval_results import write_eval_results
from benchmarks.leaderboard import cells, index, pages
from benchmarks.leaderboard.boards import Board, make_boards
from benchmarks.leaderboard.cells import COLUMNS
from benchmarks.leaderboard.pages import compare_data, submission_page
from benchmarks.registry import RANKING, SCORES
from benchmarks.results import check_result, read_result
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import replaced_folder
from three_hundred_maps.progress import progress

INDEX, COMPARE, PAGES, STYLE = "index.html", "compare.html", "submissions", "site.css"


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("benchmarks.leaderboard", "site"),
        # Every text of a result is a stranger's: all of it is escaped.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = importlib.resources.files("benchmarks.leaderboard").joinpath("site")
    for name in ("site.js", "compare.js"):
        environment.globals[name.replace(".", "_")] = folder.joinpath(name).read_text("utf-8")
    environment.globals["root"] = ""
    environment.globals["version"] = VERSION
    environment.filters["script_json"] = _script_json
    for module, names in (
        (cells, ("cell", "floor_text", "label", "marks", "units")),
        (index, ("below", "best", "columns", "forest_of")),
        (pages, ("ordered", "scores_of")),
    ):
        environment.globals |= {name: getattr(module, name) for name in names}
    return environment


def _script_json(value: Any) -> Any:
    """JSON that cannot end the script element it stands in."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


Given = str | Path | Mapping[str, Any]


def load_results(given: Iterable[Given]) -> list[Mapping[str, Any]]:
    """Results, those of files, and those of all ``*.json`` files of folders; each checked.

    Raises
    ------
    InputError
        Where one is no result.
    """
    found: list[Mapping[str, Any]] = []
    for item in given:
        if isinstance(item, Mapping):
            found.append(check_result(item))
        else:
            path = Path(item)
            files = sorted(path.glob("*.json")) if path.is_dir() else [path]
            found += map(read_result, files)
    return found


def render(
    results: Iterable[Given],
    out: str | Path,
    *,
    verified: Iterable[Given] = (),
    repository: str | None = None,
) -> Path:
    """Render the leaderboard's site.

    Parameters
    ----------
    results
        Results, or paths of such files or of folders of them.
    out
        A new or empty folder, or one that holds an earlier site: its own files are replaced, others stay.
    verified
        As ``results``: those that the maintainers scored themselves.
    repository
        The dataset's name on the Hub, ``org/name``: writes ``.eval_results`` too.

    Returns
    -------
    The path of its first page.

    Raises
    ------
    InputError
        Where a result is none, or the folder holds other things.
    """
    boards = make_boards(load_results(results), load_results(verified))
    if not boards:
        raise InputError("no results: give RESULT.json files, or folders that hold some")
    with replaced_folder(Path(out), "leaderboard") as folder:
        _write(boards, folder, repository)
    return Path(out) / INDEX


def _write(boards: list[Board], out: Path, repository: str | None) -> None:
    environment = _environment()
    (out / PAGES).mkdir()
    (out / STYLE).write_bytes(importlib.resources.files(__package__).joinpath("site", STYLE).read_bytes())
    of_maps = [board for board in boards if board.score == RANKING]
    count = sum(len(board.entries) for board in of_maps)
    text = environment.get_template("index.html").render(
        tasks=[list(found) for _, found in groupby(boards, key=lambda board: board.task)],
        boards=boards,
        count=count,
        meanings=SCORES,
        ranking=RANKING,
    )
    (out / INDEX).write_text(text, "utf-8")
    text = environment.get_template("compare.html").render(
        data=compare_data(of_maps), columns=[SCORES[name] for name in COLUMNS]
    )
    (out / COMPARE).write_text(text, "utf-8")
    template = environment.get_template("submission.html")
    # A result has one page, whatever boards it stands on.
    entries = [(board, entry) for board in of_maps for entry in (*board.entries, *board.history)]
    odds = {entry.slug: entry.rank for board in boards if board not in of_maps for entry in board.entries}
    for board, entry in progress(entries, desc="pages", unit="page"):
        page = submission_page(board, entry, odds.get(entry.slug))
        text = template.render(root="../", **page)
        for tag in ("</td>", "</tr>", "</th>"):
            # HTML lets them out; a page has hundreds.
            text = text.replace(tag, "")
        (out / PAGES / f"{entry.slug}.html").write_text(text, "utf-8")
    if repository is not None:
        for _, entry in entries:
            write_eval_results(entry.result, repository, out / "hub" / entry.slug)
