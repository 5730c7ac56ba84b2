"""Records of data sets: what a data set is, its fingerprint, its reference rows and its noise floor.

A board takes these from the record of its data set, never from a result: from a record that is kept with the
package (`FOLDER`), else from what was measured on this machine. A store that says it is a data set with a
kept record is held against the record's fingerprint before anything is scored.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from benchmarks.constants import STANDARD, VERSION
from benchmarks.fingerprints import dataset_key, fingerprint_problem
from benchmarks.references import Background, load_background
from benchmarks.truth import Truth
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_json

FOLDER = "datasets"


def write_record(folder: str | Path, truth: Truth, background: Background) -> Path:
    """Write the record of a data set under its name; returns its path."""
    content, dataset = background.to_json(), truth.identity
    names = "-and-".join(data["name"] for data in truth.training)
    target = f"-{dataset['target']}" if "target" in dataset else ""
    path = Path(folder) / f"{dataset['name']}{target}{'-from-' + names if names else ''}.json"
    record = {
        "benchmark_version": VERSION,
        "dataset": dataset,
        "training": truth.training,
        **{name: content[name] for name in ("fingerprint", "references", "noise_floor")},
    }
    write_json(path, record)
    return path


@functools.cache
def kept_records() -> dict[tuple[str, ...], dict[str, Any]]:
    """The records that are kept with the package, by `dataset_key`."""
    folder = resources.files("benchmarks").joinpath(FOLDER)
    if not folder.is_dir():
        return {}
    found = [json.loads(f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".json")]
    return {
        dataset_key(record["dataset"], record["training"]): record
        for record in found
        if record["benchmark_version"] == VERSION
    }


def find_record(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The record of the data set of a result: kept with the package, else measured on this machine.

    Of a result of another version its fingerprint alone: reference rows and floor are those of this one.
    """
    dataset, training = result["dataset"], result.get("training", [])
    found = kept_records().get(dataset_key(dataset, training))
    if str(result["benchmark_version"]) != str(VERSION):
        return found and {"fingerprint": found["fingerprint"]}
    if found is not None:
        return found
    background = load_background(dataset, training, STANDARD)
    return None if background is None else background.to_json()


def check_store(truth: Truth, background: Background) -> None:
    """Refuse a store that is not the data set it says it is."""
    record = kept_records().get(dataset_key(truth.identity, truth.training))
    if record is None or truth.constants != STANDARD or truth.sealed:
        return
    problem = fingerprint_problem(background.fingerprint or {}, record["fingerprint"])
    if problem is not None:
        raise InputError(
            f"{truth.path} says it is {truth.name}, but its truth is another: {problem}; build it again"
        )
