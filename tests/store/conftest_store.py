"""Small stores whose every value says which row it is of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import zarr

from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.io import canonical_json, sha256_file
from three_hundred_maps.store import schema
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.manifest import with_digest
from three_hundred_maps.store.writer import create_store, write_shard
from three_hundred_maps.testing import tiny_attrs, tiny_lines_of_sight


def small_layout(splits=(5, 2, 3), n_los=2, pixels=8, shard_halos=2, half=True) -> Layout:
    vectors, ups = tiny_lines_of_sight(n_los)
    return Layout(
        maps=(schema.map_variable("sz", "1", "Compton y"), schema.map_variable("mass", "Msun kpc-2", "mass")),
        splits=dict(zip(schema.SPLITS, splits, strict=True)),
        vectors=vectors,
        ups=ups,
        grid=MapGrid(pixels),
        shard_halos=shard_halos,
        attrs=tiny_attrs("small"),
        half=half,
    )


def shard_content(layout: Layout, split: str, shard: int, skip: tuple[int, ...] = ()):
    """Maps, totals, halo values and refused halos of a shard whose rows ``skip`` are refused.

    Every value is a function of the planned row, so that any reader can tell which row it sees.
    """
    first = schema.SPLITS.index(split) * 1000 + shard * layout.shard_halos
    planned = list(range(first, first + layout.shard_rows(split, shard)))
    kept = [row for row in planned if row not in skip]
    shape = layout.map_shape
    maps = {
        variable.name: np.stack(
            [
                10.0
                ** np.random.default_rng([row, len(variable.name)]).normal(6, 1, shape).astype(np.float32)
                for row in kept
            ]
            or [np.zeros((0, *shape), np.float32)]
        )
        .reshape(len(kept), *shape)
        .astype(np.float32)
        for variable in layout.map_variables(split)
    }
    columns = {
        name: variable.column(np.array([row + 0.5 for row in kept]))
        for name, variable in schema.HALO_VARIABLES.items()
    }
    columns["simulation"] = np.array(["small"] * len(kept), np.str_)
    for overdensity in (200, 500):
        columns[f"M{overdensity}c"] = overdensity * columns[f"R{overdensity}c"] ** 3
    columns["relaxed"] = np.zeros(len(kept), np.uint8)
    columns["region"] = np.array(kept, np.int64)
    columns["snapshot"] = np.zeros(len(kept), np.int64)
    columns["halo_id"] = np.array([row * 10 for row in kept], np.int64)
    area = (layout.grid.pixel * columns["R200c"]) ** 2
    totals = {view: maps[view].sum(axis=(2, 3), dtype=np.float64) * area[:, None] for view in layout.views}
    if "mass_half" in maps:
        maps["mass_half"] = maps["mass"] * np.float32(0.9)
    refused = [
        {"simulation": "small", "region": row, "snapshot": 0, "halo_id": row * 10, "reason": "for a test"}
        for row in planned
        if row in skip
    ]
    return maps, totals, columns, refused


def write_all(store: Path, layout: Layout, skip: tuple[int, ...] = (), order=None) -> None:
    """Lay a store and write all its shards."""
    create_store(store, layout)
    for split, shard in order or layout.all_shards():
        maps, totals, columns, refused = shard_content(layout, split, shard, skip)
        write_shard(store, split, shard, maps, totals, columns, refused=refused)


def rewritten(store: Path, change) -> None:
    """Re-sign a store after ``change`` touched it, with the files that are left: as a careless tool would."""
    change()
    manifest = json.loads((store / "manifest.json").read_bytes())
    manifest["files"] = {
        name: {"sha256": sha256_file(store / name), "bytes": (store / name).stat().st_size}
        for name in manifest["files"]
        if (store / name).is_file()
    }
    resign(store, manifest)


def resign(store: Path, manifest) -> None:
    """Write a manifest with its digest."""
    (store / "manifest.json").write_bytes(canonical_json(with_digest(manifest)))


def set_value(store: Path, name: str, index, value) -> None:
    zarr.open_group(store, mode="r+")[name][index] = value
