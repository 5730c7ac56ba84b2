"""A handful of made-up particles: for trying views before a build, and for compiling before workers start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.mapping import HaloGrid, MapContext, View, get_view, lines_of_sight, render
from three_hundred_maps.mapping.views import evaluate
from three_hundred_maps.simulation.cell_grid import CellGrid
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.particles import (
    GAS_FIELDS,
    OPTIONAL_FIELDS,
    SPECIES,
    Cutout,
    Particles,
)

COUNT = 256
_RANGES = {
    "temperature": (1e4, 3e8),
    "density": (1e1, 1e8),
    "smoothing_length": (1.0, 100.0),
    "hydrogen_fraction": (0.7, 0.76),
    "electron_abundance": (1.1, 1.2),
    "metallicity": (1e-4, 0.04),
}
"""Of the gas fields, as in clusters; what is not here is 0."""


def made_up_cutout() -> Cutout:
    """Particles of every species around a halo, with the values that they have in clusters."""
    generator = np.random.default_rng(0)

    def between(low: float, high: float) -> np.ndarray:
        return np.exp(generator.uniform(np.log(low), np.log(high), COUNT)).astype(np.float32)

    position = generator.normal(0.0, 10.0, (COUNT, 3)).astype(np.float32)
    fields = {
        name: between(*_RANGES[name]) if name in _RANGES else np.zeros(COUNT, np.float32)
        for name in GAS_FIELDS
    }
    particles = {
        name: Particles(position, between(1e8, 1e9), np.arange(COUNT), fields if name == "gas" else {})
        for name in SPECIES
    }
    for name, part in particles.items():  # drawn last: the others stay what they were
        values = {
            "velocity": generator.normal(0.0, 500.0, (COUNT, 3)),
            "formation_time": generator.uniform(0.1, 1.0, COUNT),
            "metallicity": generator.uniform(1e-4, 0.04, COUNT),
        }
        asked = {k: v.astype(np.float32) for k, v in values.items() if name in OPTIONAL_FIELDS[k]}
        particles[name] = replace(part, fields={**asked, **part.fields})
    return Cutout(particles, 1e3, 0.0, Cosmology(0.7, 0.3, 0.7))


def check_views(views: Sequence[View], context: MapContext) -> None:
    """Try every view on made-up particles, before anything is read.

    Raises
    ------
    InputError
        For an error in a user's view, and for one that does not say ``needs``, ``sight`` or ``signed`` where
        it has to.
    """
    cutout = made_up_cutout()
    sight = np.array([0.0, 0.0, 1.0])
    for view in views:
        seen = replace(context, cosmology=cutout.cosmology, sight=sight if view.sight else None)
        if "velocity" in view.needs:
            seen = replace(seen, halo_velocity=np.zeros(3))
        for species in view.species:
            particles = _asked(cutout[species], species, view)
            for function in (view.contribution, view.weight):
                if function is None:
                    continue
                try:
                    values = evaluate(function, particles, seen, f"view {view.name}")
                except InputError as error:
                    missing = error.__cause__.args if isinstance(error.__cause__, KeyError) else ()
                    for name in set(missing) & set(OPTIONAL_FIELDS):
                        raise InputError(f'{error}; say needs=("{name}",)') from error
                    if view.sight:
                        raise
                    # Where the direction is not the reason, this fails as before.
                    evaluate(function, particles, replace(seen, sight=sight), f"view {view.name}")
                    raise InputError(f"view {view.name}: it reads context.sight; say sight=True") from error
                negative = function is view.contribution and (view.signed or view.dispersion)
                if not (np.isfinite(values).all() and (negative or values.min() >= 0.0)):
                    raise InputError(
                        f"view {view.name}: its values for {species} are negative or not finite;"
                        " a view that may be below 0 says signed=True"
                    )


def _asked(particles: Particles, species: str, view: View) -> Particles:
    """The particles with no field that is read only for views that ask for it, and this one does not."""
    usual = GAS_FIELDS if species == "gas" else ()
    fields = {k: v for k, v in particles.fields.items() if k in usual or k in view.needs}
    return replace(particles, fields=fields)


def warm_up(grid: MapGrid) -> None:
    """Compile the kernels (into numba's cache on disk) before several workers would each do so.

    The stamps of ``grid`` that this makes are those that its maps are made with.
    """
    cutout = made_up_cutout()
    cells = CellGrid.build(cutout["gas"].position)
    cells.relative(cells.within(np.zeros(3), 15.0, 0.0), np.zeros(3), 0.0, 1.0)
    halo_grid = HaloGrid(500.0 / max(grid.width, grid.half_depth, 0.5) / 2.0, grid)
    render(cutout, [get_view(name) for name in ("sz", "mass", "star")], halo_grid, *lines_of_sight(2))
