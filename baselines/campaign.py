"""``python -m baselines.campaign --out DIR``: every run of the results page, step by step, each resumable.

Trains the seven sets of views with three seeds, the normalisations side by side and a probabilistic model,
writes the baselines without a network, scores all of them with the benchmark, and renders the page
(`baselines.results`). Every step is a command of its own that a user could type; a step whose result is
there is passed over, so that the same command goes on after a stop. With ``--minutes`` no step begins after
that time: what is left is for the next call, as on a GPU that is lent for minutes.

``--plan gpu`` trains the paper's width for 0.7 million samples a run, one wider flagship, and measures the
speed of training; ``--plan cpu`` (where torch finds no GPU) trains 8 channels.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from baselines.command import run_command
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.files import write_json

VIEW_SETS = ("sz", "xray", "star", "sz,xray", "sz,star", "xray,star", "sz,xray,star")
ALL_VIEWS = VIEW_SETS[-1]
NORMS = ("instance", "group")
"""Normalisations shown beside the default, which the runs by views use."""
REFERENCES = (
    ("climatology", ""),
    *(("mean_profile", view) for view in ("sz", "xray", "star")),
    *(("scaling", view) for view in ("sz", "xray")),
    *(("ridge", views) for views in ("sz", "xray", "star", ALL_VIEWS)),
)
MARK = "campaign.json"
RESULT = "result.json"


@dataclass(frozen=True)
class Plan:
    """What a machine trains: options of `baselines.unet`, by kind of run."""

    label: str
    common: tuple[str, ...]
    steps: int
    encoder: tuple[str, ...] = ()
    flagship: tuple[str, ...] = ()
    flagship_steps: int = 0
    speed: tuple[str, ...] = ()


PLANS = {
    "cpu": Plan(
        label="8 channels, CPU",
        common=("--preset", "cpu", "--device", "cpu", "--channels", "8"),
        steps=300,
        encoder=("--encoder", "resnet10t"),
        flagship=("--channels", "16", "--mass-weight", "0.03", "--calibrate"),
        flagship_steps=600,
    ),
    "gpu": Plan(
        label="32 channels, GPU",
        common=("--preset", "gpu", "--device", "cuda", "--batch", "256"),
        steps=2734,
        encoder=("--encoder", "resnet18d"),
        flagship=("--drop", "0.05", "--mass-weight", "0.03", "--calibrate"),
        flagship_steps=8000,
        speed=("--seconds", "3", "--rounds", "3"),
    ),
}


@dataclass(frozen=True)
class Step:
    """One command, and the file that is there when it is done."""

    name: str
    words: tuple[str, ...]
    done: Path
    log: Path

    @property
    def command(self) -> str:
        """As one would type it."""
        return f"python -m {shlex.join(self.words)}"


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(_command, args, "python -m baselines.campaign")


def _command(args: list[str]) -> None:
    parser = Parser(prog="python -m baselines.campaign", description=__doc__)
    parser.add_argument("--data", default="mini", help="a store, or a recipe to build into OUT/data")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, scores and the page")
    parser.add_argument(
        "--plan", choices=tuple(PLANS), default=None, help="default: by whether there is a GPU"
    )
    parser.add_argument("--seeds", type=int, default=3, help="training seeds of each set of views")
    parser.add_argument(
        "--workers", type=int, default=1, help="steps at once; each takes its share of the cores"
    )
    parser.add_argument("--steps", type=int, default=None, help="steps of a run, instead of the plan's")
    parser.add_argument("--minutes", type=float, default=None, help="begin no step after so many minutes")
    parser.add_argument("--page", type=Path, default=None, help="folder of the page (default: OUT/page)")
    parser.add_argument("--bundle", type=Path, default=None, help="also gather what matters into this folder")
    parser.add_argument("--list", action="store_true", help="print the commands that are left and stop")
    options = parser.parse_args(args)
    if options.seeds < 1 or options.workers < 1:
        raise InputError("--seeds and --workers are at least 1")
    if options.plan is None:
        import torch

        options.plan = "gpu" if torch.cuda.is_available() else "cpu"
    out = options.out
    claim(out, options.data, options.plan)
    store, build = find_data(options.data, out)
    threads = max((os.cpu_count() or 1) // options.workers, 1)
    stages = make_stages(
        PLANS[options.plan], store, out, seeds=options.seeds, steps=options.steps, threads=threads
    )
    if build is not None:
        stages.insert(0, [build])
    if options.list:
        for step in (step for stage in stages for step in stage if not step.done.exists()):
            print(step.command)
        return
    began = time.monotonic()
    for stage in stages:
        left = run_stage(
            stage, workers=options.workers, threads=threads, began=began, minutes=options.minutes
        )
        if left:
            print(f"{left} steps are left: give the same command again to go on")
            return
    from baselines.results import write_page

    page = write_page(out, options.page or out / "page", label=PLANS[options.plan].label)
    print(page)
    if options.bundle:
        from baselines.bundle import write_bundle

        for file in write_bundle(out, page.parent, options.bundle):
            print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")


def claim(out: Path, data: str, plan: str) -> None:
    """Make ``out`` a campaign's folder, or check that it is this one's."""
    mark = out / MARK
    content = {"data": data, "plan": plan}
    if mark.is_file():
        import json

        if json.loads(mark.read_text(encoding="utf-8")) != content:
            raise InputError(
                f"--out {out} holds a campaign on other data or by another plan; give another folder"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out} holds other things; give a new or empty folder")
    write_json(mark, content)


def find_data(data: str, out: Path) -> tuple[Path, Step | None]:
    """The store, and the step that builds it where ``data`` is a recipe."""
    if (Path(data) / "zarr.json").is_file():
        return Path(data), None
    if Path(data).exists() and not Path(data).is_file():
        raise InputError(f"--data {data} is neither a store nor a recipe")
    store = out / "data"
    words = ("three_hundred_maps", "build", data, "--out", str(store), "--workers", str(os.cpu_count() or 1))
    return store, Step("build", words, store / "manifest.json", out / "log" / "build.txt")


def make_stages(
    plan: Plan, store: Path, out: Path, *, seeds: int, steps: int | None, threads: int
) -> list[list[Step]]:
    """The steps, in stages of which each needs those before it."""
    runs, logs = out / "runs", out / "log"
    training: list[Step] = []

    def train(name: str, *extra: str, length: int = steps or plan.steps) -> None:
        words: tuple[str, ...] = (
            "baselines.unet",
            "--data",
            str(store),
            "--out",
            str(runs / name),
            *plan.common,
            *extra,
        )
        words = (*words, "--steps", str(length), "--threads", str(threads), "--quiet")
        training.append(
            Step(name, words, runs / name / "submission" / "submission.json", logs / f"{name}.txt")
        )

    for seed in range(seeds):
        for views in VIEW_SETS:
            train(run_name(views, seed), "--views", views, "--seed", str(seed))
    for norm in NORMS:
        train(f"norm-{norm}", "--views", ALL_VIEWS, "--norm", norm, "--name", f"unet, {norm} norm")
    train("gaussian", "--views", ALL_VIEWS, "--loss", "gaussian", "--name", "unet with sigma")
    if plan.encoder:
        train("encoder", "--views", ALL_VIEWS, "--name", f"unet on {plan.encoder[-1]}", *plan.encoder)
    if plan.flagship:
        # Another number of steps is another budget: the flagship keeps its share of it.
        length = plan.flagship_steps * (steps or plan.steps) // plan.steps
        train("flagship", "--views", ALL_VIEWS, "--name", "flagship", *plan.flagship, length=length)
    for baseline, views in REFERENCES:
        name = f"{baseline}-{views.replace(',', '-')}".rstrip("-")
        words: tuple[str, ...] = (
            f"baselines.{baseline}",
            "--data",
            str(store),
            "--out",
            str(runs / name),
            "--quiet",
        )
        words = (*words, *(("--views", views) if views else ()))
        training.append(
            Step(name, words, runs / name / "submission" / "submission.json", logs / f"{name}.txt")
        )
    scoring = [
        Step(
            f"score {step.name}",
            (
                *("benchmarks", "score", str(runs / step.name / "submission"), "--data", str(store)),
                *("--out", str(runs / step.name / RESULT), "--quiet"),
            ),
            runs / step.name / RESULT,
            logs / f"score-{step.name}.txt",
        )
        for step in training
    ]
    stages = [training, scoring]
    if plan.speed:
        words = ("benchmarks.speed.training", "--out", str(out / "speed.json"), *plan.speed)
        stages.insert(1, [Step("speed", words, out / "speed.json", logs / "speed.txt")])
    return stages


def run_name(views: str, seed: int) -> str:
    """The folder of a run."""
    return f"{views.replace(',', '-')}-{seed}"


def run_stage(
    stage: Sequence[Step], *, workers: int, threads: int, began: float, minutes: float | None
) -> int:
    """Run the steps that are not done; the number of those that time did not allow."""
    waiting = [step for step in stage if not step.done.exists()]
    skipped: list[Step] = []

    def run(step: Step) -> None:
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            skipped.append(step)
            return
        run_step(step, threads)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(run, waiting):
            pass
    return len(skipped)


def run_step(step: Step, threads: int) -> None:
    """Run one command, its words kept in a log; InputError with its last line where it fails."""
    step.log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    if step.words[0].startswith("baselines.") and step.words[0] != "baselines.unet":
        # A baseline writes its submission in one go: what an interrupted one left is of no use.
        shutil.rmtree(step.done.parent.parent, ignore_errors=True)
    with open(step.log, "w", encoding="utf-8") as log:
        log.write(f"$ {step.command}\n")
        log.flush()
        status = subprocess.run(
            [sys.executable, "-m", *step.words], stdout=log, stderr=subprocess.STDOUT, env=environment
        ).returncode
    if status:
        last = step.log.read_text(encoding="utf-8").strip().splitlines()[-1]
        raise InputError(f"the step {step.name} ended with status {status}: {last} (see {step.log})")
    print(f"{step.name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
