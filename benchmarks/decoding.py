"""Decoders of chunks that strangers wrote: into memory of the size that must come out, or not at all."""

from __future__ import annotations

import zlib


def _gunzip(data: bytes, size: int) -> bytes:
    engine = zlib.decompressobj(wbits=31)
    out = engine.decompress(data, size)
    if len(out) != size or not engine.eof and engine.decompress(engine.unconsumed_tail, 1):
        raise ValueError("it does not hold what its shape says")
    return out


def decompress(codec: str, data: bytes, size: int) -> bytes:
    """Undo gzip, blosc or zstd.

    Parameters
    ----------
    codec
        Its name.
    data
        What was written.
    size
        Bytes that must come out.

    Raises
    ------
    ValueError, RuntimeError, zlib.error
        Where the data are damaged or hold another number of bytes.
    """
    if codec == "gzip":
        return _gunzip(data, size)
    out = bytearray(size)
    if codec == "blosc":
        from numcodecs import blosc

        # Of the header of 16 bytes: the size that the frame says it holds, and that of the frame itself,
        # which the decoder trusts when it reads.
        if len(data) < 16 or int.from_bytes(data[4:8], "little") != size:
            raise ValueError("it does not hold what its shape says")
        if int.from_bytes(data[12:16], "little") != len(data):
            raise ValueError("it is cut short or longer than it says")
        blosc.decompress(data, out)
    else:
        from numcodecs import zstd

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


def strip_checksum(data: bytes) -> bytes:
    """Data without the crc32c behind it, which must be right (ValueError)."""
    import google_crc32c

    if len(data) < 4 or google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise ValueError("its checksum does not match")
    return data[:-4]
