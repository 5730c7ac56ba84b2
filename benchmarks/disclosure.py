"""What a result on a held-back truth may tell: enough to rank, too little to work the truth out from.

Scores of predictions that anyone may send again and again are measurements of the truth: with figures of
single regions to many digits, two constant maps give a region's mean to 1e-8 dex. So these results have
no figures of regions or pixels, none of parts with few regions, and three digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.constants import Constants
from benchmarks.registry import SCORES

DIGITS = 3
SIGNED_DECIMALS = 2
"""Of what may be near 0, where digits alone would be as fine as one likes: biases and the like."""
LEFT_OUT = ("regions", "histogram", "residual_maps", "cases", "halos")
_ENDS = ("value", "low", "high")


def rounded(value: Any, *, signed: bool) -> Any:
    """A number, or a list of some, with three significant digits; what may be negative with two decimals."""
    if value is None:
        return None
    if isinstance(value, list):
        return [rounded(v, signed=signed) for v in value]
    short = float(f"{value:.{DIGITS}g}")
    # Not -0.0, which boards of others show.
    return round(short, SIGNED_DECIMALS) + 0.0 if signed else short


def _signed(name: str) -> bool:
    # Unknown scores (raw_..., and curves) are those of the registry but for a prefix or none of it.
    known = SCORES.get(name) or SCORES.get(name.removeprefix("raw_"))
    return "bias" in name if known is None else known.limits[0] < 0


def _rounded(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Scores, or curves, with their values and the ends of their intervals rounded."""
    return {
        name: {
            key: rounded(value, signed=_signed(name)) if key in _ENDS else value
            for key, value in part.items()
        }
        for name, part in parts.items()
    }


def disclosed(result: Mapping[str, Any], constants: Constants) -> dict[str, Any]:
    """The part of a result on a held-back truth that may be shown."""
    kept = {key: value for key, value in result.items() if key not in LEFT_OUT}
    kept |= {key: _rounded(result[key]) for key in ("scores", "secondary", "curves")}
    if "rank_histogram" in kept:
        ranks = result["rank_histogram"]
        kept["rank_histogram"] = {**ranks, "share": rounded(ranks["share"], signed=False)}
    kept["tables"] = {
        title: [
            # Few regions are nearly one: the scores of such a part are those of its halos.
            {**row, "scores": _rounded(row["scores"]) if row["regions"] >= constants.least_regions else {}}
            for row in rows
        ]
        for title, rows in result["tables"].items()
    }
    kept["references"] = {
        name: {"text": row["text"], **{key: _rounded(row[key]) for key in ("scores", "curves")}}
        for name, row in result["references"].items()
    }
    floor = result["noise_floor"]
    kept["noise_floor"] = floor and {k: rounded(v, signed=_signed(k)) for k, v in floor.items()}
    return kept
