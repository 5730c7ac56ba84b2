"""Reading tar archives of strangers: plain files with plain names, block by block.

Python's ``tarfile`` takes headers of any size into memory and understands sparse files, links and renamings;
none of it belongs into a submission. What is read here are the 512-byte headers of POSIX ustar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from benchmarks.texts import shown
from three_hundred_maps.errors import InputError

BLOCK = 512
MAX_EXTENDED_BYTES = 65536
"""Of an extended header: times and owners that some programs add."""
_FILE, _FOLDER, _EXTENDED, _LONG = (b"0", b"\0", b"7"), (b"5",), (b"x", b"g"), (b"L", b"K")
_PART = re.compile(r"[A-Za-z0-9._-]+")
_RENAMES = re.compile(rb"(?:path|linkpath|size|hdrcharset|GNU\.sparse[^=]*)=")
_MAX_PARTS = 10


@dataclass(frozen=True)
class Entry:
    """A file of an archive.

    Parameters
    ----------
    parts
        Of its name: letters, digits, dots, dashes and underscores, none of them ``.`` or ``..``.
    size
        Bytes that follow in the stream.
    """

    parts: tuple[str, ...]
    size: int


def _number(field: bytes) -> int:
    text = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", text):
        # Base-256 numbers stand for files of 8 GB and more.
        raise ValueError("a size that is no octal number")
    return int(text or b"0", 8)


def _name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0")[0], b""
    if header[257:262] == b"ustar" and header[262:263] == b"\0":
        prefix = header[345:500].split(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def entries(stream: BinaryIO, archive: Path, allowed: tuple[str, ...]) -> Iterator[Entry]:
    """The files of an archive, the stream standing at the content of each as it is given.

    Parameters
    ----------
    stream
        The open archive.
    archive
        Its path, for messages.
    allowed
        What a name may begin with: submissions hold nothing else.

    Raises
    ------
    InputError
        At the first entry that is no plain file or folder with a plain name.
    """
    place, end = 0, archive.stat().st_size
    while place < end:
        stream.seek(place)
        header = stream.read(BLOCK)
        if header == bytes(BLOCK):
            return
        try:
            if len(header) != BLOCK:
                raise ValueError("it is cut short")
            if sum(header[:148]) + 8 * 32 + sum(header[156:]) != _number(header[148:156]):
                raise ValueError("a header's checksum is wrong")
            size = _number(header[124:136])
            if place + BLOCK + size > end:
                raise ValueError("it is cut short")
        except ValueError as error:
            raise InputError(f"{archive} is not an archive made by pack: {error}") from None
        place += BLOCK + -(-size // BLOCK) * BLOCK
        raw, kind = _name(header), header[156:157]
        name = shown(raw.decode("ascii", "backslashreplace"))
        if kind in _EXTENDED:
            _check_extended(stream, size, archive)
            continue
        if kind in _LONG:
            raise InputError(f"{archive.name}: holds names longer than a submission's can be")
        if kind not in (*_FILE, *_FOLDER):
            raise InputError(f"{archive.name}: {name!r} is a link or a device; plain files only")
        text = raw.decode("ascii", "replace")
        parts = tuple(part for part in text.split("/") if part not in ("", "."))
        if kind in _FOLDER and not parts:
            continue
        plain = all(_PART.fullmatch(part) and part != ".." for part in parts)
        if text.startswith("/") or not plain or not 1 <= len(parts) <= _MAX_PARTS or parts[0] not in allowed:
            raise InputError(
                f"{archive.name}: {name!r} does not belong into a submission ({' and '.join(allowed)} alone)"
            )
        if kind in _FILE:
            yield Entry(parts, size)


def _check_extended(stream: BinaryIO, size: int, archive: Path) -> None:
    if size > MAX_EXTENDED_BYTES:
        raise InputError(
            f"{archive.name}: an extended header of {size:,} bytes; at most {MAX_EXTENDED_BYTES:,}"
        )
    if _RENAMES.search(stream.read(size)):
        raise InputError(
            f"{archive.name}: an extended header renames or reshapes a file; use what pack makes"
        )
