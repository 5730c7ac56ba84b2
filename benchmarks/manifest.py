"""``submission.json``: what a submission says of itself, checked as the untrusted text it is."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.texts import shown, text_problem
from three_hundred_maps.errors import InputError

MANIFEST = "submission.json"
PREDICTIONS = "predictions.zarr"
SEALED_KEY = "key"
"""The variable that takes the place of the halo's key in sealed inputs."""

VIEW_ORDER = ("sz", "xray", "star")
"""Tracks name these views first and in this order; others follow by name."""
NO_VIEWS = "none"
"""The track of what sees no map at all."""
KINDS = ("submission", "baseline")

MAX_MANIFEST_BYTES = 1_000_000
MAX_TEXT = 2000
MAX_NAME = 80
MAX_AUTHORS = 200
REQUIRED = ("name", "authors", "task", "track")
OPTIONAL_TEXT = ("description", "license", "trained_on", "training_data", "date", "framework")
OPTIONAL_LINK = ("code", "paper")
_TASK = re.compile(r"[a-z][a-z0-9-]{1,40}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DIGEST = re.compile(r"[0-9a-f]{16,64}")


def canonical_track(views: str | Iterable[str]) -> str:
    """The name of a track: its views in the fixed order, joined by commas (``none`` for no view).

    Examples
    --------
    >>> canonical_track(["star", "sz"])
    'sz,star'
    """
    names = views.split(",") if isinstance(views, str) else list(views)
    names = sorted({name.strip() for name in names if name.strip()} - {NO_VIEWS})
    first = [view for view in VIEW_ORDER if view in names]
    return ",".join(first + [name for name in names if name not in VIEW_ORDER]) or NO_VIEWS


def track_views(track: str) -> tuple[str, ...]:
    """The views a track names."""
    return () if track == NO_VIEWS else tuple(track.split(","))


@dataclass(frozen=True)
class Manifest:
    """What ``submission.json`` says; every text of it is untrusted.

    Parameters
    ----------
    name, authors, task, track
        Required. ``track`` is the set of views used, as ``sz,xray,star``.
    kind
        ``submission``, or ``baseline`` for the project's own.
    dataset_name, dataset_digest
        The store predicted on, and its digest.
    predictions_sha256
        `tree_digest` of ``predictions.zarr``.
    parameters
        Number of trainable parameters.
    extra
        The other optional fields: description, code, paper, license, trained_on, training_data, date,
        framework.
    """

    name: str
    authors: tuple[str, ...]
    task: str
    track: str
    kind: str = "submission"
    dataset_name: str | None = None
    dataset_digest: str | None = None
    predictions_sha256: str | None = None
    parameters: int | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The content of ``submission.json``."""
        content: dict[str, Any] = {
            "name": self.name,
            "authors": list(self.authors),
            "task": self.task,
            "track": self.track,
            "kind": self.kind,
            **self.extra,
        }
        dataset = {"name": self.dataset_name, "digest": self.dataset_digest}
        if any(dataset.values()):
            content["dataset"] = {key: value for key, value in dataset.items() if value}
        if self.predictions_sha256:
            content["predictions_sha256"] = self.predictions_sha256
        if self.parameters is not None:
            content["parameters"] = self.parameters
        return content


def _text_problems(
    content: Mapping[str, Any], name: str, limit: int, *, lines: bool = False
) -> Iterator[str]:
    problem = text_problem(content.get(name), limit, lines=lines)
    if problem is not None:
        yield f"{MANIFEST}: {name!r} {problem}"


def check_manifest(content: Any) -> list[str]:
    """All that is wrong with the content of ``submission.json``, one line each."""
    if not isinstance(content, Mapping):
        return [f"{MANIFEST}: expected a JSON object with {', '.join(REQUIRED)}"]
    problems = [f"{MANIFEST}: {name!r} is missing" for name in REQUIRED if name not in content]
    for name, limit in (("name", MAX_NAME), ("task", 60), ("track", 200)):
        if name in content:
            problems += _text_problems(content, name, limit)
    for name in (*OPTIONAL_TEXT, *OPTIONAL_LINK):
        if name in content:
            problems += _text_problems(content, name, MAX_TEXT, lines=name == "description")
    for name in OPTIONAL_LINK:
        value = content.get(name)
        if isinstance(value, str) and not re.match(r"https?://[^\s]+$", value):
            problems.append(f"{MANIFEST}: {name!r} must be a link that starts with http:// or https://")
    problems += _authors_problems(content.get("authors", ["?"]))
    task, track = content.get("task"), content.get("track")
    if isinstance(task, str) and not _TASK.fullmatch(task):
        problems.append(
            f"{MANIFEST}: 'task' must be the name of a task, as mass-map; got {shown(task, 60)!r}"
        )
    if isinstance(track, str) and len(track) <= 200:
        expected = canonical_track(track)
        if track != expected:
            problems.append(
                f"{MANIFEST}: 'track' must name the views used as {expected!r}, got {shown(track, 60)!r}"
            )
        views = content.get("views")
        if views is not None and (
            not isinstance(views, list)
            or not all(isinstance(view, str) for view in views)
            or canonical_track(views) != expected
        ):
            problems.append(f"{MANIFEST}: 'views' {shown(views, 80)} do not match the track {track!r}")
    if content.get("kind", "submission") not in KINDS:
        problems.append(f"{MANIFEST}: 'kind' must be one of {', '.join(KINDS)}")
    date = content.get("date")
    if isinstance(date, str) and not _is_date(date):
        problems.append(f"{MANIFEST}: 'date' must be a day like 2026-01-31, got {shown(date, 40)!r}")
    parameters = content.get("parameters")
    if parameters is not None and (
        isinstance(parameters, bool) or not isinstance(parameters, int) or not 0 <= parameters < 10**15
    ):
        problems.append(f"{MANIFEST}: 'parameters' must be the whole number of trainable parameters")
    return problems + _dataset_problems(content)


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and datetime.date.fromisoformat(text) is not None
    except ValueError:
        return False


def _authors_problems(authors: Any) -> Iterator[str]:
    if not isinstance(authors, list) or not 1 <= len(authors) <= MAX_AUTHORS:
        yield f"{MANIFEST}: 'authors' must be a list of 1 to {MAX_AUTHORS} names"
        return
    for author in authors:
        yield from _text_problems({"authors": author}, "authors", 200)


def _dataset_problems(content: Mapping[str, Any]) -> list[str]:
    problems = []
    dataset = content.get("dataset", {})
    if not isinstance(dataset, Mapping) or not all(
        isinstance(v, str) and len(v) <= 200 for v in dataset.values()
    ):
        return [f"{MANIFEST}: 'dataset' must be an object with the texts name and digest"]
    for name, value in (
        ("dataset.digest", dataset.get("digest")),
        ("predictions_sha256", content.get("predictions_sha256")),
    ):
        if value is not None and not (isinstance(value, str) and _DIGEST.fullmatch(value)):
            problems.append(f"{MANIFEST}: {name!r} must be 16 to 64 hexadecimal digits")
    return problems


def parse_manifest(content: Mapping[str, Any]) -> Manifest:
    """A `Manifest` of checked content (`check_manifest` found nothing)."""
    dataset = content.get("dataset", {})
    return Manifest(
        name=content["name"].strip(),
        authors=tuple(author.strip() for author in content["authors"]),
        task=content["task"],
        track=content["track"],
        kind=content.get("kind", "submission"),
        dataset_name=dataset.get("name"),
        dataset_digest=dataset.get("digest"),
        predictions_sha256=content.get("predictions_sha256"),
        parameters=content.get("parameters"),
        extra={k: content[k] for k in (*OPTIONAL_TEXT, *OPTIONAL_LINK) if k in content},
    )


def load_json(path: Path, limit: int = MAX_MANIFEST_BYTES) -> Any:
    """A small JSON file of a submission, refused before it is read when it is too large or a link.

    Raises
    ------
    InputError
        Where there is no such file, it is a link, larger than ``limit`` bytes, or not JSON.
    """
    if path.is_symlink():
        raise InputError(f"{path.name} is a link; a submission holds plain files only")
    if not path.is_file():
        raise InputError(
            f"{path.parent.name}/{path.name} is missing or no file; "
            f"a submission is a folder with {MANIFEST} and {PREDICTIONS}"
        )
    size = path.stat().st_size
    if size > limit:
        raise InputError(f"{path.name} has {size:,} bytes; at most {limit:,} are read")
    try:
        # Some editors put a byte-order mark first. json's own NaN and Infinity are not JSON; deep nesting
        # ends in RecursionError.
        text = path.read_bytes().decode("utf-8-sig")
        content = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
        # An escape may make half of a surrogate pair, which no file can hold.
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError(f"{path.name} is not valid JSON: a text holds half of a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not valid JSON: {shown(error)}") from None
    return content


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice, 40)!r} stands twice in one object")
    return content


def read_manifest(folder: str | Path) -> Manifest:
    """The checked ``submission.json`` of a submission.

    Raises
    ------
    InputError
        With all that is wrong with it, in one line.
    """
    content = load_json(Path(folder) / MANIFEST)
    problems = check_manifest(content)
    if problems:
        raise InputError("; ".join(problems))
    return parse_manifest(content)
