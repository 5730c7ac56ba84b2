"""Whether a store is what it says: checksums, schema, splits; deep, also totals, statistics, duplicates."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import sha256_bytes, sha256_file
from three_hundred_maps.keys import KEY, HaloKey, halo_keys
from three_hundred_maps.progress import progress
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import halo_columns, iter_shards, open_group, read_array
from three_hundred_maps.store.duplicates import CoarseSplit, copies_between, find_duplicates
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.local import copy_store
from three_hundred_maps.store.manifest import (
    MANIFEST,
    OUTSIDE,
    PROVENANCE,
    check_schema_version,
    parse_manifest,
    read_manifest,
    self_check,
    unfinished_message,
)
from three_hundred_maps.store.names import is_url, resolve_store
from three_hundred_maps.store.schema import times_kpc2
from three_hundred_maps.store.statistics import Statistics, read_statistics

TOTAL_TOLERANCE = 1e-4
"""Of a map's sum against the total from the particles; maps are float32."""
STATISTICS_TOLERANCE = 1e-5
DENSITY_TOLERANCE = 1e-5
"""Of M / R^3 between the halos of one redshift, which share the critical density."""
RELAXED_LIMIT = 0.1


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
        The store, by name, folder or URL; what lies at a URL is copied to a temporary folder.
    deep
        Recompute totals and statistics from the maps, and look for near-duplicates across splits.
    against
        Another store: no train region of one may be a test region of the other.

    Raises
    ------
    InputError
        Where there is no finished store to check.
    """
    place = resolve_store(path)
    if is_url(place):
        with tempfile.TemporaryDirectory() as folder:
            copy_store(str(place), read_manifest(place), Path(folder), check=False)
            return verify(folder, deep=deep, against=against)
    store = Path(place)
    if (store / "seal.json").is_file():
        raise InputError(
            f"{store} is a sealed truth, without the maps of train and validation: verify what was sealed"
        )
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
        _run(report, "halos", check_halos, store)
        _run(report, "totals", check_totals, store)
        # A part of a published store keeps the statistics of the whole train split.
        if "part_of" not in open_group(store).attrs:
            _run(report, "statistics", check_statistics, store)
        _run(report, "duplicates", check_duplicates, store)
    if against is not None:
        report.checks["against"], problems = check_against(store, against)
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
    content, wrong = parse_manifest(data)
    report.checks["manifest"] = 1
    if wrong:
        report.problems.append(f"{MANIFEST} {wrong}")
        return {}
    check_schema_version(store, content.get("schema_version"))
    files: dict[str, Any] = content["files"]
    return files


def _check_files(store: Path, files: dict[str, Any], report: Report) -> None:
    if not files:
        return
    for name, wanted in progress(files.items(), desc="checksums", unit="file"):
        file = store / name
        if file.is_symlink() or not file.is_file():
            report.problems.append(f"{name} is {'a link' if file.is_symlink() else 'missing'}")
        elif file.stat().st_size != wanted["bytes"]:
            report.problems.append(f"{name} has {file.stat().st_size} bytes, not {wanted['bytes']}")
        elif sha256_file(file) != wanted["sha256"]:
            report.problems.append(f"{name} does not match its checksum")
    report.checks["files"] = len(files)
    known = {*files, *OUTSIDE}
    for place in sorted(store.rglob("*")):
        name = place.relative_to(store).as_posix()
        if place.is_symlink() and name not in files:
            report.problems.append(f"{name} is a link")
        elif not place.is_dir() and name not in known:
            report.problems.append(f"{name} is not in the manifest")
    try:
        wrong = self_check((store / PROVENANCE).read_bytes())
    except FileNotFoundError:
        wrong = "is missing"
    if wrong:
        report.problems.append(f"{PROVENANCE} {wrong}")


def check_recipe(attrs: Mapping[str, Any]) -> list[str]:
    """The root's recipe against its checksum and against what the root says of the data."""
    text = str(attrs["recipe"])
    problems = []
    if sha256_bytes(text.encode()) != attrs["recipe_sha256"]:
        problems.append("the root's recipe does not match recipe_sha256")
    try:
        kind = yaml.safe_load(text)["simulation"]["kind"]
    except (yaml.YAMLError, LookupError, TypeError):
        return problems
    if kind == "synthetic" and attrs["synthetic"] is not True:
        problems.append("the root says that a synthetic recipe's maps are not synthetic")
    return problems


def check_schema(store: Path) -> tuple[int, list[str]]:
    """Every name, dimension, type, unit and attribute of the schema, and every chunk that must be there."""
    problems: list[str] = []
    root = open_group(store)
    problems += [
        f"the root lacks the attribute {name}" for name in schema.ROOT_ATTRS if name not in root.attrs
    ]
    if problems:
        return len(schema.ROOT_ATTRS), problems
    problems += check_recipe(root.attrs)
    layout = Layout.of_store(store)
    units = {v.name: v.units for v in layout.maps}
    if units.get(schema.TARGET, schema.MASS_UNITS) != schema.MASS_UNITS:
        problems.append(f"train/{schema.TARGET} is in {units[schema.TARGET]}, not in {schema.MASS_UNITS}")
    looked = len(schema.ROOT_ATTRS)
    for split in schema.SPLITS:
        group = root[split]
        n = layout.splits[split]
        wanted = [
            *layout.map_variables(split),
            *schema.halo_variables(group).values(),
            *schema.LOS_VARIABLES.values(),
            *schema.AXIS_VARIABLES.values(),
            *(schema.total_variable(v.name, times_kpc2(v.units), v.long_name) for v in layout.maps),
            schema.ROW_CHECKSUM,
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
            for name, text in variable.attrs().items():
                if not array.attrs.get(name):
                    problems.append(f"{where} lacks the attribute {name}")
                elif name != "long_name" and array.attrs[name] != text:
                    problems.append(f"{where} has {name} {array.attrs[name]!r}, not {text!r}")
            problems += [
                f"{where} lacks its chunk {chunk}"
                for chunk in _chunks(layout, variable, split, shape)
                if not (store / where / "c" / chunk).is_file()
            ]
        if not problems:
            problems += _check_lines_of_sight(
                split, *(read_array(store, group, k) for k in schema.LOS_VARIABLES)
            )
    if not problems:
        problems += [
            f"statistics/{name} lacks its chunk"
            for name, array in root["statistics"].arrays()
            if array.size and not (store / "statistics" / name / "c" / "/".join("0" * array.ndim)).is_file()
        ]
    return looked, problems


def _chunks(layout: Layout, variable: schema.Variable, split: str, shape: tuple[int, ...]) -> list[str]:
    if variable.dims == schema.MAP_DIMS:
        return [f"{shard}/0/0/0" for shard in range(layout.shards(split))]
    return ["/".join("0" * len(shape))] if math.prod(shape) else []


def _check_lines_of_sight(split: str, vectors: NDArray[np.float64], ups: NDArray[np.float64]) -> list[str]:
    problems = [
        f"{split}/{name} holds vectors that are not of length 1"
        for name, values in zip(schema.LOS_VARIABLES, (vectors, ups), strict=True)
        if not np.allclose(np.linalg.norm(values, axis=1), 1.0, atol=1e-9)
    ]
    if not np.allclose((vectors * ups).sum(axis=1), 0.0, atol=1e-9):
        problems.append(f"{split}/los_up is not at right angles to los_vector")
    return problems


def check_splits(store: Path) -> tuple[int, list[str]]:
    """Each halo once, and each region in one split."""
    root = open_group(store)
    problems: list[str] = []
    seen: dict[HaloKey, str] = {}
    region_in: dict[int, str] = {}
    for split in schema.SPLITS:
        columns = halo_columns(store, root[split], KEY)
        for key in halo_keys(columns):
            if key in seen:
                problems.append(f"the halo {key} is in {seen[key]} and again in {split}")
            seen[key] = split
        for region in np.unique(columns["region"]).tolist():
            if region in region_in:
                problems.append(f"region {region} is in {region_in[region]} and in {split}")
            region_in[region] = split
    return len(seen), problems


def check_halos(store: Path) -> tuple[int, list[str]]:
    """Values of each halo against each other: masses and radii, ``relaxed``, and the row's checksum."""
    layout = Layout.of_store(store)
    root = open_group(store)
    problems: list[str] = []
    densities: dict[tuple[str, float], list[tuple[str, float]]] = {}
    for split in schema.SPLITS:
        columns = halo_columns(store, root[split])
        keys = halo_keys(columns)
        for view in layout.views:
            columns[f"total_{view}"] = read_array(store, root[split], f"total_{view}")
        stored = read_array(store, root[split], "row_checksum")
        moved = np.flatnonzero(stored != schema.row_checksums(columns, layout.views))
        problems += [
            f"the values of halo {keys[row]} of {split} do not match their row_checksum" for row in moved
        ]
        calm = (columns["com_offset"] < RELAXED_LIMIT) & ~(columns["f_sub"] >= RELAXED_LIMIT)
        wrong = np.flatnonzero(calm != (columns["relaxed"] == 1))
        problems += [
            f"relaxed of halo {keys[row]} of {split} does not follow from com_offset and f_sub"
            for row in wrong
        ]
        for overdensity in (200, 500):
            mass, radius = columns[f"M{overdensity}c"], columns[f"R{overdensity}c"]
            with np.errstate(divide="ignore", invalid="ignore"):
                critical = mass / (overdensity * 4.0 / 3.0 * np.pi * radius**3)
            for row, value in enumerate(critical.tolist()):
                where = f"M{overdensity}c and R{overdensity}c of halo {keys[row]} of {split}"
                simulation = (keys[row].simulation, float(columns["redshift"][row]))
                densities.setdefault(simulation, []).append((where, value))
    for parts in densities.values():
        usual = float(np.nanmedian([value for _, value in parts]))
        problems += [
            f"{where} do not fit each other"
            for where, value in parts
            if abs(value / usual - 1) > DENSITY_TOLERANCE
        ]
    return sum(layout.splits.values()), problems


def check_totals(store: Path) -> tuple[int, list[str]]:
    """Sums of the maps against the totals that came from the particles; finite, not negative."""
    layout = Layout.of_store(store)
    root = open_group(store)
    problems: list[str] = []
    looked = 0
    for split in schema.SPLITS:
        row = 0
        totals = {view: read_array(store, root[split], f"total_{view}") for view in layout.views}
        names = [v.name for v in layout.map_variables(split)]
        for shard in iter_shards(store, split, names):
            area = (layout.grid.pixel * shard.halos["R200c"]) ** 2
            for name, maps in shard.maps.items():
                where = f"{split}/{name}"
                if not np.isfinite(maps).all() or (name not in layout.signed and (maps < 0).any()):
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
                scale = np.abs(wanted)
                if name in layout.signed:  # what cancels leaves the rounding of what there was
                    scale = np.abs(maps).sum(axis=(2, 3), dtype=np.float64) * area[:, None]
                off = np.abs(sums - wanted) > TOTAL_TOLERANCE * np.maximum(scale, 1e-300)
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
    if list(kept) != list(total):
        return 0, [f"statistics are of {', '.join(kept)}, the store holds {', '.join(total)}"]
    problems = []
    for view, of_maps in total.items():
        there = kept[view]
        for name in ("count", "zeros", "mean", "std", "minimum", "maximum"):
            a, b = getattr(there, name), getattr(of_maps, name)
            tolerance = 0 if isinstance(b, int) else STATISTICS_TOLERANCE
            if not np.isclose(a, b, rtol=tolerance, atol=0, equal_nan=True):
                problems.append(f"statistics/{view}: {name} is {a:.8g}, of the maps {b:.8g}")
        moved = int(np.abs(there.histogram - of_maps.histogram).sum())
        moved += int(np.abs(there.negative - of_maps.negative).sum())
        if moved > STATISTICS_TOLERANCE * max(of_maps.count, 1):
            problems.append(f"statistics/{view}: the histogram does not match the maps")
    if kept.climatology is not None and total.climatology is not None:
        for name in ("climatology", "scaled_climatology"):
            a, b = (getattr(each.climatology, name) for each in (kept, total))
            if not np.allclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True):
                problems.append(f"statistics/{name} does not match the maps")
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


def check_against(store: str | Path, other: str | Path) -> tuple[int, list[str]]:
    """No train or validation region of one store is a test region of the other, and no halo looks like one.

    Region numbers mean something between stores of one simulation; maps do between all.
    """
    other = resolve_store(other)
    layouts = {name: Layout.of_store(name) for name in (store, other)}
    same = same_regions(layouts[store].attrs, layouts[other].attrs)
    regions = {
        (name, split): set(read_array(name, open_group(name)[split], "region").tolist())
        for name in layouts
        for split in schema.SPLITS
    }
    mapped = all(schema.TARGET in layout.views for layout in layouts.values())
    coarse = {place: CoarseSplit.read(*place) for place in regions} if mapped else {}
    problems = []
    for a, b in dict.fromkeys(((store, other), (other, store))):
        for seen in ("train", "validation"):
            shared = sorted(regions[a, seen] & regions[b, "test"]) if same else []
            problems += [f"region {region} is in {seen} of {a} and in test of {b}" for region in shared]
            if coarse:
                problems += [
                    f"halo {d.key_a} in {seen} of {a} and halo {d.key_b} in test of {b} look the same"
                    f" (correlation {d.correlation:.4f})"
                    for d in copies_between(coarse[a, seen], coarse[b, "test"])
                    if d.key_a.region not in shared
                ]
    return sum(len(r) for r in regions.values()), problems


def same_regions(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether region numbers of two stores mean the same volumes: both real, or of one synthetic seed."""
    if a.get("synthetic") != b.get("synthetic"):
        return False
    if not a.get("synthetic"):
        return True
    seeds = [((yaml.safe_load(x["recipe"]) or {}).get("simulation") or {}).get("seed") for x in (a, b)]
    return bool(seeds[0] == seeds[1])
