"""How fast rows come out of the Arrow cache, and how small Parquet is: `python -m tools.speed.hub`.

Samples a CPU second of a store loaded by ``load_dataset``, numpy format, on one core: random batches of 32
with four views and with one, and iterating in order. ``set_format`` sets the format in place; ``with_format``
that of a copy, whose types `datasets` compares again for each row. The peer is the same maps read from the
same kind of cache with the defaults of `datasets`: Arrow columns of nested Python lists, which is what
``Dataset.from_dict`` makes and what decodes without a format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.speed.loading import BATCH, random_batches
from tools.speed.report import Report, Work, rates, run

REPEATS = 5


def random_reads(rows: Any, views: tuple[str, ...], batches: int) -> tuple[float, Work]:
    """Read random batches of rows, and these views of them."""

    def take(chosen: NDArray[np.int64]) -> None:
        batch = rows[chosen.tolist()]
        for view in views:
            assert batch[view].shape == (BATCH, 80, 80)

    return random_batches(take, len(rows), batches)


def in_order(rows: Any, view: str) -> tuple[float, Work]:
    """Iterate once over all rows in batches of `BATCH`."""

    def run() -> None:
        for batch in rows.iter(batch_size=BATCH):
            assert batch[view].shape[1:] == (80, 80)

    return len(rows), run


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


def measure(report: Report, data: Path | None = None, batches: int = 40, no_parquet: bool = False) -> None:
    """Of ``data``, by default a tiny store of 96 halos x 8 views; ``no_parquet`` leaves its size out."""
    import pyarrow

    from three_hundred_maps.hub.loading import load_dataset
    from three_hundred_maps.progress import set_quiet
    from three_hundred_maps.testing import tiny_store

    set_quiet(True)
    pyarrow.set_cpu_count(1)
    cache = report.folder / "cache"
    store = data or tiny_store(report.folder / "store", halos=(96, 4, 4), n_los=8)
    rows = load_dataset(data_dir=store, split="train", cache_dir=cache)
    copied = rows.with_format("numpy")
    rows.set_format("numpy")
    views = tuple(name for name in rows.column_names if getattr(rows.features[name], "shape", None))
    maps = rows.select_columns(list(views))
    one = load_dataset(data_dir=store, split="train", views=views[-1], cache_dir=cache)
    one.set_format("numpy")
    few = rows.select(range(min(len(rows), 2 * BATCH))).select_columns(list(views)).with_format(None)

    all_columns = "random batches of 32, four views and all columns"
    one_view = "random batches of 32, one view (views=)"
    in_turn = "in order, four views and all columns"
    rate = rates(
        {
            all_columns: random_reads(rows, views, batches),
            "the same, of with_format": random_reads(copied, views, batches),
            "random batches of 32, four views alone": random_reads(maps, views, batches),
            one_view: random_reads(one, views[-1:], batches),
            in_turn: in_order(rows, views[0]),
            "peer: datasets without a format (Python lists)": (
                len(few),
                lambda: [few[i] for i in range(len(few))],
            ),
        },
        REPEATS,
    )
    report.numbers |= rate
    report.table("reading a loaded store", {"samples/s": ",.0f"}, rate)
    report.goal(f"{all_columns}, samples/s", rate[all_columns], 3500, at_least=True)
    report.goal(f"{in_turn}, samples/s", rate[in_turn], 15000, at_least=True)
    report.goal("one view over four", rate[one_view] / rate[all_columns], 2.5, at_least=True)
    if not no_parquet:
        ratio = parquet_ratio(Path(store), report.folder / "export")
        report.goal("Parquet over raw float32", ratio, 0.72)


if __name__ == "__main__":
    run(measure)
