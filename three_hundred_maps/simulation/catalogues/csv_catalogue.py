"""Halo catalogues in CSV: named columns whose names carry the unit."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.halos import NO_HOST, Halos, substructure_fraction
from three_hundred_maps.simulation.cosmology import Cosmology

# Endings of length columns: kpc, whether 1/h is in the unit, whether it is comoving.
LENGTH_ENDINGS = {
    "ckpc_h": (1.0, True, True),
    "cMpc_h": (1e3, True, True),
    "ckpc": (1.0, False, True),
    "cMpc": (1e3, False, True),
    "kpc": (1.0, False, False),
    "Mpc": (1e3, False, False),
}
MASS_ENDINGS = {"msun_h": True, "msun": False}
_OPTIONAL = ("f_high_resolution", "com_offset", "f_sub")
"""Of these a number that is not finite means that the halo has none."""


def read_csv(path: str | Path, *, cosmology: Cosmology, redshift: float) -> Halos:
    """Read a CSV catalogue.

    Parameters
    ----------
    path
        A file whose first line names the columns. Needed: ``halo_id`` (whole numbers), ``x_U``, ``y_U``,
        ``z_U`` with U one of ckpc_h, cMpc_h (comoving, over h), ckpc, cMpc (comoving), kpc, Mpc (proper), and
        ``M200c_msun_h`` or ``M200c_msun``. Optional: ``R200c_U`` (else from the mass), ``host_id`` (-1 or
        its own for none), ``f_high_resolution``, ``com_offset`` (in R200c), ``f_sub``, ``redshift``. Others
        are not read.
    cosmology, redshift
        Of the snapshot.

    Raises
    ------
    InputError
        Naming the file, the line and the column.
    """
    path = Path(path)
    table = CsvTable.read(path)
    columns = table.columns

    def length(axis: str) -> NDArray[np.float64] | None:
        for ending, (kpc, with_h, comoving) in LENGTH_ENDINGS.items():
            if f"{axis}_{ending}" in columns:
                unit = kpc / (cosmology.h if with_h else 1.0) / (1.0 + redshift if comoving else 1.0)
                return table.numbers(f"{axis}_{ending}") * unit
        return None

    axes = [length(axis) for axis in "xyz"]
    masses = [name for name in MASS_ENDINGS if f"M200c_{name}" in columns]
    given = [axis for axis in axes if axis is not None]
    if "halo_id" not in columns or len(given) < 3 or not masses:
        raise InputError(
            f"{path}: needs columns halo_id, x_U, y_U, z_U (U one of {', '.join(LENGTH_ENDINGS)}) and "
            f"M200c_msun_h or M200c_msun; found {', '.join(columns)[:300]}"
        )
    mass = table.numbers(f"M200c_{masses[0]}") / (cosmology.h if MASS_ENDINGS[masses[0]] else 1.0)
    radius = length("R200c")
    if radius is None:
        radius = cosmology.radius_200c_kpc(mass, redshift)
    halo_id = table.numbers("halo_id", int)
    host = None
    if "host_id" in columns:
        host = np.maximum(table.numbers("host_id", int), NO_HOST)
        host[host == halo_id] = NO_HOST
    own = math.nan
    if columns.get("redshift"):
        redshifts = table.numbers("redshift")
        if np.ptp(redshifts) > 1e-6:
            raise InputError(f"{path}: holds halos of several redshifts: give one file a snapshot")
        own = float(redshifts[0])
    given_of = {name: table.numbers(name) for name in _OPTIONAL if name in columns}
    if host is not None and "f_sub" not in given_of:
        given_of["f_sub"] = substructure_fraction(halo_id, host, mass)
    if "f_high_resolution" in given_of:
        given_of["f_high_resolution"] = np.nan_to_num(given_of["f_high_resolution"], nan=1.0)
    return Halos.of(
        path,
        halo_id=halo_id,
        host_id=host,
        centre_kpc=np.stack(given, 1),
        M200c_msun=mass,
        R200c_kpc=radius,
        redshift=own,
        source="csv",
        **given_of,
    )


@dataclass(frozen=True)
class CsvTable:
    """The text of every column by name, and the line of the file that each row ends on."""

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]

    @staticmethod
    def read(path: Path) -> CsvTable:
        """Read a file whose first line names the columns; empty lines and lines of # are skipped."""
        try:
            with open(path, encoding="utf-8-sig", newline="") as stream:
                reader = csv.reader(stream)
                rows = [(reader.line_num, row) for row in reader if row and not row[0].startswith("#")]
        except (UnicodeDecodeError, csv.Error):
            raise InputError(f"{path}: this is not a CSV file") from None
        except (FileNotFoundError, IsADirectoryError):
            raise InputError(f"{path}: no such file") from None
        names = [name.strip() for name in rows[0][1]] if rows else []
        if len(set(names)) != len(names) or not names:
            raise InputError(f"{path}: the first line must name the columns, each once")
        for line, row in rows:
            if len(row) != len(names):
                raise InputError(f"{path}: line {line} has {len(row)} fields, expected {len(names)}")
        cells = [row for _, row in rows[1:]]
        columns = {name: [row[place] for row in cells] for place, name in enumerate(names)}
        return CsvTable(path, columns, [line for line, _ in rows[1:]])

    def numbers(self, name: str, kind: type = float) -> NDArray[Any]:
        """(n,) a column of floats, or of whole numbers: int64."""
        column = self.columns[name]
        values = np.empty(len(column), np.int64 if kind is int else np.float64)
        for row, text in enumerate(column):
            try:
                values[row] = kind(text)
            except (ValueError, OverflowError):
                what = "a whole number" if kind is int else "a number"
                raise InputError(self._bad(name, row, what)) from None
        for row in np.flatnonzero(~np.isfinite(values)).tolist():
            if name not in _OPTIONAL:
                raise InputError(self._bad(name, row, "a finite number"))
            values[row] = math.nan
        return values

    def _bad(self, name: str, row: int, wanted: str) -> str:
        return f"{self.path}: line {self.lines[row]}: {name} is {self.columns[name][row]!r}, not {wanted}"
