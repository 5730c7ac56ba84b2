"""A store against the snapshots it came from: a seeded sample of halos is measured and mapped again."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from three_hundred_maps.builder.halo import Excluded, LoadedRegion, map_halo
from three_hundred_maps.builder.plan import make_plan, sources_for
from three_hundred_maps.builder.recipe import load_recipe
from three_hundred_maps.builder.scratch import member_folder
from three_hundred_maps.builder.shard import forget_region, load_region
from three_hundred_maps.builder.sources import Sources
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import HaloKey, halo_keys
from three_hundred_maps.progress import progress
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.splits import hash_order
from three_hundred_maps.store.writer import recipe_difference

SAMPLE = 8
VALUE_TOLERANCE = 1e-5
MAP_TOLERANCE = 1e-4
"""Largest difference of a pixel, against the map's largest."""


def remeasure(
    path: str | Path,
    recipe: str | Path,
    *,
    root: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    sample: int = SAMPLE,
    seed: int = 0,
) -> tuple[int, list[str]]:
    """Measure and map a seeded sample of a store's halos from their particles again.

    Parameters
    ----------
    path
        A finished store.
    recipe, root, overrides
        As it was built with.
    sample, seed
        How many halos, and which.

    Returns
    -------
    How many halos were looked at, and one line for each difference.
    """
    store = find_store(path)
    layout = Layout.of_store(store)
    content = load_recipe(recipe, overrides=overrides)
    if content.sha256() != layout.attrs["recipe_sha256"]:
        difference = recipe_difference(str(layout.attrs["recipe"]), content.canonical())
        raise InputError(f"{store} is of another recipe ({difference}): give the recipe it was built with")
    sources = sources_for(content, recipe, root)
    members = sources.members()
    of_key = {
        (members[c.member].recipe.simulation_id, *c.key): (c.member, c.place)
        for rows in make_plan(sources).rows.values()
        for c in rows
    }
    places = [
        (split, row, key)
        for split in schema.SPLITS
        for row, key in enumerate(halo_keys(read_split(store, split, []).halos))
    ]
    chosen = sorted(places, key=lambda place: hash_order("remeasure", seed, *place[2]))[:sample]
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="three_hundred_maps-") as scratch:
        for split, row, key in progress(sorted(chosen, key=lambda p: p[2]), desc="snapshots", unit="halo"):
            if tuple(key) not in of_key:  # of a store that was joined to that of this recipe
                problems.append(f"halo {key} of {split} is none of those that this recipe selects")
                continue
            number, place = of_key[tuple(key)]
            loaded = load_region(members[number], place, member_folder(Path(scratch), content, number))
            problems += _compare(store, layout, split, row, key, members[number], loaded)
        forget_region()
    return len(chosen), problems


def _compare(
    store: Path,
    layout: Layout,
    split: str,
    row: int,
    key: HaloKey,
    sources: Sources,
    loaded: LoadedRegion,
) -> list[str]:
    where = f"halo {key} of {split}"
    there = read_split(store, split, [v.name for v in layout.map_variables(split)], slice(row, row + 1))
    half = schema.HALF in there.maps
    try:
        made = map_halo(sources, loaded, key.halo_id, layout.vectors, layout.ups, half=half)
    except Excluded as reason:
        return [f"{where} would be excluded: {reason}"]
    problems = [
        f"{where}: {name} is {float(there.halos[name][0]):.8g}, measured {float(value):.8g}"
        for name, value in made.values.items()
        if not np.isclose(float(there.halos[name][0]), float(value), rtol=VALUE_TOLERANCE, equal_nan=True)
    ]
    for name, maps in there.maps.items():
        again = made.maps[name][0]
        off = float(np.abs(maps[0] - again).max()) / max(float(np.abs(again).max()), 1e-300)
        if off > MAP_TOLERANCE:
            problems.append(f"{where}: {name} differs from its particles by {off:.2g} of the largest pixel")
    return problems
