"""The form of the speed benchmarks: works taken in turn in one process, tables, goals, JSON, options.

    def measure(report: Report, particles: int = 1_000_000) -> None:
        best = least({"ours": ours, "peer": peer}, turns=3)
        report.table("reading", {"CPU s": ".3f"}, best)
        report.goal("CPU of the peer over ours", best["peer"] / best["ours"], 2.0, at_least=True)
        report.numbers["read"] = best

    if __name__ == "__main__":
        run(measure)

Tables are printed as they come, the goals at the end. ``--json FILE`` keeps ``numbers`` and the goals;
``--scratch DIR`` is where temporary files are written, on the disk that counts.
"""

from __future__ import annotations

import argparse
import inspect
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from three_hundred_maps.errors import error_handling
from three_hundred_maps.io import spawn_pool, write_json

IDLE_LOAD = 0.5
"""Load average below which wall-clock times are judged."""

Work = Callable[[], Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Goal:
    """One number that is measured against a goal."""

    name: str
    value: float
    goal: float
    at_least: bool = False
    judged: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = ("met" if self.met else "MISSED") if self.judged else "not judged: the machine is busy"
        return f"  {self.name:<66} {self.value:10.4g}   goal {sign} {self.goal:<8g} {verdict}"


@dataclass
class Report:
    """What a benchmark finds.

    Parameters
    ----------
    folder
        For its files; gone at the end.
    json
        Where the numbers are kept.
    load
        Of the machine at the start.
    """

    folder: Path
    json: Path | None = None
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    numbers: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether wall-clock times mean anything, those of two workers too."""
        return self.load < IDLE_LOAD and (os.cpu_count() or 1) >= 2

    def goal(
        self, name: str, value: float, goal: float, *, at_least: bool = False, wall: bool = False
    ) -> None:
        """Measure a number against a goal; by the ``wall`` clock it is judged on an idle machine alone."""
        self.goals.append(Goal(name, value, goal, at_least, self.idle or not wall))

    @staticmethod
    def table(title: str, heads: Mapping[str, str], rows: Mapping[str, Any]) -> None:
        """Print rows of figures, or of one; ``heads``: each column's format; None is printed as a dash."""
        lines = {title: list(heads)}
        for name, row in rows.items():
            figures = row if isinstance(row, Sequence) else [row]
            pairs = zip(figures, heads.values(), strict=True)
            lines[name] = ["-" if figure is None else format(figure, form) for figure, form in pairs]
        first = max(46, *map(len, lines))
        wide = [2 + max(map(len, column)) for column in zip(*lines.values(), strict=True)]
        print()
        for name, line in lines.items():
            print(f"{name:<{first}}" + "".join(f"{cell:>{n}}" for cell, n in zip(line, wide, strict=True)))

    def write(self) -> None:
        """Write what there is so far, where ``--json`` asks for it."""
        if self.json is not None:
            goals = [asdict(goal) | {"met": goal.met} for goal in self.goals]
            write_json(self.json, {"load": self.load, **self.numbers, "goals": goals})


def run(measure: Callable[..., None], words: Sequence[str] | None = None) -> None:
    """The command line of a benchmark: ``measure`` is given its report, and its keywords are the options.

    An option is of its default's type: a flag, several numbers where it is a tuple, a path where it is None.
    The text of ``--help`` is the module's.
    """
    text = sys.modules[measure.__module__].__doc__
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    _, *parameters = inspect.signature(measure).parameters.values()
    for parameter in parameters:
        default = parameter.default
        kinds: dict[type, dict[str, Any]] = {
            bool: {"action": "store_true"},
            tuple: {"nargs": "+", "type": int},
            type(None): {"type": Path},
        }
        kind = kinds.get(type(default), {"type": type(default)})
        parser.add_argument(f"--{parameter.name.replace('_', '-')}", default=default, **kind)
    parser.add_argument("--scratch", type=Path, help="where temporary files are written")
    parser.add_argument("--json", type=Path, help="write every number to this file as well")
    with error_handling():
        options = vars(parser.parse_args(words))
        scratch, kept = options.pop("scratch"), options.pop("json")
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=scratch, prefix="speed-") as folder:
            report = Report(Path(folder), kept)
            print(f"load {report.load:.1f} on {os.cpu_count()} cores", flush=True)
            measure(report, **options)
        if report.goals:
            print("\ngoals", *report.goals, sep="\n")
        report.write()


@dataclass(frozen=True)
class Spent:
    """What a work gave, its CPU seconds (also of processes that it waited for) and those by the clock."""

    value: Any
    cpu_s: float
    wall_s: float


def spent(work: Work) -> Spent:
    """Do a work, once."""

    def cpu() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    began, start = time.perf_counter(), cpu()
    value = work()
    return Spent(value, cpu() - start, time.perf_counter() - began)


def cpu_s(work: Work) -> float:
    """CPU seconds of a work; what it gives is freed after the clock is read."""
    return spent(work).cpu_s


def wall_s(work: Work) -> float:
    """Seconds of a work by the clock."""
    return spent(work).wall_s


def take_turns(
    works: Mapping[str, Work], turns: int, *, clock: Callable[[Work], float] = cpu_s, warm_up: bool = False
) -> dict[str, list[float]]:
    """Seconds of several works in each of several turns, so that all meet the same conditions.

    ``warm_up``: after a turn that compiles and is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(-1 if warm_up else 0, turns):
        for name, work in works.items():
            seconds = clock(work)
            if turn >= 0:
                times[name].append(seconds)
    return times


def least(
    works: Mapping[str, Work], turns: int, *, clock: Callable[[Work], float] = cpu_s, warm_up: bool = False
) -> dict[str, float]:
    """The least time of several works taken in turn, because other work only ever slows one down."""
    return {
        name: min(times) for name, times in take_turns(works, turns, clock=clock, warm_up=warm_up).items()
    }


def rates(works: Mapping[str, tuple[float, Work]], turns: int) -> dict[str, float]:
    """What works get done in a CPU second; each comes with how much it does."""
    best = least({name: work for name, (_, work) in works.items()}, turns)
    return {name: amount / max(best[name], 1e-9) for name, (amount, _) in works.items()}


def installed(loaders: Mapping[str, Callable[[], T]]) -> tuple[dict[str, T], list[str]]:
    """What those of the peers give that can be imported, and the names of the others."""
    found, missing = {}, []
    for name, load in loaders.items():
        try:
            found[name] = load()
        except ImportError:
            missing.append(name)
            print(f"{name}: not installed")
    return found, missing


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of its own."""
    with spawn_pool(1) as pool:
        return pool.submit(function, *arguments).result()


def peak_bytes() -> int:
    """Peak resident memory of this process (the usage of `resource` counts that of its parent too)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
