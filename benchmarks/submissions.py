"""Submissions: a folder with ``submission.json`` and ``predictions.zarr``. Data, never code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from benchmarks.manifest import MANIFEST, PREDICTIONS, canonical_track, parse_manifest
from benchmarks.rows import Rows, find_rows
from benchmarks.tasks import MASS_MAP, TASKS, Task
from benchmarks.variables import (
    SAMPLES,
    SIGMA,
    SMOOTHED,
    array_name,
    attributes,
    check_sample_count,
    check_smoothed,
    given_maps,
    map_dims,
)
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import naming, replaced_folder, sha256_bytes, sha256_file, write_json
from three_hundred_maps.keys import KEY
from three_hundred_maps.store.schema import MASS_UNITS, encode_ids, flag_attrs

KIND = "submission"
_LOGARITHM = (3.0, 50.0)
"""A map whose pixels lie between these is a logarithm, of whatever base, of one in Msun kpc-2."""


def tree_digest(folder: Path) -> str:
    """Sha256 over the names and contents of all files below ``folder``, in the order of their names."""
    lines = [
        f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n"
        for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix())
        if path.is_file() and not path.is_symlink()
    ]
    return sha256_bytes("".join(lines).encode())


def write_submission(
    path: str | Path,
    *,
    name: str,
    authors: Sequence[str],
    task: str,
    track: str | Iterable[str],
    rows: Any,
    maps: NDArray[np.floating] | Iterable[NDArray[np.floating]] | None = None,
    mass_sigma: NDArray[np.floating] | Iterable[NDArray[np.floating]] | None = None,
    mass_samples: NDArray[np.floating] | Iterable[NDArray[np.floating]] | None = None,
    smoothed_fwhm: float | None = None,
    overwrite: bool = False,
    **fields: Any,
) -> Path:
    """Write a submission: predicted maps of every halo and line of sight of a split.

    Parameters
    ----------
    path
        The folder to make. It is complete or absent: written beside and then moved into place.
    name, authors, task, track
        As in ``submission.json``; ``track`` are the views the model saw.
    maps
        (halo, los, y, x): what the task predicts (the total surface density) in its units (Msun kpc-2),
        finite and not negative; one map a row, (row, y, x), where ``rows`` are a data set's; an xarray
        DataArray with these dimensions by name; or an iterable of blocks of halos, in order, where the whole
        does not fit into memory.
    rows
        What is predicted, in the order of ``maps``, as `benchmarks.rows.find_rows` takes it: (store, split),
        a `MapDataset` or rows of `datasets` also fill in the data set's name and identity.
    mass_sigma
        As ``maps``: the Gaussian sigma of log10 of the prediction, dex, above 0.
    mass_samples
        Instead of ``maps`` and ``mass_sigma``: 2 to 64 posterior samples of every map, each one draw of the
        whole map, (halo, los, sample, y, x) in Msun kpc-2, or blocks of halos. The map is then 10 to the
        power of the mean of their logarithms.
    smoothed_fwhm
        0.05 where the samples are on the score grid already; by default they are smoothed once more.
    overwrite
        Replace a submission that `write_submission` made; other files in its folder stay.
    **fields
        Others of ``submission.json``: description, code, paper, license, trained_on, training_data, date,
        framework, parameters, kind, dataset.

    Returns
    -------
    The folder.

    Raises
    ------
    InputError
        Where a text, a key or a map is not what a submission may hold.
    """
    path = Path(path)
    found = find_rows(rows)
    content = {
        "name": name,
        "authors": list(authors),
        "task": task,
        "track": canonical_track(track),
        **({"dataset": found.dataset} if found.dataset else {}),
        **{key: value for key, value in fields.items() if value is not None},
    }
    manifest = parse_manifest(content)
    unknown = set(content) - set(type(manifest).model_fields)
    if unknown:
        raise InputError(f"unknown fields of a submission: {', '.join(sorted(unknown))}")
    if not overwrite and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} holds something already; choose another folder or remove it first")
    given = given_maps(maps, mass_sigma, mass_samples)
    goal = TASKS.get(task, MASS_MAP)
    described = {name: attributes(name, goal.units) for name in given}
    check_smoothed(smoothed_fwhm, given)
    if smoothed_fwhm is not None:
        described[SAMPLES][SMOOTHED] = smoothed_fwhm
    with replaced_folder(path, KIND) as folder, naming(path / PREDICTIONS):
        _write_predictions(folder / PREDICTIONS, given, described, found, goal)
        digest = tree_digest(folder / PREDICTIONS)
        write_json(
            folder / MANIFEST, {**manifest.model_dump(exclude_none=True), "predictions_sha256": digest}
        )
    return path


def _write_predictions(
    path: Path, given: dict[str, Any], described: dict[str, dict[str, Any]], rows: Rows, task: Task
) -> None:
    root = zarr.create_group(path, zarr_format=3)
    for name, values in given.items():
        array, done, dims = None, 0, map_dims(name)
        for block in _blocks(name, values, rows):
            if block.ndim != len(dims) or (array is not None and block.shape[1:] != array.shape[1:]):
                raise InputError(
                    f"{name} must have the dimensions {', '.join(dims)}; a block has {block.shape}"
                )
            check_sample_count(name, block.shape)
            if array is None:
                array = root.create_array(
                    array_name(name, task.target),
                    shape=(len(rows), *block.shape[1:]),
                    chunks=(1, *block.shape[1:]),
                    dtype="float32",
                    fill_value=math.nan,
                    dimension_names=dims,
                    compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
                    config={"write_empty_chunks": True},
                    attributes=described[name],
                )
            if done + len(block) > len(rows):
                raise InputError(f"{name} holds more halos than the {len(rows)} keys")
            check_values(name, block, done, task)
            array[done : done + len(block)] = block
            done += len(block)
        if done != len(rows):
            raise InputError(f"{name} holds {done} halos, the keys {len(rows)}")
    for name, value in rows.keys.items():
        codes: dict[str, Any] = {}
        if name == KEY[0]:
            ids = sorted(set(value.tolist()))
            codes, value = flag_attrs(ids), encode_ids(value, ids)
        root.create_array(
            name,
            data=value.astype(np.int64),
            dimension_names=("halo",),
            chunks=(len(rows),),
            config={"write_empty_chunks": True},
            attributes=codes,
        )


def _blocks(name: str, values: Any, rows: Rows) -> Iterator[NDArray[np.float32]]:
    whole = rows.arrange(values, name)
    pieces = (whole[i : i + 1] for i in range(len(whole))) if hasattr(whole, "shape") else whole
    for piece in pieces:
        # Float64 beyond what float32 holds becomes inf here, and the check names it.
        with np.errstate(over="ignore"):
            yield np.asarray(rows.arrange(piece, name), np.float32)


def check_values(name: str, block: NDArray[np.floating], first: int = 0, task: Task = MASS_MAP) -> None:
    """Refuse a block of maps with values that may not be.

    Parameters
    ----------
    name
        ``mass`` or ``mass_samples`` (finite, not negative, not a logarithm), or ``mass_sigma`` (finite,
        above 0).
    block
        (halo, ...).
    first
        Row of the block's first halo, for the message.
    task
        Of which the maps are.
    """
    if block.size == 0:
        return
    called, positive = array_name(name, task.target), name == SIGMA
    # NaN passes neither comparison, so one look at the extremes tells whether all is well.
    low, high = float(block.min()), float(block.max())
    surface_density = not positive and task.units == MASS_UNITS
    if surface_density and high < _LOGARITHM[1] and float(np.median(block)) > _LOGARITHM[0]:
        raise InputError(
            f"{called} looks like log10 of a surface density: give Msun kpc-2, 10**maps, at halo row {first}"
        )
    if (low > 0 if positive else low >= 0) and high < math.inf:
        return
    flat = block.reshape(len(block), -1)
    for test, what in (
        (np.isnan(flat), "is NaN"),
        (np.isinf(flat), "is infinite"),
        (flat <= 0 if positive else flat < 0, "is not above 0" if positive else "is negative"),
    ):
        if count := int(test.sum()):
            row = first + int(np.argmax(test.any(axis=1)))
            raise InputError(
                f"{called} {what} in {count:,} pixels, first at halo row {row}; expected finite values, "
                + ("above 0 dex" if positive else f"0 or above, in {task.units}")
            )
