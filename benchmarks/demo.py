"""``python -m benchmarks demo``: a data set built, four U-Nets trained and scored, and one page about it.

Every stage is a command that a user could type, run as a process of its own: so this package need not
import the baselines, each stage's time and memory can be told, and a stopped demo goes on where it was.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import claim_folder, cores, write_json
from three_hundred_maps.progress import set_quiet

MODELS = {"sz": "sz", "xray": "xray", "star": "star", "all": "sz,xray,star"}
"""The paper's four models: the name of the run, and the views it sees."""
MARK = "demo.json"


@dataclass(frozen=True)
class Stage:
    """What one command cost.

    Parameters
    ----------
    name
        Of the stage.
    command
        What was run, as one would type it.
    seconds
        Wall time.
    cpu_seconds
        User and system time of the command and its children.
    peak_mib
        Largest resident memory of any one of its processes, MiB.
    """

    name: str
    command: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


def demo(
    out: Path = typer.Option(Path("demo"), "--out", help="Where data, runs, results and report go."),
    workers: int = typer.Option(0, "--workers", min=0, help="Processes for the build; 0: one a core."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bars."),
) -> None:
    """Build `mini`, train four U-Nets, score them. One HTML report is written; its path comes last."""
    set_quiet(quiet)
    claim_folder(out, MARK, {"what": "three_hundred_maps demo", "config": "mini"})
    store, site, stages = out / "data", out / "leaderboard", []

    def stage(name: str, *arguments: str | Path) -> None:
        stages.append(run_stage(name, arguments, log=out / "stages" / f"{name.replace(' ', '-')}.json"))

    processes = str(workers or cores())
    stage("build", "three_hundred_maps", "build", "mini", "--out", store, "--workers", processes)
    runs = {model: out / "runs" / model for model in ("climatology", *MODELS)}
    stage("climatology", "baselines.climatology", "--data", store, "--out", runs["climatology"])
    for model, views in MODELS.items():
        stage(f"train {model}", "baselines.unet", "--views", views, "--data", store, "--out", runs[model])
    results = {model: out / "results" / f"{model}.json" for model in runs}
    for model, result in results.items():
        submission = runs[model] / "submission"
        stage(f"score {model}", "benchmarks", "score", submission, "--data", store, "--out", result)
    stage("leaderboard", "benchmarks", "leaderboard", *results.values(), "--out", site)

    from benchmarks.demo_report import write_report

    submissions = {model: runs[model] / "submission" for model in MODELS}
    report = out / "report.html"
    write_report(report, store=store, submissions=submissions, results=results, site=site, stages=stages)
    print(report)


def run_stage(name: str, arguments: Sequence[str | Path], *, log: Path) -> Stage:
    """Run ``python -m ARGUMENTS``, let it speak to the terminal, and measure it.

    A stage whose ``log`` says that this very command is done is not run again.

    Raises
    ------
    InputError
        Where the command fails: it has said why itself.
    """
    words = [str(word) for word in arguments]
    command = f"python -m {shlex.join(words)}"
    if log.exists() and (done := Stage(**json.loads(log.read_text(encoding="utf-8")))).command == command:
        print(f"[{name}] done before, in {done.seconds:.0f} s", flush=True)
        return done
    print(f"\n[{name}] {command}", flush=True)
    start = time.monotonic()
    # Not Popen.wait: only wait4 tells what this one command used, whatever ran before it.
    process = subprocess.Popen([sys.executable, "-m", *words])
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except KeyboardInterrupt:
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InputError(f"the stage {name} ended with status {process.returncode}: see its message above")
    scale = 1024.0 if sys.platform != "darwin" else 1024.0**2
    stage = Stage(
        name,
        command,
        round(time.monotonic() - start, 2),
        round(usage.ru_utime + usage.ru_stime, 2),
        round(usage.ru_maxrss / scale, 1),
    )
    print(f"[{name}] {stage.seconds:.0f} s, peak memory {stage.peak_mib:.0f} MiB", flush=True)
    write_json(log, asdict(stage))
    return stage
