"""Writing a store: rate, files and memory at full size, and the peers on the same maps.

Run ``python -m tools.speed.store`` for the full size (5,041 halos x 29 lines of sight x 80 x 80 pixels
x 4 views, 15 GB of maps; give ``--out`` where that fits), or with ``--halos 256`` for a look. Maps are
cheap to make and compress a little less than real ones do; they go through the writer that a build uses.
``..._cpu`` is the rate by CPU seconds, times the workers: what idle cores would give.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.builder.executors import run_tasks
from three_hundred_maps.io import write_json
from three_hundred_maps.progress import progress
from three_hundred_maps.store import schema
from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.records import read_layout
from three_hundred_maps.store.verify import verify
from three_hundred_maps.store.writer import create_store, write_shard
from three_hundred_maps.testing import VIEW_TEXTS, BlobCluster, tiny_attrs, tiny_lines_of_sight
from tools.speed.goals import Goal, is_idle, scratch

VIEWS = ("sz", "xray", "star", "mass")
PATTERNS = 3
"""Clusters that are drawn; every halo is one of them, rolled and with noise of its own."""
PEER_HALOS = 64

_drawn: dict[int, list[dict[str, NDArray[np.float32]]]] = {}


def layout_of(halos: int, n_los: int, shard_halos: int) -> Layout:
    """The layout of the benchmark's store: splits 80 / 10 / 10."""
    test = halos // 10
    vectors, ups = tiny_lines_of_sight(n_los)
    return Layout(
        maps=tuple(schema.map_variable(view, *VIEW_TEXTS[view]) for view in VIEWS),
        splits={"train": halos - 2 * test, "validation": test, "test": test},
        vectors=vectors,
        ups=ups,
        shard_halos=shard_halos,
        attrs=tiny_attrs("speed"),
    )


def shard_maps(
    layout: Layout, split: str, shard: int
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Maps, totals and halo values of one shard."""
    n_los = layout.n_los
    if n_los not in _drawn:
        clusters = [BlobCluster.draw(0, region, 0) for region in range(1, PATTERNS + 1)]
        _drawn[n_los] = [
            c.maps(layout.vectors, layout.ups, layout.grid.pixels, layout.grid.width) for c in clusters
        ]
    first = schema.SPLITS.index(split) * 10**6 + shard * layout.shard_halos
    rows = range(first, first + layout.shard_rows(split, shard))
    maps = {
        v.name: np.empty((len(rows), n_los, layout.grid.pixels, layout.grid.pixels), np.float32)
        for v in layout.map_variables(split)
    }
    for place, row in enumerate(rows):
        generator = np.random.default_rng(row)
        noise = generator.random((layout.grid.pixels, layout.grid.pixels), np.float32)
        noise += np.float32(0.5)
        pattern = _drawn[n_los][row % PATTERNS]
        for name, out in maps.items():
            np.multiply(pattern[name], noise, out=out[place])
            if name == schema.HALF:
                np.minimum(out[place], 2 * maps[schema.TARGET][place], out=out[place])
    n = len(rows)
    columns = {
        name: variable.column(np.full(n, 1.0 if name in ("M200c", "M500c") else 0.5))
        for name, variable in schema.HALO_VARIABLES.items()
    }
    columns.update(
        simulation=np.full(n, "speed"),
        region=np.array(rows, np.int64),
        halo_id=np.array(rows, np.int64),
        snapshot=np.full(n, 128, np.int64),
        R200c=np.full(n, 1500.0),
        M200c=np.full(n, 4e14),
    )
    area = (layout.grid.pixel * columns["R200c"]) ** 2
    totals = {view: maps[view].sum(axis=(2, 3), dtype=np.float64) * area[:, None] for view in VIEWS}
    return maps, totals, columns


def forget_clusters() -> None:
    """Draw the clusters anew: what a worker that starts does."""
    _drawn.clear()


def write_one(task: tuple[str, str, int]) -> dict[str, float]:
    """Make and write one shard; what it took."""
    path, split, shard = task
    layout = read_layout(Path(path))
    maps, totals, columns = shard_maps(layout, split, shard)
    start, cpu = time.perf_counter(), time.process_time()
    write_shard(path, split, shard, maps, totals, columns, layout=layout)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "bytes": float(sum(m.nbytes for m in maps.values())),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }


def write_store(out: Path, halos: int, n_los: int, shard_halos: int, workers: int) -> dict[str, float]:
    """Write, finish, verify and open a store of that size."""
    layout = layout_of(halos, n_los, shard_halos)
    start = time.perf_counter()
    create_store(out, layout)
    tasks = [(str(out), split, shard) for split, shard in layout.all_shards()]
    results = []
    bar = progress(total=len(tasks), desc="shards", unit="shard")
    for _, result in run_tasks(write_one, tasks, workers=workers):
        results.append(result)
        bar.update()
    bar.close()
    written = time.perf_counter()
    manifest = finalise(out)
    finished = time.perf_counter()
    report = verify(out)
    verified = time.perf_counter()
    if not report.good:
        raise SystemExit(f"the store is not good: {report.problems[:3]}")
    inspected = _inspect_seconds(out)
    size = sum(r["bytes"] for r in results)
    on_disk = sum(f["bytes"] for f in manifest["files"].values())
    return {
        "halos": halos,
        "map_gb": size / 1e9,
        "disk_gb": on_disk / 1e9,
        "ratio": size / on_disk,
        "files": len(manifest["files"]) + 2,
        "write_mb_s_cpu": workers * size / 1e6 / sum(r["cpu_seconds"] for r in results),
        "write_mb_s_workers": workers * size / 1e6 / sum(r["seconds"] for r in results),
        "write_mb_s_wall": size / 1e6 / (written - start),
        "finalise_s": finished - written,
        "verify_s": verified - finished,
        "inspect_s": inspected[0],
        "inspect_cpu_s": inspected[1],
        "peak_worker_gib": max(r["peak_bytes"] for r in results) / 2**30,
        "peak_parent_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def _inspect_seconds(out: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the command."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "three_hundred_maps", "inspect", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def peers(folder: Path, n_los: int) -> dict[str, tuple[float, float, float]]:
    """MB/s (CPU seconds), MB/s (wall) and compression of several writers on one set of maps."""
    import h5py
    import zarr

    layout = layout_of(PEER_HALOS, n_los, 32)
    made = [shard_maps(layout, "train", k) for k in range(layout.shards("train"))]
    shards = [maps for maps, _, _ in made]
    rows = layout.splits["train"]
    size = sum(m.nbytes for maps in shards for m in maps.values())
    shape = (rows, n_los, layout.grid.pixels, layout.grid.pixels)

    def ours(out: Path) -> None:
        create_store(out, layout)
        for k, content in enumerate(made):
            write_shard(out, "train", k, *content, layout=layout)

    def ours_files_alone(out: Path) -> None:
        from three_hundred_maps.store.writer import write_maps

        for k, maps in enumerate(shards):
            write_maps(out, layout, "train", k, maps)

    def plain_zarr(out: Path) -> None:
        group = zarr.create_group(out)
        for view in VIEWS:
            array = group.create_array(view, shape=shape, chunks=(1, *shape[1:]), dtype="f4")
            for k, maps in enumerate(shards):
                array[k * 32 : k * 32 + len(maps[view])] = maps[view]

    def hdf5(out: Path, compression: str) -> None:
        with h5py.File(out, "w") as file:
            for view in VIEWS:
                data = file.create_dataset(
                    view, shape, "f4", chunks=(1, *shape[1:]), compression=compression, shuffle=True
                )
                for k, maps in enumerate(shards):
                    data[k * 32 : k * 32 + len(maps[view])] = maps[view]

    def numpy_raw(out: Path) -> None:
        out.mkdir()
        for view in VIEWS:
            np.save(out / f"{view}.npy", np.concatenate([maps[view] for maps in shards]))

    writers: dict[str, Callable[[Path], None]] = {
        "write_shard (statistics, checksums, fsync)": ours,
        "write_maps (checksums, fsync)": ours_files_alone,
        "zarr, its defaults (zstd, no shards)": plain_zarr,
        "h5py lzf + shuffle": lambda out: hdf5(out, "lzf"),
        "h5py gzip + shuffle": lambda out: hdf5(out, "gzip"),
        "np.save (raw)": numpy_raw,
    }
    result = {}
    for name, write in writers.items():
        out = folder / "peer"
        cpu, wall = time.process_time(), time.perf_counter()
        write(out)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        files = [out] if out.is_file() else [p for p in out.rglob("*") if p.is_file()]
        result[name] = (size / 1e6 / cpu, size / 1e6 / wall, size / sum(p.stat().st_size for p in files))
        out.unlink() if out.is_file() else shutil.rmtree(out)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--halos", type=int, default=5041)
    parser.add_argument("--los", type=int, default=29)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None, help="folder for the stores; a temporary one")
    parser.add_argument("--json", type=Path, default=None, help="write the numbers to this file too")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    idle = is_idle(load)
    with scratch(options.out) as folder:
        compared = peers(folder, options.los)
        best = compared["write_shard (statistics, checksums, fsync)"][0]
        title = f"writer, one process, {PEER_HALOS} halos"
        print(f"{title:<46}{'MB/s CPU':>10}{'wall':>8}{'ratio':>7}{'ours':>7}")
        for name, (cpu, wall, ratio) in compared.items():
            print(f"{name:<46}{cpu:>10.0f}{wall:>8.0f}{ratio:>7.2f}{best / cpu:>7.2f}")
        numbers = write_store(folder / "full", options.halos, options.los, 32, options.workers)
    goals = [
        Goal("MB/s by CPU seconds, times the workers", numbers["write_mb_s_cpu"], 150.0, True),
        Goal("MB/s of the workers, by the clock", numbers["write_mb_s_workers"], 150.0, True, idle),
        Goal("files", numbers["files"], 999.0, False),
        Goal("peak of a worker, GiB", numbers["peak_worker_gib"], 2.0, False),
        Goal("peak of the parent, GiB", numbers["peak_parent_gib"], 2.0, False),
        Goal("inspect, s by the clock", numbers["inspect_s"], 2.0, False, idle),
        Goal("inspect, s of CPU", numbers["inspect_cpu_s"], 2.0, False),
    ]
    for name, value in numbers.items():
        print(f"{name:<22}{value:>12.4g}")
    for goal in goals:
        print(goal)
    if options.json is not None:
        write_json(options.json, {"load": load, **numbers, "peers": compared})


if __name__ == "__main__":
    main()
