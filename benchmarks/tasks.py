"""The tasks: what is predicted from what, what is trained on, what is scored, when it ranks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmarks.constants import STANDARD, Constants
from benchmarks.rows import ALL
from benchmarks.texts import shown
from three_hundred_maps.errors import InputError
from three_hundred_maps.observe.levels import BENCHMARK_LEVELS
from three_hundred_maps.store.schema import MASS_UNITS, TARGET, half_of, not_inputs


@dataclass(frozen=True)
class Task:
    """A task of the benchmark.

    A task of your own is declared likewise and made known by ``TASKS[task.name] = task``.

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
    target
        The view that is predicted: it may be 0, never below.
    inputs
        Views that a model may see; None for all that do not give the target away.
    units, floor
        Of the target: its units in a store, and S0 of l, the floor of its logarithm, in these. Another floor
        than that of surface densities makes other constants, whose results stand on boards of their own.
    zero_of_training
        Whether the zero of the skill is the climatology of the store that was trained on, which ``score``
        has to be told; else that of the train split of the store that is scored.
    """

    name: str
    title: str
    text: str
    recipes: tuple[tuple[str, str], ...]
    split: str = "test"
    least_regions: int = 0
    target: str = TARGET
    inputs: tuple[str, ...] | None = None
    units: str = MASS_UNITS
    floor: float = STANDARD.floor
    zero_of_training: bool = False

    @property
    def half(self) -> str:
        """Name of the target's maps from half of the particles."""
        return half_of(self.target)

    @property
    def what(self) -> str:
        """What is predicted, in words."""
        return "total projected mass" if self.target == TARGET else self.target.replace("_", " ")

    @property
    def at_home(self) -> bool:
        """Whether a data set is trained on and scored on."""
        return not self.recipes or any(source == scored for source, scored in self.recipes)

    def constants(self, constants: Constants = STANDARD) -> Constants:
        """The benchmark's constants with the floor of this task."""
        return constants if self.floor == STANDARD.floor else replace(constants, floor=self.floor)

    def views(self, views: Iterable[str]) -> tuple[str, ...]:
        """Those of a store's views that a model of this task may see."""
        refused = not_inputs(self.target)
        return tuple(v for v in views if v not in refused and (self.inputs is None or v in self.inputs))


OBSERVED = "observed"
"""The task on stores as telescopes see them."""

_TWINS = (("mini", "mini-gizmo"), ("synthetic-gadgetx", "synthetic-gizmo"), ("gadgetx", "gizmo-simba"))

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "mass-map",
            "Mass maps",
            "Trained on the train split of a dataset (a row trained on other data says so), scored on the "
            "test split of the same dataset.",
            tuple((name, name) for pair in _TWINS for name in pair),
        ),
        Task(
            "cross-code",
            "Across simulation codes",
            "Trained on the train split of one code's dataset (of both, or of one of varied physics), scored "
            "on the test split of the other; no region of the test was trained on, as its split is the same "
            "for all codes. Degradation is its rms less the in-domain model's on the same regions.",
            (
                *(pair for a, b in _TWINS for pair in ((a, b), (b, a), (f"{a}+{b}", a), (f"{a}+{b}", b))),
                *(("mini-hypercube", name) for name in _TWINS[0]),
            ),
        ),
        Task(
            name=OBSERVED,
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
            zero_of_training=True,
        ),
        Task(
            "gas-map",
            "Gas maps",
            "As mass-map, of the surface density of all gas.",
            (("mini-matter", "mini-matter"),),
            target="gas",
        ),
        Task(
            "dark-matter-map",
            "Dark matter maps",
            "As mass-map, of the surface density of dark matter.",
            (("mini-matter", "mini-matter"),),
            target="dark_matter",
        ),
    )
}
"""Tasks by name. A task that cannot be scored yet is not listed."""

MASS_MAP = TASKS["mass-map"]


def find_task(task: str | Task) -> Task:
    """A task by its name, or itself; InputError where there is none."""
    if isinstance(task, Task):
        return task
    if task not in TASKS:
        raise InputError(f"no task {shown(task, 60)!r}; the tasks are {', '.join(TASKS)}")
    return TASKS[task]


def task_of_target(target: str, split: str = MASS_MAP.split, *, observed: bool = False) -> Task:
    """The first task that predicts a view and scores a split (for any one split: the test split).

    Of a store as telescopes see it (``observed``) that of such stores, where there is one.

    Raises
    ------
    InputError
        Where there is none.
    """
    scored = ALL if split == ALL else MASS_MAP.split
    found = [task for task in TASKS.values() if (task.target, task.split) == (target, scored)]
    if found:
        return next((task for task in found if observed and task.name == OBSERVED), found[0])
    raise InputError(
        f"no task of the benchmark is on the view {target}" + (" of all splits" if split == ALL else "")
    )
