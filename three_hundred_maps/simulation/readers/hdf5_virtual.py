"""Snapshots whose first file holds no particles: virtual data sets that name the files that do.

SWIFT writes such a file beside the parts of every distributed snapshot, and joined views of TNG-like sets
look alike. The parts are read themselves: a virtual data set would hide a missing part behind fill values.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import h5py

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.readers import hdf5_safe as safe
from three_hundred_maps.simulation.readers.snapshot_files import part_number

_MOST_PARTS = 1 << 16


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
