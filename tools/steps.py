"""Long work as commands in stages: each step is one that a user could type, and is run once.

A step whose result is there is skipped, so that the same command resumes what was stopped.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import claim_folder

SUBMISSION = "submission.json"
"""Of a submission that is whole."""


@dataclass(frozen=True)
class Step:
    """One command, and the file that is there when it is done.

    Parameters
    ----------
    scrap
        What an interrupted one may have left and is of no use to the next: it is removed first.
    """

    name: str
    words: tuple[str, ...]
    done: Path
    log: Path
    scrap: Path | None = None

    @classmethod
    def of(cls, out: Path, name: str, words: Sequence[str], done: Path, scrap: Path | None = None) -> Step:
        """One of the work in ``out``, where its log lies too."""
        return cls(name, tuple(words), done, out / "log" / f"{name.replace(' ', '-')}.txt", scrap)

    @property
    def command(self) -> str:
        """As one would type it."""
        return f"python -m {shlex.join(self.words)}"


def add_training(parser: argparse.ArgumentParser) -> None:
    """The options that all networks of a command share."""
    parser.add_argument("--steps", type=int, help="steps of a network, instead of the preset's")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def add_running(parser: argparse.ArgumentParser, *, render: str = "") -> None:
    """The options of where steps write and how they are run.

    Parameters
    ----------
    render
        The page that ``--render`` makes again without any of them; none: there is no such option.
    """
    parser.add_argument("--out", type=Path, required=not render, help="folder of what the steps write")
    parser.add_argument("--page", type=Path, help="folder of the page (default: OUT/page)")
    if render:
        parser.add_argument("--render", action="store_true", help=f"only render PAGE/{render} again")
    parser.add_argument(
        "--workers", type=int, default=1, help="steps at once; each takes its share of the cores"
    )
    parser.add_argument("--list", action="store_true", help="print the commands that are left and stop")


def as_typed(
    parser: argparse.ArgumentParser, options: argparse.Namespace, always: Sequence[str], others: Sequence[str]
) -> str:
    """The command of a page: some options ``always``, ``others`` where they are not the defaults.

    Stores go by their names alone, wherever they lie.
    """
    words = [parser.prog]
    for key in (*always, *others):
        value = getattr(options, key)
        if key in always or value != parser.get_default(key):
            words += [f"--{key.replace('_', '-')}", *([] if value is True else [Path(str(value)).name])]
    return " ".join([*words, "--out DIR --page docs"])


def share_of_cores(workers: int) -> int:
    """Threads of a step where so many run at once."""
    if workers < 1:
        raise InputError("--workers is at least 1")
    return max((os.cpu_count() or 1) // workers, 1)


def find_data(
    data: str,
    out: Path,
    overrides: Sequence[str] = (),
    folder: str = "data",
    root: Path | None = None,
) -> tuple[Path, Step | None]:
    """The store, and the step that builds it into ``out`` where ``data`` is a recipe.

    Parameters
    ----------
    overrides
        What to set in the recipe, as ``simulation.regions=1-40``.
    folder
        Where in ``out`` it is built.
    root
        Of the paths in the recipe.
    """
    if (Path(data) / "zarr.json").is_file():
        if overrides:
            raise InputError(f"--set {overrides[0]} changes a recipe, and --data {data} is a store")
        return Path(data), None
    if Path(data).exists() and not Path(data).is_file():
        raise InputError(f"--data {data} is neither a store nor a recipe")
    store = out / folder
    words = (
        *("three_hundred_maps", "build", data, "--out", str(store), "--workers", str(os.cpu_count() or 1)),
        *(word for override in overrides for word in ("--set", override)),
        *(("--root", str(root)) if root is not None else ()),
    )
    return store, Step.of(out, f"build {folder}", words, store / "manifest.json")


def find_twins(data: Sequence[str], out: Path, reserved: str = "") -> dict[str, tuple[Path, Step | None]]:
    """`find_data` of several, by the names of their folders or recipes; InputError where two share one."""
    names = [Path(one).stem if Path(one).exists() else one for one in data]
    if len({*names, reserved}) <= len(names):
        raise InputError(
            f"--data and --twin are called {' and '.join(names)}: give two different names"
            + (f", none of them {reserved}" if reserved else "")
        )
    return {name: find_data(one, out, folder=name) for name, one in zip(names, data, strict=True)}


def score_step(
    out: Path, name: str, submission: Path, store: Path, result: Path, threads: int, *more: str
) -> Step:
    """The step ``score NAME``: a submission scored against its store."""
    words = ["benchmarks", "score", str(submission), "--data", str(store), "--out", str(result), *more]
    return Step.of(out, f"score {name}", [*words, "--workers", str(threads), "--quiet"], result)


@dataclass(frozen=True)
class Work:
    """Networks that are trained, predictions and scores: their steps, and what all of them share.

    Parameters
    ----------
    out
        Holds runs, predictions, results and log.
    steps
        Of a network; None: the preset's.
    threads
        Of each step.
    """

    out: Path
    steps: int | None = None
    device: str = "cpu"
    threads: int = 1

    @classmethod
    def of(cls, options: argparse.Namespace) -> Work:
        """That of a command line with `add_training` and `add_running`."""
        return cls(options.out, options.steps, options.device, share_of_cores(options.workers))

    def run(self, name: str) -> Path:
        """The folder of a network."""
        return self.out / "runs" / name

    def result(self, name: str) -> Path:
        """The scores of a prediction."""
        return self.out / "results" / f"{name}.json"

    def train(
        self, run: Path, views: str, data: object, *more: str, program: str = "unet", done: str = "README.md"
    ) -> Step:
        """Train a network into ``run``, where it leaves the file ``done``."""
        words = [f"baselines.{program}", "--views", views, "--data", str(data), "--out", str(run), *more]
        words += ["--steps", str(self.steps)] if self.steps else []
        words += ["--device", self.device, "--threads", str(self.threads), "--quiet"]
        return Step.of(self.out, f"train {run.name}", words, run / done)

    def predict(self, name: str, model: object, store: Path, *more: str) -> Step:
        """Predict a store with a network."""
        folder = self.out / "predictions" / name
        words = ["baselines.predict", str(model), "--data", str(store), "--out", str(folder), *more]
        words += ["--device", self.device, "--quiet"]
        return Step.of(self.out, f"predict {name}", words, folder / SUBMISSION, folder)

    def fit(self, name: str, program: str, data: Path, *more: str) -> Step:
        """Fit a baseline without a network, and predict."""
        folder = self.out / "predictions" / name
        words = [f"baselines.{program}", *more, "--data", str(data), "--out", str(folder)]
        return Step.of(self.out, f"predict {name}", words, folder / "submission" / SUBMISSION, folder)

    def score(self, made: Step, store: Path, *more: str) -> Step:
        """Score what `predict` or `fit` makes."""
        name = made.name.removeprefix("predict ")
        return score_step(self.out, name, made.done.parent, store, self.result(name), self.threads, *more)


def rendered(options: argparse.Namespace, render_again: Callable[[Path], Path]) -> bool:
    """Whether ``--render`` was all that was asked for; InputError where nothing else says where to write."""
    if options.render:
        print(render_again(options.page or Path("docs")))
    elif options.out is None:
        raise InputError("--out: a folder for data, runs and scores")
    return bool(options.render)


def run_or_list(
    options: argparse.Namespace,
    stages: Sequence[Sequence[Step]],
    found: Iterable[tuple[Path, Step | None]],
    mark: str,
    content: Mapping[str, object],
) -> bool:
    """Claim ``options.out``, build the data that `find_data` found no store of, and run the stages.

    False where ``--list`` only printed them.
    """
    building = [step for _, step in found if step is not None]
    if options.list:
        for step in (step for stage in (building, *stages) for step in stage if not step.done.exists()):
            print(step.command)
        return False
    claim_folder(options.out, mark, content)
    # A build takes all cores by itself.
    run_stages([building], workers=1)
    run_stages(stages, workers=options.workers)
    return True


def run_stages(stages: Sequence[Sequence[Step]], *, workers: int) -> None:
    """Run the steps that are not done, stage by stage, ``workers`` of them at once."""
    for stage in stages:
        with ThreadPoolExecutor(workers) as pool:
            waiting = [step for step in stage if not step.done.exists()]
            for _ in pool.map(lambda step: run_step(step, share_of_cores(workers)), waiting):
                pass


def run_step(step: Step, threads: int, timeout: float | None = None) -> None:
    """Run one command, its output kept in a log; InputError with its last line where it fails.

    Parameters
    ----------
    threads
        Of numerical libraries.
    timeout
        Seconds after which it and what it started are ended, without an error.
    """
    step.log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    if step.scrap is not None:
        shutil.rmtree(step.scrap, ignore_errors=True)
    with open(step.log, "w", encoding="utf-8") as log:
        log.write(f"$ {step.command}\n")
        log.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", *step.words],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=timeout is not None,
        )
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            print(f"{step.name}: stopped after {timeout:.0f} s", flush=True)
            return
        finally:
            if process.poll() is None and timeout is not None:
                # Its workers too: they are of its session.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status:
        last = step.log.read_text(encoding="utf-8").strip().splitlines()[-1]
        raise InputError(f"the step {step.name} ended with status {status}: {last} (see {step.log})")
    print(f"{step.name}: {time.monotonic() - start:.0f} s", flush=True)
