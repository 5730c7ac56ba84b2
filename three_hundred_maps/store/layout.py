"""What a store looks like before a map is drawn: names, shapes, attributes; and its Zarr metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.io import canonical_json, sha256_bytes
from three_hundred_maps.keys import KEY
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import open_group, read_array
from three_hundred_maps.store.hierarchy import Hierarchy
from three_hundred_maps.store.manifest import unfinished_message
from three_hundred_maps.store.names import resolve_store
from three_hundred_maps.store.schema import Variable

PROJECTION = "orthographic along los_vector, summed over the depth; +y is los_up, +x is los_up x los_vector"
LAYOUT_FILE = "progress/layout.json"


@dataclass(frozen=True)
class Layout:
    """Everything that fixes a store's shape and metadata.

    Parameters
    ----------
    maps
        One `schema.map_variable` a view, in order.
    splits
        Number of halos of each split.
    vectors, ups
        (los, 3) lines of sight: unit vectors to the observer, and of the maps' +y.
    grid
        Pixels, width, depth and smoothing of the maps.
    shard_halos
        Halos a shard.
    attrs
        Root attributes; all of `schema.ROOT_ATTRS` but schema_version.
    half
        Whether the test split carries `schema.HALF`.
    """

    maps: tuple[Variable, ...]
    splits: Mapping[str, int]
    vectors: NDArray[np.float64]
    ups: NDArray[np.float64]
    grid: MapGrid = MapGrid()
    shard_halos: int = 32
    attrs: Mapping[str, Any] = field(default_factory=dict)
    half: bool = True

    def __post_init__(self) -> None:
        for variable in self.maps:
            if variable.dims != schema.MAP_DIMS or variable.dtype != "float32":
                raise InputError(f"view {variable.name!r}: maps are float32 over {schema.MAP_DIMS}")
            for name, text in variable.attrs().items():
                if not text:
                    raise InputError(
                        f"view {variable.name!r} has no {name}: every variable must say its {name}"
                    )
        if len({v.name for v in self.maps}) != len(self.maps) or not self.maps:
            raise InputError("a store needs at least one view, each named once")
        missing = [name for name in schema.ROOT_ATTRS if name not in self.attrs and name != "schema_version"]
        if missing:
            raise InputError(f"the store's attributes lack {', '.join(missing)}")

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views."""
        return tuple(variable.name for variable in self.maps)

    @property
    def n_los(self) -> int:
        """Lines of sight a halo."""
        return len(self.vectors)

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """(los, y, x) of a halo's maps."""
        return (self.n_los, self.grid.pixels, self.grid.pixels)

    def view_attrs(self, view: str) -> dict[str, Any]:
        """What the root's ``view_attrs`` say of a view: its instrument, and whether it is ``signed``."""
        return dict(self.attrs.get("view_attrs", {}).get(view, {}))

    @property
    def signed(self) -> frozenset[str]:
        """Views whose maps may be below 0."""
        return frozenset(view for view in self.views if self.view_attrs(view).get("signed"))

    def map_variables(self, split: str) -> tuple[Variable, ...]:
        """The map variables of a split: those of the views, and in the test split the half-sample's."""
        if split != "test" or not self.half or schema.TARGET not in self.views:
            return self.maps
        target = next(v for v in self.maps if v.name == schema.TARGET)
        return (*self.maps, schema.half_variable(target))

    def shards(self, split: str) -> int:
        """Number of shards of a split."""
        return -(-self.splits[split] // self.shard_halos)

    def shard_rows(self, split: str, shard: int) -> int:
        """Number of rows planned for a shard."""
        if not 0 <= shard < self.shards(split):
            raise InputError(f"{split} has {self.shards(split)} shards; there is none of number {shard}")
        return min(self.shard_halos, self.splits[split] - shard * self.shard_halos)

    def all_shards(self) -> list[tuple[str, int]]:
        """Every (split, shard), in order."""
        return [(split, shard) for split in schema.SPLITS for shard in range(self.shards(split))]

    def with_splits(self, splits: Mapping[str, int]) -> Layout:
        """The same with other numbers of halos."""
        return replace(self, splits=dict(splits))

    def root_attrs(self) -> dict[str, Any]:
        """The root group's attributes."""
        return {
            **self.attrs,
            "schema_version": schema.SCHEMA_VERSION,
            "views": list(self.views),
            **self.grid.attrs(),
            "shard_halos": self.shard_halos,
        }

    def to_json(self) -> dict[str, Any]:
        """As a progress folder keeps it."""
        return {
            "schema_version": schema.SCHEMA_VERSION,
            "maps": [[v.name, v.units, v.long_name] for v in self.maps],
            "splits": dict(self.splits),
            "vectors": self.vectors.tolist(),
            "ups": self.ups.tolist(),
            **self.grid.attrs(),
            "shard_halos": self.shard_halos,
            "attrs": dict(self.attrs),
            "half": self.half,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Layout:
        """The inverse of `to_json`."""
        return Layout(
            maps=tuple(schema.map_variable(*item) for item in value["maps"]),
            splits=value["splits"],
            vectors=np.array(value["vectors"], np.float64).reshape(-1, 3),
            ups=np.array(value["ups"], np.float64).reshape(-1, 3),
            grid=MapGrid.from_attrs(value, LAYOUT_FILE),
            shard_halos=value["shard_halos"],
            attrs=value["attrs"],
            half=value["half"],
        )

    @staticmethod
    def of_store(path: str | Path) -> Layout:
        """The layout of a finished store.

        Raises
        ------
        InputError
            Where there is no store, or one that is not finished.
        """
        path = resolve_store(path)
        root = open_group(path)
        attrs = dict(root.attrs)
        if any(split not in root or "region" not in root[split] for split in schema.SPLITS):
            raise InputError(unfinished_message(path))
        train = root["train"]
        grid, shard_halos = MapGrid.from_attrs(attrs, path), int(attrs["shard_halos"])
        views = attrs["views"]
        for name in ("schema_version", "views", "shard_halos", *grid.attrs()):
            del attrs[name]
        return Layout(
            maps=tuple(
                schema.map_variable(v, train[v].attrs["units"], train[v].attrs["long_name"]) for v in views
            ),
            splits={split: int(root[split]["region"].shape[0]) for split in schema.SPLITS},
            vectors=read_array(path, train, "los_vector"),
            ups=read_array(path, train, "los_up"),
            grid=grid,
            shard_halos=shard_halos,
            attrs=attrs,
            half=schema.HALF in root["test"],
        )

    def digest(self) -> str:
        """Digest of the layout, numbers of halos left out (refused halos change them)."""
        return sha256_bytes(canonical_json({k: v for k, v in self.to_json().items() if k != "splits"}))

    def hierarchy(self) -> Hierarchy:
        """The store's groups and map arrays, without data."""
        found = Hierarchy()
        found.add_group("", self.root_attrs())
        for split in schema.SPLITS:
            found.add_group(split, {"split": split})
            for variable in self.map_variables(split):
                attrs = {
                    **variable.attrs(),
                    "projection": PROJECTION,
                    **{name: value for name, value in self.grid.attrs().items() if name != "pixels"},
                    "coordinates": " ".join((*KEY, "redshift")),
                    **self.view_attrs(variable.name),
                }
                shape = (self.splits[split], *self.map_shape)
                found.add_maps(f"{split}/{variable.name}", shape, self.shard_halos, variable.dims, attrs)
        return found

    def axes(self) -> dict[str, tuple[Variable, NDArray[Any]]]:
        """Lines of sight and pixel centres, as variables with values."""
        centres = self.grid.centres.astype(np.float32)
        return {
            "los_vector": (schema.LOS_VARIABLES["los_vector"], self.vectors),
            "los_up": (schema.LOS_VARIABLES["los_up"], self.ups),
            "y": (schema.AXIS_VARIABLES["y"], centres),
            "x": (schema.AXIS_VARIABLES["x"], centres),
        }
