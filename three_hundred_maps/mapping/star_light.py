"""Views of starlight: rest-frame luminosity in g, r, i and z, from the stars' ages and metals.

A star particle is a simple stellar population. Its magnitudes are those of `star_light.csv`, which says their
source: Bruzual & Charlot (2003), version of 2016, in SDSS's bands, at 18 ages from 10 Myr to 13.75 Gyr and 6
mass fractions of metals from 0.0001 to 0.05. Between these they are linear in log age and log metals, which
meets the models' own ages to 0.07 (g, r) and 0.1 mag (i, z) in 95 % of them, to 0.01 in the median; beyond
the table they are the value at its end, never an extrapolation. There is no dust. A recipe may name a table
of the user's own in the same form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.display import SOLAR_MAGNITUDE
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import sha256_bytes
from three_hundred_maps.mapping.views import MapContext, View, register_view
from three_hundred_maps.simulation.particles import Particles
from three_hundred_maps.simulation.stellar_mass import mass_left

BANDS = ("g", "r", "i", "z")


LEFT = "mass_left"
"""A column that a table may have: the share of the mass at birth that is left."""

Table = tuple[NDArray[np.float64], NDArray[np.float64], dict[str, NDArray[np.float64]]]


@cache
def table(own: tuple[Path, str] | None = None) -> Table:
    """log10 of ages in Gyr (A,), log10 of mass fractions of metals (M,), and by column values (A, M).

    Parameters
    ----------
    own
        File and sha256 of a table; the shipped one when None.

    Raises
    ------
    InputError
        One line for a file that is not such a table, or has another digest.
    """
    path, digest = own or (files(__package__).joinpath("star_light.csv"), None)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"maps.star_light: {path} cannot be read ({error.strerror})") from None
    found = sha256_bytes(content)
    if digest is not None and digest != found:
        raise InputError(f"{path} has the sha256 {found}, maps.star_light.sha256 is {digest or 'not given'}")
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if line[:1] not in ("", "#")]
    names = [name.strip() for name in lines[0].split(",")] if lines else []
    wanted = ["age_gyr", "metals", *BANDS]
    if names not in (wanted, [*wanted, LEFT]):
        raise InputError(f"{path}: its header is {','.join(names)}, not {','.join(wanted)} (or with {LEFT})")
    try:
        rows = np.loadtxt(lines[1:], delimiter=",", ndmin=2)
        columns = dict(zip(names, rows.T, strict=True))
    except ValueError as error:
        raise InputError(f"{path}: not a table of numbers ({error})") from None
    ages, metals = np.unique(columns["age_gyr"]), np.unique(columns["metals"])
    grid = [np.repeat(ages, len(metals)), np.tile(metals, len(ages))]
    for wrong, text in (
        (not np.isfinite(rows).all(), "every value must be a finite number"),
        (min(len(ages), len(metals)) < 2, "at least two ages and two mass fractions of metals are needed"),
        (not np.array_equal(rows[:, :2].T, grid), "each age is needed with each metals, both rising"),
        (not 0 < ages[0] <= ages[-1] < 30, "ages must be in Gyr, above 0 and below 30"),
        (not 0 < metals[0] <= metals[-1] < 0.3, "metals must be mass fractions, above 0 and below 0.3"),
        (not (abs(rows[:, 2:6]) < 30).all(), "magnitudes must be absolute, of 1 Msun"),
        (not ((rows[:, 6:] > 0) & (rows[:, 6:] <= 1)).all(), f"{LEFT} must be above 0 and at most 1"),
    ):
        if wrong:
            raise InputError(f"{path}: {text}")
    shape = (len(ages), len(metals))
    return np.log10(ages), np.log10(metals), {n: columns[n].reshape(shape) for n in names[2:]}


def magnitude(
    band: str, age_gyr: ArrayLike, metals: ArrayLike, own: tuple[Path, str] | None = None
) -> NDArray[np.float64]:
    """Absolute AB magnitude of a population of 1 Msun at birth, in the rest frame.

    Parameters
    ----------
    band
        One of g, r, i, z; or another column of the table.
    age_gyr, metals
        Age in Gyr, and mass fraction of metals (any shapes that go together). What lies outside the table
        counts as its nearest end, in each of the two.
    own
        As of `table`.
    """
    log_ages, log_metals, values = table(own)
    tiny = np.finfo(np.float64).tiny
    age, z = np.broadcast_arrays(
        np.log10(np.maximum(np.asarray(age_gyr, np.float64), tiny)),
        np.log10(np.maximum(np.asarray(metals, np.float64), tiny)),
    )
    below = np.clip(np.searchsorted(log_metals, z) - 1, 0, len(log_metals) - 2)
    step = log_metals[below + 1] - log_metals[below]
    share = np.clip((z - log_metals[below]) / step, 0.0, 1.0)
    at_age = np.stack([np.interp(age, log_ages, column) for column in values[band].T])
    lower, upper = (np.take_along_axis(at_age, row[None], 0)[0] for row in (below, below + 1))
    return np.asarray(lower + share * (upper - lower), np.float64)


def luminosity(band: str) -> Callable[[Particles, MapContext], NDArray[np.float64]]:
    """The contribution of stars in a band: their luminosity in that of the Sun.

    A particle has the mass that winds and supernovae left, by the table where it says so; its light is that
    of its mass at birth.
    """

    def of_particles(particles: Particles, context: MapContext) -> NDArray[np.float64]:
        assert context.cosmology is not None
        # Below 0 are SWIFT's stars of the initial conditions: as old as the universe.
        born = np.maximum(particles.fields["formation_time"].astype(np.float64), 0.0)
        now = context.cosmology.age_gyr(1.0 / (1.0 + context.redshift))
        age = now - context.cosmology.age_gyr(born)
        metals, own = particles.fields["metallicity"], context.star_light
        left = magnitude(LEFT, age, metals, own) if LEFT in table(own)[2] else mass_left(age)
        at_birth = particles.mass.astype(np.float64) / left
        return at_birth * 10.0 ** (
            -0.4 * (magnitude(band, age, metals, own) - SOLAR_MAGNITUDE[f"lum_{band}"])
        )

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
