"""What the headers and catalogues of a recipe's simulations say, and the regions and splits that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from three_hundred_maps.builder.probe import check_views
from three_hundred_maps.builder.recipe import Recipe
from three_hundred_maps.builder.selection import Candidate, LeftOut, Place, cut, overlapping
from three_hundred_maps.builder.sources import Sources
from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import HaloGrid, View, cutout_radius
from three_hundred_maps.simulation.readers.source import SnapshotInfo
from three_hundred_maps.simulation.stored import require_optional
from three_hundred_maps.store.splits import assign_splits, hash_order, merge_groups

SAME_BOX = 1e-3
"""Relative difference of the comoving sides of boxes of the same initial conditions, at most."""


@dataclass
class Survey:
    """What the headers and catalogues of one simulation say.

    Parameters
    ----------
    sources
        Of that simulation.
    candidates, left
        Halos that passed the cuts, and those above the mass limit that did not.
    infos, dark_msun
        By place, the header, and the mass of a dark-matter particle (0 where they differ).
    most
        M200c of the most massive halo, Msun/h.
    h, box_kpc
        Of the cosmology; side of the box in proper kpc (0: none).
    """

    sources: Sources
    candidates: list[Candidate] = field(default_factory=list)
    left: list[LeftOut] = field(default_factory=list)
    infos: dict[Place, SnapshotInfo] = field(default_factory=dict)
    dark_msun: dict[Place, float] = field(default_factory=dict)
    most: float = 0.0
    h: float = math.nan
    box_kpc: float = 0.0

    @property
    def name(self) -> str:
        """The simulation's id."""
        return self.sources.recipe.simulation_id

    @property
    def by_halo(self) -> bool:
        """Whether it is a box whose halos are each its own region."""
        return self.sources.recipe.simulation.region_list() is None

    @property
    def expansion(self) -> float:
        """Comoving lengths over proper ones, of a box; its snapshot is one."""
        return 1.0 + next(iter(self.infos.values())).redshift


def survey(sources: Sources, views: Sequence[View]) -> list[Survey]:
    """Read the headers and catalogues of each simulation of a recipe, and cut.

    Raises
    ------
    InputError
        As `three_hundred_maps.builder.plan.make_plan`; of several simulations, naming the one.
    """
    found = []
    for number, member in enumerate(sources.members()):
        try:
            found.append(_survey(member, views, number))
        except InputError as error:
            if not sources.recipe.simulation.sources:
                raise
            raise InputError(f"simulation.sources, {member.recipe.simulation_id}: {error}") from None
    return found


def _survey(sources: Sources, views: Sequence[View], member: int) -> Survey:
    recipe = sources.recipe
    check_views(views, sources.context())
    found = Survey(sources)
    read: dict[str, Place] = {}
    for place in sources.places():
        source, number = place
        if not sources.synthetic:
            files = f"{sources.snapshot_path(place)} and {sources.catalogue_path(place)}"
            if (before := read.setdefault(files, place)) != place:
                # The same clusters would lie in several splits.
                raise InputError(
                    f"region {before[0]}, snapshot {before[1]} and region {source}, snapshot {number} are "
                    f"both read from {files}: write {{region}} or {{snapshot}} into simulation.snapshot and "
                    "simulation.catalogue.path"
                )
            opened = sources.open(place)
            require_optional(opened)
            found.infos[place] = opened.info
            found.dark_msun[place] = float(opened.mass_table[1]) * opened.factors["mass"]
        halos, found.h, found.box_kpc = sources.halos(place, found.infos.get(place))
        kept, reasons = cut(halos, recipe.selection, found.h)
        found.most = max(found.most, float(halos.M200c_msun.max(initial=0.0)) * found.h)

        def region_of(row: int, source: int = source, ids: np.ndarray = halos.halo_id) -> int:
            return sources.region(int(ids[row]) if found.by_halo else source)

        found.left += [LeftOut(region_of(i), number, int(halos.halo_id[i]), reason) for i, reason in reasons]
        found.candidates += [
            Candidate(
                region_of(i),
                number,
                int(halos.halo_id[i]),
                source,
                (float(halos.centre_kpc[i, 0]), float(halos.centre_kpc[i, 1]), float(halos.centre_kpc[i, 2])),
                float(halos.M200c_msun[i]),
                float(halos.R200c_kpc[i]),
                member,
            )
            for i in np.flatnonzero(kept).tolist()
        ]
    return found


def share_out(surveys: Sequence[Survey], recipe: Recipe) -> dict[int, str]:
    """The split of every region: one for all simulations of the same initial conditions.

    Simulations whose universe is not named are taken for such: that can divide no cluster. The halos of boxes
    get their regions here, those of all boxes of a universe at once.

    Raises
    ------
    InputError
        Where simulations of one universe cannot be of one.
    """
    universes: dict[str | None, list[Survey]] = {}
    for found in surveys:
        universes.setdefault(found.sources.recipe.simulation.universe, []).append(found)
    regions: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for of_one in universes.values():
        sides = [found.box_kpc * found.expansion if found.by_halo else -1.0 for found in of_one]
        for found, side in zip(of_one, sides, strict=True):
            if not math.isclose(side, sides[0], rel_tol=SAME_BOX):
                raise InputError(
                    f"simulation.sources: {of_one[0].name} and {found.name} are not of the same initial"
                    " conditions (their boxes differ, or one of them has regions): name the universe of each"
                )
        if of_one[0].by_halo:
            merge_boxes(of_one)
            regions |= {c.region for found in of_one for c in found.candidates}
        for found in of_one:
            if not found.by_halo:
                regions |= {found.sources.region(number) for number in found.sources.numbers()}
                pairs += found.sources.region_groups()
    ordered = sorted(regions)
    return assign_splits(recipe.splits.scheme, recipe.splits.seed, ordered, merge_groups(ordered, pairs))


def merge_boxes(boxes: Sequence[Survey]) -> None:
    """Give halos of a box whose cut-outs overlap one region, that of the smallest id; of several boxes of the
    same initial conditions too, where the first box that has a halo there names it.
    """
    together = sorted(
        ((number, c.halo_id, c) for number, box in enumerate(boxes) for c in box.candidates),
        key=lambda item: item[:2],
    )
    stretch = np.array([boxes[number].expansion for number, _, _ in together])
    grid = boxes[0].sources.recipe.maps.grid()
    centres = np.array([c.centre_kpc for _, _, c in together]) * stretch[:, None]
    radii = np.array([cutout_radius(HaloGrid(c.R200c_kpc, grid)) for _, _, c in together]) * stretch
    side = boxes[0].box_kpc * boxes[0].expansion
    group = merge_groups(range(len(together)), overlapping(centres, radii, side))
    regions = []
    for number, halo_id, _ in together:
        simulation = boxes[number].sources.recipe.simulation
        if number == 0:
            regions.append(boxes[0].sources.region(halo_id))
        else:
            regions.append(
                hash_order("universe", simulation.universe or "", simulation.id or "", halo_id) >> 1
            )
    for box in boxes:
        box.candidates = []
    for i, (number, _, c) in enumerate(together):
        boxes[number].candidates.append(replace(c, region=regions[group[i]]))
