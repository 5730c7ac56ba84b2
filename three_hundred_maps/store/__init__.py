"""The Zarr store: schema, writer, reader, manifest, statistics."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from three_hundred_maps.store.arrays import SplitArrays, iter_shards, read_split, store_digest
    from three_hundred_maps.store.finishing import finalise
    from three_hundred_maps.store.layout import Layout
    from three_hundred_maps.store.reader import open_store
    from three_hundred_maps.store.statistics import read_statistics
    from three_hundred_maps.store.writer import create_store, write_shard

_HOME = {
    "SplitArrays": "arrays",
    "iter_shards": "arrays",
    "read_split": "arrays",
    "store_digest": "arrays",
    "open_store": "reader",
    "read_statistics": "statistics",
    "Layout": "layout",
    "create_store": "writer",
    "finalise": "finishing",
    "write_shard": "writer",
}

__all__ = [
    "Layout",
    "SplitArrays",
    "create_store",
    "finalise",
    "iter_shards",
    "open_store",
    "read_split",
    "read_statistics",
    "store_digest",
    "write_shard",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"three_hundred_maps.store.{_HOME[name]}"), name)
    raise AttributeError(f"module 'three_hundred_maps.store' has no attribute {name!r}")
