"""Making a store and writing its shards: whole, atomically, each with a record that says it is done."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import canonical_json, sha256_bytes, write_bytes, write_json
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import shard_file
from three_hundred_maps.store.layout import LAYOUT_FILE, Layout
from three_hundred_maps.store.manifest import MANIFEST
from three_hundred_maps.store.records import PROGRESS, ShardRecord, read_layout, write_record
from three_hundred_maps.store.shards import encode_shard
from three_hundred_maps.store.statistics import Statistics

SHOWN_LINES = 8
"""Of a recipe's difference."""


def create_store(path: str | Path, layout: Layout) -> None:
    """Lay an empty store at ``path``; on one of the same layout nothing is done.

    Raises
    ------
    InputError
        Where the folder lies in a store, holds other things, or a store of another recipe (the difference is
        shown).
    """
    store = Path(path)
    if store.exists() and not store.is_dir():
        raise InputError(f"{store} is a file; a store is a folder")
    around = next((p for p in store.absolute().parents if (p / "zarr.json").exists()), None)
    if around is not None:
        raise InputError(f"{store} lies in the store {around}, which it would damage; give a folder outside")
    if (store / LAYOUT_FILE).exists():
        _require_same(store, read_layout(store), layout)
    elif (store / MANIFEST).exists():
        raise InputError(f"{store} is a finished store; build into another folder, or delete it first")
    else:
        foreign = foreign_entries(store)
        if (store / LAYOUT_FILE).exists():
            # Another part of the same build began in this very moment.
            _require_same(store, read_layout(store), layout)
        elif foreign:
            raise InputError(f"{store} is not a store (it holds {', '.join(foreign[:3])}); give a new folder")
        write_json(store / LAYOUT_FILE, layout.to_json())
    if (store / "zarr.json").exists():
        return
    for name, data in layout.hierarchy().files(consolidated=False).items():
        write_bytes(store / name, data)


def foreign_entries(store: Path) -> list[str]:
    """What lies in a folder beside that which an interrupted start of a build leaves."""
    if not store.exists():
        return []
    return sorted(
        entry.name
        for entry in store.iterdir()
        if not entry.name.startswith(".lock") and not (entry.name == PROGRESS and not any(_whole(entry)))
    )


def _whole(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".partial")]


def _require_same(store: Path, there: Layout, wanted: Layout) -> None:
    if canonical_json(there.to_json()) == canonical_json(wanted.to_json()):
        return
    raise InputError(
        f"{store} was begun with other settings ({describe_difference(there, wanted)});"
        " give a new folder, or the recipe it was begun with"
    )


def describe_difference(there: Layout, wanted: Layout) -> str:
    """What differs between two layouts, on one line: their recipes, else all that they state."""
    recipes = (str(layout.attrs["recipe"]) for layout in (there, wanted))
    return recipe_difference(*recipes) or _difference(there.to_json(), wanted.to_json())


def recipe_difference(there: str, wanted: str) -> str:
    """The lines in which two recipes differ, on one line; nothing where they are the same."""
    import yaml

    return _difference(*(yaml.safe_load(recipe) or {} for recipe in (there, wanted)))


def _difference(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    lines = [
        f"{line[0]} {line[1:]:.160}"
        for line in difflib.unified_diff(_settings(there), _settings(wanted), lineterm="", n=0)
        if line[:1] in ("+", "-") and line[:3] not in ("+++", "---")
    ]
    if not lines:
        return ""
    more = f"; and {len(lines) - SHOWN_LINES} more" if len(lines) > SHOWN_LINES else ""
    return f"there - now +, defaults left out: {'; '.join(lines[:SHOWN_LINES])}{more}"


def _settings(content: Mapping[str, Any]) -> list[str]:
    """Settings, one a line, each with its section: ``selection.seed: 0``."""

    def lines(value: Any, name: str) -> Iterator[str]:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from lines(inner, f"{name}.{key}" if name else str(key))
        else:
            yield f"{name}: {value}"

    return list(lines(content, ""))


def write_shard(
    path: str | Path,
    split: str,
    shard: int,
    maps: Mapping[str, NDArray[np.float32]],
    totals: Mapping[str, NDArray[np.float64]],
    halos: Mapping[str, NDArray[Any]],
    *,
    refused: Sequence[Mapping[str, Any]] = (),
    layout: Layout | None = None,
) -> ShardRecord:
    """Write one whole shard of every view, then the record that makes it count.

    Parameters
    ----------
    path, split, shard
        The store and the shard's place.
    maps
        By variable name (the views, and `schema.HALF` in the test split): (n, los, y, x) float32, finite
        and not negative, in the variable's units.
    totals
        By view: (n, los), the integral over the map in the map's units times kpc2.
    halos
        Every variable of `schema.HALO_VARIABLES`, (n,), and those of `schema.OPTIONAL_VARIABLES` that the
        store has.
    refused
        Planned halos that are left out: the key and the ``reason``. With ``n`` they make up the
        number of rows planned; `finalise` closes the gaps.
    layout
        The store's, where the caller has it at hand.

    Raises
    ------
    InputError
        Where names, shapes or values do not fit the store.
    """
    store = Path(path)
    layout = layout or read_layout(store)
    planned = layout.shard_rows(split, shard)
    columns = _check_halos(halos, f"{split} shard {shard}")
    n = len(columns["region"])
    if n + len(refused) != planned:
        raise InputError(f"{split} shard {shard}: {n} halos and {len(refused)} refused, {planned} planned")
    variables = layout.map_variables(split)
    _check_names("maps", maps, [v.name for v in variables])
    _check_names("totals", totals, list(layout.views))
    shape = (n, *layout.map_shape)
    for name, values in maps.items():
        if values.shape != shape or values.dtype != np.float32:
            raise InputError(
                f"{split} shard {shard}: {name} is {values.dtype} {values.shape}, wanted float32 {shape}"
            )
        least = float(values.min()) if n else 0.0
        if n and not ((least >= 0.0 or name in layout.signed) and np.isfinite([least, values.max()]).all()):
            raise InputError(f"{split} shard {shard}: {name} holds negative or non-finite values")
    sums = {name: np.asarray(values, np.float64) for name, values in totals.items()}
    for name, total in sums.items():
        if total.shape != (n, layout.n_los) or not np.isfinite(total).all():
            raise InputError(
                f"{split} shard {shard}: total_{name} is {total.shape} or not finite, wanted {shape[:2]}"
            )
    files = write_maps(store, layout, split, shard, maps)
    statistics = None
    if split == "train":
        statistics = Statistics.of({v: maps[v] for v in layout.views}, columns, layout.grid.pixel)
    record = ShardRecord(
        split, shard, layout.digest(), files, columns, sums, [dict(r) for r in refused], statistics
    )
    write_record(store, record)
    return record


def write_maps(
    store: Path,
    layout: Layout,
    split: str,
    shard: int,
    maps: Mapping[str, NDArray[np.float32]],
) -> dict[str, dict[str, Any]]:
    """Write a shard's map files and return their checksums and sizes."""
    files: dict[str, dict[str, Any]] = {}
    for variable in layout.map_variables(split):
        if not len(maps[variable.name]):
            continue
        data = encode_shard(maps[variable.name], layout.shard_halos)
        name = shard_file(f"{split}/{variable.name}", shard)
        write_bytes(store / name, data)
        files[name] = {"sha256": sha256_bytes(data), "bytes": len(data)}
    return files


def _check_names(what: str, given: Mapping[str, Any], wanted: list[str]) -> None:
    if set(given) != set(wanted):
        raise InputError(
            f"{what} given for {', '.join(sorted(given))}; the store holds {', '.join(sorted(wanted))}"
        )


def _check_halos(halos: Mapping[str, NDArray[Any]], where: str) -> dict[str, NDArray[Any]]:
    _check_names(f"{where}: halo variables", halos, list(schema.halo_variables(halos)))
    columns = {name: variable.column(halos[name]) for name, variable in schema.halo_variables(halos).items()}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise InputError(f"{where}: halo variables of different lengths {sorted(lengths)}")
    schema.flag_attrs(sorted(set(columns["simulation"].tolist())))
    return columns
