"""Errors that a user can mend, and how every command ends: one clear line, never a traceback."""

from __future__ import annotations

import errno
import io
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from traceback import walk_tb
from typing import NoReturn

_DISK = {
    errno.ENOSPC: "no space is left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.ENOENT: "no such file or folder",
    errno.EEXIST: "a file is there already, where a folder is needed",
    errno.ENOTDIR: "a part of this path is not a folder",
    errno.EISDIR: "this is a folder, not a file",
    errno.EIO: "the device failed (input/output error)",
}


class InputError(ValueError):
    """What a user gave cannot be used.

    The message is one line that says what is wrong, where, and what to do about it. Commands print it
    as ``error: ...`` and end with exit status 2; in Python it is raised as it is.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


def describe_os_error(error: OSError) -> str:
    """One line for an operating-system error: what, and where."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        # Of a folder's copy: every file that failed. The first says enough.
        _, target, reason = error.args[0][0]
        return f"{target} could not be written: {reason.split(': ')[0]}"
    what = _DISK.get(error.errno or 0, error.strerror or str(error) or type(error).__name__)
    where = f": {error.filename}" if error.filename else ""
    return f"{what}{where}"


def declared_packages() -> dict[str, list[str]]:
    """What the project depends on, by extra ("" for the base installation), as its metadata declare it.

    The extra ``all``, which is the others together, is left out. None is declared in a tree of files that is
    not installed.
    """
    found: dict[str, list[str]] = {}
    try:
        lines = metadata.requires("three_hundred_maps") or ()
    except metadata.PackageNotFoundError:
        return found
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", line)
        key = extra[1] if extra else ""
        if name is not None and key != "all":
            found.setdefault(key, []).append(name[0])
    return found


def installed_version(package: str) -> str | None:
    """The version of a distribution; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def missing_package(error: ModuleNotFoundError) -> str | None:
    """One line on what to install; None for a package that the project does not declare."""
    missing = (error.name or "").split(".")[0]
    declared = declared_packages().items()
    extras = [extra for extra, some in declared if missing in [one.replace("-", "_") for one in some]]
    if not extras:
        return None
    # Several extras bring scipy: the one that is wanted is that of the package whose code asks for it.
    askers = [frame.f_globals.get("__name__", "").split(".")[0] for frame, _ in walk_tb(error.__traceback__)]
    asking = next((name for name in reversed(askers) if name in (*extras, "three_hundred_maps")), "")
    extra = asking if asking in extras else "build" if "build" in extras else extras[0]
    wanted = f"three_hundred_maps[{extra}]" if extra else "three_hundred_maps"
    return f"the package {missing!r} is not installed; install it with: pip install '{wanted}'"


@contextmanager
def naming_the_extra() -> Iterator[None]:
    """Let an import that lacks a package say which extra of ours brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        text = missing_package(error)
        if text is None:
            raise
        raise ModuleNotFoundError(text, name=error.name, path=error.path) from None


def fail(message: str) -> NoReturn:
    """Print ``error: message`` as one line on standard error and end with exit status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


@contextmanager
def error_handling() -> Iterator[None]:
    """Turn what ends a command early into an exit status and one line.

    2 for bad input (`InputError`, a file system that refuses, a package of an extra that is not installed);
    130 after Ctrl-C. Names that the terminal's encoding lacks are printed escaped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except InputError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        text = missing_package(error)
        if text is None:
            raise  # not ours to declare: its traceback says who needs it
        fail(text)
    except OSError as error:
        fail(describe_os_error(error))
    except KeyboardInterrupt:
        print("\nstopped; re-run the same command to resume", file=sys.stderr)
        raise SystemExit(130) from None
