"""The manifest: every file of a finished store with its size and checksum, and a digest of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import canonical_json, sha256_bytes, write_bytes
from three_hundred_maps.store import schema
from three_hundred_maps.store.names import is_url, read_url, resolve_store

MANIFEST = "manifest.json"
PROVENANCE = "provenance.json"
OUTSIDE = (MANIFEST, PROVENANCE)
"""Files that the manifest does not list; each carries a digest of itself."""


def with_digest(content: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` with the sha256 of its canonical JSON as ``digest``."""
    bare = {key: value for key, value in content.items() if key != "digest"}
    return {**bare, "digest": sha256_bytes(canonical_json(bare))}


def self_check(data: bytes) -> str | None:
    """What is wrong with a JSON file that carries its own digest, None where it is whole."""
    try:
        content = json.loads(data)
        if not isinstance(content, dict) or "digest" not in content:
            return "carries no digest"
        if canonical_json(with_digest(content)) != data:
            return "does not match its own digest"
    except (ValueError, RecursionError):
        return "is not JSON"
    return None


def parse_manifest(data: bytes) -> tuple[dict[str, Any], str | None]:
    """A manifest's content, and what is wrong with it (None where it is whole).

    Every file has a size and a checksum, and lies inside the store: what a manifest lists is opened.
    """
    wrong = self_check(data)
    if wrong:
        return {}, wrong
    content: dict[str, Any] = json.loads(data)
    files = content.get("files")
    if not isinstance(files, dict) or not files:
        return {}, "lists no files"
    for name, entry in files.items():
        if name.startswith("/") or "\\" in name or not set(name.split("/")).isdisjoint({"", ".", ".."}):
            return {}, f"lists {name!r}, which is not a file of the store"
        if not (
            isinstance(entry, dict)
            and type(entry.get("bytes")) is int
            and isinstance(entry.get("sha256"), str)
        ):
            return {}, f"states no size and checksum of {name}"
    counts = [content.get("halos"), content.get("halos_planned")]
    if not all(isinstance(c, dict) and set(c) == set(schema.SPLITS) for c in counts):
        return {}, "does not state its numbers of halos"
    if not isinstance(content.get("refused"), list):
        return {}, "does not list the halos that were refused"
    return content, None


def write_manifest(store: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest: from then on the store is finished."""
    manifest = with_digest(content)
    write_bytes(store / MANIFEST, canonical_json(manifest))
    return manifest


def read_manifest(path: str | Path) -> dict[str, Any]:
    """The manifest of a finished store, at a path or any fsspec URL.

    Raises
    ------
    InputError
        Where there is none (no store, or an unfinished one), or it is damaged or of a newer schema.
    """
    data = read_store_file(path, MANIFEST)
    if data is None:
        raise InputError(unfinished_message(path))
    manifest, wrong = parse_manifest(data)
    if wrong:
        raise InputError(f"{path}/{MANIFEST} {wrong}: the store is damaged; build or download it again")
    check_schema_version(path, manifest.get("schema_version"))
    return manifest


def check_schema_version(path: str | Path, version: Any) -> None:
    """Refuse a store of a schema that this code does not know."""
    if version == schema.SCHEMA_VERSION:
        return
    if isinstance(version, int) and version > schema.SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}, this package reads {schema.SCHEMA_VERSION}: "
            "update three_hundred_maps"
        )
    raise InputError(
        f"{path} has schema version {version!r}, this package reads {schema.SCHEMA_VERSION}:"
        " build or download it again"
    )


def unfinished_message(path: str | Path) -> str:
    """Why a store cannot be read, and what to do."""
    if not is_url(path):
        folder = Path(path)
        if not folder.exists():
            return f"no store at {path}: the folder does not exist"
        if (folder / "progress").is_dir():
            return (
                f"{path} is not finished: re-run its build to resume, "
                f"or `three-hundred-maps finalise {path}` when all parts are done"
            )
        root = folder / "zarr.json"
        if root.is_file() and b'"sealed"' in root.read_bytes():
            return f"{path} holds sealed inputs, which are for read_split, open_store and MapDataset alone"
    return f"{path} is not a store: it has no {MANIFEST}"


def read_store_file(path: str | Path, name: str) -> bytes | None:
    """A file of a store at a path or URL; None where it is not there."""
    path = resolve_store(path)
    if not is_url(path):
        try:
            return (Path(path) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
    try:
        return read_url(f"{str(path).rstrip('/')}/{name}")
    except FileNotFoundError:
        return None
