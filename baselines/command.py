"""What the baselines' command lines share: their manners, and where a store or a folder is."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import NoReturn

from three_hundred_maps.errors import InputError, error_handling
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.names import find_store

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
    return [find_store(part.strip()) for part in data.split("+")]


def check_apart(stores: Sequence[Path]) -> None:
    """InputError where a region that one store trains on is in the validation or test of another."""
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


def new_folder(path: Path, *, ours: str) -> Path:
    """A folder to write to: new, empty, or one that this program began (it holds the file ``ours``)."""
    if path.exists() and not path.is_dir():
        raise InputError(f"--out {path} is a file; give a folder")
    if path.is_dir() and any(path.iterdir()) and not (path / ours).is_file():
        raise InputError(f"--out {path} holds other things; give a new or empty folder")
    path.mkdir(parents=True, exist_ok=True)
    return path
