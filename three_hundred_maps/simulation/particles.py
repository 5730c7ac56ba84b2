"""What a cut-out hands on: the particles around one halo, in proper kpc, Msun and kelvin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.tables import take

SPECIES = ("gas", "dark_matter", "low_resolution", "stars", "black_holes")
"""Names of the particle species, in the order of Gadget types 0, 1, 2 + 3, 4, 5."""

GAS_FIELDS: Mapping[str, str] = {
    "temperature": "K",
    "density": "Msun kpc-3",  # proper
    "smoothing_length": "kpc",  # proper; the radius where the kernel ends
    "hydrogen_fraction": "1",  # by mass
    "electron_abundance": "1",  # n_e / n_H
    "metallicity": "1",  # mass fraction of metals, absolute
    "star_formation_rate": "Msun yr-1",
    "wind": "1",  # 1 where the particle is in a wind (decoupled), else 0
}
"""The fields of gas particles after the readers' work, with their units; every cut-out has all of them."""

OPTIONAL_FIELDS: Mapping[str, tuple[str, ...]] = {
    "velocity": SPECIES,  # (n, 3) peculiar, km/s
    "formation_time": ("stars",),  # scale factor
    "metallicity": ("stars",),  # mass fraction of metals; gas always has it
}
"""Fields that are read only when a view is made of them, and the species that have them."""


@dataclass(frozen=True)
class Particles:
    """Particles of one species around a halo.

    Parameters
    ----------
    position
        (n, 3) float32, proper kpc, relative to the halo's centre.
    mass
        (n,) float32, Msun.
    index
        (n,) int64: the row of each particle within its species in the snapshot. It names a particle
        whatever the cut-out, so that seeded choices (the half-samples) do not depend on it.
    fields
        Further (n,) arrays by name; for gas those of `GAS_FIELDS`.
    """

    position: NDArray[np.float32]
    mass: NDArray[np.float32]
    index: NDArray[np.int64]
    fields: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.mass)

    def select(self, rows: NDArray[np.generic]) -> Particles:
        """The particles at ``rows`` (a mask or indices)."""
        return take(self, rows)

    @staticmethod
    def empty(fields: Mapping[str, str] | None = None) -> Particles:
        """No particles, with the named fields present and empty."""
        return Particles(
            np.zeros((0, 3), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            {name: np.zeros(0, np.float32) for name in (fields or {})},
        )


@dataclass(frozen=True)
class Cutout:
    """All particles within ``radius_kpc`` of a halo's centre.

    Parameters
    ----------
    particles
        By species name; every name of `SPECIES` is present, perhaps with no particles.
    radius_kpc
        Proper radius of the sphere that is complete.
    redshift
        Of the snapshot.
    cosmology
        Of the snapshot.
    kernel
        SPH kernel of the gas: ``cubic_spline``, ``wendland_c2`` or ``wendland_c4``.
    """

    particles: Mapping[str, Particles]
    radius_kpc: float
    redshift: float
    cosmology: Cosmology
    kernel: str = "cubic_spline"

    def __getitem__(self, species: str) -> Particles:
        return self.particles[species]

    @property
    def low_resolution_fraction(self) -> float:
        """Share of the mass that low-resolution particles hold; 0 for an empty cut-out."""
        low = float(self["low_resolution"].mass.sum(dtype=np.float64))
        total = sum(float(part.mass.sum(dtype=np.float64)) for part in self.particles.values())
        return low / total if total > 0 else 0.0

    def within(self, radius_kpc: float) -> Cutout:
        """What of the cut-out lies within a smaller radius."""
        inner = {
            species: part.select(
                np.flatnonzero((part.position.astype(np.float64) ** 2).sum(1) <= radius_kpc**2)
            )
            for species, part in self.particles.items()
        }
        return replace(self, particles=inner, radius_kpc=radius_kpc)
