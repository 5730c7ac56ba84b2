"""Which results stand on which board, in which order, and who ties with whom."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.compare import ties_with_best
from benchmarks.manifest import NO_VIEWS
from benchmarks.registry import RANKING
from benchmarks.tasks import TASKS


@dataclass(frozen=True)
class Entry:
    """A result on a board.

    Parameters
    ----------
    slug
        Name of its page: from its name, made unique by its content.
    result
        The result.
    rank
        From 1; None where it is not ranked.
    tie
        Whether it ties with the first; None where that cannot be told.
    """

    slug: str
    result: Mapping[str, Any]
    rank: int | None = None
    tie: bool | None = None


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
        Earlier results of the same name and authors, best first.
    references, noise_floor
        What every board shows beside.
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
        return self.key[3]

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
        trained = f", trained on {self.key[4]}" if self.key[4] else ""
        return f"{self.dataset}: {self.track}{trained}"

    @property
    def title(self) -> str:
        """Heading that stands alone."""
        return f"{self.task_title} on {self.short_title}"


def slug_of(result: Mapping[str, Any]) -> str:
    """A file name for a result's page: nothing of the name survives but letters, digits and dashes."""
    words = re.sub(r"[^a-z0-9]+", "-", str(result["name"]).lower()).strip("-")[:40]
    content = json.dumps(result, sort_keys=True, default=str).encode()
    return f"{words or 'submission'}-{hashlib.sha256(content).hexdigest()[:10]}"


def board_key(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Task, dataset, digest, track, what was trained on (where the task asks), version."""
    trained = str(result.get("trained_on") or "") if result["task"] != "mass-map" else ""
    data = result["dataset"]
    version = str(result.get("benchmark_version", ""))
    return result["task"], data["name"], data["digest"], result["track"], trained, version


def _place(key: tuple[str, ...]) -> tuple[Any, ...]:
    """Boards by task in the benchmark's order, then dataset, then what was trained on, most views first."""
    task, dataset, _, track, trained, _ = key
    order = list(TASKS).index(task) if task in TASKS else len(TASKS)
    views = 0 if track == NO_VIEWS else len(track.split(","))
    return order, task, dataset, trained, -views, key


def _value(entry: Entry) -> float:
    return float(entry.result["scores"][RANKING]["value"])


def make_boards(results: Iterable[Mapping[str, Any]]) -> list[Board]:
    """Sort results into boards.

    Of several results of one name and the same authors the latest by date stands on the board (the best where
    dates do not tell), the others go to its history. A verified one gives way to verified ones alone:
    anybody can send a result under anybody's name. Equal results count once.
    """
    groups: dict[tuple[str, ...], dict[str, Entry]] = {}
    for result in results:
        slug = slug_of(result)
        groups.setdefault(board_key(result), {}).setdefault(slug, Entry(slug, result))
    boards = []
    for key in sorted(groups, key=_place):
        board = Board(key)
        versions: dict[tuple[str, tuple[str, ...]], list[Entry]] = {}
        for entry in sorted(groups[key].values(), key=lambda e: (_value(e), e.slug)):
            who = (entry.result["name"], tuple(entry.result["authors"]))
            versions.setdefault(who, []).append(entry)
            board.references = board.references or entry.result.get("references") or {}
            board.noise_floor = board.noise_floor or entry.result.get("noise_floor")
        current = []
        for found in versions.values():
            newest = max(
                found, key=lambda e: (bool(e.result.get("verified")), str(e.result.get("date") or ""))
            )
            current.append(newest)
            board.history += [entry for entry in found if entry is not newest]
        current.sort(key=lambda e: (not e.result["ranked"], _value(e), e.slug))
        ranked = [entry for entry in current if entry.result["ranked"]]
        ties = ties_with_best([entry.result for entry in ranked]) if ranked else []
        board.entries = [
            Entry(entry.slug, entry.result, place + 1, tie)
            for place, (entry, tie) in enumerate(zip(ranked, ties, strict=True))
        ] + [entry for entry in current if not entry.result["ranked"]]
        boards.append(board)
    return boards
