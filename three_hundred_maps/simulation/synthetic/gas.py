"""Gas of a region: hydrostatic halos with clumps, sloshing and shocks, closed on the baryons they hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.synthetic.calibration import gas_fraction
from three_hundred_maps.simulation.synthetic.dark_matter import Cloud, Halo
from three_hundred_maps.simulation.synthetic.fields import (
    FIELD_SIDE,
    Fluctuation,
    Shape,
    add_wells,
    log_slope,
    random_field,
    refined,
    shell_means,
    stratified_radii,
)
from three_hundred_maps.simulation.synthetic.gas_parts import (
    GasPart,
    cold_gas,
    gas_between,
    gas_part,
    satellite_gas,
)
from three_hundred_maps.simulation.synthetic.gas_profiles import Core, GasProfile, gas_profile
from three_hundred_maps.simulation.synthetic.profiles import X_MAX, X_MIN, X, at, lengths, squared
from three_hundred_maps.simulation.synthetic.setup import (
    BARYON_FRACTION,
    Flavour,
    Resolution,
)
from three_hundred_maps.simulation.synthetic.stars import SOLAR_METALLICITY, Galaxies
from three_hundred_maps.simulation.synthetic.universe import Plan
from three_hundred_maps.simulation.tables import join, take

NEIGHBOURS = {"gadgetx": 200, "gizmo": 64}
"""Particles within a kernel's support: Wendland C4 in GADGET-X, a cubic spline in GIZMO-SIMBA."""
_SWELL = {"gadgetx": 4.1, "gizmo": -0.7}
"""How much a core widens (shrinks, below 0) with the gas that feedback has driven out."""
_WIDER = 1.35
"""How much wider a core is for each unit of heating beyond that of GIZMO-SIMBA."""
_NONTHERMAL = {"gadgetx": 0.73, "gizmo": 0.66}
_HEATED_LOG_M500 = np.array([13.3, 13.7, 14.3, 14.9])
_HEATED = {"gadgetx": np.zeros(4), "gizmo": np.array([0.74, 0.70, 0.42, 0.20])}
"""By how much feedback heats the centre above hydrostatic balance, less outwards: gas of `gizmo`'s groups
that its jets have not driven out."""
_WARMTH_SCATTER = (np.array([13.5, 14.0, 14.8]), np.array([0.066, 0.060, 0.03]))
"""log10 M500c (Msun) and the scatter of T at fixed mass (dex) that is drawn."""
_WARM_WHERE_POOR = 0.25
"""d ln T / d ln f_gas at fixed mass, with the sign turned: what has lost gas has been heated."""
_OUTSIDE_SHOCK = 0.25
"""Pressure just outside the accretion shock over that inside."""
_KNOTS = np.log([0.05, 0.3, 0.6, 1.0, 1.6])
"""ln radius (R200c) at which the strengths of fluctuations are given."""
_ADIABATIC = {
    "gadgetx": np.array([0.098, 0.163, 0.24, 0.36, 0.50]),
    "gizmo": np.array([0.075, 0.12, 0.185, 0.28, 0.42]),
}
"""Standard deviation of ln density of sound waves and turbulence, which keep the entropy; it grows outwards
as the Mach number of the motions does (Zhuravleva et al. 2014; Nelson et al. 2014)."""
_ISOBARIC = {
    "gadgetx": np.array([0.28, 0.315, 0.36, 0.415, 0.46]),
    "gizmo": np.array([0.228, 0.26, 0.31, 0.38, 0.45]),
}
"""The same of clumps in pressure balance: stripped and cooling gas, bright in X-rays and unseen in SZ."""
_ADIABATIC_SLOPE = -2.6
_ISOBARIC_SLOPE = {"gadgetx": 0.8, "gizmo": 0.0}
_ISOBARIC_SIDE, _ISOBARIC_SKEW = 3.6, 0.4
"""Side (R200c) of the field, and its skewness (`Fluctuation`): clumps stand out more than hollows."""
_CELLS, _CELLS_OF_GROUPS, _GROUPS_MSUN = 96, 48, 3e13
"""Cells on a side of both fields, so that the shortest waves are those of a map's pixels; fewer in the halos
below that mass, which have few particles and no maps."""
_WELL, _WELL_SHARES, _WELL_LEAST = 22.0, (1.0, 0.6), 1e-3
"""Depth in ln density of the gas in a satellite's potential, over (m/M)^(2/3); how the two fields share it;
the least m/M that counts."""
_WELL_SIZE, _DEEPEST_WELL = 0.25, 1.8
"""Standard deviation of a well over R200c (m/M)^(1/3); the most that one is deep."""


@dataclass(frozen=True)
class HaloGas:
    """What is drawn of a halo's gas before its particles."""

    core: Core
    shape: Shape
    nonthermal_scale: float
    isobaric: NDArray[np.float64]
    warmth: NDArray[np.float64]
    shock: float


def draw_halo_gas(
    halo: Halo, flavour: Flavour, shared: np.random.Generator, rng: np.random.Generator
) -> HaloGas:
    """Core and irregularities of a halo's gas; ``shared`` is the same for both flavours."""
    fraction = halo.budget[flavour].f_gas
    calm = shared.standard_normal() - 0.8 * halo.state
    cool = 1.0 / (1.0 + np.exp(-1.6 * (calm - 0.35)))
    deficit = 1.0 - fraction / BARYON_FRACTION
    own = halo.feedback
    swell = np.exp(max(own.between(_SWELL, "core"), _SWELL["gizmo"]) * max(deficit - 0.15, 0.0))
    swell *= (halo.mass / 3e14) ** own.heated(-0.2, 0.0) * _WIDER ** max(own.core - 1.0, 0.0)
    noise = np.exp(0.15 * shared.standard_normal())
    core = Core(
        max(own.heated(0.25, 0.10) + own.heated(1.15, 1.05) * cool, 0.0),
        own.heated(0.156, 0.178) * (1.0 - 0.25 * cool) * swell * noise,
        0.62,
        own.heated(0.55, 0.95),
    )
    slosh = np.clip(0.18 + 0.10 * halo.state + 0.08 * shared.standard_normal(), 0.02, 0.5)
    middle, short = 1.0 - 0.45 * (1.0 - halo.shape.middle), 1.0 - 0.45 * (1.0 - halo.shape.short)
    turbulence = np.exp(0.28 * np.clip(halo.state, -2, 2)) * own.turbulent(1.0, 1.1)
    push = 0.75 * np.asarray(halo.shape.shift)
    first, second = _fluctuations(halo, turbulence, rng)
    shape = Shape(
        halo.shape.axes, middle, short, first.amplitude, first.field, 0.0,
        (float(slosh), float(0.16 * np.exp(0.2 * shared.standard_normal())), 2.2,
         float(shared.uniform(0, 2 * np.pi))),
        (float(push[0]), float(push[1]), float(push[2])), second,
    )  # fmt: skip
    isobaric = np.interp(np.log(X), np.log([0.05, 0.3, 0.6, 1.2, 2.5]), [0.95, 0.75, 0.45, 0.05, -0.25])
    # The massive, which still accrete, are stirred most.
    stirred = (halo.mass / 2e14) ** own.turbulent(0.2, 0.08)
    stirred *= float(np.exp(0.25 * np.clip(halo.state, -2, 2)))
    nonthermal = own.between(_NONTHERMAL, "turbulence") * stirred
    return HaloGas(core, shape, nonthermal, isobaric, _warmth(halo, flavour, shared), _shock(halo, shared))


def _warmth(halo: Halo, flavour: Flavour, shared: np.random.Generator) -> NDArray[np.float64]:
    """(N_X,) temperature over that of hydrostatic balance: scatter, and what feedback has heated inside."""
    log_mass = np.log10(halo.mass * halo.profile.m500)
    budget = halo.budget[flavour]
    spread = np.log(10.0) * np.interp(log_mass, *_WARMTH_SCATTER)
    poor = np.log(budget.f_gas / gas_fraction(halo.feedback, float(log_mass), 0.0))
    shift = spread * np.clip(shared.standard_normal(), -2.5, 2.5) - _WARM_WHERE_POOR * np.clip(poor, -1, 1)
    heated = np.interp(log_mass, _HEATED_LOG_M500, halo.feedback.between(_HEATED, "core"))
    return np.exp(shift) * (1.0 + heated * np.exp(-((X / (0.46 * budget.r500)) ** 2)))


def _shock(halo: Halo, shared: np.random.Generator) -> float:
    """Radius of the accretion shock (R200c): smaller around what grows fast."""
    return float(np.clip(1.45 - 0.06 * halo.state + 0.07 * shared.standard_normal(), 1.3, 1.6))


def _fluctuations(halo: Halo, turbulence: float, rng: np.random.Generator) -> tuple[Fluctuation, Fluctuation]:
    """What moves the gas adiabatically, and clumps in pressure balance; they share satellites' wells alone.

    Half of the variance of the first is what moves the dark matter too, the rest is turbulence.
    """
    at_x = np.log(X)
    own = halo.feedback
    adiabatic = np.interp(at_x, _KNOTS, own.between(_ADIABATIC, "turbulence")) * turbulence
    clumps = np.interp(at_x, _KNOTS, own.between(_ISOBARIC, "turbulence")) * np.sqrt(turbulence)
    cells = _CELLS if halo.mass > _GROUPS_MSUN else _CELLS_OF_GROUPS
    moved = random_field(rng, cells, _ADIABATIC_SLOPE)
    moved = np.float32(np.sqrt(0.5)) * (moved + refined(halo.shape.field, cells))
    clumped = random_field(rng, cells, own.between(_ISOBARIC_SLOPE, "turbulence"))
    sat = halo.satellites
    r = lengths(sat.position)
    for field, side, strength, share in (
        (moved, FIELD_SIDE, adiabatic, _WELL_SHARES[0]),
        (clumped, _ISOBARIC_SIDE, clumps, _WELL_SHARES[1]),
    ):
        deep = (sat.mass > _WELL_LEAST) & (r < 0.5 * side)
        depth = share * np.minimum(_WELL * sat.mass[deep] ** (2.0 / 3.0), _DEEPEST_WELL)
        size = np.clip(_WELL_SIZE * np.cbrt(sat.mass[deep]), 0.03, 0.15)
        add_wells(field, side, sat.position[deep], size, depth / np.interp(np.log(r[deep]), at_x, strength))
    return (
        Fluctuation(moved, adiabatic, FIELD_SIDE, 0.0),
        Fluctuation(clumped, clumps, _ISOBARIC_SIDE, _ISOBARIC_SKEW),
    )


def _host_part(
    halo: Halo,
    drawn: HaloGas,
    table: GasProfile,
    rng: np.random.Generator,
    flavour: Flavour,
    radii: NDArray[np.float64],
) -> GasPart:
    """The halo's own gas at given radii."""
    placed = drawn.shape.placed(rng, radii, log_slope(table.density), quiet=True)
    position, n = placed.position, len(radii)
    density = at(radii, table.density) * placed.ratio * halo.mass / halo.radius**3
    # Fluctuations at constant entropy warm what they press, those at constant pressure cool it. The mean
    # over mass is kept, and with it the pressure of the shell.
    heat = np.exp((2.0 / 3.0) * placed.first - placed.second)
    temperature = at(radii, table.temperature) * heat / shell_means(radii, heat)
    # The accretion shock, ragged where the gas moves.
    out = np.log(np.maximum(radii, X_MIN) / drawn.shock) - 0.3 * placed.first
    temperature *= 1.0 - (1.0 - _OUTSIDE_SHOCK) / (1.0 + np.exp(np.clip(-out / 0.04, -50.0, 50.0)))
    temperature *= placed.smooth ** -np.interp(np.log(radii + X_MIN), np.log(X), drawn.isobaric)
    temperature *= np.exp(0.06 * rng.standard_normal(n))
    density, temperature = _shocks(halo, position, density, temperature)
    support = np.interp(np.log(radii + X_MIN), np.log(X), table.nonthermal)
    sigma = np.sqrt(support) * at(radii, halo.profile.sigma)
    velocity = 0.9 * sigma[:, None] * rng.standard_normal((n, 3))
    # The metals of as many stars in less gas.
    richness = min((BARYON_FRACTION / halo.budget[flavour].f_gas) ** 0.45, 1.8)
    metals = richness * SOLAR_METALLICITY * (0.22 + 0.45 * np.exp(-radii / 0.12))
    metals *= np.exp(0.25 * rng.standard_normal(n))
    part = gas_part(halo.cloud(position, velocity), temperature, density, metals)
    if halo.feedback.code == "gizmo":
        chance = 0.004 * np.exp(-((radii / 0.25) ** 2))
        part.wind[:] = rng.random(n) < chance
    return part


def _shocks(
    halo: Halo, position: NDArray[np.float64], density: NDArray[np.float64], temperature: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bow shocks ahead of massive satellites that move faster than sound: denser and hotter gas."""
    sat = halo.satellites
    speed = lengths(sat.velocity)
    for i in np.flatnonzero((sat.mass_acc > 0.03) & (speed > 1.15) & (sat.since > 0) & (sat.since < 1.4)):
        heading = sat.velocity[i] / speed[i]
        mach = min(speed[i] / 0.85, 2.5)
        stand_off = 0.30 * sat.radius_acc[i]
        away = position - sat.position[i]
        along = np.einsum("ij,j->i", away, heading)
        side2 = squared(away) - along**2
        surface = stand_off - side2 / (4.0 * stand_off)
        behind = surface - along
        profile = np.where(behind > 0, np.exp(-behind / (0.9 * stand_off)), np.exp(-((behind / 0.02) ** 2)))
        profile *= np.exp(-side2 / (2.2 * stand_off) ** 2)
        jump_density = 4.0 * mach**2 / (mach**2 + 3.0) - 1.0
        jump_temperature = (5.0 * mach**2 - 1.0) * (mach**2 + 3.0) / (16.0 * mach**2) - 1.0
        density = density * (1.0 + 0.5 * jump_density * profile)
        temperature = temperature * (1.0 + jump_temperature * profile)
    return density, temperature


def make_gas(
    plan: Plan,
    halos: list[Halo],
    stars: Cloud,
    galaxies: list[Galaxies],
    flavour: Flavour,
    resolution: Resolution,
    rngs: list[list[np.random.Generator]],
    shared: list[np.random.Generator],
    rng_between: np.random.Generator,
) -> tuple[GasPart, list[NDArray[np.int64]]]:
    """All gas of a region, and the gas particles of each halo's satellites.

    As with dark matter, lumps and surroundings come first; the halo's own gas then fills up R500c to the
    flavour's gas fraction and R200c to its baryons.
    """
    particle = resolution.gas
    parts: list[GasPart] = []
    guests: list[GasPart] = []
    counts = []
    for i, halo in enumerate(halos):
        own, in_satellites = satellite_gas(halo, flavour, rngs[i][0], resolution)
        parts += [*own, cold_gas(galaxies[i], halo, flavour, rngs[i][0], resolution)]
        guests += own
        counts.append(in_satellites)
    parts.append(gas_between(plan, rng_between, resolution))
    guests.append(parts[-1])
    drawn = [draw_halo_gas(halo, flavour, shared[i], rngs[i][1]) for i, halo in enumerate(halos)]
    tables = []
    budgets = []
    for i, halo in enumerate(halos):
        r500 = halo.budget[flavour].r500
        target_500 = halo.budget[flavour].f_gas * halo.budget[flavour].m500
        star_mass = halo.count(stars.position, 1.0) * resolution.star / halo.mass
        target_200 = max(halo.budget[flavour].baryons - star_mass, target_500 * 1.05)
        budgets.append((target_500, target_200))
        present = [
            sum(halo.count(p.cloud.position, x) for p in parts) * particle / halo.mass for x in (r500, 1.0)
        ]
        inside_500 = max(target_500 - present[0], 0.2 * target_500)
        inside_200 = max(target_200 - present[1], 1.02 * inside_500)
        table = gas_profile(
            halo.profile,
            halo.speed,
            drawn[i].core,
            r500,
            inside_500,
            inside_200,
            drawn[i].nonthermal_scale,
        )
        tables.append(replace(table, temperature=table.temperature * drawn[i].warmth))
    for i, halo in enumerate(halos):
        mass = tables[i].mass
        number = int((mass[-1] - float(at(1.0, mass))) * halo.mass / particle)
        radii = stratified_radii(rngs[i][2], number, mass, 1.0, X_MAX)
        around = _host_part(halo, drawn[i], tables[i], rngs[i][2], flavour, radii)
        # Where another halo lies its own gas takes the place.
        free = np.ones(len(around), bool)
        for other in halos:
            if other is not halo:
                centre = other.centre.astype(np.float32)
                free &= squared(around.cloud.position - centre) > other.radius**2
        parts.append(take(around, free))
    everything = np.concatenate([p.cloud.position for p in parts])
    for i, halo in enumerate(halos):
        for part in guests:
            _immerse(part, halo, tables[i])
    for i, halo in enumerate(halos):
        r500, mass = halo.budget[flavour].r500, tables[i].mass
        present_500, present_200 = halo.count(everything, r500), halo.count(everything, 1.0)
        n_500 = max(round(budgets[i][0] * halo.mass / particle) - present_500, 0)
        n_shell = max(round(budgets[i][1] * halo.mass / particle) - present_200 - n_500, 0)
        radii = np.concatenate(
            [
                stratified_radii(rngs[i][3], n_500, mass, 0.0, r500),
                stratified_radii(rngs[i][3], n_shell, mass, r500, 1.0),
            ]
        )
        parts.append(_host_part(halo, drawn[i], tables[i], rngs[i][3], flavour, radii))
    return join(parts), counts


def _immerse(part: GasPart, halo: Halo, table: GasProfile) -> None:
    """Gas that is not the halo's own but lies in it: densities add, temperatures mix by mass."""
    x = lengths(part.cloud.position - halo.centre.astype(np.float32)) / halo.radius
    rows = np.flatnonzero(x < 2.5)
    if not len(rows):
        return
    around = at(x[rows], table.density) * (halo.mass / halo.radius**3)
    total = part.density[rows] + around
    heat = part.density[rows] * part.temperature[rows] + around * at(x[rows], table.temperature)
    part.temperature[rows] = heat / total
    part.density[rows] = total
