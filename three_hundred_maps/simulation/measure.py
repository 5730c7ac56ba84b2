"""What is measured of a halo from its particles: masses, fractions, temperature, Compton Y, concentration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.nfw import enclosed_mass
from three_hundred_maps.simulation.gas import compton_y_mpc2
from three_hundred_maps.simulation.particles import SPECIES, Cutout
from three_hundred_maps.units import KEV_K

_LEAST_PARTICLES = 20
"""Particles within which a mean density is not trusted when looking for an overdensity radius."""

PROFILE_BINS = 20
INNER_RADIUS = 0.05
"""Of the NFW fit, in R200c; the outer one is R200c."""


class TooSmallCutout(InputError):
    """The mean density is above the threshold as far as the particles go."""


def measure(cutout: Cutout) -> dict[str, float]:
    """Measure a halo around the centre of its cut-out.

    Parameters
    ----------
    cutout
        A sphere that holds R200c well (1.3 times the catalogue's is enough, more is no harm).

    Returns
    -------
    dict
        ``M200c``, ``M500c`` (Msun), ``R200c``, ``R500c`` (proper kpc): spherical overdensities of all
        particles. ``c200c``: concentration of an NFW profile fitted to the total density between 0.05 and
        1 R200c, NaN where there are too few particles. ``f_gas_500``, ``f_star_500``: all gas and all stars
        over M500c. ``com_offset``: distance of the centre of mass within R200c from the centre, in R200c.
        ``T_mw_500_keV``: mass-weighted temperature of the gas within R500c (NaN without gas).
        ``Y_500_mpc2``: spherical Compton Y within R500c, proper Mpc^2.

    Raises
    ------
    InputError
        Where no R200c lies inside the cut-out.
    """
    radius = {name: _radii(cutout[name].position) for name in SPECIES}
    r = np.concatenate([radius[name] for name in SPECIES])
    mass = np.concatenate([cutout[name].mass for name in SPECIES])
    order = np.argsort(r)
    r, enclosed = r[order].astype(np.float64), np.cumsum(mass[order], dtype=np.float64)
    critical = cutout.cosmology.critical_density_msun_kpc3(cutout.redshift)
    m200, r200 = spherical_overdensity(r, enclosed, 200.0 * critical)
    m500, r500 = spherical_overdensity(r, enclosed, 500.0 * critical)

    gas = cutout["gas"]
    inside = radius["gas"] <= r500
    gas_500 = gas.select(inside)
    weights = gas_500.mass.astype(np.float64)
    total_gas = float(weights.sum())
    warm = (
        float((weights * np.asarray(gas_500.fields["temperature"], np.float64)).sum() / total_gas)
        if total_gas > 0
        else math.nan
    )
    # Winds are decoupled from the hydrodynamics: their pressure means nothing.
    coupled = gas_500.fields["wind"] == 0
    compton = compton_y_mpc2(gas_500.mass, gas_500.fields)
    stars = float(cutout["stars"].mass[radius["stars"] <= r500].sum(dtype=np.float64))
    centre_of_mass = np.zeros(3)
    for name in SPECIES:
        within = radius[name] <= r200
        part = cutout[name].mass[within].astype(np.float64)
        # without BLAS, whose threads may add in another order
        centre_of_mass += np.einsum("i,ij->j", part, cutout[name].position[within].astype(np.float64))
    return {
        "M200c": m200,
        "R200c": r200,
        "M500c": m500,
        "R500c": r500,
        "c200c": concentration(r, np.diff(enclosed, prepend=0.0), r200),
        "f_gas_500": total_gas / m500,
        "f_star_500": stars / m500,
        "com_offset": float(np.linalg.norm(centre_of_mass)) / m200 / r200,
        "T_mw_500_keV": warm / KEV_K,
        "Y_500_mpc2": float(compton[coupled].sum()),
    }


def spherical_overdensity(
    radius_kpc: NDArray[np.float64], enclosed_msun: NDArray[np.float64], density_msun_kpc3: float
) -> tuple[float, float]:
    """Mass and radius within which the mean density is the given one, going outwards from the centre.

    Parameters
    ----------
    radius_kpc, enclosed_msun
        (n,) rising radii of the particles and the mass up to and with each.
    density_msun_kpc3
        The threshold.

    Returns
    -------
    tuple
        Msun and proper kpc; they satisfy M = 4/3 pi R^3 times the density exactly.

    Raises
    ------
    InputError
        Where the density is below the threshold at the centre; `TooSmallCutout` where it is above it as far
        as the particles go.
    """
    sphere = 4.0 / 3.0 * math.pi * density_msun_kpc3
    above = enclosed_msun >= sphere * radius_kpc**3
    first = min(_LEAST_PARTICLES, max(len(radius_kpc) // 2, 1)) - 1
    below = np.flatnonzero(~above[first:]) + first if len(above) > first else np.zeros(0, int)
    if not len(above) or (len(below) and below[0] == first):
        raise InputError("there is no halo around this centre: the density there is below the threshold")
    if not len(below):
        raise TooSmallCutout(
            f"the mean density is above the threshold out to {radius_kpc[-1]:.0f} kpc: too small a cut-out"
        )
    mass = float(enclosed_msun[below[0] - 1])
    return mass, (mass / sphere) ** (1.0 / 3.0)


def concentration(radius_kpc: NDArray[np.float64], mass_msun: NDArray[np.float64], r200_kpc: float) -> float:
    """R200c over the scale radius of the NFW profile nearest to the density in logarithmic shells.

    Least squares in log density over the shells of 0.05-1 R200c that hold 3 particles or more, weighted by
    the square root of their number up to 100 (shot noise does not matter beyond). NaN with under 5 such
    shells.
    """
    edges = np.geomspace(INNER_RADIUS, 1.0, PROFILE_BINS + 1)
    x = radius_kpc / r200_kpc
    numbers = np.histogram(x, edges)[0]
    masses = np.histogram(x, edges, weights=mass_msun)[0]
    used = numbers >= 3
    if used.sum() < 5:
        return math.nan
    volume = 4.0 / 3.0 * math.pi * np.diff(edges**3)
    log_density = np.log(masses[used] / volume[used])
    weight = np.sqrt(np.minimum(numbers[used], 100))

    def misfit(log_c: float) -> float:
        # The mean density of an NFW shell, from the enclosed mass: shells are wide.
        c = math.exp(log_c)
        difference = log_density - np.log(np.diff(enclosed_mass(c * edges)) / volume)[used]
        difference -= np.average(difference, weights=weight)
        return float((weight * difference**2).sum())

    grid = np.linspace(math.log(0.5), math.log(50.0), 47)
    best = int(np.argmin([misfit(value) for value in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if misfit(left) < misfit(right):
            high = right
        else:
            low = left
    return math.exp(0.5 * (low + high))


def _radii(position: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.einsum("ij,ij->i", position, position))
