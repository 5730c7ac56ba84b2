"""Submissions as one file: one archive made to be sent; and .tar, .zip and .npz of untrusted origin opened,
within limits of size and count."""

from __future__ import annotations

import io
import math
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from benchmarks.manifest import MANIFEST, PREDICTIONS, load_json, parse_json, parse_manifest
from benchmarks.predictions import (
    KEY_TYPES,
    MAP_TYPES,
    MAX_CHUNK_BYTES,
    MAX_DECODED_BYTES,
    MAX_DEPTH,
    MAX_FILES,
)
from benchmarks.submissions import tree_digest, write_submission
from benchmarks.tasks import MASS_MAP, TASKS
from benchmarks.texts import shown
from benchmarks.validation import validate
from benchmarks.variables import MASS, SAMPLES, SIGMA, array_name, map_dims
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import OWN_LIST, canonical_json, renamed_into_place

SUFFIX = ".thm.tar"
ALLOWED = (MANIFEST, PREDICTIONS, OWN_LIST)
MAX_HEADER_BYTES = 2**20
"""Of an extended header of a tar archive, and of what lists the entries of a zip archive ten times."""
MAX_RATIO = 100
"""Of a zip archive's unpacked size: the files of a submission are compressed already."""
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(ValueError, OverflowError, KeyError, IndexError, RecursionError, NotImplementedError),
)


def pack(folder: str | Path, out: str | Path | None = None, store: str | Path | None = None) -> Path:
    """Check a submission and make one archive of it: the same bytes for the same submission.

    Parameters
    ----------
    folder
        The submission.
    out
        The archive, by default ``FOLDER.thm.tar`` beside it; never overwritten.
    store
        Check against this store's test split too.

    Raises
    ------
    InputError
        Where something is wrong with the submission, or the archive is there already.
    """
    folder = Path(folder)
    validate(folder, store)
    content = load_json(folder / MANIFEST)
    content["predictions_sha256"] = tree_digest(folder / PREDICTIONS)
    out = Path(out) if out is not None else folder.with_name(folder.name + SUFFIX)
    if out.exists():
        raise InputError(f"{out} is there already; remove it or give another name with --out")
    with (
        renamed_into_place(out) as partial,
        tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, MANIFEST, canonical_json(content))
        for path in sorted((folder / PREDICTIONS).rglob("*")):
            if path.is_file():
                _add(archive, path.relative_to(folder).as_posix(), path.read_bytes())
    return out


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    # No time, owner or mode of this machine: the same submission packs to the same bytes.
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


@contextmanager
def opened(path: str | Path) -> Iterator[Path]:
    """The folder of a submission given as a folder, or as .tar, .zip or .npz, unpacked while it is used."""
    path = Path(path)
    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="submission-") as scratch:
        folder = Path(scratch) / "submission"
        unpack(path, folder)
        yield folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a submission from one file into an empty folder.

    Parameters
    ----------
    archive
        An uncompressed .tar; a .zip; or an .npz with the arrays of ``predictions.zarr`` by their names and a
        text ``submission``, the content of ``submission.json``.
    folder
        Where to.

    Raises
    ------
    InputError
        Where it holds anything but plain files of a submission, is damaged, or goes beyond the limits;
        before anything of a .tar or .zip is written.
    """
    try:
        with open(archive, "rb") as stream:
            if stream.read(2) == b"PK":
                with _open_zip(stream, archive) as source:
                    npz = any(info.filename.endswith(".npy") for info in source.infolist())
                    (_unpack_npz if npz else _unpack_zip)(source, archive, folder)
                return
        with _ShortReads(io.FileIO(archive)) as short, tarfile.open(fileobj=short, mode="r:") as members:
            _unpack_tar(members, short, archive, folder)
    except (NotADirectoryError, FileExistsError, IsADirectoryError):
        raise InputError(f"{archive.name}: names of files and folders collide") from None
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(
            f"{archive} is not an archive made by pack ({shown(error) or 'it is damaged'}): "
            "give the submission as a folder, a .tar that is not compressed, a .zip or an .npz"
        ) from None


def _check_names(names: Iterable[tuple[str, bool]], archive: Path) -> None:
    """Check the name of every entry (given with whether it is a folder)."""
    seen: set[PurePosixPath] = set()
    for count, (text, is_folder) in enumerate(names, 1):
        if count > MAX_FILES:
            raise InputError(f"{archive.name}: holds more than {MAX_FILES:,} files")
        path = PurePosixPath(text)
        parts = path.parts
        plain = text.isascii() and text.isprintable() and not path.is_absolute() and ".." not in parts
        outside = bool(parts) and parts[0] not in ALLOWED or not (parts or is_folder)
        if not plain or outside or "\\" in text or len(parts) > MAX_DEPTH:
            raise InputError(
                f"{archive.name}: {shown(text)!r} does not belong into a submission "
                f"({MANIFEST} and {PREDICTIONS} alone, in no folder)"
            )
        if path in seen and not is_folder:
            raise InputError(f"{archive.name}: {shown(text)!r} is there twice")
        seen.add(path)


class _ShortReads(io.BufferedReader):
    """A file that gives no more than a header may hold at once: tarfile takes headers of any size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header claims more bytes than any may have")
        return super().read(size)


def _unpack_tar(source: tarfile.TarFile, stream: BinaryIO, path: Path, folder: Path) -> None:
    members: list[tarfile.TarInfo] = []

    def names() -> Iterator[tuple[str, bool]]:
        for member in source:
            if not (member.isdir() or member.isreg()) or member.issparse() or member.size < 0:
                raise InputError(
                    f"{path.name}: {shown(member.name)!r} is a link or a device; plain files only"
                )
            members.append(member)
            yield member.name, member.isdir()

    _check_names(names(), path)
    # tarfile takes a damaged header behind the first for the end.
    stream.seek(source.offset)
    if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("a header is damaged")
    source.extractall(folder, members, filter="data")


def _open_zip(stream: BinaryIO, path: Path) -> zipfile.ZipFile:
    """A zip archive, its size and count looked at before its list is read."""
    stream.seek(max(0, path.stat().st_size - 42))
    tail = stream.read(42)
    if len(tail) < 22 or tail[-22:-18] != b"PK\5\6":
        raise zipfile.BadZipFile("it is cut short")
    listed = int.from_bytes(tail[-10:-6], "little")
    if tail[:4] == b"PK\6\7" or listed > 10 * MAX_HEADER_BYTES:
        raise InputError(
            f"{path.name}: holds more than {MAX_FILES:,} files or 4 GB; pack makes larger archives"
        )
    source = zipfile.ZipFile(stream)
    total = sum(info.file_size for info in source.infolist())
    if total > min(MAX_DECODED_BYTES, MAX_RATIO * path.stat().st_size):
        raise InputError(f"{path.name}: unpacks to {total:,} bytes; at most {MAX_RATIO} times its own size")
    for info in source.infolist():
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{path.name}: {shown(info.filename)!r} is encrypted or not deflated")
    return source


def _unpack_zip(source: zipfile.ZipFile, path: Path, folder: Path) -> None:
    infos = source.infolist()
    _check_names(((info.filename, info.is_dir()) for info in infos), path)
    for info in infos:
        source.extract(info, folder)


def _unpack_npz(source: zipfile.ZipFile, path: Path, folder: Path) -> None:
    members = {PurePosixPath(info.filename).stem: info for info in source.infolist()}
    manifest, target = None, MASS
    if "submission" in members:
        text = str(_small(source, members["submission"]).item()).encode()
        manifest = parse_manifest(parse_json(text, MANIFEST))
        target = TASKS.get(manifest.task, MASS_MAP).target
    named = {name: array_name(name, target) for name in (MASS, SIGMA, SAMPLES)}
    maps = {name: _blocks(source, members[array], name) for name, array in named.items() if array in members}
    if manifest is None or not {MASS, SAMPLES} & set(maps):
        raise InputError(
            f"{path.name}: an .npz submission holds {named[MASS]} or {named[SAMPLES]}, the keys, and "
            f"submission, the text of {MANIFEST}"
        )
    names = set(members) - {"submission", *named.values()}
    fields = manifest.model_dump(exclude_none=True, exclude={"predictions_sha256"})
    write_submission(
        folder,
        **fields,
        maps=maps.get(MASS),
        mass_sigma=maps.get(SIGMA),
        mass_samples=maps.get(SAMPLES),
        rows={name: _small(source, members[name]) for name in names},
    )


def _header(stream: Any, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, whose size must be what its header says."""
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, fortran, dtype = read(stream)
    known = dtype.name in (*MAP_TYPES, *KEY_TYPES) or (
        dtype.kind == "U" and dtype.itemsize <= MAX_HEADER_BYTES
    )
    if fortran or not known or math.prod(shape) * dtype.itemsize != info.file_size - stream.tell():
        order = " in Fortran order (numpy.ascontiguousarray turns it)" if fortran else ""
        raise ValueError(f"{info.filename}: {dtype} of shape {shape}{order} is not what a submission holds")
    return shape, dtype


def _small(source: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.file_size > MAX_CHUNK_BYTES:
        raise ValueError(f"{info.filename} has {info.file_size:,} bytes")
    with source.open(info) as stream:
        shape, dtype = _header(stream, info)
        return np.frombuffer(stream.read(), dtype).reshape(shape)


def _blocks(source: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Iterator[NDArray[Any]]:
    with source.open(info) as stream:
        shape, dtype = _header(stream, info)
        size = math.prod(shape[1:]) * dtype.itemsize
        if len(shape) != len(map_dims(name)) or not 0 < size <= MAX_CHUNK_BYTES:
            raise ValueError(f"{info.filename}: shape {shape}; expected {', '.join(map_dims(name))}")
        for _ in range(shape[0]):
            yield np.frombuffer(stream.read(size), dtype).reshape(1, *shape[1:])
