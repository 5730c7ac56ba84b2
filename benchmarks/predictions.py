"""Reading ``predictions.zarr`` of strangers: Zarr v3 metadata as JSON, chunks through three plain decoders.

The zarr package is not used here: its codecs are plug-ins found by name. What is read is an allow-list
of the format, every size is known before a byte is decoded, links are refused, and a chunk is decoded
into memory of the size it must have, so that neither a bomb nor a crafted name gets anywhere.
"""

from __future__ import annotations

import itertools
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.array_metadata import (
    KEY_TYPES,
    MAP_TYPES,
    MAX_CHUNK_BYTES,
    MAX_FILES,
    MAX_METADATA_BYTES,
    ArrayInfo,
    array_error,
    check_chunks,
    read_array_info,
)
from benchmarks.decoding import decompress, strip_checksum
from benchmarks.manifest import PREDICTIONS, SEALED_KEY, load_json
from benchmarks.texts import shown
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import KEY

MAX_FILE_BYTES = MAX_CHUNK_BYTES + MAX_CHUNK_BYTES // 8 + 65536
"""Compressors add a little to what cannot be compressed."""
MAX_SLAB_BYTES = 256 * 2**20
MAX_DEPTH = 10


def check_tree(root: Path) -> list[str]:
    """What may not be in a submission's folder: links, devices, files that are too large or too many."""
    if root.is_symlink():
        return [f"{shown(root.name)} is a link; a submission holds plain files only"]
    problems: list[str] = []
    files, folders = 0, [root]
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
                if size > MAX_FILE_BYTES:
                    problems.append(f"{name} has {size:,} bytes; at most {MAX_FILE_BYTES:,}")
            if files + len(folders) > MAX_FILES:
                return [*problems, f"more than {MAX_FILES:,} files; write a chunk for each halo"]
            if len(problems) >= 20:
                return problems
    return problems


def read_chunk(info: ArrayInfo, index: tuple[int, ...]) -> NDArray[Any]:
    """One decoded chunk; the fill value where its file is missing.

    Raises
    ------
    InputError
        Where the file is a link, too large, damaged, or decodes to another size.
    """
    path = info.path(index)
    name = path.relative_to(info.folder.parent).as_posix()
    if path.is_symlink():
        raise array_error(name, "is a link; a submission holds plain files only")
    if not path.is_file():
        return np.full(info.chunk, info.fill, info.dtype)
    limit = info.chunk_bytes + info.chunk_bytes // 8 + 65536
    if path.stat().st_size > limit:
        raise array_error(
            name, f"has {path.stat().st_size:,} bytes, more than its {info.chunk_bytes:,} decoded ones"
        )
    data = path.read_bytes()
    try:
        for place, codec in reversed(list(enumerate(info.codecs))):
            if codec == "crc32c":
                data = strip_checksum(data)
            else:
                inner = 4 if "crc32c" in info.codecs[:place] else 0
                data = decompress(codec, data, info.chunk_bytes + inner)
        if len(data) != info.chunk_bytes:
            raise ValueError(f"it holds {len(data):,} bytes, its shape {info.chunk_bytes:,}")
    except (ValueError, RuntimeError, zlib.error) as error:
        raise array_error(name, f"cannot be decoded: {shown(error)}") from None
    return np.frombuffer(data, info.dtype).reshape(info.chunk)


class Predictions:
    """The arrays of a submission's ``predictions.zarr``, opened with care.

    Parameters
    ----------
    folder
        The submission.

    Attributes
    ----------
    maps
        `ArrayInfo` of ``mass`` and, where given, ``mass_sigma``.
    keys
        (halo,) int64 by name: region, snapshot, halo_id, or the sealed key.

    Raises
    ------
    InputError
        Where something is missing or not accepted, one line.
    """

    def __init__(self, folder: str | Path) -> None:
        root = Path(folder) / PREDICTIONS
        if root.is_symlink() or not root.is_dir():
            raise InputError(
                f"{root} is missing; a submission is a folder with submission.json and {PREDICTIONS}"
            )
        problems = check_tree(root)
        if problems:
            raise InputError("; ".join(problems[:5]))
        group = load_json(root / "zarr.json", MAX_METADATA_BYTES)
        if not isinstance(group, Mapping) or group.get("node_type") != "group":
            raise InputError(f"{PREDICTIONS}/zarr.json is not a Zarr format 3 group")
        names = ["mass"] + (["mass_sigma"] if (root / "mass_sigma").exists() else [])
        self.maps = {name: read_array_info(root, name, MAP_TYPES, 4) for name in names}
        key_names = (SEALED_KEY,) if (root / SEALED_KEY).exists() else KEY[1:]
        self.keys: dict[str, NDArray[np.int64]] = {}
        for name in key_names:
            info = read_array_info(root, name, KEY_TYPES, 1)
            check_chunks(info)
            blocks = [read_chunk(info, (i,)) for i in range(math.ceil(info.shape[0] / info.chunk[0]))]
            values = (np.concatenate(blocks) if blocks else np.zeros(0, info.dtype))[: info.shape[0]]
            if values.size and int(values.max()) > np.iinfo(np.int64).max:
                raise array_error(name, f"holds {int(values.max())}, which is no key")
            self.keys[name] = values.astype(np.int64)
        self._slab: tuple[str, int, NDArray[np.float32]] | None = None

    def _read_slab(self, info: ArrayInfo, row: int) -> NDArray[np.float32]:
        """All lines of sight and pixels of one row of chunks, float32; the last one is kept."""
        if self._slab is not None and self._slab[:2] == (info.name, row):
            return self._slab[2]
        check_chunks(info)
        count = min(info.chunk[0], info.shape[0] - row * info.chunk[0])
        shape = (count, *info.shape[1:])
        if math.prod(shape) * 4 > MAX_SLAB_BYTES:
            raise array_error(
                info.name, f"chunks of {info.chunk[0]} halos are too many at once; write one halo a chunk"
            )
        slab = np.empty(shape, np.float32)
        parts = [range(math.ceil(s / c)) for s, c in zip(info.shape[1:], info.chunk[1:], strict=True)]
        for index in itertools.product(*parts):
            block = read_chunk(info, (row, *index))[:count]
            place: list[slice] = [slice(None)]
            cut: list[slice] = [slice(None)]
            for i, size, whole in zip(index, info.chunk[1:], info.shape[1:], strict=True):
                stop = min((i + 1) * size, whole)
                place.append(slice(i * size, stop))
                cut.append(slice(0, stop - i * size))
            with np.errstate(over="ignore", invalid="ignore"):
                slab[tuple(place)] = block[tuple(cut)]
        self._slab = (info.name, row, slab)
        return slab

    def read(self, name: str, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Maps (halo, los, y, x) of ``mass`` or ``mass_sigma`` at some rows, in that order."""
        info = self.maps[name]
        out = np.empty((len(rows), *info.shape[1:]), np.float32)
        for place, row in enumerate(rows.tolist()):
            slab = self._read_slab(info, row // info.chunk[0])
            out[place] = slab[row % info.chunk[0]]
        return out
