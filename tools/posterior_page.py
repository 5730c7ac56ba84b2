"""The page about models of posterior samples: numbers from results of the benchmark, figures beside them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.posterior_model import METHODS
from baselines.results import cells, interval, number, view_names
from benchmarks.cases import unpack_image
from benchmarks.compare import paired_difference
from benchmarks.figures import MODEL_COLOURS
from benchmarks.registry import OF_SAMPLES, PROBABILISTIC, RANKING
from benchmarks.results import read_result
from three_hundred_maps.display import COLOUR_MAPS, markdown_table
from three_hundred_maps.io import write_bytes, write_json
from three_hundred_maps.plot import draw_circle, new_figure, png
from tools.page import kept_numbers, texts, write_text

SUMMARY, SMALL, PAGE = "posterior.json", "posterior-small.json", "posterior.md"
SAMPLES_FIGURE, CURVES_FIGURE = "figures/posterior-samples.png", "figures/posterior-curves.png"
COLUMNS = {
    PROBABILISTIC: "CRPS (dex)",
    "energy_score": "energy score (dex)",
    "spread_skill": "spread / skill",
    "mass_spread_skill": "of the mass",
    "coverage_68": "coverage 68 %",
    "coverage_95": "coverage 95 %",
    "rank_deviation": "rank deviation",
    "tarp": "TARP",
    "tarp_mass": "TARP, mass",
    "sample_power_ratio_1_3": "power, k 1-3",
    "sample_power_ratio_3_8": "k 3-8",
    "sample_power_ratio_8_14": "k 8-14",
    RANKING: "rms of the mean (dex)",
}
TABLE = {PROBABILISTIC: "CRPS (dex)", "spread_skill": "spread / skill", "mass_spread_skill": "of the mass",
         "coverage_68": "coverage 68 %", "coverage_95": "coverage 95 %"}  # fmt: skip
"""Of the tables by parts of the sample."""
PLAIN, BEST = "unet", "flow"
PLACES = {
    "cross-code": ("On another code's clusters", "the test split of", "on this code"),
    "transfer": ("On a real simulation", "all halos of", "there"),
}
"""By task: heading, what is sampled, and how it is called."""
Result = Mapping[str, Any]
Run = Mapping[str, Any]


def write_page(results: Sequence[Path], out: Path, *, command: str, small: bool = False) -> Path:
    """Write posterior.json, posterior.md and figures into ``out`` from results of `tools.posterior`.

    Parameters
    ----------
    small
        Write posterior-small.json instead, and the page where it has its posterior.json.
    """
    found = [read_result(path) for path in results]
    if small:
        write_json(out / SMALL, summary_of(found, command))
        return render_again(out) if (out / SUMMARY).is_file() else out / SMALL
    write_json(out / SUMMARY, summary_of(found, command))
    home = [result for result in found if result["task"] == "mass-map" and result.get("samples")]
    for name, figure in ((SAMPLES_FIGURE, draw_samples(home)), (CURVES_FIGURE, draw_curves(home))):
        write_bytes(out / name, png(figure))
    return render_again(out)


def render_again(out: Path) -> Path:
    """Write posterior.md from posterior.json and, where it is there, posterior-small.json."""
    parts = [kept_numbers(out / SUMMARY, "posterior")]
    if (out / SMALL).is_file():
        parts.append(kept_numbers(out / SMALL, "posterior"))
    return write_text(out / PAGE, render(*parts))


def summary_of(results: Sequence[Result], command: str) -> dict[str, Any]:
    """What the page tells of results, as JSON."""
    home = {(r["name"], r["track"]): r for r in results if r["task"] == "mass-map"}
    kept = (*COLUMNS, *OF_SAMPLES)
    return {
        "command": command,
        "runs": [
            {
                **{name: result[name] for name in ("name", "track", "task", "parameters")},
                "samples": result.get("samples"),
                "dataset": {k: result["dataset"][k] for k in ("name", "halos", "regions", "lines_of_sight")},
                "trained_on": result.get("trained_on"),
                "scores": {name: score for name, score in result["scores"].items() if name in kept},
                "tables": result["tables"] if result["task"] == "mass-map" and result["name"] == BEST else {},
            }
            for result in results
        ],
        "differences": [
            {"name": name, "track": track, **paired_difference(best, other, score=PROBABILISTIC).to_json()}
            for (name, track), other in home.items()
            if name not in (BEST, PLAIN) and (best := home.get((BEST, track))) is not None
        ],
    }


def render(summary: Mapping[str, Any], small: Mapping[str, Any] | None = None) -> str:
    """The page as Markdown, with a section on a small training set where there is one."""
    text = texts("posterior")
    known = {run["name"] for run in summary["runs"]}
    parts = [
        _part(text["PAGE"], text, summary, "##", known),
        # Methods that are told by then are not told again.
        *(
            [_part(text["SMALL"], text, small, "###", {r["name"] for r in small["runs"]} - known)]
            if small
            else []
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _part(
    page: str, text: Mapping[str, str], summary: Mapping[str, Any], level: str, methods: Collection[str]
) -> str:
    """What is told of one training set: scores by views, at home and elsewhere."""
    runs: list[Run] = summary["runs"]
    home = [run for run in runs if run["task"] == "mass-map"]
    tracks = list(dict.fromkeys(run["track"] for run in home))
    blocks = []
    for track in tracks:
        blocks += [f"{level} {view_names(track)}", _scores(home, track), _reading(summary, home, track, text)]
    away = [_across(home, [run for run in runs if run["task"] == task], level, text) for task in PLACES]
    # The note is written by hand where numbers are older than the code; those of a new run have none.
    elsewhere = [*away, summary.get("note"), text["COMMAND"].format(command=summary["command"])]
    filled = page.format(
        data=home[0]["dataset"],
        samples=next(run["samples"] for run in home if run["samples"]),
        methods="\n".join(f"- **{name}**: {said}." for name, said in METHODS.items() if name in methods),
        samples_figure=SAMPLES_FIGURE,
        curves_figure=CURVES_FIGURE,
        tracks="\n\n".join(block for block in blocks if block),
        parts=_parts(home, tracks),
        elsewhere="\n\n".join(block for block in elsewhere if block),
    )
    return re.sub(r"\n{3,}", "\n\n", filled)


def _scores(home: Sequence[Run], track: str) -> str:
    rows = []
    for run in home:
        if run["track"] == track and run["samples"]:
            scores = run["scores"]
            shown = cells(scores, COLUMNS)
            rows.append([run["name"], *shown, interval(scores[PROBABILISTIC], PROBABILISTIC)])
    return markdown_table(["model", *COLUMNS.values(), "95 % interval of the CRPS"], rows)


def _reading(
    summary: Mapping[str, Any], home: Sequence[Run], track: str, text: Mapping[str, str]
) -> str | None:
    """How the flow stands beside the best of the others, and its mean beside the plain network."""
    values = {run["name"]: run["scores"] for run in home if run["track"] == track}
    others = [d for d in summary["differences"] if d["track"] == track]
    if BEST not in values or not others:
        return None
    own = values[BEST][PROBABILISTIC]["value"]
    rival = min(others, key=lambda d: values[d["name"]][PROBABILISTIC]["value"])
    theirs = values[rival["name"]][PROBABILISTIC]["value"]
    told = "no interval: too few regions"
    if rival["low"] is not None:
        tie = rival["low"] <= 0 <= rival["high"]
        told = f"95 % interval {rival['low']:+.4f} to {rival['high']:+.4f}" + (", a tie" if tie else "")
    percent = 100 * (own / theirs - 1)
    said = [
        text["READING"].format(rival=rival["name"], difference=own - theirs, percent=percent, interval=told)
    ]
    if PLAIN in values:
        plain = values[PLAIN][RANKING]["value"]
        ratio = values[BEST][RANKING]["value"] / plain
        said.append(text["MEAN"].format(ratio=ratio, plain=number(plain, RANKING)))
    said.append(text["TARP"])
    return " ".join(said)


def _parts(home: Sequence[Run], tracks: Sequence[str]) -> str:
    """Where the flow is over- or under-confident."""
    rows = []
    for track in tracks:
        for run in home:
            if (run["name"], run["track"]) == (BEST, track):
                for title, parts in run["tables"].items():
                    told = [part for part in parts if part["scores"]]
                    # One part alone is the whole sample once more.
                    for part in told if len(told) > 1 else ():
                        shown = cells(part["scores"], TABLE)
                        rows.append([view_names(track), title, part["label"], str(part["halos"]), *shown])
    return markdown_table(["views", "by", "part", "halos", *TABLE.values()], rows)


def _across(
    home: Sequence[Run], everywhere: Sequence[Run], level: str, text: Mapping[str, str]
) -> str | None:
    """The same models elsewhere: are they right about errors that they have never made?"""
    away = [run for run in everywhere if run["samples"]]
    if not away:
        return None
    at_home = {(run["name"], run["track"]): run for run in home}
    rows: list[list[str]] = []
    ratios: dict[str, list[float]] = {"spread_skill": [], "mass_spread_skill": []}
    for run in away:
        before, now = (r["scores"] for r in (at_home[run["name"], run["track"]], run))
        pairs = [
            f"{number(before[n]['value'], n)} → {number(now[n]['value'], n)}" if n in now else "-"
            for n in TABLE
        ]
        rows.append([view_names(run["track"]), run["name"], *pairs])
        for score, found in ratios.items():
            if score in now:
                found.append(now[score]["value"] / before[score]["value"])
    title, sampled, there = PLACES[away[0]["task"]]
    pixels, mass = (f"{100 * (np.median(found) - 1):+.0f} %" for found in ratios.values())
    said = text["ELSEWHERE"].format(
        sampled=sampled,
        data=away[0]["dataset"],
        home=home[0]["dataset"]["name"],
        there=there,
        pixels=pixels,
        mass=mass,
    )
    table = markdown_table(["views", "model", *TABLE.values()], rows)
    return f"{level} {title}\n\n{said}\n\n{table}"


def draw_samples(results: Sequence[Result]) -> Any:
    """Truth, mean and samples of the flow's median map, a row for each set of views."""
    rows = [result for result in results if result["name"] == BEST]
    cases = [result["cases"]["median"] for result in rows]
    columns = 2 + min(len(case["samples"]) for case in cases)
    figure, axes = new_figure(len(rows), columns, (2.2 * columns, 2.35 * len(rows)))
    for line, (result, case) in enumerate(zip(rows, cases, strict=True)):
        shown = [("truth", case["truth"]), ("mean of the samples", case["prediction"])]
        shown += [(f"sample {i}", image) for i, image in enumerate(case["samples"], 1)]
        for column, (title, image) in enumerate(shown[:columns]):
            axis = axes[line][column]
            logs = image["low"] + (image["high"] - image["low"]) * unpack_image(image) / 255.0
            axis.imshow(logs, origin="lower", extent=(-1, 1, -1, 1), cmap=COLOUR_MAPS["mass"],
                        vmin=case["truth"]["low"], vmax=case["truth"]["high"])  # fmt: skip
            draw_circle(axis, ticks=False)
            if line == 0:
                axis.set_title(title, fontsize=11)
        axes[line][0].set_ylabel(view_names(result["track"]), fontsize=10)
    return figure


def draw_curves(results: Sequence[Result]) -> Any:
    """Rank histogram, TARP, spread over skill and power of every method, a row for each set of views."""
    tracks = list(dict.fromkeys(result["track"] for result in results))
    figure, axes = new_figure(len(tracks), 4, (14, 3.2 * len(tracks)))
    for line, track in enumerate(tracks):
        ranks, tarp, spread, power = axes[line]
        for result, colour in zip((r for r in results if r["track"] == track), MODEL_COLOURS, strict=False):
            style = {"label": result["name"], "color": colour, "lw": 1.4}
            histogram, curves = result["rank_histogram"], result["curves"]
            ranks.stairs(histogram["share"], histogram["edges"], **style)
            tarp.plot([0, *curves["tarp"]["credibility"]], [0, *curves["tarp"]["value"]], **style)
            for axis, name, key in (
                (spread, "spread_skill_by_radius", "radius"),
                (power, "sample_power_ratio", "k"),
            ):
                axis.plot(curves[name][key], curves[name]["value"], **style)
        ranks.axhline(1 / len(results[0]["rank_histogram"]["share"]), color="0.6", lw=0.8)
        tarp.plot([0, 1], [0, 1], color="0.6", lw=0.8)
        for axis in (spread, power):
            axis.axhline(1, color="0.6", lw=0.8)
        power.set_xscale("log")
        power.set_ylim(0, 2.5)
        ranks.set(xlabel="rank of the truth", ylabel=f"{view_names(track)}\nshare of pixels", ylim=(0, None))
        tarp.set(xlabel="credibility", ylabel="expected coverage")
        spread.set(xlabel="R / R200c", ylabel="spread / skill", ylim=(0, None))
        power.set(xlabel="k (cycles per R200c)", ylabel="power of samples / truth")
    axes[0][0].legend(frameon=False, fontsize=9)
    return figure
