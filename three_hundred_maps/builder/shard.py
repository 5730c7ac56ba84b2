"""The work of one task: the maps of one shard's halos, written whole."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.builder.halo import Excluded, LoadedRegion, map_halo
from three_hundred_maps.builder.recipe import Recipe
from three_hundred_maps.builder.scratch import member_folder, synthetic_files
from three_hundred_maps.builder.selection import Place
from three_hundred_maps.builder.sources import Sources
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import HaloKey
from three_hundred_maps.mapping.views import get_view, needed_fields
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.catalogues.catalogue_checks import check_catalogue
from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.simulation.readers.snapshot_files import Paths, first_path
from three_hundred_maps.simulation.region import Region, is_held_whole
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.lock import hold, worker_lock
from three_hundred_maps.store.notes import write_notes
from three_hundred_maps.store.records import is_done, read_layout
from three_hundred_maps.store.writer import write_maps, write_shard

CHECKED_HALOS = 3
"""The most massive halos of a catalogue, measured first: is it of these particles, in these units?"""
SAME_MASS = 1e-3
"""Relative difference of the M200c of halos whose shard is made again, at most."""


@dataclass(frozen=True)
class ShardTask:
    """One shard's work; small, so that it travels.

    Parameters
    ----------
    store, split, shard
        Where it goes.
    recipe, base
        What to make, and where its files are.
    rows
        (simulation's number in the recipe, source, region, snapshot, halo_id) of each halo, in order.
    scratch
        Where synthetic snapshots go.
    """

    store: str
    split: str
    shard: int
    recipe: dict[str, Any]
    base: str
    rows: tuple[tuple[int, int, int, int, int], ...]
    scratch: str


@dataclass(frozen=True)
class ShardRows:
    """What was made of a shard's halos: maps, totals and halo variables by name, and what is to be told."""

    maps: dict[str, NDArray[np.float32]]
    totals: dict[str, NDArray[np.float64]]
    halos: dict[str, NDArray[Any]]
    excluded: list[dict[str, Any]]
    notes: list[dict[str, Any]]
    warnings: list[str]


def run_shard(task: ShardTask) -> list[str]:
    """Make and write one shard; a shard that is done is left alone.

    Returns
    -------
    How its catalogues differ from their particles. Several workers meet one catalogue: who started them says
    each once.
    """
    store = Path(task.store)
    warnings: list[str] = []
    with worker_lock(store):
        layout = read_layout(store)
        if not is_done(store, layout, task.split, task.shard, checksums=True):
            made = make_rows(task, layout)
            warnings = made.warnings
            write_notes(store, task.split, task.shard, made.notes)
            write_shard(
                store,
                task.split,
                task.shard,
                made.maps,
                made.totals,
                made.halos,
                refused=made.excluded,
                layout=layout,
            )
    return warnings


def remake_shard(task: ShardTask) -> dict[str, dict[str, Any]]:
    """Make the map files of a shard of a finished store again; their checksums and sizes.

    Raises
    ------
    InputError
        Where the particles are no longer those that the store was made from.
    """
    store = Path(task.store)
    layout = Layout.of_store(store)
    with worker_lock(store):
        made = make_rows(task, layout)
        first = task.shard * layout.shard_halos
        there = read_split(store, task.split, [], slice(first, first + len(task.rows))).halos
        same = not made.excluded and np.allclose(made.halos["M200c"], there["M200c"], rtol=SAME_MASS)
        if not same:
            raise InputError(
                f"{store}: {task.split} shard {task.shard} cannot be rebuilt: its files have changed since"
            )
        return write_maps(store, layout, task.split, task.shard, made.maps)


def make_rows(task: ShardTask, layout: Layout) -> ShardRows:
    """Map the halos of a task."""
    recipe = Recipe.model_validate(task.recipe)
    members = Sources(recipe, Path(task.base)).members()
    shape = (len(task.rows), *layout.map_shape)
    maps = {v.name: np.empty(shape, np.float32) for v in layout.map_variables(task.split)}
    totals = {view: np.empty(shape[:2]) for view in layout.views}
    drawn = set.intersection(*(set(member.region_values(1)) for member in members))
    variables = schema.halo_variables({*drawn, *recipe.store.halo_variables})
    columns: dict[str, list[Any]] = {name: [] for name in variables}
    excluded: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    warnings: dict[str, None] = {}
    for member, source, region, snapshot, halo_id in task.rows:
        sources = members[member]
        loaded = load_region(sources, (source, snapshot), member_folder(Path(task.scratch), recipe, member))
        key = HaloKey(sources.recipe.simulation_id, region, snapshot, halo_id)
        half = task.split == "test"
        warnings.update(dict.fromkeys(loaded.warnings))
        before = Counter(loaded.particles.corrections)
        try:
            made = map_halo(sources, loaded, key.halo_id, layout.vectors, layout.ups, half=half)
        except Excluded as reason:
            excluded.append({**key._asdict(), "reason": str(reason)})
            continue
        row = len(columns["region"])
        values = {**sources.region_values(region), **made.values, **key._asdict()}
        for name, column in columns.items():
            column.append(values[name])
        for name, array in maps.items():
            array[row] = made.maps[name][0]
        for view, total in totals.items():
            total[row] = made.maps[view][1]
        brightest = {view: round(share, 6) for view, share in made.brightest.items()}
        warning = made.warning and f"halo {key}: {made.warning}"
        notes.append(
            {
                "halo": str(key),
                "brightest": brightest,
                "warning": warning,
                "corrections": Counter(loaded.particles.corrections) - before,
                "snapshot": {
                    "place": [member, source, snapshot],
                    "warnings": list(loaded.warnings),
                    "corrections": dict(loaded.corrections),
                },
            }
        )
    n = len(columns["region"])
    return ShardRows(
        {name: array[:n] for name, array in maps.items()},
        {view: total[:n] for view, total in totals.items()},
        {name: variables[name].column(parts) for name, parts in columns.items()},
        excluded,
        notes,
        list(warnings),
    )


class _LastRegion:
    """The snapshot that this process read last: its next shard often goes on with it."""

    def __init__(self) -> None:
        self.key: tuple[Any, ...] | None = None
        self.loaded: LoadedRegion | None = None

    def get(self, sources: Sources, place: Place, scratch: Path) -> LoadedRegion:
        key = (sources.recipe.sha256(), str(sources.base), place, str(scratch))
        if self.loaded is None or key != self.key:
            self.forget()  # before the next is read: two would not fit
            self.loaded = read_region(sources, place, scratch)
            self.key = key
        return self.loaded

    def forget(self) -> None:
        self.key = self.loaded = None


_last_region = _LastRegion()
load_region = _last_region.get
"""(sources, place, scratch) -> the particles and the catalogue of a snapshot; the last one read is kept."""
forget_region = _last_region.forget
"""Give back the memory of the region read last."""


def read_region(sources: Sources, place: Place, scratch: Path) -> LoadedRegion:
    """Read the particles and the catalogue of a snapshot; InputError where they do not fit."""
    simulation = sources.recipe.simulation
    if sources.synthetic:
        catalogue: Paths
        snapshot, catalogue = synthetic_files(simulation, place, scratch)
        kind: str = "ahf"
        source = open_source(
            snapshot, optional=needed_fields(get_view(name) for name in sources.recipe.maps.views)
        )
    else:
        assert simulation.catalogue is not None
        catalogue = sources.catalogue_path(place)
        kind, source = simulation.catalogue.kind, sources.open(place)
    with ExitStack() as stack:
        if not is_held_whole(source):  # it is scanned for its index by one worker, while the others wait
            scratch.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold(scratch / "index.lock"))
        particles = Region(source, drop_winds=simulation.gas.drop_winds, index_folder=scratch)
    info = particles.info
    corrections = dict(particles.corrections)
    warnings: list[str] = []
    unit = simulation.length_unit
    halos = read_catalogue(
        kind, catalogue, cosmology=info.cosmology, redshift=info.redshift, length_unit=unit
    )
    if halos.members is not None:
        particles.expect(halos.members)
    if not sources.synthetic:
        # A wrong unit or a foreign catalogue makes maps that look fine: it is found before any is made.
        try:
            warnings = check_catalogue(particles, halos, most=CHECKED_HALOS)
        except InputError as error:
            raise InputError(f"{first_path(catalogue)} does not fit {source.path}: {error}") from None
        if simulation.region_by == "region":
            warnings = [f"region {place[0]}, {text}" for text in warnings]
    row_of = {int(h): row for row, h in enumerate(halos.halo_id)}
    return LoadedRegion(particles, halos, row_of, warnings, corrections)
