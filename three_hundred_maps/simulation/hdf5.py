"""HDF5 snapshots of the Gadget family, GIZMO, AREPO and SWIFT: headers, dialects and columns.

Nothing is allocated before the header, the shapes and the links of a file have been checked: see `hdf5_safe`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation import hdf5_safe as safe
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.snapshot import (
    LENGTH_UNITS,
    SPECIES_TYPES,
    FileUnits,
    SnapshotInfo,
    check_background,
    check_files_of_set,
    gadget_units,
    read_exactly,
)
from three_hundred_maps.units import KM_CM, KPC_CM, SUN_G

_CHUNK_ROWS = 1 << 20
_YEAR_S = 3.15576e7

# Data sets that may hold a column, in order of preference: (name, column of a 2-D data set or None).
COLUMNS: Mapping[str, tuple[tuple[str, int | None], ...]] = {
    "position": (("Coordinates", None),),
    "mass": (("Masses", None), ("DynamicalMasses", None)),
    "internal_energy": (("InternalEnergy", None), ("InternalEnergies", None)),
    "density": (("Density", None), ("Densities", None)),
    "smoothing_length": (("SmoothingLength", None), ("SmoothingLengths", None)),
    "electron_abundance": (("ElectronAbundance", None),),
    "star_formation_rate": (("StarFormationRate", None), ("StarFormationRates", None)),
    "metallicity": (("GFM_Metallicity", 0), ("Metallicity", 0), ("MetalMassFractions", 0)),
    "hydrogen_fraction": (("GFM_Metals", 0), ("ElementMassFractions", 0)),
    "helium_fraction": (("Metallicity", 1),),
    "delay_time": (("DelayTime", None),),
    "temperature": (("Temperatures", None), ("Temperature", None)),
    "formation_time": (("GFM_StellarFormationTime", None),),
}

_SWIFT_KERNELS = {  # name: (our kernel, support over smoothing length)
    "cubic spline": ("cubic_spline", 1.825742),
    "quartic spline": ("cubic_spline", 2.018932),
    "quintic spline": ("cubic_spline", 2.195775),
    "wendland c2": ("wendland_c2", 1.936492),
    "wendland c4": ("wendland_c4", 2.207940),
    "wendland c6": ("wendland_c4", 2.449490),
}
# Other types carry data sets of their own, and zooms even stray stellar ones: they are never looked at.
_NEEDED = {0: tuple(n for n in COLUMNS if n != "formation_time"), 4: ("position", "mass", "formation_time")}
_CODES = {"gizmo": "GIZMO", "gadget4": "GADGET-4", "gadget3": "GADGET", "arepo": "AREPO", "swift": "SWIFT"}


class Hdf5Source:
    """An HDF5 snapshot of one or more files.

    Raises
    ------
    InputError
        Where a header, a link or a shape is not what a snapshot has.
    """

    def __init__(self, files: list[Path], length_unit: str | None) -> None:
        self.path = files[0]
        self._files = files
        self._counts: list[NDArray[np.int64]] = []
        self._assumptions: dict[str, str] = {}
        total: NDArray[np.int64] | None = None
        declared = len(files)
        for number, name in enumerate(files):
            with safe.opened(name) as file:
                header = safe.group(file, "Header", name)
                here = _counts(header, name, "NumPart_ThisFile")
                self._counts.append(here)
                if number == 0:
                    total = _totals(header, name)
                    declared = int(safe.number(header, name, "NumFilesPerSnapshot", default=1.0))
                    self._read_header(file, header, name, length_unit)
                self._check_columns(file, name, here)
        check_files_of_set(files, declared)
        summed = np.sum(self._counts, axis=0)
        if total is not None and not np.array_equal(total, summed):
            raise InputError(
                f"{self.path}: NumPart_Total says {total.tolist()} particles, the {len(files)} "
                f"file{'s' * (len(files) != 1)} found hold {summed.tolist()}: a file is missing or foreign"
            )
        self.info = SnapshotInfo(
            redshift=self._redshift,
            box_kpc=self._box * self._units.length_kpc,
            cosmology=self._cosmology,
            code=_CODES[self._dialect],
            dialect=self._dialect,
            synthetic=self._synthetic,
            kernel=self._kernel,
            counts={
                name: sum(self.count(kind) for kind in kinds) for name, kinds in self.species_types.items()
            },
            assumptions=self._assumptions,
        )

    def count(self, kind: int) -> int:
        """Particles of a type in all files."""
        return int(sum(here[kind] for here in self._counts if kind < len(here)))

    def has(self, kind: int, name: str) -> bool:
        """Whether every file with particles of a type holds the column."""
        return name in self._present.get(kind, {})

    def first_position(self, kind: int) -> NDArray[np.float64] | None:
        """(3,) the first position where they are stored in double precision, else None."""
        if not self.count(kind):
            return None
        for here, name in zip(self._counts, self._files, strict=True):
            if kind < len(here) and here[kind]:
                with safe.opened(name) as file:
                    dataset = file[f"PartType{kind}/Coordinates"]
                    return None if dataset.dtype.itemsize <= 4 else np.asarray(dataset[0], np.float64)
        return None

    def read(self, kind: int, name: str, out: NDArray[np.float32], origin: NDArray[np.float64]) -> None:
        """Fill ``out`` with a column, file after file."""
        stored, column = self._present[kind][name]
        start = 0
        for here, path in zip(self._counts, self._files, strict=True):
            rows = int(here[kind]) if kind < len(here) else 0
            if not rows:
                continue
            with safe.opened(path) as file:
                dataset = file[f"PartType{kind}/{stored}"]
                part, shift = out[start : start + rows], origin if name == "position" else np.zeros(3)
                if not _fill_straight(path, file, dataset, part, column, shift):
                    _fill(dataset, part, column, shift)
            start += rows

    def _read_header(self, file: h5py.File, header: h5py.Group, path: Path, length_unit: str | None) -> None:
        """Everything of the first file's header that the info and the units need."""
        places = [g for g in (safe.optional_group(file, n, path) for n in ("Cosmology", "Parameters")) if g]
        places.append(header)
        cosmology = Cosmology(
            h=safe.first_number(places, path, ("HubbleParam", "h")),
            omega_m=safe.first_number(places, path, ("Omega0", "Omega_m", "Omega_Matter")),
            omega_lambda=safe.first_number(places, path, ("OmegaLambda", "Omega_lambda", "Omega_Lambda")),
            omega_b=safe.first_number(
                places, path, ("OmegaBaryon", "Omega_b", "Omega_Baryon"), default=math.nan
            ),
        )
        self._cosmology = cosmology
        self._redshift = safe.number(header, path, "Redshift")
        box = safe.array(header, path, "BoxSize", longest=3, default=np.zeros(1))
        if not np.all(box == box[0]):
            raise InputError(f"{path}: the box has sides {box.tolist()}: only cubes are understood")
        self._box = float(box[0])
        self._dialect = _dialect(file, header, path)
        swift = self._dialect == "swift"
        time = safe.number(header, path, "Scale-factor" if swift else "Time", default=math.nan)
        check_background(path, cosmology, self._redshift, None if math.isnan(time) else time, self._box)
        self.mass_table = np.zeros(8)
        table = safe.array(header, path, "MassTable", longest=8, default=np.zeros(6))
        self.mass_table[: len(table)] = table
        self._synthetic = safe.number(header, path, "Synthetic", default=0.0) == 1.0
        self._units = self._file_units(file, header, path, length_unit)
        factors = self._units.factors()
        factors["star_formation_rate"] = 1.0
        self.species_types: Mapping[str, tuple[int, ...]] = SPECIES_TYPES
        self._kernel, support = self._read_kernel(file, path)
        if swift:
            factors["smoothing_length"] *= support
            self.species_types = {**SPECIES_TYPES, "low_resolution": (2,), "black_holes": (3, 5)}
            # SWIFT stores the comoving energy: physical = stored / a^2.
            factors["internal_energy"] *= (1.0 + self._redshift) ** 2
            time_s = self._units.length_kpc * (1.0 + self._redshift) * KPC_CM
            time_s /= self._units.velocity_km_s * KM_CM
            factors["star_formation_rate"] = self._units.mass_msun / (time_s / _YEAR_S)
        self.factors: Mapping[str, float] = factors
        self._present: dict[int, dict[str, tuple[str, int | None]]] = {}

    def _file_units(
        self, file: h5py.File, header: h5py.Group, path: Path, length_unit: str | None
    ) -> FileUnits:
        places = [
            g for g in (safe.optional_group(file, n, path) for n in ("Units", "Parameters", "Header")) if g
        ]
        length_cm, mass_g, velocity_cm_s, time_s = (
            safe.first_number(places, path, names, default=math.nan)
            for names in (
                ("Unit length in cgs (U_L)", "UnitLength_in_cm", "UnitLength_In_CGS"),
                ("Unit mass in cgs (U_M)", "UnitMass_in_g", "UnitMass_In_CGS"),
                ("Unit velocity in cgs (U_V)", "UnitVelocity_in_cm_per_s", "UnitVelocity_In_CGS"),
                ("Unit time in cgs (U_t)",),
            )
        )
        if math.isnan(velocity_cm_s) and not math.isnan(time_s) and not math.isnan(length_cm):
            velocity_cm_s = length_cm / time_s
        for name, value in (("length", length_cm), ("mass", mass_g), ("velocity", velocity_cm_s)):
            if not (math.isnan(value) or 1e-40 < value < 1e60):
                raise InputError(f"{path}: the unit of {name}, {value!r} in cgs, makes no sense")
        if self._dialect == "swift":
            if math.isnan(length_cm) or math.isnan(mass_g) or math.isnan(velocity_cm_s):
                raise InputError(f"{path}: a SWIFT snapshot without its group Units cannot be understood")
            kpc = length_cm / KPC_CM
            if length_unit is not None:
                kpc, with_h = LENGTH_UNITS[length_unit]
                kpc /= self._cosmology.h if with_h else 1.0
            return FileUnits(kpc / (1.0 + self._redshift), mass_g / SUN_G, velocity_cm_s / KM_CM)
        if math.isnan(length_cm) and length_unit is None:
            self._assumptions["length_unit"] = "the file does not say: kpc/h"
        return gadget_units(
            h=self._cosmology.h,
            redshift=self._redshift,
            length_unit=length_unit,
            length_cm=None if math.isnan(length_cm) else length_cm,
            mass_g=None if math.isnan(mass_g) else mass_g,
            velocity_cm_s=None if math.isnan(velocity_cm_s) else velocity_cm_s,
        )

    def _read_kernel(self, file: h5py.File, path: Path) -> tuple[str, float]:
        """Our name of the kernel, and its support in units of the stored smoothing length."""
        if self._dialect == "swift":
            scheme = safe.optional_group(file, "HydroScheme", path)
            named = safe.text(scheme, "Kernel function").lower() if scheme is not None else ""
            for name, known in _SWIFT_KERNELS.items():
                if named.startswith(name):
                    return known
            self._assumptions["kernel"] = f"SWIFT kernel {named!r} is not known: cubic spline"
            return _SWIFT_KERNELS["cubic spline"]
        if self._dialect == "gadget4":
            config = safe.optional_group(file, "Config", path)
            for flag, kernel in (
                ("WENDLAND_C2_KERNEL", "wendland_c2"),
                ("WENDLAND_C4_KERNEL", "wendland_c4"),
            ):
                if config is not None and flag in config.attrs:
                    return kernel, 1.0
        return "cubic_spline", 1.0

    def _check_columns(self, file: h5py.File, path: Path, here: NDArray[np.int64]) -> None:
        """Which columns every type has, after checking link, shape and storage of each."""
        for kinds in self.species_types.values():
            for kind in kinds:
                rows = int(here[kind]) if kind < len(here) else 0
                if not rows:
                    continue
                group = safe.group(file, f"PartType{kind}", path)
                found: dict[str, tuple[str, int | None]] = {}
                for name in COLUMNS:
                    if name not in _NEEDED.get(kind, ("position", "mass")):
                        continue
                    chosen = _find(group, name, path, rows)
                    if chosen is not None:
                        found[name] = chosen
                if "position" not in found:
                    if self._dialect == "arepo" and kind == 3:  # Monte Carlo tracers: no position, no mass
                        here[kind] = 0
                        self._assumptions["tracers"] = "type 3 has no positions: tracers, left out"
                        continue
                    raise InputError(f"{path}: PartType{kind} has {rows} particles but no Coordinates")
                if "mass" not in found and not self.mass_table[kind] > 0:
                    raise InputError(f"{path}: PartType{kind} has neither Masses nor an entry in MassTable")
                before = self._present.setdefault(kind, found)
                if before != found:
                    missing = sorted(set(before) ^ set(found))
                    raise InputError(
                        f"{path}: PartType{kind} differs from {self.path.name} in: {', '.join(missing)}"
                    )


def _find(group: h5py.Group, name: str, path: Path, rows: int) -> tuple[str, int | None] | None:
    """The data set (and its column) that holds a field, checked; None where there is none."""
    for stored, column in COLUMNS[name]:
        if group.get(stored, getlink=True) is None:
            continue
        dataset = safe.dataset(group, stored, path, rows)
        if name == "position":
            if dataset.shape[1:] != (3,):
                raise InputError(f"{path}: {dataset.name} has shape {dataset.shape}, expected ({rows}, 3)")
            return stored, None
        if dataset.ndim == 1:
            if column in (None, 0) and name != "hydrogen_fraction":
                return stored, None
            continue
        if column == 1 and dataset.shape[1] == 1:
            continue
        if column is None or dataset.shape[1] <= column:
            raise InputError(f"{path}: {dataset.name} has shape {dataset.shape}, expected ({rows},)")
        return stored, column
    return None


def _fill_straight(
    path: Path,
    file: h5py.File,
    dataset: h5py.Dataset,
    out: NDArray[np.float32],
    column: int | None,
    origin: NDArray[np.float64],
) -> bool:
    """Read a data set whose bytes lie in one piece just as they are wanted; False where they do not.

    This is what `hdf5_safe.dataset` checked: the piece is inside the file. It spares HDF5's own copying.
    """
    offset = dataset.id.get_offset()
    same = dataset.dtype == out.dtype and dataset.shape == out.shape and column in (None, 0)
    if not same or offset is None or file.userblock_size or origin.any():
        return False
    with open(path, "rb", buffering=0) as stream:
        stream.seek(offset)
        read_exactly(stream, path, out.reshape(-1).data.cast("B"))
    return True


def _fill(
    dataset: h5py.Dataset, out: NDArray[np.float32], column: int | None, origin: NDArray[np.float64]
) -> None:
    """Read a data set into ``out`` in blocks of rows, converting as needed."""
    rows = len(out)
    step = _CHUNK_ROWS
    if dataset.chunks is not None:  # whole chunks, so that none is unpacked twice
        step = max(1, _CHUNK_ROWS // dataset.chunks[0]) * dataset.chunks[0]
    for start in range(0, rows, step):
        block = dataset[start : start + step]
        if column is not None and block.ndim == 2:
            block = block[:, column]
        if origin.any():
            block = np.asarray(block, np.float64) - origin
        out[start : start + step] = block


def _counts(header: h5py.Group, path: Path, name: str) -> NDArray[np.int64]:
    numbers = safe.array(header, path, name, longest=8)
    if len(numbers) < 6 or (numbers < 0).any() or (numbers > 2**62).any():
        raise InputError(f"{path}: {name} is {numbers.tolist()}: not six or seven particle numbers")
    counted = np.zeros(8, np.int64)
    counted[: len(numbers)] = numbers
    return counted


def _totals(header: h5py.Group, path: Path) -> NDArray[np.int64] | None:
    """Particle numbers of the whole set, None where the header does not say."""
    if "NumPart_Total" not in header.attrs:
        return None
    total = _counts(header, path, "NumPart_Total")
    if "NumPart_Total_HighWord" in header.attrs:
        high = safe.array(header, path, "NumPart_Total_HighWord", longest=8)
        if (high > 2**20).any():
            raise InputError(f"{path}: NumPart_Total_HighWord is {high.tolist()}: damaged")
        total[: len(high)] += high.astype(np.int64) << 32
    return total


def _dialect(file: h5py.File, header: h5py.Group, path: Path) -> str:
    """Which code's names and units a file follows."""
    if safe.text(header, "Code").upper().startswith("SWIFT") or (
        safe.optional_group(file, "Cosmology", path) and safe.optional_group(file, "Units", path)
    ):
        return "swift"
    config = safe.optional_group(file, "Config", path)
    gas = safe.optional_group(file, "PartType0", path)
    names = set(gas) if gas is not None and len(gas) < 1000 else set()
    if (config is not None and "VORONOI" in config.attrs) or any(name.startswith("GFM_") for name in names):
        return "arepo"
    if safe.optional_group(file, "Parameters", path) is not None:
        return "gadget4"
    if "GIZMO_version" in header.attrs:
        return "gizmo"
    if "Metallicity" in names:
        dataset = gas["Metallicity"] if gas is not None else None
        if isinstance(dataset, h5py.Dataset) and dataset.ndim == 2 and dataset.shape[1] > 1:
            return "gizmo"
    if names and "SmoothingLength" not in names and "Density" in names:
        return "arepo"
    return "gadget3"
