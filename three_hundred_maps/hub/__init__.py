"""The data set on the Hugging Face Hub and in `datasets`: load, export, publish, download.

Names are imported on first use: this package is imported by ``import three_hundred_maps`` for its hook.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from three_hundred_maps.hub.downloading import download
    from three_hundred_maps.hub.exporting import export
    from three_hundred_maps.hub.loading import load_dataset
    from three_hundred_maps.hub.publishing import publish

__all__ = ["download", "export", "load_dataset", "publish"]

_HOME = {
    "download": "three_hundred_maps.hub.downloading",
    "export": "three_hundred_maps.hub.exporting",
    "load_dataset": "three_hundred_maps.hub.loading",
    "publish": "three_hundred_maps.hub.publishing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'three_hundred_maps.hub' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
