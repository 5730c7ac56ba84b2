"""The shipped sample: 24 rows of the config ``mini`` as Parquet inside the package, with its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from three_hundred_maps.builder.recipe import load_recipe
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.card import render_card
from three_hundred_maps.hub.configs import DEFAULT, SAMPLE, sample_folder
from three_hundred_maps.hub.exporting import draw_gallery
from three_hundred_maps.hub.manifests import MANIFEST, new_manifest, parse_manifest
from three_hundred_maps.hub.parquet import colour_ranges, write_rows
from three_hundred_maps.hub.record import add_file, describe_split, describe_store
from three_hundred_maps.hub.rows import ROW_FORMAT, to_table
from three_hundred_maps.hub.sources import StoreSource
from three_hundred_maps.io import sha256_bytes, sha256_file, write_bytes, write_json
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.statistics import read_statistics

ROWS: Mapping[str, int] = {"train": 14, "validation": 4, "test": 6}
MAX_BYTES = 2 * 2**20


def refresh_sample(store: Path, package: Path | None = None) -> Path:
    """Make the sample and its card anew from a finished store of ``mini``.

    Of each split it takes clusters spread evenly over the order of their masses, each along another line of
    sight.

    Parameters
    ----------
    store
        A finished store of the shipped recipe ``mini``.
    package
        The folder that gets ``sample/`` and ``README.md``; by default the package's own.

    Returns
    -------
    Path
        The folder ``sample``.

    Raises
    ------
    InputError
        A store of something else, one with too few halos, or a sample that would not fit 2 MiB.
    """
    source = StoreSource.open(store)
    record = describe_store(source)
    if source.name != DEFAULT:
        raise InputError(f"{store} is a store of {source.name!r}; the sample is taken of {DEFAULT!r}")
    root = package or sample_folder().parent
    folder = root / SAMPLE
    files: dict[str, Any] = {}
    for split, wanted in ROWS.items():
        part = pick(source, split, wanted)
        path = folder / "parquet" / f"{split}-00000-of-00001.parquet"
        write_rows(path, iter([part]), source)
        numbers = describe_split(part, wanted, wanted, wanted)
        record["splits"][split] = {**numbers, "parquet": [add_file(files, root, path)]}
    picture = folder / "images" / "clusters.png"
    write_bytes(picture, draw_gallery(source, colour_ranges(read_statistics(store), source.views)))
    images = [add_file(files, root, picture)]
    record.update(
        config=SAMPLE,
        sampled_from={"config": source.name, "digest": source.digest},
        digest=sha256_bytes("".join(files[path]["sha256"] for path in sorted(files)).encode()),
        zarr=None,
        images=images,
    )
    manifest = new_manifest({SAMPLE: record}, files, None)
    size = sum(entry["bytes"] for entry in files.values())
    if size >= MAX_BYTES:
        raise InputError(f"the sample is {size / 2**20:.2f} MiB; it must stay under {MAX_BYTES // 2**20} MiB")
    write_bytes(root / "README.md", render_card(manifest, "", shipped=True).encode())
    write_json(folder / MANIFEST, manifest)
    return folder


def pick(source: StoreSource, split: str, wanted: int) -> Any:
    """``wanted`` rows of a split as an Arrow table: one line of sight of each of as many halos."""
    masses = read_split(source.path, split, []).halos["M200c"]
    if len(masses) < wanted:
        raise InputError(f"{source.path}: {split} holds {len(masses)} halos; the sample takes {wanted}")
    order = np.argsort(masses, kind="stable")
    chosen = sorted(int(order[round(i)]) for i in np.linspace(0, len(order) - 1, wanted))
    tables = []
    for number, row in enumerate(chosen):
        part = read_split(source.path, split, list(source.views), slice(row, row + 1))
        los = (7 * number) % len(part.los_vector)
        tables.append(to_table(part, source.views).slice(los, 1))
    return pa.concat_tables(tables).combine_chunks()


def why_stale(package: Path | None = None) -> str | None:
    """What about the shipped sample is out of date; None where it is current.

    Compared are the recipe of ``mini``, the columns, every file's checksum and the card, which is rendered
    again from the manifest.
    """
    root = package or sample_folder().parent
    folder = root / SAMPLE
    if not (folder / MANIFEST).is_file():
        return "there is none"
    manifest = parse_manifest((folder / MANIFEST).read_bytes(), str(folder))
    record = manifest["configs"][SAMPLE]
    if record["row_format"] != ROW_FORMAT:
        return "the columns of a row have changed since"
    if record["recipe_sha256"] != load_recipe(DEFAULT).sha256():
        return f"the recipe {DEFAULT!r} has changed since"
    listed = {path: entry["sha256"] for path, entry in manifest["files"].items()}
    there = {
        path.relative_to(root).as_posix(): sha256_file(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }
    if listed != there:
        changed = sorted(path for path in listed | there if listed.get(path) != there.get(path))
        return f"files differ from the manifest: {', '.join(changed)}"
    if (root / "README.md").read_text(encoding="utf-8") != render_card(manifest, "", shipped=True):
        return "the card is not what the manifest renders to"
    return None
