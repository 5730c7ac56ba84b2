"""A region: the particles of one snapshot, read once and indexed once, from which halos are cut out.

Columns stay in float32 and in the file's own units, in the file's order; proper kpc and Msun are made for the
particles of a cut-out only, from a float64 difference to its centre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.cell_grid import CellGrid
from three_hundred_maps.simulation.contamination import (
    LARGEST_LOW_RESOLUTION_FRACTION,
    contamination_reason,
)
from three_hundred_maps.simulation.gas import (
    CLIPPED,
    LIMITS,
    NEIGHBOURS,
    POSITIVE,
    columns_of,
    gas_fields,
    joined,
    launched_winds,
)
from three_hundred_maps.simulation.particles import GAS_FIELDS, SPECIES, Cutout, Particles
from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.simulation.readers.source import SnapshotInfo, Source

_MOST_ZEROS = 0.01
"""Share of the rows of a column that may hold a zero which means nothing."""
_ROUNDING = 1e-3
"""Abundances are not farther below zero than this."""


class Region:
    """The particles of a snapshot and their index; make one with `Region.open`.

    Attributes
    ----------
    info
        What the snapshot is, with everything that was assumed about its gas.
    corrections
        How many values were mended, by what was done.
    """

    info: SnapshotInfo

    def __init__(self, source: Source, *, drop_winds: bool = True) -> None:
        self.path = source.path
        self._factors = dict(source.factors)
        self._drop_winds = drop_winds
        self._arepo = source.info.dialect == "arepo"
        self._origin = _origin(source)
        self._mass: dict[str, NDArray[np.float32] | float] = {}
        self._gas: dict[str, NDArray[np.float32]] = {}
        self._grids: dict[str, CellGrid] = {}
        self._massless: set[str] = set()
        self.corrections: dict[str, int] = {}
        said = dict(source.info.assumptions)
        for species in SPECIES:
            kinds = [kind for kind in source.species_types[species] if source.count(kind)]
            position = _positions(source, kinds, self._origin)
            try:
                self._grids[species] = CellGrid.build(position)
            except ValueError as error:
                raise InputError(f"{self.path}: {species}: {error}") from None
            self._mass[species] = self._read_mass(source, species, kinds)
            if species == "gas" and kinds:
                self._read_gas(source)
        self._star_winds = self._read_star_winds(source, said)
        self.info = replace(source.info, assumptions=said)
        self._box = self.info.box_kpc / self._factors["position"] if self._periodic() else 0.0

    @staticmethod
    def open(
        path: str | Path,
        *,
        length_unit: str | None = None,
        dialect: str | None = None,
        drop_winds: bool = True,
    ) -> Region:
        """Read a snapshot.

        Parameters
        ----------
        path
            A file, the prefix of a set, a folder with one set, or a pattern with ``*``.
        length_unit
            ``kpc/h``, ``Mpc/h``, ``kpc`` or ``Mpc``; by default what the file says, else kpc/h.
        dialect
            A value of `SnapshotInfo.dialect`; by default what the files tell.
        drop_winds
            Whether decoupled wind particles are marked, so that gas views leave them out.

        Raises
        ------
        InputError
            One line on what is wrong with the files.
        """
        return Region(open_source(path, length_unit=length_unit, dialect=dialect), drop_winds=drop_winds)

    @property
    def nbytes(self) -> int:
        """Bytes of the columns held (not of the index)."""
        masses = sum(m.nbytes for m in self._mass.values() if isinstance(m, np.ndarray))
        positions = sum(grid.position.nbytes for grid in self._grids.values())
        return positions + masses + sum(column.nbytes for column in self._gas.values())

    def bounds_kpc(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(3,) and (3,): the corners of the box around all particles, proper kpc."""
        grids = [grid for grid in self._grids.values() if len(grid.position)]
        if not grids:
            raise InputError(f"{self.path}: the snapshot has no particles")
        low = np.min([grid.low for grid in grids], axis=0)
        high = np.max([grid.high for grid in grids], axis=0)
        return (low + self._origin) * self._factors["position"], (high + self._origin) * self._factors[
            "position"
        ]

    def mean_density_msun_kpc3(self) -> float:
        """All mass over the volume of the box around all particles, proper Msun kpc^-3."""
        low, high = self.bounds_kpc()
        total = 0.0
        for species, grid in self._grids.items():
            stored = self._mass[species]
            each = (
                stored
                if isinstance(stored, float)
                else float(stored.sum(dtype=np.float64)) / max(len(stored), 1)
            )
            total += len(grid.position) * each
        return total * self._factors["mass"] / float(np.prod(high - low))

    @cached_property
    def extent_kpc(self) -> float:
        """Proper radius of the sphere about the middle of `bounds_kpc` that holds all particles."""
        low, high = self.bounds_kpc()
        scale = self._factors["position"]
        middle = 0.5 * (low + high) / scale - self._origin
        return max(grid.farthest(middle) for grid in self._grids.values()) * scale

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
            Where the sphere is wider than the periodic box.
        """
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
        particles = {species: self._cut(species, at, radius) for species in SPECIES}
        if self._star_winds is not None:
            stars = particles["stars"]
            winds = self._star_winds[stars.index]
            moved = launched_winds(stars.select(winds), len(self._grids["gas"].position), self._drop_winds)
            particles["stars"] = stars.select(~winds)
            particles["gas"] = joined(particles["gas"], moved)
        return Cutout(particles, float(radius_kpc), self.info.redshift, self.info.cosmology, self.info.kernel)

    def refusal(
        self,
        centre_kpc: ArrayLike,
        radius_kpc: float,
        cutout: Cutout | None = None,
        *,
        max_low_resolution_fraction: float = LARGEST_LOW_RESOLUTION_FRACTION,
    ) -> str | None:
        """Why a halo is to be left out, in words; None where nothing speaks against it.

        A cut-out must lie within the volume that has particles, and low-resolution particles may hold only a
        share of its mass. ``cutout`` is what `cutout` gave for the same sphere, else it is made.
        """
        reason = self._edge_reason(np.asarray(centre_kpc, np.float64), radius_kpc)
        if reason is None:
            cutout = cutout or self.cutout(centre_kpc, radius_kpc)
            reason = contamination_reason(cutout, max_low_resolution_fraction)
        return reason

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
        grid = self._grids[species]
        rows = grid.within(at, radius, self._box)
        if species in self._massless:
            rows = rows[np.asarray(self._mass[species])[rows] > 0]
        position = grid.relative(rows, at, self._box, self._factors["position"])
        stored = self._mass[species]
        if isinstance(stored, np.ndarray):
            # float64 first: 1e10 times a large unit would lose nothing here, but the habit is the rule.
            mass = (stored[rows].astype(np.float64) * self._factors["mass"]).astype(np.float32)
        else:
            mass = np.full(len(rows), stored * self._factors["mass"], np.float32)
        fields: Mapping[str, NDArray[np.generic]] = {}
        if species == "gas":
            if self._gas or len(rows):
                raw = {name: column[rows] for name, column in self._gas.items()}
                for name, column in raw.items():
                    if name in self._factors:
                        raw[name] = (column.astype(np.float64) * self._factors[name]).astype(np.float32)
                fields = gas_fields(
                    raw,
                    mass,
                    position,
                    arepo=self._arepo,
                    kernel=self.info.kernel,
                    drop_winds=self._drop_winds,
                )
            else:
                fields = {name: np.zeros(0, np.float32) for name in GAS_FIELDS}
        return Particles(position, mass, rows.astype(np.int64), fields)

    def _read_mass(self, source: Source, species: str, kinds: list[int]) -> NDArray[np.float32] | float:
        """Masses in the file's unit: one number where all particles of the species weigh the same."""
        tabled = [not source.has(kind, "mass") for kind in kinds]
        for kind, without in zip(kinds, tabled, strict=True):
            value = source.mass_table[kind]
            if without and not 0.0 < value < math.inf:
                raise InputError(
                    f"{self.path}: type {kind} has particles of mass {value!r} in the mass table"
                )
        if len(kinds) == 1 and tabled[0]:
            return float(source.mass_table[kinds[0]])
        n = sum(source.count(kind) for kind in kinds)
        masses = np.empty(n, np.float32)
        start = 0
        for kind, without in zip(kinds, tabled, strict=True):
            part = masses[start : start + source.count(kind)]
            if without:
                part[:] = source.mass_table[kind]
            else:
                source.read(kind, "mass", part, self._origin)
                if self._check(part, "mass", species):
                    self._massless.add(species)
            start += len(part)
        return masses

    def _read_gas(self, source: Source) -> None:
        n = source.count(0)
        present = columns_of(source.has)
        if not present & {"internal_energy", "temperature"}:
            raise InputError(
                f"{self.path}: the gas has neither an internal energy nor a temperature "
                "(truncated, or not a snapshot of a hydrodynamical run)"
            )
        for name in sorted(present):
            column = np.empty(n, np.float32)
            source.read(0, name, column, self._origin)
            self._gas[name] = column
        zeros = [name for name in self._gas if self._check(self._gas[name], name, "gas")]
        if zeros:
            self._fill_gas(n, source.info.kernel)

    def _fill_gas(self, n: int, kernel: str) -> None:
        """Give gas of no density or smoothing length what the other implies; leave it out without either."""
        stored = self._mass["gas"]
        mass = np.full(n, stored, np.float32) if isinstance(stored, float) else stored
        density = self._gas.get("density")
        smoothing = self._gas.get("smoothing_length", np.zeros(n, np.float32))
        if density is None:
            density = np.zeros(n, np.float32)
        # Both in the file's units; the kernel's radius may be in another one than the positions.
        unit = self._factors["smoothing_length"] / self._factors["position"]
        sphere = NEIGHBOURS[kernel] / (4.0 / 3.0 * math.pi)
        for row in np.flatnonzero((density <= 0) | (smoothing <= 0)).tolist():
            if smoothing[row] > 0 and "density" in self._gas:
                density[row] = sphere * mass[row] / (unit * smoothing[row]) ** 3
            elif density[row] > 0 and "smoothing_length" in self._gas:
                smoothing[row] = np.cbrt(sphere * mass[row] / density[row]) / unit
            elif "density" in self._gas and density[row] <= 0:
                mass[row] = 0.0
                self._massless.add("gas")
        self._mass["gas"] = mass

    def _check(self, column: NDArray[np.float32], name: str, species: str) -> int:
        """Refuse values that no snapshot has, mend those that codes are known to write; the number of zeros.

        Zeros where they mean nothing (mass, density, smoothing length) may be in 1 % of the rows, and
        abundances that rounding took below zero are set to zero.
        """
        if not len(column):
            return 0
        least, most = (limit / self._factors.get(name, 1.0) for limit in LIMITS[name])
        low, high = float(column.min()), float(column.max())
        if name in CLIPPED and -_ROUNDING <= low < 0.0:
            below = (column < 0) & (column >= -_ROUNDING)
            column[below] = 0.0
            self._note(f"{species}: {name.replace('_', ' ')} below 0, set to 0", int(below.sum()))
            low = float(column.min())
        zeros = int(np.count_nonzero(column == 0)) if name in POSITIVE and low == 0.0 else 0
        within = least <= low and high <= most  # false for NaN
        if within and zeros <= _MOST_ZEROS * len(column):
            if zeros:
                done = "left out" if name == "mass" else "derived from the other columns"
                self._note(f"{species}: {name.replace('_', ' ')} of 0, {done}", zeros)
            return zeros
        bad = ~np.isfinite(column) | (column > most)
        bad |= (column <= least) if name in POSITIVE else (column < least)
        row = int(np.argmax(bad))
        raise InputError(
            f"{self.path}: {species}: {name.replace('_', ' ')} of row {row} is {column[row]:.6g} "
            f"({int(bad.sum())} of {len(column)} rows are not usable): damaged, or in other units"
        )

    def _note(self, what: str, number: int) -> None:
        self.corrections[what] = self.corrections.get(what, 0) + number

    def _read_star_winds(self, source: Source, said: dict[str, str]) -> NDArray[np.bool_] | None:
        """Which of type 4 are winds: AREPO keeps launched gas there, with a formation time of 0 or less."""
        if not (self._arepo and source.has(4, "formation_time")):
            return None
        formed = np.empty(source.count(4), np.float32)
        source.read(4, "formation_time", formed, self._origin)
        winds = formed <= 0
        if not winds.any():
            return None
        said["winds"] = f"{int(winds.sum())} wind particles among the stars are taken as gas in winds"
        return winds

    def _periodic(self) -> bool:
        """Whether the particles fill the box that the header gives, in every direction."""
        if not self.info.box_kpc > 0.0:
            return False
        low, high = self.bounds_kpc()
        return bool(np.all(high - low > 0.9 * self.info.box_kpc))


def _origin(source: Source) -> NDArray[np.float64]:
    """What is taken off double-precision positions, so that float32 keeps what matters of them."""
    for kinds in source.species_types.values():
        for kind in kinds:
            first = source.first_position(kind)
            if first is not None:
                return np.asarray(np.round(np.where(np.isfinite(first), first, 0.0)), np.float64)
    return np.zeros(3)


def _positions(source: Source, kinds: list[int], origin: NDArray[np.float64]) -> NDArray[np.float32]:
    position = np.empty((sum(source.count(kind) for kind in kinds), 3), np.float32)
    start = 0
    for kind in kinds:
        stop = start + source.count(kind)
        source.read(kind, "position", position[start:stop], origin)
        start = stop
    return position
