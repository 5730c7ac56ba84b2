"""What a model predicts from: a split of a store, or the sealed inputs of a test, which hold no truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.store.arrays import read_split, root_attrs, split_length, store_digest
from three_hundred_maps.torch_data import check_views

BLOCK_HALOS = 4
SEALED_KEY = "key"


@dataclass(frozen=True)
class Inputs:
    """Maps to predict from, block by block.

    Parameters
    ----------
    path, split
        Where they lie.
    name, digest
        Of the data set, as a submission states them.
    views
        The names of the maps that are there.
    grid
        Of the maps.
    keys
        The halos' keys: region, snapshot and halo_id, or the opaque ``key`` of sealed inputs.
    """

    path: Path
    split: str
    name: str
    digest: str
    views: tuple[str, ...]
    grid: MapGrid
    keys: Mapping[str, np.ndarray]
    sealed: bool

    def __len__(self) -> int:
        return len(next(iter(self.keys.values())))

    @staticmethod
    def open(path: Path, split: str, views: Sequence[str]) -> Inputs:
        """Of a store's split or of sealed inputs; InputError where a view that is needed is not there."""
        import zarr

        root = zarr.open_group(str(path), mode="r")
        if not root.attrs.get("sealed"):
            check_views(path, split, views)
            if split_length(path, split) == 0:
                raise InputError(f"{path} has no halos in its split {split}")
            halos = read_split(path, split, []).halos
            keys = {name: halos[name] for name in ("region", "snapshot", "halo_id")}
            name = str(root_attrs(path)["name"])
            return Inputs(
                path,
                split,
                name,
                store_digest(path),
                tuple(views),
                MapGrid.from_attrs(root_attrs(path), path),
                keys,
                False,
            )
        attrs: dict[str, Any] = dict(root.attrs)
        missing = [view for view in views if view not in attrs["views"]]
        if missing:
            raise InputError(f"{path} has no view {missing[0]!r}; it has {', '.join(attrs['views'])}")
        if split not in root:
            raise InputError(f"{path} are the sealed inputs of the split test; they have no split {split}")
        keys = {SEALED_KEY: np.asarray(zarr.open_array(path / split / SEALED_KEY, mode="r")[...])}
        grid = MapGrid.from_attrs(attrs, path)
        name, digest = str(attrs["dataset"]), str(attrs["dataset_digest"])
        return Inputs(path, split, name, digest, tuple(views), grid, keys, True)

    def blocks(self) -> Iterator[np.ndarray]:
        """(halo, los, view, y, x) raw maps of a few halos at a time, in the order of ``keys``."""
        for first in range(0, len(self), BLOCK_HALOS):
            rows = slice(first, min(first + BLOCK_HALOS, len(self)))
            if self.sealed:
                import zarr

                maps = [
                    np.asarray(zarr.open_array(self.path / self.split / view, mode="r")[rows])
                    for view in self.views
                ]
            else:
                arrays = read_split(self.path, self.split, list(self.views), rows)
                maps = [arrays.maps[view] for view in self.views]
            yield np.stack(maps, axis=2)
