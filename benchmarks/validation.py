"""Checks of a submission: all that is wrong at once, with what was expected."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import SealedInputs
from benchmarks.manifest import MANIFEST, PREDICTIONS, DatasetIdentity, Manifest, read_manifest
from benchmarks.predictions import (
    MAX_DECODED_BYTES,
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_FILES,
    Predictions,
)
from benchmarks.rows import ALL, Rows
from benchmarks.submissions import check_values, tree_digest
from benchmarks.tasks import MASS_MAP, OBSERVED, TASKS, Task, find_task
from benchmarks.texts import shown
from benchmarks.truth import Truth
from benchmarks.variables import SAMPLES, map_dims
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import KEY, NO_VIEWS, parse_views
from three_hundred_maps.store.arrays import root_attrs
from three_hundred_maps.store.local import find_store

Asked = Truth | SealedInputs
"""What a submission is checked against."""
SHOWN = 5
SAME_MAP = 1e-4
"""Largest relative difference of two maps that are one: of the rounding of predictions."""


def _listed(keys: list[tuple[Any, ...]]) -> str:
    named = ", ".join("(" + ", ".join(map(shown, key)) + ")" for key in keys[:SHOWN])
    return named + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")


def _tuples(columns: Iterable[NDArray[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*(values.tolist() for values in columns), strict=True))


def order_of(given: Predictions | Rows, truth: Asked) -> tuple[NDArray[np.int64], list[str]]:
    """Row in the predictions of every halo of the truth (-1: missing), and what is wrong with the keys."""
    keys, expected = dict(given.keys), truth.keys
    simulation = KEY[0]
    if simulation in expected and simulation not in keys and len(set(expected[simulation].tolist())) == 1:
        # Of one simulation, the other keys say all.
        expected = {name: values for name, values in expected.items() if name != simulation}
    nothing = np.full(truth.n_halos, -1)
    if set(keys) != set(expected):
        return nothing, [
            f"{PREDICTIONS}: halos are named by {', '.join(keys)}; expected {', '.join(expected)}"
        ]
    if len({len(v) for v in keys.values()}) != 1:
        lengths = {name: len(v) for name, v in keys.items()}
        return nothing, [f"{PREDICTIONS}: key variables differ in length: {lengths}"]
    names = "(" + ", ".join(expected) + ")"
    found, wanted = _tuples([keys[name] for name in expected]), _tuples(expected.values())
    which = "" if truth.split == ALL else f"{truth.split} "
    counts = Counter(found)
    place = {key: row for row, key in enumerate(found)}
    problems = [
        f"{PREDICTIONS}: {len(keys)} {what}: {names} = {_listed(keys)}"
        for keys, what in (
            ([key for key in wanted if key not in place], f"of {truth.n_halos} {which}halos missing"),
            (sorted(set(found) - set(wanted)), f"halos that are not in the {truth.part} of {truth.name}"),
            (sorted(key for key, count in counts.items() if count > 1), "halos more than once"),
        )
        if keys
    ]
    return np.array([place.get(key, -1) for key in wanted], np.int64), problems


def _shape_problems(predictions: Predictions, truth: Asked) -> Iterator[str]:
    halos = len(predictions)
    pixels = truth.grid.maps.pixels
    for name, info in predictions.maps.items():
        samples = info.shape[2:3] if name == SAMPLES else ()
        tail = (truth.n_los, *samples, pixels, pixels)
        if info.shape[1:] != tail:
            dims = ", ".join(map_dims(name))
            yield (
                f"{PREDICTIONS}/{predictions.names[name]}: shape {info.shape}; expected ({dims}) = "
                f"({truth.n_halos}, {', '.join(map(str, tail))})"
            )
        elif info.shape[0] != halos:
            yield f"{PREDICTIONS}/{predictions.names[name]}: {info.shape[0]} halos, but {halos} keys"


def _value_problems(predictions: Predictions, task: Task) -> Iterator[str]:
    for name in predictions.maps:
        for rows in predictions.blocks(name):
            maps = predictions.read(name, rows)
            try:
                check_values(name, maps, int(rows[0]), task)
            except InputError as error:
                yield f"{PREDICTIONS}/{error}"
                break


def _track_problems(predictions: Predictions, truth: Asked, order: NDArray[np.int64]) -> Iterator[str]:
    """On the track that sees no view, the map of a halo may depend on its redshift alone."""
    redshift = np.full(len(predictions), np.nan)
    redshift[order] = truth.halos["redshift"]
    known: dict[float, NDArray[np.float32]] = {}
    name = next(iter(predictions.maps))
    for rows in predictions.blocks(name):
        for row, maps in zip(rows.tolist(), predictions.read(name, rows), strict=True):
            first = known.setdefault(float(redshift[row]), maps[0])
            if not np.allclose(maps, first, rtol=SAME_MAP):
                yield (
                    f"{MANIFEST}: track {NO_VIEWS!r}, but maps of redshift {redshift[row]:g} differ "
                    f"(halo row {row}): without a view they may depend on the redshift alone"
                )
                return


def _match_problems(manifest: Manifest, truth: Asked) -> Iterator[str]:
    try:
        yield from _task_problems(find_task(manifest.task), manifest.trained_on, truth)
    except InputError as error:
        yield f"{MANIFEST}: {error}"
    of = manifest.dataset or DatasetIdentity()
    identity = (truth.name, truth.attrs.get("recipe_sha256"), truth.generator)
    # The bytes of a data set differ between types of processors; name, recipe and generator do not.
    same = of.generator is not None and (of.name, of.recipe_sha256, of.generator) == identity
    if of.digest and not same and not truth.digest.startswith(of.digest):
        yield (
            f"{MANIFEST}: predictions for the dataset of digest {of.digest[:16]}; "
            f"this one ({truth.name}) has {truth.digest[:16]}"
        )
    elif of.name and of.name != truth.name:
        yield f"{MANIFEST}: predictions for the dataset {of.name}; this one is {truth.name}"
    unknown = [view for view in parse_views(manifest.track) if view not in truth.views]
    if unknown:
        yield (
            f"{MANIFEST}: the track names {', '.join(unknown)}; the dataset's views are "
            f"{', '.join(truth.views)} ({NO_VIEWS!r} for a prediction without input)"
        )


def _task_problems(task: Task, trained_on: str | None, truth: Asked) -> Iterator[str]:
    if task.split != truth.split:
        yield f"{MANIFEST}: the task {task.name} scores {task.split}, not {truth.split}"
    if task.target != truth.target:
        yield f"{MANIFEST}: the task {task.name} is to predict {task.target}, not {truth.target}"
    if not task.at_home and trained_on == truth.name:
        yield (
            f"{MANIFEST}: trained on {shown(trained_on, 60)} and scored on it is the task {MASS_MAP.name}, "
            f"not {task.name}"
        )
    if not (task.at_home or task.zero_of_training or trained_on):
        yield f"{MANIFEST}: the task {task.name} needs trained_on, the name of the dataset trained on"
    if task.name == OBSERVED and "observed" not in truth.attrs:
        yield f"{MANIFEST}: {truth.name} is not an observed data set, which the task {OBSERVED} needs"


def task_of(folder: str | Path) -> Task:
    """The task of a submission; ``mass-map`` where its manifest cannot be read or names none."""
    try:
        return TASKS.get(read_manifest(folder).task, MASS_MAP)
    except InputError:
        # Told by `find_problems`, with all else that is wrong.
        return MASS_MAP


def asked_of(store: str | Path, folder: str | Path) -> Asked:
    """What the task of a submission asks of a store, which may be the sealed inputs of one.

    Raises
    ------
    InputError
        As `benchmarks.truth.Truth`.
    """
    found = find_store(store)
    return SealedInputs(found) if root_attrs(found).get("sealed") else Truth(found, task=task_of(folder))


def check_tree(root: Path) -> list[str]:
    """What may not be in a submission's folder: links, devices, files that are too large or too many."""
    if root.is_symlink():
        return [f"{shown(root.name)} is a link; a submission holds plain files only"]
    problems: list[str] = []
    files, total, folders = 0, 0, [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as found:
                entries = list(itertools.islice(found, MAX_FILES + 1))
        except OSError as error:
            name = shown(folder.relative_to(root).as_posix())
            problems.append(f"{name} cannot be read: {error.strerror}")
            continue
        for entry in entries:
            place = Path(entry.path).relative_to(root)
            name = shown(place.as_posix())
            if entry.is_symlink():
                problems.append(f"{name} is a link; a submission holds plain files only")
            elif entry.is_dir(follow_symlinks=False):
                if len(place.parts) < MAX_DEPTH:
                    folders.append(Path(entry.path))
                else:
                    problems.append(f"{name} is a folder nested too deep")
            elif not entry.is_file(follow_symlinks=False):
                problems.append(f"{name} is neither a file nor a folder")
            else:
                files += 1
                size = entry.stat(follow_symlinks=False).st_size
                total += size
                if size > MAX_FILE_BYTES:
                    problems.append(f"{name} has {size:,} bytes; at most {MAX_FILE_BYTES:,}")
            if files + len(folders) > MAX_FILES:
                return [*problems, f"more than {MAX_FILES:,} files; write a chunk for each halo"]
            if len(problems) >= 20:
                return problems
    if total > MAX_DECODED_BYTES:
        # All of them are read for the checksum, and files of nothing cost nothing to make.
        problems.append(f"its files have {total:,} bytes; at most {MAX_DECODED_BYTES:,}")
    return problems


def find_problems(
    folder: str | Path, truth: Asked | None = None, *, values: bool = True
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
        manifest = read_manifest(folder)
    except InputError as error:
        problems.append(str(error))
    try:
        task = TASKS.get(manifest.task, MASS_MAP) if manifest is not None else MASS_MAP
        predictions = Predictions(folder, task.target)
    except InputError as error:
        return [*problems, str(error)], manifest, None
    if manifest is not None and manifest.predictions_sha256:
        found = tree_digest(folder / PREDICTIONS)
        if not found.startswith(manifest.predictions_sha256):
            problems.append(
                f"{PREDICTIONS} has the checksum {found[:16]}; {MANIFEST} says "
                f"{manifest.predictions_sha256[:16]}: a file was changed or lost on the way"
            )
    shapes: list[str] = []
    keys: list[str] = []
    if truth is not None:
        if manifest is not None:
            problems += _match_problems(manifest, truth)
        shapes = list(_shape_problems(predictions, truth))
        order, keys = order_of(predictions, truth)
        problems += shapes + keys
    # What is not asked for is told by its keys: a million halos of empty maps cost nothing to send.
    if not shapes and (truth is None or len(predictions) <= 2 * truth.n_halos):
        try:
            if values:
                problems += _value_problems(predictions, task)
            if truth is not None and not keys and manifest is not None and manifest.track == NO_VIEWS:
                problems += _track_problems(predictions, truth, order)
        except InputError as error:
            problems.append(str(error))
    return problems, manifest, predictions


def checked(
    folder: str | Path, truth: Asked | None = None, *, values: bool = True
) -> tuple[Manifest, Predictions]:
    """What a submission holds, where `find_problems` finds none.

    Raises
    ------
    InputError
        With all that is wrong, in one line.
    """
    problems, manifest, predictions = find_problems(folder, truth, values=values)
    if problems or manifest is None or predictions is None:
        raise InputError(f"{len(problems)} problem(s): " + "; ".join(problems))
    return manifest, predictions


def validate(folder: str | Path, store: str | Path | None = None) -> Manifest:
    """Check a submission; with a store, against what its task scores of it; InputError as `checked`."""
    return checked(folder, None if store is None else asked_of(store, folder))[0]
