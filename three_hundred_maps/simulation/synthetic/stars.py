"""Stars and black holes: satellite galaxies, their tidal debris, the brightest galaxy, intracluster light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.simulation.stellar_mass import mass_left
from three_hundred_maps.simulation.synthetic.calibration import F_STAR, LOG_M500, STARS_IN_SHELL
from three_hundred_maps.simulation.synthetic.dark_matter import Cloud, Halo
from three_hundred_maps.simulation.synthetic.fields import log_slope, stratified_radii
from three_hundred_maps.simulation.synthetic.profiles import (
    X,
    at,
    cumulative_mass,
    jeans_sigma,
    lengths,
)
from three_hundred_maps.simulation.synthetic.setup import Flavour, H, Resolution, cosmic_time_gyr
from three_hundred_maps.simulation.synthetic.universe import isotropic
from three_hundred_maps.simulation.tables import join

SOLAR_METALLICITY = 0.0134
_SCATTER_DEX = 0.18
_MOST_IN_SATELLITES = 0.58
"""The largest share that satellites have of a halo's stars inside R500c."""
_SMALLEST_CENTRAL = 0.22
"""The least share of a halo's stellar mass that is in its brightest galaxy and diffuse light."""
_RICHNESS_DEX = 0.12
"""Scatter between halos in what all satellites have formed, and so the other way in the diffuse light."""
_LOG_BRIGHTEST = 11.93
"""log10 of the brightest galaxy's median stellar mass (Msun) in a halo of M500c = 10^14 Msun."""
_LIGHT_SCALE = 0.7
"""Radius (R200c) where the diffuse light's profile steepens."""
_MOST_BRIGHTEST = 0.85
"""The largest share of the brightest galaxy in what is not in satellites."""
_BIRTH_MASS_SCATTER = 0.15
"""Of ln mass: gas particles have lost mass to stars before, or have taken up what stars returned."""
_IN_STREAMS = 0.45
"""The share of diffuse light that lies in streams, where the halo is neither calm nor disturbed."""
_STREAM_FREE = 0.06
"""Radius (R200c) inside which streams have mixed."""
_STREAM_POOL = 6000
"""Places in streams that the diffuse light of a halo is given to."""


@dataclass(frozen=True)
class Galaxies:
    """Galaxies of one halo: kpc, km/s, Msun, the brightest first."""

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    stellar_mass: NDArray[np.float64]


@dataclass(frozen=True)
class Stars:
    """Star particles of a region with mass (Msun), formation scale factor and metallicity; galaxies by halo.

    ``satellite_counts`` are the particles of each halo's satellites, which stand first of its stars of
    satellites; ``debris_counts`` what tides took from them, which follows.
    """

    particles: Cloud
    mass: NDArray[np.float64]
    formation: NDArray[np.float32]
    metallicity: NDArray[np.float32]
    galaxies: list[Galaxies]
    satellite_counts: list[NDArray[np.int64]]
    debris_counts: list[int]


def stellar_mass(halo_mass_msun: ArrayLike) -> NDArray[np.float64]:
    """Median stellar mass (Msun) of a central galaxy: Behroozi et al. (2013)'s form with the parameters of
    Kravtsov et al. (2018) for M200c, whose photometry holds the outer light of massive galaxies."""
    log_m1, log_eps, alpha, delta, gamma = 11.35, -1.642, -1.779, 4.394, 0.547
    x = np.log10(np.maximum(np.asarray(halo_mass_msun, np.float64), 1e6)) - log_m1

    def f(x: ArrayLike) -> NDArray[np.float64]:
        x = np.asarray(x, np.float64)
        bend = delta * np.log10(1.0 + np.exp(x)) ** gamma / (1.0 + np.exp(10.0**-x))
        return -np.log10(10.0 ** (alpha * x) + 1.0) + bend

    return 10.0 ** (log_m1 + log_eps + f(x) - f(0.0))


def _hernquist_radii(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radii in half-mass radii, cut at six of them."""
    root = np.sqrt(u * 0.88)
    return root / (1.0 - root) / 2.414


def _satellite_stars(
    halo: Halo,
    rng: np.random.Generator,
    shared: np.random.Generator,
    flavour: Flavour,
    resolution: Resolution,
) -> tuple[list[Cloud], list[tuple[NDArray[np.float64], NDArray[np.float64]]], Galaxies, NDArray[np.int64]]:
    """Satellite galaxies and what tides took from them.

    ``shared`` draws what both flavours share (which satellite has formed many stars), ``rng`` the rest.
    """
    sat = halo.satellites
    n = len(sat)
    mass = stellar_mass(sat.mass_acc * halo.mass) * 10.0 ** (_SCATTER_DEX * shared.standard_normal(n))
    mass *= 10.0 ** (_RICHNESS_DEX * np.clip(shared.standard_normal(), -2.5, 2.5))
    log_m500 = np.log10(np.maximum(sat.mass_acc * halo.mass * 0.7, 1e9))
    ratio = F_STAR["gizmo"] / F_STAR["gadgetx"]
    mass *= np.interp(log_m500, LOG_M500, ratio) ** halo.feedback.stars
    # Halos that form many satellites' stars form no more in all: the sum stays within the halo's budget.
    budget = halo.budget[flavour]
    distance = lengths(sat.position)
    core, shell = distance < budget.r500, (distance >= budget.r500) & (distance < 1.0)
    for chosen, total, most in (
        (core, budget.m500, _MOST_IN_SATELLITES),
        (shell, budget.m200 - budget.m500, STARS_IN_SHELL),
    ):
        share = float(mass[chosen].sum()) / (total * halo.mass)
        mass[chosen] *= min(1.0, most * budget.f_star / max(share, 1e-12))
    # Stars are lost only once most of the dark matter is (Smith et al. 2016).
    remaining = np.clip((sat.mass / sat.mass_acc) / 0.04, 0.0, 1.0)
    bound = mass * remaining
    counts = np.floor(bound / resolution.star + rng.random(n)).astype(np.int64)
    parent = np.repeat(np.arange(n), counts)
    half = 0.015 * sat.radius_acc * halo.radius * 10.0 ** (0.12 * shared.standard_normal(n))
    half = np.maximum(half, 2.0)
    r = _hernquist_radii(rng.random(len(parent))) * half[parent] / halo.radius
    flat = isotropic(rng, len(parent))
    spin = isotropic(shared, n)
    squash = 1.0 - shared.uniform(0.2, 0.8, n)
    height = np.einsum("ij,ij->i", flat, spin[parent])
    flat -= ((1.0 - squash[parent]) * height)[:, None] * spin[parent]
    inner = np.sqrt(sat.mass / np.maximum(sat.truncation(), 1e-3))
    velocity = sat.velocity[parent] + 0.45 * inner[parent][:, None] * rng.standard_normal((len(parent), 3))
    clouds = [halo.cloud(sat.position[parent] + flat * r[:, None], velocity)]
    born = np.clip(0.38 - 0.05 * (np.log10(np.maximum(mass, 1e6)) - 10.5), 0.2, 0.6)
    metals = SOLAR_METALLICITY * np.clip(10.0 ** (0.25 * (np.log10(np.maximum(mass, 1e6)) - 10.8)), 0.1, 2.0)
    kinds = [(born[parent], metals[parent])]

    stripped = np.floor((mass - bound) / resolution.star + rng.random(n)).astype(np.int64)
    rows = []
    order = np.argsort(sat.stream_parent, kind="stable")
    first = np.searchsorted(sat.stream_parent[order], np.arange(n + 1))
    for i in range(n):
        mine = order[first[i] : first[i + 1]]
        deep = mine[sat.stream_depth[mine] > 0.8] if stripped[i] else mine[:0]
        if len(deep):
            rows.append(deep[rng.integers(0, len(deep), stripped[i])])
    debris = np.concatenate(rows) if rows else np.empty(0, np.int64)
    jitter = 0.012 * rng.standard_normal((len(debris), 3))
    clouds.append(halo.cloud(sat.stream_position[debris] + jitter, sat.stream_velocity[debris]))
    kinds.append((born[sat.stream_parent[debris]], metals[sat.stream_parent[debris]]))
    galaxies = Galaxies(
        sat.position * halo.radius + halo.centre, sat.velocity * halo.speed + halo.velocity, bound
    )
    return clouds, kinds, galaxies, counts


def _into_streams(
    halo: Halo,
    rng: np.random.Generator,
    position: NDArray[np.float64],
    velocity: NDArray[np.float64],
    radii: NDArray[np.float64],
) -> None:
    """Move a part of the diffuse light, in place, to where streams are at the same radius.

    Light that satellites have lost is where their stripped dark matter is, the more the deeper it was bound
    and the more stars the satellite had formed; the profile of the light stays.
    """
    sat = halo.satellites
    if len(sat.stream_parent) < 100:
        return
    formed = stellar_mass(sat.mass_acc * halo.mass) / (sat.mass_acc * halo.mass)
    weight = np.cumsum(formed[sat.stream_parent] * sat.stream_depth**2)
    pool = np.searchsorted(weight, np.sort(rng.random(_STREAM_POOL)) * weight[-1])
    pool = pool[np.argsort(lengths(sat.stream_position[pool]), kind="stable")]
    place, speed = sat.stream_position[pool], sat.stream_velocity[pool]
    distance = lengths(place)
    share = min(_IN_STREAMS * float(np.exp(0.2 * np.clip(halo.state, -2.0, 2.0))), 0.8)
    moved = np.flatnonzero((rng.random(len(radii)) < share) & (radii > _STREAM_FREE))
    # The nearest in radius, one of some twenty neighbours in it.
    near = np.searchsorted(distance, radii[moved]) + rng.integers(-10, 11, len(moved))
    near = np.clip(near, 0, len(pool) - 1)
    there = place[near] + 0.02 * rng.standard_normal((len(moved), 3))
    position[moved] = there * (radii[moved] / lengths(there))[:, None]
    velocity[moved] = speed[near] + 0.1 * rng.standard_normal((len(moved), 3))


def _central_stars(
    halo: Halo,
    rng: np.random.Generator,
    shared: np.random.Generator,
    r500: float,
    inside_r500: float,
    resolution: Resolution,
) -> tuple[list[Cloud], float]:
    """The brightest galaxy and the diffuse light, ``inside_r500`` Msun of them within ``r500`` (R200c).

    The galaxy is a Hernquist (1990) profile of half-mass radius 20-50 kpc (of the masses of Kravtsov et al.
    2018 within 50 kpc); the light falls as r^-2.3 and r^-3.6 far out, steeper than dark matter.
    """
    log_m500 = np.log10(halo.mass * halo.profile.m500)
    scatter = 10.0 ** (0.15 * shared.standard_normal())
    brightest = 10.0 ** (_LOG_BRIGHTEST + 0.4 * (log_m500 - 14.0)) * scatter
    brightest = min(brightest, _MOST_BRIGHTEST * inside_r500)
    half = 24.0 * (brightest / 5e11) ** 0.5 * 10.0 ** (0.08 * shared.standard_normal())
    half = float(np.clip(half, 15.0, 60.0)) / halo.radius
    number = int(brightest / resolution.star + rng.random())
    r = np.sort(_hernquist_radii((np.arange(number) + rng.random(number)) / max(number, 1))) * half
    position = halo.shape.placed(rng, np.clip(r, 1e-5, None), np.full(len(X), 3.0)).position
    scale = _LIGHT_SCALE * 10.0 ** (0.15 * shared.standard_normal())
    density = (X / scale) ** -2.6 * (1.0 + (X / scale) ** 2) ** -0.5 * np.exp(-((X / 1.4) ** 4))
    light = cumulative_mass(density)
    inside = float(at(r500, light))
    diffuse = int((inside_r500 - brightest) / resolution.star * light[-1] / inside)
    radii = stratified_radii(rng, diffuse, light, 0.0, float(X[-1]))
    spread = halo.shape.placed(rng, radii, log_slope(density)).position
    sigma_bright = float(at(max(2.0 * half, 0.02), halo.profile.sigma))
    sigma = at(radii, jeans_sigma(density, halo.profile.mass))
    speed = sigma[:, None] * rng.standard_normal(spread.shape)
    _into_streams(halo, rng, spread, speed, radii)
    return [
        halo.cloud(position, sigma_bright * rng.standard_normal(position.shape)),
        halo.cloud(spread, speed),
    ], brightest


def make_stars(
    halos: list[Halo],
    flavour: Flavour,
    resolution: Resolution,
    rngs: list[np.random.Generator],
    shared: list[np.random.Generator],
) -> Stars:
    """All stars of a region: f_star inside R500c of every halo as the flavour's relation says."""
    satellites = [_satellite_stars(h, rngs[i], shared[i], flavour, resolution) for i, h in enumerate(halos)]
    clouds = [cloud for item in satellites for cloud in item[0]]
    formation = [born for item in satellites for born, _ in item[1]]
    metals = [z for item in satellites for _, z in item[1]]
    galaxies = []
    for i, halo in enumerate(halos):
        budget = halo.budget[flavour]
        target = budget.f_star * budget.m500 * halo.mass
        present = sum(halo.count(cloud.position, budget.r500) for cloud in clouds) * resolution.star
        wanted = max(target - present, _SMALLEST_CENTRAL * target)
        own, brightest = _central_stars(halo, rngs[i], shared[i], budget.r500, wanted, resolution)
        clouds += own
        for k, cloud in enumerate(own):
            formation.append(np.full(len(cloud), 0.26 if k == 0 else 0.34))
            metals.append(np.full(len(cloud), (1.3 if k == 0 else 0.6) * SOLAR_METALLICITY))
        sat = satellites[i][2]
        galaxies.append(
            Galaxies(
                np.concatenate([halo.centre[None], sat.position]),
                np.concatenate([halo.velocity[None], sat.velocity]),
                np.concatenate([[brightest], sat.stellar_mass]),
            )
        )
    particles = join(clouds)
    rng = rngs[0]
    now = halos[0].epoch.scale
    a = np.concatenate(formation) * np.exp(0.25 * rng.standard_normal(len(particles)))
    a = np.clip(a, 0.06, 0.999 * now)
    mass = mass_left(cosmic_time_gyr(1.0 / now - 1.0) - cosmic_time_gyr(1.0 / a - 1.0))
    mass *= np.exp(_BIRTH_MASS_SCATTER * np.clip(rng.standard_normal(len(particles)), -3.0, 3.0))
    # Each population keeps the mass that its number of particles stands for.
    sizes = [len(born) for born in formation]
    population = np.repeat(np.arange(len(sizes)), sizes)
    total = np.bincount(population, mass, len(sizes))
    mass *= resolution.star * (np.array(sizes) / np.maximum(total, 1e-12))[population]
    z = np.concatenate(metals) * np.exp(0.3 * rng.standard_normal(len(particles)))
    return Stars(
        particles,
        mass,
        a.astype(np.float32),
        np.clip(z, 1e-5, 0.06).astype(np.float32),
        galaxies,
        [item[3] for item in satellites],
        [len(item[0][1]) for item in satellites],
    )


def black_holes(galaxies: list[Galaxies]) -> tuple[Cloud, NDArray[np.float64]]:
    """A black hole in each galaxy above 10^9.8 Msun: about 2e-3 of its stars, a bulge's share."""
    position = np.concatenate([g.position for g in galaxies])
    velocity = np.concatenate([g.velocity for g in galaxies])
    mass = np.concatenate([g.stellar_mass for g in galaxies])
    keep = mass > 10**9.8
    return (
        Cloud(position[keep].astype(np.float32), velocity[keep].astype(np.float32)),
        np.minimum(2e-3 * mass[keep] * (mass[keep] / 1e11) ** 0.2, 2e10 / H),
    )
