"""Fetch a config, or a part of it, from a published repository as a store that stands by itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.manifests import choose_config
from three_hundred_maps.hub.remote import fetch_into, fetch_manifest, partial_path
from three_hundred_maps.io import OWN_LIST, own_files, remove_own, sha256_file, write_json
from three_hundred_maps.progress import progress
from three_hundred_maps.simulation.tables import take
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import halo_columns, open_group, shard_file
from three_hundred_maps.store.finishing import close_store, write_small_files
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.lock import hold
from three_hundred_maps.store.manifest import MANIFEST, PROVENANCE, read_manifest
from three_hundred_maps.store.statistics import Statistics, read_statistics

STAGING = ".download"
CONNECTIONS = 8
_SHARD = re.compile(r"(train|validation|test)/([A-Za-z0-9_]+)/c/(\d+)/0/0/0")


def download(
    repository: str,
    out: str | os.PathLike[str],
    *,
    config: str | None = None,
    splits: Sequence[str] | None = None,
    views: Sequence[str] | None = None,
    shards: Sequence[int] | None = None,
    revision: str | None = None,
) -> Path:
    """Fetch the Zarr store of a config into ``out``, whole or in part.

    Every file is checked against the sha256 of the manifest. An interrupted download resumes at the bytes it
    had reached. A part is a whole store too, with a manifest of its own: splits that were not asked for hold
    no halos, views that were not are absent. Its statistics are those of the whole train split, as published.

    Parameters
    ----------
    repository
        ``ORG/NAME``.
    out
        A new folder, or one to resume.
    config
        By default the repository's first.
    splits, views
        By default all.
    shards
        Numbers of the shards of each split, from 0; by default all.
    revision
        A tag, branch or commit.

    Returns
    -------
    Path
        The store.

    Raises
    ------
    InputError
        A repository, config, split, view or shard that is not there; a checksum that does not match; a
        folder that holds other things.
    """
    manifest, commit = fetch_manifest(repository, revision=revision)
    name, record = choose_config(manifest, config, repository)
    if not record["zarr"]:
        raise InputError(f"{repository}: config {name!r} has no Zarr store; read its rows by load_dataset")
    store = Path(out)
    part = _Part.choose(record, name, splits, views, shards)
    whole = splits is None and views is None and shards is None
    if _is_there(store, record["digest"], None if whole else part):
        _remove_staging(store)
        return store
    prefix = f"{record['zarr']}/"
    files = {p.removeprefix(prefix): e for p, e in manifest["files"].items() if p.startswith(prefix)}
    wanted = {p: e for p, e in files.items() if part.wants(p)}
    if not whole and not any(_SHARD.fullmatch(path) for path in wanted):
        numbers = "at all" if shards is None else ", ".join(map(str, shards))
        raise InputError(f"{repository}: config {name!r} has no shard {numbers} in {', '.join(part.splits)}")
    staging = store / STAGING
    busy = f"{store} is being downloaded by another process; wait for it, or stop it first"
    fetched = staging / record["zarr"]
    own = [fetched / path for path in wanted]
    own += [partial_path(fetched / path, entry["sha256"]) for path, entry in wanted.items()]
    names = {path.relative_to(staging).as_posix() for path in own} | (own_files(staging, STAGING) or set())
    write_json(staging / OWN_LIST, {"kind": STAGING, "files": sorted({*names, ".lock", ".lock.owner"})})
    with hold(staging / ".lock", busy):
        _fetch_all(repository, commit, prefix, wanted, staging)
        if whole:
            # The manifest moves last: with it the store is finished.
            for path in sorted(wanted, key=lambda p: (p == MANIFEST, p)):
                (store / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(fetched / path, store / path)
            read_manifest(store)
        else:
            _assemble(fetched, store, part, sorted(wanted), str(record["digest"]))
    _remove_staging(store)
    return store


@dataclass(frozen=True)
class _Part:
    """What of a config is asked for: splits and views in their order, numbers of shards (None: all)."""

    splits: tuple[str, ...]
    views: tuple[str, ...]
    shards: Sequence[int] | None

    @staticmethod
    def choose(
        record: Mapping[str, Any],
        name: str,
        splits: Sequence[str] | None,
        views: Sequence[str] | None,
        shards: Sequence[int] | None,
    ) -> _Part:
        found = []
        for what, given, known in (("split", splits, schema.SPLITS), ("view", views, record["views"])):
            unknown = [item for item in given or () if item not in known]
            if unknown or (given is not None and not given):
                named = ", ".join(unknown) or "(none was named)"
                raise InputError(f"config {name!r} has no {what} {named}; it has {', '.join(known)}")
            found.append(tuple(item for item in known if given is None or item in given))
        return _Part(found[0], found[1], shards)

    def mark(self, digest: str) -> dict[str, Any]:
        """What the store of this part says of itself."""
        shards = None if self.shards is None else sorted(set(self.shards))
        return {"digest": digest, "splits": list(self.splits), "views": list(self.views), "shards": shards}

    def wants(self, path: str) -> bool:
        """Whether a file of the store is needed: shards that were asked for, and every small file."""
        found = _SHARD.fullmatch(path)
        if found is None:
            return True
        names = (*self.views, *((schema.HALF,) if schema.TARGET in self.views else ()))
        numbered = self.shards is None or int(found[3]) in self.shards
        return found[1] in self.splits and found[2] in names and numbered


def _is_there(store: Path, digest: str, part: _Part | None) -> bool:
    """Whether ``store`` is ``part`` (None: all) already; InputError where it holds anything else."""
    if not store.exists() or not any(store.iterdir()):
        return False
    if (store / MANIFEST).is_file():
        there = read_manifest(store)
        if there.get("digest") == digest if part is None else there.get("part_of") == part.mark(digest):
            return True
        raise InputError(f"{store} is another store already; choose a new folder for --out")
    if own_files(store / STAGING, STAGING) is None:
        raise InputError(f"{store} holds other things; choose a new folder for --out")
    return False


def _remove_staging(store: Path) -> None:
    """Remove what downloads put into their folder, and it where nothing else is there."""
    staging = store / STAGING
    remove_own(staging, STAGING)
    folders = [place for place in (staging, *staging.rglob("*")) if place.is_dir()]
    for folder in sorted(folders, key=lambda place: -len(place.parts)):
        with suppress(OSError):  # not empty, or another process came to its end at the same time
            folder.rmdir()


def _fetch_all(repository: str, commit: str, prefix: str, wanted: Mapping[str, Any], staging: Path) -> None:
    total = sum(entry["bytes"] for entry in wanted.values())
    with (
        progress(total=total, desc=f"downloading {prefix.split('/')[0]}", unit="B") as bar,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        jobs = [
            pool.submit(
                fetch_into,
                staging,
                repository,
                prefix + path,
                sha256=entry["sha256"],
                size=entry["bytes"],
                revision=commit,
                arrived=bar.update,
            )
            for path, entry in wanted.items()
        ]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _assemble(fetched: Path, store: Path, asked: _Part, paths: Sequence[str], digest: str) -> None:
    """Make a store of its own of the shards that were fetched: they are moved, not written anew."""
    root: Any = open_group(fetched)
    layout = Layout.of_store(fetched)
    numbers = {
        split: sorted({int(m[3]) for p in paths if (m := _SHARD.fullmatch(p)) and m[1] == split})
        for split in schema.SPLITS
    }
    size = layout.shard_halos
    rows = {
        split: [k * size + row for k in numbers[split] for row in range(layout.shard_rows(split, k))]
        for split in schema.SPLITS
    }
    part = replace(
        layout,
        maps=tuple(v for v in layout.maps if v.name in asked.views),
        splits={split: len(rows[split]) for split in schema.SPLITS},
        attrs={**layout.attrs, "part_of": asked.mark(digest)},
    )
    stored = schema.halo_variables(root["train"])
    names = (*stored, *(f"total_{view}" for view in part.views))
    columns = {
        split: take(halo_columns(fetched, root[split], names), np.array(rows[split], np.int64))
        for split in schema.SPLITS
    }
    published = read_statistics(fetched)
    statistics = Statistics({view: published[view] for view in part.views})
    if schema.TARGET in part.views:
        statistics.climatology = published.climatology
    files = write_small_files(store, part, columns, statistics)
    for split in schema.SPLITS:
        for new, old in enumerate(numbers[split]):
            for variable in part.map_variables(split):
                source = fetched / shard_file(f"{split}/{variable.name}", old)
                name = shard_file(f"{split}/{variable.name}", new)
                (store / name).parent.mkdir(parents=True, exist_ok=True)
                files[name] = {"sha256": sha256_file(source), "bytes": source.stat().st_size}
                os.replace(source, store / name)
    if (fetched / PROVENANCE).is_file():
        os.replace(fetched / PROVENANCE, store / PROVENANCE)
    close_store(store, part, files, part.splits, part_of=part.attrs["part_of"])
