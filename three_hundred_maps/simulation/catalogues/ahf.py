"""AHF_halos catalogues: columns are found by name, whatever their number and order."""

from __future__ import annotations

import glob
import math
import re
from pathlib import Path

import numpy as np

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.halos import NO_HOST, Halos, substructure_fraction
from three_hundred_maps.simulation.catalogues.text_table import TextTable
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.readers.source import LENGTH_UNITS

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
_REDSHIFT = re.compile(r"\.z(?P<z>-?\d+\.\d+)\.(?:\d+\.)?AHF_halos")
_PIECE = re.compile(r"^(?P<stem>.+)\.\d{4}(?P<rest>\.z-?\d+\.\d+\.AHF_halos)$")
_ROCKSTAR = dict.fromkeys(("num_p", "mbound_vir", "descid", "desc_id"), "rockstar")


def read_ahf(
    path: str | Path, *, cosmology: Cosmology, redshift: float, length_unit: str | None = None
) -> Halos:
    """Read an AHF_halos catalogue: see `catalogue.read_catalogue`.

    A host of -1, or of 0 where no halo has the identifier 0, means that there is none. Identifiers are
    unsigned in AHF: those above 2^63 become negative (``np.uint64`` gives them back). The redshift is taken
    from the file's name, where AHF writes it (``.z0.989.``). A com_offset or fMhires that is not a number is
    taken as one that the catalogue does not give.
    """
    files = ahf_files(path)
    text = TextTable(_NAMES, _OPTIONAL, "an AHF_halos catalogue", _ROCKSTAR)
    for file in files:
        text.read(file)
    if not len(text):
        raise InputError(f"{files[0]}: the catalogue has no halos")
    table = {name: text.numbers(name) for name in text.words if name not in ("id", "host")}
    halo_id, host = text.integers("id"), text.integers("host")
    none = np.array([word.startswith("-") for word in text.words["host"]])
    none |= (host == 0) & ~np.any(halo_id == 0)
    host = np.where(none, NO_HOST, host)
    unit = _length_unit(length_unit, cosmology, redshift)
    mass, radius = table["mass"] / cosmology.h, table["radius"] * unit
    centre = np.stack([table["x"], table["y"], table["z"]], 1) * unit
    if (mass <= 0).any() or (radius <= 0).any():
        row = int(np.argmax((mass <= 0) | (radius <= 0)))
        raise InputError(f"{files[0]}: halo {halo_id[row]} has a mass or radius of zero or less")
    if len(np.unique(halo_id)) != len(halo_id):
        raise InputError(f"{files[0]}: halo identifiers occur twice: files of different snapshots?")
    f_high = np.nan_to_num(table.get("f_high_resolution", np.ones(len(mass))), nan=1.0)
    offset = np.full(len(mass), math.nan)
    if "com_offset" in table:
        offset = table["com_offset"] * unit / radius
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


def ahf_files(path: str | Path) -> list[Path]:
    """The files of a catalogue: one, all of an MPI run, or those of a pattern or prefix."""
    path = Path(path)
    if path.is_file():
        match = _PIECE.match(path.name)
        if match is None:
            return [path]
        return sorted(path.parent.glob(f"{glob.escape(match['stem'])}.[0-9][0-9][0-9][0-9]{match['rest']}"))
    pattern = str(path) if any(sign in str(path) for sign in "*?[") else f"{glob.escape(str(path))}*AHF_halos"
    found = sorted(Path(name) for name in glob.glob(pattern) if Path(name).is_file())
    if not found:
        raise InputError(f"{path}: no AHF_halos catalogue here (nothing matches {Path(pattern).name})")
    of = {_PIECE.sub(r"\g<stem>\g<rest>", name.name) for name in found}
    if len(of) > 1:
        raise InputError(f"{path}: {len(of)} different catalogues match: {', '.join(sorted(of)[:3])}")
    return found


def _length_unit(length_unit: str | None, cosmology: Cosmology, redshift: float) -> float:
    """Proper kpc of one unit of length of the catalogue, comoving kpc/h unless said otherwise."""
    kpc, with_h = LENGTH_UNITS[length_unit or "kpc/h"]
    return kpc / (cosmology.h if with_h else 1.0) / (1.0 + redshift)


def _redshift_of(files: list[Path]) -> float:
    match = _REDSHIFT.search(files[0].name)
    return float(match["z"]) if match else math.nan
