"""Maps of galaxy clusters: the data set, the builder that makes it, and the way to load it.

The public names are imported on first use, so that ``import three_hundred_maps`` stays fast and
needs neither torch nor datasets.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from three_hundred_maps._version import __version__
from three_hundred_maps.errors import InputError, naming_the_extra
from three_hundred_maps.hub import hook as _hook
from three_hundred_maps.store import names as _names

if TYPE_CHECKING:
    from three_hundred_maps.builder import build
    from three_hundred_maps.hub.loading import load_dataset
    from three_hundred_maps.mapping import VIEWS, View, register_view
    from three_hundred_maps.store.arrays import read_split
    from three_hundred_maps.store.reader import open_store
    from three_hundred_maps.torch_data import MapDataset, StreamDataset
    from three_hundred_maps.torch_transforms import Transforms

_HOME = {
    "build": "builder",
    "load_dataset": "hub.loading",
    "open_store": "store.reader",
    "read_split": "store.arrays",
    "MapDataset": "torch_data",
    "StreamDataset": "torch_data",
    "Transforms": "torch_transforms",
    "VIEWS": "mapping",
    "View": "mapping",
    "register_view": "mapping",
}

__all__ = [
    "VIEWS",
    "MapDataset",
    "StreamDataset",
    "Transforms",
    "View",
    "__version__",
    "build",
    "load_dataset",
    "open_store",
    "read_split",
    "register_view",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        with naming_the_extra():
            return getattr(importlib.import_module(f"three_hundred_maps.{_HOME[name]}"), name)
    raise AttributeError(f"module 'three_hundred_maps' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def _store_of_config(name: str) -> Path | None:
    try:
        from three_hundred_maps.hub.configs import store_of_config
    except ModuleNotFoundError as error:  # a GPU machine may have no more than numpy, torch and zarr
        raise InputError(
            f"no folder {name}, and a config of that name cannot be looked up without the package "
            f"{error.name!r}: pip install three_hundred_maps"
        ) from None
    return store_of_config(name)


def _hub_files() -> Any:
    try:
        from three_hundred_maps.hub.ranges import HubFiles
    except ImportError:
        return None
    return HubFiles()


_names.register_filesystem("hf", _hub_files)

# open_store("mini"), read_split("mini", ...) and whatever else takes a store take a config's name too.
_names.register_resolver(_store_of_config)

# datasets.load_dataset("three_hundred_maps") works from here on, in either import order, without importing
# datasets now.
_hook.install()
