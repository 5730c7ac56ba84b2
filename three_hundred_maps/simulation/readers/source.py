"""What an opened snapshot is: its header, its units, and the protocol of every format's reader."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.block_index import BlockIndex, Ranges
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.units import KM_CM, KPC_CM, SUN_G

SPECIES_TYPES: Mapping[str, tuple[int, ...]] = {
    "gas": (0,),
    "dark_matter": (1,),
    "low_resolution": (2, 3),
    "stars": (4,),
    "black_holes": (5,),
}
"""Gadget particle types of each species; a dialect may differ."""

BINARY_CODES: Mapping[str, str] = {"gadget1": "GADGET", "gadget2": "GADGET", "gadgetx": "GADGET-X"}
HDF5_CODES: Mapping[str, str] = {
    "swift": "SWIFT",
    "eagle": "EAGLE",
    "arepo": "AREPO",
    "gadget4": "GADGET-4",
    "gizmo": "GIZMO",
    "gadget3": "GADGET",
}
"""Dialects and the codes that write them; a file of HDF5 is of the first that speaks for itself."""

LENGTH_UNITS: Mapping[str, tuple[float, bool]] = {
    "kpc/h": (1.0, True),
    "Mpc/h": (1e3, True),
    "kpc": (1.0, False),
    "Mpc": (1e3, False),
}
"""Names of length units: kpc in one, and whether h is divided out."""


@dataclass(frozen=True)
class SnapshotInfo:
    """What a snapshot is, from its header alone.

    Parameters
    ----------
    redshift
        Of the snapshot.
    box_kpc
        Proper side of the periodic box, kpc; 0 where the volume is not periodic.
    cosmology
        Background.
    code
        Of the simulation, as far as the files tell.
    dialect
        Of the files: of `BINARY_CODES` or `HDF5_CODES`, whose value is the code.
    synthetic
        Whether the header marks it as synthetic.
    kernel
        SPH kernel of the gas: ``cubic_spline``, ``wendland_c2``, ``wendland_c4``.
    counts
        Particles by species.
    length_unit
        What coordinates are read as: a name of `LENGTH_UNITS`, or empty for another unit.
    assumptions
        What the files do not say and what is taken instead, by subject.
    """

    redshift: float
    box_kpc: float
    cosmology: Cosmology
    code: str
    dialect: str
    synthetic: bool
    kernel: str
    counts: Mapping[str, int]
    length_unit: str = ""
    assumptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """The rows of one type that one file of a snapshot holds: from ``start`` to before ``stop``."""

    number: int
    path: Path
    start: int
    stop: int
    present: bool


class Source(Protocol):
    """A snapshot opened for reading; one class a format.

    Columns have the names of `writers.content`'s table, in the order of the files, and ``factors`` turns a
    stored value into proper kpc, Msun, Msun kpc-3, (km/s)^2 or Msun/yr.
    """

    path: Path
    info: SnapshotInfo
    species_types: Mapping[str, tuple[int, ...]]
    factors: Mapping[str, float]
    mass_table: NDArray[np.float64]
    optional: tuple[str, ...]
    """Columns of `OPTIONAL_FIELDS` that are asked for."""

    def count(self, kind: int) -> int:
        """Particles of a Gadget type in all files."""

    def has(self, kind: int, name: str) -> bool:
        """Whether every file with particles of a type holds column ``name``."""

    def read(
        self,
        kind: int,
        name: str,
        out: NDArray[np.float32],
        origin: NDArray[np.float64],
        ranges: Ranges | None = None,
    ) -> None:
        """Fill ``out`` (n,) or (n, 3) with a column, or the rows of it in ``ranges``, file after file.

        ``origin`` (3,) is taken off positions first.
        """

    def spans(self, kind: int) -> list[Span]:
        """Which rows of a type lie in which file; those that are not here are counted too."""

    def cells(self, kind: int, origin: NDArray[np.float64]) -> BlockIndex | None:
        """Where the files themselves say that the particles of a type lie; None where they do not."""

    def first_position(self, kind: int) -> NDArray[np.float64] | None:
        """(3,) one position where they are stored in double precision; None in single precision."""


def check_files_of_set(files: list[Path], declared: int) -> None:
    """Refuse a set whose headers count other files than there are."""
    if declared == len(files):
        return
    present = ", ".join(p.name for p in files[:3]) + (", ..." if len(files) > 3 else "")
    raise InputError(
        f"{files[0]}: the header says the snapshot has {declared} file{'s' * (declared != 1)} "
        f"(NumFilesPerSnapshot), here {'is' if len(files) == 1 else 'are'} {len(files)} ({present}): "
        "get the missing files, or correct the header if they were joined"
    )


def check_total(files: list[Path], total: NDArray[np.int64], summed: NDArray[np.int64]) -> None:
    """Refuse a set that holds other particles than its header counts."""
    if not np.array_equal(total, summed):
        raise InputError(
            f"{files[0]}: NumPart_Total in the header says {total.tolist()} particles, the {len(files)} "
            f"file{'s' * (len(files) != 1)} found hold {summed.tolist()}: a file is missing or foreign"
        )


def check_background(
    path: Path, cosmology: Cosmology, redshift: float, time: float | None, box: float
) -> None:
    """Refuse a header that cannot be of a cosmological simulation (or is damaged)."""
    numbers = {
        "HubbleParam": (cosmology.h, 0.1, 2.0),
        "Omega0": (cosmology.omega_m, 0.01, 2.0),
        "OmegaLambda": (cosmology.omega_lambda, -1.0, 2.0),
        "Redshift": (redshift, -0.5, 200.0),
        "BoxSize": (box, 0.0, 1e12),
    }
    for name, (value, low, high) in numbers.items():
        if not low <= value <= high:
            raise InputError(
                f"{path}: {name} = {value:.6g} in the header is not of a cosmological simulation "
                "(or the file is damaged)"
            )
    growth = 1.0 + redshift
    curvature = (1.0 - cosmology.omega_m - cosmology.omega_lambda) * growth**2
    if not cosmology.omega_m * growth**3 + curvature + cosmology.omega_lambda > 0:
        raise InputError(
            f"{path}: a universe of Omega0 = {cosmology.omega_m:.6g} and OmegaLambda = "
            f"{cosmology.omega_lambda:.6g} does not expand at redshift {redshift:.6g}: the header is damaged"
        )
    if time is not None and not abs(time * (1.0 + redshift) - 1.0) < 1e-3:
        raise InputError(
            f"{path}: the header's Time {time:.6g} is not the scale factor of its Redshift {redshift:.6g}: "
            "not a cosmological snapshot, or damaged"
        )


@dataclass(frozen=True)
class FileUnits:
    """Units of a file: proper, with h and the scale factor in them.

    Parameters
    ----------
    length_kpc
        Proper kpc in the unit of (comoving) coordinates.
    mass_msun
        Msun in the unit of mass.
    velocity_km_s
        km/s in the unit of velocity.
    name
        Of the unit of length in `LENGTH_UNITS`; empty where it is none of them.
    """

    length_kpc: float
    mass_msun: float
    velocity_km_s: float = 1.0
    name: str = ""

    def factors(self) -> dict[str, float]:
        """Factor of each column that has a unit."""
        return {
            "position": self.length_kpc,
            "smoothing_length": self.length_kpc,
            "mass": self.mass_msun,
            "density": self.mass_msun / self.length_kpc**3,
            "internal_energy": self.velocity_km_s**2,
        }


def gadget_units(
    *,
    h: float,
    redshift: float,
    length_unit: str | None,
    length_cm: float = math.nan,
    mass_g: float = math.nan,
    velocity_cm_s: float = math.nan,
) -> FileUnits:
    """Units of the Gadget family: comoving lengths and masses carry 1/h; kpc/h and 1e10 Msun/h where NaN.

    A ``length_unit`` without h says that no unit of the file has it, the mass's neither.

    Units given in cgs are taken as the round number of kpc and Msun that they mean where they are within
    0.1 % of one (codes differ in their parsecs and solar masses).
    """
    kpc, with_h = LENGTH_UNITS[length_unit or "kpc/h"]
    if length_unit is None and not math.isnan(length_cm):
        kpc = rounded(length_cm / KPC_CM)
    mass = 1e10 if math.isnan(mass_g) else rounded(mass_g / SUN_G)
    velocity = 1.0 if math.isnan(velocity_cm_s) else rounded(velocity_cm_s / KM_CM)
    little_h = h if with_h else 1.0
    return FileUnits(kpc / little_h / (1.0 + redshift), mass / little_h, velocity, name_of_unit(kpc, with_h))


def name_of_unit(kpc: float, with_h: bool) -> str:
    """Name of a unit of length in `LENGTH_UNITS`; empty where it is none of them."""
    return next((name for name, unit in LENGTH_UNITS.items() if unit == (kpc, with_h)), "")


def rounded(value: float) -> float:
    """``value``, or the power of ten within 0.1 % of it."""
    power = 10.0 ** round(math.log10(value)) if value > 0 else value
    return power if abs(value / power - 1.0) < 1e-3 else value


def read_exactly(stream: io.RawIOBase | io.BufferedIOBase, path: Path, target: memoryview) -> None:
    """Fill ``target`` from where ``stream`` stands; InputError where the file ends before."""
    done = 0
    while done < len(target):
        got = stream.readinto(target[done:])
        if not got:
            raise InputError(f"{path}: the file ended while it was read: is it still being written?")
        done += got


def unit_ratio(first: str, second: str, h: float) -> float:
    """One unit of length over another, by their names in `LENGTH_UNITS`."""
    sizes = [kpc / (h if with_h else 1.0) for kpc, with_h in (LENGTH_UNITS[first], LENGTH_UNITS[second])]
    return sizes[0] / sizes[1]
