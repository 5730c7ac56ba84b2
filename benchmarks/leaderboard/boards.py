"""Which results stand on which board, in which order, and who ties with whom.

A result is verified by where it lies, never by what it says: maintainers name a folder of results that they
scored themselves. Only those supersede each other by date, are marked as baselines, and supply the
reference rows and the noise floor of their data set.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.compare import ties_with_best
from benchmarks.manifest import NO_VIEWS
from benchmarks.registry import BELOW_NOISE, RANKING
from benchmarks.results import identity
from benchmarks.tasks import TASKS
from benchmarks.texts import skeleton


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

    @property
    def value(self) -> float:
        """The score that ranks."""
        return float(self.result["scores"][RANKING]["value"])

    @property
    def below_noise(self) -> bool:
        """Whether it lies below the noise floor."""
        return BELOW_NOISE in (*self.result["flags"], *self.warnings)


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
        Of the data set; empty and None where no trusted result has them.
    """

    key: tuple[str, ...]
    entries: list[Entry] = field(default_factory=list)
    history: list[Entry] = field(default_factory=list)
    references: Mapping[str, Any] = field(default_factory=dict)
    noise_floor: Mapping[str, Any] | None = None

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.key[0]

    @property
    def track(self) -> str:
        """Views used."""
        return self.key[4]

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.key[1]

    @property
    def anchor(self) -> str:
        """Where the board stands on its page."""
        return "board-" + hashlib.sha256(repr(self.key).encode()).hexdigest()[:10]

    @property
    def task_title(self) -> str:
        """Heading of the boards of its task."""
        return TASKS[self.task].title if self.task in TASKS else self.task

    @property
    def short_title(self) -> str:
        """Heading below that of its task."""
        trained = f", trained on {self.key[5]}" if self.key[5] else ""
        return f"{self.dataset}: {self.track}{trained}"

    @property
    def title(self) -> str:
        """Heading that stands alone."""
        return f"{self.task_title} on {self.short_title}"


_TOLD_BY = (
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


def board_key(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Task, data set (name, recipe, generator), track, what was trained on (where the task asks), version."""
    trained = str(result.get("trained_on") or "") if result["task"] != "mass-map" else ""
    return result["task"], *identity(result), result["track"], trained, str(result["benchmark_version"])


def _place(key: tuple[str, ...]) -> tuple[Any, ...]:
    """Boards by task in the benchmark's order, then dataset, then what was trained on, most views first."""
    task, dataset, _, _, track, trained, _ = key
    order = list(TASKS).index(task) if task in TASKS else len(TASKS)
    views = 0 if track == NO_VIEWS else len(track.split(","))
    return order, task, dataset, trained, -views, key


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
    backgrounds = _backgrounds(entries.values())
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in sorted(entries.values(), key=lambda e: (e.value, e.slug)):
        groups.setdefault(board_key(entry.result), []).append(entry)
    return [_board(key, groups[key], *backgrounds[_data(key)]) for key in sorted(groups, key=_place)]


def _data(key: tuple[str, ...]) -> tuple[str, ...]:
    """Of a board's key, the data set and the version of the benchmark."""
    return (*key[1:4], key[-1])


Background = tuple[Mapping[str, Any], Mapping[str, Any] | None]


def _backgrounds(entries: Iterable[Entry]) -> dict[tuple[str, ...], Background]:
    """Reference rows and noise floor of every data set.

    From verified results; where there are none, only if all results of the data set agree on them.
    """
    by_data: dict[tuple[str, ...], list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (not e.verified, e.slug)):
        by_data.setdefault(_data(board_key(entry.result)), []).append(entry)
    found: dict[tuple[str, ...], Background] = {}
    for data, group in by_data.items():
        first = group[0].result
        agree = group[0].verified or all(_same_background(first, entry.result) for entry in group)
        found[data] = (first.get("references") or {}, first.get("noise_floor")) if agree else ({}, None)
    return found


def _same_background(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    def levels(result: Mapping[str, Any]) -> dict[str, float]:
        rows = {name: row["scores"][RANKING]["value"] for name, row in result.get("references", {}).items()}
        floor = (result.get("noise_floor") or {}).get(RANKING)
        return rows if floor is None else {**rows, "": floor}

    a, b = levels(first), levels(second)
    return a.keys() == b.keys() and all(math.isclose(a[k], b[k], rel_tol=1e-3) for k in a)


def _board(
    key: tuple[str, ...],
    entries: list[Entry],
    references: Mapping[str, Any],
    noise_floor: Mapping[str, Any] | None,
) -> Board:
    """The board of its entries, best first."""
    board = Board(key, references=references, noise_floor=noise_floor)
    floor = (noise_floor or {}).get(RANKING) or 0.0
    versions: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        who = (entry.result["name"], *entry.result["authors"]) if entry.verified else (entry.slug,)
        versions.setdefault((entry.verified, *who), []).append(entry)
    known = {skeleton(entry.result["name"]) for entry in entries if entry.verified}
    current = []
    for found in versions.values():
        newest = max(found, key=lambda e: str(e.result.get("date") or ""))
        board.history += [entry for entry in found if entry is not newest]
        warnings = []
        if newest.value < floor and not newest.below_noise:
            warnings.append(BELOW_NOISE)
        if not newest.verified and skeleton(newest.result["name"]) in known:
            warnings.append("not the verified result of this name")
        current.append(replace(newest, warnings=tuple(warnings)))
    ranked = [e for e in current if e.result["ranked"] and not e.below_noise]
    others = [e for e in current if not e.result["ranked"] or e.below_noise]
    ties = ties_with_best([entry.result for entry in ranked])
    board.entries = [
        replace(entry, rank=place + 1, tie=tie)
        for place, (entry, tie) in enumerate(zip(ranked, ties, strict=True))
    ] + others
    return board
