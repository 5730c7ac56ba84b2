"""The work of one task: the maps of one shard's halos, written whole."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.builder.plan import halo_grid_of, views_of
from three_hundred_maps.builder.recipe import Recipe, SelectionRecipe
from three_hundred_maps.builder.scratch import synthetic_files
from three_hundred_maps.builder.selection import neighbour_distance
from three_hundred_maps.builder.sources import Sources
from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import (
    MapContext,
    cutout_radius,
    emissivity_source,
    get_view,
    render,
)
from three_hundred_maps.progress import is_quiet
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.catalogues.catalogue_checks import check_catalogue, mass_disagreement
from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.measure import measure
from three_hundred_maps.simulation.particles import Cutout
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.substructure import substructure_from_particles
from three_hundred_maps.store import schema
from three_hundred_maps.store.lock import worker_lock
from three_hundred_maps.store.records import is_done, read_layout
from three_hundred_maps.store.writer import write_shard

MEASURING_RADIUS = 1.3
"""The first cut-out, in the catalogue's R200c: from it R200c is measured, which then frames the maps."""
MEASURING_TRIES = 3
CHECKED_HALOS = 3
"""The most massive halos of a catalogue, measured first: is it of these particles, in these units?"""
RELAXED_OFFSET = RELAXED_SUBSTRUCTURE = 0.1


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
        (source, region, snapshot, halo_id) of each halo, in order.
    scratch
        Where synthetic snapshots go.
    """

    store: str
    split: str
    shard: int
    recipe: dict[str, Any]
    base: str
    rows: tuple[tuple[int, int, int, int], ...]
    scratch: str


@dataclass(frozen=True)
class LoadedRegion:
    """A region's particles and its whole catalogue."""

    particles: Region
    halos: Halos
    row_of: Mapping[int, int]


_LAST: dict[Any, LoadedRegion] = {}
"""The region a worker read last: its next shard often goes on with it."""


def run_shard(task: ShardTask) -> int:
    """Make and write one shard; a shard that is done is left alone.

    Returns
    -------
    Number of halos planned for it.
    """
    with worker_lock(Path(task.store)):
        return _run_shard(task)


def _run_shard(task: ShardTask) -> int:
    store = Path(task.store)
    layout = read_layout(store)
    if is_done(store, layout, task.split, task.shard):
        return len(task.rows)
    recipe = Recipe.model_validate(task.recipe)
    sources = Sources(recipe, Path(task.base))
    shape = (len(task.rows), *layout.map_shape)
    maps = {v.name: np.empty(shape, np.float32) for v in layout.map_variables(task.split)}
    totals = {view: np.empty(shape[:2]) for view in layout.views}
    columns: dict[str, list[Any]] = {name: [] for name in schema.HALO_VARIABLES}
    refused: list[dict[str, Any]] = []
    for source, region, snapshot, halo_id in task.rows:
        loaded = load_region(sources, source, Path(task.scratch))
        key = {"simulation": recipe.simulation_id, "region": region, "snapshot": snapshot, "halo_id": halo_id}
        made = map_halo(recipe, loaded, halo_id, layout.vectors, layout.ups, half=task.split == "test")
        if isinstance(made, str):
            refused.append({**key, "reason": made})
            continue
        values, rendered = made
        for name, value in {**values, **key}.items():
            columns[name].append(value)
        row = len(columns["region"]) - 1
        for name, array in maps.items():
            array[row] = rendered[name][0]
        for view, total in totals.items():
            total[row] = rendered[view][1]
    n = len(columns["region"])
    write_shard(
        store,
        task.split,
        task.shard,
        {name: array[:n] for name, array in maps.items()},
        {view: total[:n] for view, total in totals.items()},
        {name: schema.HALO_VARIABLES[name].column(parts) for name, parts in columns.items()},
        refused=refused,
        layout=layout,
    )
    return len(task.rows)


def load_region(sources: Sources, source: int, scratch: Path) -> LoadedRegion:
    """The particles and the catalogue of a source; the last one read is kept."""
    recipe = sources.recipe
    simulation = recipe.simulation
    key = (recipe.sha256(), str(sources.base), source, str(scratch))
    if key in _LAST:
        return _LAST[key]
    _LAST.clear()
    if sources.synthetic:
        files = synthetic_files(simulation, source, scratch)
        snapshot, catalogue, kind, unit = files.snapshot, files.catalogue, "ahf", None
    else:
        assert simulation.catalogue is not None
        snapshot, catalogue = sources.snapshot_path(source), sources.catalogue_path(source)
        kind, unit = simulation.catalogue.kind, simulation.length_unit
    particles = Region.open(
        snapshot, length_unit=unit, dialect=simulation.dialect, drop_winds=simulation.gas.drop_winds
    )
    info = particles.info
    halos = read_catalogue(kind, catalogue, cosmology=info.cosmology, redshift=info.redshift)
    if not sources.synthetic:
        # A wrong unit or a foreign catalogue makes maps that look fine: it is found before any is made.
        try:
            check_catalogue(particles, halos, most=CHECKED_HALOS)
        except InputError as error:
            raise InputError(f"{catalogue} does not fit {snapshot}: {error}") from None
    loaded = LoadedRegion(particles, halos, {int(h): row for row, h in enumerate(halos.halo_id)})
    _LAST[key] = loaded
    return loaded


def forget_region() -> None:
    """Give back the memory of the region read last."""
    _LAST.clear()


def measured_grid(recipe: Recipe, region: Region, centre: NDArray[np.float64], R200c_kpc: float) -> Any:
    """Measure a halo from its particles; (values, grid), or why it cannot be."""
    radius = MEASURING_RADIUS * R200c_kpc
    for attempt in range(MEASURING_TRIES):
        if region.periodic and radius >= 0.5 * region.info.box_kpc:
            return f"a cut-out of radius {radius:.0f} kpc does not fit into the box"
        try:
            values = measure(region.cutout(centre, radius))
        except InputError as error:
            if attempt == MEASURING_TRIES - 1:
                return str(error)
        else:
            return values, halo_grid_of(recipe, values["R200c"])
        radius *= 1.5
    raise AssertionError("the loop above always returns")


def map_halo(
    recipe: Recipe,
    loaded: LoadedRegion,
    halo_id: int,
    vectors: NDArray[np.float64],
    ups: NDArray[np.float64],
    *,
    half: bool,
) -> str | tuple[dict[str, Any], dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]]]:
    """Measure and map one halo.

    Parameters
    ----------
    recipe
        What to make.
    loaded
        The halo's region.
    halo_id
        Of the catalogue.
    vectors, ups
        Lines of sight.
    half
        Whether to map a seeded half of the particles too.

    Returns
    -------
    The halo variables (without the key) and the maps with their totals; or, as text, why it is refused.
    """
    region, halos = loaded.particles, loaded.halos
    if halo_id not in loaded.row_of:
        return "it is not in the catalogue"
    row = loaded.row_of[halo_id]
    centre = halos.centre_kpc[row]
    measured = measured_grid(recipe, region, centre, float(halos.R200c_kpc[row]))
    if isinstance(measured, str):
        return measured
    values, grid = measured
    disagreement = mass_disagreement(values["M200c"], float(halos.M200c_msun[row]))
    if disagreement is not None and not is_quiet():
        print(f"note: halo {halo_id}: {disagreement}", file=sys.stderr)
    radius = cutout_radius(grid)
    if region.periodic and radius >= 0.5 * region.info.box_kpc:
        return f"a cut-out of radius {radius:.0f} kpc does not fit into the box"
    cutout = region.cutout(centre, radius)
    reason = _exclusion(region, centre, cutout, values["R200c"], recipe.selection)
    if reason is not None:
        return reason
    context = MapContext(recipe.simulation.gas, emissivity_source(recipe.simulation.emissivity))
    rendered = render(
        cutout, views_of(recipe), grid, vectors, ups, dm_smoothing=recipe.maps.dm_smoothing, context=context
    )
    if half and schema.TARGET in recipe.maps.views:
        halved = render(
            cutout,
            [get_view(schema.TARGET)],
            grid,
            vectors,
            ups,
            dm_smoothing=recipe.maps.dm_smoothing,
            context=context,
            half_seed=recipe.splits.seed,
        )
        rendered[schema.HALF] = halved[schema.TARGET]
    return _halo_values(values, halos, row, region, cutout), rendered


def _exclusion(
    region: Region,
    centre_kpc: NDArray[np.float64],
    cutout: Cutout,
    R200c_kpc: float,
    selection: SelectionRecipe,
) -> str | None:
    """Why a halo is excluded for its particles; None where it is not."""
    limit = selection.max_low_resolution_fraction
    reason = region.refusal(centre_kpc, cutout.radius_kpc, cutout, max_low_resolution_fraction=limit)
    if reason is not None:
        nearest = np.linalg.norm(cutout["low_resolution"].position, axis=1).min(initial=math.inf) / R200c_kpc
        if "low-resolution" in reason:
            reason += f", the nearest at {nearest:.2f} R200c (selection.max_low_resolution_fraction)"
        return reason
    inside = int(np.count_nonzero(np.linalg.norm(cutout["dark_matter"].position, axis=1) < R200c_kpc))
    if inside < selection.min_particles:
        least = selection.min_particles
        return f"{inside} dark-matter particles inside R200c, below {least} (selection.min_particles)"
    return None


def _halo_values(
    measured: Mapping[str, float], halos: Halos, row: int, region: Region, cutout: Cutout
) -> dict[str, Any]:
    offset = float(halos.com_offset[row])
    if not math.isfinite(offset):
        offset = measured["com_offset"]
    substructure = float(halos.f_sub[row])
    if not math.isfinite(substructure):
        substructure = substructure_from_particles(cutout, measured["R200c"])
    calm = offset < RELAXED_OFFSET and not substructure >= RELAXED_SUBSTRUCTURE
    box = region.info.box_kpc if region.periodic else 0.0
    return {
        **{name: measured[name] for name in ("M200c", "R200c", "M500c", "R500c", "c200c")},
        **{name: measured[name] for name in ("f_gas_500", "f_star_500")},
        "redshift": region.info.redshift,
        "f_sub": substructure,
        "com_offset": offset,
        "relaxed": int(calm),
        "d_neighbour": float(neighbour_distance(halos, np.array([row]), box)[0]),
        "M200c_catalogue": float(halos.M200c_msun[row]),
        "R200c_catalogue": float(halos.R200c_kpc[row]),
    }
