"""Submissions: a folder with ``submission.json`` and ``predictions.zarr``. Data, never code.

Writing needs numpy and zarr alone, so that a training script can end with `write_submission`.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.manifest import (
    MANIFEST,
    OPTIONAL_LINK,
    OPTIONAL_TEXT,
    PREDICTIONS,
    SEALED_KEY,
    Manifest,
    canonical_track,
    check_manifest,
    read_manifest,
)
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import sha256_bytes, sha256_file, write_json
from three_hundred_maps.keys import KEY
from three_hundred_maps.store.schema import MAP_DIMS

__all__ = [
    "canonical_track",
    "check_values",
    "halo_keys",
    "read_manifest",
    "tree_digest",
    "value_problem",
    "write_submission",
]


def tree_digest(folder: Path) -> str:
    """Sha256 over the names and contents of all files below ``folder``, in the order of their names."""
    lines = [
        f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n"
        for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix())
        if path.is_file() and not path.is_symlink()
    ]
    return sha256_bytes("".join(lines).encode())


def halo_keys(split: Any) -> dict[str, NDArray[np.int64]]:
    """The key variables of halos: region, snapshot and halo_id, or the sealed key.

    Parameters
    ----------
    split
        What has ``halos`` (as `store.arrays.SplitArrays`), or a mapping of name to (halo,) integers.
    """
    values = getattr(split, "halos", split)
    names = (SEALED_KEY,) if SEALED_KEY in values else KEY[1:]
    missing = [name for name in names if name not in values]
    if missing:
        raise InputError(
            f"the halos' keys lack {', '.join(missing)}: "
            f"give {', '.join(KEY[1:])}, or {SEALED_KEY} of sealed inputs"
        )
    return {name: np.asarray(values[name], np.int64) for name in names}


def write_submission(
    path: str | Path,
    *,
    name: str,
    authors: Sequence[str],
    task: str,
    track: str | Iterable[str],
    maps: NDArray[np.floating] | Iterable[NDArray[np.floating]],
    split: Any,
    mass_sigma: NDArray[np.floating] | Iterable[NDArray[np.floating]] | None = None,
    dataset_name: str | None = None,
    dataset_digest: str | None = None,
    kind: str = "submission",
    parameters: int | None = None,
    overwrite: bool = False,
    **extra: str | None,
) -> Path:
    """Write a submission: predicted total surface density of every halo and line of sight of a split.

    Parameters
    ----------
    path
        The folder to make. It is complete or absent: written beside and then moved into place.
    name, authors, task, track
        As in ``submission.json``; ``track`` are the views the model saw.
    maps
        (halo, los, y, x) in Msun kpc-2, finite and not negative; or an iterable of blocks of halos, in
        order, where the whole does not fit into memory.
    split
        The halos predicted, in the order of ``maps``: what `store.arrays.read_split` gave, or a mapping
        with region, snapshot, halo_id (or the sealed ``key``), each (halo,).
    mass_sigma
        As ``maps``: the Gaussian sigma of log10 of the prediction, dex, above 0.
    dataset_name, dataset_digest
        Of the store predicted on (`store.arrays.root_attrs`, `store.arrays.store_digest`).
    kind
        ``submission``, or ``baseline`` for the project's own.
    parameters
        Number of trainable parameters.
    overwrite
        Replace a submission that is there (nothing else is ever replaced).
    **extra
        description, code, paper, license, trained_on, training_data, date, framework.

    Returns
    -------
    The folder.

    Raises
    ------
    InputError
        Where a text, a key or a map is not what a submission may hold.
    """
    path = Path(path)
    held = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if held and not (overwrite and (path / MANIFEST).is_file()):
        raise InputError(f"{path} holds something already; choose another folder or remove it first")
    keys = halo_keys(split)
    unknown = set(extra) - {*OPTIONAL_TEXT, *OPTIONAL_LINK}
    if unknown:
        raise InputError(f"unknown fields of a submission: {', '.join(sorted(unknown))}")
    content = Manifest(
        name=name,
        authors=tuple(authors),
        task=task,
        track=canonical_track(track),
        kind=kind,
        dataset_name=dataset_name,
        dataset_digest=dataset_digest,
        parameters=parameters,
        extra={key: value for key, value in extra.items() if value is not None},
    ).to_json()
    problems = check_manifest(content)
    if problems:
        raise InputError("; ".join(problems))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write_predictions(partial / PREDICTIONS, maps, mass_sigma, keys)
        content["predictions_sha256"] = tree_digest(partial / PREDICTIONS)
        write_json(partial / MANIFEST, content)
        if path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def _blocks(maps: Any) -> Iterator[NDArray[np.float32]]:
    blocks: Iterable[Any] = (maps[i : i + 1] for i in range(len(maps))) if hasattr(maps, "shape") else maps
    for block in blocks:
        # Float64 beyond what float32 holds becomes inf here, and the check names it.
        with np.errstate(over="ignore"):
            yield np.asarray(block, np.float32)


def _write_predictions(path: Path, maps: Any, sigma: Any, keys: Mapping[str, NDArray[np.int64]]) -> None:
    import zarr
    from zarr.codecs import BloscCodec

    n_halos = len(next(iter(keys.values())))
    if len({len(value) for value in keys.values()}) != 1 or n_halos == 0:
        raise InputError(f"the keys of the halos have lengths {[len(v) for v in keys.values()]}")
    root = zarr.create_group(path, zarr_format=3)
    units = {
        "mass": ("Msun kpc-2", "predicted total surface density"),
        "mass_sigma": ("dex", "sigma of log10 of the prediction"),
    }
    fields = [("mass", maps)] + ([("mass_sigma", sigma)] if sigma is not None else [])
    for name, values in fields:
        array, done = None, 0
        for block in _blocks(values):
            if block.ndim != 4 or (array is not None and block.shape[1:] != array.shape[1:]):
                raise InputError(
                    f"{name} must have the dimensions halo, los, y, x; a block has {block.shape}"
                )
            if array is None:
                array = root.create_array(
                    name,
                    shape=(n_halos, *block.shape[1:]),
                    chunks=(1, *block.shape[1:]),
                    dtype="float32",
                    fill_value=math.nan,
                    dimension_names=MAP_DIMS,
                    compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
                    attributes={"units": units[name][0], "long_name": units[name][1]},
                )
            if done + len(block) > n_halos:
                raise InputError(f"{name} holds more halos than the {n_halos} keys")
            check_values(name, block, done)
            array[done : done + len(block)] = block
            done += len(block)
        if done != n_halos:
            raise InputError(f"{name} holds {done} halos, the keys {n_halos}")
    for name, value in keys.items():
        root.create_array(name, data=value, dimension_names=("halo",), chunks=(n_halos,))


def check_values(name: str, block: NDArray[np.floating], first: int = 0) -> None:
    """Refuse a block of ``mass`` or ``mass_sigma`` with values that may not be.

    Parameters
    ----------
    name
        ``mass`` (finite, not negative) or ``mass_sigma`` (finite, above 0).
    block
        (halo, los, y, x).
    first
        Row of the block's first halo, for the message.
    """
    bad = value_problem(name, block)
    if bad is not None:
        row, what = bad
        raise InputError(f"{name} {what} at halo row {first + row}")


def value_problem(name: str, block: NDArray[np.floating]) -> tuple[int, str] | None:
    """The first halo of a block with values that may not be, and what they are; None where all is well."""
    if block.size == 0:
        return None
    # NaN passes neither comparison, so one look at the extremes tells whether all is well.
    low, high = float(block.min()), float(block.max())
    positive = name == "mass_sigma"
    if (low > 0 if positive else low >= 0) and high < math.inf:
        return None
    flat = block.reshape(len(block), -1)
    for test, what in (
        (np.isnan(flat), "is NaN"),
        (np.isinf(flat), "is infinite"),
        (flat <= 0 if positive else flat < 0, "is not above 0" if positive else "is negative"),
    ):
        count = int(test.sum())
        if count:
            return int(np.argmax(test.any(axis=1))), f"{what} in {count:,} pixels, first"
    return None
