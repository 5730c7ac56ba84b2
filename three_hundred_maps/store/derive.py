"""Stores made of stores, through the same writer: a subset of one, or several joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import canonical_json, sha256_bytes
from three_hundred_maps.keys import KEY, HaloKey, halo_keys
from three_hundred_maps.progress import progress
from three_hundred_maps.simulation.tables import join, take
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import halo_columns, open_group, read_array, read_split, store_digest
from three_hundred_maps.store.duplicates import CORRELATION, map_correlation
from three_hundred_maps.store.finishing import finalise, tidy
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.lock import store_lock
from three_hundred_maps.store.manifest import MANIFEST, read_manifest
from three_hundred_maps.store.names import checked_name, shortened
from three_hundred_maps.store.notes import NOTICED, joined_attrs, subset_attrs
from three_hundred_maps.store.records import is_done
from three_hundred_maps.store.writer import create_store, write_shard


@dataclass(frozen=True)
class Row:
    """A halo of a source store."""

    store: Path
    split: str
    row: int
    key: HaloKey


def subset(
    path: str | Path,
    out: str | Path,
    *,
    views: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    halos: int | None = None,
    regions: Sequence[int] | None = None,
    los: int | None = None,
    name: str | None = None,
) -> Path:
    """Write a smaller store.

    Parameters
    ----------
    path, out
        The store, and a new folder.
    views, splits
        Names to keep; all by default.
    halos
        At most so many halos a split: the first.
    regions
        Regions to keep.
    los
        Keep the first so many lines of sight.
    name
        Of the new store; by default the old one's with ``-subset-`` and a digest of what was chosen: the
        benchmark tells data sets by name and recipe, and the recipe stays that of ``path``.

    Raises
    ------
    InputError
        For names or numbers that the store has not, or when nothing would be left.
    """
    source = find_store(path)
    layout = Layout.of_store(source)
    unknown = [view for view in views or () if view not in layout.views]
    unknown += [split for split in splits or () if split not in schema.SPLITS]
    if unknown:
        have = f"views {', '.join(layout.views)}; splits {', '.join(schema.SPLITS)}"
        raise InputError(f"{source} has no {', '.join(unknown)}; it has {have}")
    if los is not None and not 1 <= los <= layout.n_los:
        raise InputError(f"--los {los}: this store has {layout.n_los} lines of sight")
    if halos is not None and halos < 1:
        raise InputError(f"--halos {halos}: at least 1")
    rows = _rows_of(source)
    every = {split: len(items) for split, items in rows.items()}
    for split in schema.SPLITS:
        kept = rows[split] if splits is None or split in splits else []
        if regions is not None:
            kept = [row for row in kept if row.key.region in set(regions)]
        rows[split] = kept[:halos]
    if not any(rows.values()):
        raise InputError("the subset would hold no halo")
    kept_views = tuple(v for v in layout.maps if views is None or v.name in views)
    n_los = los or layout.n_los
    chosen: dict[str, Any] = {
        "views": [v.name for v in kept_views],
        "splits": list(splits or schema.SPLITS),
        "halos_a_split": halos,
        "regions": None if regions is None else sorted(regions),
        "lines_of_sight": n_los,
    }
    whole = every == {split: len(items) for split, items in rows.items()}
    noticed = subset_attrs(layout.attrs, chosen["views"], whole=whole)
    derived = {"subset_of": store_digest(source), **chosen}
    default = f"{layout.attrs['name']}-subset-{sha256_bytes(canonical_json(chosen))[:8]}"
    made = replace(
        layout,
        maps=kept_views,
        vectors=layout.vectors[:n_los],
        ups=layout.ups[:n_los],
        half=layout.half and schema.TARGET in {v.name for v in kept_views},
        attrs={**noticed, "name": name or shortened(default), "derived": derived},
    )
    manifest = read_manifest(source)
    listed = {"planned": manifest["halos_planned"], "refused": manifest["refused"]} if whole else {}
    return _write(Path(out), made, rows, **listed)


def merge(paths: Sequence[str | Path], out: str | Path, *, name: str | None = None) -> Path:
    """Join stores of one kind into one; halos keep their splits.

    Its name is by default those of the stores and a digest of their recipes. The halos that the stores had
    excluded stay listed.

    Raises
    ------
    InputError
        Where views, lines of sight or map grids differ, a halo is in two stores (by its key, or by what was
        measured of it), or a region would come to lie in two splits.
    """
    sources = [find_store(path) for path in paths]
    if len(sources) < 2:
        raise InputError("merge needs at least two stores")
    layouts = [Layout.of_store(source) for source in sources]
    first = layouts[0]
    for source, layout in zip(sources[1:], layouts[1:], strict=True):
        different = _differences(first, layout)
        if different:
            raise InputError(
                f"{sources[0]} and {source} cannot be joined: they differ in {', '.join(different)}"
            )
    rows: dict[str, list[Row]] = {split: [] for split in schema.SPLITS}
    seen: dict[HaloKey, Path] = {}
    region_in: dict[int, tuple[str, Path]] = {}
    for source in sources:
        for split, items in _rows_of(source).items():
            for item in items:
                if item.key in seen:
                    raise InputError(f"the halo {item.key} is in {seen[item.key]} and in {source}")
                other, where = region_in.setdefault(item.key.region, (split, source))
                if other != split:
                    raise InputError(
                        f"region {item.key.region} is in {other} of {where} and in {split} of {source}:"
                        " joined, they would leak"
                    )
                seen[item.key] = source
            rows[split] += items
    _require_no_copies(sources)
    ordered = {split: sorted(items, key=lambda item: item.key) for split, items in rows.items()}
    attrs = {key: value for key, value in first.attrs.items() if key not in NOTICED}
    attrs |= joined_attrs([layout.attrs for layout in layouts])
    recipes = [layout.attrs["recipe_sha256"] for layout in layouts]
    names = dict.fromkeys(str(layout.attrs["name"]) for layout in layouts)
    # The benchmark tells data sets by name and recipe, and the recipe is the first store's.
    digest = sha256_bytes(canonical_json(sorted(recipes)))
    attrs["name"] = name or shortened(f"{'-'.join(names)}-{digest[:8]}")
    attrs["derived"] = {
        "merge_of": [store_digest(source) for source in sources],
        "recipes": recipes,
    }
    made = replace(first, half=all(layout.half for layout in layouts), attrs=attrs)
    manifests = [read_manifest(source) for source in sources]
    planned = {split: sum(m["halos_planned"][split] for m in manifests) for split in schema.SPLITS}
    refused = [item for manifest in manifests for item in manifest["refused"]]
    return _write(Path(out), made, ordered, planned=planned, refused=refused)


MEASURED = ("redshift", "M200c", "M500c", "f_gas_500", "f_star_500")
CLOSE, EQUAL = 2e-2, 2e-4
"""Relative differences of `MEASURED`: of one cluster around the centres of two catalogues, and around one."""


def _require_no_copies(sources: Sequence[Path]) -> None:
    """InputError where two sources hold one cluster under two keys, by its measured values and its maps.

    The same initial conditions under two codes are no copies: their gas and stars differ.
    """
    splits = [
        [(source, split, halo_columns(source, open_group(source)[split])) for split in schema.SPLITS]
        for source in sources
    ]
    mapped = schema.TARGET in Layout.of_store(sources[0]).views
    for first, second in combinations(splits, 2):
        for (a, split_a, in_a), (b, split_b, in_b) in product(first, second):
            near = np.logical_and.reduce(
                [np.isclose(in_a[k][:, None], in_b[k], rtol=CLOSE if mapped else EQUAL) for k in MEASURED]
            )
            for i, j in np.argwhere(near).tolist():
                if mapped and map_correlation((a, split_a, i), (b, split_b, j)) < CORRELATION:
                    continue
                raise InputError(
                    f"halo {halo_keys(in_a)[i]} of {a} and halo {halo_keys(in_b)[j]} of {b} are the same"
                    " cluster: two builds of one simulation are not joined"
                )


def _differences(a: Layout, b: Layout) -> list[str]:
    same = {
        "views": a.maps == b.maps,
        "lines of sight": np.array_equal(a.vectors, b.vectors) and np.array_equal(a.ups, b.ups),
        **{name: value == b.grid.attrs()[name] for name, value in a.grid.attrs().items()},
        "synthetic": a.attrs["synthetic"] == b.attrs["synthetic"],
        "instruments": _instruments(a) == _instruments(b),
    }
    return [name for name, equal in same.items() if not equal]


def _instruments(layout: Layout) -> tuple[Any, ...]:
    """What the views were seen with, and at which redshifts: units and names of all levels are the same."""
    return layout.attrs.get("observed", {}).get("redshifts"), [layout.view_attrs(v) for v in layout.views]


def _rows_of(source: Path) -> dict[str, list[Row]]:
    read_manifest(source)
    root = open_group(source)
    rows = {}
    for split in schema.SPLITS:
        keys = halo_keys(halo_columns(source, root[split], KEY))
        rows[split] = [Row(source, split, row, key) for row, key in enumerate(keys)]
    return rows


def _write(
    out: Path,
    layout: Layout,
    rows: Mapping[str, Sequence[Row]],
    *,
    planned: Mapping[str, int] | None = None,
    refused: Sequence[Mapping[str, Any]] = (),
) -> Path:
    layout = layout.with_splits({split: len(rows[split]) for split in schema.SPLITS})

    stores = {row.store for chosen in rows.values() for row in chosen}
    optional = set(schema.OPTIONAL_VARIABLES).intersection(*(open_group(s)["train"] for s in stores))
    columns = list(schema.halo_variables(optional))  # what all of the stores say

    def fill(out: Path, places: Sequence[tuple[str, int]]) -> None:
        for split, shard in progress(places, desc=str(layout.attrs["name"]), unit="shard"):
            chosen = rows[split][shard * layout.shard_halos : (shard + 1) * layout.shard_halos]
            write_shard(out, split, shard, *_gather(layout, split, chosen, columns), layout=layout)

    return write_derived(out, layout, fill, planned=planned, refused=refused)


def write_derived(
    out: Path,
    layout: Layout,
    fill: Callable[[Path, Sequence[tuple[str, int]]], None],
    *,
    planned: Mapping[str, int] | None = None,
    refused: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write a store that is made of others; resume one that was begun, return one that is finished.

    Parameters
    ----------
    out, layout
        Its folder, and what it looks like.
    fill
        Writes the shards that are not done: given the folder, and their places (split, shard).
    planned, refused
        As `three_hundred_maps.store.finishing.finalise`.

    Raises
    ------
    InputError
        Where the folder holds another store or other things, or the name cannot be a folder's.
    """
    checked_name(layout.attrs["name"], "--name: the name of the store")
    if (out / MANIFEST).exists():
        if _settings(Layout.of_store(out)) != _settings(layout):
            raise InputError(f"{out} is another finished store; give a new folder")
        tidy(out)
        return out
    out.mkdir(parents=True, exist_ok=True)
    with store_lock(out):
        create_store(out, layout)
        fill(out, [place for place in layout.all_shards() if not is_done(out, layout, *place)])
        finalise(out, locked=True, planned=planned, refused=refused)
    return out


def _settings(layout: Layout) -> dict[str, Any]:
    """The root attributes that are known before the store is finished."""
    return {key: value for key, value in layout.attrs.items() if key not in NOTICED}


def _gather(
    layout: Layout, split: str, rows: Sequence[Row], columns: Sequence[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Maps, totals and halo values of some rows, read in runs of neighbours."""
    names = [v.name for v in layout.map_variables(split)]
    parts = []
    for _, items in groupby(enumerate(rows), lambda item: (item[1].store, item[1].row - item[0])):
        run = [row for _, row in items]
        first, place = run[0], slice(run[0].row, run[-1].row + 1)
        data = read_split(first.store, first.split, names, place)
        group = open_group(first.store)[first.split]
        totals = {view: read_array(first.store, group, f"total_{view}")[place] for view in layout.views}
        kept = take((data.maps, totals), (slice(None), slice(layout.n_los)))
        parts.append((*kept, {name: data.halos[name] for name in columns}))
    return join(parts)
