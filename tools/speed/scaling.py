"""Two workers against one, by the clock: writing cheap maps, and a build of the synthetic simulation.

Run ``python -m tools.speed.scaling`` on an idle machine; elsewhere its numbers are shown, not judged.
A pool takes half a second to start (an interpreter, numpy and zarr in each worker), which is said by itself;
there is enough to do that the work is what is judged. A build's parent also plans and compiles (1.3 s).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from three_hundred_maps.builder.executors import ONE_THREAD, run_tasks
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.writer import create_store
from tools.speed import store as writing
from tools.speed.goals import Goal, is_idle, scratch

GOAL = 1.7
REGIONS = 32


def _identity(task: int) -> int:
    return task


def start_seconds(workers: int) -> float:
    """Wall seconds of a pool that does nothing."""
    start = time.perf_counter()
    list(run_tasks(_identity, list(range(workers)), workers=workers))
    return time.perf_counter() - start


def writing_seconds(out: Path, layout: Layout, workers: int) -> float:
    """Wall seconds of making and writing every shard; the parent, too, draws its clusters anew."""
    writing.forget_clusters()
    create_store(out, layout)
    tasks = [(str(out), split, shard) for split, shard in layout.all_shards()]
    start = time.perf_counter()
    list(run_tasks(writing.write_one, tasks, workers=workers))
    seconds = time.perf_counter() - start
    shutil.rmtree(out)
    return seconds


def build_seconds(out: Path, regions: int, workers: int) -> float:
    """Wall seconds of the command, from nothing to a finished store."""
    command: list[Any] = [
        sys.executable,
        "-m",
        "three_hundred_maps",
        "build",
        "mini",
        "--out",
        out,
        "--quiet",
    ]
    # Shards of two halos: sixteen regions make enough of them to share.
    settings = ["--set", f"simulation.regions=1-{regions}", "--set", "store.shard_halos=2"]
    start = time.perf_counter()
    subprocess.run(
        [*command, *settings, "--workers", str(workers)], check=True, env={**os.environ, **ONE_THREAD}
    )
    seconds = time.perf_counter() - start
    shutil.rmtree(out)
    return seconds


def measure(folder: Path, halos: tuple[int, ...], n_los: int, regions: int) -> list[Goal]:
    """Print what each takes; the ratios of the largest writing and of the build are to be judged."""
    idle = is_idle(os.getloadavg()[0])
    print(f"start of a pool of two: {start_seconds(2):.2f} s")
    goals = []
    for number in sorted(halos):
        layout = writing.layout_of(number, n_los, 32)
        one, two = (writing_seconds(folder / "written", layout, workers) for workers in (1, 2))
        print(f"writing {number} halos: one worker {one:.1f} s, two {two:.1f} s, ratio {one / two:.2f}")
        goals.append(Goal(f"writing {number} halos, two workers over one", one / two, GOAL, True, idle))
    build_seconds(folder / "built", 1, 1)  # compiles the kernels
    one, two = (build_seconds(folder / "built", regions, workers) for workers in (1, 2))
    print(f"build of {regions} regions: one worker {one:.1f} s, two {two:.1f} s, ratio {one / two:.2f}")
    build = Goal(f"build of {regions} synthetic regions, two workers over one", one / two, GOAL, True, idle)
    return [goals[-1], build]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--halos", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--los", type=int, default=29)
    parser.add_argument("--regions", type=int, default=REGIONS)
    parser.add_argument("--out", type=Path, default=None, help="folder for the stores; a temporary one")
    options = parser.parse_args()
    with scratch(options.out) as folder:
        for goal in measure(folder, tuple(options.halos), options.los, options.regions):
            print(goal)


if __name__ == "__main__":
    main()
