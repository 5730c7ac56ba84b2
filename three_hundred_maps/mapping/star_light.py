"""Views of starlight: rest-frame luminosity in g, r, i and z, from the stars' ages and metals.

A star particle is a simple stellar population. Its magnitudes are those of `star_light.csv`, which says their
source: Bruzual & Charlot (2003), version of 2016, in SDSS's bands, at 18 ages from 10 Myr to 13.75 Gyr and 6
mass fractions of metals from 0.0001 to 0.05. Between these they are linear in log age and log metals, which
meets the models' own ages to 0.07 (g, r) and 0.1 mag (i, z) in 95 % of them, to 0.01 in the median; beyond
the table they are the value at its end, never an extrapolation. There is no dust.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.display import SOLAR_MAGNITUDE
from three_hundred_maps.mapping.views import MapContext, View, register_view
from three_hundred_maps.simulation.particles import Particles
from three_hundred_maps.simulation.stellar_mass import mass_left

BANDS = ("g", "r", "i", "z")


@cache
def table() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """log10 of ages in Gyr (A,), log10 of mass fractions of metals (M,), and magnitudes (A, M, 4)."""
    lines = files(__package__).joinpath("star_light.csv").read_text("utf-8").splitlines()
    rows = np.loadtxt(lines, delimiter=",", skiprows=1 + sum(line.startswith("#") for line in lines))
    ages, metals = np.unique(rows[:, 0]), np.unique(rows[:, 1])
    return np.log10(ages), np.log10(metals), rows[:, 2:].reshape(len(ages), len(metals), len(BANDS))


def magnitude(band: str, age_gyr: ArrayLike, metals: ArrayLike) -> NDArray[np.float64]:
    """Absolute AB magnitude of a population of 1 Msun at birth, in the rest frame.

    Parameters
    ----------
    band
        One of g, r, i, z.
    age_gyr, metals
        Age in Gyr, and mass fraction of metals (any shapes that go together). What lies outside the table
        counts as its nearest end, in each of the two.
    """
    log_ages, log_metals, magnitudes = table()
    tiny = np.finfo(np.float64).tiny
    age, z = np.broadcast_arrays(
        np.log10(np.maximum(np.asarray(age_gyr, np.float64), tiny)),
        np.log10(np.maximum(np.asarray(metals, np.float64), tiny)),
    )
    below = np.clip(np.searchsorted(log_metals, z) - 1, 0, len(log_metals) - 2)
    step = log_metals[below + 1] - log_metals[below]
    share = np.clip((z - log_metals[below]) / step, 0.0, 1.0)
    columns = magnitudes[..., BANDS.index(band)].T
    at_age = np.stack([np.interp(age, log_ages, column) for column in columns])
    lower, upper = (np.take_along_axis(at_age, row[None], 0)[0] for row in (below, below + 1))
    return np.asarray(lower + share * (upper - lower), np.float64)


def luminosity(band: str) -> Callable[[Particles, MapContext], NDArray[np.float64]]:
    """The contribution of stars in a band: their luminosity in that of the Sun.

    A particle has the mass that winds and supernovae left; its light is that of its mass at birth.
    """

    def of_particles(particles: Particles, context: MapContext) -> NDArray[np.float64]:
        assert context.cosmology is not None
        born = particles.fields["formation_time"].astype(np.float64)
        now = context.cosmology.age_gyr(1.0 / (1.0 + context.redshift))
        age = now - context.cosmology.age_gyr(born)
        at_birth = particles.mass.astype(np.float64) / mass_left(age)
        above = magnitude(band, age, particles.fields["metallicity"]) - SOLAR_MAGNITUDE[f"lum_{band}"]
        return at_birth * 10.0 ** (-0.4 * above)

    return of_particles


for _band in BANDS:
    register_view(
        View(
            f"lum_{_band}",
            "Lsun kpc-2",
            f"stellar luminosity in the band {_band}, rest frame, no dust, spread to the 32nd neighbour",
            ("stars",),
            luminosity(_band),
            spread=True,
            needs=("formation_time", "metallicity"),
        )
    )
