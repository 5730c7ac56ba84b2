"""Which results stand on which board, in which order, and who ties with whom.

A result is verified by where it lies, never by what it says: maintainers name a folder of results that they
scored themselves. Only those supersede each other by date and are marked as baselines. Reference rows and
noise floor are those of the data set's record, never those of a result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from benchmarks.compare import ties_with_best
from benchmarks.fingerprints import fingerprint_problem
from benchmarks.manifest import NO_VIEWS
from benchmarks.records import find_record
from benchmarks.registry import BELOW_NOISE, PROBABILISTIC, RANKING
from benchmarks.results import identity
from benchmarks.tasks import TASKS, Task
from benchmarks.texts import skeleton

OTHER_TRUTH = "scored on another truth than this data set's"


class Key(NamedTuple):
    """What the results of one board have in common."""

    task: str
    data: tuple[str, ...]
    track: str
    version: str
    score: str = RANKING
    """What ranks: `RANKING`, or `PROBABILISTIC` among probabilistic predictions."""


@dataclass(frozen=True)
class Entry:
    """A result on a board.

    Parameters
    ----------
    slug
        Name of its page: from its name, made unique by its content.
    result
        The result.
    verified
        Whether it was scored by the maintainers.
    rank
        From 1; None where it is not ranked.
    tie
        Whether it ties with the first; None where that cannot be told.
    warnings
        What the board found beside the result's own flags.
    """

    slug: str
    result: Mapping[str, Any]
    verified: bool = False
    rank: int | None = None
    tie: bool | None = None
    warnings: tuple[str, ...] = ()

    def value(self, score: str) -> float:
        """A score that ranks."""
        return float(self.result["scores"][score]["value"])

    @property
    def set_aside(self) -> bool:
        """Whether it says nothing beside the others: below the noise floor, or on another truth."""
        return bool({BELOW_NOISE, OTHER_TRUTH} & {*self.result["flags"], *self.warnings})


@dataclass
class Board:
    """One table: a task, a dataset and a track, which are never mixed.

    Parameters
    ----------
    key
        What the results have in common.
    entries
        Ranked ones by rank, then the others.
    history
        Earlier verified results of the same name and authors, best first.
    references, noise_floor
        Of the data set's record; empty and None where none is known.
    """

    key: Key
    entries: list[Entry] = field(default_factory=list)
    history: list[Entry] = field(default_factory=list)
    references: Mapping[str, Any] = field(default_factory=dict)
    noise_floor: Mapping[str, Any] | None = None

    @property
    def anchor(self) -> str:
        """Where the board stands on its page."""
        return "board-" + hashlib.sha256(repr(self.key).encode()).hexdigest()[:10]

    @property
    def of_task(self) -> Task:
        """Its task; of one that is not known its name alone, and a recipe of nothing."""
        name = self.key.task
        return TASKS.get(name) or Task(name, name, "", (("", self.key.data[0]),))

    @property
    def short_title(self) -> str:
        """Heading below that of its task."""
        training = self.entries[0].result.get("training", [])
        names = " and ".join(data["name"] for data in training)
        kind = ", probabilistic" if self.key.score == PROBABILISTIC else ""
        zero = f", zero of the skill: {names}" if names else ""
        return f"{self.key.data[0]}: {self.key.track}{kind}{zero}"

    @property
    def title(self) -> str:
        """Heading that stands alone."""
        return f"{self.of_task.title} on {self.short_title}"


_TOLD_BY = (
    "benchmark_version",
    "name",
    "authors",
    "date",
    "task",
    "track",
    "trained_on",
    "dataset",
    "predictions_sha256",
    "scores",
)


def slug_of(result: Mapping[str, Any]) -> str:
    """A file name for a result's page: nothing of the name survives but letters, digits and dashes."""
    words = re.sub(r"[^a-z0-9]+", "-", str(result["name"]).lower()).strip("-")[:40]
    content = json.dumps({key: result.get(key) for key in _TOLD_BY}, sort_keys=True).encode()
    return f"{words or 'submission'}-{hashlib.sha256(content).hexdigest()[:10]}"


def board_keys(result: Mapping[str, Any]) -> list[Key]:
    """What a result has in common with the others of its boards: all stand on that of the maps, probabilistic
    predictions on a board of their own too."""
    of_maps = Key(result["task"], identity(result), result["track"], str(result["benchmark_version"]))
    probabilistic = result["scores"].get(PROBABILISTIC, {}).get("value") is not None
    return [of_maps, *([of_maps._replace(score=PROBABILISTIC)] if probabilistic else [])]


def _place(key: Key) -> tuple[Any, ...]:
    """Boards by task in the benchmark's order, then data set, most views first."""
    order = list(TASKS).index(key.task) if key.task in TASKS else len(TASKS)
    views = 0 if key.track == NO_VIEWS else len(key.track.split(","))
    return order, key.task, key.data, -views, key[:4], key.score != RANKING


def make_boards(
    results: Iterable[Mapping[str, Any]], verified: Iterable[Mapping[str, Any]] = ()
) -> list[Board]:
    """Sort results into boards; equal results count once.

    Parameters
    ----------
    results
        From anybody.
    verified
        Scored by the maintainers. Of several of one name and the same authors the latest by date stands on
        the board (the best where dates do not tell), the others go to its history.
    """
    entries: dict[str, Entry] = {}
    for trusted, given in ((True, verified), (False, results)):
        for result in given:
            slug = slug_of(result)
            entries.setdefault(slug, Entry(slug, result, trusted))
    groups: dict[Key, list[Entry]] = {}
    for entry in entries.values():
        for key in board_keys(entry.result):
            groups.setdefault(key, []).append(entry)
    return [
        _board(key, sorted(groups[key], key=lambda e: (e.value(key.score), e.slug)))
        for key in sorted(groups, key=_place)
    ]


def _board(key: Key, entries: list[Entry]) -> Board:
    """The board of its entries, best first."""
    record = find_record(entries[0].result) or {}
    board = Board(key, references=record.get("references", {}), noise_floor=record.get("noise_floor"))
    floor = (board.noise_floor or {}).get(RANKING) or 0.0
    versions: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        result = entry.result
        who = (
            (result["name"], result.get("trained_on"), *result["authors"])
            if entry.verified
            else (entry.slug,)
        )
        versions.setdefault((entry.verified, *who), []).append(entry)
    known = {skeleton(entry.result["name"]) for entry in entries if entry.verified}
    current = []
    for found in versions.values():
        newest = max(found, key=lambda e: str(e.result.get("date") or ""))
        board.history += [entry for entry in found if entry is not newest]
        warnings = []
        marks = newest.result["dataset"].get("fingerprint")
        if record.get("fingerprint") and marks and fingerprint_problem(marks, record["fingerprint"]):
            warnings.append(OTHER_TRUTH)
        if newest.value(RANKING) < floor and BELOW_NOISE not in newest.result["flags"]:
            warnings.append(BELOW_NOISE)
        if not newest.verified and skeleton(newest.result["name"]) in known:
            warnings.append("not the verified result of this name")
        current.append(replace(newest, warnings=tuple(warnings)))
    # The newest of a name need not be its best, by which the names came here.
    current.sort(key=lambda e: (e.value(key.score), e.slug))
    ranked = [e for e in current if e.result["ranked"] and not e.set_aside]
    others = [e for e in current if e not in ranked]
    ties = ties_with_best([entry.result for entry in ranked], score=key.score)
    board.entries = [
        replace(entry, rank=place + 1, tie=tie)
        for place, (entry, tie) in enumerate(zip(ranked, ties, strict=True))
    ] + others
    return board
