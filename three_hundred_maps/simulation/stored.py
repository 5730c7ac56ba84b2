"""The stored columns of a snapshot around a point: all held in memory, or read from the files as needed.

Columns stay in float32 and in the file's own units. Both ways hand on the same particles in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.block_index import (
    BlockIndex,
    Ranges,
    kept,
    merged,
    ranges_of_rows,
    rows_of,
    scan,
)
from three_hundred_maps.simulation.catalogues.halos import GroupMembers
from three_hundred_maps.simulation.cell_grid import CellGrid
from three_hundred_maps.simulation.column_checks import ColumnChecks
from three_hundred_maps.simulation.gas import LIMITS, columns_of
from three_hundred_maps.simulation.particles import OPTIONAL_FIELDS, SPECIES
from three_hundred_maps.simulation.readers.source import Source
from three_hundred_maps.simulation.tables import join, take

_GROUP_EXTENT = 2.0
"""In R200c: how far the particles of a group are taken to reach whose file is not here."""
Mass = NDArray[np.float32] | float
"""Of each particle, or one number where all weigh the same."""
Corners = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Near:
    """Particles of one species within a sphere.

    Parameters
    ----------
    rows
        (n,) rising rows within the species in the files.
    position_kpc
        (n, 3) float32, proper kpc from the centre.
    mass, columns
        In the file's units.
    """

    rows: NDArray[np.int64]
    position_kpc: NDArray[np.float32]
    mass: Mass
    columns: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def require_optional(source: Source) -> None:
    """Refuse a snapshot without a column that a view is made of; InputError says which."""
    for name in source.optional:
        for species in OPTIONAL_FIELDS[name]:
            kinds = [kind for kind in source.species_types[species] if source.count(kind)]
            if not all(source.has(kind, name) for kind in kinds):
                raise InputError(
                    f"{source.path}: {species.replace('_', ' ')} without {name.replace('_', ' ')}, "
                    "which a view is made of"
                )


class Columns:
    """What is read of every species of a snapshot.

    Raises
    ------
    InputError
        Where particles have no mass, gas no temperature, or a column is not there that a view asks for.
    """

    def __init__(self, source: Source, origin: NDArray[np.float64]) -> None:
        require_optional(source)
        self.source, self._origin = source, origin
        self.checks = ColumnChecks(source.path, source.factors)
        self.kinds = {s: [k for k in source.species_types[s] if source.count(k)] for s in SPECIES}
        self.first = {  # row of each type within its species, and the number of all
            species: np.concatenate([[0], np.cumsum([source.count(k) for k in kinds])]).astype(np.int64)
            for species, kinds in self.kinds.items()
        }
        self.names = {species: self._names(species) for species in SPECIES}

    def _names(self, species: str) -> list[str]:
        """The columns of a species beside position and mass."""
        source, kinds = self.source, self.kinds[species]
        for kind in kinds:
            value = float(source.mass_table[kind])
            if not source.has(kind, "mass") and not 0.0 < value < math.inf:
                raise InputError(
                    f"{source.path}: type {kind} has particles of mass {value!r} in the mass table"
                )
        if not kinds:
            return []
        names: set[str] = set()
        if species == "gas":
            names = columns_of(source.has)
        if species == "stars" and source.info.dialect == "arepo" and source.has(4, "formation_time"):
            names.add("formation_time")  # tells winds
        names |= {name for name in source.optional if species in OPTIONAL_FIELDS[name]}
        return sorted(names)

    def count(self, species: str) -> int:
        """Particles of a species."""
        return int(self.first[species][-1])

    def read(self, species: str, name: str, ranges: Sequence[Ranges] | None = None) -> NDArray[np.float32]:
        """(n,) or (n, 3) a column: all rows, or the ranges given by type."""
        sizes = self._sizes(species, ranges)
        width = (3,) if name in ("position", "velocity") else ()
        out = np.empty((sum(sizes), *width), np.float32)
        start = 0
        for i, kind in enumerate(self.kinds[species]):
            part = out[start : start + sizes[i]]
            start += sizes[i]
            if name == "mass" and not self.source.has(kind, name):
                part[:] = self.source.mass_table[kind]
                continue
            self.source.read(kind, name, part, self._origin, None if ranges is None else ranges[i])
            if name == "mass":
                self.checks.check(part, name, species)
        return out

    def read_mass(self, species: str, ranges: Sequence[Ranges] | None = None) -> Mass:
        """Masses: one number where all particles of the species weigh the same."""
        kinds, source = self.kinds[species], self.source
        if len(kinds) == 1 and not source.has(kinds[0], "mass"):
            return float(source.mass_table[kinds[0]])
        return self.read(species, "mass", ranges)

    def read_others(
        self, species: str, mass: Mass, ranges: Sequence[Ranges] | None = None
    ) -> tuple[Mass, dict[str, NDArray[np.float32]]]:
        """The columns of `names`, checked, and the masses: 0 where a particle is not usable."""
        columns = {name: self.read(species, name, ranges) for name in self.names[species]}
        for name, column in columns.items():
            if name in LIMITS:
                self.checks.check(column, name, species)
            elif not np.isfinite(column).all():
                raise InputError(f"{self.source.path}: {species}: {name} holds numbers that are not finite")
        if species == "gas":
            mass = self.checks.fill_gas(mass, columns, self.source.info.kernel)
        return mass, columns

    def _sizes(self, species: str, ranges: Sequence[Ranges] | None) -> list[int]:
        if ranges is None:
            return [self.source.count(kind) for kind in self.kinds[species]]
        return [int((part[:, 1] - part[:, 0]).sum()) for part in ranges]


class WholeSnapshot:
    """A snapshot read once into memory and indexed once."""

    def __init__(self, source: Source, origin: NDArray[np.float64]) -> None:
        reader = Columns(source, origin)
        self.checks = reader.checks
        self._scale = source.factors["position"]
        self._grids: dict[str, CellGrid] = {}
        self._mass: dict[str, Mass] = {}
        self._columns: dict[str, dict[str, NDArray[np.float32]]] = {}
        for species in SPECIES:
            self._grids[species] = CellGrid.build(
                reader.read(species, "position"), f"{source.path}: {species}"
            )
            mass = reader.read_mass(species)
            self._mass[species], self._columns[species] = reader.read_others(species, mass)
        self._massless = {s for s, m in self._mass.items() if isinstance(m, np.ndarray) and (m <= 0).any()}

    def near(self, species: str, at: NDArray[np.float64], radius: float, box: float) -> Near:
        """The particles within ``radius`` of ``at``."""
        grid, stored = self._grids[species], self._mass[species]
        rows = grid.within(at, radius, box)
        if species in self._massless and isinstance(stored, np.ndarray):
            rows = rows[stored[rows] > 0]
        return Near(
            rows.astype(np.int64),
            grid.relative(rows, at, box, self._scale),
            take(stored, rows),
            take(self._columns[species], rows),
        )

    def bounds(self) -> Corners | None:
        """(3,) and (3,) corners of the box around all particles; None without particles."""
        return _around([(grid.low, grid.high) for grid in self._grids.values() if len(grid.position)])

    def farthest(self, middle: NDArray[np.float64]) -> float:
        """The largest distance of a particle from a point."""
        return max(grid.farthest(middle) for grid in self._grids.values())

    def total_mass(self) -> float:
        """Of all particles, in the file's unit."""
        return sum(_sum(self._mass[species], len(grid.position)) for species, grid in self._grids.items())


class RangedSnapshot:
    """A snapshot of which only what is asked for is read, through an index of where particles lie.

    The index is what the files say of their cells (SWIFT), else the positions are scanned once and the index
    is kept in ``folder``.
    """

    def __init__(self, source: Source, origin: NDArray[np.float64], folder: Path | None) -> None:
        self._reader = Columns(source, origin)
        self.checks = self._reader.checks
        self._source, self._origin, self._scale = source, origin, source.factors["position"]
        self._index: dict[int, BlockIndex] = {}
        for species, kinds in self._reader.kinds.items():
            for i, kind in enumerate(kinds):
                self._index[kind] = source.cells(kind, origin) or self._scanned(species, i, folder)

    def _scanned(self, species: str, i: int, folder: Path | None) -> BlockIndex:
        kinds, source = self._reader.kinds[species], self._source
        spans = [span for span in source.spans(kinds[i]) if span.stop > span.start and span.present]

        def read(ranges: Ranges) -> NDArray[np.float32]:
            nothing = np.zeros((0, 2), np.int64)
            return self._reader.read(
                species, "position", [ranges if j == i else nothing for j in range(len(kinds))]
            )

        def make() -> BlockIndex:
            ranges = [(span.number, span.start, span.stop) for span in spans]
            return scan(ranges, read, f"{source.path}: {species}")

        # Origin and first rows too: they are others where another file of the set has come or gone.
        stats = [(span, span.path.stat()) for span in spans]
        files = [
            [str(span.path.resolve()), span.number, span.start, s.st_size, s.st_mtime_ns] for span, s in stats
        ]
        of = [kinds[i], self._origin.tolist(), files]
        return kept(folder, of, make)

    def near(self, species: str, at: NDArray[np.float64], radius: float, box: float) -> Near:
        """The particles within ``radius`` of ``at``.

        Raises
        ------
        InputError
            Where some of them are in a file that is not here.
        """
        kinds, first = self._reader.kinds[species], self._reader.first[species]
        missing = self._missing(kinds, at, radius, box)
        if missing:
            raise InputError(f"{self._source.path}: {not_here(missing)}")
        indices = [self._index[kind] for kind in kinds]
        ranges = [merged(index.rows[index.near(at, radius, box)]) for index in indices]
        position = self._reader.read(species, "position", ranges)
        of_kind = [rows_of(part) for part in ranges]
        rows = np.concatenate([np.zeros(0, np.int64), *(r + f for r, f in zip(of_kind, first, strict=False))])
        grid = CellGrid.build(position, f"{self._source.path}: {species}")
        found = grid.within(at, radius, box)
        rows = rows[found]
        relative = grid.relative(found, at, box, self._scale)
        del grid, position
        # Of the other columns only the runs that hold what was found are read.
        inside = [rows[(rows >= a) & (rows < b)] - a for a, b in zip(first, first[1:], strict=False)]
        runs = [self._runs(kind, part) for kind, part in zip(kinds, inside, strict=True)]
        places = np.concatenate(
            [np.zeros(0, np.int64), *(part + f for part, f in zip(map(rows_of, runs), first, strict=False))]
        )
        places = np.searchsorted(places, rows)
        mass, columns = self._reader.read_others(species, self._reader.read_mass(species, runs), runs)
        mass = take(mass, places)
        near = Near(rows, relative, mass, take(columns, places))
        massless = isinstance(mass, np.ndarray) and not (mass > 0).all()
        return take(near, mass > 0) if massless else near

    def bounds(self) -> Corners | None:
        """(3,) and (3,) corners of the box around all particles; None without particles."""
        return _around([(i.low.min(0), i.high.max(0)) for i in self._index.values() if len(i.rows)])

    def farthest(self, middle: NDArray[np.float64]) -> float:
        """No particle is farther from a point: of the corners of blocks."""
        return max((index.farthest(middle) for index in self._index.values()), default=0.0)

    def total_mass(self) -> float:
        """Of all particles that are here, in the file's unit; every mass is read."""
        total = 0.0
        for species, kinds in self._reader.kinds.items():
            here = [np.array([[s.start, s.stop] for s in self._source.spans(k) if s.present]) for k in kinds]
            n = sum(int((part[:, 1] - part[:, 0]).sum()) for part in here)
            total += _sum(self._reader.read_mass(species, here), n) if kinds else 0.0
        return total

    def absent(self, at: NDArray[np.float64], radius: float, box: float) -> list[str]:
        """Names of the files that are not here and hold particles within a sphere."""
        return self._missing(list(self._index), at, radius, box)

    def expect(self, centre: NDArray[np.float64], radius: NDArray[np.float64], groups: GroupMembers) -> None:
        """Add what groups have in missing files to the index: it is within `_GROUP_EXTENT` radii."""
        reach = _GROUP_EXTENT * radius[:, None]
        for kind, index in self._index.items():
            if kind >= groups.first.shape[1]:
                continue
            first, last = groups.first[:, kind], groups.first[:, kind] + groups.length[:, kind]
            parts = [index]
            for span in self._source.spans(kind):
                if span.present or span.stop == span.start:
                    continue
                begin, end = np.searchsorted(last, span.start, "right"), np.searchsorted(first, span.stop)
                rows = np.stack([first[begin:end], last[begin:end]], 1).clip(span.start, span.stop)
                held = begin + np.flatnonzero(rows[:, 1] > rows[:, 0])
                low, high = centre[held] - reach[held], centre[held] + reach[held]
                parts.append(BlockIndex(rows[held - begin], low, high, np.full(len(held), span.number)))
            self._index[kind] = join(parts)

    def _runs(self, kind: int, rows: NDArray[np.int64]) -> Ranges:
        """Ranges that hold some rows of a type; none reaches over the end of a file."""
        starts = [span.start for span in self._source.spans(kind)]
        pieces = np.split(rows, np.searchsorted(rows, starts[1:]))
        return np.concatenate([np.zeros((0, 2), np.int64), *(ranges_of_rows(piece) for piece in pieces)])

    def _missing(self, kinds: Sequence[int], at: NDArray[np.float64], radius: float, box: float) -> list[str]:
        missing = set()
        for kind in kinds:
            absent = {span.number: span.path.name for span in self._source.spans(kind) if not span.present}
            if absent:
                index = self._index[kind]
                missing |= {
                    absent[f] for f in index.file[index.near(at, radius, box)].tolist() if f in absent
                }
        return sorted(missing)


Stored = WholeSnapshot | RangedSnapshot
"""Where the particles of a snapshot are taken from; lengths in the file's unit, origin taken off."""


def not_here(names: Sequence[str]) -> str:
    """What is said where files of a snapshot are missing that hold a halo's particles."""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"particles of this halo are in files that are not here: {shown}"


def _around(corners: Sequence[Corners]) -> Corners | None:
    if not corners:
        return None
    return np.min([low for low, _ in corners], axis=0), np.max([high for _, high in corners], axis=0)


def _sum(mass: Mass, n: int) -> float:
    return n * mass if isinstance(mass, float) else float(mass.sum(dtype=np.float64))
