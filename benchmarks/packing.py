"""Submissions as one file: one archive made to be sent; and .tar, .zip and .npz of untrusted origin opened,
within limits of size and count."""

from __future__ import annotations

import io
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

from benchmarks.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    PREDICTIONS,
    load_json,
    parse_json,
    parse_manifest,
)
from benchmarks.predictions import MAX_CHUNK_BYTES, MAX_DECODED_BYTES, MAX_DEPTH, MAX_FILES, MAX_HALOS
from benchmarks.submissions import tree_digest, write_submission
from benchmarks.tasks import MASS_MAP, TASKS
from benchmarks.texts import shown
from benchmarks.validation import validate
from benchmarks.variables import MASS, SAMPLES, SIGMA, array_name
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import OWN_LIST, canonical_json, renamed_into_place
from three_hundred_maps.keys import KEY, SEALED_KEY

SUFFIX = ".thm.tar"
ALLOWED = (MANIFEST, PREDICTIONS, OWN_LIST)
MAX_HEADER_BYTES = 2**20
"""Of an extended header of a tar archive, and of what lists the entries of a zip archive ten times."""
MAX_RATIO = 100
"""Of a zip archive's unpacked size: the files of a submission are compressed already."""
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(ValueError, TypeError, OverflowError, KeyError, IndexError, RecursionError, NotImplementedError),
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
    if out is None:
        # `.` has no name of its own.
        named = folder if folder.name not in ("", "..") else folder.resolve()
        out = named.with_name(named.name + SUFFIX)
    out = Path(out)
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
        folder = unpack(path, Path(scratch) / "submission")
        missing = [name for name in (MANIFEST, PREDICTIONS) if not (folder / name).exists()]
        if missing:
            raise InputError(f"{path.name} holds no {' and no '.join(missing)}")
        yield folder


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a submission from one file into an empty folder, and give the folder that holds it.

    Parameters
    ----------
    archive
        An uncompressed .tar or a .zip, of the submission's files or of their folder; or an .npz with the
        arrays of ``predictions.zarr`` by their names and a text ``submission``, the content of
        ``submission.json``.
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
                    if not any(info.filename.endswith(".npy") for info in source.infolist()):
                        return folder / _unpack_zip(source, archive, folder)
                    _unpack_npz(source, archive, folder)
                    return folder
        with _ShortReads(io.FileIO(archive)) as short, tarfile.open(fileobj=short, mode="r:") as members:
            return folder / _unpack_tar(members, short, archive, folder)
    except (NotADirectoryError, FileExistsError, IsADirectoryError):
        raise InputError(f"{archive.name}: names of files and folders collide") from None
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(
            f"{archive} is not an archive made by pack ({shown(error) or 'it is damaged'}): "
            "give the submission as a folder, a .tar that is not compressed, a .zip or an .npz"
        ) from None


def _check_names(names: Iterable[tuple[str, bool]], archive: Path) -> PurePosixPath:
    """Check the name of every entry (given with whether it is a folder); gives the folder they are all in."""
    seen: set[PurePosixPath] = set()
    top = PurePosixPath()
    for count, (text, is_folder) in enumerate(names, 1):
        if count > MAX_FILES:
            raise InputError(f"{archive.name}: holds more than {MAX_FILES:,} files")
        path = PurePosixPath(text)
        if count == 1 and path.name and path.parts[0] not in ALLOWED and (is_folder or len(path.parts) > 1):
            top = PurePosixPath(path.parts[0])  # what a file manager or tar makes of a folder
        parts = path.relative_to(top).parts if path.is_relative_to(top) else ("",)
        plain = text.isascii() and text.isprintable() and not path.is_absolute() and ".." not in path.parts
        outside = bool(parts) and parts[0] not in ALLOWED or not (parts or is_folder)
        if not plain or outside or "\\" in text or len(parts) > MAX_DEPTH:
            raise InputError(
                f"{archive.name}: {shown(text)!r} does not belong into a submission "
                f"({MANIFEST} and {PREDICTIONS} alone, or one folder of these)"
            )
        if path in seen and not is_folder:
            raise InputError(f"{archive.name}: {shown(text)!r} is there twice")
        seen.add(path)
    return top


class _ShortReads(io.BufferedReader):
    """A file that gives no more than a header may hold at once: tarfile takes headers of any size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header claims more bytes than any may have")
        return super().read(size)


def _unpack_tar(source: tarfile.TarFile, stream: BinaryIO, path: Path, folder: Path) -> PurePosixPath:
    members: list[tarfile.TarInfo] = []

    def names() -> Iterator[tuple[str, bool]]:
        for member in source:
            if not (member.isdir() or member.isreg()) or member.issparse() or member.size < 0:
                raise InputError(
                    f"{path.name}: {shown(member.name)!r} is a link or a device; plain files only"
                )
            members.append(member)
            yield member.name, member.isdir()

    top = _check_names(names(), path)
    # tarfile takes a damaged header behind the first for the end.
    stream.seek(source.offset)
    if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("a header is damaged")
    source.extractall(folder, members, filter="data")
    return top


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
        raise InputError(
            f"{path.name}: unpacks to {total:,} bytes; at most {MAX_RATIO} times its own size "
            "(numpy.savez and tar do not compress)"
        )
    for info in source.infolist():
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{path.name}: {shown(info.filename)!r} is encrypted or not deflated")
    return source


def _unpack_zip(source: zipfile.ZipFile, path: Path, folder: Path) -> PurePosixPath:
    infos = source.infolist()
    top = _check_names(((info.filename, info.is_dir()) for info in infos), path)
    for info in infos:
        source.extract(info, folder)
    return top


def _unpack_npz(source: zipfile.ZipFile, path: Path, folder: Path) -> None:
    members = {info.filename.removesuffix(".npy"): info for info in source.infolist()}
    if len(members) != len(source.infolist()):
        raise InputError(f"{path.name}: holds an array twice")

    def array(name: str) -> NDArray[Any] | None:
        if name not in members:
            return None
        # Only names that are known are extracted: of others several may be one file, cut while it is mapped.
        found = np.lib.format.open_memmap(source.extract(members.pop(name), folder.parent / "npz"), mode="r")
        # Of maps, a halo is read at once, which takes a pass over the whole where halos do not lie together.
        limit = MAX_CHUNK_BYTES * len(found) if found.ndim > 3 else MAX_CHUNK_BYTES
        if not found.flags.c_contiguous or not 0 < found.nbytes <= limit:
            order = "" if found.flags.c_contiguous else " in Fortran order (numpy.ascontiguousarray turns it)"
            raise ValueError(f"{name}.npy has {found.nbytes:,} bytes{order}")
        return found

    manifest, target = None, MASS
    about = array("submission")
    if about is not None:
        if about.nbytes > 4 * MAX_MANIFEST_BYTES:
            raise ValueError(f"submission.npy has {about.nbytes:,} bytes")
        manifest = parse_manifest(parse_json(str(about.item()).encode(), MANIFEST))
        target = TASKS.get(manifest.task, MASS_MAP).target
    named = {name: array_name(name, target) for name in (MASS, SIGMA, SAMPLES)}
    maps = {name: array(member) for name, member in named.items()}
    keys = {name: found for name in (*KEY, SEALED_KEY) if (found := array(name)) is not None}
    if manifest is None or (maps[MASS] is None and maps[SAMPLES] is None) or members:
        other = f"; {shown(min(members), 60)!r} is none of these" if members else ""
        raise InputError(
            f"{path.name}: an .npz submission holds {named[MASS]} or {named[SAMPLES]}, "
            f"{named[SIGMA]} if there is one, the keys, and submission, the text of {MANIFEST}{other}"
        )
    for name, values in keys.items():
        if values.ndim != 1 or len(values) > MAX_HALOS:
            raise InputError(f"{path.name}: {name} has the shape {values.shape}; expected one key a halo")
    write_submission(
        folder,
        **manifest.model_dump(exclude_none=True, exclude={"predictions_sha256"}),
        maps=maps[MASS],
        mass_sigma=maps[SIGMA],
        mass_samples=maps[SAMPLES],
        rows=keys,
    )
