"""How every command of the project ends: one clear line for a user's mistake, never a traceback."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from three_hundred_maps.errors import InputError

_DISK = {
    errno.ENOSPC: "no space is left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of this path is not a folder",
    errno.EISDIR: "this is a folder, not a file",
}

_EXTRAS = {
    "numba": "build",
    "scipy": "build",
    "h5py": "build",
    "colossus": "build",
    "matplotlib": "build",
    "torch": "baselines",
    "timm": "baselines",
    "torchvision": "baselines",
    "safetensors": "baselines",
    "jinja2": "benchmarks",
    "distributed": "cluster",
    "dask": "cluster",
    "dask_jobqueue": "cluster",
}
"""The extra that brings a package."""


def describe_os_error(error: OSError) -> str:
    """One line for an operating-system error: what, and where."""
    what = _DISK.get(error.errno or 0, error.strerror or str(error) or type(error).__name__)
    where = f": {error.filename}" if error.filename else ""
    return f"{what}{where}"


def fail(message: str) -> NoReturn:
    """Print ``error: message`` as one line on standard error and end with exit status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


@contextmanager
def clear_endings() -> Iterator[None]:
    """Turn what ends a command early into an exit status and one line.

    2 for bad input (`InputError`, a file system that refuses, a package of an extra that is not installed);
    130 after Ctrl-C.
    """
    try:
        yield
    except InputError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        fail(
            f"the package {error.name!r} is not installed; "
            f"install what this command needs with: pip install 'three_hundred_maps[{extra}]'"
        )
    except OSError as error:
        fail(describe_os_error(error))
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
