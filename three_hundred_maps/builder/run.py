"""`build`: from a recipe to a finished store; taken up again wherever it stopped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from three_hundred_maps.builder.executors import halo_bar, run_tasks
from three_hundred_maps.builder.plan import Plan, make_plan, sources_for
from three_hundred_maps.builder.recipe import Recipe, load_recipe
from three_hundred_maps.builder.scratch import Scratch, kept_folder
from three_hundred_maps.builder.shard import ShardTask, forget_region, run_shard
from three_hundred_maps.builder.sources import Sources
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_json
from three_hundred_maps.progress import is_quiet, set_quiet
from three_hundred_maps.store.arrays import root_attrs
from three_hundred_maps.store.compact import read_compaction
from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.lock import store_lock
from three_hundred_maps.store.manifest import MANIFEST, read_manifest
from three_hundred_maps.store.records import PROGRESS, is_done, read_layout, read_record
from three_hundred_maps.store.writer import create_store, describe_difference, recipe_difference

PLAN_FILE = f"{PROGRESS}/plan.json"


def build_store(
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
    """What `three_hundred_maps.build` does; see there."""
    if quiet:
        before = is_quiet()
        set_quiet(True)
        try:
            return build_store(
                recipe,
                out,
                root=root,
                overrides=overrides,
                workers=workers,
                scheduler=scheduler,
                part=part,
            )
        finally:
            set_quiet(before)
    if workers < 1:
        raise InputError(f"workers must be at least 1, not {workers}")
    check_part(part)
    content = load_recipe(recipe, overrides=tuple(overrides))
    sources = sources_for(content, recipe, root)
    store = Path(out).absolute()
    if (store / MANIFEST).exists():
        _require_same_recipe(store, content)
        finalise(store)
        return store
    plan = make_plan(sources)
    require_writable(store)
    with store_lock(store, part):
        _begin(store, plan)
        _do_shards(store, plan, sources, workers, scheduler, part)
        if part is None:
            _require_some_halo(store, plan)
            finalise(store, provenance=_provenance(workers, scheduler), locked=True)
    return store


def check_part(part: tuple[int, int] | None) -> None:
    """Refuse a part that is none."""
    if part is not None and not 1 <= part[0] <= part[1]:
        raise InputError(f"--part {part[0]}/{part[1]}: write I/N with I from 1 to N, as 3/16")


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
    import json

    if json.loads((store / PLAN_FILE).read_bytes()) != {"plan": plan.digest()}:
        raise InputError(
            f"{store} was begun with other halos: the catalogue has changed since; give a new folder"
        )


def _do_shards(
    store: Path,
    plan: Plan,
    sources: Sources,
    workers: int,
    scheduler: str | None,
    part: tuple[int, int] | None,
) -> None:
    if read_compaction(store) is not None:
        return
    mine = shards_of_part(plan.layout.all_shards(), part)
    keep = sources.recipe.simulation.keep_snapshots
    suffix = "" if part is None else f"-{part[0]}-of-{part[1]}"
    scratch = kept_folder(store) if keep else store / PROGRESS / f"scratch{suffix}"
    tasks = [
        ShardTask(
            str(store),
            split,
            shard,
            sources.recipe.model_dump(mode="json"),
            str(sources.base),
            tuple((c.source, *c.key) for c in plan.shard_rows(split, shard)),
            str(scratch),
        )
        for split, shard in mine
        if not is_done(store, plan.layout, split, shard)
    ]
    total = sum(len(plan.shard_rows(*place)) for place in mine)
    left = sum(len(task.rows) for task in tasks)
    if not tasks:
        return
    warm_up()
    needs = [[row[0] for row in task.rows] for task in tasks]
    remover = Scratch(scratch, needs, keep=keep) if sources.synthetic else None
    bar = halo_bar(total, total - left, plan.recipe.name)
    try:
        for task, halos in run_tasks(run_shard, tasks, workers=workers, scheduler=scheduler):
            bar.update(halos)
            if remover is not None:
                remover.done(row[0] for row in task.rows)
    finally:
        bar.close()
        forget_region()
    if remover is not None:
        remover.close()


def warm_up() -> None:
    """Compile the kernels (into numba's cache on disk) before several workers would each do so."""
    import numpy as np

    from three_hundred_maps.geometry import MapGrid
    from three_hundred_maps.mapping import HaloGrid, get_view, lines_of_sight, render
    from three_hundred_maps.simulation.cell_grid import CellGrid
    from three_hundred_maps.simulation.cosmology import Cosmology
    from three_hundred_maps.simulation.particles import GAS_FIELDS, SPECIES, Cutout, Particles

    position = np.random.default_rng(0).normal(0, 10, (64, 3)).astype(np.float32)
    grid = CellGrid.build(position)
    rows = grid.within(np.zeros(3), 15.0, 0.0)
    grid.relative(rows, np.zeros(3), 0.0, 1.0)
    ones = np.ones(64, np.float32)
    gas = dict.fromkeys(GAS_FIELDS, ones)
    particles = {
        name: Particles(position, ones, np.arange(64), gas if name == "gas" else {}) for name in SPECIES
    }
    cutout = Cutout(particles, 1e3, 0.0, Cosmology(0.7, 0.3, 0.7))
    render(cutout, [get_view("sz"), get_view("mass")], HaloGrid(50.0, MapGrid(16)), *lines_of_sight(2))


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


def _provenance(workers: int, scheduler: str | None) -> dict[str, Any]:
    return {"back_end": "fast", "workers": workers, "executor": "dask" if scheduler else "spawn"}
