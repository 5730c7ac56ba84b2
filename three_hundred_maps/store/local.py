"""The folder on this machine of a store that is given by name, folder or URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import cache_home, sha256_bytes, write_bytes
from three_hundred_maps.progress import note, progress
from three_hundred_maps.store.manifest import MANIFEST, PROVENANCE, read_manifest, read_store_file
from three_hundred_maps.store.names import NAME, checked_name, is_url, resolve_store


def find_store(store: str | Path) -> Path:
    """The folder of a store on this machine. What lies at a URL is copied to the cache first, once.

    Raises
    ------
    InputError
        Where there is none, or a file of what lies at a URL is not as its manifest says.
    """
    found = resolve_store(store)
    if is_url(found):
        return _cached_copy(str(found))
    if not (Path(found) / "zarr.json").is_file():
        config = f" and no config {str(store)!r}" if NAME.fullmatch(str(store)) else ""
        raise InputError(
            f"no store at {store}{config}: "
            "a store is a folder with zarr.json, made by three-hundred-maps build"
        )
    return Path(found)


def _cached_copy(url: str) -> Path:
    from filelock import FileLock

    manifest = read_manifest(url)
    name = checked_name(manifest.get("name"), f"{url}: the name of the store")
    path = cache_home() / "urls" / f"{name}-{manifest['digest'][:16]}.zarr"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not (path / MANIFEST).is_file():
            size = sum(entry["bytes"] for entry in manifest["files"].values())
            note(f"copying {url}, once, to {path}: {size / 1e6:,.0f} MB")
            copy_store(url, manifest, path)
    return path


def copy_store(url: str, manifest: Mapping[str, Any], folder: Path, *, check: bool = True) -> None:
    """Copy the files of a store at a URL, the manifest last; files that are there and whole are kept.

    Parameters
    ----------
    check
        Refuse a file that is missing or not as the manifest says; else it is left to `verify`.

    Raises
    ------
    InputError
        For such a file, or where the URL cannot be read.
    """
    for name, entry in progress(manifest["files"].items(), desc="copying", unit="file"):
        file = folder / name
        if file.is_file() and sha256_bytes(file.read_bytes()) == entry["sha256"]:
            continue
        data = read_store_file(url, name)
        if check and (data is None or sha256_bytes(data) != entry["sha256"]):
            wrong = "is missing" if data is None else "does not match its checksum"
            raise InputError(f"{url}/{name} {wrong}: the store is damaged")
        if data is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(file, data)
    for name in (PROVENANCE, MANIFEST):
        data = read_store_file(url, name)
        if data is not None:
            write_bytes(folder / name, data)
