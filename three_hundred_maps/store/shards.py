"""Decoding a local shard file straight into an array: Zarr v3's sharding codec with blosc inside.

zarr's own pipeline reads and writes the same bytes, at 2.3 times the processor time of a read; this one knows
the store's layout (one chunk a halo with its crc32c behind it, an index of offsets and lengths at the end,
crc32c behind that) and decodes into the caller's memory.
Specification: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError

_EMPTY = np.uint64(2**64 - 1)
_ENTRY_BYTES = 16
_CHECKSUM_BYTES = 4
_SIZE_AT = slice(4, 8)
"""Where blosc's header has the number of bytes that a chunk decodes to."""


def shard_index(data: memoryview, path: Path, entries: int) -> NDArray[np.uint64]:
    """(entries, 2): offset and length of each chunk; both 2^64 - 1 where a chunk was never written."""
    from google_crc32c import value as crc32c

    size = entries * _ENTRY_BYTES
    if len(data) < size + _CHECKSUM_BYTES:
        raise InputError(f"{path} is damaged: it is shorter than its own index")
    index = bytes(data[-size - _CHECKSUM_BYTES : -_CHECKSUM_BYTES])
    stored = int.from_bytes(data[-_CHECKSUM_BYTES:], "little")
    if crc32c(index) != stored:
        raise InputError(f"{path} is damaged: the checksum of its index does not match")
    return np.frombuffer(index, "<u8").reshape(entries, 2)


def decode_shard(path: Path, out: NDArray[np.float32], first: int, shard_halos: int) -> None:
    """Decode the rows ``first``, ``first + 1``, ... of a shard file into ``out``.

    Parameters
    ----------
    path
        The shard file.
    out
        (n, los, y, x) float32, C-contiguous. Rows that were never written become NaN.
    first
        The shard's row that goes to ``out[0]``.
    shard_halos
        Rows of a whole shard, written or not.

    Raises
    ------
    InputError
        Where the file is missing or damaged.
    """
    from google_crc32c import value as crc32c
    from numcodecs import blosc

    if not len(out):
        return
    try:
        with (
            open(path, "rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as data,
        ):
            index = shard_index(data, path, shard_halos)
            for row in range(len(out)):
                offset, length = index[first + row]
                if offset == _EMPTY:
                    out[row] = np.nan
                    continue
                low, high = int(offset), int(offset) + int(length)
                if high > len(data):
                    raise InputError(f"{path} is damaged: a chunk lies beyond its end")
                stored = int.from_bytes(data[high - _CHECKSUM_BYTES : high], "little")
                chunk = mapped[low : high - _CHECKSUM_BYTES]
                if crc32c(chunk) != stored:
                    raise InputError(f"{path} is damaged: the checksum of a chunk does not match")
                if int.from_bytes(chunk[_SIZE_AT], "little") != out[row].nbytes:
                    raise InputError(f"{path} is damaged: a chunk is not of a halo's size")
                blosc.decompress(chunk, out[row])
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the store is not whole; build or download it again") from None
    except (RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: {error}; build or download the store again") from None


def decode_small(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The only chunk of a small array, as `Hierarchy.add_array` writes it; ValueError where it is damaged."""
    from google_crc32c import value as crc32c
    from numcodecs import zstd

    data = path.read_bytes()
    packed, stored = data[:-_CHECKSUM_BYTES], int.from_bytes(data[-_CHECKSUM_BYTES:], "little")
    if crc32c(packed) != stored:
        raise ValueError("its checksum does not match")
    return np.frombuffer(zstd.decompress(packed), dtype.newbyteorder("<")).reshape(shape).astype(dtype)


_ENCODING = threading.Lock()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Blosc without threads: several append a chunk's blocks in the order in which they happen to finish.

    On a busy machine that order changes, and the file's bytes with it.
    """
    from numcodecs import blosc

    with _ENCODING:
        before = blosc.use_threads
        blosc.use_threads = False
        try:
            yield
        finally:
            blosc.use_threads = before


def encode_shard(maps: NDArray[np.float32], shard_halos: int) -> bytes:
    """The bytes of a shard file: the same that zarr's own codecs give.

    Parameters
    ----------
    maps
        (n, los, y, x), n at most ``shard_halos``; rows beyond are never written and read as NaN.
    shard_halos
        Rows of a whole shard.
    """
    from google_crc32c import value as crc32c
    from numcodecs import blosc

    index = np.full((shard_halos, 2), _EMPTY, "<u8")
    parts: list[bytes] = []
    offset = 0
    with _one_thread():
        for row, values in enumerate(maps):
            chunk = np.ascontiguousarray(values, "<f4")
            part = blosc.compress(chunk, b"zstd", 3, blosc.BITSHUFFLE, 0, chunk.itemsize)
            part += crc32c(part).to_bytes(_CHECKSUM_BYTES, "little")
            index[row] = offset, len(part)
            parts.append(part)
            offset += len(part)
    stored = index.tobytes()
    return b"".join([*parts, stored, crc32c(stored).to_bytes(_CHECKSUM_BYTES, "little")])
