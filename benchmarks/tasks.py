"""The tasks: what is trained on, what is scored, whether it ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.texts import shown
from three_hundred_maps.observe.levels import BENCHMARK_LEVELS


@dataclass(frozen=True)
class Task:
    """A task of the benchmark.

    Parameters
    ----------
    name, title
        Key and heading.
    text
        What is trained on and what is scored.
    ranked
        Whether its results are ranked.
    recipes
        Pairs of shipped recipes: (trained on, scored on).
    """

    name: str
    title: str
    text: str
    ranked: bool
    recipes: tuple[tuple[str, str], ...]


_TWINS = (("mini", "mini-gizmo"), ("synthetic-gadgetx", "synthetic-gizmo"), ("gadgetx", "gizmo-simba"))

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "mass-map",
            "Mass maps",
            "Trained on the train split of a dataset, scored on the test split of the same dataset.",
            True,
            tuple((name, name) for pair in _TWINS for name in pair),
        ),
        Task(
            "cross-code",
            "Across simulation codes",
            "Trained on the train split of one code's dataset (or of both), scored on the test split of the "
            "other; no region of the test was trained on, as a region's split is the same for both codes. "
            "Degradation is its rms less the in-domain model's on the same regions.",
            True,
            tuple(pair for a, b in _TWINS for pair in ((a, b), (b, a), (f"{a}+{b}", a), (f"{a}+{b}", b))),
        ),
        Task(
            name="observed",
            title="As telescopes see it",
            text="Trained and scored on maps as instruments of a level would give them, in an observer's "
            "frame: beams, noise, counts and shear. Tracks with shear and without.",
            ranked=True,
            recipes=tuple((f"mini-observed-{level}",) * 2 for level in BENCHMARK_LEVELS),
        ),
        Task(
            "transfer",
            "From synthetic to real simulations",
            "Trained on synthetic maps, scored on a store built from files of a real simulation. Not ranked.",
            False,
            (("synthetic-gadgetx", "a store of real files"),),
        ),
    )
}
"""Tasks by name. A task that cannot be scored yet is not listed."""


def check_task(name: str) -> Iterator[str]:
    """What is wrong with the name of a task."""
    if name not in TASKS:
        yield f"submission.json: no task {shown(name, 60)!r}; the tasks are {', '.join(TASKS)}"
