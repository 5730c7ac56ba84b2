"""What lies where in a region: its central cluster, the clusters and groups around it, the filaments.

Milliseconds a region, and the same for every flavour: a plan can be made before a particle exists.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.simulation.catalogues.halos import Halos
from three_hundred_maps.simulation.synthetic.calibration import Budget, budgets_of
from three_hundred_maps.simulation.synthetic.feedback import Feedback, feedback_of
from three_hundred_maps.simulation.synthetic.profiles import HaloProfile, halo_profile
from three_hundred_maps.simulation.synthetic.setup import (
    ALL_FLAVOURS,
    CENTRE_KPC_H,
    FLAVOURS,
    REGION_KPC,
    TODAY,
    Epoch,
    Flavour,
    H,
    check_redshift,
    check_seed,
    concentration,
    generators,
    lookback_gyr,
)

CENTRAL_RANGE = (13.9, 15.15)
"""log10 M200c (Msun/h) of central clusters: flat, so that the sample is flat as the paper's figure 1."""

_NEIGHBOUR_EDGES = np.array([12.7, 13.1, 13.5, 13.9, 14.3, 14.6])
_NEIGHBOURS_PER_DEX = np.array([1.2, 4.0, 0.85, 0.16, 0.06])
CONCENTRATION_SCATTER_DEX = 0.135
_CONCENTRATION_SHIFT = 0.93
"""Of the tabulated profile, so that fits to all particles (stars included) give the published median."""
_STATE_IN_CONCENTRATION = -0.55
_SHARED_GAS_STATE = 0.97
"""Correlation of a flavour's gas fraction with what all flavours share."""
_MEMORY_GYR = 4.0
"""The correlation of a halo's dynamical state with its later one falls by e in it: about two crossings."""
_STATE_WITH_REDSHIFT = 0.35
"""Standard deviations by which halos are more disturbed for each unit of redshift: clusters grow faster
then, and fewer are relaxed (De Luca et al. 2021)."""
_LARGEST_NEIGHBOUR = 0.8
"""M200c of a region's second halo over its central one's, at most."""


@dataclass(frozen=True)
class Plan:
    """A region before its particles: distinct halos in falling mass, kpc from the region's centre.

    Parameters
    ----------
    epoch
        Of the snapshot; lengths are proper.
    mass, radius
        (n,) M200c in Msun and R200c in kpc.
    centre, velocity
        (n, 3) kpc and km/s.
    state
        (n,) latent dynamical state, N(0, 1): above 0 disturbed, late-formed, rich in substructure.
    concentration
        (n,) c200c.
    gas_state
        (n, 4) standard deviations of the gas fraction from its median in `setup.ALL_FLAVOURS`.
    star_state
        (n,) the same of the stellar fraction, one for all flavours.
    filaments
        (m, 3, 3) control points of quadratic Bezier curves that start in the central halo, kpc.
    filament_weight
        (m,) their shares.
    """

    seed: int
    region: int
    epoch: Epoch
    mass: NDArray[np.float64]
    radius: NDArray[np.float64]
    centre: NDArray[np.float64]
    velocity: NDArray[np.float64]
    state: NDArray[np.float64]
    concentration: NDArray[np.float64]
    gas_state: NDArray[np.float64]
    star_state: NDArray[np.float64]
    filaments: NDArray[np.float64]
    filament_weight: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.mass)

    @property
    def halo_id(self) -> NDArray[np.int64]:
        """The Three Hundred's ids: snapshot * 10^12 + rank in mass."""
        return self.epoch.snapshot * 10**12 + 1 + np.arange(len(self), dtype=np.int64)


def isotropic(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """(n, 3) random unit vectors."""
    vectors = rng.standard_normal((n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def growth_rate(state: ArrayLike) -> NDArray[np.float64]:
    """-d ln M200c / dz of halos: M = M0 exp(-rate z), Wechsler et al. (2002).

    The median of 0.85 and the spread with ``state`` (the disturbed grow fastest) bracket the median and mean
    rates that Fakhouri, Ma & Boylan-Kolchin (2010) find for 10^14-10^15 Msun, 0.6-1.2.
    """
    return np.asarray(0.85 * np.exp(0.4 * np.clip(state, -2.0, 2.0)))


def draw_plan(seed: int, region: int, redshift: float = 0.0) -> Plan:
    """The plan of a region; a pure function of its arguments.

    At a redshift above 0 it holds the progenitors of the halos of z = 0: at the same comoving places, with
    the mass that they have grown from and a dynamical state that has since changed.
    """
    check_seed(seed, region)
    check_redshift(redshift)
    rng_mass, rng_place, rng_state = generators(seed, region, 0, 3)
    central = 10.0 ** rng_mass.uniform(*CENTRAL_RANGE) / H
    neighbours = []
    for low, high, rate in zip(_NEIGHBOUR_EDGES[:-1], _NEIGHBOUR_EDGES[1:], _NEIGHBOURS_PER_DEX, strict=True):
        number = rng_mass.poisson(rate * (high - low))
        neighbours.append(10.0 ** rng_mass.uniform(low, high, number) / H)
    others = np.sort(np.concatenate(neighbours))[::-1]

    filaments, weight = _draw_filaments(rng_place)
    others = others[others < _LARGEST_NEIGHBOUR * central]
    centres, masses = [np.zeros(3)], [central]
    radii = [float(TODAY.radius_200c(central))]
    for mass in others:
        radius = float(TODAY.radius_200c(mass))
        place = _find_place(rng_place, radius, centres, radii, filaments, weight)
        if place is not None:
            centres.append(place)
            masses.append(mass)
            radii.append(radius)
    mass, centre = np.array(masses), np.array(centres)
    n = len(mass)
    state = rng_state.standard_normal(n)
    own = rng_state.standard_normal(n)
    distance = np.linalg.norm(centre, axis=1)
    infall = np.where(
        distance > 0, -700.0 * np.sqrt(central * H / 1e15 * 4e3 / np.maximum(distance, 2e3)), 0.0
    )
    velocity = centre / np.maximum(distance, 1.0)[:, None] * infall[:, None]
    velocity += 180.0 * rng_state.standard_normal((n, 3)) + 250.0 * rng_state.standard_normal(3)
    star_state, shared_gas = np.clip(rng_state.standard_normal((2, n)), -2.5, 2.5)
    own_gas = np.clip(rng_state.standard_normal((n, len(FLAVOURS))), -2.5, 2.5)
    others_gas = np.clip(rng_state.standard_normal((n, len(ALL_FLAVOURS) - len(FLAVOURS))), -2.5, 2.5)
    own_gas = np.concatenate([own_gas, others_gas], axis=1)
    gas_state = _SHARED_GAS_STATE * shared_gas[:, None] + np.sqrt(1.0 - _SHARED_GAS_STATE**2) * own_gas
    epoch = Epoch(float(redshift))
    if redshift > 0:
        mass = mass * np.exp(-growth_rate(state) * redshift)
        mass = np.minimum(mass, np.where(np.arange(n) > 0, _LARGEST_NEIGHBOUR * mass[0], np.inf))
        rng = generators(seed, region, 0, 1, snapshot=epoch.snapshot)[0]
        memory = np.exp(-lookback_gyr(redshift) / _MEMORY_GYR)
        state = memory * state + np.sqrt(1.0 - memory**2) * rng.standard_normal(n)
        state = state + _STATE_WITH_REDSHIFT * redshift
    mixed = _STATE_IN_CONCENTRATION * state + np.sqrt(1.0 - _STATE_IN_CONCENTRATION**2) * own
    scatter = 10.0 ** (CONCENTRATION_SCATTER_DEX * np.clip(mixed, -2.5, 2.5))
    c = np.clip(_CONCENTRATION_SHIFT * concentration(mass, redshift) * scatter, 1.6, 14.0)
    order = np.argsort(-mass, kind="stable")
    return Plan(
        int(seed), int(region), epoch, mass[order], epoch.radius_200c(mass)[order],
        centre[order] * epoch.scale, velocity[order], state[order], c[order], gas_state[order],
        star_state[order], filaments * epoch.scale, weight,
    )  # fmt: skip


def _draw_filaments(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    number = int(rng.integers(3, 6))
    ends: list[NDArray[np.float64]] = []
    while len(ends) < number:
        direction = isotropic(rng, 1)[0]
        if all(direction @ other < 0.6 for other in ends):
            ends.append(direction)
    curves = np.zeros((number, 3, 3))
    for k, direction in enumerate(ends):
        bend = isotropic(rng, 1)[0]
        curves[k, 1] = REGION_KPC * (0.45 * direction + 0.16 * bend)
        curves[k, 2] = REGION_KPC * 1.02 * direction
    weight = rng.dirichlet(np.full(number, 3.0))
    return curves, weight


def on_filament(
    filaments: NDArray[np.float64], which: NDArray[np.int64], t: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, 3) points of the curves ``which`` at parameter ``t`` of 0-1."""
    a, b, c = (filaments[which, k] for k in range(3))
    t = t[:, None]
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c


def _find_place(
    rng: np.random.Generator,
    radius: float,
    centres: list[NDArray[np.float64]],
    radii: list[float],
    filaments: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """A place on or off the filaments where the halo's R200c overlaps no other's; None when it is full."""
    for _ in range(60):
        if rng.random() < 0.65:
            which = rng.choice(len(weight), size=1, p=weight)
            place = on_filament(filaments, which, rng.uniform(0.08, 0.9, 1))[0]
            place = place + 500.0 * rng.standard_normal(3)
        else:
            place = isotropic(rng, 1)[0] * REGION_KPC * rng.uniform(0.1, 0.9) ** 0.7
        gaps = [
            np.linalg.norm(place - other) - max(1.2 * (radius + size), 1.6 * max(radius, size))
            for other, size in zip(centres, radii, strict=True)
        ]
        if min(gaps) > 0.0:
            return place
    return None


def halo_budgets(plan: Plan, number: int, *flavours: Flavour) -> tuple[HaloProfile, dict[Flavour, Budget]]:
    """The mass profile of halo ``number`` of a plan, and its baryons in ``flavours`` and the plan's own."""
    mass = float(plan.mass[number])
    profile = halo_profile(mass, float(plan.concentration[number]), float(plan.state[number]), plan.epoch)
    feedbacks: dict[Flavour, Feedback] = {
        name: feedback_of(name, plan.seed, plan.region) for name in (FLAVOURS[0], *flavours)
    }
    star_state = float(plan.star_state[number])
    return profile, budgets_of(mass, profile, plan.gas_state[number], star_state, feedbacks)


def draw_halos(seed: int, region: int, flavour: Flavour = "gadgetx", redshift: float = 0.0) -> Halos:
    """The distinct halos of a region as they are meant to be, before a particle exists.

    Parameters
    ----------
    seed
        Base seed of the simulation, >= 0.
    region
        Number of the region, >= 1.
    flavour
        ``gadgetx``, ``gizmo``, ``simba-strong`` or ``hypercube``: where feedback drives gas out of a halo its
        M200c is smaller.
    redshift
        Of the snapshot, 0 to 1.

    Returns
    -------
    Halos
        Ids, centres (proper kpc in the snapshot's frame), M200c and R200c, in falling mass of ``gadgetx``.
        The catalogue that `simulate_region` writes has the same halos under the same ids, with M200c
        measured from the particles of its flavour to within 1 %; it has subhaloes too, which this has not.

    Raises
    ------
    InputError
        For a negative seed, a region below 1, an unknown flavour or a redshift outside 0 to 1.
    """
    plan = draw_plan(seed, region, redshift)
    own = [halo_budgets(plan, i, flavour)[1][flavour] for i in range(len(plan))]
    n = len(plan)
    return Halos(
        halo_id=plan.halo_id,
        host_id=np.full(n, -1, np.int64),
        centre_kpc=plan.centre + CENTRE_KPC_H / H * plan.epoch.scale,
        M200c_msun=plan.mass * [budget.m200 for budget in own],
        R200c_kpc=plan.radius * [budget.r200 for budget in own],
        f_high_resolution=np.ones(n),
        com_offset=np.full(n, np.nan),
        f_sub=np.full(n, np.nan),
        redshift=plan.epoch.redshift,
        source="synthetic",
    )
