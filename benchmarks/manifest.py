"""``submission.json``: what a submission says of itself, checked as the untrusted text it is."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks.texts import field_problems, shown, text_problem
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import NO_VIEWS, track_name

MANIFEST = "submission.json"
PREDICTIONS = "predictions.zarr"

MAX_MANIFEST_BYTES = 1_000_000
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def canonical_track(views: str | Iterable[str]) -> str:
    """The name of a track: its views in the fixed order, joined by commas (``none`` for no view).

    Examples
    --------
    >>> canonical_track(["star", "sz"])
    'sz,star'
    """
    names = views.split(",") if isinstance(views, str) else views
    return track_name(sorted({name.strip() for name in names} - {NO_VIEWS, ""}))


def _plain(value: str, lines: bool = False) -> str:
    problem = text_problem(value, lines=lines)
    if problem is not None:
        raise ValueError(problem)
    return value.strip()


def _day(value: str) -> str:
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"must be a day like 2026-01-31, got {shown(value, 40)!r}") from None
    return value


_Name = Annotated[str, Field(max_length=200), AfterValidator(_plain)]
_Text = Annotated[str, Field(max_length=2000), AfterValidator(_plain)]
_Lines = Annotated[str, Field(max_length=2000), AfterValidator(partial(_plain, lines=True))]
_Link = Annotated[_Text, Field(pattern=r"^https?://\S+$")]
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{16,64}$")]
_STRICT = ConfigDict(strict=True, frozen=True, extra="ignore")


class DatasetIdentity(BaseModel):
    """The data set predicted on: its name, the digest of its store, its recipe's, and what generated it."""

    model_config = _STRICT
    name: _Name | None = None
    digest: _Digest | None = None
    recipe_sha256: _Digest | None = None
    generator: _Name | None = None


class Description(BaseModel):
    """What submissions and results say of themselves; every text of it is untrusted."""

    model_config = _STRICT
    name: Annotated[str, Field(max_length=80), AfterValidator(_plain)]
    authors: Annotated[list[_Name], Field(min_length=1, max_length=200)]
    task: Annotated[str, Field(pattern="^[a-z][a-z0-9-]{1,40}$")]
    track: Annotated[_Name, Field(description="views used, as sz,xray,star")]
    kind: Literal["submission", "baseline"] = "submission"
    """``baseline`` for the project's own."""
    predictions_sha256: _Digest | None = None
    """`tree_digest` of ``predictions.zarr``."""
    parameters: Annotated[int, Field(ge=0, lt=10**15)] | None = None
    """Number of trainable parameters."""
    description: _Lines | None = None
    license: _Text | None = None
    trained_on: _Text | None = None
    training_data: _Text | None = None
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_day)] | None = None
    framework: _Text | None = None
    code: _Link | None = None
    paper: _Link | None = None

    @model_validator(mode="after")
    def _one_track(self) -> Self:
        expected = canonical_track(self.track)
        if self.track != expected:
            raise ValueError(
                f"'track' must name the views used as {expected!r}, got {shown(self.track, 60)!r}"
            )
        return self


class Manifest(Description):
    """What ``submission.json`` says. Fields that are not known are ignored.

    `Manifest.model_json_schema()` is the JSON schema of the file.
    """

    views: list[str] | None = None
    dataset: DatasetIdentity | None = None

    @model_validator(mode="after")
    def _same_views(self) -> Self:
        if self.views is not None and canonical_track(self.views) != self.track:
            raise ValueError(f"'views' {shown(self.views, 80)} do not match the track {self.track!r}")
        return self


def read_manifest(folder: str | Path) -> Manifest:
    """The checked ``submission.json`` of a submission.

    Raises
    ------
    InputError
        With all that is wrong with it, in one line.
    """
    return parse_manifest(load_json(Path(folder) / MANIFEST))


def parse_manifest(content: Any) -> Manifest:
    """A `Manifest`; InputError with all that is wrong with the content."""
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise InputError("; ".join(f"{MANIFEST}: {p}" for p in field_problems(error))) from None


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
    return parse_json(path.read_bytes(), path.name)


def parse_json(data: bytes, name: str) -> Any:
    """Strict JSON of an untrusted file, its name for the message.

    No NaN, no name twice in one object, no half of a surrogate pair; a byte-order mark is passed over.
    """
    try:
        text = data.decode("utf-8-sig")
        content = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
        if _SURROGATE.search(text):
            # An escape may make half of a pair, which no file can hold.
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} is not valid JSON: a text holds half of a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not valid JSON: {shown(error)}") from None
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
