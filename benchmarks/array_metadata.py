"""The metadata of an array of ``predictions.zarr``: the part of Zarr format 3 that is accepted, as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.manifest import PREDICTIONS, load_json
from benchmarks.texts import shown
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.schema import MAP_DIMS

MAX_METADATA_BYTES = 1_000_000
MAX_FILES = 200_000
MAX_CHUNK_BYTES = 128 * 2**20
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


def array_error(name: str, what: str) -> InputError:
    """What is wrong with an array, or a chunk of one, with where it lies."""
    return InputError(f"{PREDICTIONS}/{name}: {what}")


def _integers(name: str, values: Any, what: str, dims: int, least: int) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) != dims:
        raise array_error(name, f"{what} must have {dims} dimensions, got {shown(values, 60)}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_HALOS:
            raise array_error(
                name, f"{what} {shown(values, 60)} must hold whole numbers from {least} to {MAX_HALOS:,}"
            )
    return tuple(values)


def _codec_names(name: str, codecs: Any) -> tuple[str, str]:
    """``little`` or ``big``, and the names of the codecs after it, comma-separated."""
    if not isinstance(codecs, list) or not 1 <= len(codecs) <= 4:
        raise array_error(name, "codecs must be a list that begins with 'bytes'")
    names: list[str] = []
    for codec in codecs:
        codec = codec if isinstance(codec, Mapping) else {"name": codec}
        if codec.get("name") not in CODECS:
            raise array_error(
                name,
                f"codec {shown(codec.get('name'), 60)!r} is not accepted; use one of {', '.join(CODECS)} "
                "(write_submission does), no shards",
            )
        names.append(codec["name"])
    if names[0] != "bytes" or names.count("bytes") != 1:
        raise array_error(name, "the first codec must be 'bytes'")
    if sum(n in ("zstd", "blosc", "gzip") for n in names) > 1 or names.count("crc32c") > 1:
        raise array_error(name, "at most one compressor, and one crc32c")
    first = codecs[0]
    configuration = first.get("configuration", {}) if isinstance(first, Mapping) else {}
    endian = configuration.get("endian", "little") if isinstance(configuration, Mapping) else None
    if endian not in ("little", "big"):
        raise array_error(name, f"endian must be little or big, got {shown(endian, 40)!r}")
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
        raise array_error(name, "only Zarr format 3 is read; write it with zarr >= 3 or write_submission")
    if content.get("node_type") != "array":
        raise array_error(name, "is not an array")
    kind = content.get("data_type")
    if not isinstance(kind, str) or kind not in types:
        raise array_error(name, f"data type {shown(kind, 60)!r} is not accepted; use {' or '.join(types)}")
    if content.get("storage_transformers"):
        raise array_error(name, "storage transformers are not accepted")
    shape = _integers(name, content.get("shape"), "shape", dims, 0)
    grid, encoding = content.get("chunk_grid"), content.get("chunk_key_encoding")
    if not isinstance(grid, Mapping) or grid.get("name") != "regular":
        raise array_error(name, "only a regular chunk grid is read")
    configuration = grid.get("configuration")
    configuration = configuration if isinstance(configuration, Mapping) else {}
    chunk = _integers(name, configuration.get("chunk_shape"), "chunk shape", dims, 1)
    if not isinstance(encoding, Mapping) or encoding.get("name") not in ("default", "v2"):
        raise array_error(name, "chunk keys must be in the default encoding")
    standard = encoding["name"] == "default"
    options = encoding.get("configuration")
    separator = options.get("separator") if isinstance(options, Mapping) else None
    separator = ("/" if standard else ".") if separator is None else separator
    if separator not in ("/", "."):
        raise array_error(name, "the chunk keys' separator must be '/' or '.'")
    names = content.get("dimension_names")
    if dims == 4 and names is not None and names != list(MAP_DIMS):
        raise array_error(name, f"dimensions must be {', '.join(MAP_DIMS)}, got {shown(names, 80)}")
    order, after = _codec_names(name, content.get("codecs"))
    info = ArrayInfo(
        root / name,
        name,
        shape,
        chunk,
        np.dtype(kind).newbyteorder("<" if order == "little" else ">"),
        tuple(n for n in after.split(",") if n),
        separator,
        f"c{separator}" if standard else "",
        _fill(name, content.get("fill_value", 0), np.dtype(kind)),
    )
    if info.chunk_bytes > MAX_CHUNK_BYTES:
        raise array_error(
            name, f"a chunk holds {info.chunk_bytes:,} bytes; at most {MAX_CHUNK_BYTES:,} (one halo a chunk)"
        )
    return info


def check_chunks(info: ArrayInfo) -> None:
    """Refuse, before any is read, more chunks than a submission may have files.

    A chunk without a file costs nothing to send, and time to fill.
    """
    count = math.prod(math.ceil(s / c) for s, c in zip(info.shape, info.chunk, strict=True))
    if count > MAX_FILES:
        raise array_error(
            info.name, f"is cut into {count:,} chunks; at most {MAX_FILES:,} (one halo a chunk)"
        )


def _fill(name: str, value: Any, dtype: np.dtype[Any]) -> float | int:
    """What a missing chunk holds, as a value of the array's type; NaN for the texts of a float's bits."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if dtype.kind == "f" and isinstance(value, str):
        return {"Infinity": math.inf, "-Infinity": -math.inf}.get(value, math.nan)
    if whole or (dtype.kind == "f" and isinstance(value, float)):
        try:
            with np.errstate(over="ignore"):
                filled: float | int = np.asarray(value, dtype).item()
        except OverflowError:
            pass
        else:
            return filled
    raise array_error(name, f"fill value {shown(value, 40)!r} is none of {dtype}")
