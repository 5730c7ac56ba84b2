"""Writers of snapshots and catalogues in the formats that the readers read.

`write_hdf5` and `write_gadget` take the same two things, a `SnapshotHeader` and the particles as
``{gadget_type: {field: array}}``. Whatever the format, arrays are given in one convention:

===================== ======== ==============================================================
field                 shape    meaning and unit
===================== ======== ==============================================================
position              (n, 3)   comoving kpc/h, in [0, box_size)
velocity              (n, 3)   peculiar, km/s (files hold it divided by sqrt(a); SWIFT as it is)
id                    (n,)     unsigned integers
mass                  (n,)     1e10 Msun/h; left out where ``header.mass_table`` gives it
internal_energy       (n,)     (km/s)^2, physical
density               (n,)     comoving, 1e10 h^2 Msun / kpc^3
electron_abundance    (n,)     n_e / n_H
neutral_fraction      (n,)     n_HI / n_H
smoothing_length      (n,)     comoving kpc/h, the radius where the kernel ends
star_formation_rate   (n,)     Msun/yr
metallicity           (n,)     mass fraction of metals, absolute
helium_fraction       (n,)     mass fraction of helium
formation_time        (n,)     scale factor of formation (stars)
delay_time            (n,)     greater than 0 for wind particles (Gyr)
temperature           (n,)     K
===================== ======== ==============================================================

Files are whole or absent (written beside and renamed), and the same content gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.simulation.cosmology import Cosmology

ParticleData = Mapping[int, Mapping[str, NDArray[Any]]]

DIALECTS = ("gizmo", "gadget3", "gadget4", "arepo", "swift")
"""HDF5 dialects that `write_hdf5` writes."""

SOLAR_SHARES = {
    "C": 0.177,
    "N": 0.052,
    "O": 0.429,
    "Ne": 0.094,
    "Mg": 0.053,
    "Si": 0.050,
    "S": 0.023,
    "Ca": 0.005,
    "Fe": 0.117,
}
"""How the metals of one scalar metallicity are shared out where a file lists elements (rounded solar)."""


@dataclass(frozen=True)
class SnapshotHeader:
    """What a snapshot says about itself.

    Parameters
    ----------
    redshift
        Of the snapshot.
    box_size
        Comoving kpc/h.
    cosmology
        Background.
    mass_table
        Masses (1e10 Msun/h) of the six types whose particles all weigh the same; 0 elsewhere.
    length_unit
        ``kpc/h`` or ``Mpc/h``: what the file is written in (the arrays given are always kpc/h).
    extra
        Further attributes of an HDF5 header, for instance ``{"Synthetic": 1}``. A Gadget binary
        header has no room for names: there ``Synthetic`` alone is kept, as a mark in its last bytes.
    """

    redshift: float
    box_size: float
    cosmology: Cosmology
    mass_table: tuple[float, float, float, float, float, float] = (0.0,) * 6
    length_unit: str = "kpc/h"
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def time(self) -> float:
        """Scale factor."""
        return 1.0 / (1.0 + self.redshift)


def part_of(particles: ParticleData, part: int, parts: int) -> dict[int, dict[str, NDArray[Any]]]:
    """The particles that file ``part`` of ``parts`` holds: consecutive rows of every type."""
    chosen: dict[int, dict[str, NDArray[Any]]] = {}
    for kind, fields in particles.items():
        n = count(fields)
        rows = slice(n * part // parts, n * (part + 1) // parts)
        chosen[kind] = {name: values[rows] for name, values in fields.items()}
    return chosen


def count(fields: Mapping[str, NDArray[Any]]) -> int:
    """Number of particles of one type; ValueError where the arrays disagree."""
    sizes = {len(values) for values in fields.values()}
    if len(sizes) > 1:
        raise ValueError(f"arrays of one particle type have different lengths: {sorted(sizes)}")
    return sizes.pop() if sizes else 0


def counts(particles: ParticleData) -> NDArray[np.int64]:
    """Particle numbers of the six types."""
    return np.array([count(particles.get(kind, {})) for kind in range(6)], np.int64)


@contextmanager
def renamed_into_place(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` once the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_hdf5(
    path: str | Path,
    header: SnapshotHeader,
    particles: ParticleData,
    *,
    dialect: str = "gizmo",
    files: int = 1,
    compression: str | None = None,
    position_dtype: type = np.float32,
) -> list[Path]:
    """Write an HDF5 snapshot in the dialect of a code.

    Parameters
    ----------
    path
        The file; with ``files > 1`` it becomes a set ``NAME.0.hdf5``, ``NAME.1.hdf5``, ...
    header, particles
        See the module's text.
    dialect
        One of `DIALECTS`. ``swift`` writes lengths in Mpc and masses in 1e10 Msun, without h.
    files
        How many files the snapshot is split into.
    compression
        Passed to h5py, for instance ``"gzip"``.
    position_dtype
        float32 or float64.

    Returns
    -------
    list of Path
        The files written.
    """
    from three_hundred_maps.simulation.writers.write_hdf5 import write_one

    if dialect not in DIALECTS:
        raise ValueError(f"unknown HDF5 dialect {dialect!r}: one of {', '.join(DIALECTS)}")
    path = Path(path)
    total = counts(particles)
    written = []
    for part in range(files):
        name = path if files == 1 else path.with_name(f"{path.name.removesuffix('.hdf5')}.{part}.hdf5")
        chosen = part_of(particles, part, files)
        with renamed_into_place(name) as partial:
            write_one(partial, header, chosen, total, dialect, files, part, compression, position_dtype)
        written.append(name)
    return written


def write_gadget(
    path: str | Path,
    header: SnapshotHeader,
    particles: ParticleData,
    *,
    format: int = 2,
    byteorder: Literal["little", "big"] = "little",
    files: int = 1,
    position_dtype: type = np.float32,
    id_dtype: type = np.uint32,
) -> list[Path]:
    """Write a Gadget binary snapshot, format 1 or 2, with GADGET-X's block names.

    Parameters
    ----------
    path
        The file; with ``files > 1`` it becomes a set ``NAME.0``, ``NAME.1``, ...
    header, particles
        See the module's text. Blocks written where a type has the field: POS VEL ID MASS U RHO NE NH HSML
        SFR AGE Z Zs TEMP.
    format
        2 (every block is labelled) or 1 (blocks are known by their order).
    byteorder
        ``little`` or ``big``.
    files
        How many files the snapshot is split into.
    position_dtype, id_dtype
        float32 or float64, uint32 or uint64.

    Returns
    -------
    list of Path
        The files written.
    """
    from three_hundred_maps.simulation.writers.write_binary import write_one

    if format not in (1, 2):
        raise ValueError(f"Gadget binary format {format!r}: 1 or 2")
    path = Path(path)
    order: Literal["<", ">"] = "<" if byteorder == "little" else ">"
    total = counts(particles)
    written = []
    for part in range(files):
        name = path if files == 1 else path.with_name(f"{path.name}.{part}")
        chosen = part_of(particles, part, files)
        with renamed_into_place(name) as partial:
            write_one(partial, header, chosen, total, format, order, files, position_dtype, id_dtype)
        written.append(name)
    return written


_AXES = [f"E{axis}{along}" for axis in "abc" for along in "xyz"]
_SHAPE = ["lambda", "lambdaE", "Lx", "Ly", "Lz", "b", "c", *_AXES]
AHF_COLUMNS: Sequence[str] = (
    *("ID", "hostHalo", "numSubStruct", "Mhalo", "npart", "Xc", "Yc", "Zc", "VXc", "VYc", "VZc", "Rhalo"),
    *("Rmax", "r2", "mbp_offset", "com_offset", "Vmax", "v_esc", "sigV", *_SHAPE),
    *("ovdens", "nbins", "fMhires", "Ekin", "Epot", "SurfP", "Phi0", "cNFW"),
    *(f"{name}_{kind}" for kind in ("gas", "star") for name in ("n", "M", *_SHAPE, "Ekin", "Epot")),
)
"""The 83 columns of an AHF_halos file of a run with gas and stars, in AHF's order and newer naming."""

_AHF_INTEGERS = frozenset(("ID", "hostHalo", "numSubStruct", "npart", "nbins", "n_gas", "n_star"))


def write_ahf(
    path: str | Path,
    columns: Mapping[str, ArrayLike],
    *,
    naming: str = "new",
    separator: str = "\t",
    inserted: Sequence[str] = (),
) -> Path:
    """Write an AHF_halos catalogue.

    Parameters
    ----------
    path
        The file.
    columns
        Arrays (n,) by AHF's column name, in AHF's units (Msun/h, comoving kpc/h, km/s); names of
        `AHF_COLUMNS` that are not given are written as 0. ``Mvir`` and ``Rvir`` are taken for ``Mhalo``
        and ``Rhalo``.
    naming
        ``new`` (Mhalo, Rhalo) or ``old`` (Mvir, Rvir).
    separator
        Between columns: a tab, or spaces.
    inserted
        Names of columns put in after the 42nd, as some builds of AHF do.

    Returns
    -------
    Path
        The file.
    """
    given = {{"Mvir": "Mhalo", "Rvir": "Rhalo"}.get(name, name): np.asarray(v) for name, v in columns.items()}
    names = [*AHF_COLUMNS[:42], *inserted, *AHF_COLUMNS[42:]]
    unknown = set(given) - set(names)
    if unknown:
        raise ValueError(f"not columns of AHF: {', '.join(sorted(unknown))}")
    rows = count(given)
    old = {"Mhalo": "Mvir", "Rhalo": "Rvir"} if naming == "old" else {}
    text = ["#" + separator.join(f"{old.get(name, name)}({i + 1})" for i, name in enumerate(names))]
    values = []
    for name in names:
        column = given.get(name, np.zeros(rows))
        if name in _AHF_INTEGERS:
            values.append([str(int(value)) for value in column])
        elif name in ("Xc", "Yc", "Zc"):
            values.append([f"{float(value):.8f}" for value in column])
        else:
            values.append([f"{float(value):.8g}" for value in column])
    text += [separator.join(row) for row in zip(*values, strict=True)]
    path = Path(path)
    with renamed_into_place(path) as partial:
        partial.write_text("\n".join(text) + "\n", encoding="ascii")
    return path
