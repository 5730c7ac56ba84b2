"""What the page of a submission, and that of two beside each other, show: plain values for templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.leaderboard.boards import Board, Entry
from benchmarks.leaderboard.cells import COLUMNS, cell, floor_text, marks, number
from benchmarks.leaderboard.charts import Series, chart
from benchmarks.leaderboard.images import MAP_COLOURS, RESIDUAL_COLOURS, definitions, map_figure
from benchmarks.registry import CURVES, SCORES
from three_hundred_maps.keys import KEY

ORACLE = "oracle R200c"


def _curve(result: Mapping[str, Any], name: str, axis: str, label: str, style: str = "s0") -> Series | None:
    curve = result.get("curves", {}).get(name)
    if not curve or axis not in curve:
        return None
    return Series(label, curve[axis], curve["value"], curve.get("low"), curve.get("high"), style)


def _charts(entry: Entry, board: Board) -> list[dict[str, Any]]:
    result, name = entry.result, str(entry.result["name"])
    oracle = board.references.get(ORACLE, {})
    charts = []

    def add(title: str, text: str, lines: list[Series | None], *labels: str, **options: Any) -> None:
        kept = [line for line in lines if line is not None]
        if kept:
            charts.append({"title": title, "text": text, "svg": chart(title, kept, *labels, **options)})

    histogram = result.get("histogram")
    if histogram:
        share = histogram["share"]
        add(
            "Residuals",
            f"Share of pixels inside R200c by l(p) - l(t), on the score grid; "
            f"{100 * (share[0] + share[-1]):.2g} % lie beyond the axis.",
            # The first and the last bin hold all that lies beyond.
            [Series(name, histogram["edges"][1:-1], share[1:-1])],
            "l(p) − l(t) [dex]",
            "share of pixels",
            bars=True,
        )
    for key, title, span in (
        ("power_ratio", "Power ratio", (0.0, 1.6)),
        ("cross_correlation", "Cross-correlation", (0.0, 1.05)),
    ):
        lines = [_curve(result, key, "k", name)]
        lines.append(_curve(result, f"{key}_noise_free", "k", "without the truth's noise", "s1"))
        lines.append(_curve(oracle, key, "k", ORACLE, "s2"))
        add(
            title,
            CURVES[key] + ".",
            [line if i == 0 or line is None else _bare(line) for i, line in enumerate(lines)],
            "k [cycles per R200c]",
            title.lower(),
            y_range=span,
            log_x=True,
            guide=1.0 if key == "power_ratio" else 0.9,
        )
    for key, title in (("profile_bias", "Profile bias"), ("profile_scatter", "Profile scatter")):
        lines = [_curve(result, key, "radius", name), _curve(oracle, key, "radius", ORACLE, "s2")]
        add(
            title,
            CURVES[key] + ".",
            [line if i == 0 or line is None else _bare(line) for i, line in enumerate(lines)],
            "R / R200c",
            title.lower(),
            log_x=True,
            guide=0.0 if key == "profile_bias" else None,
        )
    _add_odds(add, result, name)
    return charts


def _add_odds(add: Callable[..., None], result: Mapping[str, Any], name: str) -> None:
    """The charts of posterior samples, where there are some."""
    ranks = result.get("rank_histogram")
    if ranks:
        add(
            "Rank histogram",
            "Share of pixels by the rank of the truth among the samples; flat where the odds are right, a "
            "valley where the samples spread too little.",
            [Series(name, ranks["edges"], ranks["share"])],
            "rank of the truth",
            "share of pixels",
            bars=True,
            guide=1.0 / len(ranks["share"]),
        )
    lines = [
        _curve(result, "tarp", "credibility", "maps"),
        _curve(result, "tarp_mass", "credibility", "M(<R200c)", "s1"),
    ]
    if lines[0] is not None:
        lines[1:] = [_bare(line) for line in lines[1:] if line is not None]
        lines.append(Series("right odds", [0.0, 1.0], [0.0, 1.0], style="s2"))
        add("Expected coverage (TARP)", CURVES["tarp"] + ".", lines, "credibility", "expected coverage",
            y_range=(0.0, 1.0))  # fmt: skip
    for key, axis, label, title, log_x in (
        ("spread_skill_by_radius", "radius", "R / R200c", "Spread over skill", False),
        ("sample_power_ratio", "k", "k [cycles per R200c]", "Power of single samples", True),
    ):
        line = _curve(result, key, axis, name)
        if line is not None:
            add(
                title,
                CURVES[key] + ".",
                [line],
                label,
                title.lower(),
                y_range=(0.0, 2.0),
                log_x=log_x,
                guide=1.0,
            )


def _bare(line: Series) -> Series:
    return Series(line.label, line.x, line.y, style=line.style)


def submission_page(board: Board, entry: Entry, odds_rank: int | None = None) -> dict[str, Any]:
    """The page of a submission; ``odds_rank`` is its rank among the predictions with their odds."""
    result = entry.result
    noise = board.noise_floor or {}
    scores = [
        {
            "label": SCORES[name].label if name in SCORES else name,
            "units": SCORES[name].units if name in SCORES else "",
            "cell": cell(name, score),
            "references": [
                cell(name, reference["scores"].get(name))["text"] for reference in board.references.values()
            ],
            "noise": floor_text(name, noise.get(name)),
        }
        for name, score in sorted(result["scores"].items(), key=lambda item: _place(item[0]))
    ]
    by_mass = result.get("curves", {}).get("peak_completeness_by_mass")
    return {
        "result": result,
        "slug": entry.slug,
        "rank": entry.rank,
        "odds_rank": odds_rank,
        "board": {"title": board.title, "anchor": board.anchor},
        "marks": marks(entry),
        "facts": _facts(result),
        "links": [(k, result[k]) for k in ("code", "paper") if result.get(k)],
        "scores": scores,
        "reference_names": list(board.references),
        "secondary": [(k.replace("_", " "), cell(k, v)) for k, v in result.get("secondary", {}).items()],
        "charts": _charts(entry, board),
        "completeness": None
        if not by_mass
        else [
            (f"from {m:g}", cell("peak_completeness", {"value": v, "low": a, "high": b}))
            for m, v, a, b in zip(
                by_mass["mass"], by_mass["value"], by_mass["low"], by_mass["high"], strict=True
            )
        ],
        "tables": _tables(result),
        "cases": _cases(result),
        "halos": _halos(result),
        "definitions": definitions(float(result["dataset"].get("width_R200c", 2.0))),
        "maps": [
            (label, map_figure(image, colours, unit=f"{unit} [dex]", alt=label))
            for key, label, unit, colours in (
                ("mean", "Mean residual of all maps", "mean of l(p) − l(t)", RESIDUAL_COLOURS),
                ("rms", "Rms residual of all maps", "rms of l(p) − l(t)", MAP_COLOURS),
            )
            if (image := result.get("residual_maps", {}).get(key))
        ],
    }


def _place(name: str) -> tuple[int, str]:
    """Order of the registry; names it does not know come last."""
    names = list(SCORES)
    return (names.index(name) if name in SCORES else len(names)), name


def _split(data: Mapping[str, Any]) -> str:
    return "all splits" if data.get("split") == "all" else "test split"


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    data = result["dataset"]
    sizes = f"{data.get('halos')} halos × {data.get('lines_of_sight')} lines of sight, "
    known = [
        ("Authors", ", ".join(result["authors"])),
        ("Task", result["task"]),
        ("Track", result["track"]),
        ("Scored on", f"{data['name']}, {_split(data)}: {sizes}{data.get('regions')} regions"),
        (
            "Recipe, generator",
            ", ".join(str(data[k])[:16] for k in ("recipe_sha256", "generator") if data.get(k)),
        ),
        ("Digest of its bytes", data["digest"][:16]),
        ("Trained on", result.get("trained_on") or result.get("training_data")),
        ("Posterior samples", f"{result['samples']} a map" if result.get("samples") else None),
        ("Parameters", None if result.get("parameters") is None else f"{result['parameters']:,}"),
        ("Framework", result.get("framework")),
        ("Date", result.get("date")),
        ("License", result.get("license")),
        ("Predictions", (result.get("predictions_sha256") or "")[:16] or None),
    ]
    return [(label, str(value)) for label, value in known if value]


def _tables(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = []
    for title, rows in result.get("tables", {}).items():
        names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
        tables.append(
            {
                "title": title,
                "columns": [SCORES[name].label if name in SCORES else name for name in names],
                "rows": [
                    {
                        "label": row["label"],
                        "halos": row["halos"],
                        "cells": [cell(name, row["scores"].get(name)) for name in names],
                    }
                    for row in rows
                ],
            }
        )
    return tables


def _halos(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            ", ".join(str(row[name]) for name in KEY if row.get(name) is not None),
            row["split"],
            f"{row['M200c']:.3g}",
            number(row["redshift"], 2),
            number(row["residual_rms_dex"], 4),
            number(row["rms_over_climatology"], 3),
            f"{row['mass_bias']:+.3f}",
            ", ".join(row["outside"]) or "–",
        )
        for row in result.get("halos", [])
    ]


def _cases(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    cases = []
    for name, case in result.get("cases", {}).items():
        unit, samples = "log10 of M☉ kpc⁻²", case.get("samples", [])
        shown = [
            ("truth", case["truth"], unit, MAP_COLOURS),
            ("mean of the samples" if samples else "prediction", case["prediction"], unit, MAP_COLOURS),
            ("residual", case["residual"], "l(p) − l(t) [dex]", RESIDUAL_COLOURS),
            *((f"sample {i}", sample, unit, MAP_COLOURS) for i, sample in enumerate(samples, 1)),
        ]
        images = [
            (label, map_figure(image, colours, unit=unit, alt=f"{name} case, {label}"))
            for label, image, unit, colours in shown
        ]
        cases.append({"name": name, "case": case, "images": images})
    return cases


def compare_data(boards: list[Board]) -> list[dict[str, Any]]:
    """What the comparison needs of every result, short; results of one board are comparable pair by pair."""
    data = []
    for board in boards:
        for entry in board.entries:
            curves, regions = entry.result.get("curves", {}), entry.result.get("regions") or {}
            data.append(
                {
                    "slug": entry.slug,
                    "name": entry.result["name"],
                    "board": board.title,
                    "dataset": "/".join(part[:16] for part in board.key.data),
                    "scores": [
                        [shown["text"], shown["interval"]]
                        for shown in (cell(name, entry.result["scores"].get(name)) for name in COLUMNS)
                    ],
                    "k": curves.get("cross_correlation", {}).get("k", []),
                    "cross": _short(curves.get("cross_correlation", {}).get("value", [])),
                    "ratio": _short(curves.get("power_ratio", {}).get("value", [])),
                    # Of held-back data there are none: then the page says that it cannot compare.
                    "region": regions.get("id", []),
                    "mse": [float(f"{v:.5g}") for v in regions.get("mse", [])],
                }
            )
    return _share_axes(data)


def _short(values: list[float | None]) -> list[float | None]:
    return [None if v is None else round(v, 3) for v in values]


def _share_axes(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lists that entries have in common (k, regions) are kept once: others name the entry with it."""
    for key in ("k", "region"):
        first: dict[str, int] = {}
        for place, entry in enumerate(data):
            text = repr(entry[key])
            if text in first:
                entry[key] = first[text]
            else:
                first[text] = place
    return data
