"""What keeps a file from being a result: every part that a page of the leaderboard reads has its shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.manifest import check_manifest
from benchmarks.registry import RANKING

SCHEMA = "three_hundred_maps benchmark result 1"
_NEEDED = (
    *("benchmark_version", "name", "authors", "task", "track", "kind", "dataset", "scores", "regions"),
    *("ranked", "verified", "flags"),
)
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
_AXES = ("k", "radius", "mass")
_LARGEST = 1e15
"""No score, axis or share is larger: beyond, a chart has nothing to draw."""

Problems = Iterator[str]


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) <= _LARGEST
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_key(value: Any) -> bool:
    """A region, snapshot, halo or line of sight."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def _numbers(values: Any, *, gaps: bool = False) -> bool:
    return isinstance(values, list) and all(_is_number(v) or (gaps and v is None) for v in values)


def _rising(values: Any) -> bool:
    return _numbers(values) and all(a < b for a, b in zip(values[:-1], values[1:], strict=True))


def _each(where: str, content: Any, check: Callable[[str, Any], Problems]) -> Problems:
    """A check of every value of an object."""
    if not isinstance(content, Mapping):
        yield f"{where} is no object"
        return
    for name, value in content.items():
        yield from check(f"{where} {str(name)[:40]!r}", value)


def _score(where: str, score: Any) -> Problems:
    if not isinstance(score, Mapping) or not {"value", "low", "high"} <= score.keys():
        yield f"{where} lacks value, low or high"
    elif any(score[k] is not None and not _is_number(score[k]) for k in ("value", "low", "high")):
        yield f"{where} must hold value, low and high as finite numbers or null"
    elif (score["low"] is None) != (score["high"] is None):
        yield f"{where} has one end of an interval alone"
    elif not isinstance(score.get("note", ""), str):
        yield f"{where} has a note that is no text"


def _ranking(where: str, scores: Any) -> Problems:
    if not isinstance(scores, Mapping) or RANKING not in scores:
        yield f"{where} lack {RANKING}"
        return
    yield from _each(where, scores, _score)
    if isinstance(scores[RANKING], Mapping) and not _is_number(scores[RANKING].get("value")):
        yield f"{RANKING} of {where} has no value"


def _curve(where: str, curve: Any) -> Problems:
    axes = [name for name in _AXES if isinstance(curve, Mapping) and name in curve]
    if len(axes) != 1:
        yield f"{where} has no axis: one of {', '.join(_AXES)}"
        return
    axis = curve[axes[0]]
    if not _rising(axis) or not axis or axis[0] <= 0.0:
        yield f"{where}: {axes[0]} must be rising numbers above 0"
    elif not all(
        _numbers(curve.get(k), gaps=True) and len(curve[k]) == len(axis) for k in ("value", "low", "high")
    ):
        yield f"{where}: value, low and high must be as many numbers as {axes[0]}"


def _histogram(histogram: Any) -> Problems:
    if histogram is None:
        return
    bars = histogram if isinstance(histogram, Mapping) else {}
    edges, share = bars.get("edges", []), bars.get("share", [])
    if not (_rising(edges) and _numbers(share) and len(edges) == len(share) + 1 > 1):
        yield "its histogram needs edges that rise and a share between each two"


def _table(where: str, rows: Any) -> Problems:
    if not isinstance(rows, list):
        yield f"{where} is no list"
        return
    for row in rows:
        if (
            not isinstance(row, Mapping)
            or not isinstance(row.get("label"), str)
            or not _is_count(row.get("halos"))
            or not _is_count(row.get("regions", 0))
            or not isinstance(row.get("scores"), Mapping)
        ):
            yield f"{where}: a row lacks label, halos, regions or scores"
        else:
            yield from _each(f"{where}, {row['label'][:40]!r}:", row["scores"], _score)


def _regions(where: str, regions: Any) -> Problems:
    ids = regions.get("id") if isinstance(regions, Mapping) else None
    if not isinstance(ids, list) or not all(_is_key(value) for value in ids):
        yield f"{where} lack id: whole numbers"
        return
    for name in ("mse", "mse_climatology"):
        if (name == "mse" or name in regions) and not (
            _numbers(regions.get(name)) and len(regions[name]) == len(ids)
        ):
            yield f"{where}: {name} must be a number for each id"


def _reference(where: str, reference: Any) -> Problems:
    if not isinstance(reference, Mapping) or not isinstance(reference.get("text", ""), str):
        yield f"{where} is no object with a text"
        return
    yield from _ranking(f"scores of {where}", reference.get("scores"))
    yield from _each(f"{where}: curve", reference.get("curves", {}), _curve)
    if "regions" in reference:
        yield from _regions(f"{where}: regions", reference["regions"])


def _image(where: str, image: Any) -> Problems:
    """Whether its bytes can be drawn is found out by drawing: a damaged picture leaves a gap."""
    if (
        not isinstance(image, Mapping)
        or not isinstance(image.get("data"), str)
        or not all(_is_number(image.get(k)) for k in ("low", "high"))
    ):
        yield f"{where} is no picture with data, low and high"


def _case(where: str, case: Any) -> Problems:
    keys = ("region", "snapshot", "halo_id", "los")
    if not isinstance(case, Mapping) or not all(_is_key(case.get(k)) for k in keys):
        yield f"{where} lacks {', '.join(keys)}"
    elif not _is_number(case.get("rms_dex")):
        yield f"{where} lacks rms_dex"
    else:
        for name in ("truth", "prediction", "residual"):
            yield from _image(f"{where}: {name}", case.get(name))


def _number_or_none(where: str, value: Any) -> Problems:
    if value is not None and not _is_number(value):
        yield f"{where} is no number"


def _dataset(dataset: Any) -> Problems:
    if not isinstance(dataset, Mapping) or not all(
        isinstance(dataset.get(k), str) for k in ("name", "digest")
    ):
        yield "its dataset lacks name or digest"
        return
    for name in ("halos", "lines_of_sight", "regions"):
        if not _is_count(dataset.get(name)):
            yield f"its dataset's {name} is no whole number"
    if dataset.get("split", "test") != "test":
        yield "its dataset's split is not test"
    for name in ("synthetic", "sealed"):
        if not isinstance(dataset.get(name, False), bool):
            yield f"its dataset's {name} is neither true nor false"


def result_problems(content: Any) -> Problems:
    """What keeps a file from being a result, a line each; `result.schema.json` says the same to others."""
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        yield f"it does not say it is a {SCHEMA!r}"
        return
    missing = [name for name in _NEEDED if name not in content]
    if missing:
        yield f"it lacks {', '.join(missing)}"
        return
    manifest = {k: content[k] for k in ("name", "authors", "task", "track", *_TEXTS) if content.get(k)}
    yield from check_manifest(manifest)
    yield from _ranking("its scores", content["scores"])
    yield from _dataset(content["dataset"])
    yield from _regions("its regions", content["regions"])
    yield from _histogram(content.get("histogram"))
    yield from _each("secondary", content.get("secondary", {}), _score)
    yield from _each("curves", content.get("curves", {}), _curve)
    yield from _each("tables", content.get("tables", {}), _table)
    yield from _each("references", content.get("references", {}), _reference)
    yield from _each("noise_floor", content.get("noise_floor") or {}, _number_or_none)
    yield from _each("cases", content.get("cases", {}), _case)
    yield from _each("residual_maps", content.get("residual_maps", {}), _image)
    flags = content["flags"]
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        yield "its flags are no list of texts"
    for name in ("ranked", "verified"):
        if not isinstance(content[name], bool):
            yield f"{name} is neither true nor false"
    if content.get("parameters") is not None and not _is_count(content["parameters"]):
        yield "parameters is no whole number"
    if not isinstance(content.get("predictions_sha256") or "", str):
        yield "predictions_sha256 is no text"
    version = content["benchmark_version"]
    if isinstance(version, bool) or not isinstance(version, int | str):
        yield "benchmark_version is neither a number nor a text"
    if content["kind"] not in ("submission", "baseline"):
        yield "kind is neither submission nor baseline"
    if not isinstance(content.get("in_domain", {}), Mapping):
        yield "in_domain is no object"
