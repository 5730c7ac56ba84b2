"""A snapshot on disk, opened by the reader of its format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.gas import assumptions, columns_of
from three_hundred_maps.simulation.readers.gadget_binary import BinarySource
from three_hundred_maps.simulation.readers.hdf5 import Hdf5Source
from three_hundred_maps.simulation.readers.hdf5_index import parts_of
from three_hundred_maps.simulation.readers.snapshot_files import Paths, is_hdf5, snapshot_files
from three_hundred_maps.simulation.readers.source import LENGTH_UNITS, Source


def open_source(
    path: Paths,
    *,
    length_unit: str | None = None,
    dialect: str | None = None,
    optional: tuple[str, ...] = (),
    offsets: Path | None = None,
) -> Source:
    """Open a snapshot: find its files, tell the format by content, check the headers; no particle is read.

    Parameters
    ----------
    path
        A file, the prefix of a set of files, a folder that holds one set, or a pattern with ``*``. Several
        paths are the files of one zoom region, whatever else belongs to their set.
    length_unit
        ``kpc/h``, ``Mpc/h``, ``kpc`` or ``Mpc``; by default what the file says, else kpc/h.
    dialect
        A value of `SnapshotInfo.dialect`; by default what the files tell.
    optional
        Fields of `OPTIONAL_FIELDS` that will be read.
    offsets
        The file ``offsets_NNN.hdf5`` of IllustrisTNG, with which files of the set may be missing.

    Raises
    ------
    InputError
        One line on what is wrong with the files.
    """
    if length_unit is not None and length_unit not in LENGTH_UNITS:
        raise InputError(f"length unit {length_unit!r} is unknown: one of {', '.join(LENGTH_UNITS)}")
    files = snapshot_files(path, some=offsets is not None)
    source: Source
    if is_hdf5(files[0]):
        exact = not isinstance(path, str | Path)
        parts = parts_of(files[0]) if len(files) == 1 and not exact else None
        master = files[0] if parts else None
        source = Hdf5Source(parts or files, length_unit, dialect, optional, master, offsets, exact)
    else:
        source = BinarySource(files, length_unit, dialect, optional)
    if source.count(0):
        info = source.info
        columns = columns_of(source.has)
        if not columns & {"internal_energy", "temperature"}:
            raise InputError(
                f"{source.path}: the gas has neither an internal energy nor a temperature by a name that is "
                "read (truncated, of other names, or not of a hydrodynamical run)"
            )
        said = assumptions(columns, arepo=info.dialect == "arepo", kernel=info.kernel)
        source.info = replace(info, assumptions={**info.assumptions, **said})
    return source
