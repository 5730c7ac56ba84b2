"""Stars and black holes: satellite galaxies, their tidal debris, the brightest galaxy, intracluster light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.simulation.synthetic.calibration import F_STAR, LOG_M500, STARS_IN_SHELL
from three_hundred_maps.simulation.synthetic.dark_matter import Cloud, Halo
from three_hundred_maps.simulation.synthetic.fields import log_slope, stratified_radii
from three_hundred_maps.simulation.synthetic.profiles import (
    X,
    at,
    cumulative_mass,
    jeans_sigma,
    lengths,
    squared,
)
from three_hundred_maps.simulation.synthetic.setup import Flavour, H, Resolution
from three_hundred_maps.simulation.synthetic.universe import isotropic

SOLAR_METALLICITY = 0.0134
_SCATTER_DEX = 0.18
_MOST_IN_SATELLITES = 0.65
"""The largest share that satellites have of a halo's stars inside R500c."""
_SMALLEST_CENTRAL = 0.22
"""The least share of a halo's stellar mass that is in its brightest galaxy and diffuse light."""


@dataclass(frozen=True)
class Galaxies:
    """Galaxies of one halo: kpc, km/s, Msun, the brightest first."""

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    stellar_mass: NDArray[np.float64]


@dataclass(frozen=True)
class Stars:
    """Star particles of a region with formation scale factor and metallicity, and galaxies by halo."""

    particles: Cloud
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


def _count_inside(clouds: list[Cloud], centre: NDArray[np.float64], radius: float) -> int:
    c = centre.astype(np.float32)
    return int(sum(np.count_nonzero(squared(cloud.position - c) < radius**2) for cloud in clouds))


def _central_stars(
    halo: Halo,
    rng: np.random.Generator,
    shared: np.random.Generator,
    r500: float,
    inside_r500: float,
    resolution: Resolution,
) -> tuple[list[Cloud], float]:
    """The brightest galaxy and the diffuse light, ``inside_r500`` Msun of them within ``r500`` (R200c)."""
    log_m500 = np.log10(halo.mass * halo.profile.m500)
    scatter = 10.0 ** (0.15 * shared.standard_normal())
    brightest = 10.0 ** (11.45 + 0.4 * (log_m500 - 14.0)) * scatter
    brightest = min(brightest, 0.65 * inside_r500)
    half = 14.0 * (brightest / 3e11) ** 0.6 / halo.radius * 10.0 ** (0.08 * shared.standard_normal())
    number = int(brightest / resolution.star + rng.random())
    r = np.sort(_hernquist_radii((np.arange(number) + rng.random(number)) / max(number, 1))) * half
    own_slope = np.full(len(X), 3.0)
    position, _ = halo.shape.place(rng, np.clip(r, 1e-5, None), own_slope)
    scale = 0.10 * 10.0 ** (0.1 * shared.standard_normal())
    density = 1.0 / ((X / scale) * (1.0 + X / scale) ** 3) * np.exp(-((X / 1.4) ** 4))
    light = cumulative_mass(density)
    inside = float(at(r500, light))
    diffuse = int((inside_r500 - brightest) / resolution.star * light[-1] / inside)
    radii = stratified_radii(rng, diffuse, light, 0.0, float(X[-1]))
    spread, _ = halo.shape.place(rng, radii, log_slope(density))
    sigma_bright = float(at(max(2.0 * half, 0.02), halo.profile.sigma))
    sigma = at(radii, jeans_sigma(density, halo.profile.mass))
    return [
        halo.cloud(position, sigma_bright * rng.standard_normal(position.shape)),
        halo.cloud(spread, sigma[:, None] * rng.standard_normal(spread.shape)),
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
        r500 = budget.r500 * halo.radius
        target = budget.f_star * budget.m500 * halo.mass
        present = _count_inside(clouds, halo.centre, r500) * resolution.star
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
    particles = Cloud.join(clouds)
    rng = rngs[0]
    a = np.concatenate(formation) * np.exp(0.25 * rng.standard_normal(len(particles)))
    z = np.concatenate(metals) * np.exp(0.3 * rng.standard_normal(len(particles)))
    return Stars(
        particles,
        np.clip(a, 0.06, 0.999 * halos[0].epoch.scale).astype(np.float32),
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
