"""A finished store as xarray sees it: one Dataset a split, with every name, dimension and unit in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import open_group
from three_hundred_maps.store.manifest import read_manifest, unfinished_message
from three_hundred_maps.store.statistics import Statistics, read_statistics

if TYPE_CHECKING:
    import xarray


class Store(Mapping[str, "xarray.Dataset"]):
    """The splits of a store by name, opened lazily.

    Parameters
    ----------
    path
        A folder, or any fsspec URL (``hf://datasets/org/name/...``, ``s3://...``).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        root = open_group(path)
        if any("region" not in root[split] for split in schema.SPLITS):
            raise InputError(unfinished_message(path))
        self.attrs: dict[str, Any] = dict(root.attrs)

    def __getitem__(self, split: str) -> xarray.Dataset:
        if split not in schema.SPLITS:
            raise KeyError(f"no split {split!r}: a store has {', '.join(schema.SPLITS)}")
        import xarray

        return xarray.open_zarr(self.path, group=split, chunks=None)

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
    """Open a finished store at a path or URL.

    Examples
    --------
    >>> store = open_store("STORE")                       # doctest: +SKIP
    >>> store["train"]["sz"].mean("los")                  # doctest: +SKIP

    Raises
    ------
    InputError
        Where there is no store, an unfinished one, or one of a newer schema.
    """
    return Store(path)
