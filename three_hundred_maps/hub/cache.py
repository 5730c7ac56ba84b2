"""Where cached data lies, and the store that is built on the spot when no other source serves."""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout

from three_hundred_maps.builder.recipe import Recipe
from three_hundred_maps.errors import InputError, declared_packages, installed_version
from three_hundred_maps.io import cache_home, cores, sha256_bytes
from three_hundred_maps.observe.levels import Level, observed_name, observed_recipe
from three_hundred_maps.progress import is_quiet, note
from three_hundred_maps.simulation.synthetic.setup import GENERATOR_VERSION
from three_hundred_maps.store.schema import SCHEMA_VERSION

HOME_VARIABLE = "THREE_HUNDRED_MAPS_HOME"
START_S, REGION_CORE_S = 15.0, 4.0
"""What a build takes: to start and finish, and for each region of light resolution on one core."""


def store_path(recipe: Recipe, level: Level | None = None) -> Path:
    """Where the cached store of a recipe lies, or what ``level`` observes of it.

    Its name tells the data set's identity: name, recipe and version of the generator; and the store's schema,
    because another one is not read.
    """
    name, digest = recipe.name, recipe.sha256()
    if level is not None:
        name = observed_name(name, level)
        digest = sha256_bytes(observed_recipe(recipe.canonical(), level).encode())
    return cache_home() / "stores" / f"{name}-{digest[:16]}-g{GENERATOR_VERSION}-s{SCHEMA_VERSION}.zarr"


def is_finished(path: Path) -> bool:
    """Whether a store is complete: its manifest is written last."""
    return (path / "manifest.json").is_file()


def unwritable(folder: Path, error: OSError) -> InputError:
    """The error for a cache folder that cannot be used."""
    return InputError(
        f"the cache folder {folder} cannot be written ({error.strerror or error}); set HF_HOME, or "
        f"{HOME_VARIABLE}, to a folder you may write"
    )


def require_packages(config: str, extra: str) -> None:
    """InputError where a config is made on this machine and packages of ``extra`` are missing."""
    missing = [name for name in declared_packages().get(extra, []) if installed_version(name) is None]
    if missing:
        raise InputError(
            f"config {config!r} is built on this machine, which needs {', '.join(missing)}; install them "
            f"with: pip install 'three_hundred_maps[{extra}]' (or give a finished store by data_dir=, or "
            "load the shipped config 'sample')"
        )


def build_on_the_spot(config: str, recipe: Recipe) -> Path:
    """Build the store of a shipped synthetic recipe into the cache and return its path.

    The build is a process of its own, so that a script without a main guard or a notebook is safe, and it
    runs under a file lock: of two processes at once one builds, the other waits and takes what it built. An
    interrupted build is resumed.

    Raises
    ------
    InputError
        The extra ``[build]`` is not installed, the cache cannot be written, or the build says no.
    """
    require_packages(config, "build")
    path = store_path(recipe)
    return _make(config, path, announcement(config, recipe, path), ["build", config])


def observe_on_the_spot(config: str, recipe: Recipe, level: Level, wide: Path | str) -> Path:
    """Write what a level observes of a recipe's store ``wide`` into the cache, as `build_on_the_spot`."""
    path = store_path(recipe, level)
    text = f"observing config {recipe.name!r} as {config!r}, once, in {path}; less than a minute"
    return _make(config, path, text, ["observe", str(wide), "--level", level.name])


def _make(config: str, path: Path, text: str, command: list[str]) -> Path:
    """Say ``text`` and run the command of the package that writes the store ``path``, unless it is there."""
    lock = FileLock(str(path) + ".lock", timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise unwritable(path.parent, error) from None
    try:
        lock.acquire()
    except Timeout:
        note(f"another process is building {config!r}; waiting for it")
        lock.acquire(timeout=-1)
    try:
        if not is_finished(path):
            note(text)
            _run_build(config, path, command)
        if not is_finished(path):
            raise InputError(f"the build of {config!r} left no finished store in {path}; re-run to resume")
    finally:
        lock.release()
    return path


def announcement(config: str, recipe: Recipe, path: Path) -> str:
    """What is about to happen, how large it will be and where it goes."""
    regions = sum(len(each.region_list() or ()) for each in recipe.simulation.members())
    los = recipe.maps.lines_of_sight
    n_los = los if isinstance(los, int) else len(los)
    halos = recipe.selection.max_halos or round(1.5 * regions)
    megabytes = 0.7e-6 * halos * n_los * recipe.maps.pixels**2 * 4 * len(recipe.maps.views)
    return (
        f"building config {config!r} from its synthetic simulation, once: {regions} "
        f"regions, about {halos:,} clusters x {n_los} lines of sight, some {megabytes:,.0f} MB in {path}; "
        f"about {_duration(regions)} on {cores()} cores"
    )


def _duration(regions: int) -> str:
    seconds = START_S + REGION_CORE_S * regions / cores()
    return f"{seconds / 3600:.1f} hours" if seconds > 5400 else f"{max(1, round(seconds / 60))} min"


def _run_build(config: str, path: Path, command: list[str]) -> None:
    command = [sys.executable, "-m", "three_hundred_maps", *command, "--out", str(path)]
    command += ["--workers", str(cores())]
    # Its output goes through this process, because a notebook shows only what sys.stderr gets.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    )
    try:
        last = _copy_output(process, sys.stderr)
        status = process.wait()
    except BaseException:
        # Ctrl-C in a notebook reaches this process alone.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    if status != 0:
        reason = last.removeprefix("error: ") or f"exit status {status}"
        raise InputError(f"config {config!r} could not be built: {reason}")


def _copy_output(process: subprocess.Popen[bytes], out: TextIO) -> str:
    """Pass a process's output on as it comes and return its last line that is not a progress bar."""
    assert process.stdout is not None
    # A character of several bytes may lie across the end of a block.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    tail = b""
    while block := os.read(process.stdout.fileno(), 4096):
        if not is_quiet():
            out.write(decoder.decode(block))
            out.flush()
        tail = (tail + block)[-8192:]
    lines = [line.strip() for line in tail.decode("utf-8", "replace").replace("\r", "\n").splitlines()]
    errors = [line for line in lines if line.startswith("error: ")]
    return errors[-1] if errors else next((line for line in reversed(lines) if line), "")
