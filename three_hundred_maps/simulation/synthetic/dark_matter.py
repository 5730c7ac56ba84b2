"""Dark matter of a region: satellites, streams, smooth halos, filaments, background, low-resolution edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps import nfw
from three_hundred_maps.simulation.synthetic.calibration import Budget
from three_hundred_maps.simulation.synthetic.feedback import Feedback, feedback_of
from three_hundred_maps.simulation.synthetic.fields import (
    Shape,
    log_slope,
    random_field,
    rotation,
    stratified_radii,
)
from three_hundred_maps.simulation.synthetic.profiles import (
    LOG_X,
    X_MAX,
    X_MIN,
    HaloProfile,
    X,
    at,
    lengths,
    squared,
)
from three_hundred_maps.simulation.synthetic.satellites import Satellites, draw_satellites
from three_hundred_maps.simulation.synthetic.setup import (
    BARYON_FRACTION,
    FLAVOURS,
    Epoch,
    Flavour,
    Resolution,
    generators,
)
from three_hundred_maps.simulation.synthetic.universe import Plan, halo_budgets, isotropic, on_filament
from three_hundred_maps.simulation.tables import join

SMALLEST_SATELLITE = 40
"""Dark-matter particles at accretion of the smallest satellite that is followed."""
FILAMENT_MASS = 0.30
"""Mass of all filaments of a region over M200c of its central halo."""
BACKGROUND = 0.07
"""Density of what lies between halos and filaments, in the mean density."""
_LOW_RESOLUTION_FACTORS = (24.0, 160.0)


@dataclass(frozen=True)
class Cloud:
    """Particles: (n, 3) kpc from the region's centre and (n, 3) km/s, both float32."""

    position: NDArray[np.float32]
    velocity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True)
class Halo:
    """One distinct halo with all that its dark matter and its baryons share.

    ``mass`` and ``radius`` are the plan's M200c and R200c, in which everything of a halo is expressed;
    a flavour's own are in its ``budget``. ``feedback`` is that of the flavour that is being made, which has
    no part in the dark matter.
    """

    number: int
    mass: float
    radius: float
    speed: float
    centre: NDArray[np.float64]
    velocity: NDArray[np.float64]
    state: float
    profile: HaloProfile
    shape: Shape
    satellites: Satellites
    members: list[int]
    budget: dict[Flavour, Budget]
    feedback: Feedback
    epoch: Epoch

    @property
    def dark(self) -> float:
        """Dark matter inside the plan's R200c, over the plan's M200c."""
        return 1.0 - self.budget[FLAVOURS[0]].baryons

    def count(self, position: NDArray[np.float32], x: float) -> int:
        """How many of (n, 3) kpc in the region lie within ``x`` R200c."""
        offset = position - self.centre.astype(np.float32)
        return int(np.count_nonzero(squared(offset) < (x * self.radius) ** 2))

    def cloud(self, position: NDArray[np.float64], velocity: NDArray[np.float64]) -> Cloud:
        """From the halo's units to kpc and km/s in the region."""
        return Cloud(
            (position * self.radius + self.centre).astype(np.float32),
            (velocity * self.speed + self.velocity).astype(np.float32),
        )


@dataclass(frozen=True)
class DarkMatter:
    """Dark matter of a region: the halos, their particles, and low-resolution particles with masses."""

    halos: list[Halo]
    particles: Cloud
    low_resolution: list[tuple[Cloud, float]]


def make_halo(
    plan: Plan,
    number: int,
    resolution: Resolution,
    rngs: list[np.random.Generator],
    flavour: Flavour = FLAVOURS[0],
) -> Halo:
    """Profile, shape and satellites of halo ``number``; uses the first two of its random streams."""
    rng, rng_satellites = rngs[0], rngs[1]
    mass, state = float(plan.mass[number]), float(plan.state[number])
    profile, budget = halo_budgets(plan, number, *FLAVOURS, flavour)
    starts = plan.filaments[:, 1] / np.linalg.norm(plan.filaments[:, 1], axis=1, keepdims=True)
    if number:
        toward = -plan.centre[number] / np.linalg.norm(plan.centre[number])
        inflow = np.concatenate([toward[None], -toward[None], isotropic(rng, 1)])
        main = toward
    else:
        inflow, main = starts, starts[np.argmax(plan.filament_weight)]
    long_axis = main + 0.45 * rng.standard_normal(3)
    short = np.clip(0.55 + 0.085 * rng.standard_normal() - 0.03 * state, 0.32, 0.85)
    middle = short + (1.0 - short) * np.clip(0.42 + 0.18 * rng.standard_normal(), 0.05, 0.9)
    inner = np.clip(1.0 - 0.12 * (np.log(X) + 0.7) / 2.3, 0.75, 1.15)  # rounder outwards, Allgood et al. 2006
    offset = np.clip(0.25 * np.exp(0.8 * state + 0.4 * rng.standard_normal()), 0.0, 0.65)
    shape = Shape(
        axes=rotation(rng, long_axis),
        middle=np.clip(1.0 - (1.0 - middle) * inner, 0.2, 1.0),
        short=np.clip(1.0 - (1.0 - short) * inner, 0.2, 1.0),
        amplitude=(0.20 + 0.05 * np.clip(state, -1.5, 2.5)) * np.clip((X / 0.6) ** 0.5, 0.15, 1.6),
        field=random_field(rng),
        octave=0.35,
        shift=tuple(offset * isotropic(rng, 1)[0]),
    )
    satellites = draw_satellites(
        rng_satellites, profile, mass, state, inflow,
        SMALLEST_SATELLITE * resolution.dark_matter, resolution.dark_matter, plan.epoch,
    )  # fmt: skip
    satellites = satellites.select(~_inside_others(plan, number, satellites))
    return Halo(
        number, mass, float(plan.radius[number]), plan.epoch.velocity_200c(mass),
        plan.centre[number], plan.velocity[number], state, profile, shape, satellites, [], budget,
        feedback_of(flavour, plan.seed, plan.region), plan.epoch,
    )  # fmt: skip


def _inside_others(plan: Plan, number: int, satellites: Satellites) -> NDArray[np.bool_]:
    """(n,) satellites outside their host that reach into another halo: that place is taken."""
    position = satellites.position * plan.radius[number] + plan.centre[number]
    reach = 0.5 * satellites.radius_acc * plan.radius[number]
    taken = np.zeros(len(satellites), bool)
    for other, (centre, radius) in enumerate(zip(plan.centre, plan.radius, strict=True)):
        if other != number:
            taken |= squared(position - centre) < (radius + reach) ** 2
    return taken & (squared(satellites.position) > 1.0)


def bound_particles(
    rng: np.random.Generator, satellites: Satellites, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """``numbers`` particles of each satellite's bound remnant: a truncated NFW, drawn out along its orbit."""
    parent = np.repeat(np.arange(len(satellites)), numbers)
    total = len(parent)
    s = np.geomspace(1e-4, 30.0, 600)
    c = satellites.concentration
    edge = nfw.enclosed_mass(c) * satellites.mass / satellites.mass_acc
    u = rng.random(total)
    scale = satellites.radius_acc / c
    r = np.exp(np.interp(u * edge[parent], nfw.enclosed_mass(s), np.log(s))) * scale[parent]
    limit = satellites.truncation()[parent]
    r *= np.exp(0.3 * (r / limit) * rng.standard_normal(total))
    offset = isotropic(rng, total) * r[:, None]
    heading = satellites.velocity / (np.linalg.norm(satellites.velocity, axis=1, keepdims=True) + 1e-9)
    along = np.einsum("ij,ij->i", offset, heading[parent])
    offset += 0.25 * (along * np.minimum(r / limit, 1.5))[:, None] * heading[parent]
    inner = np.sqrt(satellites.mass / np.maximum(satellites.truncation(), 1e-3))
    velocity = satellites.velocity[parent] + 0.5 * inner[parent][:, None] * rng.standard_normal((total, 3))
    return satellites.position[parent] + offset, velocity, parent


def _satellite_cloud(halo: Halo, rng: np.random.Generator, resolution: Resolution) -> Cloud:
    exact = halo.satellites.mass * halo.mass / resolution.dark_matter
    numbers = np.floor(exact + rng.random(len(exact))).astype(np.int64)
    position, velocity, parent = bound_particles(rng, halo.satellites, numbers)
    halo.members.extend(np.bincount(parent, minlength=len(exact)).tolist())
    stream = halo.cloud(halo.satellites.stream_position, halo.satellites.stream_velocity)
    return join([halo.cloud(position, velocity), stream])


def _smooth_share(halo: Halo, position: NDArray[np.float64], particle: float) -> NDArray[np.float64]:
    """(N_X,) share of the smooth halo in its dark matter, given the lumpy particles already there."""
    r = lengths(position)
    edges = np.linspace(LOG_X[0], LOG_X[-1], 41)
    lumps = np.histogram(np.log(np.maximum(r, X_MIN)), edges)[0] * particle / halo.mass
    target = np.diff(np.interp(edges, LOG_X, halo.profile.mass)) * halo.dark
    target[0] += halo.profile.mass[0]
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.2) ** 2)
    smooth = [np.convolve(np.pad(v, 6, mode="edge"), kernel / kernel.sum(), "valid") for v in (lumps, target)]
    share = 1.0 - np.clip(smooth[0] / np.maximum(smooth[1], 1e-12), 0.0, 0.7)
    return np.interp(LOG_X, 0.5 * (edges[1:] + edges[:-1]), share)


def _smooth_cloud(
    halo: Halo, rng: np.random.Generator, mass: NDArray[np.float64], number: int, inner: float, outer: float
) -> Cloud:
    """``number`` particles of the smooth halo between two radii (R200c)."""
    radii = stratified_radii(rng, number, mass, inner, outer)
    position = halo.shape.placed(rng, radii, log_slope(halo.profile.density)).position
    sigma = at(radii, halo.profile.sigma)
    velocity = rng.standard_normal((len(radii), 3), dtype=np.float32) * sigma[:, None]
    return halo.cloud(position, velocity)


def filament_points(
    plan: Plan, rng: np.random.Generator, number: int, width_kpc: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``number`` clumpy points along the filaments, and how far off their axes they are (kpc)."""
    which = rng.choice(len(plan.filament_weight), size=number, p=plan.filament_weight)
    t = 0.04 + 0.96 * rng.random(number) ** 1.25
    knots = rng.random((len(plan.filament_weight), 24))
    near = knots[which, rng.integers(0, 24, number)]
    t = np.where(rng.random(number) < 0.4, np.clip(near + 0.012 * rng.standard_normal(number), 0.04, 1.0), t)
    axis = on_filament(plan.filaments, which, t)
    # The surface density of filaments falls as a beta profile (Galarraga-Espinosa et al. 2020).
    spread = width_kpc * np.sqrt(np.minimum((1.0 - rng.random(number)) ** -0.9, 30.0) - 1.0)
    offset = isotropic(rng, number) * spread[:, None]
    return axis + offset, spread


def _falls_inside(position: NDArray[np.float64], plan: Plan, radii: float) -> NDArray[np.bool_]:
    inside = np.zeros(len(position), bool)
    for centre, radius in zip(plan.centre, plan.radius, strict=True):
        inside |= squared(position - centre) < (radii * radius) ** 2
    return inside


def uniform_ball(rng: np.random.Generator, number: int, inner: float, outer: float) -> NDArray[np.float64]:
    """Uniform points between two radii (kpc)."""
    r = np.cbrt(rng.uniform(inner**3, outer**3, number))
    return isotropic(rng, number) * r[:, None]


def _between(plan: Plan, rng: np.random.Generator, resolution: Resolution) -> Cloud:
    """Filaments and the thin background."""
    epoch = plan.epoch
    volume = 4.0 / 3.0 * np.pi * epoch.region_kpc**3
    dark = 1.0 - BARYON_FRACTION
    n_filament = int(FILAMENT_MASS * plan.mass[0] * dark / resolution.dark_matter)
    n_background = int(BACKGROUND * epoch.rho_mean * volume * dark / resolution.dark_matter)
    filament, _ = filament_points(plan, rng, n_filament, 420.0 * epoch.scale)
    background = uniform_ball(rng, n_background, 0.0, epoch.region_kpc)
    background += 900.0 * epoch.scale * rng.standard_normal((n_background, 3))
    position = np.concatenate([filament, background])
    position = position[~_falls_inside(position, plan, 0.9)]
    r = lengths(position)
    position = position[r < epoch.region_kpc + 500.0 * epoch.scale]
    r = lengths(position)
    pull = 500.0 * np.sqrt(plan.mass[0] / 1e15 * 5e3 / np.maximum(r, 2e3))
    velocity = -position / r[:, None] * pull[:, None] + 120.0 * rng.standard_normal(position.shape)
    return Cloud(position.astype(np.float32), velocity.astype(np.float32))


def _edge(rng: np.random.Generator, resolution: Resolution, epoch: Epoch) -> list[tuple[Cloud, float]]:
    """Low-resolution particles (types 2 and 3) beyond the region, a few of them within its soft edge."""
    clouds = []
    middle = 0.5 * (epoch.region_kpc + epoch.edge_kpc)
    bounds = ((epoch.region_kpc - 500.0 * epoch.scale, middle), (middle, epoch.edge_kpc))
    for factor, (inner, outer) in zip(_LOW_RESOLUTION_FACTORS, bounds, strict=True):
        mass = factor * resolution.dark_matter
        number = int(4.0 / 3.0 * np.pi * (outer**3 - inner**3) * epoch.rho_mean / mass)
        position = uniform_ball(rng, number, inner, outer)
        position += 250.0 * epoch.scale * rng.standard_normal((number, 3))
        velocity = 200.0 * rng.standard_normal((number, 3))
        clouds.append((Cloud(position.astype(np.float32), velocity.astype(np.float32)), mass))
    return clouds


def make_dark_matter(plan: Plan, resolution: Resolution, flavour: Flavour = FLAVOURS[0]) -> DarkMatter:
    """All dark matter of a region: the same bytes whatever the flavour.

    Lumps come first, then what lies outside R200c of every halo, last the smooth insides, in the number
    that brings M(<R200c) to the intended mass.
    """
    when = plan.epoch.snapshot
    streams = [generators(plan.seed, plan.region, i + 1, 6, snapshot=when) for i in range(len(plan))]
    halos = [make_halo(plan, i, resolution, streams[i], flavour) for i in range(len(plan))]
    particle = resolution.dark_matter
    rng_between, rng_edge = generators(plan.seed, plan.region, 0, 5, snapshot=when)[3:]
    parts = [_satellite_cloud(halo, streams[i][2], resolution) for i, halo in enumerate(halos)]
    smooth = []
    for i, halo in enumerate(halos):
        own = (parts[i].position - halo.centre) / halo.radius
        share = _smooth_share(halo, own, particle)
        steps = np.diff(halo.profile.mass, prepend=0.0) * share
        mass = np.cumsum(steps)
        smooth.append(mass)
        outside = (mass[-1] - at(1.0, mass)) * halo.mass * (1.0 - BARYON_FRACTION) / particle
        parts.append(_smooth_cloud(halo, streams[i][3], mass, int(outside), 1.0, X_MAX))
    parts.append(_between(plan, rng_between, resolution))
    everything = np.concatenate([part.position for part in parts])
    for i, halo in enumerate(halos):
        distance2 = squared(everything - halo.centre.astype(np.float32)) / np.float32(halo.radius**2)
        # Closed at the smaller R200c of the two codes too, for lumps may lie between it and the plan's; where
        # they hold more than belongs there, each radius has half of the difference.
        least = min([1.0, *(halo.budget[name].r200 for name in FLAVOURS)])
        missing = [
            round(halo.mass * halo.dark * float(at(x, halo.profile.mass)) / particle)
            - int(np.count_nonzero(distance2 < x**2))
            for x in (least, 1.0)
        ]
        inside = max(missing[0] + min(missing[1] - missing[0], 0) // 2, 0)
        shell = max(missing[1] - missing[0], 0)
        parts.append(_smooth_cloud(halo, streams[i][4], smooth[i], inside, 0.0, least))
        parts.append(_smooth_cloud(halo, streams[i][4], smooth[i], shell, least, 1.0))
    return DarkMatter(halos, join(parts), _edge(rng_edge, resolution, plan.epoch))
