"""Where the particles and halos of a recipe come from: files on disk, or the synthetic simulation."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.builder.recipe import Recipe
from three_hundred_maps.builder.selection import Place, overlapping
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import full_path
from three_hundred_maps.mapping import MapContext, emissivity_source
from three_hundred_maps.mapping.views import get_view, needed_fields
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.catalogues.csv_catalogue import CsvTable
from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.simulation.readers.snapshot_files import Paths, first_path
from three_hundred_maps.simulation.readers.source import LENGTH_UNITS, SnapshotInfo, Source, unit_ratio
from three_hundred_maps.store.splits import hash_order

BOX = 0
"""The source of a recipe with ``region_by: halo``: one snapshot that holds all halos."""


@dataclass(frozen=True)
class Sources:
    """The files of a recipe, by source: a declared region's number, or `BOX`.

    Of a recipe with ``simulation.sources``, `members` and `describe` alone have a meaning.

    Parameters
    ----------
    recipe
        Validated.
    base
        Folder that the recipe's paths are relative to.
    """

    recipe: Recipe
    base: Path

    def members(self) -> list[Sources]:
        """Those of each simulation of the recipe."""
        return [replace(self, recipe=recipe) for recipe in self.recipe.members()]

    @property
    def synthetic(self) -> bool:
        """Whether the particles are made on the spot."""
        return self.recipe.simulation.kind == "synthetic"

    def numbers(self) -> tuple[int, ...]:
        """Every source, in order."""
        return self.recipe.simulation.region_list() or (BOX,)

    def places(self) -> list[Place]:
        """Every snapshot of every source, in order."""
        return [(source, number) for source in self.numbers() for number in self.snapshot_numbers()]

    def snapshot_numbers(self) -> tuple[int, ...]:
        """The numbers of the snapshots: the recipe's, else that which the file's name ends in, else 0."""
        simulation = self.recipe.simulation
        if self.synthetic:
            return tuple(simulation.epochs())
        if simulation.number is not None:
            return simulation.numbers()
        given = simulation.snapshot or ""
        name = re.sub(r"\{[^}]*\}", "", Path(given if isinstance(given, str) else given[0]).name)
        found = re.search(r"_(\d+)(\.\d+)?(\.(hdf5|h5|gad\d?|dat))?$", name)
        return (int(found[1]) if found else 0,)

    def snapshot_path(self, place: Place) -> Paths:
        """The files of a snapshot."""
        return self._paths(self.recipe.simulation.snapshot or "", place, "simulation.snapshot")

    def catalogue_path(self, place: Place) -> Paths:
        """The catalogue of a snapshot."""
        catalogue = self.recipe.simulation.catalogue
        assert catalogue is not None  # the recipe's model insists on it
        return self._paths(catalogue.path, place, "simulation.catalogue.path")

    def _paths(self, given: str | tuple[str, ...], place: Place, key: str) -> Paths:
        """The path that a pattern stands for, or the files that several stand for."""
        if isinstance(given, str):
            return self._path(given, place, key)
        return [self._path(pattern, place, key) for pattern in given]

    def _path(self, pattern: str, place: Place, key: str) -> Path:
        source, number = place
        # TNG-Cluster: what is around zoom 3 lies in file 3 + 352
        pattern = re.sub(r"\{region\+(\d{1,6})\}", lambda match: str(source + int(match[1])), pattern)
        try:
            filled = pattern.format(
                region=source, snapshot=0 if self.recipe.simulation.number is None else number
            )
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise InputError(
                f"{key}: {pattern!r} may hold {{region:04d}}, {{region+352}} and {{snapshot:03d}}, "
                f"nothing else ({error})"
            ) from None
        return self.base / full_path(filled)

    def region(self, number: int) -> int:
        """The region that a declared number, or a halo of a box, stands for in the store.

        The number itself; with ``simulation.universe`` one made from both, so that unrelated simulations
        share no region, and those of the same initial conditions share them all.
        """
        universe = self.recipe.simulation.universe
        return number if universe is None else hash_order("universe", universe, number) >> 1

    def source_of(self, region: int) -> int:
        """The source that holds the halos of a region of the store."""
        declared = self.recipe.simulation.region_list()
        return {self.region(number): number for number in declared}[region] if declared else BOX

    def open(self, place: Place) -> Source:
        """The snapshot, opened for reading."""
        simulation = self.recipe.simulation
        offsets = None
        if simulation.offsets is not None:
            offsets = self._path(simulation.offsets, place, "simulation.offsets")
        return open_source(
            self.snapshot_path(place),
            length_unit=simulation.length_unit,
            dialect=simulation.dialect,
            optional=needed_fields(get_view(name) for name in self.recipe.maps.views),
            offsets=offsets,
        )

    def halos(self, place: Place, info: SnapshotInfo | None = None) -> tuple[Halos, float, float]:
        """The catalogue of a snapshot, h, and the side of the box in proper kpc (0: none)."""
        simulation = self.recipe.simulation
        if self.synthetic:
            from three_hundred_maps.simulation.synthetic.setup import COSMOLOGY
            from three_hundred_maps.simulation.synthetic.universe import draw_halos

            region, number = place
            redshift = simulation.epochs()[number]
            return draw_halos(simulation.seed, region, simulation.flavour, redshift), COSMOLOGY.h, 0.0
        info = info or self.open(place).info
        path = self.catalogue_path(place)
        assert simulation.catalogue is not None
        halos = read_catalogue(
            simulation.catalogue.kind,
            path,
            cosmology=info.cosmology,
            redshift=info.redshift,
            length_unit=simulation.length_unit,
        )
        _require_inside(halos, info, first_path(path), first_path(self.snapshot_path(place)))
        if simulation.offsets is not None and halos.members is None and "files" in info.assumptions:
            missing = info.assumptions["files"].partition(":")[0]
            raise InputError(
                f"{first_path(path)}: {missing}, and this catalogue does not say which halos need them: get "
                "them, or give the table of SUBFIND with its GroupLenType"
            )
        return halos, info.cosmology.h, info.box_kpc

    def context(self) -> MapContext:
        """What the recipe says of gas, its emissivity and starlight."""
        simulation, own = self.recipe.simulation, self.recipe.maps.star_light
        table = None if own is None else (self.base / full_path(own.path), own.sha256)
        return MapContext(simulation.gas, emissivity_source(simulation.emissivity), star_light=table)

    def region_values(self, region: int) -> dict[str, float]:
        """Of `schema.OPTIONAL_VARIABLES`, what the recipe's simulation says of a region."""
        simulation = self.recipe.simulation
        if not self.synthetic or simulation.flavour != "hypercube":
            return {}
        from three_hundred_maps.simulation.synthetic.feedback import feedback_of

        strengths = feedback_of(simulation.flavour, simulation.seed, region).values()
        return {f"feedback_{name}": value for name, value in strengths.items()}

    def describe(self) -> tuple[dict[str, Any], bool]:
        """What a store says of its simulation, and whether it is synthetic.

        Of several: what it says of the first, and under ``sources`` of each by its id.
        """
        simulation = self.recipe.simulation
        common: dict[str, Any]
        if simulation.sources:
            parts = {member.recipe.simulation_id: member.describe() for member in self.members()}
            if len({synthetic for _, synthetic in parts.values()}) > 1:
                raise InputError(
                    "simulation.sources: synthetic simulations and real ones make no store together"
                )
            common, synthetic = next(iter(parts.values()))
            return {**common, "sources": {name: text for name, (text, _) in parts.items()}}, synthetic
        numbers = self.snapshot_numbers()
        common = {"snapshot": numbers[0], "emissivity": simulation.emissivity}
        if simulation.universe is not None:
            common["universe"] = simulation.universe
        if len(numbers) > 1:
            common["snapshots"] = list(numbers)
        if self.synthetic:
            from three_hundred_maps.simulation.synthetic import setup

            cosmology, redshift = setup.COSMOLOGY, simulation.epochs()[numbers[0]]
            resolution = setup.check_resolution(simulation.resolution).written()
            text = {
                "code": f"three_hundred_maps synthetic, flavour {simulation.flavour}",
                "generator_version": setup.GENERATOR_VERSION,
                "dark_matter_particle_msun": resolution.dark_matter,
                "gas_particle_msun": resolution.gas,
            }
            synthetic = True
        else:
            first = self.places()[0]
            info = self.open(first).info
            cosmology, redshift, synthetic = info.cosmology, info.redshift, info.synthetic
            text = {
                "code": info.code,
                "file_format": info.dialect,
                "kernel": info.kernel,
                "assumptions": dict(info.assumptions),
                "origins": self.halos(first, info)[0].origins(),
            }
        background = {
            "h": cosmology.h,
            "omega_m": cosmology.omega_m,
            "omega_lambda": cosmology.omega_lambda,
            "omega_b": cosmology.omega_b if np.isfinite(cosmology.omega_b) else None,
        }
        return {**common, **text, "redshift": redshift, "cosmology": background}, synthetic

    def region_groups(self) -> list[tuple[int, int]]:
        """Pairs of declared regions that overlap, from ``region_centres``; none where it is not given."""
        path = self.recipe.simulation.region_centres
        if path is None:
            return []
        regions, centres, radii, box = read_region_centres(self.base / full_path(path))
        missing = sorted(set(self.numbers()) - set(regions))
        if missing:
            raise InputError(f"{path}: no centre for region {missing[0]} (of {len(missing)} missing)")
        declared = set(self.numbers())
        return [
            (self.region(regions[i]), self.region(regions[j]))
            for i, j in overlapping(centres, radii, box)
            if regions[i] in declared and regions[j] in declared
        ]


def _require_inside(halos: Halos, info: SnapshotInfo, path: Path, snapshot: Path) -> None:
    """Refuse a catalogue none of whose halos lies in the snapshot's box."""
    if info.box_kpc <= 0 or not len(halos):
        return

    def inside(box_kpc: float) -> NDArray[np.bool_]:
        return np.all(np.abs(halos.centre_kpc / box_kpc - 0.5) <= 0.501, axis=1)

    if inside(info.box_kpc).any():
        return
    message = f"{path}: no halo of this catalogue lies inside the box of {snapshot} ({info.box_kpc:.0f} kpc)"
    h, now = info.cosmology.h, info.length_unit
    boxes = {unit: info.box_kpc * unit_ratio(unit, now, h) for unit in LENGTH_UNITS} if now else {}
    holding = [unit for unit in sorted(boxes, key=boxes.__getitem__) if inside(boxes[unit]).all()]
    if holding:
        raise InputError(
            f"{message}: its lengths are read as {now}; set simulation.length_unit if they are in "
            f"{' or '.join(holding)}"
        )
    raise InputError(f"{message}: it is of another simulation, or its length unit is another")


def read_region_centres(path: Path) -> tuple[list[int], np.ndarray, np.ndarray, float]:
    """Read the centres of zoom regions in their parent box.

    A CSV with the columns ``region,x,y,z,radius`` (one length unit throughout, comoving) and, where the
    parent box is periodic, ``box`` with its side.

    Returns
    -------
    Region numbers, centres (n, 3), radii (n,), and the box's side (0 where it is not given).
    """
    table = CsvTable.read(path)
    if not {"region", "x", "y", "z", "radius"} <= table.columns.keys():
        raise InputError(f"{path}: a CSV with the columns region,x,y,z,radius is wanted")
    regions = table.numbers("region", int).tolist()
    centres = np.stack([table.numbers(axis) for axis in "xyz"], 1)
    radii = table.numbers("radius")
    if len(set(regions)) != len(regions) or (radii <= 0).any():
        raise InputError(f"{path}: regions must be there once each, with positive radii")
    boxes = np.unique(table.numbers("box")) if table.columns.get("box") else np.zeros(1)
    if len(boxes) > 1 or boxes[0] < 0:
        raise InputError(f"{path}: box must be the same in every line, and no less than 0")
    return regions, centres, radii, float(boxes[0])
