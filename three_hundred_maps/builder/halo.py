"""One halo: measured from its particles, excluded for a reason or mapped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.builder.recipe import SelectionRecipe
from three_hundred_maps.builder.selection import CUTOUT_KEYS, neighbour_distance
from three_hundred_maps.builder.sources import Sources
from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import HaloGrid, cutout_radius, get_view, render
from three_hundred_maps.mapping.views import brightest_share, context_of_halo
from three_hundred_maps.simulation.catalogues.catalogue_checks import mass_disagreement
from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.measure import measure
from three_hundred_maps.simulation.particles import Cutout
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.substructure import substructure_from_particles
from three_hundred_maps.store import schema
from three_hundred_maps.units import MPC_KPC

MEASURING_RADIUS = 1.3
"""The first cut-out, in the catalogue's R200c: R200c is measured in it, which then scales the map grid."""
MEASURING_TRIES = 3
_SLACK = 1.05
"""A halo is cut out once, for maps of a measured R200c that is so much larger than the catalogue's."""
RELAXED_OFFSET = RELAXED_SUBSTRUCTURE = 0.1


class Excluded(Exception):
    """A halo that cannot be mapped; the message says why."""


@dataclass(frozen=True)
class LoadedRegion:
    """A region's particles and its whole catalogue.

    Parameters
    ----------
    particles, halos, row_of
        Particles, catalogue, and the catalogue's row of each halo id.
    warnings
        How the catalogue differs from the particles.
    corrections
        How many values were mended when the region was opened, by what was done. Where particles are read by
        ranges there are none yet: `Region.corrections` counts them as halos are cut out.
    """

    particles: Region
    halos: Halos
    row_of: Mapping[int, int]
    warnings: Sequence[str] = ()
    corrections: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MappedHalo:
    """What is made of a halo.

    Parameters
    ----------
    values
        Its halo variables, without the key.
    maps
        By map variable: (los, y, x) float32, and the integrals (los,) float64.
    brightest
        By summed view: the share of the light inside R200c that ten particles give.
    warning
        How the particles and the catalogue differ, where they do.
    """

    values: dict[str, Any]
    maps: dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]]
    brightest: dict[str, float]
    warning: str | None


def map_halo(
    sources: Sources,
    loaded: LoadedRegion,
    halo_id: int,
    vectors: NDArray[np.float64],
    up_vectors: NDArray[np.float64],
    *,
    half: bool,
) -> MappedHalo:
    """Measure and map one halo.

    Parameters
    ----------
    sources
        What to make, and of what.
    loaded
        The halo's region.
    halo_id
        Of the catalogue.
    vectors, up_vectors
        Lines of sight.
    half
        Whether to map the half-sample too.

    Raises
    ------
    Excluded
        Where it cannot be mapped.
    InputError
        Where a view cannot be made of its particles, or has negative values.
    """
    recipe = sources.recipe
    region, halos = loaded.particles, loaded.halos
    row = loaded.row_of[halo_id]
    centre, mass = halos.centre_kpc[row], float(halos.M200c_msun[row])
    radius = cutout_radius(HaloGrid(_SLACK * float(halos.R200c_kpc[row]), recipe.maps.grid()))
    missing = region.absent(centre, radius)
    if missing is not None:
        raise Excluded(missing)
    values, cutout = _measured(region, centre, float(halos.R200c_kpc[row]), radius)
    grid = HaloGrid(values["R200c"], recipe.maps.grid())
    radius = cutout_radius(grid)
    _require_fit(region, radius)
    cutout = cutout.within(radius) if radius <= cutout.radius_kpc else region.cutout(centre, radius)
    _require_usable(region, centre, cutout, grid.R200c_kpc, recipe.selection)
    views = [get_view(name) for name in recipe.maps.views]
    context = context_of_halo(sources.context(), cutout, grid.R200c_kpc, views)
    smoothing = recipe.maps.dm_smoothing
    rendered = render(cutout, views, grid, vectors, up_vectors, dm_smoothing=smoothing, context=context)
    for view in views:
        if not view.signed and rendered[view.name][0].min() < 0:
            raise InputError(
                f"view {view.name}: negative values in halo {halo_id}; a view that has them says signed=True"
            )
    if half and schema.TARGET in rendered:
        target, seed = [get_view(schema.TARGET)], recipe.splits.seed
        halved = render(
            cutout, target, grid, vectors, up_vectors, dm_smoothing=smoothing, half_seed=seed, context=context
        )
        rendered[schema.HALF] = halved[schema.TARGET]
    asked = {
        "T_mw_500_keV": values["T_mw_500_keV"],
        "Y_500_kpc2": values["Y_500_mpc2"] * MPC_KPC**2,
    }
    return MappedHalo(
        {
            **_halo_values(values, halos, row, region, cutout),
            **{name: asked[name] for name in recipe.store.halo_variables},
        },
        rendered,
        {
            view.name: brightest_share(view, cutout.particles, grid.R200c_kpc, context)
            for view in views
            if view.weight is None and not view.signed and not view.sight
        },
        mass_disagreement(values["M200c"], mass),
    )


def _require_fit(region: Region, radius_kpc: float) -> None:
    if region.periodic and radius_kpc >= 0.5 * region.info.box_kpc:
        raise Excluded(f"a cut-out of radius {radius_kpc:.0f} kpc does not fit into the box ({CUTOUT_KEYS})")


def _measured(
    region: Region, centre: NDArray[np.float64], R200c_kpc: float, radius_kpc: float
) -> tuple[dict[str, float], Cutout]:
    """What `measure` finds, and the cut-out of ``radius_kpc``: a larger one where R200c is not inside."""
    largest = 0.499 * region.info.box_kpc if region.periodic else math.inf
    cutout = None
    reason = ""
    for attempt in range(MEASURING_TRIES):
        inner = MEASURING_RADIUS * 1.5**attempt * R200c_kpc
        _require_fit(region, inner)
        if cutout is None or inner > cutout.radius_kpc:
            cutout = region.cutout(centre, max(inner, min(radius_kpc, largest)))
        try:
            return measure(cutout.within(inner)), cutout
        except InputError as error:
            reason = str(error)
    raise Excluded(reason)


def _require_usable(
    region: Region,
    centre_kpc: NDArray[np.float64],
    cutout: Cutout,
    R200c_kpc: float,
    selection: SelectionRecipe,
) -> None:
    """Exclude a halo whose particles are not all there, of low resolution, or too few."""
    limit, least = selection.max_low_resolution_fraction, selection.min_particles
    reason = region.refusal(centre_kpc, cutout.radius_kpc, cutout, max_low_resolution_fraction=limit)
    if reason is not None:
        nearest = np.linalg.norm(cutout["low_resolution"].position, axis=1).min(initial=math.inf) / R200c_kpc
        if "leaves the region" in reason:
            reason += f" ({CUTOUT_KEYS})"
        elif "low-resolution" in reason:
            reason += f", the nearest at {nearest:.2f} R200c (selection.max_low_resolution_fraction)"
        raise Excluded(reason)
    inside = int(np.count_nonzero(np.linalg.norm(cutout["dark_matter"].position, axis=1) < R200c_kpc))
    if inside < least:
        raise Excluded(
            f"{inside} dark-matter particles inside R200c, below {least} (selection.min_particles)"
        )


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
    names = ("M200c", "R200c", "M500c", "R500c", "c200c", "f_gas_500", "f_star_500")
    return {
        **{name: measured[name] for name in names},
        "redshift": region.info.redshift,
        "f_sub": substructure,
        "com_offset": offset,
        "relaxed": int(calm),
        "d_neighbour": float(neighbour_distance(halos, np.array([row]), box)[0]),
        "M200c_catalogue": float(halos.M200c_msun[row]),
        "R200c_catalogue": float(halos.R200c_kpc[row]),
    }
