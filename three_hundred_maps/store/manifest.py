"""The manifest: every file of a finished store with its size and checksum, and a digest of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import canonical_json, sha256_bytes, write_bytes
from three_hundred_maps.store import schema

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
    except ValueError:
        return "is not JSON"
    if not isinstance(content, dict) or "digest" not in content:
        return "carries no digest"
    if canonical_json(with_digest(content)) != data:
        return "does not match its own digest"
    return None


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
    wrong = self_check(data)
    if wrong:
        raise InputError(f"{path}/{MANIFEST} {wrong}: the store is damaged; build or download it again")
    manifest: dict[str, Any] = json.loads(data)
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
    if "://" not in str(path):
        folder = Path(path)
        if not folder.exists():
            return f"no store at {path}: the folder does not exist"
        if (folder / "progress").is_dir():
            return (
                f"{path} is not finished: run its build again to go on, "
                f"or `three-hundred-maps finalise {path}` when all parts are done"
            )
    return f"{path} is no store: it has no {MANIFEST}"


def read_store_file(path: str | Path, name: str) -> bytes | None:
    """A file of a store at a path or URL; None where it is not there."""
    if "://" not in str(path):
        try:
            return (Path(path) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
    import fsspec

    filesystem, folder = fsspec.core.url_to_fs(str(path))
    try:
        data: bytes = filesystem.cat_file(f"{folder.rstrip('/')}/{name}")
    except FileNotFoundError:
        return None
    return data


def store_files(store: Path) -> Iterator[str]:
    """Names of the files in a store's folder that its manifest lists, sorted."""
    for file in sorted(store.rglob("*")):
        name = file.relative_to(store).as_posix()
        if file.is_file() and name not in OUTSIDE and not name.startswith((".lock", "progress/")):
            yield name
