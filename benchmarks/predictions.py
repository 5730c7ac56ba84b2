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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.decoding import decompress, strip_checksum
from benchmarks.manifest import PREDICTIONS, SEALED_KEY, load_json
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.schema import KEY, MAP_DIMS

MAX_METADATA_BYTES = 1_000_000
MAX_FILES = 200_000
MAX_CHUNK_BYTES = 128 * 2**20
MAX_FILE_BYTES = MAX_CHUNK_BYTES + MAX_CHUNK_BYTES // 8 + 65536
"""Compressors add a little to what cannot be compressed."""
MAX_SLAB_BYTES = 256 * 2**20
MAX_HALOS = 1_000_000
CODECS = ("bytes", "zstd", "blosc", "gzip", "crc32c")
MAP_TYPES = ("float32", "float64")
KEY_TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@dataclass(frozen=True)
class ArrayInfo:
    """An array of ``predictions.zarr`` as its checked metadata has it.

    Parameters
    ----------
    folder
        Where its chunks lie.
    name, shape, chunk, dtype
        Of the array; ``dtype`` with its byte order.
    codecs
        Names of the codecs, in the order of writing.
    separator, prefix
        Of the chunks' file names.
    fill
        What a missing chunk holds.
    """

    folder: Path
    name: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    codecs: tuple[str, ...]
    separator: str
    prefix: str
    fill: float | int

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a decoded chunk."""
        return math.prod(self.chunk) * self.dtype.itemsize

    def path(self, index: tuple[int, ...]) -> Path:
        """File of a chunk."""
        return self.folder / (self.prefix + self.separator.join(map(str, index)))


def check_tree(root: Path) -> list[str]:
    """What may not be in a submission's folder: links, devices, files that are too large or too many."""
    problems: list[str] = []
    if root.is_symlink():
        return [f"{root.name} is a link; a submission holds plain files only"]
    files, folders = 0, [root]
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = Path(entry.path).relative_to(root).as_posix()
                if entry.is_symlink():
                    problems.append(f"{name[:120]} is a link; a submission holds plain files only")
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    problems.append(f"{name[:120]} is neither a file nor a folder")
                else:
                    files += 1
                    size = entry.stat(follow_symlinks=False).st_size
                    if size > MAX_FILE_BYTES:
                        problems.append(f"{name[:120]} has {size:,} bytes; at most {MAX_FILE_BYTES:,}")
                if files + len(folders) > MAX_FILES:
                    return [*problems, f"more than {MAX_FILES:,} files; write a chunk for each halo"]
                if len(problems) >= 20:
                    return problems
    return problems


def _fail(name: str, what: str) -> InputError:
    return InputError(f"{PREDICTIONS}/{name}: {what}")


def _integers(name: str, values: Any, what: str, dims: int, least: int) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) != dims:
        raise _fail(name, f"{what} must have {dims} dimensions, got {str(values)[:60]}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_HALOS:
            raise _fail(name, f"{what} {str(values)[:60]} is not a list of sizes")
    return tuple(values)


def _codec_names(name: str, codecs: Any) -> tuple[str, str]:
    """``little`` or ``big``, and the names of the codecs after it, comma-separated."""
    if not isinstance(codecs, list) or not 1 <= len(codecs) <= 4:
        raise _fail(name, "codecs must be a list that begins with 'bytes'")
    names: list[str] = []
    for codec in codecs:
        codec = codec if isinstance(codec, Mapping) else {"name": codec}
        if codec.get("name") not in CODECS:
            raise _fail(
                name,
                f"codec {str(codec.get('name'))[:60]!r} is not accepted; use one of {', '.join(CODECS)} "
                "(write_submission does), no shards",
            )
        names.append(codec["name"])
    if names[0] != "bytes" or names.count("bytes") != 1:
        raise _fail(name, "the first codec must be 'bytes'")
    if sum(n in ("zstd", "blosc", "gzip") for n in names) > 1 or names.count("crc32c") > 1:
        raise _fail(name, "at most one compressor, and one crc32c")
    first = codecs[0]
    configuration = first.get("configuration", {}) if isinstance(first, Mapping) else {}
    endian = configuration.get("endian", "little") if isinstance(configuration, Mapping) else None
    if endian not in ("little", "big"):
        raise _fail(name, f"endian must be little or big, got {str(endian)[:40]!r}")
    return endian, ",".join(names[1:])


def read_array_info(root: Path, name: str, types: tuple[str, ...], dims: int) -> ArrayInfo:
    """Check the metadata of an array and keep what reading needs.

    Raises
    ------
    InputError
        Where anything is not of the accepted part of the format.
    """
    content = load_json(root / name / "zarr.json", MAX_METADATA_BYTES)
    if not isinstance(content, Mapping) or content.get("zarr_format") != 3:
        raise _fail(name, "only Zarr format 3 is read; write it with zarr >= 3 or write_submission")
    if content.get("node_type") != "array":
        raise _fail(name, "is not an array")
    kind = content.get("data_type")
    if not isinstance(kind, str) or kind not in types:
        raise _fail(name, f"data type {str(kind)[:60]!r} is not accepted; use {' or '.join(types)}")
    if content.get("storage_transformers"):
        raise _fail(name, "storage transformers are not accepted")
    shape = _integers(name, content.get("shape"), "shape", dims, 0)
    grid, encoding = content.get("chunk_grid"), content.get("chunk_key_encoding")
    if not isinstance(grid, Mapping) or grid.get("name") != "regular":
        raise _fail(name, "only a regular chunk grid is read")
    configuration = grid.get("configuration")
    configuration = configuration if isinstance(configuration, Mapping) else {}
    chunk = _integers(name, configuration.get("chunk_shape"), "chunk shape", dims, 1)
    if not isinstance(encoding, Mapping) or encoding.get("name") not in ("default", "v2"):
        raise _fail(name, "chunk keys must be in the default encoding")
    standard = encoding["name"] == "default"
    options = encoding.get("configuration")
    separator = options.get("separator") if isinstance(options, Mapping) else None
    separator = ("/" if standard else ".") if separator is None else separator
    if separator not in ("/", "."):
        raise _fail(name, "the chunk keys' separator must be '/' or '.'")
    names = content.get("dimension_names")
    if dims == 4 and names is not None and names != list(MAP_DIMS):
        raise _fail(name, f"dimensions must be {', '.join(MAP_DIMS)}, got {str(names)[:80]}")
    order, after = _codec_names(name, content.get("codecs"))
    fill = content.get("fill_value", 0)
    fill = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(str(fill), fill)
    if isinstance(fill, bool) or not isinstance(fill, int | float):
        fill = math.nan if types == MAP_TYPES else 0
    info = ArrayInfo(
        root / name,
        name,
        shape,
        chunk,
        np.dtype(kind).newbyteorder("<" if order == "little" else ">"),
        tuple(n for n in after.split(",") if n),
        separator,
        f"c{separator}" if standard else "",
        fill,
    )
    if info.chunk_bytes > MAX_CHUNK_BYTES:
        raise _fail(
            name, f"a chunk holds {info.chunk_bytes:,} bytes; at most {MAX_CHUNK_BYTES:,} (one halo a chunk)"
        )
    return info


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
        raise _fail(name, "is a link; a submission holds plain files only")
    if not path.is_file():
        return np.full(info.chunk, info.fill, info.dtype)
    limit = info.chunk_bytes + info.chunk_bytes // 8 + 65536
    if path.stat().st_size > limit:
        raise _fail(
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
        raise _fail(name, f"cannot be decoded: {str(error)[:120]}") from None
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
        key_names = (SEALED_KEY,) if (root / SEALED_KEY).exists() else KEY
        self.keys: dict[str, NDArray[np.int64]] = {}
        for name in key_names:
            info = read_array_info(root, name, KEY_TYPES, 1)
            blocks = [read_chunk(info, (i,)) for i in range(math.ceil(info.shape[0] / info.chunk[0]))]
            values = np.concatenate(blocks) if blocks else np.zeros(0, info.dtype)
            self.keys[name] = values[: info.shape[0]].astype(np.int64)
        self._slab: tuple[str, int, NDArray[np.float32]] | None = None

    def _read_slab(self, info: ArrayInfo, row: int) -> NDArray[np.float32]:
        """All lines of sight and pixels of one row of chunks, float32; the last one is kept."""
        if self._slab is not None and self._slab[:2] == (info.name, row):
            return self._slab[2]
        count = min(info.chunk[0], info.shape[0] - row * info.chunk[0])
        shape = (count, *info.shape[1:])
        if math.prod(shape) * 4 > MAX_SLAB_BYTES:
            raise _fail(
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
