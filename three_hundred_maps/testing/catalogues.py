"""Halo catalogues in the forms of other halo finders, written from `Halos`: for tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.writers.ahf import write_ahf
from three_hundred_maps.units import KM_CM, KPC_CM, SUN_G

_ROCKSTAR_COLUMNS = re.findall(
    r"\S+",
    "ID DescID Mvir Vmax Vrms Rvir Rs Np X Y Z VX VY VZ JX JY JZ Spin rs_klypin Mvir_all M200b M200c M500c "
    "M2500c Xoff Voff spin_bullock b_to_a c_to_a A[x] A[y] A[z] b_to_a(500c) c_to_a(500c) A[x](500c) "
    "A[y](500c) A[z](500c) T/|U| M_pe_Behroozi M_pe_Diemer Halfmass_Radius",
)
_CONCENTRATION = 5.0


def write_catalogue(
    kind: str,
    path: str | Path,
    halos: Halos,
    *,
    cosmology: Cosmology,
    redshift: float,
    box_kpc: float,
    files: int = 1,
    **options: Any,
) -> Path:
    """Write a catalogue in the form of a halo finder.

    Parameters
    ----------
    kind
        ahf, rockstar, soap, caesar, subfind or csv.
    path
        The file; of several, ``NAME.0.hdf5`` or ``NAME.0.ascii``, ...
    halos
        What is in it; subhaloes are those with a host. CAESAR holds the distinct ones alone, SUBFIND and
        SOAP only their mass.
    cosmology, redshift, box_kpc
        Of the snapshot; proper kpc.
    files
        Of rockstar and subfind.
    options
        Of rockstar: ``parents``, ``m200c`` (whether these columns are there); of subfind: ``lengths``.

    Returns
    -------
    Path
        What `read_catalogue` is to be given.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unit = cosmology.h * (1.0 + redshift)  # comoving kpc/h in a proper kpc
    table = _Table(halos, cosmology, redshift, box_kpc, unit)
    writers: Mapping[str, Callable[..., Path]] = {
        "rockstar": _write_rockstar,
        "soap": _write_soap,
        "caesar": _write_caesar,
        "subfind": _write_subfind,
        "csv": _write_csv,
        "ahf": _write_ahf,
    }
    if files > 1:
        options["files"] = files
    return writers[kind](path, table, **options)


class _Table:
    """Halos, and what their headers say."""

    def __init__(
        self, halos: Halos, cosmology: Cosmology, redshift: float, box_kpc: float, unit: float
    ) -> None:
        self.halos, self.cosmology, self.redshift, self.box_kpc = halos, cosmology, redshift, box_kpc
        self.unit, self.h, self.a = unit, cosmology.h, 1.0 / (1.0 + redshift)


def _write_ahf(path: Path, table: _Table) -> Path:
    halos, unit = table.halos, table.unit
    columns = {
        "ID": halos.halo_id,
        "hostHalo": halos.host_id,
        "Mhalo": halos.M200c_msun * table.h,
        "Rhalo": halos.R200c_kpc * unit,
        **{f"{axis.upper()}c": halos.centre_kpc[:, k] * unit for k, axis in enumerate("xyz")},
        "fMhires": halos.f_high_resolution,
        "com_offset": halos.com_offset * halos.R200c_kpc * unit,
    }
    return write_ahf(path, columns)


def _write_csv(path: Path, table: _Table) -> Path:
    halos = table.halos
    names = "halo_id,x_kpc,y_kpc,z_kpc,M200c_msun,R200c_kpc,host_id,f_high_resolution"
    rows = [
        f"{halos.halo_id[i]},{','.join(repr(float(x)) for x in halos.centre_kpc[i])},"
        f"{float(halos.M200c_msun[i])!r},{float(halos.R200c_kpc[i])!r},{halos.host_id[i]},"
        f"{float(halos.f_high_resolution[i])!r}"
        for i in range(len(halos))
    ]
    path.write_text("\n".join([names, *rows]) + "\n")
    return path


def _write_rockstar(
    path: Path, table: _Table, *, files: int = 1, parents: bool = True, m200c: bool = True
) -> Path:
    """``out_N.list``, or ``halos_N.M.ascii`` in several files."""
    halos, n = table.halos, len(table.halos)
    ascii_form = files > 1 or path.suffix == ".ascii"
    names = [name for name in _ROCKSTAR_COLUMNS if m200c or name != "M200c"]
    values: dict[str, NDArray[Any]] = {name: np.zeros(n) for name in names}
    scale = halos.R200c_kpc / _CONCENTRATION
    values |= {
        "Mvir": 1.2 * halos.M200c_msun * table.h,
        "M500c": 0.7 * halos.M200c_msun * table.h,
        "M200c": halos.M200c_msun * table.h,
        "Rs": scale * table.unit,
        "Rvir": 1.3 * halos.R200c_kpc * table.unit,
        **{axis: halos.centre_kpc[:, k] * table.unit / 1e3 for k, axis in enumerate("XYZ")},
    }
    ids = {"ID": halos.halo_id, "DescID": np.full(n, -1), "PID": halos.host_id}
    if parents:
        names.append("PID")
    if ascii_form:
        names = [name.lower() for name in names]
        values = {name.lower(): column for name, column in values.items()}
        ids = {name.lower(): column for name, column in ids.items()}
    cosmology = table.cosmology
    heading = [
        "#" + " ".join(names),
        f"#a = {table.a:f}",
        f"#Om = {cosmology.omega_m:f}; Ol = {cosmology.omega_lambda:f}; h = {table.h:f}",
        f"#Box size: {table.box_kpc * table.unit / 1e3:f} Mpc/h",
        "#Units: Masses in Msun / h",
        "#Units: Positions in Mpc / h (comoving)",
        "#Units: Velocities in km / s (physical, peculiar)",
        "#Units: Halo Distances, Lengths, and Radii in kpc / h (comoving)",
    ]
    written = []
    for part in range(files):
        rows = range(part, n, files)
        lines = [
            " ".join(str(ids[name][i]) if name in ids else f"{values[name][i]:.9g}" for name in names)
            for i in rows
        ]
        name = path if files == 1 else path.with_name(f"{path.name.removesuffix('.ascii')}.{part}.ascii")
        name.write_text("\n".join([*heading, *lines]) + "\n")
        written.append(name)
    return written[0]


def _write_soap(path: Path, table: _Table) -> Path:
    """One file with comoving Mpc and 1e10 Msun, as SWIFT's units are."""
    halos = table.halos
    rows = {int(i): row for row, i in enumerate(halos.halo_id)}
    host = np.array([rows.get(int(i), -1) for i in halos.host_id], np.int64)
    central = host < 0
    cosmology = table.cosmology
    with h5py.File(path, "w") as file:
        file.create_group("Header").attrs.update(
            {"BoxSize": np.full(3, table.box_kpc / table.a / 1e3), "OutputType": "SOAP"}
        )
        file.create_group("Cosmology").attrs.update(
            {"Redshift": np.array([table.redshift]), "h": np.array([cosmology.h])}
        )
        length, mass = 1e3 * KPC_CM, 1e10 * SUN_G

        def put(name: str, values: NDArray[Any], unit_cgs: float, comoving: bool) -> None:
            values = np.asarray(values)
            data = values if values.dtype.kind in "iu" else values.astype(np.float64)
            dataset = file.create_dataset(name, data=data, track_times=False)
            power = float(comoving)
            dataset.attrs["a-scale exponent"] = np.array([power])
            dataset.attrs["h-scale exponent"] = np.array([0.0])
            dataset.attrs["Conversion factor to CGS (not including cosmological corrections)"] = np.array(
                [unit_cgs]
            )
            dataset.attrs["Conversion factor to physical CGS (including cosmological corrections)"] = (
                np.array([unit_cgs * table.a**power])
            )

        put("InputHalos/HaloCatalogueIndex", halos.halo_id, 1.0, False)
        put("InputHalos/IsCentral", central.astype(np.int32), 1.0, False)
        put("InputHalos/HaloCentre", halos.centre_kpc / table.a / 1e3, length, True)
        put("SOAP/HostHaloIndex", host, 1.0, False)
        put("BoundSubhalo/TotalMass", halos.M200c_msun / 1e10, mass, False)
        put("SO/200_crit/TotalMass", np.where(central, halos.M200c_msun, 0.0) / 1e10, mass, False)
        put("SO/200_crit/SORadius", np.where(central, halos.R200c_kpc, 0.0) / table.a / 1e3, length, True)
    return path


def _write_caesar(path: Path, table: _Table) -> Path:
    halos = table.halos.select(table.halos.distinct)
    with h5py.File(path, "w") as file:
        file.create_group("simulation_attributes").attrs.update(
            {"redshift": table.redshift, "hubble_constant": table.h, "boxsize": table.box_kpc / table.a}
        )

        def put(name: str, values: NDArray[Any], unit: str = "") -> None:
            dataset = file.create_dataset(f"halo_data/{name}", data=values, track_times=False)
            if unit:
                dataset.attrs["unit"] = unit

        put("GroupID", halos.halo_id)
        put("minpotpos", halos.centre_kpc / table.a, "kpccm")
        put("dicts/masses.total", halos.M200c_msun * 1.2, "Msun")
        put("dicts/virial_quantities.m200c", halos.M200c_msun, "Msun")
        put("dicts/virial_quantities.r200c", halos.R200c_kpc / table.a, "kpccm")
    return path


def _write_subfind(
    path: Path, table: _Table, *, files: int = 1, lengths: NDArray[np.int64] | None = None
) -> Path:
    """FOF groups of the distinct halos in the order of the table, as IllustrisTNG's many files.

    ``lengths`` (groups, 6) are the particles of each group by type, where they are wanted.
    """
    halos, unit = table.halos, table.unit
    distinct = np.flatnonzero(halos.distinct)
    inside = [np.flatnonzero(halos.host_id == halos.halo_id[row]) for row in distinct]
    counts = np.array([1 + len(rows) for rows in inside])
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int)
    subs = np.concatenate([[row, *rows] for row, rows in zip(distinct, inside, strict=True)]).astype(int)
    group: dict[str, NDArray[Any]] = {
        "Group_M_Crit200": (halos.M200c_msun[distinct] * table.h / 1e10).astype(np.float32),
        "Group_R_Crit200": (halos.R200c_kpc[distinct] * unit).astype(np.float32),
        "GroupPos": halos.centre_kpc[distinct] * unit,
        "GroupFirstSub": first.astype(np.int32),
        "GroupNsubs": counts.astype(np.int32),
    }
    if lengths is not None:
        group["GroupLenType"] = lengths.astype(np.int32)
    subhalo = {
        "SubhaloMass": (halos.M200c_msun[subs] * table.h / 1e10).astype(np.float32),
        "SubhaloPos": halos.centre_kpc[subs] * unit,
    }
    cosmology = table.cosmology
    written = []
    for part in range(files):
        groups = np.array_split(np.arange(len(distinct)), files)[part]
        members = np.array_split(np.arange(len(subs)), files)[part]
        name = path if files == 1 else path.with_name(f"{path.name.removesuffix('.hdf5')}.{part}.hdf5")
        with h5py.File(name, "w") as file:
            file.create_group("Header").attrs.update(
                {
                    "Ngroups_ThisFile": np.int32(len(groups)),
                    "Ngroups_Total": np.int32(len(distinct)),
                    "Nsubgroups_ThisFile": np.int32(len(members)),
                    "Nsubgroups_Total": np.int32(len(subs)),
                    "NumFiles": np.int32(files),
                    "Redshift": table.redshift,
                    "Time": table.a,
                    "BoxSize": table.box_kpc * unit,
                    "HubbleParam": table.h,
                    "Omega0": cosmology.omega_m,
                    "OmegaLambda": cosmology.omega_lambda,
                    "UnitLength_in_cm": KPC_CM,
                    "UnitMass_in_g": 1e10 * SUN_G,
                    "UnitVelocity_in_cm_per_s": KM_CM,
                }
            )
            for folder, columns, rows in (("Group", group, groups), ("Subhalo", subhalo, members)):
                where = file.create_group(folder)
                for column, values in columns.items():
                    if len(rows):
                        where.create_dataset(column, data=values[rows], track_times=False)
        written.append(name)
    return written[0]
