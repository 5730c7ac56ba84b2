"""Closing the gaps that refused halos leave: rows are packed anew into whole shards.

New shards are first written beside the old ones; then a marker says so, and they are moved into place, the
record of each after its files. Every step may be repeated, so a kill at any moment is harmless.
"""

from __future__ import annotations

import json
import os
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

from three_hundred_maps.io import fsync_folder, write_json
from three_hundred_maps.simulation.tables import join, take
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import read_shard_file, shard_file
from three_hundred_maps.store.layout import LAYOUT_FILE, Layout
from three_hundred_maps.store.records import PROGRESS, ShardRecord, is_done, read_record, record_path
from three_hundred_maps.store.writer import write_shard

STAGING = f"{PROGRESS}/compact"
"""Where the new shards are written, in a store's own order of files."""
MARKER = f"{PROGRESS}/compact.json"


def read_compaction(store: Path) -> dict[str, Any] | None:
    """The marker of a compaction whose new shards are all written, None where there is none."""
    try:
        marker: dict[str, Any] = json.loads((store / MARKER).read_bytes())
    except FileNotFoundError:
        return None
    return marker


def close_gaps(store: Path, layout: Layout) -> tuple[Layout, dict[str, int], list[dict[str, Any]]]:
    """Pack the rows of splits that refused halos into whole shards.

    Returns
    -------
    The layout with the numbers of halos that remain, the numbers planned, and the refused halos.
    """
    marker = read_compaction(store)
    if marker is None:
        records = {
            split: [record for k in range(layout.shards(split)) if (record := read_record(store, split, k))]
            for split in schema.SPLITS
        }
        refused = [item for parts in records.values() for record in parts for item in record.refused]
        planned = dict(layout.splits)
        if not refused:
            return layout, planned, []
        kept = {split: sum(record.rows for record in parts) for split, parts in records.items()}
        gaps = [split for split in schema.SPLITS if kept[split] != planned[split]]
        packed = layout.with_splits(kept)
        for split in gaps:
            _stage(store, layout, packed, split, records[split])
        marker = {"planned": planned, "kept": kept, "gaps": gaps, "refused": refused}
        write_json(store / MARKER, marker)
    # An earlier version kept the records of staged shards beside their folders.
    for place in (store / STAGING).glob("*.json"):
        (place.parent / PROGRESS).mkdir(exist_ok=True)
        os.replace(place, place.parent / PROGRESS / place.name)
    packed = layout.with_splits(marker["kept"])
    for split in marker["gaps"]:
        _swap(store, packed, split, old_shards=-(-marker["planned"][split] // layout.shard_halos))
    write_json(store / LAYOUT_FILE, packed.to_json())
    shutil.rmtree(store / STAGING, ignore_errors=True)
    return packed, marker["planned"], marker["refused"]


def _stage(store: Path, layout: Layout, packed: Layout, split: str, records: list[ShardRecord]) -> None:
    """Write the new shards of a split under the staging folder."""
    source = [(record.shard, row) for record in records for row in range(record.rows)]
    of_shard = {record.shard: record for record in records}
    for shard in range(packed.shards(split)):
        if is_done(store / STAGING, packed, split, shard):
            continue
        rows = source[shard * packed.shard_halos : (shard + 1) * packed.shard_halos]
        parts = []
        for old, items in groupby(rows, lambda item: item[0]):
            record, mine = of_shard[old], [row for _, row in items]
            shape = (layout.shard_rows(split, old), *layout.map_shape)
            maps = {
                name: read_shard_file(store / shard_file(f"{split}/{name}", old), shape, layout.shard_halos)
                for name in (variable.name for variable in layout.map_variables(split))
            }
            parts.append(take((maps, record.totals, record.halos), mine))
        write_shard(store / STAGING, split, shard, *join(parts), layout=packed)


def _swap(store: Path, packed: Layout, split: str, old_shards: int) -> None:
    """Move a split's staged shards and their records into the place of the old ones."""
    for shard in range(old_shards):
        for variable in packed.map_variables(split):
            name = shard_file(f"{split}/{variable.name}", shard)
            if shard >= packed.shards(split):
                shutil.rmtree((store / name).parents[2], ignore_errors=True)
            elif (store / STAGING / name).exists():
                (store / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(store / STAGING / name, store / name)
                fsync_folder((store / name).parent)
        record, staged = (record_path(folder, split, shard) for folder in (store, store / STAGING))
        if staged.exists():
            os.replace(staged, record)
        elif shard >= packed.shards(split):
            record.unlink(missing_ok=True)
    fsync_folder(store / PROGRESS)
