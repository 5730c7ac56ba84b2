"""What the baselines' command lines share: their manners, and where a store or a folder is."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import NoReturn

from three_hundred_maps.errors import InputError, error_handling
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.store.arrays import open_group, read_split, root_attrs, split_group
from three_hundred_maps.store.local import find_store

MANIFEST = "manifest.json"


def command_line(function: Callable[[list[str]], None]) -> Callable[..., NoReturn]:
    """``main`` of its arguments (by default the process's): exit status 0, or 2 with one clear line."""

    @functools.wraps(function)
    def main(args: Sequence[str] | None = None) -> NoReturn:
        with error_handling():
            function(list(sys.argv[1:] if args is None else args))
        raise SystemExit(0)

    return main


def find_stores(data: str) -> list[Path]:
    """The stores of ``A+B``, each as `find_store` finds it; a path that holds a + is one store."""
    if "+" not in data or Path(data).exists():
        return [find_store(data)]
    stores = [find_store(part.strip()) for part in data.split("+")]
    if len(set(stores)) != len(stores):
        raise InputError(f"a store is named twice: {data}")
    return stores


def check_together(stores: Sequence[Path], views: Sequence[str]) -> None:
    """InputError where a model cannot be trained on all of these stores.

    They must have one grid and one unit of each view, and no region that one of them trains on may be in the
    validation or test of another.
    """
    units = units_of(stores[0], views)
    grids = [MapGrid.from_attrs(root_attrs(store), store) for store in stores]
    for store, grid in zip(stores, grids, strict=True):
        check_units(store, "train", units)
        if ("observed" in root_attrs(store)) != ("observed" in root_attrs(stores[0])):
            raise InputError(f"of {stores[0]} and {store} one is as telescopes see it: train on either alone")
        if (grid.pixels, grid.width) != (grids[0].pixels, grids[0].width):
            raise InputError(
                f"maps of {stores[0]} have {grids[0].pixels} pixels over {grids[0].width:g} R200c, those of "
                f"{store} {grid.pixels} over {grid.width:g}: build both stores alike"
            )
    regions = {
        (store, split): set(read_split(store, split, []).halos["region"].tolist())
        for store in stores
        for split in ("train", "validation", "test")
    }
    for one, other in permutations(stores, 2):
        for split in ("validation", "test"):
            both = sorted(regions[one, "train"] & regions[other, split])
            if both:
                raise InputError(
                    f"region {both[0]} is in the split train of {one} and in {split} of {other}: a model "
                    "would be scored on what it was trained on; build both stores with the same splits"
                )


def units_of(store: Path, views: Sequence[str]) -> dict[str, str]:
    """The units of a store's views, by view."""
    train = open_group(store)["train"]
    return {view: train[view].attrs["units"] for view in views}


def check_units(store: Path, split: str, units: Mapping[str, str]) -> None:
    """InputError where a view of a split has other units than a model was trained in."""
    group, _ = split_group(store, split)
    for view, unit in units.items():
        here = group[view].attrs.get("units") if view in group else None
        if here not in (None, unit):
            raise InputError(
                f"{view} of {store} is in {here}, and trained on is {unit}: maps as telescopes see them and "
                "ideal ones are not the same input"
            )


def new_folder(path: Path, *, ours: str) -> Path:
    """A folder to write to: new, empty, or one that this program began (it holds the file ``ours``)."""
    if path.exists() and not path.is_dir():
        raise InputError(f"--out {path} is a file; give a folder")
    if path.is_dir() and any(path.iterdir()) and not (path / ours).is_file():
        raise InputError(f"--out {path} holds other things; give a new or empty folder")
    path.mkdir(parents=True, exist_ok=True)
    return path
