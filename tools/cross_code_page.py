"""The page about what is learnt from one code's clusters and tried on another's, from results alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baselines.results import interval, number, view_names
from benchmarks.results import read_result
from three_hundred_maps.display import markdown_table
from three_hundred_maps.errors import InputError
from tools.page import texts, write_text

PAGE = "cross-code.md"
SCORE = "residual_rms_dex"
HEADS = (
    "views",
    "trained on",
    "tested on",
    SCORE,
    "in-domain model",
    "degradation",
    "95 % interval",
    "mass bias",
    "mass scatter",
)
Result = Mapping[str, Any]


def write_page(results: Sequence[Path], out: Path) -> Path:
    """Write ``out/cross-code.md`` from results of `tools.cross_code`."""
    return write_text(out / PAGE, render([read_result(path) for path in results]))


def render(results: Sequence[Result]) -> str:
    """The page as Markdown; results of other tasks are passed over.

    Raises
    ------
    InputError
        Where a result across codes has no in-domain result beside it.
    """
    away = [result for result in results if result["task"] == "cross-code"]
    names = sorted({result["dataset"]["name"] for result in away})
    home = {
        (result["dataset"]["name"], result["track"], result["name"]): result
        for result in results
        if result["task"] == "mass-map" and result.get("trained_on") == result["dataset"]["name"]
    }
    rows = []
    for result in sorted(away, key=_order):
        key = (result["dataset"]["name"], result["track"], (result.get("in_domain") or {}).get("name"))
        if key not in home:
            raise InputError(
                f"no in-domain result for {result['track']} on {result['dataset']['name']}: "
                "run python -m tools.cross_code"
            )
        rows.append(_row(result, home[key]))
    sizes = {result["dataset"]["name"]: result for result in away}
    climatologies = ", ".join(
        f"{number(sizes[name]['references']['climatology']['scores'][SCORE]['value'], SCORE)} on `{name}`"
        for name in names
    )
    text = texts("cross_code")
    synthetic = any(result["dataset"]["synthetic"] for result in away)
    page = text["PAGE"].format(
        parameters=max(result["parameters"] for result in away) / 1e6,
        regions=" and ".join(sorted({str(result["dataset"]["regions"]) for result in away})),
        climatologies=climatologies,
        synthetic=f"{text['SYNTHETIC']}\n\n" if synthetic else "",
        table=markdown_table(HEADS, rows),
        reading=_reading(away, set(names), text),
        names=names,
    )
    return f"{page}\n"


def _reading(away: Sequence[Result], codes: set[str], text: Mapping[str, str]) -> str:
    """Which views travel: the mean degradation over both directions, of mixed training, of varied physics."""
    means: dict[str, dict[str, list[float]]] = {"one": {}, "both": {}, "varied": {}}
    for result in away:
        trained = set(result["trained_on"].split("+"))
        kind = "varied" if not trained <= codes else "one" if len(trained) == 1 else "both"
        means[kind].setdefault(result["track"], []).append(result["scores"]["degradation"]["value"])

    def listed(kind: str) -> str:
        tracks = {track: sum(values) / len(values) for track, values in means[kind].items()}
        ordered = sorted(tracks, key=lambda track: tracks[track])
        return ", ".join(f"{view_names(track)} {tracks[track]:+.4f}" for track in ordered)

    parts = [text["READING"]] if means["one"] and means["both"] else []
    parts += [text["VARIED"]] if means["varied"] else []
    return " ".join(parts).format(**{kind: listed(kind) for kind in means})


def _order(result: Result) -> tuple[int, str, str, int, str]:
    trained = str(result["trained_on"])
    return (len(result["track"]), result["track"], result["dataset"]["name"], trained.count("+"), trained)


def _row(away: Result, home: Result) -> list[str]:
    scores = away["scores"]
    degradation = scores["degradation"]
    return [
        view_names(away["track"]),
        " and ".join(f"`{name}`" for name in away["trained_on"].split("+")),
        f"`{away['dataset']['name']}`",
        number(scores[SCORE]["value"], SCORE),
        number(home["scores"][SCORE]["value"], SCORE),
        f"{degradation['value']:+.4f}",
        interval(degradation, SCORE),
        number(scores["mass_bias"]["value"], "mass_bias"),
        number(scores["mass_scatter"]["value"], "mass_scatter"),
    ]
