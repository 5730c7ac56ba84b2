"""The synthetic simulation: seeded regions of clusters, written as The Three Hundred's own files.

`draw_halos` says in milliseconds what a region holds; `simulate_region` writes its snapshot and catalogue.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from three_hundred_maps.simulation.synthetic.region import (
        RegionData,
        RegionFiles,
        make_region,
        simulate_region,
    )
    from three_hundred_maps.simulation.synthetic.setup import GENERATOR_VERSION
    from three_hundred_maps.simulation.synthetic.universe import draw_halos

_WHERE = {
    "draw_halos": "universe",
    "simulate_region": "region",
    "make_region": "region",
    "RegionFiles": "region",
    "RegionData": "region",
    "GENERATOR_VERSION": "setup",
}

__all__ = ["GENERATOR_VERSION", "RegionData", "RegionFiles", "draw_halos", "make_region", "simulate_region"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
