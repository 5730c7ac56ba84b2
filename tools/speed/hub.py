"""How fast rows come out of the Arrow cache, and how small Parquet is: `python -m tools.speed.hub`.

Samples a CPU second of a store loaded by ``load_dataset``, numpy format, on one core: random batches of 32
with four views and with one, and iterating in order. ``set_format`` sets the format in place; ``with_format``
that of a copy, whose types `datasets` compares again for each row. The peer is the same maps read from the
same kind of cache with the defaults of `datasets`: Arrow columns of nested Python lists, which is what
``Dataset.from_dict`` makes and what decodes without a format.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tools.speed.goals import best_cpu_s

BATCH = 32
REPEATS = 5


def rate(samples: int, call: Callable[[], Any]) -> float:
    """Samples a CPU second."""
    return samples / max(best_cpu_s(call, REPEATS, warm_up=False), 1e-9)


def random_batches(rows: Any, views: tuple[str, ...], batches: int) -> Callable[[], None]:
    """Read ``batches`` random batches of `BATCH` rows, as a map-style loader does."""
    generator = np.random.default_rng(0)
    indices = [generator.integers(0, len(rows), BATCH).tolist() for _ in range(batches)]

    def run() -> None:
        for chosen in indices:
            batch = rows[chosen]
            for view in views:
                assert batch[view].shape == (BATCH, 80, 80)

    return run


def in_order(rows: Any, view: str) -> Callable[[], None]:
    """Iterate once over all rows in batches of `BATCH`."""

    def run() -> None:
        for batch in rows.iter(batch_size=BATCH):
            assert batch[view].shape[1:] == (80, 80)

    return run


def parquet_ratio(store: Path, folder: Path) -> float:
    """Bytes of the exported Parquet over raw float32."""
    from three_hundred_maps.hub.exporting import export

    manifest = export([store], folder)
    (record,) = manifest["configs"].values()
    height, width = record["pixels"]
    rows = sum(split["rows"] for split in record["splits"].values())
    packed = sum(
        manifest["files"][path]["bytes"] for split in record["splits"].values() for path in split["parquet"]
    )
    return packed / (rows * len(record["views"]) * height * width * 4)


def main() -> None:
    """Measure and print one line a figure, with its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a store (default: a tiny one of 96 halos x 8 views)")
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--no-parquet", action="store_true", help="leave the size of Parquet out")
    arguments = parser.parse_args()

    import pyarrow

    from three_hundred_maps.hub.loading import load_dataset
    from three_hundred_maps.progress import set_quiet
    from three_hundred_maps.testing import tiny_store

    set_quiet(True)
    pyarrow.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as folder:
        store = arguments.data or tiny_store(Path(folder) / "store", halos=(96, 4, 4), n_los=8)
        rows = load_dataset(data_dir=store, split="train", cache_dir=f"{folder}/cache")
        copied = rows.with_format("numpy")
        rows.set_format("numpy")
        views = tuple(name for name in rows.column_names if getattr(rows.features[name], "shape", None))
        wanted = BATCH * arguments.batches
        maps = rows.select_columns(list(views))
        one = load_dataset(data_dir=store, split="train", views=views[-1], cache_dir=f"{folder}/cache")
        one.set_format("numpy")
        few = rows.select(range(min(len(rows), 2 * BATCH))).select_columns(list(views)).with_format(None)

        figures = {
            "random batches of 32, four views and all columns": rate(
                wanted, random_batches(rows, views, arguments.batches)
            ),
            "the same, of with_format": rate(wanted, random_batches(copied, views, arguments.batches)),
            "random batches of 32, four views alone": rate(
                wanted, random_batches(maps, views, arguments.batches)
            ),
            "random batches of 32, one view (views=)": rate(
                wanted, random_batches(one, views[-1:], arguments.batches)
            ),
            "in order, four views and all columns": rate(len(rows), in_order(rows, views[0])),
        }
        peer = rate(len(few), lambda: [few[i] for i in range(len(few))])
        goals = {
            "random batches of 32, four views and all columns": 3500,
            "in order, four views and all columns": 15000,
        }
        for name, value in figures.items():
            goal = f"   goal {goals[name]:,}" if name in goals else ""
            print(f"{name:52s} {value:10,.0f} samples/s{goal}")
        print(f"{'peer: datasets without a format (Python lists)':52s} {peer:10,.0f} samples/s")
        four = figures["random batches of 32, four views and all columns"]
        ratio = figures["random batches of 32, one view (views=)"] / four
        print(f"{'one view over four':52s} {ratio:10.2f} x           goal 2.50")
        if not arguments.no_parquet:
            packed = parquet_ratio(Path(store), Path(folder) / "export")
            print(f"{'Parquet over raw float32':52s} {packed:10.4f}             goal 0.72")


if __name__ == "__main__":
    main()
