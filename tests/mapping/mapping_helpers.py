"""Small cut-outs for the tests of the maps."""

from __future__ import annotations

import math

import numpy as np

from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.mapping import HaloGrid, View
from three_hundred_maps.mapping.views import particle_mass
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.particles import GAS_FIELDS, Cutout, Particles

COSMOLOGY = Cosmology(0.678, 0.307, 0.693, 0.048)
GAS = View("gas_only", "Msun kpc-2", "gas", ("gas",), particle_mass)
DARK = View("dark_only", "Msun kpc-2", "dark matter", ("dark_matter",), particle_mass)


def particles(position, mass=1.0, **fields):
    position = np.atleast_2d(np.asarray(position, np.float32))
    n = len(position)
    return Particles(
        position, np.broadcast_to(np.float32(mass), n).copy(), np.arange(n), {
            name: np.broadcast_to(np.float32(value), n).copy() for name, value in fields.items()
        }
    )  # fmt: skip


def gas(position, smoothing_length, mass=1.0, **fields):
    """Gas with every field a cut-out has."""
    usual = {
        "temperature": 5e7, "density": 1e3, "hydrogen_fraction": 0.76, "electron_abundance": 1.16,
        "metallicity": 0.004, "star_formation_rate": 0.0, "wind": 0.0,
    }  # fmt: skip
    assert set(usual) | {"smoothing_length"} == set(GAS_FIELDS)
    return particles(position, mass, smoothing_length=smoothing_length, **{**usual, **fields})


def cutout(*, kernel="cubic_spline", radius=1e9, redshift=0.0, **species):
    every = {name: Particles.empty() for name in ("dark_matter", "low_resolution", "stars", "black_holes")}
    every["gas"] = Particles.empty(GAS_FIELDS)
    every.update(species)
    return Cutout(every, radius, redshift, COSMOLOGY, kernel)


def frame(pixels=40, **more):
    """A map whose pixels are 1 kpc."""
    return HaloGrid(pixels / 2, MapGrid(pixels, **more))


def point_response(centre_px, pixels, sigma_px):
    """Shares of a point in the pixels of a row, from the error function."""
    edges = (np.arange(pixels + 1) - centre_px) / (math.sqrt(2.0) * sigma_px)
    return np.diff([0.5 * math.erf(e) for e in edges])
