"""What the pages share: their texts, and that each is made of numbers which are kept beside it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from three_hundred_maps.display import sections
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes


def texts(name: str) -> dict[str, str]:
    """The sections of ``tools/NAME.md``."""
    return sections(files(__package__).joinpath(f"{name}.md"))


def kept_numbers(path: Path, program: str) -> Any:
    """The JSON that a page is rendered from; InputError where ``program`` has not made it."""
    if not path.is_file():
        raise InputError(f"no {path}: run python -m tools.{program} --out DIR --page {path.parent}")
    return json.loads(path.read_text(encoding="utf-8"))


def write_text(path: Path, text: str) -> Path:
    """Write a page, whole or not at all; its path."""
    write_bytes(path, text.encode())
    return path
