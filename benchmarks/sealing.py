"""Seal a store: inputs that anyone may have, and the truth that maintainers hold back.

The inputs carry the views, the redshift and an opaque key. Every other value of a halo is truth, totals of
the maps included: with the map they give the pixel size in kpc, and with that R200c and M200c. Nor does
anything about the files tell halos apart: they are written in the order of the keys and carry one time.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
import zarr
import zarr.errors
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from benchmarks.references import mass_relation
from benchmarks.submissions import tree_digest
from benchmarks.tasks import MASS_MAP, Task
from benchmarks.truth import SEAL_FILE, SPLIT, Truth
from three_hundred_maps.builder.recipe import SimulationRecipe, load_recipe, shipped_recipes
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import naming, write_json
from three_hundred_maps.keys import KEY, SEALED_KEY
from three_hundred_maps.progress import progress
from three_hundred_maps.store.arrays import open_group, read_split
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.schema import AXIS_VARIABLES, MAP_DIMS

INPUTS, TRUTH = "inputs", "truth"
SECRET_BYTES = 32
FILE_TIME = 315532800
"""Of every file of the inputs: 1980-01-01, the first day that every archive can hold."""


def opaque_keys(halos: dict[str, NDArray[Any]], secret: bytes) -> NDArray[np.int64]:
    """(halo,): 62 bits of HMAC-SHA256 of each halo's key; without the secret they say nothing."""
    keys = [
        int.from_bytes(hmac.digest(secret, ",".join(map(str, key)).encode(), hashlib.sha256)[:8], "big") >> 2
        for key in zip(*(halos[name].tolist() for name in KEY), strict=True)
    ]
    return np.array(keys, np.int64)


def seal(store: str | Path, out: str | Path, *, task: str | Task = MASS_MAP) -> tuple[Path, Path]:
    """Split a store's test split into inputs and truth; the opaque keys are made with a secret drawn afresh.

    Parameters
    ----------
    store
        A finished store: a name, a folder or a URL.
    out
        A new folder; it gets ``inputs`` (to publish) and ``truth`` (to keep).
    task
        What is to be predicted: the inputs are the views that its models may see.

    Returns
    -------
    The two folders. Submissions name the digest of the inputs: the store's own would let a guess of its seed
    be checked.

    Raises
    ------
    InputError
        Where the store has no truth, is sealed already, or ``out`` holds something.
    """
    out = Path(out)
    store = find_store(store)
    if (store / SEAL_FILE).exists():
        raise InputError(f"{store} is the truth of a sealed store already")
    truth = Truth(store, task=task)
    if truth.split != SPLIT:
        raise InputError(f"the task {truth.task.name} scores {truth.split}: the test split alone is sealed")
    if not truth.views:
        raise InputError(f"{store} has no view that a model of the task {truth.task.name} may see")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} holds something already; give a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent) as scratch:
        partial = Path(scratch) / out.name
        keys = opaque_keys(truth.halos, secrets.token_bytes(SECRET_BYTES))
        with naming(partial / INPUTS):
            digest = _write_inputs(truth, partial / INPUTS, keys)
        _copy_truth(truth, partial / TRUTH)
        # The sealed truth keeps no map of train, so what is fitted to them is kept here.
        content = {
            "sealed": 1,
            "task": truth.task.name,
            "target": truth.target,
            "digest": digest,
            "keys": keys.tolist(),
            "mass_relation": mass_relation(truth),
            "climatology": truth.climatology.to_json(),
        }
        write_json(partial / TRUTH / SEAL_FILE, content)
        for path in [partial / INPUTS, *(partial / INPUTS).rglob("*")]:
            os.utime(path, (FILE_TIME, FILE_TIME))
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    return out / INPUTS, out / TRUTH


def public_seed(attrs: Mapping[str, Any]) -> str | None:
    """A warning where anyone can build a synthetic store (of these root attributes) again; else None."""

    def seed_of(recipe: str) -> Any:
        simulation = (yaml.safe_load(recipe) or {}).get("simulation")
        return simulation and simulation.get("seed", SimulationRecipe.model_fields["seed"].default)

    shipped = {load_recipe(name).simulation.seed for name in shipped_recipes()}
    if not attrs.get("synthetic") or seed_of(str(attrs["recipe"])) not in shipped:
        return None
    return (
        "the seed of this data set is public: anyone can build it again and read the truth. For a private "
        "one build with --set simulation.seed=N, N a random number of 60 bits that you keep to yourself"
    )


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


def _write_inputs(truth: Truth, folder: Path, keys: NDArray[np.int64]) -> str:
    """Write the inputs in the order of their keys; returns their digest."""
    order = np.argsort(keys)
    source = open_group(truth.path)[SPLIT]
    root = zarr.create_group(folder, zarr_format=3)
    group = root.create_group(SPLIT, attributes={"split": SPLIT})
    for view in progress(truth.views, desc="sealing", unit="view"):
        attrs = {k: source[view].attrs[k] for k in ("units", "long_name", "frame")}
        maps = read_split(truth.path, SPLIT, [view]).maps[view]
        array = group.create_array(
            view,
            shape=maps.shape,
            chunks=(1, *maps.shape[1:]),
            dtype="float32",
            fill_value=math.nan,
            dimension_names=MAP_DIMS,
            compressors=(BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec()),
            attributes=attrs,
        )
        for place, row in enumerate(order.tolist()):
            array[place] = maps[row]

    def add(name: str, values: NDArray[Any], *dims: str, **attributes: Any) -> None:
        group.create_array(
            name,
            data=values,
            chunks=values.shape,
            dimension_names=dims,
            config={"write_empty_chunks": True},
            attributes=attributes,
        )

    add(SEALED_KEY, keys[order], "halo", units="1", long_name="opaque key of the halo")
    add("redshift", np.asarray(truth.halos["redshift"])[order], "halo", units="1", long_name="redshift")
    lines = read_split(truth.path, SPLIT, [])
    add("los_vector", lines.los_vector, "los", "xyz", units="1")
    add("los_up", lines.los_up, "los", "xyz", units="1")
    for name in ("y", "x"):
        known = AXIS_VARIABLES[name]
        centres = truth.grid.maps.centres.astype(np.float32)
        add(name, centres, name, units=known.units, long_name=known.long_name)
    digest = tree_digest(folder / SPLIT)
    root.update_attributes(
        {
            "sealed": 1,
            "dataset": truth.name,
            "task": truth.task.name,
            "dataset_digest": digest,
            "views": list(truth.views),
            "pixels": truth.grid.maps.pixels,
            "width_R200c": truth.grid.maps.width,
            "half_depth_R200c": truth.attrs["half_depth_R200c"],
            "smoothing_fwhm_R200c": truth.attrs["smoothing_fwhm_R200c"],
            "license": truth.attrs["license"],
            "attribution": truth.attrs["attribution"],
            "description": "Inputs alone: the views, the redshift and an opaque key of every halo.",
        }
    )
    with warnings.catch_warnings():
        # Consolidated metadata is an extension; the inputs open without it too.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(str(folder))
    return digest
