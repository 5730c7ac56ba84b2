"""A finished store as xarray sees it: one Dataset a split, with every name, dimension and unit in place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import open_group
from three_hundred_maps.store.manifest import read_manifest, unfinished_message
from three_hundred_maps.store.names import is_url, resolve_store, zarr_place
from three_hundred_maps.store.statistics import Statistics, read_statistics

if TYPE_CHECKING:
    import xarray


class Store(Mapping[str, "xarray.Dataset"]):
    """The splits of a store by name, opened lazily.

    Parameters
    ----------
    path
        The name of a config, a folder, or any fsspec URL (``hf://datasets/org/name/...``, ``s3://...``).
    """

    def __init__(self, path: str | Path) -> None:
        path = resolve_store(path)
        self.path = str(path)
        root = open_group(path)
        if any(split not in root or "region" not in root[split] for split in schema.SPLITS):
            raise InputError(unfinished_message(path))
        if not is_url(path):
            for name in read_manifest(path)["files"]:
                if not os.path.exists(f"{path}/{name}"):
                    raise InputError(
                        f"{path}/{name} is missing: the store is not whole; build or download it again"
                    )
        self.attrs: dict[str, Any] = dict(root.attrs)

    def __getitem__(self, split: str) -> xarray.Dataset:
        if split not in schema.SPLITS:
            raise KeyError(f"no split {split!r}: a store has {', '.join(schema.SPLITS)}")
        import xarray

        return xarray.open_zarr(zarr_place(self.path), group=split, chunks=None)

    def __iter__(self) -> Iterator[str]:
        return iter(schema.SPLITS)

    def __len__(self) -> int:
        return len(schema.SPLITS)

    def __repr__(self) -> str:
        return f"Store({self.path!r}, name={self.attrs['name']!r}, views={self.attrs['views']})"

    @cached_property
    def statistics(self) -> Statistics:
        """Statistics of the train split, by view, with the target's climatology."""
        return read_statistics(self.path)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Every file with its checksum; the numbers of halos; those refused."""
        return read_manifest(self.path)


def open_store(path: str | Path) -> Store:
    """Open a finished store by name, path or URL.

    Examples
    --------
    >>> store = open_store("STORE")                       # doctest: +SKIP
    >>> store["train"]["sz"].mean("los")                  # doctest: +SKIP

    Raises
    ------
    InputError
        Where there is no store, an unfinished one, one of another schema, or one that lacks a file.
    """
    return Store(path)
