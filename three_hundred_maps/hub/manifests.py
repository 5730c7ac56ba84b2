"""The manifest of an exported folder, and what is checked of it before it is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from three_hundred_maps.errors import InputError

MANIFEST = "manifest.json"
"""The file at the root of an exported folder: configs, their files, sizes and sha256."""

EXPORT_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VIEW = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""What the name of a view looks like."""


def checked_name(name: Any, what: str) -> str:
    """``name`` where it can be the name of a folder or config; a path trick is refused."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise InputError(
            f"{what} {name!r} is not a plain name: letters, digits, '.', '_' and '-', at most 64"
        )
    return name


def checked_path(path: Any, what: str) -> str:
    """A relative path that stays in its folder, with forward slashes."""
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    bad = not parts or "\\" in str(path) or ":" in str(path) or str(path).startswith(("/", "~"))
    if bad or any(part in ("..", ".") or any(ord(c) < 32 for c in part) for part in parts):
        raise InputError(f"{what}: the path {path!r} leaves its folder; this file is not to be trusted")
    return str(PurePosixPath(*parts))


def manifest_configs(manifest: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The configs of a manifest, their names checked."""
    if not isinstance(manifest, dict) or manifest.get("format") != EXPORT_FORMAT:
        raise InputError(
            f"{where}: its {MANIFEST} is not of an export of this version (format {EXPORT_FORMAT}); "
            "upgrade three_hundred_maps or export it again"
        )
    configs, files = manifest.get("configs"), manifest.get("files")
    if not isinstance(configs, dict) or not configs or not isinstance(files, dict):
        raise InputError(f"{where}: its {MANIFEST} is damaged; export or download it again")
    for name in configs:
        checked_name(name, f"{where}: the config")
    for path in files:
        checked_path(path, where)
    return configs


def parse_manifest(text: str | bytes, where: str) -> dict[str, Any]:
    """The manifest as a dictionary, its outer form checked."""
    try:
        manifest = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{where}: {MANIFEST} is not JSON; export or download it again") from None
    manifest_configs(manifest, where)
    return manifest
