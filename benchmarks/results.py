"""Results: JSON files of one pydantic model, from which alone the leaderboard is made.

A result may come from anybody. Whatever a page reads has its type, its range and its length here, and what
a result says twice must agree: the ranking score with the figures of its regions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from benchmarks.cases import MAX_SIDE, SHOWN_SAMPLES, unpack_image
from benchmarks.constants import VERSION
from benchmarks.fingerprints import dataset_key
from benchmarks.manifest import Description, load_json
from benchmarks.registry import ANY, CURVES, PROBABILISTIC, RANKING, SCORES
from benchmarks.texts import field_problems, shown, text_problem
from benchmarks.variables import SAMPLE_COUNT
from three_hundred_maps.errors import InputError

SCHEMA = "three_hundred_maps benchmark result 2"
MAX_RESULT_BYTES = 5_000_000
AGREEMENT = 1e-6
"""Relative difference allowed between a score and the same score from its regions' figures."""


def _line(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    problem = text_problem(text)
    if text and problem:
        raise ValueError(problem)
    return text


Text = Annotated[str, Field(max_length=2000), AfterValidator(_line)]
Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_line)]
# Beyond 1e15 a chart has nothing to draw.
Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Square = Annotated[float, Field(ge=0.0, le=1e15)]
Mass = Annotated[float, Field(ge=0.0, le=1e20)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Key = Annotated[int, Field(gt=-(1 << 63), lt=1 << 63)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]


class Part(BaseModel):
    """A part of a result: exact types, finite numbers, no other fields."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Score(Part):
    """A value with the ends of its interval; null where there is none, and ``note`` says why."""

    value: Number | None
    low: Number | None
    high: Number | None
    note: Text = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("has one end of an interval alone")
        numbers = [v for v in (self.low, self.value, self.high) if v is not None]
        if (self.low is not None and len(numbers) < 3) or numbers != sorted(numbers):
            raise ValueError("must have low <= value <= high")
        return self


def _in_range(scores: dict[str, Score]) -> dict[str, Score]:
    for name, score in scores.items():
        low, high = SCORES[name].limits if name in SCORES else ANY
        if score.value is not None and not low <= score.value <= high:
            raise ValueError(f"{shown(name, 40)} must lie between {low:g} and {high:g}, not {score.value:g}")
    return scores


def _ranked(scores: dict[str, Score]) -> dict[str, Score]:
    if RANKING not in scores or scores[RANKING].value is None:
        raise ValueError(f"{RANKING} is missing")
    return scores


Scores = Annotated[dict[Name, Score], AfterValidator(_in_range)]
RankedScores = Annotated[
    dict[Name, Score],
    Field(json_schema_extra={"required": [RANKING]}),
    AfterValidator(_in_range),
    AfterValidator(_ranked),
]


def _rising(values: list[float]) -> list[float]:
    if any(a >= b for a, b in zip(values[:-1], values[1:], strict=True)):
        raise ValueError("must be rising numbers")
    return values


Axis = Annotated[list[Annotated[float, Field(gt=0.0, le=1e15)]], Field(min_length=1), AfterValidator(_rising)]


class Curve(Part):
    """A score along one axis: wave number ``k``, ``radius``, ``mass`` or ``credibility``."""

    k: Axis | None = None
    radius: Axis | None = None
    mass: Axis | None = None
    credibility: Axis | None = None
    value: list[Number | None]
    low: list[Number | None]
    high: list[Number | None]

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        # Of an axis that is there as null, pages would draw nothing.
        axes = [getattr(self, name) for name in self.model_fields_set - {"value", "low", "high"}]
        if len(axes) != 1 or axes[0] is None:
            raise ValueError("must have one axis of k, radius, mass, credibility")
        if {len(self.value), len(self.low), len(self.high)} != {len(axes[0])}:
            raise ValueError("value, low and high must be as many numbers as the axis")
        return self


Curves = Annotated[dict[Literal[*CURVES], Curve], Field()]  # type: ignore[valid-type]


class Histogram(Part):
    """Share of the pixels by residual; the first and the last bin take what lies beyond."""

    edges: Annotated[list[Number], AfterValidator(_rising)]
    share: list[Annotated[float, Field(ge=0.0, le=1.0)]]

    @model_validator(mode="after")
    def _between_edges(self) -> Self:
        if not len(self.edges) == len(self.share) + 1 > 2:
            raise ValueError("must have a share between each two edges")
        # Those on a held-back truth have three digits (`benchmarks.disclosure`): each errs by 0.5 % at most.
        if sum(self.share) > 1.0051:
            raise ValueError("shares must sum to 1")
        return self


class Regions(Part):
    """Mean squared residual, and CRPS, of every region: what two results are compared by."""

    id: list[Key]
    mse: list[Square]
    mse_climatology: list[Square] | None = None
    crps: list[Square] | None = None

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        if len(set(self.id)) != len(self.id):
            raise ValueError("hold a region twice")
        given = [self.mse, *(v for v in (self.mse_climatology, self.crps) if v is not None)]
        if any(len(values) != len(self.id) for values in given):
            raise ValueError("must have one number for each id")
        return self


def _agree(scores: Mapping[str, Score], regions: Regions | None) -> None:
    """Refuse scores that contradict the figures of their regions."""
    if regions is None or not regions.id:
        return
    mse = float(np.mean(regions.mse))
    _same(RANKING, scores, math.sqrt(mse))
    if regions.mse_climatology and "skill" in scores and np.mean(regions.mse_climatology) > 0:
        _same("skill", scores, 1.0 - mse / float(np.mean(regions.mse_climatology)))
    if PROBABILISTIC in scores and regions.crps is not None:
        _same(PROBABILISTIC, scores, float(np.mean(regions.crps)))


def _same(name: str, scores: Mapping[str, Score], expected: float) -> None:
    value = scores[name].value
    if value is None or abs(value - expected) > AGREEMENT * max(1.0, abs(expected)):
        raise ValueError(f"{name} is {value}, but its regions give {expected:.6g}")


class Row(Part):
    """A row of a conditional table."""

    label: Text
    halos: Count
    regions: Count = 0
    scores: Scores


class Reference(Part):
    """A reference row."""

    text: Text = ""
    scores: RankedScores
    curves: Curves = {}
    regions: Regions | None = None

    @model_validator(mode="after")
    def _of_its_regions(self) -> Self:
        _agree(self.scores, self.regions)
        return self


class Image(Part):
    """256 steps between ``low`` and ``high``: deflated, base64."""

    shape: Annotated[list[Annotated[int, Field(gt=0, le=MAX_SIDE)]], Field(min_length=2, max_length=2)]
    low: Number
    high: Number
    data: Annotated[str, Field(max_length=200_000)]

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        unpack_image(self.model_dump())
        return self


class Case(Part):
    """One map: truth, prediction and their difference."""

    simulation: Name | None = None
    region: Key
    snapshot: Key
    halo_id: Key
    los: Count
    rms_dex: Square
    truth: Image
    prediction: Image
    residual: Image
    samples: Annotated[list[Image], Field(max_length=SHOWN_SAMPLES)] = []


class Dataset(Part):
    """What was scored on; `identity` says which data set it is."""

    name: Name
    recipe_sha256: Digest | None = None
    generator: Name | None = None
    digest: Digest
    width_R200c: Annotated[float, Field(gt=0.0, le=100.0)] = 2.0
    fingerprint: dict[Literal["M200c", "cylinder_mass"], list[Mass]] | None = None
    synthetic: bool = False
    split: Literal["test", "all"] = "test"
    target: Annotated[str, Field(pattern=r"^\w{1,80}$")] | None = None
    """What is predicted, where it is not the mass."""
    halos: Count
    lines_of_sight: Count
    regions: Count
    sealed: bool = False


class Training(Part):
    """A store that was trained on, whose climatology is the zero of the skill, and the range of its halos."""

    name: Name
    recipe_sha256: Digest | None = None
    generator: Name | None = None
    digest: Digest
    M200c: Annotated[list[Mass], Field(min_length=2, max_length=2)]
    redshift: Annotated[list[Number], Field(min_length=2, max_length=2)]


class HaloRow(Part):
    """The errors of one halo over all of its maps."""

    split: Literal["train", "validation", "test"]
    simulation: Name | None = None
    region: Key
    snapshot: Key
    halo_id: Key
    M200c: Mass
    redshift: Number
    residual_rms_dex: Square
    rms_over_climatology: Square
    mass_bias: Number
    outside: list[Literal["M200c", "redshift"]]


class InDomain(Part):
    """The result that ``degradation`` is measured from."""

    name: Name
    track: Name


class Result(Description):
    """A result of the benchmark; `Result.model_json_schema()` is the JSON Schema of its file."""

    model_config = Part.model_config
    schema_: Annotated[Literal["three_hundred_maps benchmark result 2"], Field(alias="schema")]
    benchmark_version: Annotated[
        int | Name, Field(description=f"{VERSION}, or the digest of other constants")
    ]
    kind: Literal["submission", "baseline"]
    dataset: Dataset
    in_domain: InDomain | None = None
    ranked: bool
    flags: Annotated[list[Text], FailFast()]
    scores: RankedScores
    secondary: Scores = {}
    curves: Curves = {}
    histogram: Histogram | None = None
    samples: Annotated[int, Field(ge=SAMPLE_COUNT[0], le=SAMPLE_COUNT[1])] | None = None
    rank_histogram: Histogram | None = None
    tables: dict[Name, Annotated[list[Row], FailFast()]] = {}
    training: Annotated[list[Training], FailFast()] = []
    halos: Annotated[list[HaloRow], FailFast()] = []
    regions: Regions | None = None
    residual_maps: dict[Literal["mean", "rms"], Image] = {}
    cases: dict[Literal["best", "median", "worst"], Case] = {}
    references: dict[Name, Reference] = {}
    noise_floor: dict[Name, Number | None] | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (self.regions is None) != self.dataset.sealed:
            raise ValueError("regions: figures of regions belong to results on open data, to all of them")
        if self.regions is not None and len(self.regions.id) != self.dataset.regions:
            raise ValueError(
                f"its dataset has {self.dataset.regions} regions, its regions are another number"
            )
        if self.halos and len(self.halos) != self.dataset.halos:
            raise ValueError(f"its dataset has {self.dataset.halos} halos, its table {len(self.halos)}")
        _agree(self.scores, self.regions)
        return self


def result_problems(content: Any) -> list[str]:
    """What keeps a file from being a result, a line each."""
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        return [f"it does not say it is a {SCHEMA!r}"]
    try:
        Result.model_validate(content)
    except ValidationError as error:
        return [shown(problem, 300) for problem in field_problems(error)]
    return []


def check_result(content: Any, where: object = "this") -> dict[str, Any]:
    """``content`` where it is a result; InputError with why it is none."""
    problems = result_problems(content)
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(f"{where} is not a result: {'; '.join(problems[:3])}{more}")
    checked: dict[str, Any] = content
    return checked


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
    return check_result(load_json(path, MAX_RESULT_BYTES), path)


def identity(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Which data set a result was scored on, as `dataset_key` tells it."""
    return dataset_key(result["dataset"], result.get("training", []))
