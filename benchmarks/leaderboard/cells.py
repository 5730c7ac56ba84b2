"""Numbers, intervals, marks and whole boards as the pages show them: functions of the templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from benchmarks.leaderboard.boards import Board, Entry
from benchmarks.leaderboard.charts import forest
from benchmarks.registry import PROBABILISTIC, RANKING, SCORES

COLUMNS = (RANKING, "residual_bias", "skill", "mass_bias", "mass_scatter", "k_0.9", "ssim", "peak_f1")
"""Scores of the boards' tables; a submission's page has them all."""
ODDS_COLUMNS = (
    *(PROBABILISTIC, "energy_score", "spread_skill", "mass_spread_skill"),
    *("sample_power_ratio_1_3", "sample_power_ratio_3_8", "sample_power_ratio_8_14"),
    *("coverage_68", "coverage_95", "rank_deviation", "tarp", "tarp_mass", RANKING),
)
"""The same of the probabilistic boards."""
DEGRADATION = "degradation"
"""A column beside the others where a model was trained elsewhere."""
FOREST_ROWS = 20


def label(name: str) -> str:
    """How a score is headed."""
    return SCORES[name].label if name in SCORES else name


def units(name: str) -> str:
    """Units of a score; nothing for ``1``."""
    found = SCORES[name].units if name in SCORES else ""
    return "" if found == "1" else found


def with_units(name: str) -> str:
    """How a score is headed, with its units."""
    return f"{label(name)} [{units(name)}]" if units(name) else label(name)


def number(value: float | None, digits: int) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None else f"{value:z.{digits}f}"  # z: no -0.000


def cell(name: str, score: Mapping[str, Any] | None) -> dict[str, str]:
    """Text and interval of a score."""
    digits = SCORES[name].digits if name in SCORES else 4
    shown = min(digits, 3) if name not in (RANKING, PROBABILISTIC, "energy_score") else digits
    score = score or {}
    text = number(score.get("value"), shown)
    note = str(score.get("note") or "")
    if note.startswith(">="):
        text = "≥" + number(score.get("value"), 0)
    low, high = score.get("low"), score.get("high")
    interval = ""
    if low is not None and high is not None:
        dash = "–" if low >= 0 else " to "
        interval = f"{number(low, shown)}{dash}{number(high, shown)}"
    return {"text": text, "interval": interval, "note": note}


def value(name: str, score: Mapping[str, Any] | None) -> Markup:
    """A score with its interval below it."""
    shown = cell(name, score)
    # Digits and dashes: nothing to escape.
    return Markup(shown["text"] + (f"<small>{shown['interval']}</small>" if shown["interval"] else ""))


LOWER_BOUNDS = ("ssim", "peak_completeness", "peak_purity", "peak_f1")
"""Of the noise floor, what does not scale from half-samples to the whole: as the halves give it."""


def floor_text(name: str, value: float | None) -> str:
    """The noise floor of a score; ``≥`` where it is a lower bound."""
    text = cell(name, {"value": value})["text"]
    return f"≥{text}" if name in LOWER_BOUNDS and value is not None else text


def marks(entry: Entry) -> list[tuple[str, str]]:
    """(CSS class, text) of what is marked beside a name."""
    found = []
    if entry.verified:
        found.append(("verified", "verified"))
        if entry.result["kind"] == "baseline":
            found.append(("baseline", "baseline"))
    if entry.tie:
        found.append(("tie", "ties with 1"))
    return found + [("flag", flag) for flag in (*entry.result["flags"], *entry.warnings)]


def columns(board: Board) -> tuple[str, ...]:
    """Scores of a board's table."""
    if board.key.score == PROBABILISTIC:
        return ODDS_COLUMNS
    if any(DEGRADATION in entry.result["scores"] for entry in board.entries):
        return (RANKING, DEGRADATION, *COLUMNS[1:])
    return COLUMNS


def forest_of(board: Board) -> Any:
    """The scores of a board and their intervals as a picture."""
    rows = []
    for entry in [e for e in board.entries if not e.set_aside][:FOREST_ROWS]:
        score = entry.result["scores"][board.key.score]
        style = "s1" if entry.verified and entry.result["kind"] == "baseline" else "s0"
        rows.append((entry.result["name"], score["value"], score["low"], score["high"], style))
    for name, reference in board.references.items():
        if score := reference["scores"].get(board.key.score):
            rows.append((name, score["value"], score["low"], score["high"], "s2"))
    rows.sort(key=lambda row: row[1])
    return forest(rows, f"{SCORES[board.key.score].label} [dex]")
