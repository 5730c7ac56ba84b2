"""Results: JSON files with a schema, from which alone the leaderboard is made."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.manifest import load_json
from benchmarks.result_checks import result_problems
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_json

MAX_RESULT_BYTES = 5_000_000


def schema() -> dict[str, Any]:
    """The JSON Schema of a result."""
    text = importlib.resources.files("benchmarks").joinpath("result.schema.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def read_result(path: str | Path) -> dict[str, Any]:
    """A checked result.

    Raises
    ------
    InputError
        Where the file is no result, with why.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no result at {path}: make one with `python -m benchmarks score`")
    content: dict[str, Any] = load_json(path, MAX_RESULT_BYTES)
    problems = list(result_problems(content))
    if problems:
        raise InputError(f"{path} is not a result: {'; '.join(problems[:5])}")
    return content


def write_result(path: str | Path, result: Mapping[str, Any], *, overwrite: bool = False) -> Path:
    """Write a result; one that is there is kept unless ``overwrite``."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path} is there already; give another name or --overwrite")
    write_json(path, dict(result))
    return path
