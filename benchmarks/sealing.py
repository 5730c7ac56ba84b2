"""Seal a store: inputs that anyone may have, and the truth that the board's keepers hold back.

The inputs carry the views, the redshift and an opaque key. Every other value of a halo is truth, totals of
the maps included: with the map they give the pixel size in kpc, and with that R200c and M200c.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.manifest import SEALED_KEY
from benchmarks.truth import SEAL_FILE, SPLIT, TARGET, Truth
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_json
from three_hundred_maps.keys import KEY
from three_hundred_maps.progress import progress
from three_hundred_maps.store.schema import AXIS_VARIABLES, HALF, MAP_DIMS

INPUTS, TRUTH = "inputs", "truth"
SECRET_BYTES = 32


def opaque_keys(halos: dict[str, NDArray[Any]], secret: bytes) -> NDArray[np.int64]:
    """(halo,): 62 bits of HMAC-SHA256 of each halo's key; without the secret they say nothing."""
    keys = [
        int.from_bytes(hmac.digest(secret, ",".join(map(str, key)).encode(), hashlib.sha256)[:8], "big") >> 2
        for key in zip(*(halos[name].tolist() for name in KEY), strict=True)
    ]
    if len(set(keys)) != len(keys):
        raise InputError("two halos of the store have the same key")
    return np.array(keys, np.int64)


def seal(store: str | Path, out: str | Path, secret: bytes | None = None) -> tuple[Path, Path]:
    """Split a store's test split into inputs and truth.

    Parameters
    ----------
    store
        A finished store on this machine.
    out
        A new folder; it gets ``inputs`` (to publish) and ``truth`` (to keep).
    secret
        What the opaque keys are made with, drawn afresh by default.

    Returns
    -------
    The two folders. Halos stand in the order of their opaque keys in the inputs, so that nothing can be
    told from a neighbour; ``truth`` keeps the store's own digest, which submissions name.

    Raises
    ------
    InputError
        Where the store has no truth, is sealed already, or ``out`` holds something.
    """
    truth, out = Truth(store), Path(out)
    if truth.sealed:
        raise InputError(f"{store} is the truth of a sealed store already")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} holds something already; give a new folder")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        keys = opaque_keys(truth.halos, secret or secrets.token_bytes(SECRET_BYTES))
        _write_inputs(truth, partial / INPUTS, keys)
        _copy_truth(truth, partial / TRUTH)
        write_json(partial / TRUTH / SEAL_FILE, {"sealed": 1, "keys": keys.tolist()})
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out / INPUTS, out / TRUTH


def _copy_truth(truth: Truth, folder: Path) -> None:
    """Everything of the store but the maps of train and validation."""

    def left_out(parent: str, names: list[str]) -> list[str]:
        place = Path(parent).relative_to(truth.path).as_posix()
        if place == ".":
            return [name for name in names if name in ("progress",) or name.startswith(".lock")]
        parts = place.split("/")
        hidden = len(parts) == 2 and parts[0] in ("train", "validation")
        return ["c"] if hidden and parts[1] in truth.attrs["views"] and "c" in names else []

    shutil.copytree(truth.path, folder, ignore=left_out)


def _rows(truth: Truth, view: str, order: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Place in the sealed order and maps (los, y, x) of every halo, read shard by shard."""
    from three_hundred_maps.store.arrays import iter_shards

    place = np.argsort(order)
    row = 0
    for shard in iter_shards(truth.path, SPLIT, [view]):
        for maps in shard.maps[view]:
            yield int(place[row]), maps
            row += 1


def _write_inputs(truth: Truth, folder: Path, keys: NDArray[np.int64]) -> None:
    import zarr
    import zarr.errors
    from zarr.codecs import BloscCodec

    from three_hundred_maps.store.arrays import open_group, read_split

    order = np.argsort(keys)
    source = open_group(truth.path)[SPLIT]
    root = zarr.create_group(
        folder,
        zarr_format=3,
        attributes={
            "sealed": 1,
            "dataset": truth.name,
            "dataset_digest": truth.digest,
            "views": list(truth.views),
            "pixels": truth.grid.pixels,
            "width_R200c": truth.grid.width,
            "half_depth_R200c": truth.attrs["half_depth_R200c"],
            "smoothing_fwhm_R200c": truth.attrs["smoothing_fwhm_R200c"],
            "license": truth.attrs["license"],
            "attribution": truth.attrs["attribution"],
            "description": "Inputs alone: the views, the redshift and an opaque key of every halo.",
        },
    )
    group = root.create_group(SPLIT, attributes={"split": SPLIT})
    shape = (truth.n_halos, truth.n_los, truth.grid.pixels, truth.grid.pixels)
    for view in progress(truth.views, desc="sealing", unit="view"):
        if view in (TARGET, HALF):
            raise InputError(f"{view} is truth: it cannot be an input")
        attrs = {k: source[view].attrs[k] for k in ("units", "long_name", "frame")}
        array = group.create_array(
            view,
            shape=shape,
            chunks=(1, *shape[1:]),
            dtype="float32",
            fill_value=math.nan,
            dimension_names=MAP_DIMS,
            compressors=BloscCodec(typesize=4, cname="zstd", clevel=3, shuffle="bitshuffle"),
            attributes=attrs,
        )
        for row, maps in _rows(truth, view, order):
            array[row] = maps
    small: dict[str, tuple[NDArray[Any], tuple[str, ...], dict[str, Any]]] = {
        SEALED_KEY: (keys[order], ("halo",), {"units": "1", "long_name": "opaque key of the halo"}),
        "redshift": (
            np.asarray(truth.halos["redshift"])[order],
            ("halo",),
            {"units": "1", "long_name": "redshift"},
        ),
    }
    lines = read_split(truth.path, SPLIT, [])
    for name, values in (("los_vector", lines.los_vector), ("los_up", lines.los_up)):
        small[name] = (values, ("los", "xyz"), {"units": "1"})
    for name in ("y", "x"):
        small[name] = (
            truth.grid.centres.astype(np.float32),
            (name,),
            {"units": AXIS_VARIABLES[name].units, "long_name": AXIS_VARIABLES[name].long_name},
        )
    for name, (values, dims, attributes) in small.items():
        group.create_array(
            name, data=values, chunks=values.shape, dimension_names=dims, attributes=attributes
        )
    with warnings.catch_warnings():
        # Consolidated metadata is an extension; the inputs open without it too.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(str(folder))
