"""Render the site: an index of boards, a page a submission, and a page to compare two."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.constants import VERSION
from benchmarks.eval_results import HUB_SCORE, write_eval_results
from benchmarks.leaderboard import cells
from benchmarks.leaderboard.boards import Board, Entry, make_boards
from benchmarks.leaderboard.cells import COLUMNS
from benchmarks.leaderboard.pages import compare_data, reference_cells, submission_page
from benchmarks.registry import NO_FLOOR, RANKING, SCORES
from benchmarks.results import check_result, read_result
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import replaced_folder, spawn_pool
from three_hundred_maps.progress import progress

INDEX, COMPARE, PAGES, STYLE = "index.html", "compare.html", "submissions", "site.css"


@functools.cache
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
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    names = ("cell", "columns", "floor_text", "forest_of", "label", "marks", "units", "value")
    environment.globals |= {name: getattr(cells, name) for name in names}
    return environment


Given = str | Path | Mapping[str, Any]
Mapper = Callable[..., Iterator[Any]]
AT_LEAST = 64
"""Results that are worth the start of processes."""


@contextmanager
def _mapper(workers: int, count: int) -> Iterator[Mapper]:
    """`map` by as many processes."""
    if workers < 2 or count < AT_LEAST:
        yield map
    else:
        with spawn_pool(workers) as pool:
            yield functools.partial(pool.map, chunksize=8)


def _checked(given: Given) -> Mapping[str, Any]:
    return check_result(given) if isinstance(given, Mapping) else read_result(given)


def _files(given: Iterable[Given]) -> list[Given]:
    """What is given, of folders all their ``*.json`` files."""
    found: list[Given] = []
    for item in given:
        if not isinstance(item, Mapping) and Path(item).is_dir():
            found += sorted(Path(item).glob("*.json"))
        else:
            found.append(item)
    return found


def render(
    results: Iterable[Given],
    out: str | Path,
    *,
    verified: Iterable[Given] = (),
    repository: str | None = None,
    workers: int = 1,
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
    workers
        Processes, of which many results make use; the site is the same.

    Returns
    -------
    The path of its first page.

    Raises
    ------
    InputError
        Where a result is none, or the folder holds other things.
    """
    sent, own = _files(results), _files(verified)
    if not sent + own:
        raise InputError("no results: give RESULT.json files, or folders that hold some")
    with _mapper(workers, len(sent) + len(own)) as mapper:
        checked = list(mapper(_checked, sent + own))
        boards = make_boards(checked[: len(sent)], checked[len(sent) :])
        with replaced_folder(Path(out), "leaderboard") as folder:
            _write(boards, folder, repository, mapper)
    return Path(out) / INDEX


def _write(boards: list[Board], out: Path, repository: str | None, mapper: Mapper) -> None:
    environment = _environment()
    (out / PAGES).mkdir()
    (out / STYLE).write_bytes(importlib.resources.files(__package__).joinpath("site", STYLE).read_bytes())
    of_maps = [board for board in boards if board.key.score == RANKING]
    count = sum(len(board.entries) for board in of_maps)
    text = environment.get_template("index.html").render(
        tasks=[list(found) for _, found in groupby(boards, key=lambda board: board.key.task)],
        boards=boards,
        count=count,
        meanings=SCORES,
        ranking=RANKING,
        no_floor=NO_FLOOR,
    )
    (out / INDEX).write_text(text, "utf-8")
    text = environment.get_template("compare.html").render(
        data=compare_data(of_maps), columns=[SCORES[name] for name in COLUMNS]
    )
    (out / COMPARE).write_text(text, "utf-8")
    crps_ranks = {
        entry.slug: entry.rank for board in boards if board not in of_maps for entry in board.entries
    }
    jobs = []
    for board in of_maps:
        # A process gets no more than a page needs: of the board's results what its title is made of.
        title = {"training": board.entries[0].result.get("training", [])}
        head = replace(board, entries=[replace(board.entries[0], result=title)], history=[])
        beside = reference_cells(board)
        # A result has one page, whatever boards it stands on.
        for entry in (*board.entries, *board.history):
            jobs.append((out / PAGES, head, entry, beside, crps_ranks.get(entry.slug)))
            if repository is not None and entry.result["scores"].get(HUB_SCORE, {}).get("value") is not None:
                write_eval_results(entry.result, repository, out / "hub" / entry.slug)
    for _ in progress(mapper(_write_page, jobs), total=len(jobs), desc="pages", unit="page"):
        pass


def _write_page(job: tuple[Path, Board, Entry, Mapping[str, tuple[str, ...]], int | None]) -> None:
    folder, board, entry, beside, crps_rank = job
    page = submission_page(board, entry, beside, crps_rank)
    text = _environment().get_template("submission.html").render(root="../", **page)
    (folder / f"{entry.slug}.html").write_text(text, "utf-8")
