"""Reading an untrusted ``predictions.zarr``: zarr, read-only, behind a store that checks all it hands out.

Codecs of zarr are plug-ins found by name that decode into as much memory as a chunk asks for. Here zarr gets
metadata rebuilt from the few fields that are accepted, and chunks decoded by an allow-list of codecs into
memory of the size they must have, within a budget of bytes and seconds for the whole submission.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import google_crc32c
import numpy as np
import zarr
from numcodecs import blosc, zstd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from zarr.storage import LocalStore

from benchmarks.manifest import MANIFEST, PREDICTIONS, load_json
from benchmarks.texts import field_problems, shown
from benchmarks.variables import MASS, SAMPLE_COUNT, SAMPLES, SIGMA, SMOOTHED, array_name, map_dims
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import SCORE_FWHM
from three_hundred_maps.keys import KEY, SEALED_KEY
from three_hundred_maps.store.schema import decode_ids, simulation_ids

MAX_METADATA_BYTES = 1_000_000
MAX_FILES = 50_000
MAX_DEPTH = 10
MAX_HALOS = 1_000_000
MAX_CHUNK_BYTES = 128 * 2**20
"""Of a decoded chunk, and of one halo's maps."""
MAX_FILE_BYTES = MAX_CHUNK_BYTES + MAX_CHUNK_BYTES // 8 + 65536
"""Compressors add a little to what cannot be compressed."""
MAX_DECODED_BYTES = 32 * 2**30
MAX_SECONDS = 600.0
"""Budgets of one submission: what reading it may decode and take in all."""
BLOCK_BYTES = 256 * 2**20
"""Decoded and held at once."""
MAP_TYPES = ("float32", "float64")
KEY_TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_COMPRESSORS = ("zstd", "blosc", "gzip")
_PIPELINES = {("bytes", *c, *s) for c in [(), *((n,) for n in _COMPRESSORS)] for s in [(), ("crc32c",)]}

_Length = Annotated[int, Field(ge=1, le=MAX_HALOS)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Chunks(_Part):
    chunk_shape: list[_Length]


class _Grid(_Part):
    name: Literal["regular"]
    configuration: _Chunks


class _Separator(_Part):
    separator: Literal["/", "."] | None = None


class _Encoding(_Part):
    name: Literal["default", "v2"]
    configuration: _Separator = _Separator()


class _Endian(_Part):
    endian: Literal["little", "big"] = "little"


class _Codec(_Part):
    name: Literal["bytes", "zstd", "blosc", "gzip", "crc32c"]
    configuration: _Endian = _Endian()


class _Attributes(_Part):
    flag_values: list[int] = []
    flag_meanings: Annotated[str, Field(max_length=100_000)] = ""
    smoothed_fwhm: float | None = None


class _Metadata(_Part):
    """The part of an array's ``zarr.json`` that is accepted; chunks are never filled in, so no fill value."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    data_type: str
    shape: list[_Length]
    chunk_grid: _Grid
    chunk_key_encoding: _Encoding
    codecs: list[_Codec]
    storage_transformers: Annotated[list[Any], Field(max_length=0)] = []
    dimension_names: list[str | None] | None = None
    attributes: _Attributes = _Attributes()


@dataclass(frozen=True)
class _Accepted:
    """An array: its metadata for zarr, the codecs of its files in the order of writing, its decoded sizes."""

    name: str
    metadata: bytes
    codecs: tuple[str, ...]
    chunk_bytes: int
    n_chunks: int
    attributes: dict[str, Any]


def array_error(name: str, what: str) -> InputError:
    """What is wrong with an array, or a chunk of one, with where it lies."""
    return InputError(f"{PREDICTIONS}/{name}: {what}")


def _accept(root: Path, name: str, types: tuple[str, ...], variable: str = "") -> _Accepted:
    """Check the metadata of an array: maps of a ``variable``, or keys.

    InputError where anything is not of the accepted part of the format.
    """
    expected = map_dims(variable) if variable else ("halo",)
    dims = len(expected)
    content = load_json(root / name / "zarr.json", MAX_METADATA_BYTES)
    if isinstance(content, dict) and isinstance(content.get("codecs"), list):
        content["codecs"] = [{"name": c} if isinstance(c, str) else c for c in content["codecs"]]
    try:
        found = _Metadata.model_validate(content)
    except ValidationError as error:
        raise array_error(name, "; ".join(field_problems(error)[:5]).replace("_", " ")) from None
    shape, chunk = tuple(found.shape), tuple(found.chunk_grid.configuration.chunk_shape)
    pipeline = tuple(codec.name for codec in found.codecs)
    if found.data_type not in types:
        raise array_error(
            name, f"data type {shown(found.data_type, 60)!r} is not accepted; use {' or '.join(types)}"
        )
    if len(shape) != dims or len(chunk) != dims:
        raise array_error(name, f"shape {shape} in chunks of {chunk}: expected {dims} dimensions")
    least, most = SAMPLE_COUNT
    if variable == SAMPLES and not least <= shape[2] <= most:
        raise array_error(name, f"{shape[2]} samples of a map; give {least} to {most}")
    if any(c > s for s, c in zip(shape, chunk, strict=True)):
        raise array_error(name, f"chunks of {chunk} are larger than the array's shape {shape}")
    if variable and found.dimension_names not in (None, list(expected)):
        raise array_error(
            name, f"dimensions must be {', '.join(expected)}, got {shown(found.dimension_names, 80)}"
        )
    if pipeline not in _PIPELINES:
        raise array_error(
            name, f"codecs {', '.join(pipeline)}: expected bytes, then at most one of "
            f"{', '.join(_COMPRESSORS)}, then at most crc32c (write_submission does); no shards"
        )  # fmt: skip
    item = np.dtype(found.data_type).itemsize
    chunk_bytes = math.prod(chunk) * item
    if max(chunk_bytes, math.prod(shape[1:]) * item) > MAX_CHUNK_BYTES:
        raise array_error(
            name, f"shape {shape} in chunks of {chunk}: a chunk, and the maps of one halo, may hold at most "
            f"{MAX_CHUNK_BYTES:,} bytes"
        )  # fmt: skip
    n_chunks = math.prod(-(-s // c) for s, c in zip(shape, chunk, strict=True))
    if n_chunks > MAX_FILES:
        raise array_error(name, f"is cut into {n_chunks:,} chunks; at most {MAX_FILES:,} (one halo a chunk)")
    metadata = {
        **found.model_dump(include={"zarr_format", "node_type", "data_type", "shape", "chunk_grid"}),
        "chunk_key_encoding": found.chunk_key_encoding.model_dump(exclude_none=True),
        "codecs": [found.codecs[0].model_dump()],
        "fill_value": 0,
        "attributes": {},
    }
    return _Accepted(
        name,
        json.dumps(metadata).encode(),
        pipeline[1:],
        chunk_bytes,
        n_chunks,
        found.attributes.model_dump(),
    )


def _decode(codec: str, data: bytes, size: int) -> bytes:
    """Undo a codec; ``size`` bytes must come out, and no more memory than that is taken.

    Raises
    ------
    ValueError, RuntimeError, zlib.error
        Where the data are damaged or hold another number of bytes.
    """
    if codec == "crc32c":
        if len(data) < 4 or google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise ValueError("its checksum does not match")
        return data[:-4]
    if codec == "gzip":
        engine = zlib.decompressobj(wbits=31)
        plain = engine.decompress(data, size)
        if len(plain) != size or (not engine.eof and engine.decompress(engine.unconsumed_tail, 1)):
            raise ValueError("it does not hold what its shape says")
        return plain
    out = bytearray(size)
    if codec == "blosc":
        # Of the header of 16 bytes: the size that the frame says it holds, and that of the frame itself,
        # which the decoder trusts when it reads.
        if len(data) < 16 or int.from_bytes(data[4:8], "little") != size:
            raise ValueError("it does not hold what its shape says")
        if int.from_bytes(data[12:16], "little") != len(data):
            raise ValueError("it is cut short or longer than it says")
        blosc.decompress(data, out)
    else:
        if _zstd_content(data) not in (size, None):
            raise ValueError("it does not hold what its shape says")
        zstd.decompress(data, out)
    return bytes(out)


def _zstd_content(data: bytes) -> int | None:
    """The content size that a zstd frame states (RFC 8878, 3.1.1.1); None where it states none."""
    if len(data) < 6 or data[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("it is no zstd frame")
    descriptor = data[4]
    single, flag = descriptor >> 5 & 1, descriptor >> 6
    length = (1 if single else 0, 2, 4, 8)[flag]
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    if not length:
        return None
    return int.from_bytes(data[start : start + length], "little") + (256 if flag == 1 else 0)


class _CheckedStore(LocalStore):
    """The accepted arrays of ``predictions.zarr``, decoded within the submission's budget."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, read_only=True)
        self.arrays: dict[str, _Accepted] = {}
        self.bytes_left, self.seconds_left, self.since = MAX_DECODED_BYTES, MAX_SECONDS, math.inf
        self.failed: InputError | OSError | None = None

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Metadata as checked, or a chunk as plain bytes; both always whole. Zeros where one has failed."""
        name, _, rest = key.partition("/")
        if rest == "zarr.json" and name in self.arrays:
            return prototype.buffer.from_bytes(self.arrays[name].metadata)
        try:
            data = await asyncio.to_thread(self._chunk, self.arrays[name], key)
        except (InputError, OSError) as error:
            # Raised through zarr it leaves tasks behind, of which asyncio complains on the terminal.
            self.failed = self.failed or error
            data = bytes(self.arrays[name].chunk_bytes)
        return prototype.buffer.from_bytes(data)

    def _chunk(self, array: _Accepted, key: str) -> bytes:
        self.bytes_left -= array.chunk_bytes
        if self.bytes_left < 0 or time.monotonic() - self.since > self.seconds_left:
            raise InputError(
                f"{PREDICTIONS} needs more than {MAX_SECONDS:,.0f} s or {MAX_DECODED_BYTES:,} decoded bytes; "
                "write one halo a chunk, as write_submission does"
            )
        path = self.root / key
        if not path.is_file():
            raise array_error(key, "is missing: every chunk needs its file (write_empty_chunks in zarr)")
        size, limit = path.stat().st_size, array.chunk_bytes + array.chunk_bytes // 8 + 65536
        if size > limit:
            raise array_error(key, f"has {size:,} bytes, more than its {array.chunk_bytes:,} decoded ones")
        data = path.read_bytes()
        try:
            for codec in reversed(array.codecs):
                data = _decode(codec, data, array.chunk_bytes)
            if len(data) != array.chunk_bytes:
                raise ValueError(f"it holds {len(data):,} bytes, its shape {array.chunk_bytes:,}")
        except (ValueError, RuntimeError, zlib.error) as error:
            raise array_error(key, f"cannot be decoded: {shown(error)}") from None
        return data


class Predictions:
    """The arrays of a submission's ``predictions.zarr``, opened with care.

    That its folder holds plain files alone is looked at by `benchmarks.validation.find_problems`.

    Parameters
    ----------
    folder
        The submission.
    target
        The view that it predicts: its arrays are named by it.

    Attributes
    ----------
    maps
        The zarr arrays ``mass`` and, where given, ``mass_sigma``, or ``mass_samples`` alone, by these names
        whatever is predicted; read them by `read`.
    names
        What each of these is called in ``predictions.zarr``.
    on_grid
        Whether ``mass_samples`` are on the score grid already.
    keys
        (halo,) by name: region, snapshot, halo_id, and simulation where given (text); or the sealed key.

    Raises
    ------
    InputError
        Where something is missing or not accepted, one line.
    """

    def __init__(self, folder: str | Path, target: str = MASS) -> None:
        root = Path(folder) / PREDICTIONS
        if not root.is_dir():
            raise InputError(f"{root} is missing; a submission is a folder with {MANIFEST} and {PREDICTIONS}")
        group = load_json(root / "zarr.json", MAX_METADATA_BYTES)
        if not isinstance(group, dict) or group.get("node_type") != "group":
            raise InputError(f"{PREDICTIONS}/zarr.json is not a Zarr format 3 group")
        self._store = _CheckedStore(root)
        sealed = (root / SEALED_KEY).exists()
        keys = (SEALED_KEY,) if sealed else KEY if (root / KEY[0]).exists() else KEY[1:]
        named = {name: array_name(name, target) for name in (MASS, SIGMA, SAMPLES)}
        found = [name for name, array in named.items() if (root / array).exists()]
        if SAMPLES in found and len(found) > 1:
            others = " and ".join(named[name] for name in found if name != SAMPLES)
            raise InputError(
                f"{PREDICTIONS} holds {named[SAMPLES]} and {others}: {named[SAMPLES]} stand alone, as their "
                "mean is the map"
            )
        variables = [SAMPLES] if SAMPLES in found else [MASS, *(name for name in found if name == SIGMA)]
        self.names = {name: named[name] for name in variables}
        accepted = [_accept(root, array, MAP_TYPES, name) for name, array in self.names.items()]
        fwhm = accepted[0].attributes[SMOOTHED]
        self.on_grid = SAMPLES in self.names and fwhm is not None
        if self.on_grid and fwhm != SCORE_FWHM:
            raise array_error(
                self.names[SAMPLES],
                f"{SMOOTHED} is {fwhm:g} R200c; the score grid's is {SCORE_FWHM:g}, or leave it out",
            )
        accepted += [_accept(root, name, KEY_TYPES) for name in keys]
        self._store.arrays = {array.name: array for array in accepted}
        if sum(array.n_chunks * array.chunk_bytes for array in accepted) > MAX_DECODED_BYTES:
            raise InputError(f"{PREDICTIONS} holds more than {MAX_DECODED_BYTES:,} decoded bytes")
        opened = {
            name: zarr.open_array(self._store, path=name, mode="r", zarr_format=3)
            for name in self._store.arrays
        }
        self.maps: dict[str, Any] = {name: opened[array] for name, array in self.names.items()}
        self.keys = {name: self._key(name, opened[name]) for name in keys}

    def __len__(self) -> int:
        return len(next(iter(self.keys.values())))

    def _key(self, name: str, array: Any) -> NDArray[Any]:
        values = self._take(array, slice(None))
        if name == KEY[0]:
            where = f"{PREDICTIONS}/{name}"
            return decode_ids(values, simulation_ids(self._store.arrays[name].attributes, where), where)
        if values.size and int(values.max()) > np.iinfo(np.int64).max:
            raise array_error(name, f"holds {int(values.max())}, which is not a key")
        return np.asarray(values, np.int64)

    def _take(self, array: Any, rows: Any) -> NDArray[Any]:
        """Rows of an array, its chunks read within the budget."""
        chunk_bytes = self._store.arrays[array.basename].chunk_bytes
        self._store.since, self._store.failed = time.monotonic(), None
        try:
            with zarr.config.set({"async.concurrency": max(1, min(8, BLOCK_BYTES // max(chunk_bytes, 1)))}):
                values = np.asarray(array.oindex[rows])
        finally:
            self._store.seconds_left -= time.monotonic() - self._store.since
        if self._store.failed is not None:
            raise self._store.failed
        return values

    def read(self, name: str, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Maps (halo, los, y, x), or samples (halo, los, sample, y, x), at some rows, in that order."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._take(self.maps[name], np.asarray(rows, np.int64)).astype(np.float32, copy=False)

    def blocks(self, name: str) -> list[NDArray[np.int64]]:
        """Rows of an array of maps that are best read at once: whole chunks within memory."""
        array = self.maps[name]
        step = max(1, BLOCK_BYTES // max(8 * math.prod(array.shape[1:]), 1))
        step = min(step, max(8, array.chunks[0]))
        return [np.arange(i, min(i + step, array.shape[0])) for i in range(0, array.shape[0], step)]
