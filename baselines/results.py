"""``python -m baselines.results RUN... --out DIR``: a page that compares runs.

Runs that have no score yet are scored first. Writes results.json (every number of the page), results.md
(rendered from results.json alone) and figures. ``--check`` says whether DIR/results.md is what
DIR/results.json gives, and ``--render`` makes it so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from baselines.command import command_line, find_stores
from baselines.publish import is_of
from baselines.results_figures import draw_statistics
from baselines.settings import Parser, read_config
from benchmarks.results import read_result
from three_hundred_maps.display import markdown_table
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes, write_json
from three_hundred_maps.store.arrays import store_digest

SUMMARY, PAGE, RESULT = "results.json", "results.md", "result.json"
TITLE = "Comparison of runs"
VIEW_NAMES = {"sz": "SZ", "xray": "X-ray", "star": "stars"}
SCORE, MASS_SCATTER = "residual_rms_dex", "mass_scatter"
MAIN = (SCORE, "skill", "mass_bias", "mass_scatter", "ssim", "k_0.5")
HEADS = {
    SCORE: SCORE,
    "skill": "skill",
    "mass_bias": "mass bias",
    "mass_scatter": "mass scatter",
    "ssim": "ssim",
    "k_0.5": "k_0.5 (per R200c)",
    "coverage_68": "coverage 68 %",
    "coverage_95": "coverage 95 %",
    "crps": "crps (dex)",
}
SCORES = (
    SCORE,
    "residual_bias",
    "residual_scatter",
    "skill",
    "mass_bias",
    "mass_scatter",
    "log_m200_scatter",
    "central_rms_dex",
    "ssim",
    "k_0.9",
    "k_0.5",
    "peak_f1",
    "concentration_scatter",
    "coverage_68",
    "coverage_95",
    "crps",
)
"""Scores that a page's results.json keeps; a result without one (no mass_sigma) goes without."""
DIGITS = {SCORE: 4, "crps": 4, "k_0.5": 2}


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m baselines.results", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="folders of runs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the page")
    parser.add_argument("--data", help="what the runs predict (default: what they were trained on)")
    parser.add_argument("--title", default=TITLE, help="title of the page")
    parser.add_argument("--check", action="store_true", help="only say whether OUT/results.md is current")
    parser.add_argument("--render", action="store_true", help="only render OUT/results.md again")
    options = parser.parse_args(args)
    if options.check:
        check(options.out)
    elif options.render:
        render_again(options.out)
    elif options.runs:
        print(write_page(options.runs, options.out, data=options.data, title=options.title))
    else:
        raise InputError("name the runs to compare; only --check and --render need none")


def write_page(runs: Sequence[Path], out: Path, *, data: str | None = None, title: str = TITLE) -> Path:
    """Write results.json, results.md and figures about some runs into ``out``; see `score_runs`."""
    results = score_runs(runs, data)
    draw_statistics(dict(zip(_labels(results), results, strict=True)), out / "figures")
    write_json(out / SUMMARY, {"title": title, "runs": [_kept(result) for result in results]})
    render_again(out)
    return out / PAGE


def _kept(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the page tells of a result."""
    return {
        **{name: result.get(name) for name in ("name", "track", "parameters", "dataset")},
        "scores": kept_scores(result["scores"]),
        "references": {
            name: {"scores": kept_scores(value["scores"])} for name, value in result["references"].items()
        },
        "noise_floor": {name: result["noise_floor"].get(name) for name in SCORES},
    }


def kept_scores(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a result's scores that a page shows."""
    return {name: scores[name] for name in SCORES if name in scores}


def check(folder: Path) -> None:
    """InputError where results.md is not what results.json gives."""
    expected, page = _render_summary(folder), folder / PAGE
    if not page.is_file() or page.read_text(encoding="utf-8") != expected:
        raise InputError(f"{page} is stale: python -m baselines.results --render --out {folder}")


def render_again(folder: Path) -> None:
    """Write results.md from results.json."""
    write_bytes(folder / PAGE, _render_summary(folder).encode())


def _render_summary(folder: Path) -> str:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        return render(summary["runs"], summary["title"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{folder} has no page of runs: {error}") from None


def score_runs(runs: Sequence[Path], data: str | None) -> list[dict[str, Any]]:
    """The result of every run; those without one of their submission are scored by the benchmark first.

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
                f"{run} is not a run: it has no submission/ (python -m baselines.unet --out {run} makes one)"
            )
    results = []
    digest = store_digest(find_stores(data)[0]) if data else None
    for run in runs:
        if not _is_current(run, digest):
            _score(run, find_stores(data or _data_of(run))[0])
        results.append(read_result(run / RESULT))
    first = results[0]["dataset"]
    for run, result in zip(runs, results, strict=True):
        if result["dataset"]["digest"] != first["digest"]:
            raise InputError(
                f"{run} was scored on {result['dataset']['name']} ({result['dataset']['digest'][:12]}), "
                f"{runs[0]} on {first['name']} ({first['digest'][:12]}): a page holds runs on the same data"
            )
    return results


def _is_current(run: Path, digest: str | None) -> bool:
    """Whether a run's result is that of its submission, on the data of this digest (None: on any)."""
    if not (run / RESULT).is_file() or not is_of(run / RESULT, run / "submission"):
        return False
    return digest in (None, read_result(run / RESULT)["dataset"]["digest"])


def _score(run: Path, store: Path) -> None:
    words = ["score", str(run / "submission"), "--data", str(store), "--out", str(run / RESULT)]
    command = [sys.executable, "-m", "benchmarks", *words, "--overwrite", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        # One that is killed, as where memory runs out, says nothing.
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise InputError(f"{run} could not be scored: {said[-1].removeprefix('error: ')}")


def _data_of(run: Path) -> str:
    path = run / "config.yaml"
    data = read_config(path).get("data") if path.is_file() else None
    if not isinstance(data, str):
        raise InputError(f"{run} has no config.yaml that says what was predicted: give --data")
    return data


def render(results: Sequence[Mapping[str, Any]], title: str = TITLE) -> str:
    """The page as Markdown, from the results alone, the best first."""
    dataset, first = results[0]["dataset"], results[0]
    rows = []
    for result in sorted(results, key=lambda result: result["scores"][SCORE]["value"]):
        parameters = result.get("parameters")
        names = [
            result["name"],
            view_names(result["track"]),
            "-" if parameters is None else f"{parameters:,}",
        ]
        rows.append([*names, *_row(result["scores"])])
    shown = {result["name"] for result in results}
    for name, reference in first["references"].items():
        if name in shown:
            continue
        rows.append([f"`{name}`", view_names(""), "-", *_row(reference["scores"])])
    heads = ["model", "views", "parameters", HEADS[SCORE], "95 % interval"]
    for name in MAIN[1:]:
        heads += [HEADS[name], *(["95 % interval"] if name == MASS_SCATTER else [])]
    kind = ", synthetic" if dataset["synthetic"] else ""
    return "\n".join(
        [
            f"# {title}",
            "",
            f"Scored on the test split of `{dataset['name']}`{kind}: {dataset['halos']} halos x "
            f"{dataset['lines_of_sight']} lines of sight in {dataset['regions']} regions.",
            "",
            markdown_table(heads, rows),
            "",
            "Mass is that inside a cylinder of R200c; the intervals are over regions, and seeds are another "
            "source of scatter: rows that differ by the seed alone show it.",
            "",
            "The noise floor (one half of the truth's particles against the other, scaled to all): "
            f"residual_rms_dex {number(first['noise_floor'].get(SCORE), SCORE)}.",
            "",
            "![Distribution of the residuals](figures/results-residuals.png)",
            "",
            "![Power ratio and cross-correlation with the truth by scale](figures/results-scales.png)",
            "",
        ]
    )


def _row(scores: Mapping[str, Any]) -> list[str]:
    row = []
    for name, value in zip(MAIN, cells(scores, MAIN), strict=True):
        row += [value, *([interval(scores[name], name)] if name in (SCORE, MASS_SCATTER) else [])]
    return row


def _labels(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each result, the views added, and numbers where that is not enough."""
    plain = [f"{result['name']} ({view_names(result['track'])})" for result in results]
    return [
        label if plain.count(label) == 1 else f"{label} {plain[: place + 1].count(label)}"
        for place, label in enumerate(plain)
    ]


def view_names(views: str) -> str:
    """``sz,xray`` as a person says it; ``none`` without views."""
    return " + ".join(VIEW_NAMES.get(view, view) for view in views.split(",") if view) or "none"


def cells(scores: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The values of some scores, ``-`` for one that is not there."""
    return [number(scores[name]["value"], name) if name in scores else "-" for name in names]


def number(value: float | None, score: str) -> str:
    """A score's value with its digits."""
    return "-" if value is None else f"{value:.{DIGITS.get(score, 3)}f}"


def interval(score: Mapping[str, Any], name: str) -> str:
    """A score's interval, where it has one."""
    if score["low"] is None or score["high"] is None:
        return "-"
    return f"{number(score['low'], name)} to {number(score['high'], name)}"


if __name__ == "__main__":
    main()
