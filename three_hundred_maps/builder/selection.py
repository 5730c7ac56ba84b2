"""Which halos are mapped: the paper's cuts, and a flat thinning by hashes, so that subsets nest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.builder.recipe import SelectionRecipe
from three_hundred_maps.simulation.catalogues.halos import Halos, nearest_image
from three_hundred_maps.store.splits import hash_order

BIN_DEX = 0.1
"""Width of the bins in log10 M200c that thinning works in; the last of them is open-ended."""

CUTOUT_KEYS = "maps.width, maps.half_depth"
"""Keys of the recipe that make a cut-out smaller."""

Place = tuple[int, int]
"""One snapshot of a simulation: (source, number of the snapshot)."""


@dataclass(frozen=True)
class Candidate:
    """A halo that passed the cuts.

    Parameters
    ----------
    region, snapshot, halo_id
        Its key.
    source
        Which of the recipe's catalogues it is from: the declared region, or 0 for a box.
    centre_kpc
        Proper kpc.
    M200c_msun, R200c_kpc
        The catalogue's.
    member
        Which of the recipe's simulations it is from.
    """

    region: int
    snapshot: int
    halo_id: int
    source: int
    centre_kpc: tuple[float, float, float]
    M200c_msun: float
    R200c_kpc: float
    member: int = 0

    @property
    def place(self) -> Place:
        """The snapshot it is in."""
        return (self.source, self.snapshot)

    @property
    def key(self) -> tuple[int, int, int]:
        """(region, snapshot, halo_id)."""
        return (self.region, self.snapshot, self.halo_id)


@dataclass(frozen=True)
class LeftOut:
    """A halo that is not mapped, and why."""

    region: int
    snapshot: int
    halo_id: int
    reason: str


def cut(
    halos: Halos, selection: SelectionRecipe, h: float
) -> tuple[NDArray[np.bool_], list[tuple[int, str]]]:
    """Which halos pass the cuts, and the reasons of those above the mass limit that do not.

    Parameters
    ----------
    halos
        A catalogue.
    selection
        ``min_mass`` in Msun/h.
    h
        Of the simulation.
    """
    massive = halos.M200c_msun * h >= selection.min_mass
    inside = massive & ~halos.distinct & selection.hosts_only
    limit, high = selection.min_high_resolution_fraction, halos.f_high_resolution
    impure = massive & ~inside & ~(high >= limit)
    reasons = [
        (i, f"lies in halo {halos.host_id[i]} (selection.hosts_only)")
        for i in np.flatnonzero(inside).tolist()
    ]
    reasons += [
        (
            i,
            f"high-resolution mass fraction {high[i]:.4g} in the catalogue, below {limit:g} "
            "(selection.min_high_resolution_fraction)",
        )
        for i in np.flatnonzero(impure).tolist()
    ]
    return massive & ~inside & ~impure, reasons


def mass_bin(M200c_msun_h: float, selection: SelectionRecipe) -> int:
    """The bin of 0.1 dex above ``min_mass`` that a mass falls into."""
    place = math.floor(math.log10(M200c_msun_h / selection.min_mass) / BIN_DEX + 1e-9)
    return min(max(place, 0), selection.log_mass_bins - 1)


def thin(
    candidates: list[Candidate], selection: SelectionRecipe, h: float
) -> tuple[list[Candidate], list[LeftOut]]:
    """Thin to at most ``max_per_bin`` a mass bin, then to ``max_halos``, in the order of a seeded hash.

    The order depends on a halo's source, snapshot and id alone: a smaller limit keeps a subset.
    """

    def order(candidate: Candidate) -> tuple[int, tuple[int, int, int]]:
        place = hash_order("halo", selection.seed, candidate.source, candidate.snapshot, candidate.halo_id)
        return place, candidate.key

    taken: dict[int, int] = {}
    kept: list[Candidate] = []
    left: list[LeftOut] = []
    for candidate in sorted(candidates, key=order):
        place = mass_bin(candidate.M200c_msun * h, selection)
        if selection.max_per_bin is not None and taken.get(place, 0) >= selection.max_per_bin:
            reason = f"its mass bin holds {selection.max_per_bin} already (selection.max_per_bin)"
        elif selection.max_halos is not None and len(kept) >= selection.max_halos:
            reason = f"the store holds {selection.max_halos} already (selection.max_halos)"
        else:
            taken[place] = taken.get(place, 0) + 1
            kept.append(candidate)
            continue
        left.append(LeftOut(*candidate.key, reason))
    return kept, left


def overlapping(
    centres: NDArray[np.float64], radii: NDArray[np.float64], box: float
) -> Iterator[tuple[int, int]]:
    """Pairs of spheres that overlap, in a periodic box of side ``box`` (0: not periodic); one length unit."""
    from scipy.spatial import cKDTree

    if len(centres) < 2:
        return
    wrapped = np.mod(centres, box) if box > 0 else centres
    tree = cKDTree(wrapped, boxsize=box if box > 0 else None)
    largest = float(radii.max())
    for i, centre in enumerate(wrapped):
        for j in tree.query_ball_point(centre, radii[i] + largest):
            if j <= i:
                continue
            apart = nearest_image(wrapped[j] - centre, box)
            if float(np.sqrt((apart**2).sum())) < radii[i] + radii[j]:
                yield i, j


def neighbour_distance(halos: Halos, rows: NDArray[np.int64], box_kpc: float) -> NDArray[np.float64]:
    """Distance from each of ``rows`` to its nearest more massive distinct halo, in that halo's R200c.

    Parameters
    ----------
    halos
        The whole catalogue.
    rows
        The halos that are asked for.
    box_kpc
        Side of the periodic box, 0 where there is none.

    Returns
    -------
    (n,) float64, infinite where no halo is more massive.
    """
    result = np.full(len(rows), np.inf)
    for place, row in enumerate(rows):
        other = np.flatnonzero(halos.distinct & (halos.M200c_msun > halos.M200c_msun[row]))
        if not other.size:
            continue
        apart = nearest_image(halos.centre_kpc[other] - halos.centre_kpc[row], box_kpc)
        distance = np.sqrt((apart**2).sum(axis=1))
        nearest = int(np.argmin(distance))
        result[place] = distance[nearest] / halos.R200c_kpc[other[nearest]]
    return result
