"""What the speed benchmarks share: goals, CPU time, a scratch folder, and whether the machine is idle."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IDLE_LOAD = 0.5
"""Load average below which wall-clock times are judged."""


@dataclass(frozen=True)
class Goal:
    """One number that is measured against a goal."""

    name: str
    value: float
    goal: float
    at_least: bool
    judged: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = ("met" if self.met else "MISSED") if self.judged else "not judged: the machine is busy"
        return f"  {self.name:<66} {self.value:10.4g}   goal {sign} {self.goal:<8g} {verdict}"


def best_cpu_s(work: Callable[[], Any], turns: int, *, warm_up: bool = True) -> float:
    """The least CPU time of several turns, because other work only ever slows one down.

    ``warm_up``: after one more that compiles.
    """
    if warm_up:
        work()
    times = []
    for _ in range(turns):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


@contextmanager
def scratch(folder: Path | None) -> Iterator[Path]:
    """A temporary folder, in ``folder`` where one is given; says how busy the machine is."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="speed-") as name:
        yield Path(name)


def is_idle(load: float, processors: int = 2) -> bool:
    """Whether wall-clock times mean anything at this load average, on as many processors as that."""
    return load < IDLE_LOAD and (os.cpu_count() or 1) >= processors
