"""The halos of a store as a table: their variables and the integrals of their maps, one row a halo."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes
from three_hundred_maps.store import schema
from three_hundred_maps.store.reader import open_store

FORMATS = (".csv", ".parquet")


def halo_table(store: str | Path) -> dict[str, list[Any]]:
    """Columns by name: ``split``, the key, other variables, ``total_VIEW`` averaged over lines of sight."""
    opened = open_store(store)
    table: dict[str, list[Any]] = {"split": []}
    for split in schema.SPLITS:
        data = opened[split]
        n = data.sizes["halo"]
        table["split"] += [split] * n
        names = list(map(str, data.variables))
        for name in schema.halo_variables(names):
            values = data[name].values
            if name == "simulation":
                values = schema.decode_ids(values, schema.simulation_ids(data[name].attrs, store), store)
            table.setdefault(name, []).extend(values.tolist())
        for name in sorted(name for name in names if name.startswith("total_")):
            table.setdefault(name, []).extend(data[name].values.mean(axis=1).tolist())
    return table


def write_halo_table(store: str | Path, path: Path) -> int:
    """Write `halo_table` as CSV or Parquet, by the ending of ``path``; the number of halos.

    Fields of a Parquet table carry ``unit`` and ``long_name``.

    Raises
    ------
    InputError
        For another ending.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: a table of halos is written as {' or '.join(FORMATS)}")
    table = halo_table(store)
    if path.suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
        write_bytes(path, text.getvalue().encode())
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer, columns = io.BytesIO(), open_store(store)["train"].variables
        made = pa.table(table)
        fields = [
            field.with_metadata({"unit": attrs["units"], "long_name": attrs["long_name"]})
            if (attrs := columns[field.name].attrs if field.name in columns else {})
            else field
            for field in made.schema
        ]
        pq.write_table(made.cast(pa.schema(fields)), buffer)
        write_bytes(path, buffer.getvalue())
    return len(table["split"])
