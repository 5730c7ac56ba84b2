"""Python in a process of its own, as a user starts it, without the seconds that its large imports take.

Each process is forked from one that has imported the libraries below and nothing else: neither this project,
nor a library that reads environment variables as it is imported.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LIBRARIES = """
    numpy pandas pyarrow.parquet pyarrow.dataset xarray zarr numcodecs fsspec.asyn httpx httpx2 requests yaml
    dill multiprocess.pool xxhash PIL.Image pydantic typer tqdm.auto rich.console filelock h5py numba
    scipy.interpolate scipy.spatial scipy.ndimage hypothesis pytest
"""  # one that is not installed is passed over
_TESTS = Path(__file__).parent


class Forked:
    """A process that begins as ``python WORDS`` would: a file, ``-c`` or ``-m``.

    Parameters
    ----------
    words
        What stands behind ``python``.
    environment
        All of its environment, by default this process's.
    cwd
        Its working folder.
    """

    def __init__(self, *words: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_LIBRARIES.split())
        self.words, self._folder = words, tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name) / name for name in ("out", "err")]
        for file in self._files:
            file.touch()
        given = (words, dict(environment or os.environ), str(cwd or Path.cwd()), *map(str, self._files))
        self.process: Any = context.Process(target=_main, args=given)
        self.process.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def printed(self) -> list[str]:
        """What it has written to standard output and to standard error by now."""
        return [file.read_text("utf-8", "replace") for file in self._files]

    def says(self, text: str, timeout_s: float = 60) -> None:
        """Wait for a text on standard output."""
        end = time.monotonic() + timeout_s
        while text not in self.printed[0]:
            assert self.process.is_alive() and time.monotonic() < end, self.printed
            time.sleep(0.005)

    def ended(self, timeout_s: float | None = None) -> bool:
        """Whether it has ended, after a wait for that."""
        self.process.join(timeout_s)
        return self.process.exitcode is not None

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.kill()
        self.process.join()

    @property
    def result(self) -> subprocess.CompletedProcess[str]:
        """Its status, negative where a signal ended it, and what it printed; it must have ended."""
        return subprocess.CompletedProcess(list(self.words), self.process.exitcode, *self.printed)


def run_python(
    *words: str, fresh: bool = False, timeout_s: float = 240, **place: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``python WORDS`` to its end; ``fresh`` starts an interpreter that has imported nothing."""
    if fresh:
        return subprocess.run(
            [sys.executable, *words],
            env=place.get("environment"),
            cwd=place.get("cwd"),
            text=True,
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )
    running = Forked(*words, **place)
    if not running.ended(timeout_s):
        running.kill()
    return running.result


def _main(words: tuple[str, ...], environment: Mapping[str, str], cwd: str, *files: str) -> None:
    """What ``python WORDS`` does."""
    for number, name in enumerate(files, 1):
        opened = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    first, *rest = words
    path = [place for place in sys.path if place and _TESTS not in (Path(place), *Path(place).parents)]
    if first == "-c":
        sys.argv, sys.path = ["-c", *rest[1:]], ["", *path]
        main = sys.modules["__main__"] = type(sys)("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(main))
    elif first == "-m":
        sys.argv, sys.path = list(rest), [os.getcwd(), *path]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path = list(words), [str(Path(first).parent), *path]
        runpy.run_path(first, run_name="__main__")
    atexit._run_exitfuncs()
