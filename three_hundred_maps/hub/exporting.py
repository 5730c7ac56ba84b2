"""From stores to the layout of a Hub repository: card, Parquet, Zarr, Croissant, one folder a config."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.card import render_card
from three_hundred_maps.hub.croissant import render_croissant
from three_hundred_maps.hub.manifests import MANIFEST, checked_path, new_manifest, parse_manifest
from three_hundred_maps.hub.parquet import colour_ranges, plan_files, write_split
from three_hundred_maps.hub.pictures import gallery, panel, shown_views
from three_hundred_maps.hub.record import add_file, describe_store
from three_hundred_maps.hub.remote import checked_repository
from three_hundred_maps.hub.side_files import render_citation, render_eval
from three_hundred_maps.hub.sources import StoreSource
from three_hundred_maps.io import (
    OWN_LIST,
    canonical_json,
    is_partial,
    own_files,
    remove_own,
    renamed_into_place,
    sha256_bytes,
    sha256_file,
    sweep_partial,
    write_bytes,
    write_json,
)
from three_hundred_maps.progress import progress
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.manifest import OUTSIDE, read_manifest
from three_hundred_maps.store.schema import SPLITS
from three_hundred_maps.store.statistics import read_statistics

ZARR = "maps.zarr"
"""The store's folder inside a config's."""

PLACEHOLDER = "ORG/three_hundred_maps"
ROOT_FILES = ("README.md", "croissant.json", "eval.yaml", "CITATION.cff")
MAX_FILES, MAX_FOLDER_ENTRIES, MAX_FILE_BYTES = 100_000, 10_000, 200e9
"""Limits of a Hub repository: files in all, entries of a folder, bytes of a file."""

KIND = "export"
"""What an interrupted export's folder of a config says it is, in its own list of files."""

GALLERY_ROWS = 4


def export(
    stores: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    repository: str = PLACEHOLDER,
) -> dict[str, Any]:
    """Write the Hub layout of finished stores into ``out``: one folder a config, named after its store.

    An interrupted export is resumed; a config whose store has not changed is kept as it is; configs exported
    before stay. Of an export that is replaced, only the files that its manifest lists are removed.

    Parameters
    ----------
    stores
        Finished stores of different names.
    out
        A new folder, or one that was exported before.
    repository
        ``ORG/NAME`` that the card's snippets load from; `publish` writes the right one in.

    Returns
    -------
    dict
        The manifest: configs, and every file with its size and sha256.

    Raises
    ------
    InputError
        No name of a repository, a store that is unfinished or damaged, two of one name, a folder that holds
        other things, links that leave a store, or more files than the Hub takes.
    """
    root = Path(out)
    checked_repository(repository)
    sources = [StoreSource.open(find_store(os.fspath(store))) for store in stores]
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"two stores are named {name!r}; a config needs a name of its own: see its recipe"
            )
    before = check_folder(root)
    configs: dict[str, Any] = dict(before.get("configs", {}))
    files: dict[str, Any] = {
        path: entry for path, entry in before.get("files", {}).items() if path.split("/")[0] in configs
    }
    root.mkdir(parents=True, exist_ok=True)
    sweep_partial(root)
    for source in sources:
        old = configs.get(source.name)
        if old is None or not _unchanged(root, old, source, files):
            mine = {path for path in files if path.startswith(f"{source.name}/")}
            record, entries = export_config(source, root, mine)
            files = {path: entry for path, entry in files.items() if path not in mine}
            configs[source.name] = record
            files.update(entries)
            check_limits(files)
            # Written after each config, so that an interrupted export of many keeps those it finished.
            write_root_files(root, {"configs": configs, "files": files}, repository)
        # Only then: until the manifest names the config, its list says whose the folder is.
        _remove_stale(root / source.name, {path.removeprefix(f"{source.name}/") for path in files})
    return write_root_files(root, {"configs": configs, "files": files}, repository)


def check_folder(root: Path) -> dict[str, Any]:
    """The manifest of an earlier export in ``root``, empty for a new one; other things are refused."""
    if not root.exists() or not any(root.iterdir()):
        return {}
    manifest: dict[str, Any] = {}
    if (root / MANIFEST).is_file():
        manifest = parse_manifest((root / MANIFEST).read_bytes(), str(root))
    known = {MANIFEST, ".cache", *manifest.get("configs", {})} if manifest else set()
    known |= {name for name in ROOT_FILES if name in manifest.get("files", {})}
    foreign = sorted(
        entry.name
        for entry in root.iterdir()
        if entry.name not in known and own_files(entry, KIND) is None and not _is_left(entry)
    )
    if foreign:
        raise InputError(
            f"{root} holds other things ({', '.join(foreign[:5])}); choose a new folder for --out"
        )
    return manifest


def _is_left(entry: Path) -> bool:
    """Whether there is nothing but what an export that was killed at once left."""
    try:
        return all(
            is_partial(path) for path in itertools.chain([entry], entry.rglob("*")) if not path.is_dir()
        )
    except OSError:  # not to be looked into, as folders of too long a path: no export made it
        return False


def _unchanged(root: Path, record: Mapping[str, Any], source: StoreSource, files: Mapping[str, Any]) -> bool:
    mine = {path: entry for path, entry in files.items() if path.startswith(f"{source.name}/")}
    return (
        record.get("digest") == source.digest
        and record.get("row_format") == describe_store(source)["row_format"]
        and all(
            (root / path).is_file() and (root / path).stat().st_size == entry["bytes"]
            for path, entry in mine.items()
        )
    )


def export_config(source: StoreSource, root: Path, before: Set[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the folder of one config; its record and the manifest's lines of its files.

    Parameters
    ----------
    before
        Files, relative to ``root``, that an earlier export of the config wrote: those that are not of this
        one are removed.
    """
    record = describe_store(source)
    folder = root / source.name
    splits = [split for split in SPLITS if source.halos[split]]
    planned = ["images/clusters.png", *(f"halos/{split}.parquet" for split in splits)]
    planned += [f"parquet/{name}" for split in splits for name, _ in plan_files(source, split)]
    planned += [f"{ZARR}/{name}" for name in store_checksums(source.path)]
    own = {path.removeprefix(f"{source.name}/") for path in before} | (own_files(folder, KIND) or set())
    mark = {"kind": KIND, "digest": source.digest, "row_format": record["row_format"]}
    if own and not _is_marked(folder, mark):
        write_json(folder / OWN_LIST, {"kind": KIND, "files": sorted(own)})
        remove_own(folder, KIND)
    for name in planned:
        if name not in own and (folder / name).exists():
            raise InputError(f"{folder / name} is not this command's own file; move it away")
    listed = {*own, *planned}
    write_json(folder / OWN_LIST, {**mark, "files": sorted(listed)})
    entries: dict[str, Any] = {}
    record["zarr"] = f"{source.name}/{ZARR}"
    entries.update(copy_store(Path(source.path), folder / ZARR, root))
    ranges = colour_ranges(read_statistics(source.path), source.views)
    for split in progress(splits, desc=f"{source.name}: Parquet", unit="split"):
        paths, catalogue = write_split(source, split, folder, ranges)
        record["splits"][split]["parquet"] = [add_file(entries, root, path) for path in paths]
        record["splits"][split]["halos_file"] = add_file(entries, root, catalogue)
    picture = folder / "images" / "clusters.png"
    write_bytes(picture, draw_gallery(source, ranges))
    record["images"] = [add_file(entries, root, picture)]
    return record, entries


def _remove_stale(folder: Path, files: Set[str]) -> None:
    """Remove the list of a config's folder, and what is on it but is none of the export's files."""
    own = own_files(folder, KIND)
    if own is not None:
        write_json(folder / OWN_LIST, {"kind": KIND, "files": sorted(own - files)})
        remove_own(folder, KIND)


def _is_marked(folder: Path, mark: Mapping[str, Any]) -> bool:
    """Whether an export of the same store was interrupted in ``folder``, so that what is there can stay."""
    try:
        there = json.loads((folder / OWN_LIST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return isinstance(there, dict) and {key: there.get(key) for key in mark} == dict(mark)


def store_checksums(store: Path | str) -> dict[str, str]:
    """sha256 of every file of a finished store: those of its manifest, and the two it does not list."""
    manifest = read_manifest(store)
    listed = {checked_path(path, str(store)): entry["sha256"] for path, entry in manifest["files"].items()}
    files = [Path(store) / name for name in OUTSIDE]
    return listed | {file.name: sha256_file(file) for file in files if file.is_file()}


def copy_store(store: Path, target: Path, root: Path) -> dict[str, Any]:
    """Copy the files of a finished store, each checked against its manifest on the way."""
    entries: dict[str, Any] = {}
    inside = store.resolve()
    for path, sha256 in progress(store_checksums(store).items(), desc="copying the store", unit="file"):
        file = store / path
        if not file.resolve().is_relative_to(inside):
            raise InputError(f"{store}: {path} is a link that leaves the store; it is not followed")
        copy = target / path
        if not (copy.is_file() and sha256_file(copy) == sha256):
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                raise InputError(f"{store}: {path} is missing; see three-hundred-maps verify") from None
            if sha256_bytes(data) != sha256:
                raise InputError(
                    f"{store}: {path} does not match its checksum; see three-hundred-maps verify"
                )
            # Not made durable one by one: the source is at hand, and what is sent is checked again.
            with renamed_into_place(copy) as partial:
                partial.write_bytes(data)
        add_file(entries, root, copy, sha256)
    return entries


def draw_gallery(source: StoreSource, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """A picture of some clusters of the split with most halos, light to heavy, each in up to four views."""
    split = max(SPLITS, key=lambda s: source.halos[s])
    chosen = shown_views(source.views)
    masses = read_split(source.path, split, [], slice(None)).halos["M200c"]
    order = np.argsort(masses)
    count = min(GALLERY_ROWS, len(order))
    rows = [int(order[round(q * (len(order) - 1))]) for q in np.linspace(0.1, 1.0, count)]
    panels = []
    for row in dict.fromkeys(rows):
        part = read_split(source.path, split, list(chosen), slice(row, row + 1))
        indices, palette = panel({view: part.maps[view][0, 0] for view in chosen}, ranges, chosen)
        panels.append(indices)
    return gallery(panels, palette)


def check_limits(files: Mapping[str, Any]) -> None:
    """InputError where a repository would break the Hub's limits."""
    if len(files) > MAX_FILES:
        raise InputError(
            f"{len(files):,} files are more than the Hub's {MAX_FILES:,}: raise store.shard_halos"
        )
    folders: dict[str, set[str]] = {}
    for path, entry in files.items():
        if entry["bytes"] > MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than the Hub's limit of {MAX_FILE_BYTES / 1e9:.0f} GB a file")
        parts = path.split("/")
        for i in range(1, len(parts) + 1):
            folders.setdefault("/".join(parts[: i - 1]), set()).add(parts[i - 1])
    for folder, names in folders.items():
        if len(names) > MAX_FOLDER_ENTRIES:
            raise InputError(
                f"{folder} holds {len(names):,} entries, more than the Hub's {MAX_FOLDER_ENTRIES:,}"
            )


def write_root_files(root: Path, content: Mapping[str, Any], repository: str) -> dict[str, Any]:
    """Write the manifest, then card, Croissant, eval.yaml and citation, which it lists."""
    files = {path: entry for path, entry in content["files"].items() if path not in ROOT_FILES}
    manifest = new_manifest(dict(content["configs"]), files, repository)
    texts = {
        "README.md": render_card(manifest, repository).encode(),
        "croissant.json": canonical_json(render_croissant(manifest, repository)),
        "eval.yaml": render_eval(manifest).encode(),
        "CITATION.cff": render_citation(manifest, repository).encode(),
    }
    files.update({name: {"bytes": len(data), "sha256": sha256_bytes(data)} for name, data in texts.items()})
    # Before them: by it an interrupted export knows them for its own.
    write_json(root / MANIFEST, manifest)
    for name, data in texts.items():
        write_bytes(root / name, data)
    return manifest
