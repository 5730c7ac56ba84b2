"""The state of the gas: hydrogen, temperature and electrons from what a snapshot stores.

X = 1 - Z - Y;  y_He = (1 - X) / (4 X);  mu = (1 + 4 y_He) / (1 + y_He + NE);  T = (gamma - 1) u mu m_H / k_B
with u the physical specific energy and NE electrons per hydrogen nucleus.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.particles import GAS_FIELDS, Particles
from three_hundred_maps.units import (
    ADIABATIC_INDEX,
    BOLTZMANN_ERG_PER_K,
    COMPTON_KPC2_PER_MSUN_K,
    HYDROGEN_FRACTION,
    KM_CM,
    MPC_KPC,
    PROTON_MASS_G,
)

Column = NDArray[np.float32]
Real = NDArray[np.floating[Any]]

KELVIN_PER_KM2_S2 = (ADIABATIC_INDEX - 1.0) * PROTON_MASS_G * KM_CM**2 / BOLTZMANN_ERG_PER_K
"""T / (mu u)."""

NEIGHBOURS: Mapping[str, float] = {"cubic_spline": 48.0, "wendland_c2": 100.0, "wendland_c4": 200.0}
"""Neighbours within a kernel where a file does not store smoothing lengths."""

AREPO_CELL_RADII = 2.5
"""Smoothing length given to a moving-mesh cell, in radii of a sphere of its volume."""

LIMITS: Mapping[str, tuple[float, float]] = {
    "mass": (0.0, 1e20),
    "internal_energy": (0.0, 9e10),  # the speed of light squared
    "density": (0.0, 1e25),
    "smoothing_length": (0.0, 1e7),
    "electron_abundance": (0.0, 10.0),
    "metallicity": (-1e-3, 1.0),
    "hydrogen_fraction": (0.0, 1.0),
    "helium_fraction": (0.0, 1.0),
    "star_formation_rate": (-math.inf, 1e10),
    "delay_time": (-math.inf, math.inf),
    "temperature": (0.0, 1e12),
}
"""What a column must lie between, in proper units; a value outside means a damaged or misread file."""

POSITIVE = frozenset(("mass", "density", "smoothing_length"))
"""Columns in which zero means nothing: it would weigh nothing, or divide."""

CLIPPED = frozenset(("electron_abundance", "hydrogen_fraction", "helium_fraction"))
"""Columns that rounding takes a little below zero; metallicities are taken as zero there anyway."""


def full_ionisation(hydrogen_fraction: Real) -> Real:
    """Electrons per hydrogen nucleus where hydrogen and helium are fully ionised: 1 + 2 y_He."""
    return 1.0 + (1.0 - hydrogen_fraction) / (2.0 * hydrogen_fraction)


def temperature_kelvin(
    energy_km2_s2: Real,
    hydrogen_fraction: Real,
    electron_abundance: Real,
) -> Real:
    """Temperature of a monatomic ideal gas from its specific energy (proper (km/s)^2)."""
    y_he = (1.0 - hydrogen_fraction) / (4.0 * hydrogen_fraction)
    mu = (1.0 + 4.0 * y_he) / (1.0 + y_he + electron_abundance)
    return KELVIN_PER_KM2_S2 * energy_km2_s2 * mu


def compton_y_mpc2(mass_msun: Real, gas: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """(n,) float64: what every particle adds to the integrated Compton parameter, proper Mpc^2."""
    product = np.asarray(mass_msun, np.float64) * gas["hydrogen_fraction"] * gas["electron_abundance"]
    return COMPTON_KPC2_PER_MSUN_K / MPC_KPC**2 * product * gas["temperature"]


def columns_of(has: Callable[[int, str], bool]) -> set[str]:
    """Which columns of the gas are read, of those that ``has(0, name)`` says are there; masses apart."""
    present = {name for name in LIMITS if name != "mass" and has(0, name)}
    if "internal_energy" in present:
        present.discard("temperature")
    if "hydrogen_fraction" in present:
        present.discard("helium_fraction")
    return present


def assumptions(present: set[str], *, arepo: bool, kernel: str) -> dict[str, str]:
    """What is taken for columns that a snapshot does not have, in words."""
    length = f"from density, {NEIGHBOURS[kernel]:.0f} neighbours"
    if arepo:
        length = f"{AREPO_CELL_RADII} (3 V / 4 pi)^(1/3) of each cell"
    texts = {
        "hydrogen_fraction": f"not in the files: {HYDROGEN_FRACTION}",
        "electron_abundance": "not in the files: hydrogen and helium fully ionised",
        "metallicity": "not in the files: 0, no metals",
        "star_formation_rate": "not in the files: no gas forms stars",
        "temperature": "no internal energy in the files: the stored temperature",
        "density": "not in the files: from the distances of neighbours",
        "smoothing_length": f"not in the files: {length}",
    }
    known = present | ({"hydrogen_fraction"} if "helium_fraction" in present else set())
    known = known - {"temperature"} | ({"temperature"} if "internal_energy" in present else set())
    return {name: text for name, text in texts.items() if name not in known}


def gas_fields(
    raw: Mapping[str, Column],
    mass_msun: Column,
    position_kpc: Column,
    *,
    arepo: bool,
    kernel: str,
    drop_winds: bool,
) -> dict[str, Column]:
    """The fields of `GAS_FIELDS` from the columns of a snapshot.

    Parameters
    ----------
    raw
        (n,) columns in proper units (Msun kpc-3, kpc, (km/s)^2, Msun/yr) by `writers.content`'s names.
    mass_msun, position_kpc
        (n,) and (n, 3): for what must be derived.
    arepo
        Whether the particles are cells of a moving mesh.
    kernel
        SPH kernel.
    drop_winds
        Whether particles in winds are marked as such (views then leave them out) or taken as other gas.
    """
    n = len(mass_msun)
    metallicity = np.maximum(raw["metallicity"], 0) if "metallicity" in raw else np.zeros(n, np.float32)
    if "hydrogen_fraction" in raw:
        hydrogen = raw["hydrogen_fraction"]
    elif "helium_fraction" in raw:
        hydrogen = 1 - metallicity - raw["helium_fraction"]
    else:
        hydrogen = np.full(n, HYDROGEN_FRACTION, np.float32)
    electrons = raw.get("electron_abundance")
    if electrons is None:
        electrons = np.asarray(full_ionisation(hydrogen), np.float32)
    if "internal_energy" in raw:
        temperature = np.asarray(
            temperature_kelvin(raw["internal_energy"].astype(np.float64), hydrogen, electrons), np.float32
        )
    else:
        temperature = raw["temperature"]
    density, smoothing = raw.get("density"), raw.get("smoothing_length")
    if density is None:
        density, neighbour_radius = _density_from_neighbours(position_kpc, mass_msun, NEIGHBOURS[kernel])
        smoothing = neighbour_radius if smoothing is None else smoothing
    if smoothing is None:
        # float64: Msun / (Msun kpc-3) is harmless, but a tiny density of a damaged cell is not.
        volume = mass_msun.astype(np.float64) / density
        share = AREPO_CELL_RADII**3 if arepo else NEIGHBOURS[kernel]
        smoothing = np.cbrt(share * 3.0 * volume / (4.0 * math.pi)).astype(np.float32)
    sfr = (
        np.maximum(raw["star_formation_rate"], 0) if "star_formation_rate" in raw else np.zeros(n, np.float32)
    )
    wind = np.zeros(n, np.float32)
    if drop_winds and "delay_time" in raw:
        wind = (raw["delay_time"] > 0).astype(np.float32)
    fields = {
        "temperature": temperature,
        "density": density,
        "smoothing_length": smoothing,
        "hydrogen_fraction": hydrogen,
        "electron_abundance": electrons,
        "metallicity": metallicity,
        "star_formation_rate": sfr,
        "wind": wind,
    }
    return {name: np.asarray(fields[name], np.float32) for name in GAS_FIELDS}


def _density_from_neighbours(
    position_kpc: Column, mass_msun: Column, neighbours: float
) -> tuple[Column, Column]:
    """Density (Msun kpc-3) and radius (kpc) of the sphere that holds ``neighbours`` particles."""
    from scipy.spatial import cKDTree

    n = len(mass_msun)
    if n < 2:
        return np.full(n, 1e-30, np.float32), np.ones(n, np.float32)
    k = min(int(neighbours), n)
    distance, rows = cKDTree(position_kpc).query(position_kpc, k=k)
    radius = np.maximum(distance[:, -1], 1e-6)
    enclosed = mass_msun.astype(np.float64)[rows].sum(1)
    return (enclosed / (4.0 / 3.0 * math.pi * radius**3)).astype(np.float32), radius.astype(np.float32)


def launched_winds(stars: Particles, first_index: int, drop_winds: bool) -> Particles:
    """Wind particles that a code keeps among its stars, as gas: it has mass, but no pressure and no light.

    They are numbered from ``first_index`` on, behind the gas of the snapshot.
    """
    n = len(stars)
    constant = {
        "temperature": 1e4,
        "density": 1e-30,
        "smoothing_length": 1.0,
        "hydrogen_fraction": HYDROGEN_FRACTION,
        "electron_abundance": 0.0,
        "metallicity": 0.0,
        "star_formation_rate": 0.0,
        "wind": float(drop_winds),
    }
    fields: dict[str, NDArray[Any]] = {name: np.full(n, constant[name], np.float32) for name in GAS_FIELDS}
    if "velocity" in stars.fields:
        fields["velocity"] = stars.fields["velocity"]
    return Particles(stars.position, stars.mass, stars.index + first_index, fields)
