"""Substructure of a halo from its particles alone, for catalogues that list no subhaloes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.compiled import njit
from three_hundred_maps.simulation.particles import Cutout

NEIGHBOURS = 24
"""Particles whose distance gives the local density."""
LEAST_PARTICLES = 20
"""Of a substructure, after its background is taken off: AHF's default."""
LEAST_CONTRAST = 3.0
"""Peak density over that of the saddle: density from 24 neighbours scatters by a fifth."""
CENTRE = 0.05
"""In R200c: peaks nearer to the centre than this are the halo's own."""
MOST_PARTICLES = 400_000
"""More are thinned to this: the work is bounded whatever the resolution."""


def substructure_from_particles(cutout: Cutout, r200_kpc: float) -> float:
    """Share of the dark matter within R200c that is in lumps.

    Lumps are found as by SUBFIND (Springel et al. 2001): particles are taken in order of falling local
    density, each joins the lump of its nearest denser neighbours, and where two lumps meet, at a saddle,
    the one with fewer particles ends. Positions alone are used: instead of unbinding, the density of the
    saddle is taken off, particle by particle, as the background that lies in front of, behind and inside a
    lump. A lump counts where `LEAST_PARTICLES` are left of it and its peak is `LEAST_CONTRAST` times its
    saddle; nested lumps are counted once, with the outer one.

    Parameters
    ----------
    cutout
        A sphere that holds R200c.
    r200_kpc
        R200c, proper kpc.

    Returns
    -------
    float
        0 to 1; NaN with fewer than 1,000 dark-matter particles within R200c.

    Notes
    -----
    Against the subhaloes that halo finders bind with velocities this is a lower mass: what lies below the
    saddle is not seen. ``tests/simulation/test_substructure.py`` holds the comparison.
    """
    # Few catalogues need this, and every worker would wait for its import.
    from scipy.spatial import cKDTree

    dark = cutout["dark_matter"]
    # The neighbours of what lies just inside are outside.
    near = np.flatnonzero(np.einsum("ij,ij->i", dark.position, dark.position) < (1.1 * r200_kpc) ** 2)
    if len(near) > MOST_PARTICLES:
        near = near[:: math.ceil(len(near) / MOST_PARTICLES)]
    position = dark.position[near].astype(np.float64) / r200_kpc
    mass = dark.mass[near].astype(np.float64)
    radius = np.sqrt(np.einsum("ij,ij->i", position, position))
    inside = radius < 1.0
    if np.count_nonzero(inside) < 1_000:
        return math.nan
    distance, neighbour = cKDTree(position).query(position, NEIGHBOURS + 1)
    density = mass[neighbour].sum(axis=1) / distance[:, -1].clip(1e-9) ** 3
    excess = mass * np.maximum(1.0 - _background(radius, density) / density, 0.0) * inside
    order = np.argsort(-density, kind="stable")
    lump_mass = (
        _lumps(
            order, neighbour, density, excess / mass.mean(), radius, CENTRE, LEAST_PARTICLES, LEAST_CONTRAST
        )
        * mass.mean()
    )
    return float(lump_mass / mass[inside].sum())


def _background(radius: NDArray[np.float64], density: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) median density at each particle's radius: lumps fill little of a shell."""
    by_radius = np.argsort(radius, kind="stable")
    shells = np.array_split(by_radius, np.clip(len(radius) // 200, 5, 60))
    middle = np.log([max(float(np.median(radius[rows])), 1e-6) for rows in shells])
    typical = np.log([float(np.median(density[rows])) for rows in shells])
    return np.exp(np.interp(np.log(np.maximum(radius, 1e-6)), middle, typical))


@njit(cache=True)
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True)
def _lumps(order, neighbour, density, excess, radius, centre, least, contrast):  # type: ignore[no-untyped-def]
    """Sum of the excess of all lumps but the halo's own, in the units of ``excess``."""
    n = len(order)
    parent = np.full(n, -1)
    peak = np.zeros(n)  # at roots, as all that follows: the lump's highest density
    members = np.zeros(n, np.int64)
    held = np.zeros(n)
    ended = np.zeros(n)  # what lumps that ended inside this one held
    main = np.zeros(n, np.bool_)
    near = np.empty(2, np.int64)
    for rank in range(n):
        i = order[rank]
        found = 0
        for k in range(1, neighbour.shape[1]):
            j = neighbour[i, k]
            if parent[j] >= 0:
                near[found] = j
                found += 1
                if found == len(near):
                    break
        parent[i], peak[i], members[i], held[i], main[i] = i, density[i], 1, excess[i], radius[i] < centre
        for k in range(found):
            a, b = _root(parent, near[k]), _root(parent, i)
            if a == b:
                continue
            if (main[b] and not main[a]) or (main[a] == main[b] and members[b] > members[a]):
                a, b = b, a
            # a goes on, b ends here: this particle's density is that of the saddle
            if not main[b] and held[b] >= least and peak[b] >= contrast * density[i]:
                ended[b] = held[b]
            main[a] = main[a] or main[b]
            parent[b] = a
            peak[a] = max(peak[a], peak[b])
            members[a] += members[b]
            held[a] += held[b]
            ended[a] += ended[b]
    total = 0.0
    for i in range(n):
        if parent[i] == i:
            total += ended[i]
    return total
