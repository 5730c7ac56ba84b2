"""Every number of the campaign's page, as plain JSON, from the campaign's run files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from baselines.model import read_model_config
from baselines.results import SCORES, kept_scores
from baselines.settings import make_settings, read_config
from benchmarks.compare import paired_difference
from benchmarks.results import read_result
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import open_group, read_split
from tools.plan import (
    ALL_VIEWS,
    LONG,
    MARK,
    NORMS,
    ONE_ORIENTATION,
    PLANS,
    REFERENCES,
    RESULT,
    SINGLE_VIEWS,
    VIEW_SETS,
    baseline_name,
    curve_name,
    run_name,
)
from tools.steps import find_data

SMALL_SCALES = (3.0, 8.0)
"""Cycles per R200c between which gas is smooth and galaxies are not."""
FURTHER = (
    "gaussian",
    "calibrated",
    "plain",
    "residual",
    "nafnet",
    "convnext",
    "encoder",
    "long-all",
    "flagship",
)
"""Runs beside the paper's network."""


def collect(campaign: Path) -> dict[str, Any]:
    """Every number of the page, as plain JSON."""
    runs = campaign / "runs"
    mark = mark_of(campaign)
    seeds = sorted(int(path.name.rsplit("-", 1)[1]) for path in runs.glob(f"{run_name('sz', 0)[:-1]}[0-9]*"))
    if not seeds:
        raise InputError(f"{runs} holds no runs: python -m tools.campaign --out {campaign}")
    first = read_result(runs / run_name(ALL_VIEWS, seeds[0]) / RESULT)
    networks = [
        {"views": views, "seed": seed, **_network(runs / run_name(views, seed))}
        for views in VIEW_SETS
        for seed in seeds
    ]
    references = [
        {"baseline": baseline, "views": views, **_scored(runs / baseline_name(baseline, views))}
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
    curve = _curve(runs, seeds)
    digests = {run.get("digest") for run in (*networks, *references, *norms, *extra, *curve)}
    if len(digests) > 1:
        raise InputError(
            f"the runs in {runs} were scored on different data sets: delete those of the older one"
        )
    return {
        "label": PLANS[mark["plan"]].label,
        "small_scales": list(SMALL_SCALES),
        "plan": mark["plan"],
        "dataset": first["dataset"],
        "training_set": _training_set(store_of(campaign)),
        "command": _command_of(mark, first["dataset"]["name"], networks[0]["steps"], len(seeds), curve),
        "commands": _commands(campaign),
        "networks": networks,
        "references": references,
        "norms": norms,
        "curve": curve,
        "extra": extra,
        "no_input": {name: kept_scores(value["scores"]) for name, value in first["references"].items()},
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


def _curve(runs: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of the learning curve below its last point, by number of clusters: ridge, then the seeds."""
    begun = runs.glob(f"clusters-*-{seeds[0]}")
    numbers = sorted(int(run.name.split("-")[1]) for run in begun if (run / RESULT).is_file())
    return [
        {"clusters": number, "model": model, **_scored(runs / name)}
        for number in numbers
        for model, name in (
            ("ridge", baseline_name(f"ridge-{number}", ALL_VIEWS)),
            *(("unet", curve_name(number, seed)) for seed in seeds),
        )
    ]


def _command_of(
    mark: Mapping[str, Any], name: str, steps: int, seeds: int, curve: Sequence[Mapping[str, Any]]
) -> str:
    """The one command that makes the page; a store is called by the name of its recipe."""
    data = mark["data"] if mark["set"] else name
    overrides = "".join(f"--set {override} " for override in mark["set"])
    numbers = ",".join(str(number) for number in sorted({row["clusters"] for row in curve}))
    return (
        f"python -m tools.campaign --data {data} {overrides}--out DIR --plan {mark['plan']} "
        f"--workers 2 --steps {steps} --seeds {seeds} {f'--clusters {numbers} ' if curve else ''}--page docs"
    )


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
        "scores": kept_scores(result["scores"]),
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
        "shuffle": settings.shuffle,
        "steps": int(last["step"]),
        "batch": settings.batch,
        "seconds": float(last["seconds"]),
        "calibration": read_model_config(run).get("calibration"),
        "curves": curves,
        "histogram": result["histogram"],
    }


def _gain(runs: Path, seed: int) -> dict[str, Any]:
    """All views against the best single one of a seed: the share by which the error is lower."""
    singles = {view: read_result(runs / run_name(view, seed) / RESULT) for view in SINGLE_VIEWS}
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


def _derivation(attributes: Mapping[str, Any]) -> list[str]:
    """The commands that made a store of some regions of another."""
    regions = attributes.get("derived", {}).get("regions")
    if not regions:
        return []
    whole = yaml.safe_load(attributes["recipe"])["name"]
    rising = regions == list(range(regions[0], regions[-1] + 1))
    words = f"{regions[0]}-{regions[-1]}" if rising else ",".join(map(str, regions))
    return [
        f"python -m three_hundred_maps build {whole} --out DIR/{whole}",
        f"python -m three_hundred_maps subset DIR/{whole} --regions {words} --name {attributes['name']} "
        "--out STORE",
    ]


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
        *_derivation(open_group(store).attrs.asdict()),
        "python -m benchmarks score DIR/runs/RUN/submission --data STORE --out DIR/runs/RUN/result.json",
    ]
