"""Files of record, written atomically and checksummed; folders that are replaced; pools, cores, the cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from three_hundred_maps.errors import InputError

OWN_LIST = ".three_hundred_maps.json"
"""In a folder that a command wrote: the kind of the folder and the files that are the command's own."""


def fsync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable, where the system lets a folder be opened (Windows does not)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError that names no file the path it is of: a full disk and a failing device tell none."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def renamed_into_place(path: Path) -> Iterator[Path]:
    """A name beside ``path`` that becomes ``path`` once the block ends well; errors name ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with suppress(OSError):  # a read-only file system refuses this too; the first error counts
            partial.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that the file is either whole or absent, also after a power cut."""
    with renamed_into_place(path) as partial, open(partial, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    fsync_folder(path.parent)


def is_partial(path: Path) -> bool:
    """Whether a file has the very name of one that `renamed_into_place` was writing (a process's number)."""
    return re.fullmatch(r"\..+\.\d+\.partial", path.name) is not None and path.is_file()


def sweep_partial(folder: Path) -> None:
    """Remove what killed writers left unfinished below ``folder``; nobody may be writing there.

    That is what has the very names of `renamed_into_place` and `replaced_folder`.
    """
    for partial in list(folder.rglob(".*.partial")):
        if partial.is_dir() and re.fullmatch(r"\..+\.[a-z0-9_]{8}\.partial", partial.name):
            shutil.rmtree(partial, ignore_errors=True)
        elif is_partial(partial):
            partial.unlink(missing_ok=True)


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and a final newline: the same bytes for the same content; NaN is refused."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """`canonical_json` through `write_bytes`."""
    write_bytes(path, canonical_json(value))


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def own_files(folder: Path, kind: str) -> set[str] | None:
    """What the folder's own list says a command of this kind wrote there; None without such a list."""
    try:
        content = json.loads((folder / OWN_LIST).read_text(encoding="utf-8"))
        files = content["files"] if content["kind"] == kind else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        files = None
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        return None
    return {name for name in files if not Path(name).is_absolute() and ".." not in Path(name).parts}


def require_claimable(folder: Path, kind: str) -> None:
    """InputError unless ``folder`` is absent, empty, or holds the list of a command of this kind."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the {kind}")
    if folder.is_dir() and any(folder.iterdir()) and own_files(folder, kind) is None:
        raise InputError(f"{folder} holds other things than a {kind}; name a new folder")
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    if not os.access(place, os.W_OK):
        # Before hours of work, not after them.
        raise InputError(f"{place} cannot be written to; name another folder for the {kind}")


@contextmanager
def replaced_folder(folder: Path, kind: str) -> Iterator[Path]:
    """Write a whole folder beside ``folder`` and put it in place at the end, all or nothing.

    Where files of an earlier run are replaced, a kill in that moment leaves some of both: to be run again.

    A folder that an earlier run wrote is replaced: of what is there, only the files on its own list are
    removed; a file that is not on it stays, and where a new file would take its name nothing is changed.

    Parameters
    ----------
    folder
        Where the result goes.
    kind
        What the folder is, in a word (``leaderboard``); part of its list.

    Yields
    ------
    The new, empty folder to write into.

    Raises
    ------
    InputError
        Where the folder holds other things, or a file of the user's has the name of a new one.
    """
    require_claimable(folder, kind)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        staging.chmod(0o777 & ~_umask())
        with naming(folder):
            yield staging
        new = sorted(str(p.relative_to(staging)) for p in staging.rglob("*") if not p.is_dir())
        write_json(staging / OWN_LIST, {"kind": kind, "files": new})
        if not folder.exists():
            os.replace(staging, folder)
            return
        old = own_files(folder, kind) or set()
        for name in new:
            if name not in old and (folder / name).exists():
                raise InputError(f"{folder / name} is not this command's own file; move it away")
        # Until all is in place the list names what was and what comes: a run stopped here can be repeated.
        write_json(folder / OWN_LIST, {"kind": kind, "files": sorted({*old, *new})})
        _remove_files(folder, old)
        for name in [*new, OWN_LIST]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / name, folder / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_own(folder: Path, kind: str) -> None:
    """Remove the files that the folder's own list names, and the folders that this leaves empty."""
    _remove_files(folder, own_files(folder, kind) or set())
    (folder / OWN_LIST).unlink(missing_ok=True)


def _remove_files(folder: Path, names: set[str]) -> None:
    parents: set[Path] = set()
    for name in names:
        (folder / name).unlink(missing_ok=True)
        parents.update(p for p in (folder / name).parents if folder in p.parents)
    for parent in sorted(parents, key=lambda p: -len(p.parts)):
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def claim_folder(folder: Path, mark: str, settings: Any) -> None:
    """Make a folder the place of one work, which may be resumed there: its file ``mark`` holds ``settings``.

    Raises
    ------
    InputError
        Where the folder is of work with other settings, or holds other things.
    """
    path = folder / mark
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder")
    if path.exists():
        if path.read_bytes() != canonical_json(settings):
            raise InputError(f"{folder} holds work with other settings (see {path}): give another folder")
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder} holds other things, which are never overwritten: give a new or empty folder"
        )
    else:
        write_json(path, settings)


def spawn_pool(workers: int, initializer: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """A pool of spawned processes: a fork after a threaded codec deadlocks."""
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=initializer)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def full_path(path: str | os.PathLike[str]) -> Path:
    """``path`` with its ``~`` filled in; InputError where that home folder is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: the home folder is not known; write the whole path, or set HOME (HF_HOME for caches)"
        ) from None


def cache_home() -> Path:
    """Where what is built or downloaded is kept.

    ``THREE_HUNDRED_MAPS_HOME``, else ``three_hundred_maps`` under ``HF_HOME``, else under ``XDG_CACHE_HOME``
    or ``~/.cache``.
    """
    home = os.environ.get("THREE_HUNDRED_MAPS_HOME")
    if home:
        return full_path(home)
    base = os.environ.get("HF_HOME") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return full_path(base) / "three_hundred_maps"
