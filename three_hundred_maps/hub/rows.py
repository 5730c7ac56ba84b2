"""The rows of the data set: one map of every view along one line of sight, with what is known of its halo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Array2D, Features, List, Value
from numpy.typing import NDArray

from three_hundred_maps.keys import KEY
from three_hundred_maps.store.arrays import SplitArrays
from three_hundred_maps.store.schema import HALO_VARIABLES, Variable

ROW_FORMAT = 4
"""Raised when columns or their units change, so that rows cached before are not served as the new ones."""

LOS = Variable("los", ("los",), "int32", "1", "number of the line of sight")
LOS_VECTOR = Variable(
    "los_vector", ("los", "xyz"), "float64", "1", "unit vector to the observer, in the simulation box"
)

COLUMN_VARIABLES: dict[str, Variable] = {
    **{name: HALO_VARIABLES[name] for name in KEY},
    LOS.name: LOS,
    # The catalogue's own values stay in the store.
    **{n: v for n, v in HALO_VARIABLES.items() if n not in KEY and not n.endswith("_catalogue")},
    LOS_VECTOR.name: LOS_VECTOR,
}
"""Type, unit and meaning of each column beside the views, in order."""

COLUMNS = tuple(COLUMN_VARIABLES)


def row_features(
    views: Sequence[str],
    pixels: tuple[int, int],
    columns: Sequence[str] = COLUMNS,
    view_info: Mapping[str, Mapping[str, Any]] | None = None,
) -> Features:
    """The features of a row: each view as ``Array2D`` float32 (y, x), then ``columns`` (of `COLUMNS`).

    The ``id`` of a feature, the one text that `datasets` carries along with it, is its unit; ``view_info``
    has that of each view as ``units``.
    """
    features: dict[str, Any] = {
        view: Array2D(shape=pixels, dtype="float32", id=view_info[view]["units"] if view_info else None)
        for view in views
    }
    for name in columns:
        value = Value(COLUMN_VARIABLES[name].dtype, id=COLUMN_VARIABLES[name].units)
        features[name] = List(value, length=3) if name == "los_vector" else value
    return Features(features)


def with_units(schema: pa.Schema, view_info: Mapping[str, Mapping[str, Any]]) -> pa.Schema:
    """``schema`` whose fields carry ``unit`` and ``long_name`` in their metadata.

    Parameters
    ----------
    view_info
        ``units`` and ``long_name`` of each view.
    """
    known = {name: (v.units, v.long_name) for name, v in {**HALO_VARIABLES, **COLUMN_VARIABLES}.items()}
    known |= {view: (info["units"], info["long_name"]) for view, info in view_info.items()}
    for i, field in enumerate(schema):
        if field.name in known:
            unit, long_name = known[field.name]
            schema = schema.set(i, field.with_metadata({"unit": unit, "long_name": long_name}))
    return schema


def to_table(split: SplitArrays, views: Sequence[str], columns: Sequence[str] = COLUMNS) -> pa.Table:
    """Halos of a split as an Arrow table of n_halo * n_los rows; the maps are not copied.

    Parameters
    ----------
    split
        Maps (halo, los, y, x) float32 and the columns of their halos.
    views
        Which maps, in this order; there may be none.
    columns
        Which columns of `COLUMNS` follow them.
    """
    n_los, n_halos = len(split.los_vector), len(split)
    height, width = split.maps[views[0]].shape[2:] if views else (0, 0)
    pixels = (height, width)
    values: dict[str, Any] = {view: map_column(split.maps[view], pixels) for view in views}
    for name in columns:
        if name == "los":
            values[name] = np.tile(np.arange(n_los, dtype=np.int32), n_halos)
        elif name == "los_vector":
            vectors = np.ascontiguousarray(np.tile(split.los_vector, (n_halos, 1)), dtype=np.float64)
            values[name] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 3)
        else:
            values[name] = np.repeat(COLUMN_VARIABLES[name].column(split.halos[name]), n_los)
    schema = row_features(views, pixels, columns).arrow_schema
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, type=field.type)
        for field, column in zip(schema, values.values(), strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def map_column(maps: NDArray[np.float32], pixels: tuple[int, int]) -> pa.Array:
    """Maps (..., y, x) as one column of ``Array2D`` over the same memory."""
    flat = np.ascontiguousarray(maps, dtype=np.float32).reshape(-1)
    height, width = pixels
    n_rows = flat.size // (height * width)
    lines = pa.array(np.arange(0, flat.size + 1, width, dtype=np.int32))
    rows = pa.array(np.arange(0, n_rows * height + 1, height, dtype=np.int32))
    storage = pa.ListArray.from_arrays(rows, pa.ListArray.from_arrays(lines, pa.array(flat)))
    kind = Features({"map": Array2D(shape=pixels, dtype="float32")}).arrow_schema.field("map").type
    return pa.ExtensionArray.from_storage(kind, storage)


def map_values(column: pa.ChunkedArray | pa.Array, pixels: tuple[int, int]) -> NDArray[np.float32]:
    """(rows, y, x): the maps of a column that `map_column` or a Parquet file made."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else array.type.wrap_array(pa.array([]))
    storage = array.storage if isinstance(array, pa.ExtensionArray) else array
    values = storage.flatten().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float32).reshape(-1, *pixels)
