"""Tasks that end their worker or fail; by themselves, so that a spawned process imports nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from three_hundred_maps.errors import InputError


def dies_once(task: tuple[str, int]) -> int:
    """The square of a number; the first process that is given 2 dies and leaves a marker."""
    marker, number = task
    if number == 2 and not Path(marker).exists():
        Path(marker).write_text("dead")
        always_dies(number)
    return number**2


def always_dies(task: int) -> int:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return task


def fails(task: int) -> int:
    """A user's mistake."""
    raise InputError(f"task {task} is bad")


def names_a_lock(task: int) -> bool:
    """Whether a lock made here has a name, which stays behind where this process is ended."""
    return getattr(multiprocessing.Lock(), "_semlock").name is not None  # noqa: B009
