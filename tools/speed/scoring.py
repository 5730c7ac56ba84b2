"""How long scoring takes: 504 halos x 29 maps, every metric, 1,000 bootstrap draws; and its memory.

    python -m tools.speed.scoring [--halos 504] [--los 29] [--samples 0] [--folder DIR]

Makes a store of analytic clusters and a submission with ``mass_sigma`` (kept in DIR, where one is
given), then scores it in processes of their own: first with nothing kept of the dataset (the reference
rows and the noise floor are measured too), then again. The goal is 60 s and 1.5 GiB on 2 cores; of 20
halos with ``--samples 16`` of each map, 60 s and 1 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.submissions import write_submission
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.testing import tiny_store

GOAL_SECONDS, GOAL_GIB = 60.0, 1.5
_SCORE = """
import json, sys, time
from pathlib import Path
wall, used = time.perf_counter(), time.process_time()
from benchmarks.scoring import score_submission
result = score_submission(sys.argv[1], sys.argv[2])
print(json.dumps({
    "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - used,
    # Not getrusage: it remembers the process that started this one.
    "peak_gib": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20,
    "scores": len(result["scores"]), "regions": result["dataset"]["regions"],
}))
"""


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--halos", type=int, default=504)
    parser.add_argument("--los", type=int, default=29)
    parser.add_argument("--samples", type=int, default=0, help="posterior samples of each map; 0: mass_sigma")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        store, submission = prepare(folder, options.halos, options.los, options.samples)
        environment = {
            **os.environ,
            "THREE_HUNDRED_MAPS_HOME": f"{scratch}/home",
            "THREE_HUNDRED_MAPS_QUIET": "1",
        }
        # Each worker thread multiplies matrices by itself.
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        cores = len(os.sched_getaffinity(0))
        print(
            f"{options.halos} halos x {options.los} maps, {cores} cores, load {os.getloadavg()[0]:.1f} before"
        )
        print(f"goal: {GOAL_SECONDS:.0f} s, {GOAL_GIB} GiB on 2 cores")
        for label in ("first time", "again"):
            done = subprocess.run(
                [sys.executable, "-c", _SCORE, str(submission), str(store)],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout)
            print(
                f"{label:<11} wall {found['wall_s']:6.1f} s  cpu {found['cpu_s']:6.1f} s "
                f"({found['cpu_s'] / cores:.1f} s a core)  peak {found['peak_gib']:.2f} GiB  "
                f"{found['scores']} scores, {found['regions']} regions"
            )


if __name__ == "__main__":
    main()
