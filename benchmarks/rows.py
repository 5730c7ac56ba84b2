"""What predictions belong to: halos and lines of sight of a split, a torch data set or `datasets` rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.variables import map_dims
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import KEY, SEALED_KEY
from three_hundred_maps.store.arrays import SplitArrays, read_split, root_attrs, store_digest
from three_hundred_maps.store.schema import SPLITS, decode_ids, generator_of, simulation_ids

ALL = "all"
"""In place of a split: the halos of all splits."""
IDENTITY = ("name", "digest", "recipe_sha256", "generator")
"""What is known of a data set, as `dataset_identity` gives it."""


@dataclass(frozen=True)
class Rows:
    """The halos that maps are predicted for.

    Parameters
    ----------
    keys
        (halo,) by name: the key of every halo, or the opaque ``key`` of sealed inputs.
    order
        (halo, los): the place of each map where predictions come one a row; None where they can only come
        as (halo, los, y, x).
    dataset
        What is known of the data set: of `IDENTITY`.
    """

    keys: dict[str, NDArray[Any]]
    order: NDArray[np.int64] | None = None
    dataset: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.keys.values())))

    def arrange(self, maps: Any, name: str = "mass") -> Any:
        """Maps as (halo, los, y, x).

        Parameters
        ----------
        maps
            (halo, los, y, x), or one map a row as (row, y, x) or (row, 1, y, x), or an xarray DataArray with
            the dimensions halo, los, y, x in any order; of samples with the dimension sample before y.
            Anything without a shape is given back as it is.
        name
            Of the variable, for messages.

        Raises
        ------
        InputError
            For masked pixels, what is no real number, and dimensions of other names or numbers.
        """
        dims, expected = getattr(maps, "dims", None), map_dims(name)
        dtype = getattr(maps, "dtype", None)
        if isinstance(dtype, np.dtype) and dtype.kind in "bcOSUVMm":
            raise InputError(f"{name} holds {dtype.name}; give real numbers, as float32")
        if dims is not None:
            if set(dims) != set(expected):
                raise InputError(
                    f"{name} has the dimensions {', '.join(map(str, dims))}; expected {', '.join(expected)}"
                )
            return maps.transpose(*expected)
        if np.ma.is_masked(maps):
            raise InputError(f"{name} has masked pixels: fill them, every pixel is scored")
        shape = getattr(maps, "shape", None)
        if shape is None or self.order is None:
            return maps
        of_row = len(expected) - 2
        lone = len(shape) == len(expected) and shape[1] == 1 and self.order.shape[1] > 1
        if (len(shape) == len(expected) - 1 or lone) and shape[0] == self.order.size:
            flat = np.asarray(maps).reshape(shape[0], *shape[-of_row:])
            return flat[self.order]
        return maps


def read_halos(store: Any, split: str) -> tuple[SplitArrays, dict[str, int]]:
    """Halos and lines of sight of a split, or of `ALL`; and how many halos each split read has, in order."""
    parts = {name: read_split(store, name, []) for name in (SPLITS if split == ALL else (split,))}
    counts = {name: len(part) for name, part in parts.items()}
    filled = [part for part in parts.values() if len(part)] or list(parts.values())[:1]
    halos = {name: np.concatenate([part.halos[name] for part in filled]) for name in filled[0].halos}
    return SplitArrays({}, halos, filled[0].los_vector, filled[0].los_up), counts


def dataset_identity(store: Any) -> dict[str, str]:
    """What a store is, as ``submission.json`` keeps it."""
    attrs = root_attrs(store)
    if attrs.get("sealed"):
        return {"name": str(attrs["dataset"]), "digest": store_digest(store)}
    identity = {"recipe_sha256": attrs["recipe_sha256"], "generator": generator_of(attrs)}
    known = {name: str(value) for name, value in identity.items() if value is not None}
    return {"name": str(attrs["name"]), "digest": store_digest(store), **known}


def find_rows(rows: Any) -> Rows:
    """What ``rows`` says of the halos predicted.

    Parameters
    ----------
    rows
        A pair (store, split), also (store, "all"); a `MapDataset`; rows of `datasets.load_dataset`;
        `SplitArrays`; a split of `open_store`; or a mapping with region, snapshot, halo_id (and simulation),
        or the sealed ``key``, each (halo,).

    Raises
    ------
    InputError
        Where it is none of these, or some lines of sight of a halo are not there.
    """
    if isinstance(rows, tuple) and len(rows) == 2:
        store, split = rows
        arrays, _ = read_halos(store, split)
        return Rows(_keys(arrays.halos), _in_order(arrays), dataset_identity(store))
    if hasattr(rows, "arrays"):
        store = getattr(rows, "store", None)
        return Rows(
            _keys(rows.arrays.halos), _in_order(rows.arrays), dataset_identity(store) if store else {}
        )
    if hasattr(rows, "column_names"):
        return _table_rows(rows)
    if isinstance(getattr(rows, "halos", None), int):
        raise InputError("rows of a StreamDataset are in a drawn order: take a MapDataset or (store, split)")
    if hasattr(rows, "halos"):
        return Rows(_keys(rows.halos), _in_order(rows))
    if isinstance(rows, Mapping):
        return Rows(_keys(rows))
    raise InputError(
        "rows must be a pair (store, split), a MapDataset, rows of load_dataset, or a mapping with "
        f"{', '.join(KEY)}; got {type(rows).__name__}"
    )


def _keys(values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    if SEALED_KEY in values:
        return {SEALED_KEY: np.asarray(values[SEALED_KEY], np.int64)}
    missing = [name for name in KEY[1:] if name not in values]
    if missing:
        raise InputError(
            f"the halos' keys lack {', '.join(missing)}: give {', '.join(KEY)}, "
            f"or {SEALED_KEY} of sealed inputs"
        )
    keys: dict[str, NDArray[Any]] = {name: np.asarray(values[name], np.int64) for name in KEY[1:]}
    if KEY[0] in values:
        names = np.asarray(values[KEY[0]])
        if names.dtype.kind in "iu":  # codes, of a split as xarray opens it
            names = decode_ids(names, simulation_ids(getattr(values[KEY[0]], "attrs", {})))
        keys = {KEY[0]: names.astype(np.str_), **keys}
    if len({len(value) for value in keys.values()}) != 1 or not len(keys[KEY[1]]):
        raise InputError(f"the keys of the halos have lengths {[len(v) for v in keys.values()]}")
    return keys


def _in_order(arrays: Any) -> NDArray[np.int64]:
    n_halos, n_los = len(arrays), len(arrays.los_vector)
    return np.arange(n_halos * n_los, dtype=np.int64).reshape(n_halos, n_los)


def _table_rows(table: Any) -> Rows:
    """Rows of `datasets`, in whatever order: one map each, gathered by halo and line of sight."""
    if isinstance(table.column_names, Mapping):
        raise InputError(f"the rows are of several splits: take one, of {', '.join(table.column_names)}")
    given = table.column_names or list(next(iter(table), ()))  # of a stream that was mapped it is None
    names = [name for name in KEY if name in given]
    if "los" not in given:
        raise InputError("the rows lack the column los: load them with it")
    table = table.select_columns([*names, "los"])
    if hasattr(table, "__len__"):
        columns = table.with_format("numpy")[:]
    else:  # streamed
        rows = list(table)
        columns = {name: np.array([row[name] for row in rows]) for name in (*names, "los")}
    los = np.asarray(columns.pop("los"), np.int64)
    keys = _keys(columns)
    first: dict[tuple[Any, ...], int] = {}
    halo = [
        first.setdefault(key, len(first)) for key in zip(*(v.tolist() for v in keys.values()), strict=True)
    ]
    n_los = int(los.max()) + 1
    order = np.full((len(first), n_los), -1, np.int64)
    order[halo, los] = np.arange(len(los))
    if (order < 0).any() or order.size != len(los):
        raise InputError(f"a submission needs every halo once along each of its {n_los} lines of sight")
    keys = {key: value[order[:, 0]] for key, value in keys.items()}
    return Rows(keys, order, _identity_in(table.info))


def _identity_in(info: Any) -> dict[str, str]:
    """What rows of `load_dataset` say of the data set: lines of their description, else the config's name."""
    lines = (line.partition(": ") for line in (info.description or "").splitlines())
    said = {name: value for name, _, value in lines if name in IDENTITY and value}
    return said or ({"name": str(info.config_name)} if info.config_name else {})
