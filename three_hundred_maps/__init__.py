"""Maps of galaxy clusters: the data set, the builder that makes it, and the way to load it.

The public names are imported on first use, so that ``import three_hundred_maps`` stays fast and
needs neither torch nor datasets.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from three_hundred_maps.hub import hook as _hook

__version__ = "0.1.0"

if TYPE_CHECKING:
    from three_hundred_maps.build import build
    from three_hundred_maps.hub import load_dataset
    from three_hundred_maps.store import open_store

__all__ = ["__version__", "build", "load_dataset", "open_store"]

_HOME = {
    "build": "three_hundred_maps.build",
    "load_dataset": "three_hundred_maps.hub",
    "open_store": "three_hundred_maps.store",
}


def __getattr__(name: str) -> Any:
    if name == "build":
        # The package three_hundred_maps.build is called as its function: one object, imported before or not.
        return importlib.import_module(_HOME[name])
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'three_hundred_maps' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


# datasets.load_dataset("three_hundred_maps") works from here on, in either import order, without importing
# datasets now.
_hook.install()
