"""Spherical gas of a halo: density with two given masses, pressure from hydrostatic balance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.synthetic.profiles import (
    HaloProfile,
    X,
    at,
    cumulative_mass,
    outward_integral,
)
from three_hundred_maps.simulation.synthetic.setup import BARYON_FRACTION
from three_hundred_maps.units import BOLTZMANN_ERG_PER_K, KM_CM, PROTON_MASS_G

MEAN_WEIGHT = 0.59
"""mu of fully ionised gas: turns the hydrostatic (velocity)^2 into temperature."""


_LEAST_STEEPENING = -1.3
"""With it the slope outside R500c is -0.6 in the end: no gas profile is shallower."""
_LEAST_OUTER_SLOPE = 0.6
"""Beyond R500c the gas falls at least as radius to minus this, whatever lies outside."""
_STATIC_SLOPE = -1.8
"""Gas in hydrostatic balance falls at least this steeply outside 0.8 R500c."""


@dataclass(frozen=True)
class GasProfile:
    """``density`` in M200c/R200c^3, ``temperature`` in K, ``nonthermal`` share of the pressure, at `X`."""

    density: NDArray[np.float64]
    mass: NDArray[np.float64]
    temperature: NDArray[np.float64]
    nonthermal: NDArray[np.float64]


@dataclass(frozen=True)
class Core:
    """Of a Vikhlinin et al. (2006) density, radii in R500c: inner slope, core, outer slope, turn."""

    alpha: float
    radius: float
    beta: float
    turn: float = 0.55


def _shape(profile: HaloProfile, core: Core, steepening: float) -> NDArray[np.float64]:
    x = X / profile.r500
    s = np.sqrt(x**2 + 0.01**2) / core.radius
    density = s ** (-core.alpha / 2.0) * (1.0 + s**2) ** (-1.5 * core.beta + core.alpha / 4.0)
    return density * (1.0 + (x / core.turn) ** 3) ** (-steepening / 3.0)


def gas_profile(
    profile: HaloProfile,
    speed_km_s: float,
    core: Core,
    r500: float,
    gas_500: float,
    gas_200: float,
    nonthermal_scale: float,
) -> GasProfile:
    """The gas of a halo with given masses (M200c) inside ``r500`` (R200c) and R200c.

    The outer slope follows from the two masses; beyond R200c the gas goes over into 0.9 of the universe's
    share of the matter. Pressure balances gravity, less the non-thermal support of Nelson et al. (2014).
    """
    target = max(gas_200 / gas_500, 1.02)
    low, high = _LEAST_STEEPENING, 6.0
    for _ in range(30):
        mid = 0.5 * (low + high)
        mass = cumulative_mass(_shape(profile, core, mid))
        ratio = float(at(1.0, mass) / at(r500, mass))
        low, high = (mid, high) if ratio > target else (low, mid)
    density = _shape(profile, core, 0.5 * (low + high))
    density *= gas_500 / float(at(r500, cumulative_mass(density)))
    blend = np.clip(np.log(X) / np.log(1.7), 0.0, 1.0)
    blend = blend**2 * (3.0 - 2.0 * blend)
    outer = 0.9 * BARYON_FRACTION * profile.density
    density = np.exp((1.0 - blend) * np.log(density) + blend * np.log(np.maximum(outer, 1e-12)))
    # What feedback has driven out lies far outside: the gas of a poor halo thins out all the same.
    far = r500 < X
    weight = X[far] ** _LEAST_OUTER_SLOPE
    density[far] = np.minimum.accumulate(density[far] * weight) / weight

    # Gas that piles up outside R500c is on its way out: its motion holds it, it presses on nothing.
    start = 0.8 * r500
    falling = float(at(start, density)) * (X / start) ** _STATIC_SLOPE
    static = np.where(start < X, np.minimum(density, falling), density)
    pressure = outward_integral(static * profile.mass / X) + 0.12 * static[-1]
    scaled = X / profile.r200m
    nonthermal = 1.0 - 0.452 * (1.0 + np.exp(-((scaled / 0.841) ** 1.628)))
    nonthermal = np.clip(nonthermal * nonthermal_scale, 0.02, 0.55)
    kelvin = MEAN_WEIGHT * PROTON_MASS_G / BOLTZMANN_ERG_PER_K * (speed_km_s * KM_CM) ** 2
    temperature = kelvin * (1.0 - nonthermal) * pressure / density
    # Infalling gas beyond the accretion shock is colder.
    temperature *= np.exp(-0.9 * np.clip(np.log(X / 1.4), 0.0, None) ** 1.5)
    return GasProfile(density, cumulative_mass(density), np.maximum(temperature, 2e5), nonthermal)
