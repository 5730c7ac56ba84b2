"""Halo catalogues of one HDF5 file whose columns carry their units: SOAP and CAESAR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.halos import Halos, substructure_within
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.readers import hdf5_safe as safe
from three_hundred_maps.units import KPC_CM, SUN_G

_PHYSICAL_CGS = "Conversion factor to physical CGS (including cosmological corrections)"


@dataclass(frozen=True)
class _Columns:
    """Columns of a catalogue by their path in the file, all of ``rows`` rows."""

    file: h5py.File
    path: Path
    rows: int

    def dataset(self, name: str) -> h5py.Dataset | None:
        """The data set, None where it is not there."""
        folder, _, last = name.rpartition("/")
        group = safe.optional_group(self.file, folder, self.path)
        if group is None or group.get(last, getlink=True) is None:
            return None
        return safe.dataset(group, last, self.path, self.rows)

    def need(self, names: tuple[str, ...], width: int = 1) -> h5py.Dataset:
        """The first of several data sets, of (n,) or (n, 3)."""
        found = next((found for name in names if (found := self.dataset(name)) is not None), None)
        if found is None:
            folder = names[0]
            while (group := safe.optional_group(self.file, folder, self.path)) is None:
                folder = folder.rpartition("/")[0]  # the innermost that is there
            raise InputError(f"{self.path}: no {' or '.join(names)}: {safe.holds(group)}")
        if found.shape[1:] != (() if width == 1 else (width,)):
            raise InputError(f"{self.path}: {found.name} has shape {found.shape}")
        return found


def _rows(file: h5py.File, path: Path, names: tuple[str, ...]) -> _Columns:
    """The columns, as many rows as the first of ``names`` that is there has."""
    for name in names:
        folder, _, last = name.rpartition("/")
        group = safe.optional_group(file, folder, path)
        shape = safe.shape(group, last) if group is not None else ()
        if shape:
            if not shape[0]:
                raise InputError(f"{path}: the catalogue has no halos")
            return _Columns(file, path, shape[0])
    raise InputError(f"{path}: no {' or '.join(names)}: a catalogue of another kind")


def _finite(values: NDArray[np.float64], name: str, path: Path) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {name} holds numbers that are not finite")
    return values


def _whole(dataset: h5py.Dataset, path: Path) -> NDArray[np.int64]:
    if dataset.dtype.kind not in "iu" or dataset.ndim != 1:
        raise InputError(
            f"{path}: {dataset.name} holds {dataset.dtype} of shape {dataset.shape}, expected numbers"
        )
    return np.asarray(dataset[()], np.int64)


def read_soap(path: str | Path, *, cosmology: Cosmology, redshift: float) -> Halos:
    """Read a SOAP catalogue (of SWIFT runs such as FLAMINGO and COLIBRE): see `catalogue.read_catalogue`.

    Halos are named by their index in the input catalogue, and lie in the halo that SOAP names as their host.
    ``f_sub`` counts the bound masses of the satellites within R200c. Units are those of each data set.
    """
    path = Path(path)
    centres = ("InputHalos/HaloCentre", "VR/CentreOfPotential")
    with safe.opened(path) as file:
        columns = _rows(file, path, centres)

        def column(names: tuple[str, ...], unit_cgs: float, width: int = 1) -> NDArray[np.float64]:
            dataset = columns.need(names, width)
            factor = safe.number(dataset, path, _PHYSICAL_CGS)
            if not 0.0 < factor < 1e70:
                raise InputError(f"{path}: the unit of {dataset.name}, {factor:g} in cgs, makes no sense")
            return _finite(np.asarray(dataset[()], np.float64) * (factor / unit_cgs), dataset.name, path)

        mass = column(("SO/200_crit/TotalMass",), SUN_G)
        radius = column(("SO/200_crit/SORadius",), KPC_CM)
        centre = column(centres, KPC_CM, 3)
        halo_id = _whole(columns.need(("InputHalos/HaloCatalogueIndex", "VR/ID")), path)
        host = _soap_hosts(columns, halo_id)
        bound = None
        if columns.dataset("BoundSubhalo/TotalMass") is not None:
            bound = column(("BoundSubhalo/TotalMass",), SUN_G)
        own = safe.first_number(
            safe.groups(file, ("Cosmology", "Header"), path), path, ("Redshift",), default=math.nan
        )
        box = np.zeros(1)
        for header in safe.groups(file, ("Header",), path):
            box = safe.array(header, path, "BoxSize", longest=3, default=box)
        scale = safe.number(columns.need(centres, 3), path, _PHYSICAL_CGS) / KPC_CM
    f_sub = None
    if bound is not None:
        f_sub = substructure_within(host, centre, bound, centre, radius, mass, float(box[0]) * scale)
    # Satellites have no spherical overdensity of their own.
    used = (mass > 0) & (radius > 0) & (host < 0)
    return Halos.of(
        path,
        halo_id=halo_id[used],
        centre_kpc=centre[used],
        M200c_msun=mass[used],
        R200c_kpc=radius[used],
        f_sub=None if f_sub is None else f_sub[used],
        redshift=own,
        source="soap",
    )


def _soap_hosts(columns: _Columns, halo_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) row of the halo that each lies in, -1 for none."""
    path = columns.path
    rows = columns.dataset("SOAP/HostHaloIndex")
    if rows is not None:
        host = _whole(rows, path)
    elif (named := columns.dataset("VR/HostHaloID")) is not None:
        identifiers = _whole(named, path)
        order = np.argsort(halo_id)
        host = order[np.searchsorted(halo_id, identifiers, sorter=order).clip(0, len(order) - 1)]
        host = np.where((identifiers >= 0) & (halo_id[host] == identifiers), host, -1)
    else:
        central = _whole(columns.need(("InputHalos/IsCentral",)), path)
        # Which halo a satellite lies in is not said: it is left out, and adds to no substructure.
        return np.where(central != 0, -1, np.arange(len(halo_id)))
    if (host >= len(halo_id)).any():
        raise InputError(
            f"{path}: a host is row {host.max()} of {len(halo_id)}: only a part of the catalogue"
        )
    return np.maximum(host, -1)


def read_caesar(path: str | Path, *, cosmology: Cosmology, redshift: float) -> Halos:
    """Read the halos of a CAESAR file (of SIMBA runs): see `catalogue.read_catalogue`.

    Every halo of CAESAR is a friends-of-friends group, so all are distinct; they are centred on the minimum
    of their potential. Units are those of each data set's attribute ``unit``.
    """
    path = Path(path)
    with safe.opened(path) as file:
        columns = _rows(file, path, ("halo_data/GroupID",))

        def column(names: tuple[str, ...], units: dict[str, float], width: int = 1) -> NDArray[np.float64]:
            dataset = columns.need(names, width)
            unit = safe.text(dataset, "unit").replace(" ", "")
            if unit not in units:
                raise InputError(
                    f"{path}: {dataset.name} is in {unit!r}: only {', '.join(units)} are understood"
                )
            values = np.asarray(dataset[()], np.float64) * units[unit]
            # CAESAR divides by zero where a group is too small for an M200c.
            values[np.isnan(values) & ("virial" in dataset.name)] = 0.0
            return _finite(values, dataset.name, path)

        h, a = cosmology.h, 1.0 / (1.0 + redshift)
        lengths = {
            f"{name}{comoving}{over_h}": kpc * (a if comoving else 1.0) / (h if over_h else 1.0)
            for name, kpc in (("kpc", 1.0), ("Mpc", 1e3))
            for comoving in ("cm", "")
            for over_h in ("/h", "")
        }
        masses = {"Msun": 1.0, "Msun/h": 1.0 / h, "g": 1.0 / SUN_G}
        mass = column(("halo_data/dicts/virial_quantities.m200c",), masses)
        radius = column(("halo_data/dicts/virial_quantities.r200c",), lengths)
        centre = column(("halo_data/minpotpos", "halo_data/pos"), lengths, 3)
        halo_id = _whole(columns.need(("halo_data/GroupID",)), path)
        said = safe.groups(file, ("simulation_attributes",), path)
        own = safe.first_number(said, path, ("redshift",), default=math.nan)
    used = (mass > 0) & (radius > 0)
    return Halos.of(
        path,
        halo_id=halo_id[used],
        centre_kpc=centre[used],
        M200c_msun=mass[used],
        R200c_kpc=radius[used],
        redshift=own,
        source="caesar",
    )
