"""A snapshot on disk, opened by the reader of its format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.gas import assumptions, columns_of
from three_hundred_maps.simulation.readers.gadget_binary import BinarySource
from three_hundred_maps.simulation.readers.hdf5 import Hdf5Source
from three_hundred_maps.simulation.readers.hdf5_virtual import parts_of
from three_hundred_maps.simulation.readers.snapshot_files import is_hdf5, snapshot_files
from three_hundred_maps.simulation.readers.source import LENGTH_UNITS, SnapshotInfo, Source


def read_info(
    path: str | Path, *, length_unit: str | None = None, dialect: str | None = None
) -> SnapshotInfo:
    """Read the header of a snapshot; cheap, no particle is read.

    Parameters
    ----------
    path
        A file, the prefix of a set of files, a folder that holds one set, or a pattern with ``*``.
    length_unit
        ``kpc/h``, ``Mpc/h``, ``kpc`` or ``Mpc``; by default what the file says, else kpc/h.
    dialect
        A value of `SnapshotInfo.dialect`; by default what the files tell.

    Raises
    ------
    InputError
        Where no snapshot can be read there.
    """
    return open_source(path, length_unit=length_unit, dialect=dialect).info


def open_source(
    path: str | Path,
    *,
    length_unit: str | None = None,
    dialect: str | None = None,
    optional: tuple[str, ...] = (),
    offsets: Path | None = None,
) -> Source:
    """Open a snapshot: find its files, tell the format by content, check the headers.

    ``optional`` are fields of `OPTIONAL_FIELDS` that will be read; ``offsets`` is the file of IllustrisTNG
    that tells what is in files of the set which are not here.
    """
    if length_unit is not None and length_unit not in LENGTH_UNITS:
        raise InputError(f"length unit {length_unit!r} is unknown: one of {', '.join(LENGTH_UNITS)}")
    files = snapshot_files(path, some=offsets is not None)
    source: Source
    if is_hdf5(files[0]):
        parts = parts_of(files[0]) if len(files) == 1 else None
        master = files[0] if parts else None
        source = Hdf5Source(parts or files, length_unit, dialect, optional, master, offsets)
    else:
        source = BinarySource(files, length_unit, dialect, optional)
    if source.count(0):
        info = source.info
        arepo = info.dialect == "arepo"
        said = assumptions(columns_of(source.has), arepo=arepo, kernel=info.kernel)
        source.info = replace(info, assumptions={**info.assumptions, **said})
    return source
