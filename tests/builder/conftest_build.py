"""What the tests of builds share."""

from __future__ import annotations

import hashlib
from pathlib import Path


def hashes(store: Path) -> dict[str, str]:
    """sha256 of every file but the provenance."""
    return {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name != "provenance.json"
    }
