"""One file of an HDF5 snapshot, written in the dialect of a code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.writers.write import SOLAR_SHARES, SnapshotHeader, count
from three_hundred_maps.units import KM_CM, KPC_CM, MPC_KPC, SUN_G

_COMMON = {
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
_NAMES: dict[str, dict[str, str]] = {
    "gizmo": _COMMON,
    "gadget3": {**_COMMON, "temperature": "Temperature"},
    "gadget4": _COMMON,
    "arepo": {
        **{k: v for k, v in _COMMON.items() if k not in ("smoothing_length", "delay_time")},
        "metallicity": "GFM_Metallicity",
        "formation_time": "GFM_StellarFormationTime",
    },
    "swift": {
        "position": "Coordinates",
        "velocity": "Velocities",
        "id": "ParticleIDs",
        "mass": "Masses",
        "internal_energy": "InternalEnergies",
        "density": "Densities",
        "smoothing_length": "SmoothingLengths",
        "star_formation_rate": "StarFormationRates",
        "metallicity": "MetalMassFractions",
        "formation_time": "BirthScaleFactors",
        "temperature": "Temperatures",
    },
}

SWIFT_GAMMA = 1.825742
"""Kernel support over SWIFT's smoothing length, for its cubic spline in three dimensions."""

_SWIFT_YEAR_S = 3.15576e7


def write_one(
    path: Path,
    header: SnapshotHeader,
    particles: Mapping[int, Mapping[str, NDArray[Any]]],
    total: NDArray[np.int64],
    dialect: str,
    files: int,
    part: int,
    compression: str | None,
    position_dtype: type,
) -> None:
    """Write the particles of one file; ``total`` are the numbers in the whole set."""
    here = [count(particles.get(kind, {})) for kind in range(6)]
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        # h5py stores no times unless asked to, so the same content gives the same bytes.
        if dialect == "swift":
            factors = _swift_header(file, header, here, total, files, part)
        else:
            factors = _gadget_header(file, header, here, total, dialect, files)
        for kind in sorted(particles):
            fields = particles[kind]
            if not here[kind]:
                continue
            group = file.create_group(f"PartType{kind}")
            for field, values in fields.items():
                name = _NAMES[dialect].get(field)
                if name is None:
                    continue
                dtype: Any = np.float32
                if field == "position":
                    dtype = position_dtype
                elif field == "id":
                    dtype = np.asarray(values).dtype
                factor = factors.get(field, 1.0)
                array = np.asarray(values)
                if factor != 1.0:
                    array = np.asarray(values, np.float64) * factor
                if field == "metallicity" and dialect == "gizmo":
                    array = _elements(array, fields.get("helium_fraction"))
                dataset = group.create_dataset(
                    name, data=array.astype(dtype, copy=False), compression=compression, track_times=False
                )
                if dialect == "gadget4":
                    _gadget4_attributes(dataset, field, factors["position"])
                if dialect == "swift":
                    dataset.attrs["a-scale exponent"] = _SWIFT_A_EXPONENTS.get(field, 0.0)
                    dataset.attrs["h-scale exponent"] = 0.0
            if dialect == "swift" and "helium_fraction" in fields and "metallicity" in fields:
                elements = _swift_elements(fields)
                group.create_dataset("ElementMassFractions", data=elements, track_times=False)
            if dialect == "arepo" and "helium_fraction" in fields and "metallicity" in fields:
                metals = _swift_elements(fields)
                group.create_dataset("GFM_Metals", data=metals, compression=compression, track_times=False)
            if dialect == "swift" and "mass" not in fields:
                masses = np.full(here[kind], header.mass_table[kind] * factors["mass"], np.float32)
                group.create_dataset("Masses", data=masses, track_times=False)


# GADGET-4 says of every column with a unit: powers of a, h, length, mass and velocity, and the unit in cgs.
_GADGET4_SCALING: dict[str, tuple[float, float, float, float, float]] = {
    "position": (1.0, -1.0, 1.0, 0.0, 0.0),
    "velocity": (0.5, 0.0, 0.0, 0.0, 1.0),
    "mass": (0.0, -1.0, 0.0, 1.0, 0.0),
    "internal_energy": (0.0, 0.0, 0.0, 0.0, 2.0),
    "density": (-3.0, 2.0, -3.0, 1.0, 0.0),
    "smoothing_length": (1.0, -1.0, 1.0, 0.0, 0.0),
    "star_formation_rate": (0.0, 0.0, -1.0, 1.0, 1.0),
}


def _gadget4_attributes(dataset: h5py.Dataset, field: str, length: float) -> None:
    if field not in _GADGET4_SCALING:
        return
    powers = _GADGET4_SCALING[field]
    for name, value in zip(("a", "h", "length", "mass", "velocity"), powers, strict=True):
        dataset.attrs[f"{name}_scaling"] = value
    units = (KPC_CM / length, 1e10 * SUN_G, KM_CM)
    dataset.attrs["to_cgs"] = float(
        np.prod([unit**power for unit, power in zip(units, powers[2:], strict=True)])
    )


_SWIFT_A_EXPONENTS = {"position": 1.0, "density": -3.0, "smoothing_length": 1.0, "internal_energy": -2.0}


def _elements(metallicity: NDArray[Any], helium: NDArray[Any] | None) -> NDArray[np.float64]:
    """SIMBA's (n, 11) Metallicity: all metals, He, C, N, O, Ne, Mg, Si, S, Ca, Fe."""
    z = np.asarray(metallicity, np.float64)[:, None]
    he = np.full_like(z, 0.24) if helium is None else np.asarray(helium, np.float64)[:, None]
    return np.concatenate([z, he, z * np.array(list(SOLAR_SHARES.values()))], 1)


def _swift_elements(fields: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """(n, 9) mass fractions of H, He, C, N, O, Ne, Mg, Si, Fe."""
    z = np.asarray(fields["metallicity"], np.float64)
    he = np.asarray(fields["helium_fraction"], np.float64)
    metals = [SOLAR_SHARES[name] * z for name in ("C", "N", "O", "Ne", "Mg", "Si", "Fe")]
    return np.stack([1.0 - he - z, he, *metals], 1).astype(np.float32)


def _gadget_header(
    file: h5py.File,
    header: SnapshotHeader,
    here: list[int],
    total: NDArray[np.int64],
    dialect: str,
    files: int,
) -> dict[str, float]:
    """Header, Parameters and Units as the Gadget family writes them; returns the factors of the fields."""
    length = {"kpc/h": 1.0, "Mpc/h": 1e-3}[header.length_unit]
    cosmology = header.cosmology
    attrs = file.create_group("Header").attrs
    attrs["NumPart_ThisFile"] = np.array(here, np.int64 if dialect == "gadget4" else np.int32)
    if dialect == "gadget4":
        attrs["NumPart_Total"] = total.astype(np.uint64)
    else:
        attrs["NumPart_Total"] = (total & 0xFFFFFFFF).astype(np.uint32)
        attrs["NumPart_Total_HighWord"] = (total >> 32).astype(np.uint32)
    attrs["MassTable"] = np.array(header.mass_table, np.float64)
    attrs["Time"] = header.time
    attrs["Redshift"] = header.redshift
    attrs["BoxSize"] = header.box_size * length
    attrs["NumFilesPerSnapshot"] = np.int32(files)
    background = {
        "Omega0": cosmology.omega_m,
        "OmegaLambda": cosmology.omega_lambda,
        "HubbleParam": cosmology.h,
    }
    if np.isfinite(cosmology.omega_b):
        background["OmegaBaryon"] = cosmology.omega_b
    units = {
        "UnitLength_in_cm": KPC_CM / length,
        "UnitMass_in_g": 1e10 * SUN_G,
        "UnitVelocity_in_cm_per_s": KM_CM,
    }
    if dialect == "gadget4":
        parameters = file.create_group("Parameters").attrs
        for name, value in {**background, **units}.items():
            parameters[name] = value
        file.create_group("Config")
    else:
        for name, value in background.items():
            attrs[name] = value
        if dialect == "arepo" or header.length_unit != "kpc/h":
            for name, value in units.items():
                attrs[name] = value
        for flag in ("Flag_Sfr", "Flag_Cooling", "Flag_Feedback", "Flag_StellarAge", "Flag_Metals"):
            attrs[flag] = np.int32(1 if flag != "Flag_Metals" or dialect != "gizmo" else 11)
        attrs["Flag_DoublePrecision"] = np.int32(0)
    for name, value in header.extra.items():
        attrs[name] = value
    return {
        "position": length,
        "smoothing_length": length,
        "density": length**-3,
        "velocity": 1.0 / float(np.sqrt(header.time)),
    }


def _swift_header(
    file: h5py.File, header: SnapshotHeader, here: list[int], total: NDArray[np.int64], files: int, part: int
) -> dict[str, float]:
    """Header, Cosmology and Units as SWIFT writes them; returns the factors of the fields."""
    cosmology, a = header.cosmology, header.time
    length = 1.0 / (cosmology.h * MPC_KPC)
    mass = 1.0 / cosmology.h
    attrs = file.create_group("Header").attrs
    attrs["Code"] = np.bytes_("SWIFT")
    attrs["BoxSize"] = np.full(3, header.box_size * length)
    attrs["Redshift"] = np.array([header.redshift])
    attrs["Scale-factor"] = np.array([a])
    # SWIFT's Time is an age; it says 0 here because nobody may take it for the scale factor.
    attrs["Time"] = np.array([0.0])
    attrs["NumPart_ThisFile"] = np.array([*here, 0], np.int64)
    attrs["NumPart_Total"] = (np.append(total, 0) & 0xFFFFFFFF).astype(np.uint32)
    attrs["NumPart_Total_HighWord"] = (np.append(total, 0) >> 32).astype(np.uint32)
    attrs["MassTable"] = np.zeros(7)
    attrs["NumFilesPerSnapshot"] = np.array([files], np.int32)
    attrs["ThisFile"] = np.array([part], np.int32)
    for name, value in header.extra.items():
        attrs[name] = value
    background = file.create_group("Cosmology").attrs
    background["h"] = np.array([cosmology.h])
    background["Omega_m"] = np.array([cosmology.omega_m])
    background["Omega_lambda"] = np.array([cosmology.omega_lambda])
    if np.isfinite(cosmology.omega_b):
        background["Omega_b"] = np.array([cosmology.omega_b])
    background["Redshift"] = np.array([header.redshift])
    background["Scale-factor"] = np.array([a])
    unit_length_cm, unit_mass_g = KPC_CM * MPC_KPC, 1e10 * SUN_G
    unit_time_s = unit_length_cm / KM_CM
    units = file.create_group("Units").attrs
    units["Unit length in cgs (U_L)"] = np.array([unit_length_cm])
    units["Unit mass in cgs (U_M)"] = np.array([unit_mass_g])
    units["Unit time in cgs (U_t)"] = np.array([unit_time_s])
    units["Unit temperature in cgs (U_T)"] = np.array([1.0])
    scheme = file.create_group("HydroScheme").attrs
    scheme["Kernel function"] = np.bytes_("Cubic spline (M4)")
    sfr = (SUN_G / _SWIFT_YEAR_S) / (unit_mass_g / unit_time_s)
    return {
        "position": length,
        "smoothing_length": length / SWIFT_GAMMA,
        "density": mass / length**3,
        "mass": mass,
        "internal_energy": a**2,
        "star_formation_rate": sfr,
    }
