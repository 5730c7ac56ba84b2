"""The tasks: what is trained on, what is scored, when it ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.constants import STANDARD
from benchmarks.rows import ALL
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
    recipes
        Pairs of shipped recipes: (trained on, scored on).
    split
        What is scored: ``test``, or ``all`` splits.
    least_regions
        Results on fewer regions are not ranked.
    """

    name: str
    title: str
    text: str
    recipes: tuple[tuple[str, str], ...]
    split: str = "test"
    least_regions: int = 0

    @property
    def at_home(self) -> bool:
        """Whether a model is scored on the data set that it was trained on."""
        return any(trained == scored for trained, scored in self.recipes)


_TWINS = (("mini", "mini-gizmo"), ("synthetic-gadgetx", "synthetic-gizmo"), ("gadgetx", "gizmo-simba"))

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "mass-map",
            "Mass maps",
            "Trained on the train split of a dataset, scored on the test split of the same dataset.",
            tuple((name, name) for pair in _TWINS for name in pair),
        ),
        Task(
            "cross-code",
            "Across simulation codes",
            "Trained on the train split of one code's dataset (or of both), scored on the test split of the "
            "other; no region of the test was trained on, as a region's split is the same for both codes. "
            "Degradation is its rms less the in-domain model's on the same regions.",
            tuple(pair for a, b in _TWINS for pair in ((a, b), (b, a), (f"{a}+{b}", a), (f"{a}+{b}", b))),
        ),
        Task(
            name="observed",
            title="As telescopes see it",
            text="Trained and scored on maps as instruments of a level would give them, in an observer's "
            "frame: beams, noise, counts and shear. Tracks with shear and without.",
            recipes=tuple((f"mini-observed-{level}",) * 2 for level in BENCHMARK_LEVELS),
        ),
        Task(
            "transfer",
            "From synthetic to real simulations",
            "Trained on synthetic maps, scored on all splits of a store built from files of a real "
            "simulation, halo by halo. The zero of the skill is the climatology of the training data. "
            f"Ranked from {STANDARD.least_regions} regions on.",
            (("synthetic-gadgetx", "a store of real files"),),
            ALL,
            STANDARD.least_regions,
        ),
    )
}
"""Tasks by name. A task that cannot be scored yet is not listed."""


def check_task(name: str) -> Iterator[str]:
    """What is wrong with the name of a task."""
    if name not in TASKS:
        yield f"submission.json: no task {shown(name, 60)!r}; the tasks are {', '.join(TASKS)}"
