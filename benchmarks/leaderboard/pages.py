"""What the page of a submission, and that of two beside each other, show: plain values for templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from benchmarks.intervals import tail_share
from benchmarks.leaderboard.boards import Board, Entry
from benchmarks.leaderboard.cells import COLUMNS, cell, floor_text, label, number, value, with_units
from benchmarks.leaderboard.charts import Series, chart
from benchmarks.leaderboard.images import MAP_COLOURS, RESIDUAL_COLOURS, definitions, map_figure
from benchmarks.registry import CURVES, NO_FLOOR, SCORES
from three_hundred_maps.keys import KEY

ORACLE = "oracle R200c"
ENDS = ("value", "low", "high")


class Table(NamedTuple):
    """A table of a page: its name, its caption, the heads of its columns, and rows of a head and cells."""

    label: str
    caption: str
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Any]]]


def _curve(result: Mapping[str, Any], name: str, axis: str, label: str, style: str = "s0") -> Series | None:
    curve = result.get("curves", {}).get(name)
    if not curve or axis not in curve:
        return None
    return Series(label, curve[axis], curve["value"], curve.get("low"), curve.get("high"), style)


_K, _RADIUS = "k [cycles per R200c]", "R / R200c"
_CHARTS: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    ("power_ratio", "k", "Power ratio", _K, {"y_range": (0.0, 1.6), "log_x": True, "guide": 1.0}),
    (
        "cross_correlation",
        "k",
        "Cross-correlation",
        _K,
        {"y_range": (0.0, 1.05), "log_x": True, "guide": 0.9},
    ),
    ("profile_bias", "radius", "Profile bias", _RADIUS, {"log_x": True, "guide": 0.0}),
    ("profile_scatter", "radius", "Profile scatter", _RADIUS, {"log_x": True}),
    ("spread_skill_by_radius", "radius", "Spread over skill", _RADIUS, {"y_range": (0.0, 2.0), "guide": 1.0}),
    (
        *("sample_power_ratio", "k", "Power of single samples", _K),
        {"y_range": (0.0, 2.0), "log_x": True, "guide": 1.0},
    ),
)
"""Curve, its axis, title, label of the abscissa and options of each chart of a curve."""


def _charts(entry: Entry, board: Board) -> list[dict[str, Any]]:
    result, name = entry.result, str(entry.result["name"])
    oracle = board.references.get(ORACLE, {})
    charts = []

    def add(title: str, text: str, lines: list[Series], *labels: str, **options: Any) -> None:
        charts.append({"title": title, "text": text, "svg": chart(title, lines, *labels, **options)})

    if histogram := result.get("histogram"):
        share = histogram["share"]
        add(
            "Residuals",
            f"Share of pixels inside R200c by l(p) - l(t), on the score grid; "
            f"{100 * (share[0] + share[-1]):.2g} % lie beyond the axis.",
            # The first and the last bin hold all that lies beyond.
            [Series(name, histogram["edges"][1:-1], share[1:-1])],
            *("l(p) − l(t) [dex]", "share of pixels"),
            bars=True,
        )
    for key, axis, title, label_x, options in _CHARTS:
        found = [
            _curve(result, key, axis, name),
            _curve(result, f"{key}_noise_free", axis, "without the truth's noise", "s1"),
            _curve(oracle, key, axis, ORACLE, "s2"),
        ]
        if kept := [line for line in found if line is not None]:
            add(title, CURVES[key] + ".", kept, label_x, title.lower(), **options)
    if ranks := result.get("rank_histogram"):
        add(
            "Rank histogram",
            "Share of pixels by the rank of the truth among the samples; flat where the spread is right, a "
            "valley where the samples spread too little.",
            [Series(name, ranks["edges"], ranks["share"])],
            *("rank of the truth", "share of pixels"),
            bars=True,
            guide=1.0 / len(ranks["share"]),
        )
    if own := _curve(result, "tarp", "credibility", "maps"):
        right = Series("calibrated", [0.0, 1.0], [0.0, 1.0], style="s2")
        lines = [own, _curve(result, "tarp_mass", "credibility", "M(<R200c)", "s1"), right]
        add(
            "Expected coverage (TARP)",
            CURVES["tarp"] + ".",
            [line for line in lines if line is not None],
            *("credibility", "expected coverage"),
            y_range=(0.0, 1.0),
        )
    return charts


def submission_page(
    board: Board, entry: Entry, beside: Mapping[str, tuple[str, ...]], crps_rank: int | None = None
) -> dict[str, Any]:
    """The page of a submission.

    Parameters
    ----------
    beside
        `reference_cells` of the board.
    crps_rank
        Its rank on the probabilistic board.
    """
    result = entry.result
    return {
        "result": result,
        "entry": entry,
        "crps_rank": crps_rank,
        "board": board,
        "facts": _facts(result),
        "charts": _charts(entry, board),
        "cases": _cases(result),
        "scores": _scores(result, board, beside),
        "halos": _halos(result),
        "peaks": _peaks(result),
        "parts": [_part(title, rows) for title, rows in result.get("tables", {}).items()],
        "secondary": _secondary(result),
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


def reference_cells(board: Board) -> dict[str, tuple[str, ...]]:
    """By score, what stands beside that of every result of a board: reference rows and noise floor."""
    floor = board.noise_floor or {}
    return {
        name: (
            *(cell(name, row["scores"].get(name))["text"] for row in board.references.values()),
            floor_text(name, floor.get(name)),
        )
        for name in SCORES
    }


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


def _scores(result: Mapping[str, Any], board: Board, beside: Mapping[str, tuple[str, ...]]) -> Table:
    no_floor = f" There is {NO_FLOOR}." if board.references and board.noise_floor is None else ""
    caption = "With 95 % intervals over regions; beside them the reference rows and the noise floor."
    meaning = Markup(' <a href="../index.html#meanings">What they mean</a>.')
    scores, nothing = result["scores"], ("–",) * (len(board.references) + 1)
    rows = []
    for name in [*(n for n in SCORES if n in scores), *sorted(set(scores) - set(SCORES))]:
        own = cell(name, scores[name])
        interval = own["interval"] or own["note"] or "–"
        rows.append((with_units(name), (own["text"], interval, *beside.get(name, nothing))))
    head = ("score", "value", "interval", *board.references, "noise floor")
    return Table("Scores", escape(caption + no_floor) + meaning, head, rows)


def _halos(result: Mapping[str, Any]) -> Table | None:
    rows = [
        (
            ", ".join(str(row[name]) for name in KEY if row.get(name) is not None),
            (
                row["split"],
                f"{row['M200c']:.3g}",
                number(row["redshift"], 2),
                number(row["residual_rms_dex"], 4),
                number(row["rms_over_climatology"], 3),
                f"{row['mass_bias']:+.3f}",
                ", ".join(row["outside"]) or "–",
            ),
        )
        for row in result.get("halos", [])
    ]
    caption = (
        "Residual rms over all maps of a halo, and over that of the training data's climatology; outside: "
        "what lies beyond the training range."
    )
    head = ("halo", "split", "M200c [M☉]", "redshift", "rms [dex]", "rms / climatology", "mass bias, R200c")
    return Table("Halo by halo", caption, (*head, "outside"), rows) if rows else None


def _peaks(result: Mapping[str, Any]) -> Table | None:
    peaks = result.get("curves", {}).get("peak_completeness_by_mass")
    if not peaks or "mass" not in peaks:
        return None
    found = [dict(zip(ENDS, ends, strict=True)) for ends in zip(*(peaks[end] for end in ENDS), strict=True)]
    row = ("completeness", [value("peak_completeness", score) for score in found])
    head = ("M_pk / M(<R200c)", *(f"from {mass:g}" for mass in peaks["mass"]))
    return Table("Peaks by mass", "Completeness with its interval.", head, [row])


def _part(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    shown = [(r["label"], (r["halos"], *(value(n, r["scores"].get(n)) for n in names))) for r in rows]
    return Table(f"By {title}", f"By {title}", (title, "halos", *map(label, names)), shown)


def _secondary(result: Mapping[str, Any]) -> Table:
    cells = {name: cell(name, score) for name, score in result.get("secondary", {}).items()}
    rows = [(name.replace("_", " "), (c["text"], c["interval"] or "–")) for name, c in cells.items()]
    caption = "Secondary figures: without the smoothing of the score grid."
    return Table("Raw pixels", caption, ("figure", "value", "interval"), rows)


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
                    "dataset": "/".join(part[:16] for part in (*board.key.data, board.key.version)),
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
                    "tail": tail_share(len(regions.get("id", []))),
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
