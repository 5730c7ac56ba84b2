"""Loading: a split into memory, samples at random from there, and streaming; beside the peers.

Run ``python -m tools.speed.loading``. One process, CPU seconds; a sample is one line of sight of one
halo in all four views (4 x 80 x 80 float32), and all files are in the page cache.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import argparse  # noqa: E402
import functools  # noqa: E402
import io  # noqa: E402
import shutil  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from three_hundred_maps.io import write_json  # noqa: E402
from three_hundred_maps.store.arrays import iter_shards, read_split  # noqa: E402
from three_hundred_maps.store.finishing import finalise  # noqa: E402
from three_hundred_maps.store.shards import shard_index  # noqa: E402
from three_hundred_maps.store.writer import create_store, write_shard  # noqa: E402
from tools.speed.goals import best_cpu_s, scratch  # noqa: E402
from tools.speed.store import VIEWS, layout_of, shard_maps  # noqa: E402

BATCH = 32
_best = functools.partial(best_cpu_s, turns=3, warm_up=False)


def make_store(out: Path, halos: int, n_los: int) -> Path:
    """A store of that size; 8 of 10 halos are in train."""
    layout = layout_of(halos, n_los, 32)
    create_store(out, layout)
    for split, shard in layout.all_shards():
        write_shard(out, split, shard, *shard_maps(layout, split, shard), layout=layout)
    finalise(out)
    return out


def decode_all(store: Path, halos: int) -> None:
    """Decode every chunk of the train maps into one buffer: the bare rate of the compressor."""
    from numcodecs import blosc

    buffer: NDArray[np.uint8] | None = None
    for view in VIEWS:
        for file in sorted((store / "train" / view / "c").iterdir(), key=lambda p: int(p.name)):
            data = (file / "0/0/0").read_bytes()
            for offset, length in shard_index(memoryview(data), file, 32).tolist():
                if offset < 2**63:
                    chunk = data[offset : offset + length]
                    if buffer is None:
                        buffer = np.empty(int.from_bytes(chunk[4:8], "little"), np.uint8)
                    blosc.decompress(chunk, buffer)


def batches(samples: int, count: int) -> Iterator[NDArray[np.int64]]:
    """Random batches of sample numbers."""
    generator = np.random.default_rng(0)
    for _ in range(count):
        yield generator.integers(0, samples, BATCH)


def random_rate(take: Callable[[NDArray[np.int64]], Any], samples: int, count: int) -> float:
    """Samples per CPU second of random batches."""

    def run() -> None:
        for rows in batches(samples, count):
            take(rows)

    return count * BATCH / _best(run, turns=2)


def stream_store(store: Path) -> int:
    """All train samples, shuffled by shard and within it; batches are copied out as a trainer would."""
    seen = 0
    generator = np.random.default_rng(0)
    for part in iter_shards(store, "train", seed=0):
        flat = {view: maps.reshape(-1, *maps.shape[2:]) for view, maps in part.maps.items()}
        order = generator.permutation(len(flat["mass"]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            seen += len(np.stack([flat[view][rows] for view in VIEWS], axis=1))
    return seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--halos", type=int, default=160)
    parser.add_argument("--los", type=int, default=29)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with scratch(options.out) as folder:
        numbers = measure(folder, options.halos, options.los)
    if options.json is not None:
        write_json(options.json, {"load": load, **numbers})


def measure(folder: Path, halos: int, n_los: int) -> dict[str, float]:
    """All numbers, printed as they come."""
    from numcodecs import blosc

    store = make_store(folder / "store", halos, n_los)
    data = read_split(store, "train")
    flat = {view: maps.reshape(-1, *maps.shape[2:]) for view, maps in data.maps.items()}
    samples = len(flat["mass"])
    size_mb = sum(maps.nbytes for maps in flat.values()) / 1e6
    numbers: dict[str, float] = {"samples": samples, "mb": size_mb}

    def say(name: str, value: float, unit: str, goal: float | None = None) -> None:
        numbers[name] = value
        verdict = "" if goal is None else f"   goal >= {goal:g}: {'met' if value >= goal else 'MISSED'}"
        print(f"{name:<58}{value:>12.4g} {unit}{verdict}", flush=True)

    threads = blosc.set_nthreads(1)
    bare = size_mb / _best(lambda: decode_all(store, halos))
    ours = size_mb / _best(lambda: read_split(store, "train"))
    blosc.set_nthreads(threads)
    say("decompression alone, one thread", bare, "MB/s")
    say("train split into memory, read_split", ours, "MB/s")
    say("read_split / decompression", ours / bare, "", 0.7)
    plain = size_mb / _best(lambda: _zarr_all(store), turns=1)
    say("train split into memory, zarr's own pipeline", plain, "MB/s")

    def take(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.stack([flat[view][rows] for view in VIEWS], axis=1)

    say("random batches of 32, arrays in memory", random_rate(take, samples, 1000), "samples/s", 20_000)
    say(
        "streaming, iter_shards, shuffled",
        samples / _best(lambda: stream_store(store)),
        "samples/s",
        1500,
    )
    for name, rate in peers(folder, flat, store, samples):
        say(name, rate, "samples/s")
    return numbers


def _zarr_all(store: Path) -> None:
    import zarr

    group: Any = zarr.open_group(store, mode="r")["train"]
    for view in VIEWS:
        group[view][...]


def peers(
    folder: Path, flat: dict[str, NDArray[np.float32]], store: Path, samples: int
) -> Iterator[tuple[str, float]]:
    """Random and streaming rates of other ways to keep the same samples."""
    import h5py
    import zarr

    for view in VIEWS:
        np.save(folder / f"{view}.npy", flat[view])
    mapped = {view: np.load(folder / f"{view}.npy", mmap_mode="r") for view in VIEWS}
    yield (
        "random batches, np.memmap (raw)",
        random_rate(lambda rows: np.stack([mapped[v][rows] for v in VIEWS], axis=1), samples, 300),
    )
    group: Any = zarr.open_group(store, mode="r")["train"]
    n_los = group["mass"].shape[1]

    def from_zarr(rows: NDArray[np.int64]) -> None:
        for row in rows.tolist():
            for view in VIEWS:
                group[view][row // n_los, row % n_los]

    yield "random samples straight from the Zarr store", random_rate(from_zarr, samples, 2)

    with h5py.File(folder / "maps.h5", "w") as file:
        for view in VIEWS:
            chunk = (1, *flat[view].shape[1:])
            file.create_dataset(view, data=flat[view], chunks=chunk, compression="lzf", shuffle=True)
    with h5py.File(folder / "maps.h5", "r") as file:

        def from_hdf5(rows: NDArray[np.int64]) -> None:
            for row in rows.tolist():
                for view in VIEWS:
                    file[view][row]

        yield "random batches, h5py (lzf, chunk a sample)", random_rate(from_hdf5, samples, 30)

        def hdf5_stream() -> None:
            for start in range(0, samples, BATCH):
                np.stack([file[view][start : start + BATCH] for view in VIEWS], axis=1)

        yield "streaming in order, h5py", samples / _best(hdf5_stream, turns=1)
    yield from _arrow(folder, flat, samples)
    yield from _webdataset(folder, flat, samples)


def _arrow(folder: Path, flat: dict[str, NDArray[np.float32]], samples: int) -> Iterator[tuple[str, float]]:
    import datasets

    datasets.disable_progress_bars()
    features = datasets.Features({view: datasets.Array2D(flat[view].shape[1:], "float32") for view in VIEWS})

    def rows(views: list[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
        for row in range(samples):
            yield {view: flat[view][row] for view in VIEWS}

    made = datasets.Dataset.from_generator(
        rows, features=features, gen_kwargs={"views": list(VIEWS)}, cache_dir=str(folder / "arrow")
    ).with_format("numpy")

    def take(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        batch = made[rows.tolist()]
        return np.stack([batch[view] for view in VIEWS], axis=1)

    yield "random batches, datasets (Arrow, numpy format)", random_rate(take, samples, 20)

    def stream() -> None:
        for batch in made.iter(batch_size=BATCH):
            np.stack([batch[view] for view in VIEWS], axis=1)

    yield "streaming in order, datasets (Arrow)", samples / _best(stream, turns=1)


def _webdataset(
    folder: Path, flat: dict[str, NDArray[np.float32]], samples: int
) -> Iterator[tuple[str, float]]:
    import webdataset

    count = min(samples, 1500)
    archive = folder / "maps.tar"
    with webdataset.TarWriter(str(archive)) as sink:
        for row in range(count):
            buffers = {}
            for view in VIEWS:
                stream = io.BytesIO()
                np.save(stream, flat[view][row])
                buffers[f"{view}.npy"] = stream.getvalue()
            sink.write({"__key__": f"{row:06d}", **buffers})

    def run() -> None:
        data = webdataset.WebDataset(str(archive), shardshuffle=False).shuffle(1000).decode()
        batch = []
        for sample in data:
            batch.append(np.stack([sample[f"{view}.npy"] for view in VIEWS]))
            if len(batch) == BATCH:
                np.stack(batch)
                batch = []

    yield "streaming, shuffled in a buffer, webdataset (tar of npy)", count / _best(run, turns=1)
    shutil.rmtree(folder / "arrow", ignore_errors=True)


if __name__ == "__main__":
    main()
