"""What files say of where particles lie: SWIFT's cells, TNG's offsets, files that name the parts of a set.

SWIFT writes a file without particles beside the parts of every distributed snapshot: virtual data sets that
name the parts. Joined views of TNG-like sets look alike. The parts are read themselves: a virtual data set
would hide a missing part behind fill values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.block_index import BlockIndex
from three_hundred_maps.simulation.readers import hdf5_safe as safe
from three_hundred_maps.simulation.readers.snapshot_files import part_number
from three_hundred_maps.simulation.readers.source import Span
from three_hundred_maps.simulation.tables import join, take

_DRIFT = 0.1
"""Of a cell's side: how far a particle may have left the cell that holds it, where SWIFT does not say."""
_MOST_CELLS = 1 << 24
_MOST_PARTS = 1 << 16


def in_snapshot(cells: BlockIndex, spans: Sequence[Span], origin: NDArray[np.float64]) -> BlockIndex | None:
    """Cells whose rows are counted in their file, as the index of a type in all files.

    None where they do not account for every particle of every file.
    """
    start = np.zeros(1 + max(span.number for span in spans), np.int64)
    if (cells.file >= len(start)).any():
        return None
    for span in spans:
        start[span.number] = span.start
        rows = cells.rows[cells.file == span.number]
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        ends = np.concatenate([[0], rows[:, 1]])  # each cell begins where the one before ends
        if not np.array_equal(rows[:, 0], ends[:-1]) or ends[-1] != span.stop - span.start:
            return None
    rows = cells.rows + start[cells.file][:, None]
    return BlockIndex(rows, cells.low - origin, cells.high - origin, cells.file)


def type_counts(header: h5py.Group, path: Path, name: str) -> NDArray[np.int64]:
    """(8,) particle numbers by type, from an attribute of six or seven."""
    numbers = safe.array(header, path, name, longest=8)
    if len(numbers) < 6 or (numbers < 0).any() or (numbers > 2**62).any():
        raise InputError(f"{path}: {name} is {numbers.tolist()}: not six or seven particle numbers")
    counted = np.zeros(8, np.int64)
    counted[: len(numbers)] = numbers
    return counted


def totals(header: h5py.Group, path: Path) -> NDArray[np.int64] | None:
    """Particle numbers of the whole set, None where the header does not say."""
    if "NumPart_Total" not in header.attrs:
        return None
    total = type_counts(header, path, "NumPart_Total")
    if "NumPart_Total_HighWord" in header.attrs:
        high = safe.array(header, path, "NumPart_Total_HighWord", longest=8)
        if (high > 2**20).any():
            raise InputError(f"{path}: NumPart_Total_HighWord is {high.tolist()}: damaged")
        total[: len(high)] += high.astype(np.int64) << 32
    return total


def swift_cells(files: Sequence[Path]) -> dict[int, BlockIndex]:
    """By particle type, the cells that SWIFT snapshots list, rows counted in each file; nothing without them.

    Centres, Counts, Files, OffsetsInFile and (newer) MinPositions and MaxPositions of the group ``Cells``, as
    the documentation of SWIFT's snapshots describes them. The files of a distributed snapshot list their own
    cells; a file that stands for all lists all of them.
    """
    found: dict[int, list[BlockIndex]] = {}
    for number, path in enumerate(files):
        with safe.opened(path) as file:
            cells = safe.optional_group(file, "Cells", path)
            counts = None if cells is None else safe.optional_group(cells, "Counts", path)
            if cells is None or counts is None:
                return {}
            shape = safe.shape(cells, "Centres")
            if not shape or not 0 < shape[0] <= _MOST_CELLS:
                return {}
            centre = _table(cells, "Centres", path, shape[0])
            size = safe.array(safe.group(cells, "Meta-data", path), path, "size", longest=3)
            for name in counts:
                kind = int(name[-1]) if re.fullmatch(r"PartType\d", name) else -1
                if kind >= 0:
                    table = _cells_of(cells, name, path, centre, size)
                    here = table.rows[:, 1] > table.rows[:, 0]
                    if len(files) > 1:
                        here &= table.file == number
                    found.setdefault(kind, []).append(take(table, here))
    return {kind: join(tables) for kind, tables in found.items()}


def _cells_of(
    cells: h5py.Group, name: str, path: Path, centre: NDArray[np.float64], size: NDArray[np.float64]
) -> BlockIndex:
    n = len(centre)
    rows = _table(safe.group(cells, "Counts", path), name, path, n).astype(np.int64)
    offset = _table(safe.group(cells, "OffsetsInFile", path), name, path, n).astype(np.int64)
    file = _table(safe.group(cells, "Files", path), name, path, n).astype(np.int64)
    low, high = centre - (0.5 + _DRIFT) * size, centre + (0.5 + _DRIFT) * size
    least, most = (safe.optional_group(cells, f"{end}Positions", path) for end in ("Min", "Max"))
    if least is not None and most is not None and name in least and name in most:
        low, high = _table(least, name, path, n), _table(most, name, path, n)
    if (rows < 0).any() or (offset < 0).any() or (file < 0).any() or (file > 1 << 16).any():
        raise InputError(f"{path}: the cells of {name} have negative counts or offsets: damaged")
    return BlockIndex(np.stack([offset, offset + rows], 1), low, high, file)


def _table(group: h5py.Group, name: str, path: Path, rows: int) -> NDArray[np.float64]:
    return np.asarray(safe.dataset(group, name, path, rows)[()], np.float64)


def tng_counts(offsets: Path, snapshot: Path) -> list[NDArray[np.int64]]:
    """Particles by type in each file of a snapshot of IllustrisTNG, whether or not the file is here.

    ``offsets_NNN.hdf5`` of the TNG data release holds ``FileOffsets/SnapByType`` (files, 6): the first row of
    each file. How many rows the last one has follows from the header's NumPart_Total.
    """
    with safe.opened(snapshot) as file:
        total = totals(safe.group(file, "Header", snapshot), snapshot)
        if total is None:
            raise InputError(f"{snapshot}: /Header has no attribute NumPart_Total")
    with safe.opened(offsets) as file:
        group = safe.group(file, "FileOffsets", offsets)
        shape = safe.shape(group, "SnapByType")
        if len(shape) != 2 or shape[1] != 6 or not 0 < shape[0] <= 1 << 16:
            raise InputError(f"{offsets}: FileOffsets/SnapByType has shape {shape}, expected (files, 6)")
        first = _table(group, "SnapByType", offsets, shape[0])
    rows = np.diff(np.concatenate([first, total[None, :6]]), axis=0)
    if (rows < 0).any():
        raise InputError(
            f"{offsets}: the offsets do not rise to NumPart_Total of {snapshot.name}: another snapshot"
        )
    return [np.append(part, [0, 0]).astype(np.int64) for part in rows]


def parts_of(path: Path) -> list[Path] | None:
    """The files that a snapshot's virtual data sets name, in their order.

    Parameters
    ----------
    path
        An HDF5 file.

    Returns
    -------
    list of Path or None
        None where the file holds its particles itself.

        A virtual data set may name any file of the machine: only those beside ``path`` are meant, and whether
        they are there is not looked at.
    """
    parts: list[Path] = []
    with safe.opened(path) as file:
        for kind in range(7):
            particles = safe.optional_group(file, f"PartType{kind}", path)
            link = None if particles is None else particles.get("Coordinates", getlink=True)
            if particles is None or not isinstance(link, h5py.HardLink):
                continue
            dataset = particles["Coordinates"]
            if isinstance(dataset, h5py.Dataset) and dataset.is_virtual:
                # A part without gas is named by another type alone.
                parts += [part for part in _named(dataset, path) if part not in parts]
            elif not parts:
                return None
    if all(part_number(part) is not None for part in parts):
        parts.sort(key=part_number)  # type: ignore[arg-type]  # none of them is None
    return parts or None


def _named(dataset: h5py.Dataset, path: Path) -> list[Path]:
    where = f"{path}: {dataset.name}"
    number = dataset.id.get_create_plist().get_virtual_count()
    if not 1 <= number <= _MOST_PARTS:
        raise InputError(f"{where} is put together from {number} pieces: damaged")
    pieces = sorted(dataset.virtual_sources(), key=lambda piece: piece.vspace.get_select_bounds()[0])
    parts: list[Path] = []
    for piece in pieces:
        name = PurePosixPath(piece.file_name)
        beside = path.with_name(name.name)
        # Folders in a name are those of the machine that wrote it: a moved set is found all the same.
        if not name.name or beside == path:
            raise InputError(f"{where} names itself as the file that holds its particles")
        if beside not in parts:
            parts.append(beside)
    return parts
