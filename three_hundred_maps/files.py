"""Writing files of record: atomic, on disk before they are named, and checksummed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def fsync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that the file is either whole or absent, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        # A full disk is reported by a write that does not know its file's name.
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def sweep_partial(folder: Path) -> None:
    """Remove what killed writers left unfinished below ``folder``; nobody may be writing there."""
    for partial in folder.rglob(".*.partial"):
        if partial.is_file():
            partial.unlink(missing_ok=True)


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and a final newline: the same bytes for the same content; NaN is refused."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """`canonical_json` through `write_bytes`."""
    write_bytes(path, canonical_json(value))


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
