"""How every command line of the project runs: one clear line for a user's mistake, never a traceback."""

from __future__ import annotations

import errno
import sys
from typing import Any, NoReturn

import typer

from three_hundred_maps.errors import InputError

# Typer carries a click of its own in newer releases and uses the installed one in older ones; its public
# exceptions lead to the base class that it really raises.
_ClickException: Any = typer.BadParameter.__mro__[2]

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


def describe_os_error(error: OSError) -> str:
    """One line for an operating-system error: what, and where."""
    what = _DISK.get(error.errno or 0, error.strerror or str(error) or type(error).__name__)
    where = f": {error.filename}" if error.filename else ""
    return f"{what}{where}"


def fail(message: str) -> NoReturn:
    """Print ``error: message`` as one line on standard error and end with exit status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def run_app(app: typer.Typer, args: list[str] | None, program: str) -> NoReturn:
    """Run a typer application with the project's manners.

    Exit status 0 when all went well; 2 with one line for bad input (`InputError`, wrong options, a
    file system that refuses, a package of an extra that is not installed); 130 after Ctrl-C.
    """
    command = typer.main.get_command(app)
    try:
        status = command.main(args=args, prog_name=program, standalone_mode=False)
    except _ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.ctx.get_help())
            raise SystemExit(2) from None
        fail(error.format_message())
    except InputError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        extra = _extra_of(error.name or "")
        if extra is None:
            raise
        fail(
            f"the package {error.name!r} is not installed; "
            f"install what this command needs with: pip install 'three_hundred_maps[{extra}]'"
        )
    except OSError as error:
        fail(describe_os_error(error))
    except (KeyboardInterrupt, typer.Abort):
        print("\nstopped; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(status if isinstance(status, int) else 0)


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


def _extra_of(module: str) -> str | None:
    """The extra that brings ``module``, None where no extra does."""
    return _EXTRAS.get(module.split(".")[0])
