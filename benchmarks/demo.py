"""``python -m benchmarks demo``: a data set built, four U-Nets trained and scored, and one page about it.

Every stage is a command that a user could type, run as a process of its own: so this package need not
import the baselines, each stage's time and memory can be told, and a stopped demo goes on where it was.
"""

from __future__ import annotations

import os
from pathlib import Path

import typer

from benchmarks.stages import Stage, load_stages, run_stage
from three_hundred_maps.io import claim_folder
from three_hundred_maps.progress import set_quiet

MODELS = {"sz": "sz", "xray": "xray", "star": "star", "all": "sz,xray,star"}
"""The paper's four models: the name of the run, and the views it sees."""
MARK = "demo.json"


def demo(
    out: Path = typer.Option(Path("demo"), "--out", help="Where data, runs, results and report go."),
    workers: int = typer.Option(0, "--workers", min=0, help="Processes for the build; 0: one a core."),
    config: str = typer.Option("mini", "--config", help="The recipe to build: a shipped name or a file."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bars."),
) -> None:
    """Build `mini`, train four U-Nets, score them, write one HTML report (its path comes last)."""
    set_quiet(quiet)
    report = run_demo(out, workers=workers or os.cpu_count() or 1, config=config)
    print(report)


def run_demo(out: Path, *, workers: int, config: str = "mini") -> Path:
    """Run every stage that is not done yet and write the report.

    Parameters
    ----------
    out
        A new folder, or one that an earlier demo began.
    workers
        Processes of the build.
    config
        The recipe: a shipped name or a file.

    Returns
    -------
    The path of the HTML report.

    Raises
    ------
    InputError
        Where ``out`` holds other things or a stage fails.
    """
    claim_folder(out, MARK, {"what": "three_hundred_maps demo", "config": config})
    store = out / "data"
    _stage(out, "build", "three_hundred_maps", "build", config, "--out", store, "--workers", str(workers))
    submissions = {"climatology": out / "runs" / "climatology" / "submission"}
    _stage(
        out, "climatology", "baselines.climatology", "--data", store, "--out", out / "runs" / "climatology"
    )
    for model, views in MODELS.items():
        run = out / "runs" / model
        _stage(out, f"train {model}", "baselines.unet", "--views", views, "--data", store, "--out", run)
        submissions[model] = run / "submission"
    results = {}
    for model, submission in submissions.items():
        results[model] = out / "results" / f"{model}.json"
        _stage(
            out, f"score {model}", "benchmarks", "score", submission, "--data", store, "--out", results[model]
        )
    site = out / "leaderboard"
    _stage(out, "leaderboard", "benchmarks", "leaderboard", *results.values(), "--out", site)

    from benchmarks.demo_report import write_report

    return write_report(
        out / "report.html",
        store=store,
        submissions={model: submissions[model] for model in MODELS},
        results=results,
        site=site,
        stages=load_stages(out / "stages"),
        views=MODELS,
    )


def _stage(out: Path, name: str, *arguments: str | Path) -> Stage:
    return run_stage(name, arguments, log=out / "stages" / f"{name.replace(' ', '-')}.json")
