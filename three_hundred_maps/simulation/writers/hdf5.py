"""HDF5 snapshots, as GIZMO writes them; another code's form is another `Dialect`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.io import renamed_into_place
from three_hundred_maps.simulation.writers.content import (
    SOLAR_SHARES,
    ParticleData,
    SnapshotHeader,
    count,
    counts,
    part_of,
)
from three_hundred_maps.units import KM_CM, KPC_CM, SUN_G

GADGET_NAMES = {
    "position": "Coordinates",
    "velocity": "Velocities",
    "id": "ParticleIDs",
    "mass": "Masses",
    "internal_energy": "InternalEnergy",
    "density": "Density",
    "electron_abundance": "ElectronAbundance",
    "neutral_fraction": "NeutralHydrogenAbundance",
    "smoothing_length": "SmoothingLength",
    "star_formation_rate": "StarFormationRate",
    "metallicity": "Metallicity",
    "formation_time": "StellarFormationTime",
    "delay_time": "DelayTime",
}


@dataclass(frozen=True)
class SetMember:
    """One file of a set: the particle numbers in it and in all of it, and which of how many it is."""

    here: NDArray[np.int64]
    total: NDArray[np.int64]
    part: int
    files: int


@dataclass(frozen=True)
class Dialect:
    """What differs between codes.

    Parameters
    ----------
    names
        Data set of each field; fields without one are left out.
    write_header
        Writes header and units; gives the factor of each field that has one.
    derived
        Data sets of one type that are not a field as it is: ``derived(fields, header, factors)``.
    annotate
        Puts a data set's attributes on it: ``annotate(dataset, field, factors)``.
    mass_table
        Whether masses may stand in the header's table; else every particle has its own.
    """

    names: Mapping[str, str]
    write_header: Callable[[h5py.File, SnapshotHeader, SetMember], dict[str, float]]
    derived: Callable[..., Mapping[str, NDArray[Any]]] = lambda *_: {}
    annotate: Callable[[h5py.Dataset, str, Mapping[str, float]], None] = lambda *_: None
    mass_table: bool = True


def gadget_header(
    file: h5py.File, header: SnapshotHeader, member: SetMember, *, metals: int = 1
) -> dict[str, float]:
    """The header that most of the Gadget family write; ``metals`` is the number of elements stored."""
    length = {"kpc/h": 1.0, "Mpc/h": 1e-3}[header.length_unit]
    attrs = file.create_group("Header").attrs
    attrs["NumPart_ThisFile"] = member.here.astype(np.int32)
    attrs["NumPart_Total"] = (member.total & 0xFFFFFFFF).astype(np.uint32)
    attrs["NumPart_Total_HighWord"] = (member.total >> 32).astype(np.uint32)
    attrs["MassTable"] = np.array(header.mass_table, np.float64)
    attrs["Time"] = header.time
    attrs["Redshift"] = header.redshift
    attrs["BoxSize"] = header.box_size * length
    attrs["NumFilesPerSnapshot"] = np.int32(member.files)
    attrs.update(background(header))
    if header.length_unit != "kpc/h":
        attrs.update(units_in_cgs(length))
    for flag in ("Flag_Sfr", "Flag_Cooling", "Flag_Feedback", "Flag_StellarAge", "Flag_Metals"):
        attrs[flag] = np.int32(metals if flag == "Flag_Metals" else 1)
    attrs["Flag_DoublePrecision"] = np.int32(0)
    attrs.update(header.extra)
    return {
        "position": length,
        "smoothing_length": length,
        "density": length**-3,
        "velocity": 1.0 / float(np.sqrt(header.time)),
    }


def background(header: SnapshotHeader) -> dict[str, float]:
    """The cosmology by the Gadget family's names."""
    cosmology = header.cosmology
    values = {
        "Omega0": cosmology.omega_m,
        "OmegaLambda": cosmology.omega_lambda,
        "HubbleParam": cosmology.h,
        "OmegaBaryon": cosmology.omega_b,
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}


def units_in_cgs(length: float) -> dict[str, float]:
    """Units by the Gadget family's names; ``length`` is one kpc/h in the file's unit."""
    return {
        "UnitLength_in_cm": KPC_CM / length,
        "UnitMass_in_g": 1e10 * SUN_G,
        "UnitVelocity_in_cm_per_s": KM_CM,
    }


def _gizmo_metals(fields: Mapping[str, NDArray[Any]], *_: Any) -> dict[str, NDArray[Any]]:
    """SIMBA's (n, 11) Metallicity: all metals, He, C, N, O, Ne, Mg, Si, S, Ca, Fe."""
    if "metallicity" not in fields:
        return {}
    z = np.asarray(fields["metallicity"], np.float64)[:, None]
    he = np.asarray(fields.get("helium_fraction", np.full(len(z), 0.24)), np.float64)[:, None]
    return {"Metallicity": np.concatenate([z, he, z * np.array(list(SOLAR_SHARES.values()))], 1)}


GIZMO = Dialect(
    {field: name for field, name in GADGET_NAMES.items() if field != "metallicity"},
    partial(gadget_header, metals=11),
    _gizmo_metals,
)


def write_hdf5(
    path: str | Path,
    header: SnapshotHeader,
    particles: ParticleData,
    *,
    dialect: Dialect = GIZMO,
    files: int = 1,
    compression: str | None = None,
    position_dtype: type = np.float32,
    parts: Sequence[ParticleData] | None = None,
) -> list[Path]:
    """Write an HDF5 snapshot in the dialect of a code.

    Parameters
    ----------
    path
        The file; with ``files > 1`` it becomes a set ``NAME.0.hdf5``, ``NAME.1.hdf5``, ...
    header, particles
        See `writers.content`.
    dialect
        Of the code.
    files
        How many files the snapshot is split into.
    compression
        Passed to h5py, for instance ``"gzip"``.
    position_dtype
        float32 or float64.
    parts
        What each file holds, where that is not the same number of particles in their order.

    Returns
    -------
    list of Path
        The files written.
    """
    path = Path(path)
    total = counts(particles)
    written = []
    files = files if parts is None else len(parts)
    for part in range(files):
        name = path if files == 1 else path.with_name(f"{path.name.removesuffix('.hdf5')}.{part}.hdf5")
        chosen = part_of(particles, part, files) if parts is None else parts[part]
        member = SetMember(counts(chosen), total, part, files)
        # h5py stores no times unless asked to, so the same content gives the same bytes.
        with (
            renamed_into_place(name) as unfinished,
            h5py.File(unfinished, "w", libver=("earliest", "v110")) as file,
        ):
            factors = dialect.write_header(file, header, member)
            for kind in sorted(chosen):
                fields, n = chosen[kind], count(chosen[kind])
                if not n:
                    continue
                if not dialect.mass_table and "mass" not in fields:
                    fields = {**fields, "mass": np.full(n, header.mass_table[kind])}
                group = file.create_group(f"PartType{kind}")
                _write_type(group, fields, header, dialect, factors, compression, position_dtype)
        written.append(name)
    return written


def _write_type(
    group: h5py.Group,
    fields: Mapping[str, NDArray[Any]],
    header: SnapshotHeader,
    dialect: Dialect,
    factors: Mapping[str, float],
    compression: str | None,
    position_dtype: type,
) -> None:
    dtypes: dict[str, Any] = {"position": position_dtype}

    def create(name: str, array: NDArray[Any], dtype: Any) -> h5py.Dataset:
        array = array.astype(dtype, copy=False)
        return group.create_dataset(name, data=array, compression=compression, track_times=False)

    for field, given in fields.items():
        if field not in dialect.names:
            continue
        array = np.asarray(given)
        if factors.get(field, 1.0) != 1.0:
            array = np.asarray(given, np.float64) * factors[field]
        dtype = array.dtype if field == "id" else dtypes.get(field, np.float32)
        dialect.annotate(create(dialect.names[field], array, dtype), field, factors)
    for name, array in dialect.derived(fields, header, factors).items():
        create(name, array, np.float32)
