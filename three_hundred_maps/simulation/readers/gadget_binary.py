"""Gadget binary snapshots, formats 1 and 2, of either byte order and of one or many files.

A file is a chain of records, each between two equal length markers. In format 2 a small record with a
four-letter name goes before each; in format 1 blocks are known by their order alone, so those after the
density are told apart by what they hold. Only record markers are read until a column is asked for.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.block_index import BlockIndex, Ranges, within_rows
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.readers.gadget_blocks import (
    BLOCKS,
    READ_BLOCKS,
    Block,
    Header,
    name_by_order,
    read_chain,
    read_header,
)
from three_hundred_maps.simulation.readers.source import (
    BINARY_CODES,
    SPECIES_TYPES,
    SnapshotInfo,
    Span,
    check_background,
    check_files_of_set,
    check_total,
    gadget_units,
    read_exactly,
)

_GADGETX_BLOCKS = frozenset(("ZS", "HOTT", "CLDX", "IM"))
_PIECE_BYTES = 1 << 24
# Numbers a row, in the order in which they are tried; one where nothing is said.
_WIDTHS: Mapping[str, tuple[Sequence[int], ...]] = {
    "position": ((3,),),
    "velocity": ((3,),),
    "helium_mass": (range(2, 21),),
    "metallicity": ((1,), range(2, 21)),
}


@dataclass(frozen=True)
class Column:
    """Where one type's rows of a column lie in one file, ``width`` numbers each."""

    offset: int
    rows: int
    dtype: np.dtype[Any]
    width: int


class BinarySource:
    """A Gadget binary snapshot of one or more files: see `Source`.

    Raises
    ------
    InputError
        Where a header or the chain of records is not whole.
    """

    def __init__(
        self,
        files: list[Path],
        length_unit: str | None,
        dialect: str | None,
        optional: tuple[str, ...] = (),
    ) -> None:
        self.path = files[0]
        self.optional = optional
        self._files = files
        if dialect not in (None, *BINARY_CODES):
            raise InputError(
                f"{self.path}: a Gadget binary file cannot be of dialect {dialect}, "
                f"but of {', '.join(BINARY_CODES)}"
            )
        said: dict[str, str] = {}
        headers, chains, formats = [], [], set()
        for name in files:
            with open(name, "rb") as stream:
                size = name.stat().st_size
                header, labelled = read_header(stream, name, size)
                chains.append(read_chain(stream, name, size, header, labelled))
            headers.append(header)
            formats.add(labelled)
        if len(formats) > 1:
            raise InputError(f"{self.path}: some files of this set are of format 1, others of format 2")
        if not labelled:
            chains, said = name_by_order(files, headers, chains)
        first = headers[0]
        self._headers = headers
        check_files_of_set(files, first.num_files)
        summed = np.sum([header.here for header in headers], axis=0)
        check_total(files, first.total, summed)
        cosmology = Cosmology(first.h, first.omega_m, first.omega_lambda)
        check_background(self.path, cosmology, first.redshift, first.time, first.box)
        if length_unit is None:
            said["length_unit"] = "Gadget binary files do not say: kpc/h"
        units = gadget_units(h=first.h, redshift=first.redshift, length_unit=length_unit)
        self.factors: Mapping[str, float] = {
            **units.factors(),
            "star_formation_rate": 1.0,
            "velocity": 1.0 / math.sqrt(1.0 + first.redshift),
        }
        self.mass_table = np.array([*first.mass_table, 0.0, 0.0])
        self.species_types = SPECIES_TYPES
        self._columns = [_columns(*item, optional) for item in zip(files, headers, chains, strict=True)]
        self._check_metals(said)
        blocks = set().union(*chains)
        if dialect is None:
            dialect = "gadgetx" if blocks & _GADGETX_BLOCKS else f"gadget{2 if labelled else 1}"
        if any(header.star_formation for header in headers) and summed[0] and "SFR" not in blocks:
            said["header"] = "it promises star formation rates, but there are none"
        self.info = SnapshotInfo(
            redshift=first.redshift,
            box_kpc=first.box * units.length_kpc,
            cosmology=cosmology,
            code=BINARY_CODES[dialect],
            dialect=dialect,
            synthetic=first.synthetic,
            # GADGET-X runs with Wendland C4, the others with the cubic spline: files do not say.
            kernel="wendland_c4" if dialect == "gadgetx" else "cubic_spline",
            counts={name: int(summed[list(kinds)].sum()) for name, kinds in SPECIES_TYPES.items()},
            length_unit=units.name,
            assumptions=said,
        )

    def _check_metals(self, said: dict[str, str]) -> None:
        """Keep a block Z of several numbers a row where its first is the sum of the metals, as GIZMO's is."""
        wide = [
            (path, columns[0, "metallicity"])
            for path, columns in zip(self._files, self._columns, strict=True)
            if (0, "metallicity") in columns and columns[0, "metallicity"].width > 1
        ]
        if not wide:
            return
        path, column = max(wide, key=lambda item: item[1].rows)
        rows = min(column.rows, 4096)
        table = np.fromfile(path, column.dtype, rows * column.width, offset=column.offset)
        table = table.reshape(rows, column.width).astype(np.float64)
        total, metals = table[:, 0], table[:, 2:].sum(1)
        if 0.2 < np.median(table[:, 1]) < 0.6 and np.mean(np.abs(total - metals) <= 0.3 * total + 1e-6) > 0.9:
            return
        said["blocks"] = f"Z has {column.width} numbers a particle, of which none is all metals: not read"
        for columns in self._columns:
            for kind in (0, 4):
                columns.pop((kind, "metallicity"), None)

    def count(self, kind: int) -> int:
        return int(sum(header.here[kind] for header in self._headers))

    def has(self, kind: int, name: str) -> bool:
        if name == "helium_fraction":
            return self.has(kind, "helium_mass")
        held = [
            (kind, name) in columns
            for header, columns in zip(self._headers, self._columns, strict=True)
            if header.here[kind]
        ]
        if any(held) and not all(held):
            raise InputError(f"{self.path}: some files of this set have {name.replace('_', ' ')}, others not")
        return bool(held) and all(held)

    def first_position(self, kind: int) -> NDArray[np.float64] | None:
        for path, columns in zip(self._files, self._columns, strict=True):
            column = columns.get((kind, "position"))
            if column is not None:
                if column.dtype.itemsize <= 4:
                    return None
                return np.fromfile(path, column.dtype, 3, offset=column.offset).astype(np.float64)
        return None

    def spans(self, kind: int) -> list[Span]:
        ends = np.cumsum([int(header.here[kind]) for header in self._headers]).tolist()
        starts = [0, *ends]
        return [Span(i, path, starts[i], ends[i], True) for i, path in enumerate(self._files)]

    def cells(self, kind: int, origin: NDArray[np.float64]) -> BlockIndex | None:
        return None  # Gadget binary files do not say

    def read(
        self,
        kind: int,
        name: str,
        out: NDArray[np.float32],
        origin: NDArray[np.float64],
        ranges: Ranges | None = None,
    ) -> None:
        stored = "helium_mass" if name == "helium_fraction" else name
        start = 0
        for span, columns in zip(self.spans(kind), self._columns, strict=True):
            column = columns.get((kind, stored))
            pieces = within_rows(ranges, span.start, span.stop)
            if column is None or not pieces:
                continue
            with open(span.path, "rb") as stream:
                for first, last in pieces:
                    part = out[start : start + last - first]
                    before = (first - span.start) * column.width * column.dtype.itemsize
                    here = replace(column, offset=column.offset + before, rows=last - first)
                    _fill(stream, span.path, here, part, origin if name == "position" else None)
                    start += last - first
        if name == "helium_fraction":
            # GADGET-X's Zs are masses of the elements, not fractions.
            if self.has(kind, "mass"):
                mass = np.empty_like(out)
                self.read(kind, "mass", mass, origin, ranges)
                np.divide(out, mass, out=out, where=mass > 0)
            else:
                out /= self.mass_table[kind]


def _columns(
    path: Path, header: Header, chain: Mapping[str, Block], optional: tuple[str, ...]
) -> dict[tuple[int, str], Column]:
    """Where every (type, column) lies in one file, from the sizes of its blocks."""
    found: dict[tuple[int, str], Column] = {}
    precision = _precision(header, chain)
    for name, (block_name, kinds) in BLOCKS.items():
        if block_name not in READ_BLOCKS and name not in optional:
            continue
        block = chain.get(block_name)
        holders = [kind for kind in kinds if header.here[kind]]
        if name == "mass":
            holders = [kind for kind in holders if header.mass_table[kind] == 0.0]
        if block is None:
            if holders and name in ("position", "mass"):
                raise InputError(f"{path}: no block {block_name}: the file is cut short or not a snapshot")
            continue
        options = [holders] if len(kinds) in (1, 6) else [holders, [kind for kind in holders if kind == 0]]
        layouts = (
            (chosen, _layout(block.nbytes, int(sum(header.here[k] for k in chosen)), widths, precision))
            for widths in _WIDTHS.get(name, ((1,),))
            for chosen in options
        )
        chosen, layout = next((item for item in layouts if item[1] is not None), ([], None))
        if layout is None:
            counted = {kind: int(header.here[kind]) for kind in holders}
            raise InputError(
                f"{path}: block {block_name} has {block.nbytes} bytes, which does not fit the particles "
                f"of the types that have it ({counted}): damaged"
            )
        itemsize, width = layout
        dtype = np.dtype(f"{header.order}f{itemsize}")
        offset = block.offset
        for kind in chosen:
            rows = int(header.here[kind])
            found[kind, name] = Column(offset, rows, dtype, width)
            offset += rows * width * itemsize
    return found


def _precision(header: Header, chain: Mapping[str, Block]) -> int:
    """Bytes of a number, from a block of one number a particle; positions may be finer than the rest."""
    massive = sum(n for n, m in zip(header.here, header.mass_table, strict=True) if m == 0.0)
    for name, rows in (("U", header.here[0]), ("RHO", header.here[0]), ("MASS", massive)):
        if name in chain and rows:
            return 8 if chain[name].nbytes == 8 * rows else 4
    return 4


def _layout(nbytes: int, rows: int, widths: Sequence[int], precision: int) -> tuple[int, int] | None:
    """(bytes a number, numbers a row) of a block of ``rows`` rows; None where it does not fit."""
    if rows == 0:
        return (4, widths[0]) if nbytes == 0 else None
    for itemsize in (precision, 12 - precision):
        for width in widths:
            if nbytes == rows * width * itemsize:
                return itemsize, width
    return None


def _fill(
    stream: io.BufferedIOBase,
    path: Path,
    column: Column,
    out: NDArray[np.float32],
    origin: NDArray[np.float64] | None,
) -> None:
    """Read a column into ``out``: straight into it where the bytes are the same, else in pieces."""
    stream.seek(column.offset)
    native = column.dtype.itemsize == 4 and column.dtype.isnative
    single = column.width == (out.shape[1] if out.ndim == 2 else 1)
    if native and single and (origin is None or not origin.any()):
        read_exactly(stream, path, out.reshape(-1).data.cast("B"))
        return
    row_bytes = column.width * column.dtype.itemsize
    step = max(1, _PIECE_BYTES // row_bytes)
    buffer = np.empty(min(step, column.rows) * column.width, column.dtype)
    for start in range(0, column.rows, step):
        rows = min(step, column.rows - start)
        part = buffer[: rows * column.width]
        read_exactly(stream, path, part.data.cast("B"))
        table = part.reshape(rows, column.width)
        if out.ndim == 1:
            out[start : start + rows] = table[:, 0]
        elif origin is not None and origin.any():
            out[start : start + rows] = table - origin
        else:
            out[start : start + rows] = table
