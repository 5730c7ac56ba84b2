"""A page about any runs, beside each other: what `baselines.results RUN... --out DIR` writes.

The campaign's page tells a story about seven sets of views; this one compares whatever one has trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baselines.command import find_stores
from baselines.settings import make_settings, read_config
from benchmarks.results import read_result
from three_hundred_maps.errors import InputError
from tools.results_page import HEADS, MAIN, interval, number, table, view_names
from tools.steps import Step, run_step

RESULT = "result.json"
TITLE = "Runs beside each other"


def score_runs(runs: Sequence[Path], data: str | None) -> list[dict[str, Any]]:
    """The result of every run; those that have none are scored by ``python -m benchmarks score`` first.

    Parameters
    ----------
    runs
        Folders of `baselines.unet`, or of any baseline: each holds ``submission/``.
    data
        The store or config they predicted; by default what the run's config.yaml says it was trained on.

    Raises
    ------
    InputError
        Where a folder is no run, where its data are not known, or where runs predict different data.
    """
    for run in runs:
        if not (run / "submission" / "submission.json").is_file():
            raise InputError(
                f"{run} is no run: it has no submission/ (python -m baselines.unet --out {run} makes one)"
            )
    results = []
    for run in runs:
        if not (run / RESULT).is_file():
            store = str(find_stores(data or _data_of(run))[0])
            words = ("benchmarks", "score", str(run / "submission"), "--data", store, "--quiet")
            step = Step(
                f"score {run.name}", (*words, "--out", str(run / RESULT)), run / RESULT, run / "score.txt"
            )
            run_step(step, 1)
        results.append(read_result(run / RESULT))
    first = results[0]["dataset"]
    for run, result in zip(runs, results, strict=True):
        if result["dataset"]["digest"] != first["digest"]:
            raise InputError(
                f"{run} was scored on {result['dataset']['name']} ({result['dataset']['digest'][:12]}), "
                f"{runs[0]} on {first['name']} ({first['digest'][:12]}): a page holds runs on the same data"
            )
    return results


def _data_of(run: Path) -> str:
    if not (run / "config.yaml").is_file():
        raise InputError(f"{run} has no config.yaml that says what was predicted: give --data")
    return make_settings(read_config(run / "config.yaml")).data


def render(results: Sequence[Mapping[str, Any]], title: str = TITLE) -> str:
    """The page as Markdown, from the results alone, the best first."""
    dataset, first = results[0]["dataset"], results[0]
    ordered = sorted(results, key=lambda result: result["scores"]["residual_rms_dex"]["value"])
    rows = []
    for result in ordered:
        cells = [result["name"], view_names(result["track"]) or "none"]
        parameters = result.get("parameters")
        cells.append("-" if parameters is None else f"{parameters:,}")
        for score in MAIN:
            cells.append(number(result["scores"][score]["value"], score))
            if score == "residual_rms_dex":
                cells.append(interval(result["scores"][score], score))
        rows.append(cells)
    for name, reference in first["references"].items():
        scores = reference["scores"]
        cells = [f"`{name}`", "none", "-"]
        for score in MAIN:
            cells.append(number(scores[score]["value"], score) if score in scores else "-")
            if score == "residual_rms_dex":
                cells.append(interval(scores[score], score))
        rows.append(cells)
    floor = first["noise_floor"]
    heads = ["model", "views", "parameters", HEADS[MAIN[0]], "95 % interval"]
    heads += [HEADS[name] for name in MAIN[1:]]
    kind = ", synthetic" if dataset["synthetic"] else ""
    return "\n".join(
        [
            f"# {title}",
            "",
            f"Scored on the test split of `{dataset['name']}`{kind}: {dataset['halos']} halos x "
            f"{dataset['lines_of_sight']} lines of sight in {dataset['regions']} regions.",
            "",
            *table(heads, rows),
            "",
            "The noise floor (half of the particles against the other half): residual_rms_dex "
            f"{number(floor.get('residual_rms_dex'), 'residual_rms_dex')}.",
            "",
            "![Distribution of the residuals](figures/results-residuals.png)",
            "",
            "![Power ratio and cross-correlation with the truth by scale](figures/results-scales.png)",
            "",
        ]
    )


def labels(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each result, the views added, and numbers where that is not enough."""
    plain = [f"{result['name']} ({view_names(result['track']) or 'none'})" for result in results]
    return [
        label if plain.count(label) == 1 else f"{label} {plain[: place + 1].count(label)}"
        for place, label in enumerate(plain)
    ]
