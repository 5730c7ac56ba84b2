"""Making the damaged shards of a finished store again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import sha256_file
from three_hundred_maps.keys import HaloKey, halo_keys
from three_hundred_maps.progress import progress
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.manifest import read_manifest, write_manifest

_MAP_FILE = re.compile(r"(train|validation|test)/\w+/c/(\d+)/0/0/0")


def damaged_shards(store: Path) -> list[tuple[str, int]]:
    """The (split, shard) of map files that are missing or do not match the manifest's checksum.

    Raises
    ------
    InputError
        Where another file is damaged: then halos or metadata are lost.
    """
    damaged = set()
    files = read_manifest(store)["files"]
    for name, entry in progress(sorted(files.items()), desc="checking", unit="file"):
        path = store / name
        whole = path.is_file() and path.stat().st_size == entry["bytes"]
        if whole and sha256_file(path) == entry["sha256"]:
            continue
        found = _MAP_FILE.fullmatch(name)
        if found is None:
            raise InputError(
                f"{path} is damaged or missing, and is no shard of maps: delete the store and build it again"
            )
        damaged.add((found[1], int(found[2])))
    return sorted(damaged)


def keys_of_shard(store: Path, split: str, shard: int) -> list[HaloKey]:
    """The keys of the halos in a shard of a finished store."""
    size = Layout.of_store(store).shard_halos
    return halo_keys(read_split(store, split, [], slice(shard * size, (shard + 1) * size)).halos)


def update_manifest(store: Path, remade: Sequence[Mapping[str, Mapping[str, Any]]]) -> None:
    """Enter the checksums of files that were made again; on the same processor they are those of before."""
    manifest = read_manifest(store)
    before = dict(manifest["files"])
    files = {**before, **{name: dict(entry) for part in remade for name, entry in part.items()}}
    if files != before:
        write_manifest(store, {**{k: v for k, v in manifest.items() if k != "digest"}, "files": files})
