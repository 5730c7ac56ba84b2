"""Two workers against one, by the clock: writing cheap maps, and a build of the synthetic simulation.

Run ``python -m tools.speed.scaling`` on an idle machine; elsewhere its numbers are shown, not judged.
A pool takes half a second to start (an interpreter, numpy and zarr in each worker), which is said by itself;
there is enough to do that the work is what is judged. A build's parent also plans and compiles (1.3 s).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from three_hundred_maps.builder.executors import run_tasks
from tools.speed.report import Report, run, wall_s
from tools.speed.store import drawn, layout_of, write_shards

GOAL = 1.7


def start_seconds(workers: int) -> float:
    """Wall seconds of a pool that does nothing."""
    return wall_s(lambda: list(run_tasks(abs, list(range(workers)), workers=workers)))


def writing_seconds(out: Path, halos: int, n_los: int, workers: int) -> float:
    """Wall seconds of making and writing every shard; the parent, too, draws its clusters anew."""
    drawn.cache_clear()
    seconds = wall_s(lambda: write_shards(out, layout_of(halos, n_los), workers))
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
    command += ["--set", f"simulation.regions=1-{regions}", "--set", "store.shard_halos=2"]
    command += ["--workers", str(workers)]
    seconds = wall_s(lambda: subprocess.run(command, check=True))
    shutil.rmtree(out)
    return seconds


def measure(report: Report, halos: tuple[int, ...] = (256, 1024), los: int = 29, regions: int = 32) -> None:
    """Seconds of one worker and of two; the ratios of the largest writing and of the build are judged."""
    out = report.folder / "out"
    print(f"start of a pool of two: {start_seconds(2):.2f} s")
    build_seconds(out, 1, 1)  # compiles the kernels
    found: dict[str, list[float]] = {}
    for number in sorted(halos):
        name = f"writing {number} halos"
        found[name] = [writing_seconds(out, number, los, workers) for workers in (1, 2)]
    found[f"build of {regions} synthetic regions"] = [
        build_seconds(out, regions, workers) for workers in (1, 2)
    ]
    found = {name: [one, two, one / two] for name, (one, two) in found.items()}
    report.table("wall seconds", {"one worker": ".1f", "two": ".1f", "ratio": ".2f"}, found)
    for name, (_, _, ratio) in list(found.items())[-2:]:
        report.goal(f"{name}, two workers over one", ratio, GOAL, at_least=True, wall=True)
    report.numbers |= found


if __name__ == "__main__":
    run(measure)
