"""A halo catalogue on disk, read by the reader of its kind."""

from __future__ import annotations

import math
from pathlib import Path

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.ahf import read_ahf
from three_hundred_maps.simulation.catalogues.csv_catalogue import read_csv
from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.catalogues.hdf5_tables import read_caesar, read_soap
from three_hundred_maps.simulation.catalogues.rockstar import read_rockstar
from three_hundred_maps.simulation.catalogues.subfind import read_subfind
from three_hundred_maps.simulation.cosmology import Cosmology

KINDS = ("ahf", "subfind", "rockstar", "soap", "caesar", "csv")
"""Of catalogues that `read_catalogue` reads."""


def read_catalogue(
    kind: str, path: str | Path, *, cosmology: Cosmology, redshift: float, length_unit: str | None = None
) -> Halos:
    """Read a halo catalogue of the snapshot with ``cosmology`` at ``redshift``.

    Parameters
    ----------
    kind
        ``ahf`` (AHF_halos text), ``subfind`` (FOF/SUBFIND HDF5, as of GADGET-4 and IllustrisTNG),
        ``rockstar`` (text), ``soap`` (HDF5, of SWIFT), ``caesar`` (HDF5, of SIMBA) or ``csv`` (see
        `read_csv`).
    path
        A file, the common prefix of a set of files, or a pattern with ``*``.
    cosmology, redshift
        Of the snapshot: to remove h and make lengths proper.
    length_unit
        ``kpc/h`` or ``Mpc/h`` where the catalogue's lengths are not what its format says.

    Raises
    ------
    InputError
        Where nothing can be read, a column is missing, or the catalogue is of another redshift.
    """
    if kind == "ahf":
        halos = read_ahf(path, cosmology=cosmology, redshift=redshift, length_unit=length_unit)
    elif kind == "subfind":
        halos = read_subfind(path, cosmology=cosmology, redshift=redshift, length_unit=length_unit)
    elif kind == "csv":
        halos = read_csv(path, cosmology=cosmology, redshift=redshift)
    elif kind == "rockstar":
        halos = read_rockstar(path, cosmology=cosmology, redshift=redshift)
    elif kind == "soap":
        halos = read_soap(path, cosmology=cosmology, redshift=redshift)
    elif kind == "caesar":
        halos = read_caesar(path, cosmology=cosmology, redshift=redshift)
    else:
        raise InputError(f"catalogue kind {kind!r} is unknown: write one of {', '.join(KINDS)}")
    _check_redshift(halos, path, redshift)
    return halos


def _check_redshift(halos: Halos, path: str | Path, redshift: float) -> None:
    """Refuse a catalogue of another snapshot; file names of AHF carry three decimals."""
    if math.isfinite(halos.redshift) and abs(halos.redshift - redshift) > 0.002 * (1.0 + redshift):
        raise InputError(
            f"{path}: this catalogue is of redshift {halos.redshift:.4g}, the snapshot of {redshift:.4g}; "
            "give the catalogue of the same snapshot"
        )
