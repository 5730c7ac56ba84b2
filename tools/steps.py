"""Long work as commands in stages: each step is one that a user could type, and is done once.

A step whose result is there is passed over, so that the same command goes on after a stop.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_json


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

    @property
    def command(self) -> str:
        """As one would type it."""
        return f"python -m {shlex.join(self.words)}"


def add_running(parser: argparse.ArgumentParser) -> None:
    """The options of how steps are run."""
    parser.add_argument(
        "--workers", type=int, default=1, help="steps at once; each takes its share of the cores"
    )
    parser.add_argument("--minutes", type=float, default=None, help="begin no step after so many minutes")
    parser.add_argument("--list", action="store_true", help="print the commands that are left and stop")


def share_of_cores(workers: int) -> int:
    """Threads of a step where so many run at once."""
    if workers < 1:
        raise InputError("--workers is at least 1")
    return max((os.cpu_count() or 1) // workers, 1)


def claim(out: Path, mark: str, content: Mapping[str, object]) -> None:
    """Make ``out`` this work's folder, or check that it is: its file ``mark`` holds ``content``."""
    path = out / mark
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != content:
            raise InputError(f"--out {out} holds work on other data or by another plan; give another folder")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out} holds other things; give a new or empty folder")
    write_json(path, content)


def find_data(
    data: str, out: Path, overrides: Sequence[str] = (), folder: str = "data"
) -> tuple[Path, Step | None]:
    """The store, and the step that builds it into ``out`` where ``data`` is a recipe.

    Parameters
    ----------
    overrides
        What to set in the recipe, as ``simulation.regions=1-40``.
    folder
        Where in ``out`` it is built.
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
    )
    return store, Step(f"build {folder}", words, store / "manifest.json", out / "log" / f"build-{folder}.txt")


def run_stages(stages: Sequence[Sequence[Step]], *, workers: int, minutes: float | None) -> int:
    """Run the steps that are not done, stage by stage; the number of those that time did not allow."""
    began = time.monotonic()
    for stage in stages:
        left = run_stage(
            stage, workers=workers, threads=share_of_cores(workers), began=began, minutes=minutes
        )
        if left:
            print(f"{left} steps of this stage are left: give the same command again to go on")
            return left
    return 0


def print_left(stages: Sequence[Sequence[Step]]) -> None:
    """Print the commands that are left to run."""
    for step in (step for stage in stages for step in stage if not step.done.exists()):
        print(step.command)


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
    if step.scrap is not None:
        shutil.rmtree(step.scrap, ignore_errors=True)
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
