"""A region: the particles of one snapshot, read once and indexed once, from which halos are cut out.

Columns stay in float32 and in the file's own units, in the file's order; proper kpc and Msun are made for the
particles of a cut-out only, from a float64 difference to its centre.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.halos import GroupMembers
from three_hundred_maps.simulation.gas import gas_fields, launched_winds
from three_hundred_maps.simulation.particles import GAS_FIELDS, SPECIES, Cutout, Particles
from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.simulation.readers.source import SnapshotInfo, Source
from three_hundred_maps.simulation.stored import RangedSnapshot, Stored, WholeSnapshot, not_here
from three_hundred_maps.simulation.tables import join

WHOLE_PARTICLES = 50_000_000
"""Up to so many a snapshot is read into memory as a whole (1.5 GB); a larger one is read by ranges."""


class Region:
    """The particles of a snapshot and their index; make one with `Region.open`.

    Attributes
    ----------
    info
        What the snapshot is, with everything that was assumed about its gas.
    """

    info: SnapshotInfo

    def __init__(
        self,
        source: Source,
        *,
        drop_winds: bool = True,
        whole: bool | None = None,
        index_folder: Path | None = None,
    ) -> None:
        self.path = source.path
        self._factors = dict(source.factors)
        self._drop_winds = drop_winds
        self._arepo = source.info.dialect == "arepo"
        self._gas_count = source.count(0)
        self._optional = source.optional
        self._origin = _origin(source)
        complete = is_complete(source)
        whole = is_held_whole(source) if whole is None else whole
        self._stored: Stored
        if whole:
            self._stored = WholeSnapshot(source, self._origin)
        else:
            self._stored = RangedSnapshot(source, self._origin, index_folder)
        said = dict(source.info.assumptions)
        if self._arepo and source.has(4, "formation_time"):
            said["winds"] = (
                "wind particles among the stars (formation time 0 or less) are taken as gas in winds"
            )
        self.info = replace(source.info, assumptions=said)
        # Where files are missing nothing can be seen of the box: the header is believed.
        periodic = self._periodic() if complete else self.info.box_kpc > 0.0
        self._box = self.info.box_kpc / self._factors["position"] if periodic else 0.0

    @staticmethod
    def open(
        path: str | Path,
        *,
        drop_winds: bool = True,
        whole: bool | None = None,
        index_folder: Path | None = None,
        **source: Any,
    ) -> Region:
        """Read a snapshot, or make it ready to be read around halos.

        Parameters
        ----------
        path
            A file, the prefix of a set, a folder with one set, or a pattern with ``*``.
        drop_winds
            Whether decoupled wind particles are marked, so that gas views leave them out.
        whole
            Whether to read all of it into memory; else each cut-out reads its own particles. By default up to
            `WHOLE_PARTICLES`, where no file is missing. The cut-outs are the same.
        index_folder
            Where the index of a snapshot that is not read whole is kept, for the next time.
        source
            Options of `open_source`: ``length_unit``, ``dialect``, ``optional``, ``offsets``.

        Raises
        ------
        InputError
            One line on what is wrong with the files.
        """
        return Region(
            open_source(path, **source), drop_winds=drop_winds, whole=whole, index_folder=index_folder
        )

    @property
    def corrections(self) -> dict[str, int]:
        """How many values were mended, by what was done."""
        return self._stored.checks.corrections

    def bounds_kpc(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(3,) and (3,): the corners of the box around all particles, proper kpc."""
        bounds = self._stored.bounds()
        if bounds is None:
            raise InputError(f"{self.path}: the snapshot has no particles")
        low, high = ((corner + self._origin) * self._factors["position"] for corner in bounds)
        return low, high

    def mean_density_msun_kpc3(self) -> float:
        """All mass over the volume of the box around all particles, proper Msun kpc^-3."""
        low, high = self.bounds_kpc()
        return self._stored.total_mass() * self._factors["mass"] / float(np.prod(high - low))

    @cached_property
    def extent_kpc(self) -> float:
        """Proper radius of the sphere about the middle of `bounds_kpc` that holds all particles."""
        low, high = self.bounds_kpc()
        scale = self._factors["position"]
        middle = 0.5 * (low + high) / scale - self._origin
        return self._stored.farthest(middle) * scale

    @property
    def periodic(self) -> bool:
        """Whether particles fill the periodic box, so that cut-outs wrap around its faces."""
        return self._box > 0.0

    def cutout(self, centre_kpc: ArrayLike, radius_kpc: float) -> Cutout:
        """All particles within a sphere.

        Parameters
        ----------
        centre_kpc
            (3,) proper kpc, in the frame of the snapshot (as `Halos.centre_kpc`).
        radius_kpc
            Proper kpc.

        Returns
        -------
        Cutout
            Particles in rising order of their row in the files.

        Raises
        ------
        InputError
            Where the sphere is wider than the periodic box, or files are missing that hold particles in it.
        """
        at, radius = self._sphere(centre_kpc, radius_kpc)
        particles = {species: self._cut(species, at, radius) for species in SPECIES}
        if self._arepo and "formation_time" in particles["stars"].fields:
            self._move_winds(particles)
        return Cutout(particles, float(radius_kpc), self.info.redshift, self.info.cosmology, self.info.kernel)

    def expect(self, members: GroupMembers) -> None:
        """Note which rows the groups of a catalogue have: what of them is in missing files is `absent`."""
        scale = self._factors["position"]
        if isinstance(self._stored, RangedSnapshot):
            centre = members.centre_kpc / scale - self._origin
            self._stored.expect(centre, members.radius_kpc / scale, members)

    def absent(self, centre_kpc: ArrayLike, radius_kpc: float) -> str | None:
        """Which missing files hold particles of a sphere, in words; None where all of it is here."""
        if isinstance(self._stored, WholeSnapshot):
            return None
        missing = self._stored.absent(*self._sphere(centre_kpc, radius_kpc), self._box)
        return not_here(missing) if missing else None

    def _sphere(self, centre_kpc: ArrayLike, radius_kpc: float) -> tuple[NDArray[np.float64], float]:
        """A sphere in the file's unit of length, the origin taken off."""
        centre = np.asarray(centre_kpc, np.float64)
        if centre.shape != (3,) or not np.isfinite(centre).all() or not 0.0 < radius_kpc < math.inf:
            raise InputError(
                f"cut-out: centre {centre.tolist()} and radius {radius_kpc!r} must be finite numbers"
            )
        scale = self._factors["position"]
        at = centre / scale - self._origin
        radius = radius_kpc / scale
        if self._box and radius >= 0.5 * self._box:
            raise InputError(
                f"{self.path}: a cut-out of radius {radius_kpc:.0f} kpc does not fit into the box of "
                f"{self.info.box_kpc:.0f} kpc"
            )
        if self._box:
            at -= self._box * np.floor((at + self._origin) / self._box)
        return at, radius

    def _move_winds(self, particles: dict[str, Particles]) -> None:
        """Take launched winds from the stars to the gas: AREPO keeps them there, formed at 0 or less."""
        stars = particles["stars"]
        winds = np.asarray(stars.fields["formation_time"]) <= 0
        if "formation_time" not in self._optional:
            stars = replace(stars, fields={k: v for k, v in stars.fields.items() if k != "formation_time"})
        if winds.any():
            moved = launched_winds(stars.select(winds), self._gas_count, self._drop_winds)
            particles["gas"] = join([particles["gas"], moved])
        particles["stars"] = stars.select(~winds)

    def refusal(
        self,
        centre_kpc: ArrayLike,
        radius_kpc: float,
        cutout: Cutout | None = None,
        *,
        max_low_resolution_fraction: float = 1e-3,
    ) -> str | None:
        """Why a halo is to be left out, in words; None where nothing speaks against it.

        A cut-out must lie within the volume that has particles, and low-resolution particles may hold only a
        share of its mass. ``cutout`` is what `cutout` gave for the same sphere, else it is made.
        """
        reason = self._edge_reason(np.asarray(centre_kpc, np.float64), radius_kpc)
        reason = reason or self.absent(centre_kpc, radius_kpc)
        if reason is not None:
            return reason
        cutout = cutout or self.cutout(centre_kpc, radius_kpc)
        if not any(len(particles) for particles in cutout.particles.values()):
            return "there are no particles around this centre"
        low, limit = cutout.low_resolution_fraction, max_low_resolution_fraction
        return (
            f"low-resolution particles hold {low:.2g} of the cut-out's mass, over {limit:g}"
            if low > limit
            else None
        )

    def _edge_reason(self, centre_kpc: NDArray[np.float64], radius_kpc: float) -> str | None:
        """Why a sphere is refused for leaving the region; None where it lies within.

        A periodic box has no edge, but the sphere must fit into it. Elsewhere the sphere must lie inside the
        box around all particles and inside the smallest sphere about that box's centre that holds them, so
        that both cubes and spheres cut out of larger volumes have the edge they look to have.
        """
        if self.periodic:
            if radius_kpc >= 0.5 * self.info.box_kpc:
                return f"a cut-out of radius {radius_kpc:.0f} kpc does not fit into the box"
            return None
        low, high = self.bounds_kpc()
        beyond = float(np.max(np.maximum(low - (centre_kpc - radius_kpc), centre_kpc + radius_kpc - high)))
        middle = 0.5 * (low + high)
        beyond = max(beyond, float(np.linalg.norm(centre_kpc - middle)) + radius_kpc - self.extent_kpc)
        return f"the cut-out leaves the region by {beyond:.0f} kpc" if beyond > 0.0 else None

    def _cut(self, species: str, at: NDArray[np.float64], radius: float) -> Particles:
        near = self._stored.near(species, at, radius, self._box)
        n = len(near.rows)
        if isinstance(near.mass, np.ndarray):
            # float64 first: 1e10 times a large unit would lose nothing here, but the habit is the rule.
            mass = (near.mass.astype(np.float64) * self._factors["mass"]).astype(np.float32)
        else:
            mass = np.full(n, near.mass * self._factors["mass"], np.float32)
        fields: dict[str, NDArray[Any]] = dict(near.columns)
        for name, column in fields.items():
            if name in self._factors:
                fields[name] = (column.astype(np.float64) * self._factors[name]).astype(np.float32)
        if species == "gas" and not n:
            fields = {name: np.zeros(0, np.float32) for name in GAS_FIELDS}
            fields |= {name: np.zeros((0, 3), np.float32) for name in self._optional if name == "velocity"}
        elif species == "gas":
            velocity = {"velocity": fields.pop("velocity")} if "velocity" in fields else {}
            fields = velocity | gas_fields(
                fields,
                mass,
                near.position_kpc,
                arepo=self._arepo,
                kernel=self.info.kernel,
                drop_winds=self._drop_winds,
            )
        return Particles(near.position_kpc, mass, near.rows, fields)

    def _periodic(self) -> bool:
        """Whether the particles fill the box that the header gives, in every direction."""
        box = self.info.box_kpc
        if not box > 0.0:
            return False
        low, high = self.bounds_kpc()
        span = high - low
        # Codes leave some positions unwrapped; a box too small, by h or more, would lay halos over others.
        if span.max() > 1.25 * box:
            raise InputError(
                f"{self.path}: particles span {span.max():.0f} kpc, the header's BoxSize is {box:.0f} kpc: "
                "correct BoxSize; it is in the units of the positions"
            )
        return bool(np.all(span > 0.9 * box))


def is_complete(source: Source) -> bool:
    """Whether every file of a snapshot is here."""
    kinds = [kind for of_species in source.species_types.values() for kind in of_species]
    return all(span.present for kind in kinds for span in source.spans(kind))


def is_held_whole(source: Source) -> bool:
    """Whether a snapshot is read into memory as a whole: complete, and not too large."""
    return is_complete(source) and sum(source.info.counts.values()) <= WHOLE_PARTICLES


def _origin(source: Source) -> NDArray[np.float64]:
    """What is taken off double-precision positions, so that float32 keeps what matters of them."""
    for kinds in source.species_types.values():
        for kind in kinds:
            first = source.first_position(kind)
            if first is not None:
                return np.asarray(np.round(np.where(np.isfinite(first), first, 0.0)), np.float64)
    return np.zeros(3)
