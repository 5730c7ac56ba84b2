"""HDF5 snapshots of codes that the readers understand and the project itself does not write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.writers.content import SOLAR_SHARES, SnapshotHeader
from three_hundred_maps.simulation.writers.hdf5 import (
    GADGET_NAMES,
    GIZMO,
    Dialect,
    SetMember,
    background,
    gadget_header,
    units_in_cgs,
)
from three_hundred_maps.units import KM_CM, KPC_CM, MPC_KPC, SUN_G

SWIFT_GAMMA = 1.825742
"""Kernel support over SWIFT's smoothing length, for its cubic spline in three dimensions."""

_YEAR_S = 3.15576e7
_SWIFT_A_EXPONENTS = {"position": 1.0, "density": -3.0, "smoothing_length": 1.0, "internal_energy": -2.0}

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


def _gadget4_header(file: h5py.File, header: SnapshotHeader, member: SetMember) -> dict[str, float]:
    factors = gadget_header(file, header, member)
    attrs = file["Header"].attrs
    for name in list(attrs):
        if name in background(header) or name.startswith(("Flag_", "Unit")) or name.endswith("HighWord"):
            del attrs[name]
    attrs["NumPart_ThisFile"] = member.here
    attrs["NumPart_Total"] = member.total.astype(np.uint64)
    file.create_group("Parameters").attrs.update(
        {**background(header), **units_in_cgs(factors["position"]), "ArtBulkViscConst": 1.0}
    )
    config = file.create_group("Config").attrs
    config["NTYPES"], config["PERIODIC"] = "6", ""
    return factors


def _gadget4_attributes(dataset: h5py.Dataset, field: str, factors: Mapping[str, float]) -> None:
    if field not in _GADGET4_SCALING:
        return
    powers = _GADGET4_SCALING[field]
    for name, value in zip(("a", "h", "length", "mass", "velocity"), powers, strict=True):
        dataset.attrs[f"{name}_scaling"] = value
    units = (KPC_CM / factors["position"], 1e10 * SUN_G, KM_CM)
    dataset.attrs["to_cgs"] = float(
        np.prod([unit**power for unit, power in zip(units, powers[2:], strict=True)])
    )


def _arepo_header(file: h5py.File, header: SnapshotHeader, member: SetMember) -> dict[str, float]:
    factors = gadget_header(file, header, member)
    file["Header"].attrs.update(units_in_cgs(factors["position"]))
    file.create_group("Config").attrs["VORONOI"] = ""
    return factors


def _swift_header(file: h5py.File, header: SnapshotHeader, member: SetMember) -> dict[str, float]:
    cosmology, a = header.cosmology, header.time
    length, mass = 1.0 / (cosmology.h * MPC_KPC), 1.0 / cosmology.h
    # SWIFT's Time is an age; it says 0 here because nobody may take it for the scale factor.
    file.create_group("Header").attrs.update(
        {
            "Code": np.bytes_("SWIFT"),
            "BoxSize": np.full(3, header.box_size * length),
            "Redshift": np.array([header.redshift]),
            "Scale-factor": np.array([a]),
            "Time": np.array([0.0]),
            "NumPart_ThisFile": np.append(member.here, 0),
            "NumPart_Total": (np.append(member.total, 0) & 0xFFFFFFFF).astype(np.uint32),
            "NumPart_Total_HighWord": (np.append(member.total, 0) >> 32).astype(np.uint32),
            "MassTable": np.zeros(7),
            "NumFilesPerSnapshot": np.array([member.files], np.int32),
            "ThisFile": np.array([member.part], np.int32),
            **header.extra,
        }
    )
    of_background = {
        "h": cosmology.h,
        "Omega_m": cosmology.omega_m,
        "Omega_lambda": cosmology.omega_lambda,
        "Omega_b": cosmology.omega_b,
        "Redshift": header.redshift,
        "Scale-factor": a,
    }
    file.create_group("Cosmology").attrs.update(
        {name: np.array([value]) for name, value in of_background.items() if np.isfinite(value)}
    )
    unit_length_cm, unit_mass_g = KPC_CM * MPC_KPC, 1e10 * SUN_G
    unit_time_s = unit_length_cm / KM_CM
    units = {"length": unit_length_cm, "mass": unit_mass_g, "time": unit_time_s, "temperature": 1.0}
    symbols = {"length": "U_L", "mass": "U_M", "time": "U_t", "temperature": "U_T"}
    file.create_group("Units").attrs.update(
        {f"Unit {name} in cgs ({symbols[name]})": np.array([value]) for name, value in units.items()}
    )
    file.create_group("HydroScheme").attrs["Kernel function"] = np.bytes_("Cubic spline (M4)")
    return {
        "position": length,
        "smoothing_length": length / SWIFT_GAMMA,
        "density": mass / length**3,
        "mass": mass,
        "internal_energy": a**2,
        "star_formation_rate": (SUN_G / _YEAR_S) / (unit_mass_g / unit_time_s),
    }


def _swift_attributes(dataset: h5py.Dataset, field: str, factors: Mapping[str, float]) -> None:
    dataset.attrs["a-scale exponent"] = _SWIFT_A_EXPONENTS.get(field, 0.0)
    dataset.attrs["h-scale exponent"] = 0.0


def _elements(name: str) -> Any:
    """``name``: (n, 9) mass fractions of H, He, C, N, O, Ne, Mg, Si, Fe."""

    def derived(fields: Mapping[str, NDArray[Any]], *_: Any) -> dict[str, NDArray[Any]]:
        if "helium_fraction" not in fields or "metallicity" not in fields:
            return {}
        z = np.asarray(fields["metallicity"], np.float64)
        he = np.asarray(fields["helium_fraction"], np.float64)
        metals = [SOLAR_SHARES[element] * z for element in ("C", "N", "O", "Ne", "Mg", "Si", "Fe")]
        return {name: np.stack([1.0 - he - z, he, *metals], 1)}

    return derived


def _eagle_header(file: h5py.File, header: SnapshotHeader, member: SetMember) -> dict[str, float]:
    factors = gadget_header(file, header, member)
    attrs = file["Header"].attrs
    attrs["ExpansionFactor"] = header.time
    mpc = 1.0 / MPC_KPC
    attrs["BoxSize"] = header.box_size * mpc
    for name in [name for name in attrs if name.startswith("Unit")]:
        del attrs[name]
    file.create_group("Units").attrs.update(units_in_cgs(mpc))
    return factors | {"position": mpc, "smoothing_length": mpc, "density": mpc**-3}


def _eagle_elements(fields: Mapping[str, NDArray[Any]], *_: Any) -> dict[str, NDArray[Any]]:
    """``SmoothedElementAbundance/Hydrogen`` and ``/Helium``, in a group of their own."""
    if "helium_fraction" not in fields or "metallicity" not in fields:
        return {}
    z, he = (np.asarray(fields[name], np.float64) for name in ("metallicity", "helium_fraction"))
    return {"SmoothedElementAbundance/Hydrogen": 1.0 - he - z, "SmoothedElementAbundance/Helium": he}


DIALECTS: Mapping[str, Dialect] = {
    "gizmo": GIZMO,
    "gadget3": Dialect({**GADGET_NAMES, "temperature": "Temperature"}, gadget_header),
    "gadget4": Dialect(GADGET_NAMES, _gadget4_header, annotate=_gadget4_attributes),
    "arepo": Dialect(
        {
            **{k: v for k, v in GADGET_NAMES.items() if k not in ("smoothing_length", "delay_time")},
            "metallicity": "GFM_Metallicity",
            "formation_time": "GFM_StellarFormationTime",
        },
        _arepo_header,
        _elements("GFM_Metals"),
    ),
    "swift": Dialect(
        {
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
        _swift_header,
        _elements("ElementMassFractions"),
        _swift_attributes,
        mass_table=False,
    ),
    "eagle": Dialect(
        {
            **{k: v for k, v in GADGET_NAMES.items() if k not in ("electron_abundance", "delay_time")},
            "mass": "Mass",
            "metallicity": "SmoothedMetallicity",
            "temperature": "Temperature",
        },
        _eagle_header,
        _eagle_elements,
    ),
}
"""By the reader's name of the dialect."""
