"""From a cut-out to maps: which particle adds what to which view, and through which back end."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping.halo_grid import HaloGrid, cutout_radius
from three_hundred_maps.mapping.kernels import SPREAD_KERNEL, check_kernel
from three_hundred_maps.mapping.lines_of_sight import rotations
from three_hundred_maps.mapping.projection import Backend, Batch, Grid, gaussian_matrix, split_gaussian
from three_hundred_maps.mapping.views import Contribution, MapContext, View, context_of_halo, evaluate
from three_hundred_maps.simulation.particles import SPECIES, Cutout, Particles

T = TypeVar("T")

BACKENDS: dict[str, str] = {
    "reference": "three_hundred_maps.mapping.reference:project",
    "fast": "three_hundred_maps.mapping.fast:project",
    "torch": "three_hundred_maps.mapping.gpu:project",
}
"""Every back end and where it lives: imported when it is first asked for."""

CHUNK = 1 << 20
"""Particles that are prepared at a time: bounds the memory beside the particles themselves."""

NEIGHBOURS = 32
"""A kernel ends at this neighbour where particles have none of their own."""

DM_SMOOTHING = ("gaussian", "adaptive")
ADAPTIVE_SPECIES = ("dark_matter", "low_resolution", "stars", "black_holes")
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def get_backend(name: str) -> Backend:
    """The back end of that name; InputError when there is none or what it needs is not installed."""
    if name not in BACKENDS:
        raise InputError(f"back end {name!r} is not known: use {', '.join(BACKENDS)}")
    module, _, attribute = BACKENDS[name].partition(":")
    try:
        backend: Backend = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise InputError(
            f"back end {name!r} needs {error.name}: pip install 'three_hundred_maps[build]' (fast) or torch"
        ) from None
    return backend


@dataclass(frozen=True)
class _Field:
    """One map that is accumulated: a sum of ``value`` to a power (times ``weight``) over particles."""

    value: Contribution
    weight: Contribution | None
    spread: bool  # to neighbours: see `View`
    sight: bool = False  # made anew for every line of sight
    power: int = 1

    def of(self, particles: Particles, context: MapContext, views: Sequence[View]) -> NDArray[np.float64]:
        result = evaluate(self.value, particles, context, self.name(views)) ** self.power
        if self.weight is not None:
            result = result * evaluate(self.weight, particles, context, self.name(views))
        return result

    def name(self, views: Sequence[View]) -> str:
        return "view " + " and ".join(view.name for view in views if self in _fields_of(view))


def _fields_of(view: View) -> tuple[_Field, ...]:
    how = view.spread, view.sight
    if view.weight is None:
        return (_Field(view.contribution, None, *how),)
    mean = (_Field(view.contribution, view.weight, *how), _Field(view.weight, None, *how))
    return (*mean, _Field(view.contribution, view.weight, *how, power=2)) if view.dispersion else mean


def render(
    cutout: Cutout,
    views: Sequence[View],
    halo_grid: HaloGrid,
    vectors: NDArray[np.float64],
    up_vectors: NDArray[np.float64],
    *,
    dm_smoothing: str = "gaussian",
    backend: str = "fast",
    threads: int = 1,
    half_seed: int | None = None,
    context: MapContext | None = None,
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Maps of every view along every line of sight.

    Parameters
    ----------
    cutout
        The particles around the halo, complete to `cutout_radius`.
    views
        What to map; names must differ.
    halo_grid
        Size, depth, pixels and smoothing of the maps.
    vectors, up_vectors
        (n_los, 3) from `lines_of_sight`.
    dm_smoothing
        ``gaussian``: the grid's Gaussian alone; ``adaptive``: kernels that end at the 32nd neighbour as well,
        for dark matter, stars and black holes.
    backend
        ``fast`` (numba), ``reference`` (exact, slow) or ``torch``.
    threads
        Lines of sight that are worked on at a time, and from 2 on the next particles are prepared meanwhile;
        the result does not depend on it.
    half_seed
        When given, only a seeded half of the particles counts, twice.
    context
        Gas rules and emissivity; the paper's when not given.

    Returns
    -------
    dict
        By view name: maps (n_los, y, x) float32 in the view's units, and their integrals over the area
        in kpc^2, (n_los,) float64. For a summed view the integral comes from the particles themselves.

    Raises
    ------
    InputError
        A cut-out too small for the grid, positions, smoothing lengths or contributions that are not
        finite, a negative smoothing length, an unknown back end or kernel.
    """
    matrices = rotations(vectors, up_vectors)
    _check(cutout, views, halo_grid, dm_smoothing, threads)
    context = context_of_halo(context or MapContext(), cutout, halo_grid.R200c_kpc, views)
    project = get_backend(backend)
    sigma_px = halo_grid.grid.sigma_px
    stamp_sigma, rest_sigma, margin = split_gaussian(sigma_px)
    if backend == "reference":
        stamp_sigma, rest_sigma, margin = sigma_px, 0.0, 0
    pixels = halo_grid.pixels + 2 * margin
    grid = Grid(pixels, halo_grid.pixel_kpc, halo_grid.half_depth_kpc, stamp_sigma)

    wanted: dict[_Field, set[str]] = {}  # which species each distinct field sums over, once for all views
    for view in views:
        for item in _fields_of(view):
            wanted.setdefault(item, set()).update(view.species)
    # a field that two views sum over different species is kept by species, so that nothing is projected twice
    sums: dict[tuple[_Field, str], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    signed: set[_Field] = set()
    every = slice(0, len(matrices))
    one_by_one = [slice(los, los + 1) for los in range(len(matrices))]
    parts = [
        (species, items, sights)
        for species in SPECIES
        for spread in (False, True)
        for sight, sights in ((False, [every]), (True, one_by_one))
        if (
            items := [i for i, w in wanted.items() if species in w and (i.spread, i.sight) == (spread, sight)]
        )
    ]
    made = (
        (species, items, sights, batch, scales)
        for species, items, all_sights in parts
        for lengths in (
            _smoothing_lengths(cutout, species, dm_smoothing, halo_grid if items[0].spread else None),
        )
        for sights in all_sights
        for batch, scales in _batches(
            cutout,
            species,
            items,
            lengths,
            half_seed,
            replace(context, sight=vectors[sights.start]) if items[0].sight else context,
            views,
        )
    )
    n_los = len(matrices)
    for species, items, sights, batch, scales in made if threads == 1 else _ahead(made):
        maps, totals = project(batch, grid, matrices[sights], threads)
        for k, item in enumerate(items):
            if (item, species) not in sums:
                sums[item, species] = np.zeros((n_los, pixels, pixels)), np.zeros(n_los)
            old_maps, old_totals = sums[item, species]
            old_maps[sights] += maps[k] * scales[k]
            old_totals[sights] += totals[k] * scales[k]
            if batch.weights[:, k].min() < 0:
                signed.add(item)

    smooth = gaussian_matrix(halo_grid.pixels, rest_sigma, margin) if margin else None
    return {view.name: _finish(view, sums, signed, halo_grid, len(matrices), smooth) for view in views}


def _finish(
    view: View,
    sums: dict[tuple[_Field, str], tuple[NDArray[np.float64], NDArray[np.float64]]],
    signed: set[_Field],
    halo_grid: HaloGrid,
    n_los: int,
    smooth: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    area = halo_grid.pixel_area_kpc2
    summed = []
    for item in _fields_of(view):
        maps = np.zeros((n_los, halo_grid.pixels, halo_grid.pixels))
        totals = np.zeros(n_los)
        for species in view.species:
            if (item, species) in sums:
                part, inside = sums[item, species]
                if smooth is not None:
                    # without BLAS, whose threads may add in another order
                    part = np.einsum("yv,lvx->lyx", smooth, np.einsum("lvu,xu->lvx", part, smooth))
                    inside = part.sum(axis=(1, 2))
                maps += part
                totals += inside
        if item not in signed:
            _lift(maps, totals)
        summed.append((maps, totals))
    if view.weight is None:
        maps, totals = summed[0]
        return (maps / area).astype(np.float32), totals
    weight = summed[1][0]

    def mean_of(product: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(product, weight, out=np.zeros_like(product), where=weight > 0)

    mean = mean_of(summed[0][0])
    if view.dispersion:
        mean = np.sqrt(np.maximum(mean_of(summed[2][0]) - mean**2, 0.0))
    return mean.astype(np.float32), mean.sum(axis=(1, 2)) * area


def _lift(maps: NDArray[np.float64], totals: NDArray[np.float64]) -> None:
    """Take what is below 0 out of maps (n_los, y, x) of what is not, their totals (n_los,) kept; in place.

    Wide kernels are interpolated from a coarse lattice, which may overshoot where they end. Maps without
    such pixels are left as they are.
    """
    for los in np.flatnonzero(maps.min(axis=(1, 2)) < 0.0):
        lifted = np.maximum(maps[los], 0.0)
        total = lifted.sum()
        maps[los] = lifted * (max(totals[los], 0.0) / total) if total > 0.0 else 0.0


def _check(
    cutout: Cutout, views: Sequence[View], halo_grid: HaloGrid, dm_smoothing: str, threads: int
) -> None:
    if not views:
        raise InputError("no view to map: give at least one")
    names = [view.name for view in views]
    if len(set(names)) != len(names):
        raise InputError(f"views must have different names, not {', '.join(names)}")
    if threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}")
    if dm_smoothing not in DM_SMOOTHING:
        raise InputError(f"dm_smoothing must be one of {', '.join(DM_SMOOTHING)}, not {dm_smoothing!r}")
    check_kernel(cutout.kernel)
    needed = cutout_radius(halo_grid)
    if cutout.radius_kpc < needed * (1.0 - 1e-6):
        raise InputError(
            f"the cut-out's radius of {cutout.radius_kpc:.6g} kpc is too small for these maps: "
            f"they need {needed:.6g} kpc (cutout_radius)"
        )


def _batches(
    cutout: Cutout,
    species: str,
    fields: list[_Field],
    lengths: NDArray[np.float32] | None,
    half_seed: int | None,
    context: MapContext,
    views: Sequence[View],
) -> Iterator[tuple[Batch, NDArray[np.float64]]]:
    """The particles of a species in chunks, with the power of two that each field was divided by.

    Contributions are made in float64 and scaled to fit float32, which luminosities would not.
    """
    particles = cutout[species]
    for start in range(0, len(particles), CHUNK):
        rows: slice | NDArray[np.int64] = slice(start, start + CHUNK)
        chunk = particles.select(rows)  # type: ignore[arg-type]  # a slice: a view, not a copy
        radius = None if lengths is None else lengths[rows]
        factor = 1.0
        if half_seed is not None:
            half = np.flatnonzero(in_random_half(species, chunk.index, half_seed))
            chunk, factor = chunk.select(half), 2.0
            radius = None if radius is None else radius[half]
        _check_particles(chunk, radius, species)
        if len(chunk) == 0:
            continue
        weights = np.empty((len(chunk), len(fields)), np.float32)
        scales = np.ones(len(fields))
        for k, item in enumerate(fields):
            values = item.of(chunk, context, views)
            largest = float(np.max(np.abs(values)))
            if not np.isfinite(largest):
                bad = int(np.count_nonzero(~np.isfinite(values)))
                raise InputError(
                    f"{item.name(views)}: {bad} particles of {species} contribute a number that is not finite"
                )
            if largest > 0.0:
                scales[k] = 2.0 ** np.floor(np.log2(largest))
            weights[:, k] = values / scales[k]
        # what is spread to neighbours has no kernel of the simulation's own: one for all codes
        kernel = SPREAD_KERNEL if fields[0].spread and species != "gas" else cutout.kernel
        yield Batch(chunk.position, radius, weights, kernel), scales * factor


def splitmix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The SplitMix64 generator's output for each state (Steele, Lea & Flood 2014)."""
    z = values + _STEP
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def in_random_half(species: str, index: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which particles are in the random half.

    Parameters
    ----------
    species
        One of `SPECIES`: its number is part of what is hashed.
    index
        (n,) rows of the particles within their species in the snapshot.
    seed
        Of the choice; any integer.

    Returns
    -------
    (n,) bool
    """
    key = np.array([seed % 2**64], dtype=np.uint64)
    key = splitmix64(splitmix64(key) + np.uint64(SPECIES.index(species)))
    hashed = splitmix64(splitmix64(index.astype(np.uint64)) ^ key)
    return (hashed & np.uint64(1)) == 0


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in a thread of its own while the one before it is used."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]  # what is not the end is one of them


def _check_particles(particles: Particles, radius: NDArray[np.float32] | None, species: str) -> None:
    if not np.isfinite(particles.position).all():
        raise InputError(f"{species}: some positions are not finite; check the snapshot")
    if radius is not None and not (np.isfinite(radius).all() and (radius >= 0).all()):
        bad = int(np.count_nonzero(~(np.isfinite(radius) & (radius >= 0))))
        raise InputError(f"{species}: {bad} smoothing lengths are negative or not finite; check the snapshot")


def _smoothing_lengths(
    cutout: Cutout, species: str, dm_smoothing: str, spread: HaloGrid | None
) -> NDArray[np.float32] | None:
    """(n,) kpc where the particles' kernels end; None for points. ``spread``: to neighbours, on this grid."""
    particles = cutout[species]
    if species == "gas" and len(particles):
        return np.asarray(particles.fields["smoothing_length"], dtype=np.float32)
    if spread is None and not (dm_smoothing == "adaptive" and species in ADAPTIVE_SPECIES):
        return None
    from three_hundred_maps.mapping.kd_tree import neighbour_distance  # compiled: few views need it

    _check_particles(particles, None, species)  # the search for neighbours would not end
    radius = neighbour_distance(particles.position, NEIGHBOURS)
    if spread is not None and len(particles) <= NEIGHBOURS:
        # too few to hide one among others: each is spread over half the map at least
        radius = np.maximum(radius, np.float32(0.5 * spread.pixels * spread.pixel_kpc))
    return radius
