"""How long scoring takes: 504 halos x 29 maps, every metric, 1,000 bootstrap draws; and its memory.

    python -m tools.speed.scoring [--halos 504] [--los 29] [--samples 0] [--keep DIR]

Makes a store of analytic clusters and a submission with ``mass_sigma`` (kept in DIR, where one is
given), then scores it in processes of their own: first with nothing kept of the dataset (the reference
rows and the noise floor are measured too), then again. The goal is 60 s and 1.5 GiB on 2 cores; of 20
halos with ``--samples 16`` of each map, 60 s and 1 GiB.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.submissions import write_submission
from three_hundred_maps.builder.executors import environment
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.testing import tiny_store
from tools.speed.report import Report, apart, peak_bytes, run, spent

GOAL_SECONDS = 60.0
GOAL_GIB = (1.5, 1.0)
"""Without samples, and with them."""


def score(submission: Path, store: Path) -> dict[str, float]:
    """Score in this process; what it took."""

    def work() -> dict[str, Any]:
        from benchmarks.scoring import score_submission

        return score_submission(submission, store)

    took = spent(work)
    return {
        "wall_s": took.wall_s,
        "cpu_s": took.cpu_s,
        "peak_gib": peak_bytes() / 2**30,
        "scores": len(took.value["scores"]),
        "regions": took.value["dataset"]["regions"],
    }


def _blocks(store: Path, halos: int, what: str, samples: int = 0) -> Iterator[NDArray[np.float32]]:
    """Each halo's mass maps off by a factor of their own, samples of them, or their sigma."""
    rng = np.random.default_rng(0)
    shape = read_split(store, "test", ["mass"], slice(0, 1)).maps["mass"].shape
    for halo in range(halos):
        if what == "sigma":
            yield np.full(shape, 0.1, np.float32)
        else:
            maps = read_split(store, "test", ["mass"], slice(halo, halo + 1)).maps["mass"]
            if samples:
                maps = np.repeat(maps[:, :, None], samples, axis=2)
            yield maps * np.float32(10.0) ** rng.normal(0.0, 0.1, maps.shape).astype(np.float32)


def prepare(folder: Path, halos: int, los: int, samples: int) -> tuple[Path, Path]:
    """The store and the submission, made where they are not there yet."""
    store, submission = folder / "store", folder / "submission"
    if not store.exists():
        tiny_store(store, halos=(16, 1, halos), n_los=los, halos_per_region=8, shard_halos=32)
    if not submission.exists():
        maps = _blocks(store, halos, "maps", samples)
        sigma = None if samples else _blocks(store, halos, "sigma")
        write_submission(
            submission,
            name="speed",
            authors=["nobody"],
            task="mass-map",
            track="sz",
            maps=None if samples else maps,
            mass_sigma=sigma,
            mass_samples=maps if samples else None,
            rows=(store, "test"),
        )
    return store, submission


def measure(
    report: Report, halos: int = 504, los: int = 29, samples: int = 0, keep: Path | None = None
) -> None:
    """Scoring twice; of ``samples`` posterior samples of each map, or of ``mass_sigma``."""
    folder = keep or report.folder
    folder.mkdir(parents=True, exist_ok=True)
    store, submission = prepare(folder, halos, los, samples)
    cores = len(os.sched_getaffinity(0))
    print(f"{halos} halos x {los} maps, {cores} cores")
    home = {"THREE_HUNDRED_MAPS_HOME": f"{report.folder}/home", "THREE_HUNDRED_MAPS_QUIET": "1"}
    with environment(home):
        found = {label: apart(score, submission, store) for label in ("first time", "again")}
    report.numbers |= found
    heads = {
        "wall s": ".1f",
        "CPU s": ".1f",
        "peak GiB": ".2f",
        "scores": "d",
        "regions": "d",
        "s a core": ".1f",
    }
    rows = {label: [*took.values(), took["cpu_s"] / cores] for label, took in found.items()}
    report.table("scoring", heads, rows)
    report.goal("first time, s by the clock", found["first time"]["wall_s"], GOAL_SECONDS, wall=True)
    report.goal("first time, peak GiB", found["first time"]["peak_gib"], GOAL_GIB[samples > 0])


if __name__ == "__main__":
    run(measure)
