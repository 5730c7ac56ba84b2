"""``python -m baselines.results RUN... --out DIR``: a page that sets runs beside each other.

Runs that are not scored yet are scored first. Given the folder of a campaign (`baselines.campaign`), the page
is the one of docs/results.md. Writes results.json (every number of the page), results.md (rendered from
results.json alone) and figures. ``--check`` says whether DIR/results.md is what DIR/results.json gives, and
``--render`` makes it so.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines import runs_page
from baselines.campaign import (
    ALL_VIEWS,
    LONG,
    MARK,
    NORMS,
    ONE_ORIENTATION,
    PLANS,
    REFERENCES,
    RESULT,
    VIEW_SETS,
    run_name,
)
from baselines.command import run_command
from baselines.model import read_model_config
from baselines.results_page import render
from baselines.settings import Parser, make_settings, read_config
from baselines.steps import find_data
from benchmarks.compare import paired_difference
from benchmarks.results import read_result
from three_hundred_maps.errors import InputError
from three_hundred_maps.files import write_bytes, write_json
from three_hundred_maps.store.arrays import read_split

SUMMARY, PAGE = "results.json", "results.md"
SCORES = (
    "residual_rms_dex",
    "residual_bias",
    "residual_scatter",
    "skill",
    "mass_bias",
    "mass_scatter",
    "m200_equivalent",
    "ssim",
    "k_0.9",
    "k_0.5",
    "peak_f1",
    "concentration_scatter",
    "coverage_68",
    "coverage_95",
    "crps",
)
"""Scores that the summary keeps; a result without one (no mass_sigma) goes without."""
SMALL_SCALES = (3.0, 8.0)
"""Cycles per R200c between which gas is smooth and galaxies are not."""
FURTHER = ("gaussian", "calibrated", "residual", "encoder", "long-all", "flagship")
"""Runs beside the paper's network."""


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(_command, args)


def _command(args: list[str]) -> None:
    parser = Parser(prog="python -m baselines.results", description=__doc__)
    parser.add_argument(
        "runs", type=Path, nargs="*", metavar="RUN", help="runs, or the folder of one campaign"
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="folder of the page (default for a campaign: its page/)"
    )
    parser.add_argument("--data", default=None, help="runs: what they predict (default: what they say)")
    parser.add_argument("--title", default=runs_page.TITLE, help="runs: of the page")
    parser.add_argument("--label", default=None, help="campaign: what was trained, as '8 channels, CPU'")
    parser.add_argument("--check", action="store_true", help="only say whether OUT/results.md is current")
    parser.add_argument("--render", action="store_true", help="only make OUT/results.md anew")
    options = parser.parse_args(args)
    campaign = bool(options.runs) and (options.runs[0] / MARK).is_file()
    if campaign and len(options.runs) > 1:
        raise InputError(f"{options.runs[0]} is a campaign: it makes a page of its own")
    if options.out is None and not campaign:
        raise InputError("--out is needed: the folder of the page")
    out = options.out or options.runs[0] / "page"
    if options.check:
        check(out)
    elif options.render:
        render_again(out)
    elif campaign:
        print(write_page(options.runs[0], out, label=options.label))
    elif options.runs:
        print(write_runs_page(options.runs, out, data=options.data, title=options.title))
    else:
        raise InputError("name the runs of the page, or a campaign; --check and --render need --out alone")


def check(folder: Path) -> None:
    """InputError where results.md is not what results.json gives."""
    expected = _render(folder)
    page = folder / PAGE
    if not page.is_file() or page.read_text(encoding="utf-8") != expected:
        raise InputError(f"{page} is stale: python -m baselines.results --render --out {folder}")


def render_again(folder: Path) -> None:
    """Write results.md from results.json."""
    write_bytes(folder / PAGE, _render(folder).encode())


def _render(folder: Path) -> str:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{folder} has no results page: {error}") from None
    if "runs" in summary:
        return runs_page.render(summary["runs"], summary.get("title", runs_page.TITLE))
    return render(summary)


def write_page(campaign: Path, out: Path, *, label: str | None = None) -> Path:
    """Write results.json, results.md and the figures of a finished campaign into ``out``.

    Parameters
    ----------
    campaign
        Where `baselines.campaign` left its runs, each with its result.
    label
        What was trained; by default what the campaign's plan says.
    """
    from baselines.results_figures import draw_figures

    summary = collect(campaign, label)
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    draw_figures(campaign, store_of(campaign), summary, figures)
    write_json(out / SUMMARY, summary)
    render_again(out)
    return out / PAGE


def write_runs_page(
    runs: Sequence[Path], out: Path, *, data: str | None = None, title: str = runs_page.TITLE
) -> Path:
    """Write results.json, results.md and figures about some runs into ``out``; see `runs_page.score_runs`."""
    from baselines.results_figures import draw_statistics

    results = runs_page.score_runs(runs, data)
    rows = [
        {
            name: result.get(name)
            for name in ("name", "track", "parameters", "dataset", "references", "noise_floor")
        }
        | {"scores": _kept(result["scores"])}
        for result in results
    ]
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    draw_statistics(dict(zip(runs_page.labels(results), results, strict=True)), figures)
    write_json(out / SUMMARY, {"title": title, "runs": rows})
    render_again(out)
    return out / PAGE


def collect(campaign: Path, label: str | None = None) -> dict[str, Any]:
    """Every number of the page, as plain JSON."""
    runs = campaign / "runs"
    mark = mark_of(campaign)
    if label is None:
        label = PLANS[mark["plan"]].label
    seeds = sorted(int(path.name.rsplit("-", 1)[1]) for path in runs.glob(f"{run_name('sz', 0)[:-1]}[0-9]*"))
    if not seeds:
        raise InputError(f"{runs} holds no runs: python -m baselines.campaign --out {campaign}")
    first = read_result(runs / run_name(ALL_VIEWS, seeds[0]) / RESULT)
    networks = [
        {"views": views, "seed": seed, **_network(runs / run_name(views, seed))}
        for views in VIEW_SETS
        for seed in seeds
    ]
    references = [
        {
            "baseline": baseline,
            "views": views,
            **_scored(runs / f"{baseline}-{views.replace(',', '-')}".rstrip("-")),
        }
        for baseline, views in REFERENCES
    ]
    everything = _network(runs / run_name(ALL_VIEWS, seeds[0]))
    plain = {**everything, **_scored(runs / ONE_ORIENTATION)}
    norms = [
        {"norm": "batch", **plain},
        *({"norm": norm, **_network(runs / f"norm-{norm}")} for norm in NORMS),
    ]
    further = [_network(runs / name) for name in FURTHER if (runs / name / RESULT).is_file()]
    extra = [everything, plain, *further]
    digests = {run.get("digest") for run in (*networks, *references, *norms, *extra)}
    if len(digests) > 1:
        raise InputError(
            f"the runs in {runs} were scored on different data sets: delete those of the older one"
        )
    return {
        "label": label,
        "small_scales": list(SMALL_SCALES),
        "plan": "cpu" if mark.get("rehearsal") else mark["plan"],
        "dataset": first["dataset"],
        "training_set": _training_set(store_of(campaign)),
        "command": _command_of(mark, first["dataset"]["name"], networks[0]["steps"]),
        "commands": _commands(campaign),
        "networks": networks,
        "references": references,
        "norms": norms,
        "extra": extra,
        "frame": {name: _kept(value["scores"]) for name, value in first["references"].items()},
        "noise_floor": {name: first["noise_floor"].get(name) for name in SCORES},
        "gains": [_gain(runs, seed) for seed in seeds],
        "long_gain": _long_gain(runs),
    }


def mark_of(campaign: Path) -> dict[str, Any]:
    """What a campaign's folder says of itself: its data, what was set in their recipe, and its plan."""
    try:
        content: dict[str, Any] = json.loads((campaign / MARK).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        raise InputError(f"{campaign} is not the folder of a campaign: it has no {MARK}") from None
    return content


def store_of(campaign: Path) -> Path:
    """The store that a campaign trains on."""
    mark = mark_of(campaign)
    return find_data(mark["data"], campaign, mark["set"])[0]


def _training_set(store: Path) -> dict[str, int]:
    """How large the split train is."""
    arrays = read_split(store, "train", [])
    halos = len(arrays.halos["region"])
    return {
        "regions": len(np.unique(arrays.halos["region"])),
        "halos": halos,
        "maps": halos * len(arrays.los_vector),
    }


def _command_of(mark: Mapping[str, Any], name: str, steps: int) -> str:
    """The one command that makes the page; a store is called by the name of its recipe."""
    data = mark["data"] if mark["set"] else name
    overrides = "".join(f"--set {override} " for override in mark["set"])
    rehearsal = "--rehearse " if mark.get("rehearsal") else ""
    return (
        f"python -m baselines.campaign --data {data} {overrides}--out DIR --plan {mark['plan']} {rehearsal}"
        f"--workers 2 --steps {steps} --page docs"
    )


def _kept(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {name: scores[name] for name in SCORES if name in scores}


def _small_scales(result: Mapping[str, Any]) -> dict[str, float]:
    """Means over SMALL_SCALES of predicted over true power and of their correlation, free of noise."""
    curves = result["curves"]
    means = {}
    for name in ("power_ratio", "cross_correlation"):
        curve = curves[f"{name}_noise_free"]
        inside = [
            value
            for k, value in zip(curves[name]["k"], curve["value"], strict=True)
            if SMALL_SCALES[0] <= k <= SMALL_SCALES[1] and value is not None
        ]
        means[name] = float(np.mean(inside)) if inside else math.nan
    return means


def _scored(run: Path) -> dict[str, Any]:
    result = read_result(run / RESULT)
    return {
        "small_scales": _small_scales(result),
        "name": result["name"],
        "digest": result["dataset"]["digest"],
        "parameters": result.get("parameters"),
        "scores": _kept(result["scores"]),
    }


def _network(run: Path) -> dict[str, Any]:
    """What the page tells of a trained network."""
    settings = make_settings(read_config(run / "config.yaml"))
    with open(run / "log.csv", encoding="utf-8") as stream:
        last = list(csv.DictReader(stream))[-1]
    result = read_result(run / RESULT)
    curves = {
        name: {key: result["curves"][name][key] for key in ("k", "value")}
        for name in ("power_ratio", "cross_correlation")
    }
    return {
        **_scored(run),
        "channels": settings.channels,
        "steps": int(last["step"]),
        "batch": settings.batch,
        "seconds": float(last["seconds"]),
        "calibration": read_model_config(run).get("calibration"),
        "curves": curves,
        "histogram": result["histogram"],
    }


def _gain(runs: Path, seed: int) -> dict[str, Any]:
    """All views against the best single one of a seed: the share by which the error is lower."""
    singles = {view: read_result(runs / run_name(view, seed) / RESULT) for view in ("sz", "xray", "star")}
    best = min(singles, key=lambda view: singles[view]["scores"]["residual_rms_dex"]["value"])
    everything = read_result(runs / run_name(ALL_VIEWS, seed) / RESULT)
    return {"seed": seed, **_gain_over(everything, singles[best])}


def _long_gain(runs: Path) -> dict[str, Any] | None:
    """The same of the long runs, where they were made."""
    paths = [runs / name / RESULT for name in LONG]
    if not all(path.is_file() for path in paths):
        return None
    everything, single = (read_result(path) for path in paths)
    return _gain_over(everything, single)


def _gain_over(everything: Mapping[str, Any], single: Mapping[str, Any]) -> dict[str, Any]:
    difference = paired_difference(everything, single)
    ours, theirs = (result["scores"]["residual_rms_dex"]["value"] for result in (everything, single))
    return {
        "best_single": single["track"],
        "share": 1.0 - ours / theirs,
        "difference": {"value": difference.value, "low": difference.low, "high": difference.high},
    }


def _commands(campaign: Path) -> list[str]:
    """The commands that made the rows, from the logs' first lines; the folders become STORE and DIR."""
    store = store_of(campaign)
    lines = []
    for log in sorted((campaign / "log").glob("*.txt")):
        first = log.read_text(encoding="utf-8").splitlines()[0].removeprefix("$ ")
        if "benchmarks score" not in first:
            lines.append(first.replace(str(store), "STORE").replace(str(campaign), "DIR"))
    return [
        *sorted(lines),
        "python -m benchmarks score DIR/runs/RUN/submission --data STORE --out DIR/runs/RUN/result.json",
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
