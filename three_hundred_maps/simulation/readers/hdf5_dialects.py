"""What differs between the codes that write HDF5 snapshots: names of columns, units, kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import h5py

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.particles import OPTIONAL_FIELDS
from three_hundred_maps.simulation.readers import hdf5_safe as safe
from three_hundred_maps.simulation.readers.source import (
    HDF5_CODES,
    LENGTH_UNITS,
    FileUnits,
    gadget_units,
    name_of_unit,
    rounded,
)
from three_hundred_maps.units import KM_CM, KPC_CM, SUN_G

# Data sets that may hold a column, in order of preference: (name, column of a 2-D data set or None).
COLUMNS: Mapping[str, tuple[tuple[str, int | None], ...]] = {
    "position": (("Coordinates", None),),
    "mass": (("Masses", None), ("DynamicalMasses", None), ("Mass", None)),
    "internal_energy": (("InternalEnergy", None), ("InternalEnergies", None)),
    "density": (("Density", None), ("Densities", None)),
    "smoothing_length": (
        ("SmoothingLength", None),
        ("SmoothingLengths", None),
        ("KernelMaxRadius", None),  # newer GIZMO's
    ),
    "electron_abundance": (("ElectronAbundance", None),),
    "star_formation_rate": (("StarFormationRate", None), ("StarFormationRates", None)),
    "metallicity": (
        ("GFM_Metallicity", 0),
        ("SmoothedMetallicity", None),  # EAGLE's cooling uses the smoothed ones
        ("Metallicity", 0),
        ("MetalMassFractions", 0),
        ("SmoothedMetalMassFractions", 0),
    ),
    "hydrogen_fraction": (
        ("GFM_Metals", 0),
        ("SmoothedElementAbundance/Hydrogen", None),
        ("ElementAbundance/Hydrogen", None),
        ("ElementMassFractions", 0),
        ("SmoothedElementMassFractions", 0),
    ),
    "helium_fraction": (("Metallicity", 1),),
    "delay_time": (("DelayTime", None),),
    "temperature": (("Temperatures", None), ("Temperature", None)),
    "formation_time": (
        ("GFM_StellarFormationTime", None),
        ("StellarFormationTime", None),
        ("BirthScaleFactors", None),
    ),
    "velocity": (("Velocities", None), ("Velocity", None)),
}

# Radius at which a kernel ends, in units of twice its standard deviation (Dehnen & Aly 2012, table 1).
_SUPPORT = {
    "cubic spline": 1.825742,
    "quartic spline": 2.018932,
    "quintic spline": 2.195775,
    "wendland c2": 1.936492,
    "wendland c4": 2.207940,
    "wendland c6": 2.449490,
}
_OURS = {"wendland c2": "wendland_c2", "wendland c4": "wendland_c4", "wendland c6": "wendland_c4"}
_GIZMO_KERNELS = {4: "quintic spline", 5: "quartic spline", 6: "wendland c2", 7: "wendland c4"}
_GADGET4_KERNELS = {f"WENDLAND_{name}_KERNEL": f"wendland {name.lower()}" for name in ("C2", "C4", "C6")}
# Other types carry data sets of their own, and zooms even stray stellar ones: they are never looked at.
NEEDED = {
    0: tuple(n for n in COLUMNS if n not in OPTIONAL_FIELDS or n == "metallicity"),
    4: ("position", "mass", "formation_time"),
}
# What only moving-mesh codes write.
_MESH_COLUMNS = {"CenterOfMass", "Volume", "NumTracers", "AllowRefinement"}
_MESH_PARAMETERS = {"CellShapingSpeed", "CellShapingFactor", "CellMaxAngleFactor", "TargetGasMassFactor"}
_EAGLE_COLUMNS = {"ElementAbundance", "SmoothedElementAbundance", "SmoothedMetallicity"}


class Evidence:
    """What the files of a set say about the code that wrote them; no single file need hold gas."""

    def __init__(self) -> None:
        self._gas: set[str] = set()
        self._marks: set[str] = set()

    def add(self, file: h5py.File, header: h5py.Group, path: Path) -> None:
        """Look at one file: its groups, and the names of its gas columns."""
        groups = {
            n: safe.optional_group(file, n, path) for n in ("Cosmology", "Units", "Config", "Parameters")
        }
        config, parameters = groups["Config"], groups["Parameters"]
        gas = safe.optional_group(file, "PartType0", path)
        names = set(gas) if gas is not None and len(gas) < 1000 else set()
        elements = safe.shape(gas, "Metallicity") if gas is not None else ()
        options = set(config.attrs) if config is not None else set()
        settings = set(parameters.attrs) if parameters is not None else set()
        in_header = "HubbleParam" in header.attrs
        found = {
            "swift": safe.text(header, "Code").upper().startswith("SWIFT")
            or (groups["Cosmology"] is not None and groups["Units"] is not None),
            "eagle": bool(names & _EAGLE_COLUMNS),
            "arepo": bool(
                names & _MESH_COLUMNS
                or settings & _MESH_PARAMETERS
                or {"VORONOI", "Composition_vector_length"} & {*options, *header.attrs}
                or any(name.startswith("GFM_") for name in names)
            ),
            "gadget4": parameters is not None and (bool(options) or not in_header),
            "gizmo": "GIZMO_version" in header.attrs or (len(elements) == 2 and elements[1] > 1),
        }
        self._gas |= names
        self._marks |= {name for name, holds in found.items() if holds}

    def dialect(self, path: Path) -> str:
        """The dialect that the evidence speaks for; InputError where it does not decide."""
        for dialect in HDF5_CODES:
            if dialect in self._marks:
                return dialect
        if "Density" in self._gas and "SmoothingLength" not in self._gas:
            raise InputError(
                f"{path}: the gas has no smoothing lengths, and nothing says whether it is of cells (AREPO) "
                "or of SPH particles (GADGET): set simulation.dialect to arepo or gadget3"
            )
        return "gadget3"


def file_units(
    file: h5py.File,
    path: Path,
    dialect: str,
    cosmology: Cosmology,
    redshift: float,
    length_unit: str | None,
    assumptions: dict[str, str],
) -> FileUnits:
    """Units of a file, from wherever its code writes them; what is assumed is added to ``assumptions``."""
    places = safe.groups(file, ("Units", "Parameters", "Header"), path)
    length_cm, mass_g, velocity_cm_s, time_s = (
        safe.first_number(places, path, names, default=math.nan)
        for names in (
            ("Unit length in cgs (U_L)", "UnitLength_in_cm", "UnitLength_In_CGS"),
            ("Unit mass in cgs (U_M)", "UnitMass_in_g", "UnitMass_In_CGS"),
            ("Unit velocity in cgs (U_V)", "UnitVelocity_in_cm_per_s", "UnitVelocity_In_CGS"),
            ("Unit time in cgs (U_t)",),
        )
    )
    if any("UnitLength_In_CGS" in place.attrs for place in places):
        # GIZMO's have 1/h in them: UNIT_LENGTH_IN_CGS is UnitLength_in_cm / HubbleParam, as is that of mass.
        length_cm, mass_g = length_cm * cosmology.h, mass_g * cosmology.h
    if math.isnan(velocity_cm_s) and not math.isnan(time_s) and not math.isnan(length_cm):
        velocity_cm_s = length_cm / time_s
    for name, value in (("length", length_cm), ("mass", mass_g), ("velocity", velocity_cm_s)):
        if not (math.isnan(value) or 1e-40 < value < 1e60):
            raise InputError(f"{path}: the unit of {name}, {value!r} in cgs, makes no sense")
    if dialect == "swift":
        if math.isnan(length_cm) or math.isnan(mass_g) or math.isnan(velocity_cm_s):
            raise InputError(f"{path}: a SWIFT snapshot without its group Units cannot be understood")
        kpc, with_h = LENGTH_UNITS[length_unit] if length_unit else (length_cm / KPC_CM, False)
        proper = kpc / (cosmology.h if with_h else 1.0) / (1.0 + redshift)
        name = length_unit or name_of_unit(rounded(kpc), False)
        return FileUnits(proper, mass_g / SUN_G, velocity_cm_s / KM_CM, name)
    if math.isnan(length_cm) and length_unit is None:
        assumptions["length_unit"] = "the file does not say: kpc/h"
    return gadget_units(
        h=cosmology.h,
        redshift=redshift,
        length_unit=length_unit,
        length_cm=length_cm,
        mass_g=mass_g,
        velocity_cm_s=velocity_cm_s,
    )


def kernel_of(file: h5py.File, path: Path, dialect: str, assumptions: dict[str, str]) -> tuple[str, float]:
    """Our name of the kernel, and where it ends in units of the stored smoothing length.

    That length is the radius where the kernel ends, in SWIFT twice its standard deviation. One that is not
    among ours is replaced by the most alike of the same standard deviation.
    """
    kernel = "wendland c2" if dialect == "eagle" else "cubic spline"  # Schaller et al. 2015: Anarchy's
    if dialect == "swift":
        scheme = safe.optional_group(file, "HydroScheme", path)
        named = safe.text(scheme, "Kernel function").lower() if scheme is not None else ""
        known = next((name for name in _SUPPORT if named.startswith(name)), None)
        if known is None:
            assumptions["kernel"] = f"SWIFT kernel {named!r} is not known: cubic spline"
        kernel = known or kernel
    elif dialect == "gizmo":
        header = safe.groups(file, ("Header",), path)
        number = safe.first_number(header, path, ("Kernel_Function_ID",), default=3.0)
        kernel = _GIZMO_KERNELS.get(int(number), kernel)
    elif dialect == "gadget4":
        config = safe.optional_group(file, "Config", path)
        flags = config.attrs if config is not None else ()
        kernel = next((name for flag, name in _GADGET4_KERNELS.items() if flag in flags), kernel)
    ours = _OURS.get(kernel, "cubic_spline")
    own = _SUPPORT[ours.replace("_", " ")]
    return ours, own if dialect == "swift" else own / _SUPPORT[kernel]
