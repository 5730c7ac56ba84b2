"""Progress: one small JSON file a finished shard, written after the shard's files are on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import sha256_file, write_json
from three_hundred_maps.store import schema
from three_hundred_maps.store.layout import LAYOUT_FILE, Layout
from three_hundred_maps.store.statistics import Statistics

PROGRESS = "progress"


@dataclass(frozen=True)
class ShardRecord:
    """What a finished shard says of itself.

    Parameters
    ----------
    split, shard
        Its place.
    layout
        `Layout.digest` of the store it was written for.
    files
        Path within the store -> {"sha256", "bytes"}.
    halos
        (n,) arrays of the halo variables.
    totals
        (n, los) float64 by view.
    refused
        Planned halos that were left out: the key and the ``reason``.
    statistics
        Of the shard's maps; None outside train.
    """

    split: str
    shard: int
    layout: str
    files: Mapping[str, Mapping[str, Any]]
    halos: Mapping[str, NDArray[Any]]
    totals: Mapping[str, NDArray[np.float64]]
    refused: list[dict[str, Any]] = field(default_factory=list)
    statistics: Statistics | None = None

    @property
    def rows(self) -> int:
        """Halos in the shard."""
        return len(self.halos["region"])

    def to_json(self) -> dict[str, Any]:
        """As written to disk."""
        return {
            "split": self.split,
            "shard": self.shard,
            "layout": self.layout,
            "files": {name: dict(value) for name, value in self.files.items()},
            # As text, which has words for NaN and infinity and holds every digit.
            "halos": {name: values.astype(np.str_).tolist() for name, values in self.halos.items()},
            "lines_of_sight": next(iter(self.totals.values())).shape[1],
            "totals": {name: values.tolist() for name, values in self.totals.items()},
            "refused": self.refused,
            "statistics": None if self.statistics is None else self.statistics.to_json(),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ShardRecord:
        """The inverse of `to_json`."""
        halos = {
            name: variable.column(value["halos"][name])
            for name, variable in schema.halo_variables(value["halos"]).items()
        }
        n, n_los = len(halos["region"]), value["lines_of_sight"]
        return ShardRecord(
            value["split"],
            value["shard"],
            value["layout"],
            value["files"],
            halos,
            {k: np.array(v, np.float64).reshape(n, n_los) for k, v in value["totals"].items()},
            value["refused"],
            None if value["statistics"] is None else Statistics.from_json(value["statistics"]),
        )


def record_path(store: Path, split: str, shard: int) -> Path:
    """Where a shard's record lies."""
    return store / PROGRESS / f"{split}-{shard:05d}.json"


def write_record(store: Path, record: ShardRecord) -> None:
    """Write a shard's record: from then on the shard counts as done."""
    write_json(record_path(store, record.split, record.shard), record.to_json())


def read_record(store: Path, split: str, shard: int) -> ShardRecord | None:
    """A shard's record, or None where the shard is not done."""
    path = record_path(store, split, shard)
    try:
        return ShardRecord.from_json(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error}): delete it and build again, the shard is then redone"
        ) from None


def is_done(store: Path, layout: Layout, split: str, shard: int, *, checksums: bool = False) -> bool:
    """Whether a shard's record and all its files are there, of the right size; with ``checksums``, whole."""
    record = read_record(store, split, shard)
    if record is None:
        return False
    if record.layout != layout.digest():
        raise InputError(
            f"{record_path(store, split, shard)} was written for another recipe; build into an empty folder"
        )
    return all(
        (store / name).is_file()
        and (store / name).stat().st_size == value["bytes"]
        and (not checksums or sha256_file(store / name) == value["sha256"])
        for name, value in record.files.items()
    )


def read_layout(store: Path) -> Layout:
    """The layout of an unfinished store."""
    try:
        return Layout.from_json(json.loads((store / LAYOUT_FILE).read_bytes()))
    except FileNotFoundError:
        raise InputError(f"{store} is not a store under construction: it has no {LAYOUT_FILE}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{store / LAYOUT_FILE} is damaged: {error}") from None
