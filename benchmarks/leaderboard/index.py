"""What the first page says of a board: functions of its template."""

from __future__ import annotations

from typing import Any

from benchmarks.leaderboard.boards import Board
from benchmarks.leaderboard.cells import COLUMNS, ODDS_COLUMNS, cell
from benchmarks.leaderboard.charts import forest
from benchmarks.registry import NO_FLOOR, PROBABILISTIC, RANKING, SCORES

DEGRADATION = "degradation"
"""A column beside the others where a model was trained elsewhere."""
FOREST_ROWS = 20


def columns(board: Board) -> tuple[str, ...]:
    """Scores of a board's table."""
    if board.score == PROBABILISTIC:
        return ODDS_COLUMNS
    if any(DEGRADATION in entry.result["scores"] for entry in board.entries):
        return (RANKING, DEGRADATION, *COLUMNS[1:])
    return COLUMNS


def below(board: Board) -> str:
    """What stands below the rows of a board, in words."""
    if board.score == PROBABILISTIC:
        return (
            "Ranked by CRPS, which noise on single pixels passes: the spread of the mass and the power "
            "of single samples beside it tell whether a sample is a map."
        )
    if board.references and board.noise_floor is None:
        return f"Below: the reference rows, which see no map; {NO_FLOOR}."
    if board.references:
        return (
            "Below: the reference rows, which see no map, and the noise floor, below which no score means "
            "anything."
        )
    return "No reference rows and no noise floor: this data set has no record here."


def best(board: Board) -> str:
    """The first of a board in words, for the overview of all tracks."""
    first = board.entries[0]
    if first.rank is None:
        return "nothing ranked"
    value = cell(board.score, first.result["scores"][board.score])["text"]
    return f"best of {len(board.entries)}: {first.result['name']}, {value} dex"


def forest_of(board: Board) -> Any:
    """The scores of a board and their intervals as a picture."""
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
