"""A halo catalogue on disk, read by the reader of its kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.ahf import read_ahf
from three_hundred_maps.simulation.catalogues.csv_catalogue import read_csv
from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.catalogues.hdf5_tables import read_caesar, read_soap
from three_hundred_maps.simulation.catalogues.rockstar import read_rockstar
from three_hundred_maps.simulation.catalogues.subfind import read_subfind
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.readers.snapshot_files import Paths, first_path

READERS: Mapping[str, Callable[..., Halos]] = {
    "ahf": read_ahf,
    "subfind": read_subfind,
    "rockstar": read_rockstar,
    "soap": read_soap,
    "caesar": read_caesar,
    "csv": read_csv,
}
"""By the kind that a recipe names."""


def read_catalogue(
    kind: str, path: Paths, *, cosmology: Cosmology, redshift: float, length_unit: str | None = None
) -> Halos:
    """Read a halo catalogue of the snapshot with ``cosmology`` at ``redshift``.

    Parameters
    ----------
    kind
        ``ahf`` (AHF_halos text), ``subfind`` (FOF/SUBFIND HDF5, as of GADGET-4 and IllustrisTNG),
        ``rockstar`` (text), ``soap`` (HDF5, of SWIFT), ``caesar`` (HDF5, of SIMBA) or ``csv`` (see
        `read_csv`).
    path
        A file, the common prefix of a set of files, or a pattern with ``*``; of SUBFIND also a list, which
        is then these files alone of a larger table.
    cosmology, redshift
        Of the snapshot: to remove h and make lengths proper.
    length_unit
        Of a SUBFIND table that does not say its units, as its snapshot may not.

    Raises
    ------
    InputError
        Where nothing can be read, a column is missing, or the catalogue is of another redshift.
    """
    if kind not in READERS:
        raise InputError(f"simulation.catalogue.kind {kind!r} is unknown: write one of {', '.join(READERS)}")
    if kind != "subfind" and not isinstance(path, str | Path):
        raise InputError(
            f"{first_path(path)}: a list of files is understood for a catalogue of kind subfind alone"
        )
    units = {"length_unit": length_unit} if kind == "subfind" else {}  # the others have their own
    halos = READERS[kind](path, cosmology=cosmology, redshift=redshift, **units)
    # File names of AHF carry three decimals.
    if math.isfinite(halos.redshift) and abs(halos.redshift - redshift) > 0.002 * (1.0 + redshift):
        raise InputError(
            f"{first_path(path)}: this catalogue is of redshift {halos.redshift:.4g}, "
            f"the snapshot of {redshift:.4g}; give the catalogue of the same snapshot"
        )
    return halos
