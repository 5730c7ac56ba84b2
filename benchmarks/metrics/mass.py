"""Cylinder masses, surface-density profiles and the concentration of an NFW fit to them."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from benchmarks.grid import Grid
from three_hundred_maps import nfw

Array = NDArray[np.float64]


def aperture_masses(maps: Array, circle: Array) -> Array:
    """(map,): mass inside a circle, as the sum of surface density times exact pixel area inside.

    Parameters
    ----------
    maps
        (map, y, x), Msun kpc-2.
    circle
        (y, x): `Grid.circle`, R200c^2. The result times R200c^2 (kpc^2) is in Msun; ratios need no more.
    """
    return maps.reshape(len(maps), -1) @ circle.ravel()


def surface_density_profiles(maps: Array, grid: Grid) -> Array:
    """(map, ring): mean surface density (Msun kpc-2) in the logarithmic rings, exact pixel areas."""
    weights = grid.profile_weights.reshape(grid.constants.profile_rings, -1)
    return maps.reshape(len(maps), -1) @ weights.T


@functools.lru_cache(maxsize=8)
def _templates(grid: Grid) -> tuple[Array, Array]:
    """ln c of the grid of concentrations, and the log10 profiles (c, ring) less their means."""
    c = grid.constants
    log_c = np.linspace(np.log(c.concentration_low), np.log(c.concentration_high), c.concentration_steps)
    edges = grid.profile_edges
    mass = nfw.projected_mass(np.exp(log_c)[:, None] * edges[None, :])
    profiles = np.log10(np.diff(mass, axis=1) / np.diff(edges**2))
    return log_c, profiles - profiles.mean(axis=1, keepdims=True)


def concentrations(profiles: Array, grid: Grid) -> Array:
    """(map,): concentration c200c of the NFW profile nearest to each surface-density profile.

    Least squares in log10 over the rings, amplitude free, on a logarithmic grid of concentrations with a
    parabola through the best three: a projected NFW sphere (no cut along the line of sight), in the
    frame's R200c.

    Parameters
    ----------
    profiles
        (map, ring), Msun kpc-2, as of `surface_density_profiles`.
    """
    log_c, templates = _templates(grid)
    shape = np.log10(np.maximum(profiles, grid.constants.floor))
    shape = shape - shape.mean(axis=1, keepdims=True)
    # |y - t|^2 less the |y|^2 that all templates share.
    cost = np.sum(templates**2, axis=1)[None, :] - 2.0 * shape @ templates.T
    best = np.clip(np.argmin(cost, axis=1), 1, len(log_c) - 2)
    rows = np.arange(len(best))
    left, middle, right = (cost[rows, best + shift] for shift in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend > 0, 0.5 * (left - right) / np.where(bend > 0, bend, 1.0), 0.0)
    return np.exp(log_c[best] + np.clip(shift, -1, 1) * (log_c[1] - log_c[0]))
