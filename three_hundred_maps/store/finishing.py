"""Finishing a store: from the shards' records, halo arrays, statistics, metadata and the manifest."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from three_hundred_maps.climatology import RING_EDGES
from three_hundred_maps.errors import InputError
from three_hundred_maps.histograms import LOG_BINS, bin_edges
from three_hundred_maps.io import canonical_json, sha256_bytes, sha256_file, sweep_partial, write_bytes
from three_hundred_maps.keys import HaloKey, halo_keys
from three_hundred_maps.store import schema
from three_hundred_maps.store.compact import close_gaps, read_compaction
from three_hundred_maps.store.hierarchy import Hierarchy
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.lock import store_lock
from three_hundred_maps.store.manifest import MANIFEST, PROVENANCE, read_manifest, with_digest, write_manifest
from three_hundred_maps.store.notes import closing_attrs
from three_hundred_maps.store.records import (
    PROGRESS,
    ShardRecord,
    is_done,
    read_layout,
    read_record,
    record_path,
)
from three_hundred_maps.store.statistics import Statistics

PACKAGES = ("three_hundred_maps", "numpy", "zarr", "numcodecs", "numba", "h5py", "scipy", "xarray")
"""Whose versions shape a store's bytes."""


def finalise(
    path: str | Path,
    *,
    provenance: Mapping[str, Any] | None = None,
    locked: bool = False,
    planned: Mapping[str, int] | None = None,
    refused: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Finish a store whose shards are all done; on a finished one nothing is done.

    Parameters
    ----------
    path
        The store.
    provenance
        What to add to ``provenance.json``.
    locked
        The caller holds the store's lock.
    planned, refused
        For a store made of others: the halos that they planned, and those that they excluded.

    Returns
    -------
    The manifest.

    Raises
    ------
    InputError
        Where shards are missing or damaged (how many of how many), or a halo is there twice.
    """
    store = Path(path)
    if not locked:
        if not store.is_dir():
            raise InputError(f"no store at {store}")
        with store_lock(store):
            return finalise(store, provenance=provenance, locked=True, planned=planned, refused=refused)
    if (store / MANIFEST).exists():
        manifest = read_manifest(store)
        _remove_progress(store)
        return manifest
    layout = read_layout(store)
    if read_compaction(store) is None:
        missing = [place for place in layout.all_shards() if not is_done(store, layout, *place)]
        missing += withdraw_damaged(store, layout)
        if missing:
            total = len(layout.all_shards())
            raise InputError(
                f"{store}: {total - len(missing)} of {total} shards are done"
                f" (missing {', '.join(f'{s} {k}' for s, k in missing[:3])}{', ...' if missing[3:] else ''});"
                " re-run the build to resume"
            )
    layout, of_shards, left_out = close_gaps(store, layout)
    layout = replace(layout, attrs=closing_attrs(store, layout))
    records = {split: _records(store, layout, split) for split in schema.SPLITS}
    _require_unique(store, records)
    statistics = merged_statistics(layout, records["train"])
    files = write_small_files(store, layout, _columns(layout, records), statistics)
    for split in schema.SPLITS:
        for record in records[split]:
            files.update({name: dict(value) for name, value in record.files.items()})
    sweep_partial(store)
    write_provenance(store, provenance)
    manifest = close_store(store, layout, files, planned or of_shards, [*map(dict, refused), *left_out])
    _remove_progress(store)
    return manifest


def close_store(
    store: Path,
    layout: Layout,
    files: Mapping[str, Any],
    planned: Mapping[str, int],
    refused: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """Write the manifest of a store whose files are all there: from then on it is finished."""
    content = {
        "schema_version": schema.SCHEMA_VERSION,
        "name": layout.attrs["name"],
        "recipe_sha256": layout.attrs["recipe_sha256"],
        "halos": dict(layout.splits),
        "halos_planned": dict(planned),
        "refused": list(refused),
        "files": files,
    }
    return write_manifest(store, {**content, **more})


def withdraw_damaged(store: Path, layout: Layout) -> list[tuple[str, int]]:
    """Take back the records of shards whose files are damaged: the next build makes them again."""
    damaged = []
    for split, shard in layout.all_shards():
        record = read_record(store, split, shard)
        for name, value in record.files.items() if record is not None else ():
            if (store / name).is_file() and sha256_file(store / name) != value["sha256"]:
                print(f"note: {store / name} is damaged: its shard must be rebuilt", file=sys.stderr)
                record_path(store, split, shard).unlink()
                damaged.append((split, shard))
                break
    return damaged


def write_provenance(store: Path, extra: Mapping[str, Any] | None) -> None:
    """Write ``provenance.json``: versions, processor and back end, which are outside of what is hashed."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    content = {
        "versions": versions,
        "processor": processor(),
        "machine": platform.machine(),
        "system": platform.system(),
        **(extra or {}),
    }
    write_bytes(store / PROVENANCE, canonical_json(with_digest(content)))


def processor() -> str:
    """The type of processor, as the system names it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def tidy(store: Path) -> None:
    """Remove what a builder leaves of a finished store that is killed at its very end."""
    if (store / PROGRESS).exists() or any(store.glob(".lock*")):
        finalise(store)


def _remove_progress(store: Path) -> None:
    # The manifest holds what the records held; the layout goes last of all, with its folder.
    shutil.rmtree(store / PROGRESS, ignore_errors=True)


def _records(store: Path, layout: Layout, split: str) -> list[ShardRecord]:
    records = [read_record(store, split, shard) for shard in range(layout.shards(split))]
    return [record for record in records if record is not None]


def _require_unique(store: Path, records: Mapping[str, list[ShardRecord]]) -> None:
    seen: dict[HaloKey, str] = {}
    for split, parts in records.items():
        for record in parts:
            for key in halo_keys(record.halos):
                if key in seen:
                    raise InputError(f"{store}: the halo {key} is in {seen[key]} and again in {split}")
                seen[key] = split


def merged_statistics(layout: Layout, records: list[ShardRecord]) -> Statistics:
    """The train split's statistics: its shards' merged in order."""
    total = Statistics.empty(layout.views)
    for record in records:
        if record.statistics is None:
            raise InputError(
                f"the record of train shard {record.shard} lacks its statistics: delete it and build again"
            )
        total = total.merge(record.statistics)
    return total


def _columns(layout: Layout, records: Mapping[str, list[ShardRecord]]) -> dict[str, dict[str, np.ndarray]]:
    columns: dict[str, dict[str, np.ndarray]] = {}
    named = {name for parts in records.values() for part in parts for name in part.halos}
    for split, parts in records.items():
        columns[split] = {
            name: np.concatenate([variable.column([]), *(part.halos[name] for part in parts)])
            for name, variable in schema.halo_variables(named).items()
        }
        for view in layout.views:
            empty = np.zeros((0, layout.n_los))
            columns[split][f"total_{view}"] = np.concatenate([empty, *(part.totals[view] for part in parts)])
    return columns


def write_small_files(
    store: Path, layout: Layout, columns: Mapping[str, Mapping[str, np.ndarray]], statistics: Statistics
) -> dict[str, dict[str, Any]]:
    """Write everything but the maps: metadata, halo arrays, statistics; return checksums and sizes."""
    hierarchy = layout.hierarchy()
    units = {variable.name: variable for variable in layout.maps}
    ids = sorted({str(name) for split in schema.SPLITS for name in columns[split]["simulation"]})
    for split in schema.SPLITS:
        for name, variable in schema.halo_variables(columns[split]).items():
            values, attrs = columns[split][name], variable.attrs()
            if name == "simulation":
                values, attrs = schema.encode_ids(values, ids), {**attrs, **schema.flag_attrs(ids)}
            hierarchy.add_array(f"{split}/{name}", values, variable.dims, attrs)
        for view, variable in units.items():
            total = schema.total_variable(view, schema.times_kpc2(variable.units), variable.long_name)
            values = columns[split][total.name]
            hierarchy.add_array(f"{split}/{total.name}", values, total.dims, total.attrs())
        checksums = schema.row_checksums(columns[split], layout.views)
        row = schema.ROW_CHECKSUM
        hierarchy.add_array(f"{split}/{row.name}", checksums, row.dims, row.attrs())
        for name, (variable, values) in layout.axes().items():
            hierarchy.add_array(f"{split}/{name}", values, variable.dims, variable.attrs())
    _add_statistics(hierarchy, statistics)
    written = {}
    for name, data in hierarchy.files(consolidated=True).items():
        write_bytes(store / name, data)
        written[name] = {"sha256": sha256_bytes(data), "bytes": len(data)}
    return written


def _add_statistics(hierarchy: Hierarchy, statistics: Statistics) -> None:
    views = list(statistics)
    hierarchy.add_group(
        "statistics",
        {"split": "train", "views": views, "long_name": "statistics of the train split alone"},
    )

    def add(name: str, values: Any, dims: tuple[str, ...], units: str, long_name: str) -> None:
        attrs = {"units": units, "long_name": long_name}
        hierarchy.add_array(f"statistics/{name}", np.asarray(values), dims, attrs)

    each = [statistics[view] for view in views]
    add("count", np.array([s.count for s in each], np.int64), ("view",), "1", "pixels")
    add("zeros", np.array([s.zeros for s in each], np.int64), ("view",), "1", "pixels that are 0")
    add("mean", [s.mean for s in each], ("view",), "dex", "mean of log10 of the positive pixels")
    add("std", [s.std for s in each], ("view",), "dex", "standard deviation of log10 of the positive pixels")
    add("minimum", [s.minimum for s in each], ("view",), "those of the view", "smallest pixel")
    add("maximum", [s.maximum for s in each], ("view",), "those of the view", "largest pixel")
    histogram = np.stack([s.histogram for s in each]).reshape(len(each), LOG_BINS)
    add("histogram", histogram, ("view", "bin"), "1", "positive pixels by log10 of their value")
    if any(s.negative.any() for s in each):
        below = np.stack([s.negative for s in each])
        add("negative", below, ("view", "bin"), "1", "negative pixels by log10 of minus their value")
    add("bin_edges", bin_edges(), ("bin_edge",), "dex", "edges of the histograms' bins, log10")
    climate = statistics.climatology
    if climate is None:
        return
    ring = "log10(max(mass, 1e6 Msun kpc-2)) on the score grid"
    add("ring_edges", RING_EDGES, ("ring_edge",), "R200c", "edges of the climatology's rings")
    add("climatology", climate.climatology, ("ring",), "dex", f"mean of {ring}")
    add(
        "scaled_climatology",
        climate.scaled_climatology,
        ("ring",),
        "dex",
        f"mean of {ring}, less log10(R200c rho_crit)",
    )
    add("ring_sum", climate.sum_l, ("ring",), "dex", f"sum of {ring}")
    add("ring_sum_scaled", climate.sum_scaled, ("ring",), "dex", f"sum of {ring}, less log10(R200c rho_crit)")
    add("ring_pixels", climate.pixels, ("ring",), "1", "pixels summed")
    add("score_histogram", climate.histogram, ("bin",), "1", f"pixels by {ring}")
