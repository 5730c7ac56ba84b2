"""Gas beside a halo's own: what satellites still hold, cold gas in galaxies, filaments and background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.synthetic.calibration import gas_fraction
from three_hundred_maps.simulation.synthetic.dark_matter import (
    BACKGROUND,
    FILAMENT_MASS,
    Cloud,
    Halo,
    filament_points,
    uniform_ball,
)
from three_hundred_maps.simulation.synthetic.profiles import lengths, squared
from three_hundred_maps.simulation.synthetic.setup import (
    BARYON_FRACTION,
    Flavour,
    Resolution,
)
from three_hundred_maps.simulation.synthetic.stars import SOLAR_METALLICITY, Galaxies
from three_hundred_maps.simulation.synthetic.universe import Plan, isotropic

_MOST_IN_SATELLITES = 0.5
"""The largest share that satellites have of a halo's gas in R500c, and of R200c's at the same fraction."""
_KEPT_UNTIL_PERICENTRE = 0.8
"""Of its gas that a satellite keeps on first infall."""
_STRIPPED_WITHIN = (0.9, 0.5)
"""Time after accretion (R200c/V200c) in which those above 10^13 Msun, and others, lose all but 1/e of it."""
_TRAILING = 0.3
"""Share of the remaining gas that trails behind a satellite once it has passed its pericentre."""
_LUMPY, _LUMP_MSUN, _LUMP_KPC, _LUMP_DENSITY = 0.2, 4e10, 150.0, 8.0
"""Share of filaments' gas in lumps, the mass of each, their size, their central density over the rest."""
_STAR_FORMING_DENSITY = 6.5e6  # Msun/kpc^3: n_H = 0.2 cm^-3


@dataclass(frozen=True)
class GasPart:
    """Gas: temperature (K), density (Msun/kpc^3), metallicity, star formation (Msun/yr), wind flags."""

    cloud: Cloud
    temperature: NDArray[np.float64]
    density: NDArray[np.float64]
    metallicity: NDArray[np.float64]
    star_formation: NDArray[np.float64]
    wind: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.cloud)


def gas_part(
    cloud: Cloud,
    temperature: NDArray[np.float64],
    density: NDArray[np.float64],
    metallicity: NDArray[np.float64],
) -> GasPart:
    """Gas that forms no stars and is no wind."""
    n = len(cloud)
    return GasPart(cloud, temperature, density, metallicity, np.zeros(n), np.zeros(n, bool))


def satellite_gas(
    halo: Halo, flavour: Flavour, rng: np.random.Generator, resolution: Resolution
) -> tuple[list[GasPart], NDArray[np.int64]]:
    """Gas that satellites still hold: most of it until their first pericentre, less and less after.

    Ram pressure displaces it backwards; those that have passed trail a part of it along their way.
    """
    sat = halo.satellites
    n = len(sat)
    acc = sat.mass_acc * halo.mass
    share = np.array(
        [gas_fraction(halo.feedback, float(np.log10(m * 0.7)), 0.0) if m > 4e11 else 0.0 for m in acc]
    )
    share *= np.clip((np.log10(np.maximum(acc, 1e9)) - 11.6) / 1.2, 0.0, 1.0)
    distance = lengths(sat.position)
    first_infall = sat.pericentre > 0.98 * distance
    stripped = np.exp(-sat.since / np.where(acc > 1e13, *_STRIPPED_WITHIN))
    stripped *= np.where(sat.pericentre < 0.25, 0.6, 1.0)
    keep = _KEPT_UNTIL_PERICENTRE * np.where(first_infall, 1.0, stripped)
    keep *= np.clip(1.6 * sat.mass / sat.mass_acc, 0.0, 1.0)
    gas_mass = share * keep * acc
    budget = halo.budget[flavour]
    for radius, total in ((budget.r500, budget.m500), (1.0, budget.m200)):
        inside = float(gas_mass[distance < radius].sum()) / (total * halo.mass)
        gas_mass *= min(1.0, _MOST_IN_SATELLITES * budget.f_gas / max(inside, 1e-12))
    counts = np.floor(gas_mass / resolution.gas + rng.random(n)).astype(np.int64) * (gas_mass > 0)
    counts = np.where(counts >= 3, counts, 0)
    limit = sat.truncation()
    parts = []
    for i in np.flatnonzero(counts):
        k = int(counts[i])
        # Compact, but wider in the massive: else the core of a merger outshines its host.
        core = min(0.04 * (acc[i] / 3e12) ** 0.3, 0.14) * sat.radius_acc[i]
        edge = max(limit[i], 0.25 * sat.radius_acc[i])
        s = np.geomspace(1e-2, edge / core, 80)
        beta = (1.0 + s**2) ** -1.0
        mass = np.cumsum(4 * np.pi * s**3 * beta * np.log(s[1] / s[0]))
        r = np.interp((np.arange(k) + rng.random(k)) / k * mass[-1], mass, s)
        speed = np.linalg.norm(sat.velocity[i]) + 1e-9
        heading = sat.velocity[i] / speed
        offset = isotropic(rng, k) * (r * core)[:, None]
        drag = min(speed, 1.6) * (1.0 - np.exp(-sat.since[i] / 0.25)) * edge
        back = (0.10 + 0.30 * rng.random(k) ** 1.5 * (r / s[-1])) * drag
        trails = (rng.random(k) < _TRAILING) & ~first_infall[i]
        back = np.where(trails, back + edge * (0.4 + 1.6 * rng.random(k)), back)
        position = sat.position[i] + offset - heading * back[:, None]
        velocity = sat.velocity[i] * (1.0 - 0.25 * (r / s[-1]))[:, None] + 0.1 * rng.standard_normal((k, 3))
        density = gas_mass[i] / (mass[-1] * (core * halo.radius) ** 3) * (1.0 + r**2) ** -1.0
        density[trails] *= 0.3
        virial = 3.5e6 * (acc[i] / 1e13 * halo.epoch.e) ** (2.0 / 3.0)
        cool = np.where(trails, 1.0, 1.0 - 0.5 * np.exp(-((r * core / (0.3 * edge)) ** 2)))
        temperature = np.maximum(virial * cool * np.exp(0.1 * rng.standard_normal(k)), 3e5)
        metals = SOLAR_METALLICITY * 0.35 * np.exp(0.3 * rng.standard_normal(k))
        parts.append(gas_part(halo.cloud(position, velocity), temperature, density, metals))
    return parts, counts


def cold_gas(
    galaxies: Galaxies, halo: Halo, flavour: Flavour, rng: np.random.Generator, resolution: Resolution
) -> GasPart:
    """Star-forming gas in galaxies: cold, dense, a few per cent of their stars, less once stripped."""
    n = len(galaxies.stellar_mass)
    kept = np.concatenate([[0.5], np.exp(-halo.satellites.since / 0.5)])
    share = 0.05 if halo.feedback.code == "gizmo" else 0.07
    counts = np.floor(share * kept * galaxies.stellar_mass / resolution.gas + rng.random(n)).astype(np.int64)
    counts = np.where(galaxies.stellar_mass > 3e9, counts, 0)
    parent = np.repeat(np.arange(n), counts)
    k = len(parent)
    size = 6.0 * (np.maximum(galaxies.stellar_mass, 1e8) / 1e11) ** 0.3
    position = galaxies.position[parent] + size[parent][:, None] * rng.standard_normal((k, 3))
    velocity = galaxies.velocity[parent] + 60.0 * rng.standard_normal((k, 3))
    density = _STAR_FORMING_DENSITY * np.exp(0.5 * rng.standard_normal(k))
    cloud = Cloud(position.astype(np.float32), velocity.astype(np.float32))
    temperature = 1e4 * np.exp(0.2 * rng.standard_normal(k))
    part = gas_part(cloud, temperature, density, np.full(k, SOLAR_METALLICITY))
    part.star_formation[:] = resolution.gas / 2.5e9 * np.exp(0.3 * rng.standard_normal(k))
    if halo.feedback.code == "gizmo":
        part.wind[:] = rng.random(k) < 0.1
    return part


def _into_lumps(
    rng: np.random.Generator, position: NDArray[np.float64], spread: NDArray[np.float64], particle: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Gather a part of the filaments' gas into lumps, in place; which, and their density over the rest."""
    lumpy = np.flatnonzero(rng.random(len(position)) < _LUMPY)
    if not len(lumpy):
        return lumpy, np.empty(0)
    seat = rng.integers(0, len(position), max(int(len(lumpy) * particle / _LUMP_MSUN), 1))
    seat = seat[rng.integers(0, len(seat), len(lumpy))]
    offset = rng.standard_normal((len(lumpy), 3))
    position[lumpy] = position[seat] + _LUMP_KPC * offset
    spread[lumpy] = spread[seat]
    return lumpy, 1.0 + _LUMP_DENSITY * np.exp(-0.5 * squared(offset))


def gas_between(plan: Plan, rng: np.random.Generator, resolution: Resolution) -> GasPart:
    """Warm gas of filaments, cool gas of the background."""
    epoch = plan.epoch
    volume = 4.0 / 3.0 * np.pi * epoch.region_kpc**3
    filament_mass = FILAMENT_MASS * plan.mass[0] * BARYON_FRACTION
    n_filament = int(filament_mass / resolution.gas)
    n_background = int(BACKGROUND * epoch.rho_mean * volume * BARYON_FRACTION / resolution.gas)
    width = 480.0 * epoch.scale
    filament, spread = filament_points(plan, rng, n_filament, width)
    lumpy, lump = _into_lumps(rng, filament, spread, resolution.gas)
    background = uniform_ball(rng, n_background, 0.0, epoch.region_kpc)
    background += 900.0 * epoch.scale * rng.standard_normal((n_background, 3))
    position = np.concatenate([filament, background])
    line = filament_mass / (len(plan.filaments) * epoch.region_kpc)
    core = line / (np.pi * width**2) * (1.0 + (spread / width) ** 2) ** -1.6
    ambient = BACKGROUND * BARYON_FRACTION * epoch.rho_mean
    core[lumpy] *= lump
    density = np.concatenate([core + ambient, np.full(n_background, ambient)])
    density *= np.exp(0.3 * rng.standard_normal(len(density)))
    warm = 4e6 * (plan.mass[0] / 1e15) ** 0.4 * (1.0 + (spread / width) ** 2) ** -0.5
    warm[lumpy] *= lump**-0.5
    temperature = np.concatenate([warm, np.full(n_background, 3e4)]) * np.exp(
        0.3 * rng.standard_normal(len(density))
    )
    keep = lengths(position) < epoch.region_kpc + 500.0 * epoch.scale
    for centre, radius in zip(plan.centre, plan.radius, strict=True):
        keep &= squared(position - centre) > radius**2
    position = position[keep]
    r = lengths(position)
    velocity = -position / r[:, None] * 350.0 + 80.0 * rng.standard_normal(position.shape)
    cloud = Cloud(position.astype(np.float32), velocity.astype(np.float32))
    metals = SOLAR_METALLICITY * 0.1 * np.exp(0.4 * rng.standard_normal(len(r)))
    return gas_part(cloud, temperature[keep], density[keep], metals)
