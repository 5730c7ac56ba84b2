"""Checks of a submission: all that is wrong at once, with what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.manifest import (
    MANIFEST,
    NO_VIEWS,
    PREDICTIONS,
    Manifest,
    check_manifest,
    load_json,
    parse_manifest,
    track_views,
)
from benchmarks.predictions import Predictions, check_tree
from benchmarks.submissions import tree_digest, value_problem
from benchmarks.tasks import check_task
from benchmarks.texts import shown
from benchmarks.truth import Truth
from three_hundred_maps.errors import InputError

SHOWN = 5
BLOCK = 8


def _listed(keys: list[tuple[int, ...]]) -> str:
    shown = ", ".join("(" + ", ".join(map(str, key)) + ")" for key in keys[:SHOWN])
    return shown + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")


def _tuples(keys: dict[str, NDArray[np.int64]]) -> list[tuple[int, ...]]:
    return list(zip(*(values.tolist() for values in keys.values()), strict=True))


def order_of(predictions: Predictions, truth: Truth) -> tuple[NDArray[np.int64], list[str]]:
    """Row in the predictions of every halo of the truth (-1: missing), and what is wrong with the keys."""
    names, expected = "(" + ", ".join(truth.keys) + ")", set(truth.keys)
    if set(predictions.keys) != expected:
        return np.full(truth.n_halos, -1), [
            f"{PREDICTIONS}: halos are named by {', '.join(predictions.keys)}; "
            f"expected {', '.join(truth.keys)}"
        ]
    if len({len(v) for v in predictions.keys.values()}) != 1:
        lengths = {name: len(v) for name, v in predictions.keys.items()}
        return np.full(truth.n_halos, -1), [f"{PREDICTIONS}: key variables differ in length: {lengths}"]
    given, wanted = _tuples(predictions.keys), _tuples(truth.keys)
    place: dict[tuple[int, ...], int] = {}
    duplicates = []
    for row, key in enumerate(given):
        if key in place:
            duplicates.append(key)
        place.setdefault(key, row)
    missing = [key for key in wanted if key not in place]
    extra = sorted(set(given) - set(wanted))
    problems = [
        f"{PREDICTIONS}: {len(keys)} {what}: {names} = {_listed(keys)}"
        for keys, what in (
            (missing, f"of {truth.n_halos} test halos missing"),
            (extra, f"halos that are not in the test split of {truth.name}"),
            (sorted(set(duplicates)), "halos more than once"),
        )
        if keys
    ]
    return np.array([place.get(key, -1) for key in wanted], np.int64), problems


def _shape_problems(predictions: Predictions, truth: Truth) -> Iterator[str]:
    halos = len(next(iter(predictions.keys.values())))
    tail = (truth.n_los, truth.grid.pixels, truth.grid.pixels)
    for name, info in predictions.maps.items():
        if info.shape[1:] != tail:
            yield (
                f"{PREDICTIONS}/{name}: shape {info.shape}; expected (halo, los, y, x) = "
                f"({truth.n_halos}, {', '.join(map(str, tail))})"
            )
        elif info.shape[0] != halos:
            yield f"{PREDICTIONS}/{name}: {info.shape[0]} halos, but {halos} keys"


def _value_problems(predictions: Predictions) -> Iterator[str]:
    for name, info in predictions.maps.items():
        step = max(BLOCK, info.chunk[0])
        for first in range(0, info.shape[0], step):
            rows = np.arange(first, min(first + step, info.shape[0]))
            bad = value_problem(name, predictions.read(name, rows))
            if bad is not None:
                yield (
                    f"{PREDICTIONS}/{name}: {bad[1]} at halo row {first + bad[0]}; expected finite values, "
                    + ("above 0 dex" if name == "mass_sigma" else "0 or above, in Msun kpc-2")
                )
                break


def _match_problems(manifest: Manifest, truth: Truth) -> Iterator[str]:
    yield from check_task(manifest.task)
    trained = manifest.extra.get("trained_on")
    if manifest.task == "cross-code" and trained == truth.name:
        yield (
            f"{MANIFEST}: trained on {shown(trained, 60)} and scored on it is the task mass-map, "
            "not cross-code"
        )
    if manifest.dataset_digest and not truth.digest.startswith(manifest.dataset_digest):
        yield (
            f"{MANIFEST}: predictions for the dataset of digest {manifest.dataset_digest[:16]}; "
            f"this one ({truth.name}) has {truth.digest[:16]}"
        )
    unknown = [view for view in track_views(manifest.track) if view not in truth.views]
    if unknown:
        yield (
            f"{MANIFEST}: the track names {', '.join(unknown)}; the dataset's views are "
            f"{', '.join(truth.views)} ({NO_VIEWS!r} for a prediction without input)"
        )


def find_problems(
    folder: str | Path, truth: Truth | None = None, *, values: bool = True
) -> tuple[list[str], Manifest | None, Predictions | None]:
    """Everything that is wrong with a submission.

    Parameters
    ----------
    folder
        The submission.
    truth
        What it is checked against; without it only what a submission is in itself.
    values
        Look at every value (a whole pass over the predictions).

    Returns
    -------
    The problems, one line each, and what could be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no submission at {folder}: it is a folder with {MANIFEST} and {PREDICTIONS}")
    problems = check_tree(folder)
    if problems:
        return problems, None, None
    manifest, predictions = None, None
    try:
        content = load_json(folder / MANIFEST)
        problems += check_manifest(content)
        manifest = None if problems else parse_manifest(content)
    except InputError as error:
        problems.append(str(error))
    try:
        predictions = Predictions(folder)
    except InputError as error:
        problems.append(str(error))
    if manifest is not None and predictions is not None and manifest.predictions_sha256:
        found = tree_digest(folder / PREDICTIONS)
        if not found.startswith(manifest.predictions_sha256):
            problems.append(
                f"{PREDICTIONS} has the checksum {found[:16]}; {MANIFEST} says "
                f"{manifest.predictions_sha256[:16]}: a file was changed or lost on the way"
            )
    if truth is not None and manifest is not None:
        problems += _match_problems(manifest, truth)
    if predictions is not None:
        shapes = list(_shape_problems(predictions, truth)) if truth is not None else []
        problems += shapes
        if truth is not None:
            problems += order_of(predictions, truth)[1]
        # What is not asked for is told by its keys: a million halos of missing chunks cost nothing to send.
        asked = truth is None or all(i.shape[0] <= 2 * truth.n_halos for i in predictions.maps.values())
        if values and asked and not shapes:
            try:
                problems += _value_problems(predictions)
            except InputError as error:
                problems.append(str(error))
    return problems, manifest, predictions


def validate(folder: str | Path, store: str | Path | None = None) -> Manifest:
    """Check a submission; with a store, against its test split.

    Raises
    ------
    InputError
        With all that is wrong, in one line.
    """
    problems, manifest, _ = find_problems(folder, None if store is None else Truth(store))
    if problems or manifest is None:
        raise InputError(f"{len(problems)} problem(s): " + "; ".join(problems))
    return manifest
