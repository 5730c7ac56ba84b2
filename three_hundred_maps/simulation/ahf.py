"""AHF_halos catalogues: columns are found by name, whatever their number and order."""

from __future__ import annotations

import glob
import io
import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.halos import NO_HOST, Halos
from three_hundred_maps.simulation.snapshot import LENGTH_UNITS

# Our name: AHF's names, newest first. Lower case: builds differ in it.
_NAMES = {
    "id": ("id", "haloid"),
    "host": ("hosthalo",),
    "mass": ("mhalo", "mvir", "m200c"),
    "radius": ("rhalo", "rvir", "r200c"),
    "x": ("xc",),
    "y": ("yc",),
    "z": ("zc",),
    "f_high_resolution": ("fmhires",),
    "com_offset": ("com_offset",),
}
_OPTIONAL = ("f_high_resolution", "com_offset")
_LARGEST_BYTES = 1 << 32
_COLUMN = re.compile(r"^(?P<name>[^()]+?)(\(\d+\))?$")
_REDSHIFT = re.compile(r"\.z(?P<z>\d+\.\d+)\.(?:\d+\.)?AHF_halos")


def read_ahf(
    path: str | Path, *, cosmology: Cosmology, redshift: float, length_unit: str | None = None
) -> Halos:
    """Read an AHF_halos catalogue: see `halos.read_catalogue`.

    A host of -1, or of 0 where no halo has the identifier 0, means that there is none. The redshift is taken
    from the file's name, where AHF writes it (``.z0.989.``).
    """
    files = ahf_files(path)
    columns: list[str] | None = None
    tables = []
    for file in files:
        columns, part = _read_table(file, columns)
        tables.append(part)
    assert columns is not None
    table = np.concatenate(tables)
    if not len(table):
        raise InputError(f"{files[0]}: the catalogue has no halos")
    identifiers = np.concatenate([_identifiers(file, columns) for file in files])
    halo_id, host = identifiers[:, 0], identifiers[:, 1]
    host = np.where((host < 0) | ((host == 0) & ~np.any(halo_id == 0)), NO_HOST, host)
    unit = _length_unit(length_unit, cosmology, redshift)

    def column(name: str) -> NDArray[np.float64]:
        return table[:, _position(columns, name, files[0])]

    mass, radius = column("mass") / cosmology.h, column("radius") * unit
    centre = np.stack([column("x"), column("y"), column("z")], 1) * unit
    for name, values in (("mass", mass), ("radius", radius), ("centre", centre.ravel())):
        if not np.isfinite(values).all():
            raise InputError(f"{files[0]}: a {name} in the catalogue is not a finite number")
    if (mass <= 0).any() or (radius <= 0).any():
        row = int(np.argmax((mass <= 0) | (radius <= 0)))
        raise InputError(f"{files[0]}: halo {halo_id[row]} has a mass or radius of zero or less")
    if len(np.unique(halo_id)) != len(halo_id):
        raise InputError(f"{files[0]}: halo identifiers occur twice: files of different snapshots?")
    f_high = column("f_high_resolution") if _has(columns, "f_high_resolution") else np.ones(len(table))
    offset = np.full(len(table), math.nan)
    if _has(columns, "com_offset"):
        offset = column("com_offset") * unit / radius
    return Halos(
        halo_id=halo_id,
        host_id=host,
        centre_kpc=centre,
        M200c_msun=mass,
        R200c_kpc=radius,
        f_high_resolution=f_high,
        com_offset=offset,
        f_sub=substructure_fraction(halo_id, host, mass),
        redshift=_redshift_of(files),
        source="ahf",
    )


def substructure_fraction(
    halo_id: NDArray[np.int64], host_id: NDArray[np.int64], mass: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) mass of the halos directly inside each halo, over its own mass."""
    order = np.argsort(halo_id)
    where = np.searchsorted(halo_id, host_id, sorter=order)
    where = order[np.minimum(where, len(order) - 1)]
    inside = (halo_id[where] == host_id) & (host_id != NO_HOST)
    return np.bincount(where[inside], weights=mass[inside], minlength=len(mass)) / mass


def ahf_files(path: str | Path) -> list[Path]:
    """The files of a catalogue: one, all of an MPI run, or those of a pattern or prefix."""
    path = Path(path)
    if path.is_file():
        match = re.match(r"^(?P<stem>.+)\.(?P<rank>\d{4})(?P<rest>\.z\d+\.\d+\.AHF_halos)$", path.name)
        if match is None:
            return [path]
        return sorted(path.parent.glob(f"{glob.escape(match['stem'])}.[0-9][0-9][0-9][0-9]{match['rest']}"))
    pattern = str(path) if any(sign in str(path) for sign in "*?[") else f"{glob.escape(str(path))}*AHF_halos"
    found = sorted(Path(name) for name in glob.glob(pattern) if Path(name).is_file())
    if not found:
        raise InputError(f"{path}: no AHF_halos catalogue here (nothing matches {Path(pattern).name})")
    of = {re.sub(r"\.\d{4}(\.z\d)", r"\1", name.name) for name in found}
    if len(of) > 1:
        raise InputError(f"{path}: {len(of)} different catalogues match: {', '.join(sorted(of)[:3])}")
    return found


def _lines(path: Path) -> tuple[str, str]:
    """The header line (empty if there is none) and the rest."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(f"{path}: over 4 GiB: not a catalogue of one snapshot")
        text = path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise InputError(f"{path}: this is not a text file: an AHF_halos catalogue was expected") from None
    if not text.startswith("#"):
        return "", text
    header, _, rows = text.partition("\n")
    return header, rows


def _read_table(path: Path, columns: list[str] | None) -> tuple[list[str], NDArray[np.float64]]:
    """Column names and the (n, columns) values of one file; only rank 0 of an MPI run writes the names."""
    header, rows = _lines(path)
    if header:
        names = [_COLUMN.match(word) for word in header.lstrip("#").split()]
        found = [match["name"].lower() if match else "?" for match in names]
        if columns is not None and found != columns:
            raise InputError(f"{path}: has other columns than the first file of this catalogue")
        columns = found
    if columns is None:
        raise InputError(f"{path}: the first line does not name the columns (#ID(1) hostHalo(2) ...)")
    for name in _NAMES:
        if name not in _OPTIONAL:
            _position(columns, name, path)
    if not rows.strip():
        return columns, np.zeros((0, len(columns)))
    try:
        table = np.loadtxt(io.StringIO(rows), dtype=np.float64, ndmin=2, comments="#")
    except ValueError as error:
        reason = str(error).split(";")[0]
        raise InputError(f"{path}: cannot be read as a table (cut short, or damaged): {reason}") from None
    if table.shape[1] != len(columns):
        raise InputError(
            f"{path}: {len(columns)} columns are named, the rows have {table.shape[1]}: cut short, or damaged"
        )
    if not rows.endswith("\n"):
        raise InputError(f"{path}: the last line has no end: the file was cut short")
    return columns, table


def _identifiers(path: Path, columns: list[str]) -> NDArray[np.int64]:
    """(n, 2) identifier and host as integers: AHF's run to 19 digits, more than a float64 holds."""
    _, rows = _lines(path)
    wanted = (_position(columns, "id", path), _position(columns, "host", path))
    try:
        pairs = [
            [int(words[k]) for k in wanted]
            for words in (line.split() for line in rows.splitlines())
            if words and not words[0].startswith("#")
        ]
        return np.array(pairs, np.int64).reshape(-1, 2)
    except (ValueError, OverflowError, IndexError):
        raise InputError(f"{path}: a halo identifier is not a whole number that fits") from None


def _has(columns: list[str], name: str) -> bool:
    return any(given in columns for given in _NAMES[name])


def _position(columns: list[str], name: str, path: Path) -> int:
    for given in _NAMES[name]:
        if given in columns:
            return columns.index(given)
    raise InputError(f"{path}: no column {_NAMES[name][0]!r} among {', '.join(columns[:12])}, ...")


def _length_unit(length_unit: str | None, cosmology: Cosmology, redshift: float) -> float:
    """Proper kpc of one unit of length of the catalogue, comoving kpc/h unless said otherwise."""
    kpc, with_h = LENGTH_UNITS[length_unit or "kpc/h"]
    return kpc / (cosmology.h if with_h else 1.0) / (1.0 + redshift)


def _redshift_of(files: list[Path]) -> float:
    match = _REDSHIFT.search(files[0].name)
    return float(match["z"]) if match else math.nan
