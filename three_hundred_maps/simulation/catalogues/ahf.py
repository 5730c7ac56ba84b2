"""AHF_halos catalogues: columns are found by name, whatever their number and order."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from three_hundred_maps.simulation.catalogues.halos import NO_HOST, Halos, substructure_fraction
from three_hundred_maps.simulation.catalogues.text_table import TextTable
from three_hundred_maps.simulation.cosmology import Cosmology

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
_PIECE = re.compile(r"^(.+)\.\d{4}(\.z-?\d+\.\d+\.AHF_halos)$")
_ROCKSTAR = dict.fromkeys(("num_p", "mbound_vir", "descid", "desc_id"), "rockstar")


def read_ahf(path: str | Path, *, cosmology: Cosmology, redshift: float) -> Halos:
    """Read an AHF_halos catalogue: see `catalogue.read_catalogue`.

    Lengths are comoving kpc/h. A host of -1 means that there is none, and so does 0 where no halo has the
    identifier 0, or that halo would be its own host. Identifiers are unsigned in AHF: those above 2^63
    become negative (``np.uint64`` gives them back). The redshift is taken from the file's name, where AHF
    writes it (``.z0.989.``). A com_offset or fMhires that is not a number is taken as one that the catalogue
    does not give.
    """
    text = TextTable(_NAMES, _OPTIONAL, "an AHF_halos catalogue", _ROCKSTAR)
    file = text.read_all(path, _PIECE, "*AHF_halos")
    table = {name: text.numbers(name) for name in text.words if name not in ("id", "host")}
    halo_id, host = text.integers("id"), text.integers("host")
    none = np.array([word.startswith("-") for word in text.words["host"]])
    none |= (host == 0) & ~np.any((halo_id == 0) & (host != 0))
    host = np.where(none, NO_HOST, host)
    unit = 1.0 / cosmology.h / (1.0 + redshift)
    mass, radius = table["mass"] / cosmology.h, table["radius"] * unit
    high, named = table.get("f_high_resolution"), _REDSHIFT.search(file.name)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = table["com_offset"] * unit / radius if "com_offset" in table else None
    return Halos.of(
        file,
        halo_id=halo_id,
        host_id=host,
        centre_kpc=np.stack([table["x"], table["y"], table["z"]], 1) * unit,
        M200c_msun=mass,
        R200c_kpc=radius,
        f_high_resolution=None if high is None else np.nan_to_num(high, nan=1.0),
        com_offset=offset,
        f_sub=substructure_fraction(halo_id, host, mass),
        redshift=float(named["z"]) if named else math.nan,
        source="ahf",
    )
