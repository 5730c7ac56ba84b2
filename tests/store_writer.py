"""Stores written from the arrays of whole splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.writer import create_store, write_shard

Arrays = Mapping[str, np.ndarray]


def write_store(out: Path, layout: Layout, content: Callable[[str], tuple[Arrays, Arrays]]) -> Path:
    """A finished store; ``content`` gives a split's maps and halo values, totals follow from the maps."""
    create_store(out, layout)
    for split in layout.splits:
        maps, halos = content(split)
        area = (layout.grid.pixel * halos["R200c"]) ** 2
        totals = {
            view: maps[view].sum(axis=(2, 3), dtype=np.float64) * area[:, None] for view in layout.views
        }
        for shard in range(layout.shards(split)):
            rows = slice(shard * layout.shard_halos, (shard + 1) * layout.shard_halos)
            parts = ({name: values[rows] for name, values in part.items()} for part in (maps, totals, halos))
            write_shard(out, split, shard, *parts)
    finalise(out)
    return out
