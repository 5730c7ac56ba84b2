"""What a store was made with: versions, processor and back end. Outside of what is hashed."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from three_hundred_maps.io import canonical_json, write_bytes
from three_hundred_maps.store.manifest import PROVENANCE, with_digest

PACKAGES = ("three_hundred_maps", "numpy", "zarr", "numcodecs", "numba", "h5py", "scipy", "xarray")


def versions() -> dict[str, str]:
    """Installed versions of the packages that shape a store's bytes."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The type of processor, as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def write_provenance(store: Path, extra: Mapping[str, Any] | None = None) -> None:
    """Write ``provenance.json``."""
    content = {
        "versions": versions(),
        "processor": processor(),
        "machine": platform.machine(),
        "system": platform.system(),
        **(extra or {}),
    }
    write_bytes(store / PROVENANCE, canonical_json(with_digest(content)))
