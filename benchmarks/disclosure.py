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


def rounded(value: float | None, *, signed: bool) -> float | None:
    """A number with three significant digits; one that may be negative with two decimals at most."""
    if value is None:
        return None
    short = float(f"{value:.{DIGITS}g}")
    return round(short, SIGNED_DECIMALS) if signed else short


def _signed(name: str) -> bool:
    # Unknown scores (raw_..., and curves) are those of the registry but for a prefix or none of it.
    known = SCORES.get(name) or SCORES.get(name.removeprefix("raw_"))
    return "bias" in name if known is None else known.limits[0] < 0


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {**score, **{end: rounded(score[end], signed=_signed(name)) for end in _ENDS}}
        for name, score in scores.items()
    }


def _curves(curves: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            key: [rounded(v, signed=_signed(name)) for v in values] if key in _ENDS else values
            for key, values in curve.items()
        }
        for name, curve in curves.items()
    }


def disclosed(result: Mapping[str, Any], constants: Constants) -> dict[str, Any]:
    """The part of a result on a held-back truth that may be shown."""
    kept = {key: value for key, value in result.items() if key not in LEFT_OUT}
    kept |= {key: _scores(result[key]) for key in ("scores", "secondary")}
    kept["curves"] = _curves(result["curves"])
    if "rank_histogram" in kept:
        ranks = result["rank_histogram"]
        kept["rank_histogram"] = {**ranks, "share": [rounded(v, signed=False) for v in ranks["share"]]}
    kept["tables"] = {
        title: [
            # Few regions are nearly one: the scores of such a part are those of its halos.
            {**row, "scores": _scores(row["scores"]) if row["regions"] >= constants.least_regions else {}}
            for row in rows
        ]
        for title, rows in result["tables"].items()
    }
    kept["references"] = {
        name: {"text": row["text"], "scores": _scores(row["scores"]), "curves": _curves(row["curves"])}
        for name, row in result["references"].items()
    }
    floor = result["noise_floor"]
    kept["noise_floor"] = floor and {k: rounded(v, signed=_signed(k)) for k, v in floor.items()}
    return kept
