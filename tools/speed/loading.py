"""Loading: a split into memory, samples at random from there, and streaming; beside the peers.

Run ``python -m tools.speed.loading``. One process, CPU seconds; a sample is one line of sight of one
halo in all four views (4 x 80 x 80 float32), and all files are in the page cache.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.store.arrays import iter_shards, read_split
from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.shards import shard_index
from tools.speed.report import Report, Work, installed, rates, run
from tools.speed.store import SHARD_HALOS, VIEWS, layout_of, write_hdf5, write_raw, write_shards

BATCH = 32
TURNS = 3
MEMORY, STREAM = "random batches of 32, arrays in memory", "streaming, iter_shards, shuffled"

Rows = NDArray[np.int64]
Rates = dict[str, tuple[float, Work]]
"""How many samples a work reads, by what it is called."""


def decode_all(store: Path) -> None:
    """Decode every chunk of the train maps into one buffer: the bare rate of the compressor."""
    from numcodecs import blosc

    buffer: NDArray[np.uint8] | None = None
    for view in VIEWS:
        for file in sorted((store / "train" / view / "c").iterdir(), key=lambda p: int(p.name)):
            data = (file / "0/0/0").read_bytes()
            for offset, length in shard_index(memoryview(data), file, SHARD_HALOS).tolist():
                if offset < 2**63:
                    chunk = data[offset : offset + length]
                    if buffer is None:
                        buffer = np.empty(int.from_bytes(chunk[4:8], "little"), np.uint8)
                    blosc.decompress(chunk, buffer)


def stacked(maps: Mapping[str, Any], rows: Any) -> NDArray[np.float32]:
    """(rows, view, y, x) of the maps of each view, (sample, y, x)."""
    return np.stack([maps[view][rows] for view in VIEWS], axis=1)


def by_sample(maps: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Maps (halo, los, y, x) as (sample, y, x)."""
    return {view: values.reshape(-1, *values.shape[2:]) for view, values in maps.items()}


def random_batches(take: Callable[[Rows], Any], samples: int, batches: int) -> tuple[float, Work]:
    """Read random batches of `BATCH` rows, as a map-style loader does; how many samples that are."""
    generator = np.random.default_rng(0)
    chosen = [generator.integers(0, samples, BATCH) for _ in range(batches)]

    def run() -> None:
        for rows in chosen:
            take(rows)

    return batches * BATCH, run


@dataclass(frozen=True)
class Train:
    """The train split: its store, its maps in memory (sample, y, x), and a folder for the peers' files."""

    store: Path
    maps: dict[str, NDArray[np.float32]]
    folder: Path

    @property
    def samples(self) -> int:
        return len(self.maps["mass"])

    def random(self, take: Callable[[Rows], Any], batches: int) -> tuple[float, Work]:
        """Read so many random batches of the split."""
        return random_batches(take, self.samples, batches)


def ours(train: Train) -> Rates:
    """Arrays in memory, and all samples shuffled by shard and within it, copied out as a trainer would."""

    def stream() -> None:
        generator = np.random.default_rng(0)
        for part in iter_shards(train.store, "train", seed=0):
            maps = by_sample(part.maps)
            order = generator.permutation(len(maps["mass"]))
            for start in range(0, len(order), BATCH):
                stacked(maps, order[start : start + BATCH])

    return {
        MEMORY: train.random(lambda rows: stacked(train.maps, rows), 1000),
        STREAM: (train.samples, stream),
    }


def memmap(train: Train) -> Rates:
    """The maps in one uncompressed file a view."""
    write_raw(train.folder / "raw", train.maps)
    mapped = {view: np.load(train.folder / f"raw/{view}.npy", mmap_mode="r") for view in VIEWS}
    return {"random batches, np.memmap (raw)": train.random(lambda rows: stacked(mapped, rows), 300)}


def plain_zarr(train: Train) -> Rates:
    """Our store, read by zarr a map at a time."""
    import zarr

    group: Any = zarr.open_group(train.store, mode="r")["train"]
    n_los = group["mass"].shape[1]

    def take(rows: Rows) -> None:
        for row in rows.tolist():
            for view in VIEWS:
                group[view][row // n_los, row % n_los]

    return {"random samples straight from the Zarr store": train.random(take, 2)}


def hdf5(train: Train) -> Rates:
    """An HDF5 file, a chunk a map."""
    import h5py

    write_hdf5(train.folder / "maps.h5", train.maps, "lzf")
    file = h5py.File(train.folder / "maps.h5", "r")

    def take(rows: Rows) -> None:
        for row in rows.tolist():
            for view in VIEWS:
                file[view][row]

    def stream() -> None:
        for start in range(0, train.samples, BATCH):
            stacked(file, slice(start, start + BATCH))

    return {
        "random batches, h5py (lzf, chunk a sample)": train.random(take, 30),
        "streaming in order, h5py": (train.samples, stream),
    }


def arrow(train: Train) -> Rates:
    """An Arrow file of `datasets`, its numpy format."""
    import datasets

    datasets.disable_progress_bars()
    shapes = {view: maps.shape[1:] for view, maps in train.maps.items()}

    def every(views: list[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
        for row in range(train.samples):
            yield {view: train.maps[view][row] for view in views}

    made = datasets.Dataset.from_generator(
        every,
        features=datasets.Features({v: datasets.Array2D(shape, "float32") for v, shape in shapes.items()}),
        gen_kwargs={"views": list(VIEWS)},
        cache_dir=str(train.folder / "arrow"),
    ).with_format("numpy")

    def take(rows: Rows) -> None:
        stacked(made[rows.tolist()], slice(None))

    def stream() -> None:
        for batch in made.iter(batch_size=BATCH):
            stacked(batch, slice(None))

    return {
        "random batches, datasets (Arrow, numpy format)": train.random(take, 20),
        "streaming in order, datasets (Arrow)": (train.samples, stream),
    }


def tar(train: Train) -> Rates:
    """A tar file of .npy files, by webdataset."""
    import webdataset

    count = min(train.samples, 1500)
    archive = train.folder / "maps.tar"
    with webdataset.TarWriter(str(archive)) as sink:
        for row in range(count):
            files: dict[str, Any] = {"__key__": f"{row:06d}"}
            for view in VIEWS:
                buffer = io.BytesIO()
                np.save(buffer, train.maps[view][row])
                files[f"{view}.npy"] = buffer.getvalue()
            sink.write(files)

    def stream() -> None:
        batch = []
        for sample in webdataset.WebDataset(str(archive), shardshuffle=False).shuffle(1000).decode():
            batch.append(np.stack([sample[f"{view}.npy"] for view in VIEWS]))
            if len(batch) == BATCH:
                np.stack(batch)
                batch = []

    return {"streaming, shuffled in a buffer, webdataset (tar of npy)": (count, stream)}


def measure(report: Report, halos: int = 160, los: int = 29) -> None:
    """MB/s of a split into memory, samples/s of ours and the peers."""
    import zarr
    from numcodecs import blosc

    store = report.folder / "store"
    write_shards(store, layout_of(halos, los), workers=1)
    finalise(store)
    train = Train(store, by_sample(read_split(store, "train").maps), report.folder)
    size = sum(maps.nbytes for maps in train.maps.values()) / 1e6

    def zarr_all() -> None:
        group: Any = zarr.open_group(store, mode="r")["train"]
        for view in VIEWS:
            group[view][...]

    bare, whole = "decompression alone, one thread", "train split into memory, read_split"
    threads = blosc.set_nthreads(1)
    into_memory = rates(
        {bare: (size, lambda: decode_all(store)), whole: (size, lambda: read_split(store, "train"))}, TURNS
    )
    blosc.set_nthreads(threads)
    into_memory |= rates({"train split into memory, zarr's own pipeline": (size, zarr_all)}, 1)
    ways = {way.__name__: partial(way, train) for way in (ours, memmap, plain_zarr, hdf5, arrow, tar)}
    found, _ = installed(ways)
    samples = rates({name: work for works in found.values() for name, work in works.items()}, TURNS)
    report.table("one split", {"MB/s": ",.0f"}, into_memory)
    report.table("samples", {"samples/s": ",.0f"}, samples)
    ratio = into_memory[whole] / into_memory[bare]
    report.goal("read_split / decompression", ratio, 0.7, at_least=True)
    report.goal(f"{MEMORY}, samples/s", samples[MEMORY], 20_000, at_least=True)
    report.goal(f"{STREAM}, samples/s", samples[STREAM], 1500, at_least=True)
    report.numbers |= {"samples": train.samples, "mb": size, "read_split / decompression": ratio}
    report.numbers |= into_memory | samples


if __name__ == "__main__":
    run(measure)
