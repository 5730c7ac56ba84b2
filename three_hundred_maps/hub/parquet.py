"""A store as Parquet: rows of maps, and a catalogue of its halos with a picture of each."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, Value

from three_hundred_maps.hub.pictures import panel, png, shown_views
from three_hundred_maps.hub.rows import row_features, to_table, with_units
from three_hundred_maps.hub.sources import StoreSource
from three_hundred_maps.io import renamed_into_place
from three_hundred_maps.keys import KEY
from three_hundred_maps.store.arrays import SplitArrays, read_split
from three_hundred_maps.store.schema import HALO_VARIABLES

FILE_BYTES = 500e6
"""Raw size of a Parquet file of maps, about: far below the Hub's limits, large enough to stream well."""

ROW_GROUP_BYTES = 24e6
"""Raw size of a row group, about: what a reader of a few rows must fetch, and where zstd finds likeness."""

MAX_THREADS = 8


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A Parquet writer for maps.

    Byte-stream split gathers the bytes of like significance of floats, which zstd then packs; a dictionary
    of values that never repeat would only cost. Maps end in noise bits, so what can be won lies in one or
    two of four bytes: level 19 and pages of a whole row group take 0.719 of the raw size where the defaults
    take 0.75. It writes 6 MB/s a core; reading is as fast as ever.
    """
    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty)
    leaves = pq.ParquetFile(empty).schema
    numbers = [
        leaf.path for leaf in map(leaves.column, range(len(leaves))) if leaf.physical_type != "BYTE_ARRAY"
    ]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=19,
        # A page is never larger than its row group.
        data_page_size=int(2 * ROW_GROUP_BYTES),
        use_dictionary=["simulation"],
        use_byte_stream_split=numbers,
        write_page_index=True,
    )


def plan_files(source: StoreSource, split: str) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """Names of the Parquet files of a split, and which chunks of the store each takes."""
    chunks = source.chunks(split, remote=False)
    row_bytes = 4 * len(source.views) * source.pixels[0] * source.pixels[1]
    n_los = source.rows[split] // max(1, source.halos[split])
    groups: list[list[tuple[Any, ...]]] = []
    size = float("inf")
    for chunk in chunks:
        raw = (chunk[2] - chunk[1]) * n_los * row_bytes
        if size + raw > FILE_BYTES:
            groups.append([])
            size = 0.0
        groups[-1].append(chunk)
        size += raw
    count = len(groups)
    return [(f"{split}-{i:05d}-of-{count:05d}.parquet", group) for i, group in enumerate(groups)]


def write_rows(path: Path, tables: Iterator[pa.Table], source: StoreSource) -> None:
    """Write tables of rows as one Parquet file, which is there whole or not at all.

    Fields carry ``unit`` and ``long_name`` in their metadata.
    """
    features = row_features(source.views, source.pixels, view_info=source.view_info)
    schema = with_units(features.arrow_schema, source.view_info)
    row_bytes = 4 * len(source.views) * source.pixels[0] * source.pixels[1]
    _write(path, tables, schema, max(1, int(ROW_GROUP_BYTES // row_bytes)))


def write_split(
    source: StoreSource, split: str, folder: Path, ranges: Mapping[str, tuple[float, float]]
) -> tuple[list[Path], Path]:
    """Write the rows and the catalogue of a split; files that are there already are kept.

    Parameters
    ----------
    ranges
        log10 range of the colours of each view, for the catalogue's pictures.

    Returns
    -------
    the files of rows, in order, and the catalogue
    """
    views = source.views

    def write_file(name: str, chunks: list[tuple[Any, ...]]) -> Path:
        path = folder / "parquet" / name
        if not path.exists():
            parts = (read_split(source.path, s, list(views), slice(a, b)) for s, a, b in chunks)
            write_rows(path, (to_table(part, views) for part in parts), source)
        return path

    # Threads suffice: nearly all the time is compression, which runs without Python's lock.
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        files = list(pool.map(write_file, *zip(*plan_files(source, split), strict=True)))
    catalogue = folder / "halos" / f"{split}.parquet"
    if not catalogue.exists():
        tables = (
            catalogue_table(read_split(source.path, s, list(views), slice(a, b)), views, ranges)
            for s, a, b in source.chunks(split, remote=False)
        )
        _write(catalogue, tables, with_units(catalogue_features().arrow_schema, {}), 256)
    return files, catalogue


def catalogue_features() -> Features:
    """Columns of the catalogue: a picture, the key, and every value of a halo."""
    names = [*KEY, *(name for name in HALO_VARIABLES if name not in KEY)]
    values = {name: Value(HALO_VARIABLES[name].dtype, id=HALO_VARIABLES[name].units) for name in names}
    return Features({"preview": Image(), **values})


def catalogue_table(
    split: SplitArrays, views: Sequence[str], ranges: Mapping[str, tuple[float, float]]
) -> pa.Table:
    """One row a halo; the picture shows its first line of sight in up to four views."""
    schema = catalogue_features().arrow_schema
    shown = shown_views(views)
    pictures = [
        {"bytes": png(*panel({v: split.maps[v][i, 0] for v in shown}, ranges, shown)), "path": None}
        for i in range(len(split))
    ]
    columns = [pa.array(pictures, type=schema.field("preview").type)]
    columns += [
        pa.array(np.asarray(split.halos[name]), type=schema.field(name).type) for name in schema.names[1:]
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def colour_ranges(statistics: Mapping[str, Any], views: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The log10 range of each view's colours: from its median to its 99.95 % quantile over train.

    Where a view is 0 nearly everywhere its quantiles may fall together; half a decade is the least.
    """
    ranges = {}
    for view in views:
        low, high = (float(statistics[view].quantile(q)) for q in (0.1, 0.9995))
        if not np.isfinite([low, high]).all():
            low, high = 0.0, 1.0
        ranges[view] = (low, max(high, low + 0.5))
    return ranges


def _write(path: Path, tables: Iterator[pa.Table], schema: pa.Schema, group: int) -> None:
    with (
        renamed_into_place(path) as partial,
        open_writer(partial, schema) as writer,
    ):
        for table in tables:
            writer.write_table(table, row_group_size=group)
