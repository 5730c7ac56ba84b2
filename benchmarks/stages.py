"""Commands run one after the other, each timed with its peak memory, and remembered when done."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_json


@dataclass(frozen=True)
class Stage:
    """What one command cost.

    Parameters
    ----------
    name
        Of the stage.
    command
        What was run, as one would type it.
    seconds
        Wall time.
    cpu_seconds
        User and system time of the command and its children.
    peak_mib
        Largest resident memory of any one of its processes, MiB.
    """

    name: str
    command: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


def run_stage(name: str, arguments: Sequence[str | Path], *, log: Path) -> Stage:
    """Run ``python -m ARGUMENTS``, let it speak to the terminal, and measure it.

    A stage whose ``log`` says that this very command is done is not run again.

    Raises
    ------
    InputError
        Where the command fails: it has said why itself.
    """
    words = [str(word) for word in arguments]
    command = f"python -m {shlex.join(words)}"
    if log.exists() and (done := _load(log)).command == command:
        print(f"[{name}] done before, in {done.seconds:.0f} s", flush=True)
        return done
    print(f"\n[{name}] {command}", flush=True)
    start = time.monotonic()
    # Not Popen.wait: only wait4 tells what this one command used, whatever ran before it.
    process = subprocess.Popen([sys.executable, "-m", *words])
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except KeyboardInterrupt:
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InputError(f"the stage {name} ended with status {process.returncode}: see its message above")
    scale = 1024.0 if sys.platform != "darwin" else 1024.0**2
    stage = Stage(
        name,
        command,
        round(time.monotonic() - start, 2),
        round(usage.ru_utime + usage.ru_stime, 2),
        round(usage.ru_maxrss / scale, 1),
    )
    print(f"[{name}] {stage.seconds:.0f} s, peak memory {stage.peak_mib:.0f} MiB", flush=True)
    write_json(log, asdict(stage))
    return stage


def load_stages(folder: Path) -> list[Stage]:
    """The stages done so far, in the order in which they ended."""
    return [_load(log) for log in sorted(folder.glob("*.json"), key=lambda log: log.stat().st_mtime_ns)]


def _load(log: Path) -> Stage:
    return Stage(**json.loads(log.read_text(encoding="utf-8")))
