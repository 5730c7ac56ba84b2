"""Results: JSON files with a schema, from which alone the leaderboard is made."""

from __future__ import annotations

import importlib.resources
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.manifest import check_manifest, load_json
from benchmarks.registry import RANKING
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.files import write_json

SCHEMA = "three_hundred_maps benchmark result 1"
MAX_RESULT_BYTES = 5_000_000
_NEEDED = ("name", "authors", "task", "track", "dataset", "scores", "regions", "ranked", "flags")
_TEXTS = (
    "kind",
    "description",
    "license",
    "trained_on",
    "training_data",
    "date",
    "framework",
    "code",
    "paper",
)


def schema() -> dict[str, Any]:
    """The JSON Schema of a result."""
    text = importlib.resources.files("benchmarks").joinpath("result.schema.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def result_problems(content: Any) -> Iterator[str]:
    """What keeps a file from being a result."""
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        yield f"it does not say it is a {SCHEMA!r}"
        return
    missing = [name for name in _NEEDED if name not in content]
    if missing:
        yield f"it lacks {', '.join(missing)}"
        return
    manifest = {k: content[k] for k in ("name", "authors", "task", "track", *_TEXTS) if content.get(k)}
    yield from check_manifest(manifest)
    scores = content["scores"]
    if not isinstance(scores, Mapping) or RANKING not in scores:
        yield f"its scores lack {RANKING}"
        return
    for name, score in scores.items():
        values = [score.get(k) for k in ("value", "low", "high")] if isinstance(score, Mapping) else ["?"]
        if any(v is not None and (isinstance(v, bool) or not isinstance(v, int | float)) for v in values):
            yield f"score {str(name)[:40]!r} must hold value, low and high as numbers or null"
        elif any(isinstance(v, float) and not math.isfinite(v) for v in values):
            yield f"score {str(name)[:40]!r} is not finite"
    if not isinstance(scores[RANKING].get("value"), int | float):
        yield f"{RANKING} has no value"
    dataset = content["dataset"]
    if not isinstance(dataset, Mapping) or not all(
        isinstance(dataset.get(k), str) for k in ("name", "digest")
    ):
        yield "its dataset lacks name or digest"
    regions = content["regions"]
    if not isinstance(regions, Mapping) or len(regions.get("id", [])) != len(regions.get("mse", [0])):
        yield "its regions lack id or mse"


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
