"""`build`: from a recipe to a finished store; resumed wherever it stopped."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from three_hundred_maps.builder.executors import run_tasks
from three_hundred_maps.builder.plan import Plan, make_plan, sources_for
from three_hundred_maps.builder.probe import warm_up
from three_hundred_maps.builder.recipe import Recipe, load_recipe
from three_hundred_maps.builder.scratch import Scratch, kept_folder, member_folder
from three_hundred_maps.builder.selection import Place
from three_hundred_maps.builder.shard import ShardTask, forget_region, remake_shard, run_shard
from three_hundred_maps.builder.sources import Sources
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import sha256_file, write_json
from three_hundred_maps.keys import halo_keys
from three_hundred_maps.progress import is_quiet, progress, set_quiet
from three_hundred_maps.store.arrays import read_split, root_attrs
from three_hundred_maps.store.compact import read_compaction
from three_hundred_maps.store.finishing import finalise, tidy
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.lock import store_lock
from three_hundred_maps.store.manifest import MANIFEST, read_manifest, write_manifest
from three_hundred_maps.store.notes import say_warnings
from three_hundred_maps.store.records import PROGRESS, is_done, read_layout, read_record
from three_hundred_maps.store.writer import create_store, describe_difference, recipe_difference

PLAN_FILE = f"{PROGRESS}/plan.json"
_MAP_FILE = re.compile(r"(train|validation|test)/\w+/c/(\d+)/0/0/0")


def build(
    recipe: str | Path,
    out: str | Path,
    *,
    root: str | Path | None = None,
    overrides: Sequence[str] = (),
    workers: int = 1,
    scheduler: str | None = None,
    part: tuple[int, int] | None = None,
    quiet: bool = False,
) -> Path:
    """Build a store from a recipe; resume one that was begun; make damaged shards of a finished one again.

    Every shard is written whole and atomically, so that a build may be stopped at any moment, and resumed
    here or elsewhere; however it is run, the bytes are the same. What is remarkable in the result is a
    warning on standard error and in the store's attribute ``warnings``.

    Parameters
    ----------
    recipe
        A YAML file, or the name of a shipped recipe (``mini``, ``gadgetx``, ...).
    out
        The store: a new folder, or one that this recipe was begun in.
    root
        Folder that the recipe's paths are relative to; the recipe's own by default.
    overrides
        ``section.key=value`` strings, which stand above the recipe.
    workers
        Local processes, of one thread each.
    scheduler
        Address of a Dask scheduler (``tcp://host:8786``) whose workers do the work instead.
    part
        (i, n): do only the i-th of n parts of the shards, i from 1 to n, and leave the store unfinished
        (`three_hundred_maps.store.finalise` finishes it when all parts are done).
    quiet
        Show no progress bar.

    Returns
    -------
    pathlib.Path
        The store, for `three_hundred_maps.open_store`.

    Raises
    ------
    InputError
        One line for whatever is wrong with the recipe, the files or the folder.

    Examples
    --------
    >>> from three_hundred_maps import build, open_store
    >>> store = build("mini", "stores/mini", overrides=["simulation.regions=1-6"], workers=2)
    >>> open_store(store)["test"]["mass"].dims
    ('halo', 'los', 'y', 'x')
    """
    was_quiet = is_quiet()
    set_quiet(quiet or was_quiet)
    try:
        if workers < 1:
            raise InputError(f"workers must be at least 1, not {workers}")
        if part is not None and not 1 <= part[0] <= part[1]:
            raise InputError(f"--part {part[0]}/{part[1]}: write I/N with I from 1 to N, as 3/16")
        content = load_recipe(recipe, overrides=tuple(overrides))
        sources = sources_for(content, recipe, root)
        _Build(Path(out).absolute(), sources, workers, scheduler, part).run()
    finally:
        set_quiet(was_quiet)
    return Path(out).absolute()


def require_writable(store: Path) -> None:
    """Make the store's folder; one line where that cannot be done."""
    try:
        store.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{store} is a file; a store is a folder") from None
    except PermissionError:
        raise InputError(f"{store} cannot be written: permission denied") from None
    if not os.access(store, os.W_OK):
        raise InputError(f"{store} cannot be written: permission denied")


def shards_of_part(shards: Sequence[Any], part: tuple[int, int] | None) -> list[Any]:
    """The i-th of n nearly equal runs of neighbouring shards (a region's halos lie in neighbours)."""
    if part is None:
        return list(shards)
    i, n = part
    return list(shards[len(shards) * (i - 1) // n : len(shards) * i // n])


def damaged_shards(store: Path) -> list[tuple[str, int]]:
    """The (split, shard) of map files that are missing or do not match the manifest's checksum.

    Raises
    ------
    InputError
        Where another file is damaged: then halos or metadata are lost.
    """
    damaged = set()
    files = read_manifest(store)["files"]
    for name, entry in progress(sorted(files.items()), desc="checking", unit="file"):
        path = store / name
        whole = path.is_file() and path.stat().st_size == entry["bytes"]
        if whole and sha256_file(path) == entry["sha256"]:
            continue
        found = _MAP_FILE.fullmatch(name)
        if found is None:
            raise InputError(
                f"{path} is damaged or missing, and is not a shard of maps: delete the store and rebuild it"
            )
        damaged.add((found[1], int(found[2])))
    return sorted(damaged)


def _require_same_recipe(store: Path, recipe: Recipe) -> None:
    attrs = root_attrs(store)
    if "derived" in attrs:
        raise InputError(f"{store} was made of other stores by subset or merge; give a new folder")
    if read_manifest(store)["recipe_sha256"] != recipe.sha256():
        difference = recipe_difference(str(attrs["recipe"]), recipe.canonical())
        raise InputError(f"{store} is a finished store of another recipe ({difference}); give a new folder")


def _begin(store: Path, plan: Plan) -> None:
    if read_compaction(store) is None:
        create_store(store, plan.layout)
        digest = {"plan": plan.digest()}
        if not (store / PLAN_FILE).exists():
            write_json(store / PLAN_FILE, digest)
    elif read_layout(store).digest() != plan.layout.digest():
        difference = describe_difference(read_layout(store), plan.layout)
        raise InputError(f"{store} was begun with other settings ({difference}); give a new folder")
    if json.loads((store / PLAN_FILE).read_bytes()) != {"plan": plan.digest()}:
        raise InputError(
            f"{store} was begun with other halos: the catalogue has changed since; give a new folder"
        )


@dataclass(frozen=True)
class _Build:
    """The build of one store, by whom and which part of it; see `build`."""

    store: Path
    sources: Sources
    workers: int
    scheduler: str | None
    part: tuple[int, int] | None

    def run(self) -> None:
        """Begin or resume the store; of a finished one make damaged shards again."""
        store, part = self.store, self.part
        if (store / MANIFEST).exists():
            _require_same_recipe(store, self.sources.recipe)
            if part is None:
                self.repair()
            return
        plan = make_plan(self.sources)
        require_writable(store)
        with store_lock(store, part):
            _begin(store, plan)
            self.make_shards(plan)
            if part is None:
                _require_some_halo(store, plan)
                executor = "dask" if self.scheduler else "spawn"
                provenance = {"back_end": "fast", "workers": self.workers, "executor": executor}
                finalise(store, provenance=provenance, locked=True)
        say_warnings(root_attrs(store) if part is None else plan.layout.attrs)

    def make_shards(self, plan: Plan) -> None:
        """Make those shards of the part that are not done."""
        if read_compaction(self.store) is not None:
            return
        mine = shards_of_part(plan.layout.all_shards(), self.part)
        tasks = [
            self.task(place, [(c.member, c.source, *c.key) for c in plan.shard_rows(*place)])
            for place in mine
            if not is_done(self.store, plan.layout, *place, checksums=True)
        ]
        if not tasks:
            return
        total = sum(len(plan.shard_rows(*place)) for place in mine)
        done = total - sum(len(task.rows) for task in tasks)
        bar = progress(total=total, desc=plan.recipe.name, unit="halo")
        bar.initial = bar.n = done  # what an earlier run did says nothing about this one's rate
        bar.refresh()
        with bar:
            said: set[str] = set()

            def told(task: ShardTask, warnings: list[str]) -> None:
                bar.update(len(task.rows))
                for warning in warnings:
                    if warning not in said:
                        bar.write(f"warning: {warning}", file=sys.stderr)
                said.update(warnings)

            self.run_tasks(run_shard, tasks, told)

    def repair(self) -> None:
        """Make the damaged shards of a finished store again."""
        places = damaged_shards(self.store)
        if not places:
            tidy(self.store)
            return
        require_writable(self.store)
        with store_lock(self.store):
            members, layout = self.sources.members(), Layout.of_store(self.store)
            number_of = {member.recipe.simulation_id: number for number, member in enumerate(members)}
            tasks = []
            for place in places:
                split, first = place[0], place[1] * layout.shard_halos
                keys = halo_keys(
                    read_split(self.store, split, [], slice(first, first + layout.shard_halos)).halos
                )
                numbers = [number_of[key.simulation] for key in keys]
                rows = [
                    (n, members[n].source_of(key.region), *key[1:])
                    for n, key in zip(numbers, keys, strict=True)
                ]
                tasks.append(self.task(place, rows))
            remade: list[dict[str, dict[str, Any]]] = []
            self.run_tasks(remake_shard, tasks, lambda _, files: remade.append(files))
            # On the same processor the checksums are those of before.
            manifest = read_manifest(self.store)
            files = {**manifest["files"], **{name: entry for part in remade for name, entry in part.items()}}
            if files != manifest["files"]:
                del manifest["digest"]
                write_manifest(self.store, {**manifest, "files": files})
            finalise(self.store, locked=True)
        for split, shard in places:
            print(f"note: {self.store}: the damaged shard {shard} of {split} was rebuilt", file=sys.stderr)

    @property
    def scratch(self) -> Path:
        """Where synthetic snapshots go."""
        if self.sources.recipe.simulation.keep_snapshots:
            return kept_folder(self.store)
        name = "scratch" if self.part is None else f"scratch-{self.part[0]}-of-{self.part[1]}"
        return self.store / PROGRESS / name

    def task(self, place: tuple[str, int], rows: Sequence[tuple[int, int, int, int, int]]) -> ShardTask:
        """The work on a shard whose halos these are."""
        recipe, base = self.sources.recipe.model_dump(mode="json"), str(self.sources.base)
        return ShardTask(str(self.store), *place, recipe, base, tuple(rows), str(self.scratch))

    def run_tasks(
        self,
        function: Callable[[ShardTask], Any],
        tasks: Sequence[ShardTask],
        told: Callable[[ShardTask, Any], Any],
    ) -> None:
        """Run tasks, and delete synthetic snapshots when no task needs them any more."""
        if not tasks:
            return
        recipe = self.sources.recipe
        warm_up(recipe.maps.grid())
        removers: list[Scratch] = []
        if self.sources.synthetic:
            removers = [
                Scratch(
                    member_folder(self.scratch, recipe, number),
                    [_places(task, number) for task in tasks],
                    keep=recipe.simulation.keep_snapshots,
                )
                for number in range(len(recipe.members()))
            ]
        try:
            for task, result in run_tasks(function, tasks, workers=self.workers, scheduler=self.scheduler):
                told(task, result)
                for number, remover in enumerate(removers):
                    remover.done(_places(task, number))
        finally:
            forget_region()
        for remover in removers:
            remover.close()


def _places(task: ShardTask, member: int) -> list[Place]:
    """The snapshots of one of the recipe's simulations that a task reads."""
    return [(row[1], row[3]) for row in task.rows if row[0] == member]


def _require_some_halo(store: Path, plan: Plan) -> None:
    if read_compaction(store) is not None:
        return
    records = [read_record(store, *place) for place in plan.layout.all_shards()]
    if any(record is not None and record.rows for record in records):
        return
    first = next(record.refused[0] for record in records if record is not None and record.refused)
    raise InputError(
        f"none of the {plan.halos} selected halos can be mapped;"
        f" halo {first['halo_id']} of region {first['region']}: {first['reason']}"
    )
