"""Writing a store: rate, files and memory at full size, and the peers on the same maps.

Run ``python -m tools.speed.store`` for the full size (5,041 halos x 29 lines of sight x 80 x 80 pixels
x 4 views, 15 GB of maps; give ``--scratch`` where that fits), or with ``--halos 256`` for a look. Maps are
cheap to make and compress a little less than real ones do; they go through the writer that a build uses.
``..._cpu`` is the rate by CPU seconds, times the workers: what idle cores would give.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.builder.executors import run_tasks
from three_hundred_maps.progress import progress
from three_hundred_maps.store import schema
from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.records import read_layout
from three_hundred_maps.store.verify import verify
from three_hundred_maps.store.writer import create_store, write_maps, write_shard
from three_hundred_maps.testing import VIEW_TEXTS, BlobCluster, tiny_attrs, tiny_lines_of_sight
from tools.speed.report import Report, peak_bytes, run, spent

VIEWS = ("sz", "xray", "star", "mass")
PATTERNS = 3
"""Clusters that are drawn; every halo is one of them with noise of its own."""
PEER_HALOS = 64
SHARD_HALOS = 32

Arrays = dict[str, NDArray[Any]]


def layout_of(halos: int, n_los: int) -> Layout:
    """The layout of the benchmark's store: splits 80 / 10 / 10."""
    test = halos // 10
    vectors, ups = tiny_lines_of_sight(n_los)
    return Layout(
        maps=tuple(schema.map_variable(view, *VIEW_TEXTS[view]) for view in VIEWS),
        splits={"train": halos - 2 * test, "validation": test, "test": test},
        vectors=vectors,
        ups=ups,
        shard_halos=SHARD_HALOS,
        attrs=tiny_attrs("speed"),
    )


@cache
def drawn(n_los: int, pixels: int, width: float) -> list[tuple[BlobCluster, Arrays]]:
    """The clusters and their maps, once a process; a worker that starts draws them anew."""
    clusters = [BlobCluster.draw(0, region, 0) for region in range(1, PATTERNS + 1)]
    sight = tiny_lines_of_sight(n_los)
    return [(cluster, dict(cluster.maps(*sight, pixels, width))) for cluster in clusters]


def shard_maps(layout: Layout, split: str, shard: int) -> tuple[Arrays, Arrays, Arrays]:
    """Maps, totals and halo values of one shard."""
    pixels = layout.grid.pixels
    patterns = drawn(layout.n_los, pixels, layout.grid.width)
    first = schema.SPLITS.index(split) * 10**6 + shard * layout.shard_halos
    rows = range(first, first + layout.shard_rows(split, shard))
    maps = {
        variable.name: np.empty((len(rows), layout.n_los, pixels, pixels), np.float32)
        for variable in layout.map_variables(split)
    }
    for place, row in enumerate(rows):
        noise = np.random.default_rng(row).random((pixels, pixels), np.float32) + np.float32(0.5)
        for name, out in maps.items():
            np.multiply(patterns[row % PATTERNS][1][name], noise, out=out[place])
    columns = {
        name: variable.column([getattr(patterns[row % PATTERNS][0], name) for row in rows])
        for name, variable in schema.HALO_VARIABLES.items()
    }
    columns |= {name: np.array(rows, np.int64) for name in ("region", "halo_id")}
    area = (layout.grid.pixel * columns["R200c"]) ** 2
    totals = {view: maps[view].sum(axis=(2, 3), dtype=np.float64) * area[:, None] for view in VIEWS}
    return maps, totals, columns


def write_one(task: tuple[str, str, int]) -> dict[str, float]:
    """Make and write one shard; what it took."""
    path, split, shard = task
    layout = read_layout(Path(path))
    content = shard_maps(layout, split, shard)
    took = spent(lambda: write_shard(path, split, shard, *content, layout=layout))
    size = sum(maps.nbytes for maps in content[0].values())
    return {"cpu_s": took.cpu_s, "wall_s": took.wall_s, "bytes": size, "peak_bytes": peak_bytes()}


def write_shards(out: Path, layout: Layout, workers: int) -> list[dict[str, float]]:
    """Write every shard of a new store; what each took."""
    create_store(out, layout)
    tasks = [(str(out), split, shard) for split, shard in layout.all_shards()]
    done = run_tasks(write_one, tasks, workers=workers)
    return [took for _, took in progress(done, total=len(tasks), desc="shards", unit="shard")]


def write_store(out: Path, layout: Layout, workers: int) -> dict[str, float]:
    """Write, finish, verify and open a store; what that took."""
    written = spent(lambda: write_shards(out, layout, workers))
    finished = spent(lambda: finalise(out))
    verified = spent(lambda: verify(out))
    if not verified.value.good:
        raise SystemExit(f"the store is not good: {verified.value.problems[:3]}")
    command = [sys.executable, "-m", "three_hundred_maps", "inspect", str(out)]
    inspected = spent(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    shards, files = written.value, finished.value["files"]
    size = sum(shard["bytes"] for shard in shards)
    on_disk = sum(file["bytes"] for file in files.values())
    return {
        "halos": sum(layout.splits.values()),
        "map_gb": size / 1e9,
        "disk_gb": on_disk / 1e9,
        "ratio": size / on_disk,
        "files": len(files) + 2,
        "write_mb_s_cpu": workers * size / 1e6 / sum(shard["cpu_s"] for shard in shards),
        "write_mb_s_workers": workers * size / 1e6 / sum(shard["wall_s"] for shard in shards),
        "write_mb_s_wall": size / 1e6 / written.wall_s,
        "finalise_s": finished.wall_s,
        "verify_s": verified.wall_s,
        "inspect_s": inspected.wall_s,
        "inspect_cpu_s": inspected.cpu_s,
        "peak_worker_gib": max(shard["peak_bytes"] for shard in shards) / 2**30,
        "peak_parent_gib": peak_bytes() / 2**30,
    }


def write_hdf5(out: Path, maps: Arrays, compression: str) -> None:
    """An HDF5 file, a chunk a row."""
    import h5py

    with h5py.File(out, "w") as file:
        for view, values in maps.items():
            chunk = (1, *values.shape[1:])
            file.create_dataset(view, data=values, chunks=chunk, compression=compression, shuffle=True)


def write_zarr(out: Path, maps: Arrays) -> None:
    """Zarr as it is by default, some halos at a time as they are made."""
    import zarr

    group = zarr.create_group(out)
    for view, values in maps.items():
        array = group.create_array(view, shape=values.shape, chunks=(1, *values.shape[1:]), dtype="f4")
        for first in range(0, len(values), SHARD_HALOS):
            array[first : first + SHARD_HALOS] = values[first : first + SHARD_HALOS]


def write_raw(out: Path, maps: Arrays) -> None:
    """An uncompressed file a view."""
    out.mkdir()
    for view, values in maps.items():
        np.save(out / f"{view}.npy", values)


def compare(folder: Path, n_los: int) -> dict[str, list[float]]:
    """MB/s (CPU seconds), MB/s (wall), compression and our rate over it, of writers of one set of maps."""
    layout = layout_of(PEER_HALOS, n_los)
    shards = [shard_maps(layout, "train", shard) for shard in range(layout.shards("train"))]
    maps = {view: np.concatenate([shard[0][view] for shard in shards]) for view in VIEWS}
    size = sum(values.nbytes for values in maps.values())

    def ours(out: Path) -> None:
        create_store(out, layout)
        for shard, content in enumerate(shards):
            write_shard(out, "train", shard, *content, layout=layout)

    def ours_files_alone(out: Path) -> None:
        for shard, content in enumerate(shards):
            write_maps(out, layout, "train", shard, content[0])

    writers: dict[str, Callable[[Path], None]] = {
        "write_shard (statistics, checksums, fsync)": ours,
        "write_maps (checksums, fsync)": ours_files_alone,
        "zarr, its defaults (zstd, no shards)": partial(write_zarr, maps=maps),
        "h5py lzf + shuffle": partial(write_hdf5, maps=maps, compression="lzf"),
        "h5py gzip + shuffle": partial(write_hdf5, maps=maps, compression="gzip"),
        "np.save (raw)": partial(write_raw, maps=maps),
    }
    found: dict[str, list[float]] = {}
    for name, write in writers.items():
        out = folder / "peer"
        took = spent(partial(write, out))
        files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
        on_disk = sum(path.stat().st_size for path in files)
        out.unlink() if out.is_file() else shutil.rmtree(out)
        found[name] = [size / 1e6 / took.cpu_s, size / 1e6 / took.wall_s, size / on_disk]
    best = next(iter(found.values()))[0]
    return {name: [*rates, best / rates[0]] for name, rates in found.items()}


def measure(report: Report, halos: int = 5041, los: int = 29, workers: int = 2) -> None:
    """The peers, then a store of that size."""
    compared = compare(report.folder, los)
    heads = {"MB/s CPU": ".0f", "wall": ".0f", "ratio": ".2f", "ours": ".2f"}
    report.table(f"writer, one process, {PEER_HALOS} halos", heads, compared)
    found = write_store(report.folder / "full", layout_of(halos, los), workers)
    report.table("a store", {"": ".4g"}, found)
    rate = "MB/s by CPU seconds, times the workers"
    report.goal(rate, found["write_mb_s_cpu"], 150.0, at_least=True)
    rate = "MB/s of the workers, by the clock"
    report.goal(rate, found["write_mb_s_workers"], 150.0, at_least=True, wall=True)
    report.goal("files", found["files"], 999.0)
    report.goal("peak of a worker, GiB", found["peak_worker_gib"], 2.0)
    report.goal("peak of the parent, GiB", found["peak_parent_gib"], 2.0)
    report.goal("inspect, s by the clock", found["inspect_s"], 2.0, wall=True)
    report.goal("inspect, s of CPU", found["inspect_cpu_s"], 2.0)
    report.numbers |= {**found, "peers": {name: rates[:3] for name, rates in compared.items()}}


if __name__ == "__main__":
    run(measure)
