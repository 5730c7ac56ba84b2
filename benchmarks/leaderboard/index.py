"""What the first page shows: tasks, each with its boards, as plain values for its template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.leaderboard.boards import Board
from benchmarks.leaderboard.cells import COLUMNS, ODDS_COLUMNS, cell, floor_text, marks
from benchmarks.leaderboard.charts import forest
from benchmarks.registry import PROBABILISTIC, RANKING, SCORES
from benchmarks.tasks import TASKS

DEGRADATION = "degradation"
"""A column beside the others where a model was trained elsewhere."""
FOREST_ROWS = 20


def index_tasks(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """The first page: tasks, each with its boards."""
    tasks: dict[str, dict[str, Any]] = {}
    for board in boards:
        text = TASKS[board.task].text if board.task in TASKS else ""
        task = tasks.setdefault(board.task, {"title": board.task_title, "text": text, "boards": []})
        task["boards"].append(index_board(board))
    return list(tasks.values())


def _columns(board: Board) -> tuple[str, ...]:
    if board.score == PROBABILISTIC:
        return ODDS_COLUMNS
    if any(DEGRADATION in entry.result["scores"] for entry in board.entries):
        return (RANKING, DEGRADATION, *COLUMNS[1:])
    return COLUMNS


def index_board(board: Board) -> dict[str, Any]:
    """A board of the first page."""
    columns = _columns(board)
    rows = [
        {
            "slug": entry.slug,
            "rank": "–" if entry.rank is None else str(entry.rank),
            "name": entry.result["name"],
            "authors": ", ".join(entry.result["authors"][:3])
            + (" et al." if len(entry.result["authors"]) > 3 else ""),
            "trained": entry.result.get("trained_on") if board.task != "mass-map" else None,
            "date": entry.result.get("date") or "",
            "marks": marks(entry),
            "cells": [cell(name, entry.result["scores"].get(name)) for name in columns],
        }
        for entry in board.entries
    ]
    references = [
        {
            "name": name,
            "text": reference.get("text", ""),
            "cells": [cell(c, reference["scores"].get(c)) for c in columns],
        }
        for name, reference in board.references.items()
        if board.score in reference["scores"]
    ]
    noise = board.noise_floor if board.score == RANKING else None
    first = board.entries[0].result
    return {
        "anchor": board.anchor,
        "title": board.title,
        "short_title": board.short_title,
        "best": _best(board),
        "track": board.track,
        "dataset": first["dataset"],
        "columns": [
            {"label": SCORES[c].label, "units": SCORES[c].units, "meaning": SCORES[c].meaning}
            for c in columns
        ],
        "below": _below(board),
        # The comparison is of maps.
        "pick": board.score == RANKING,
        "rows": rows,
        "references": references,
        "noise": None if noise is None else [floor_text(c, noise.get(c)) for c in columns],
        "forest": _forest(board),
        "history": [
            {
                "slug": entry.slug,
                "name": entry.result["name"],
                "date": entry.result.get("date") or "",
                "cell": cell(board.score, entry.result["scores"][board.score]),
            }
            for entry in board.history
        ],
    }


def _below(board: Board) -> str:
    """What stands below the rows of a board, in words."""
    if board.score == PROBABILISTIC:
        return (
            "Ranked by CRPS, which noise on single pixels passes: the spread of the mass and the power "
            "of single samples beside it tell whether a sample is a map."
        )
    if board.references:
        return (
            "Below: the reference rows, which see no map, and the noise floor, below which no score means "
            "anything."
        )
    return "No reference rows and no noise floor: this data set has no record here."


def _best(board: Board) -> str:
    """The first of a board in words, for the overview of all tracks."""
    first = board.entries[0]
    if first.rank is None:
        return "nothing ranked"
    value = cell(board.score, first.result["scores"][board.score])["text"]
    return f"best of {len(board.entries)}: {first.result['name']}, {value} dex"


def _forest(board: Board) -> Any:
    rows = []
    for entry in [e for e in board.entries if not e.set_aside][:FOREST_ROWS]:
        score = entry.result["scores"][board.score]
        style = "s1" if entry.verified and entry.result["kind"] == "baseline" else "s0"
        rows.append((entry.result["name"], score["value"], score["low"], score["high"], style))
    for name, reference in board.references.items():
        if score := reference["scores"].get(board.score):
            rows.append((name, score["value"], score["low"], score["high"], "s2"))
    rows.sort(key=lambda row: row[1])
    return forest(rows, f"{SCORES[board.score].label} [dex]")
