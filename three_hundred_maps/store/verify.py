"""Whether a store is what it says: checksums, schema, splits; deep, also totals, statistics, duplicates."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import sha256_file
from three_hundred_maps.keys import KEY, HaloKey, halo_keys
from three_hundred_maps.progress import progress
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import halo_columns, iter_shards, open_group
from three_hundred_maps.store.duplicates import find_duplicates
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.manifest import (
    MANIFEST,
    PROVENANCE,
    check_schema_version,
    self_check,
    store_files,
    unfinished_message,
)
from three_hundred_maps.store.statistics import Statistics, read_statistics

TOTAL_TOLERANCE = 1e-4
"""Of a map's sum against the total from the particles; maps are float32."""
STATISTICS_TOLERANCE = 1e-5


@dataclass
class Report:
    """What was looked at and what is wrong.

    Parameters
    ----------
    checks
        Names of the checks made, with how many things each looked at.
    problems
        One line each, naming the file, variable or halo.
    """

    checks: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """As ``verify --json`` prints it."""
        return {"good": self.good, "checks": self.checks, "problems": self.problems}


def verify(path: str | Path, *, deep: bool = False, against: str | Path | None = None) -> Report:
    """Check a finished store.

    Parameters
    ----------
    path
        The store, a local folder.
    deep
        Recompute totals and statistics from the maps, and look for near-duplicates across splits.
    against
        Another store: no train region of one may be a test region of the other.

    Raises
    ------
    InputError
        Where there is no finished store to check.
    """
    store = Path(path)
    report = Report()
    files = _check_manifest(store, report)
    _check_files(store, files, report)
    if report.problems:
        # What the files hold cannot be trusted: reading on would only repeat the same trouble.
        return report
    for name, check in (("schema", check_schema), ("splits", check_splits)):
        _run(report, name, check, store)
    if report.problems:
        return report
    if deep:
        _run(report, "totals", check_totals, store)
        # A part of a published store keeps the statistics of the whole train split.
        if "part_of" not in open_group(store).attrs:
            _run(report, "statistics", check_statistics, store)
        _run(report, "duplicates", check_duplicates, store)
    if against is not None:
        report.checks["against"], problems = check_against(store, Path(against))
        report.problems += problems
    return report


def _run(report: Report, name: str, check: Callable[[Path], tuple[int, list[str]]], store: Path) -> None:
    try:
        report.checks[name], problems = check(store)
    except InputError as error:
        problems = [str(error)]
    report.problems += problems


def _check_manifest(store: Path, report: Report) -> dict[str, Any]:
    try:
        data = (store / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(unfinished_message(store)) from None
    wrong = self_check(data)
    report.checks["manifest"] = 1
    if wrong:
        report.problems.append(f"{MANIFEST} {wrong}")
        return {}
    content = json.loads(data)
    check_schema_version(store, content.get("schema_version"))
    files: dict[str, Any] = content["files"]
    return files


def _check_files(store: Path, files: dict[str, Any], report: Report) -> None:
    if not files:
        return
    for name, wanted in progress(files.items(), desc="checksums", unit="file"):
        file = store / name
        if not file.is_file():
            report.problems.append(f"{name} is missing")
        elif file.stat().st_size != wanted["bytes"]:
            report.problems.append(f"{name} has {file.stat().st_size} bytes, not {wanted['bytes']}")
        elif sha256_file(file) != wanted["sha256"]:
            report.problems.append(f"{name} does not match its checksum")
    report.checks["files"] = len(files)
    report.problems += [f"{name} is not in the manifest" for name in store_files(store) if name not in files]
    try:
        wrong = self_check((store / PROVENANCE).read_bytes())
    except FileNotFoundError:
        wrong = "is missing"
    if wrong:
        report.problems.append(f"{PROVENANCE} {wrong}")


def check_schema(store: Path) -> tuple[int, list[str]]:
    """Every name, dimension, type, unit and attribute of the schema."""
    problems: list[str] = []
    root = open_group(store)
    problems += [
        f"the root lacks the attribute {name}" for name in schema.ROOT_ATTRS if name not in root.attrs
    ]
    if problems:
        return len(schema.ROOT_ATTRS), problems
    layout = Layout.of_store(store)
    looked = len(schema.ROOT_ATTRS)
    for split in schema.SPLITS:
        group = root[split]
        n = layout.splits[split]
        wanted = [
            *layout.map_variables(split),
            *schema.HALO_VARIABLES.values(),
            *schema.LOS_VARIABLES.values(),
            *schema.AXIS_VARIABLES.values(),
            *(schema.total_variable(v.name, "", v.long_name) for v in layout.maps),
        ]
        sizes = {"halo": n, "los": layout.n_los, "y": layout.grid.pixels, "x": layout.grid.pixels, "xyz": 3}
        for variable in wanted:
            looked += 1
            where = f"{split}/{variable.name}"
            if variable.name not in group:
                problems.append(f"{where} is missing")
                continue
            array = group[variable.name]
            shape = tuple(sizes[dim] for dim in variable.dims)
            if array.shape != shape or array.dtype != variable.stored:
                problems.append(f"{where} is {array.dtype} {array.shape}, not {variable.stored} {shape}")
            if tuple(array.metadata.dimension_names or ()) != variable.dims:
                problems.append(f"{where} has the dimensions {array.metadata.dimension_names}")
            lacking = [name for name in ("units", "long_name", "frame") if not array.attrs.get(name)]
            problems += [f"{where} lacks the attribute {name}" for name in lacking]
        if not problems:
            for name in ("los_vector", "los_up"):
                length = np.linalg.norm(np.asarray(group[name][...]), axis=1)
                if not np.allclose(length, 1.0, atol=1e-9):
                    problems.append(f"{split}/{name} holds vectors that are not of length 1")
    return looked, problems


def check_splits(store: Path) -> tuple[int, list[str]]:
    """Each halo once, and each region in one split."""
    root = open_group(store)
    problems: list[str] = []
    seen: dict[HaloKey, str] = {}
    region_in: dict[int, str] = {}
    for split in schema.SPLITS:
        columns = halo_columns(root[split], KEY)
        for key in halo_keys(columns):
            if key in seen:
                problems.append(f"the halo {key} is in {seen[key]} and again in {split}")
            seen[key] = split
        for region in np.unique(columns["region"]).tolist():
            if region in region_in:
                problems.append(f"region {region} is in {region_in[region]} and in {split}")
            region_in[region] = split
    return len(seen), problems


def check_totals(store: Path) -> tuple[int, list[str]]:
    """Sums of the maps against the totals that came from the particles; finite, not negative."""
    layout = Layout.of_store(store)
    root = open_group(store)
    problems: list[str] = []
    looked = 0
    for split in schema.SPLITS:
        row = 0
        totals = {view: np.asarray(root[split][f"total_{view}"][...]) for view in layout.views}
        names = [v.name for v in layout.map_variables(split)]
        for shard in iter_shards(store, split, names):
            area = (layout.grid.pixel * shard.halos["R200c"]) ** 2
            for name, maps in shard.maps.items():
                where = f"{split}/{name}"
                if not np.isfinite(maps).all() or (maps < 0).any():
                    problems.append(f"{where} holds values that are negative or not finite, from row {row}")
                    continue
                if name == schema.HALF:
                    excess = (maps > 2.0 * shard.maps[schema.TARGET] * (1 + 1e-3) + 1.0).any(axis=(1, 2, 3))
                    rows = (row + np.flatnonzero(excess)).tolist()
                    problems += [f"{where} of row {r} exceeds twice the mass" for r in rows]
                    continue
                sums = maps.sum(axis=(2, 3), dtype=np.float64) * area[:, None]
                wanted = totals[name][row : row + len(shard)]
                looked += wanted.size
                off = np.abs(sums - wanted) > TOTAL_TOLERANCE * np.maximum(np.abs(wanted), 1e-300)
                problems += [
                    f"{split}/total_{name} of row {row + h}, line of sight {k} is"
                    f" {wanted[h, k]:.6g}, the map's sum {sums[h, k]:.6g}"
                    for h, k in np.argwhere(off).tolist()[:5]
                ]
            row += len(shard)
    return looked, problems


def check_statistics(store: Path) -> tuple[int, list[str]]:
    """The kept statistics against those of the train maps."""
    layout = Layout.of_store(store)
    kept = read_statistics(store)
    total = Statistics.empty(layout.views)
    for shard in iter_shards(store, "train"):
        total = total.merge(Statistics.of(shard.maps, shard.halos, layout.grid.pixel))
    problems = []
    if list(kept) != list(total):
        problems.append(f"statistics are of {', '.join(kept)}, the store holds {', '.join(total)}")
        return 0, problems
    for view, of_maps in total.items():
        there = kept[view]
        if (there.count, there.zeros) != (of_maps.count, of_maps.zeros):
            problems.append(f"statistics/{view}: count and zeros do not match the maps")
        for name in ("mean", "std", "minimum", "maximum"):
            a, b = getattr(there, name), getattr(of_maps, name)
            if not np.isclose(a, b, rtol=STATISTICS_TOLERANCE, atol=0, equal_nan=True):
                problems.append(f"statistics/{view}: {name} is {a:.8g}, of the maps {b:.8g}")
        moved = int(np.abs(there.histogram - of_maps.histogram).sum())
        if moved > STATISTICS_TOLERANCE * max(of_maps.count, 1):
            problems.append(f"statistics/{view}: the histogram does not match the maps")
    if kept.climatology is not None and total.climatology is not None:
        same = np.allclose(
            kept.climatology.climatology, total.climatology.climatology, rtol=1e-6, equal_nan=True
        ) and np.allclose(
            kept.climatology.scaled_climatology,
            total.climatology.scaled_climatology,
            atol=1e-6,
            equal_nan=True,
        )
        if not same:
            problems.append("statistics/climatology does not match the maps")
    return len(total), problems


def check_duplicates(store: Path) -> tuple[int, list[str]]:
    """No halo looks like one of another split."""
    layout = Layout.of_store(store)
    if schema.TARGET not in layout.views:
        return 0, []
    problems = [
        f"halo {d.key_a} of {d.split_a} and halo {d.key_b} of {d.split_b} look the same"
        f" (correlation {d.correlation:.4f})"
        for d in find_duplicates(store)
    ]
    return sum(layout.splits.values()), problems


def check_against(store: Path, other: Path) -> tuple[int, list[str]]:
    """No train (or validation) region of one store is a test region of the other."""
    groups = {name: open_group(name) for name in (store, other)}
    for name, group in groups.items():
        if "region" not in group["train"]:
            raise InputError(unfinished_message(name))
    if not same_regions(dict(groups[store].attrs), dict(groups[other].attrs)):
        return 0, []
    regions = {
        (name, split): set(np.asarray(group[split]["region"][...]).tolist())
        for name, group in groups.items()
        for split in schema.SPLITS
    }
    problems = []
    for a, b in ((store, other), (other, store)):
        for seen in ("train", "validation"):
            shared = sorted(regions[a, seen] & regions[b, "test"])
            problems += [f"region {region} is in {seen} of {a} and in test of {b}" for region in shared]
    return sum(len(r) for r in regions.values()), problems


def same_regions(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether region numbers of two stores mean the same volumes: both real, or of one synthetic seed."""
    if a.get("synthetic") != b.get("synthetic"):
        return False
    if not a.get("synthetic"):
        return True
    seeds = [((yaml.safe_load(x["recipe"]) or {}).get("simulation") or {}).get("seed") for x in (a, b)]
    return bool(seeds[0] == seeds[1])
