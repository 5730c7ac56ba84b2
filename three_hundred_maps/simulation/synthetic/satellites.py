"""Satellites: accreted along the host's history, on orbits that friction and tides shape, leaving streams."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps import nfw
from three_hundred_maps.simulation.synthetic.kernels import drift_stripped, integrate_orbits
from three_hundred_maps.simulation.synthetic.profiles import (
    DLOG_X,
    X_MAX,
    X_MIN,
    HaloProfile,
    at,
    lengths,
)
from three_hundred_maps.simulation.synthetic.setup import (
    TODAY,
    Epoch,
    concentration,
    expansion,
    lookback_gyr,
)
from three_hundred_maps.simulation.synthetic.universe import growth_rate, isotropic

DT = 0.0125
"""Time step in R200c/V200c: 18 Myr at z = 0."""
Z_FIRST = 1.5
"""Satellites accreted earlier by more than that in redshift are taken to have mixed with the smooth halo."""

_TURN = 0.3
_STREAM_STRIDE = 2
"""Stripped particles move in steps of twice `DT`, which needs to be fine for friction and stripping only."""
_SHMF_NORM, _SHMF_SLOPE, _SHMF_CUT = 0.148, -0.82, 0.45
"""Unevolved subhalo mass function dN/dln(m_acc/M) = norm mu^slope exp(-(mu/cut)^3)."""
_MOST_ACCRETED = 0.52
"""The largest sum of mass ratios of one halo's satellites: the rest is smooth."""
_INFALL_SHARE = 0.45
"""Satellites still falling in outside R200c, over those accreted within the last 10 Gyr."""


_SCALED = np.geomspace(1e-5, 40.0, 4000)
_LOG_G = np.linspace(np.log(nfw.enclosed_mass(40.0) / 40.0**3), np.log(nfw.enclosed_mass(1e-4) / 1e-12), 1200)
_DENSITY_INVERSE = np.interp(-_LOG_G, -np.log(nfw.enclosed_mass(_SCALED) / _SCALED**3), np.log(_SCALED))
"""ln(r/r_s) of an NFW halo over ln of its mean inner density."""


@dataclass(frozen=True)
class Satellites:
    """Satellites of one halo, in its R200c, M200c and V200c; times in R200c/V200c.

    ``mass_acc``, ``radius_acc`` and ``concentration`` at accretion; ``mass`` bound today; ``since`` the time
    since accretion (0: still falling in); ``pericentre`` of the orbit so far; ``merger`` marks the recent
    major merger; ``stream_*`` are stripped dark-matter particles, the satellite each came from and how
    deep in it each was bound (0 outermost, 1 innermost).
    """

    mass_acc: NDArray[np.float64]
    radius_acc: NDArray[np.float64]
    concentration: NDArray[np.float64]
    mass: NDArray[np.float64]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    since: NDArray[np.float64]
    pericentre: NDArray[np.float64]
    merger: NDArray[np.bool_]
    stream_position: NDArray[np.float64]
    stream_velocity: NDArray[np.float64]
    stream_parent: NDArray[np.int64]
    stream_depth: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.mass)

    def select(self, keep: NDArray[np.bool_]) -> Satellites:
        """Those of ``keep`` (n,), with their streams."""
        streams = keep[self.stream_parent]
        kept = {
            field.name: getattr(self, field.name)[streams if field.name.startswith("stream") else keep]
            for field in fields(self)
        }
        return Satellites(**{**kept, "stream_parent": (np.cumsum(keep) - 1)[kept["stream_parent"]]})

    def truncation(self) -> NDArray[np.float64]:
        """(n,) radius in R200c that holds the bound mass in the profile at accretion."""
        s = np.geomspace(1e-3, 1.0, 200)
        out = np.empty(len(self))
        for i, (c, share) in enumerate(zip(self.concentration, self.mass / self.mass_acc, strict=True)):
            out[i] = np.interp(share, nfw.enclosed_mass(c * s) / nfw.enclosed_mass(c), s)
        return out * self.radius_acc


def _mass_ratios(
    rng: np.random.Generator, low: float, accreted_share: float, state: float
) -> NDArray[np.float64]:
    """Mass ratios m_acc/M200c of the satellites accreted since z = 1.5, above ``low``."""
    richness = np.exp(0.28 * np.clip(state, -2.5, 2.5) - 0.04)
    mean = _SHMF_NORM / -_SHMF_SLOPE * (low**_SHMF_SLOPE - 1.0) * accreted_share * richness
    number = rng.poisson(max(mean, 0.0))
    u = rng.random(number)
    ratios = (low**_SHMF_SLOPE * (1.0 - u) + u) ** (1.0 / _SHMF_SLOPE)
    return ratios[rng.random(number) < np.exp(-((ratios / _SHMF_CUT) ** 3))]


def draw_satellites(
    rng: np.random.Generator,
    profile: HaloProfile,
    mass_msun: float,
    state: float,
    inflow: NDArray[np.float64],
    smallest_msun: float,
    particle_msun: float,
    epoch: Epoch = TODAY,
) -> Satellites:
    """Draw, move and strip the satellites of one halo.

    Parameters
    ----------
    rng
        Of this halo's satellites.
    profile, mass_msun, state
        The host: profile, M200c, latent state.
    inflow
        (m, 3) unit vectors from which matter falls in (filaments).
    smallest_msun
        Satellites of less mass at accretion belong to the smooth halo.
    particle_msun
        Dark-matter particle mass: what is stripped becomes particles of streams.
    epoch
        When they are seen.
    """
    growth = float(growth_rate(state))
    oldest = np.exp(-growth * Z_FIRST)
    low = smallest_msun / mass_msun
    ratio = _mass_ratios(rng, low, 1.0 - oldest, state) if low < 0.3 else np.empty(0)
    z = -np.log(rng.uniform(oldest, 1.0, len(ratio))) / growth  # of accretion, less that of the snapshot
    merger = np.zeros(len(ratio), bool)
    chance = 0.48 * np.exp(0.9 * np.clip(state, -2.0, 2.0))
    if rng.random() < min(chance, 0.8) and low < 0.05:
        ratio = np.append(ratio, 10.0 ** rng.uniform(-1.0, np.log10(0.42)))
        z = np.append(z, rng.uniform(0.04, 0.28))
        merger = np.append(merger, True)
    room = np.cumsum(ratio[::-1])[::-1] <= _MOST_ACCRETED
    ratio, z, merger = ratio[room], z[room], merger[room]
    n_in = len(ratio)
    extra = _mass_ratios(rng, low, _INFALL_SHARE * (1.0 - oldest), state) if low < 0.3 else np.empty(0)
    extra = extra[extra < 3e12 / mass_msun]
    ratio, z = np.append(ratio, extra), np.append(z, np.zeros(len(extra)))
    merger = np.append(merger, np.zeros(len(extra), bool))

    n = len(ratio)
    mass_acc = ratio * mass_msun
    host_share = np.exp(-growth * z)
    z = z + epoch.redshift
    c = concentration(mass_acc, z) * 10.0 ** (0.16 * rng.standard_normal(n))
    smaller = (expansion(z) / epoch.e) ** (-2.0 / 3.0)
    size = np.cbrt(ratio) * smaller
    start = np.cbrt(host_share) * smaller
    direction = _infall_directions(rng, n, inflow)
    start[n_in:] = rng.uniform(1.05, 2.4, n - n_in)
    position = direction * start[:, None]
    circular = np.sqrt(at(start, profile.mass) / start)
    speed = circular * np.exp(0.17 + 0.16 * rng.standard_normal(n))
    radial = np.sqrt(rng.beta(2.4, 1.0, n))
    side = np.cross(direction, isotropic(rng, n))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    velocity = speed[:, None] * (-radial[:, None] * direction + np.sqrt(1.0 - radial**2)[:, None] * side)

    ago = lookback_gyr(z) - lookback_gyr(epoch.redshift)
    steps = np.rint(ago / epoch.time_unit_gyr / DT).astype(np.int64)
    steps[n_in:] = 0
    longest = int(steps.max(initial=0))
    track = np.zeros((n, longest + 1, 6))
    bound = np.zeros((n, longest + 1))
    # A massive satellite on its way out would count as a halo of its own: it is seen when last inside.
    massive = ((mass_acc > 8e12) | (ratio > 0.15)) & (np.arange(n) < n_in)
    stop_inside = np.where(massive, 0.93 - 0.6 * np.minimum(ratio, 0.42), 0.0)
    start_steps = steps.copy()
    integrate_orbits(
        profile.mass, profile.density, profile.sigma, X_MIN, 1.0 / DLOG_X,
        position, velocity, steps, DT, ratio, c, size, stop_inside, track, bound,
        _DENSITY_INVERSE, _LOG_G[0], 1.0 / (_LOG_G[1] - _LOG_G[0]),
    )  # fmt: skip
    outside = massive & (lengths(position) > 0.97)
    keep = ~outside
    now = bound[np.arange(n), steps]
    pericentre = np.array(
        [lengths(track[i, : steps[i] + 1, :3]).min() for i in range(n)] if n else np.empty(0)
    )
    lost_particles = np.floor((ratio - now) * mass_msun / particle_msun * keep).astype(np.int64)
    stream = _release(rng, profile, track, bound, steps, lost_particles)
    renumber = np.cumsum(keep) - 1
    return Satellites(
        ratio[keep], size[keep], c[keep], now[keep], position[keep], velocity[keep],
        (DT * start_steps.astype(np.float64))[keep], pericentre[keep], merger[keep],
        stream[0], stream[1], renumber[stream[2]], stream[3],
    )  # fmt: skip


def _infall_directions(rng: np.random.Generator, n: int, inflow: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half of the directions spread around the filaments, half isotropic."""
    directions = isotropic(rng, n)
    along = rng.random(n) < 0.5
    which = rng.integers(0, len(inflow), n)
    spread = inflow[which] + 0.35 * rng.standard_normal((n, 3))
    spread /= np.linalg.norm(spread, axis=1, keepdims=True)
    return np.where(along[:, None], spread, directions)


def _pull_table(profile: HaloProfile) -> NDArray[np.float64]:
    """M(<r)/r^3, softened, on a uniform grid of r/(r + `_TURN`) as `drift_stripped` wants it."""
    share = np.linspace(0.0, 1.0, 2049)[:-1]
    r = _TURN * share / (1.0 - share)
    enclosed = np.where(r > X_MAX, profile.mass[-1], at(r, profile.mass))
    table = np.where(r < X_MIN, profile.mass[0] * (r / X_MIN) ** 2, enclosed) / (r**2 + 4e-4) ** 1.5
    return np.append(table, 0.0)


def _release(
    rng: np.random.Generator,
    profile: HaloProfile,
    track: NDArray[np.float64],
    bound: NDArray[np.float64],
    steps: NDArray[np.int64],
    numbers: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Let go of stripped particles at both tidal points as mass is lost, and follow them to today."""
    parent = np.repeat(np.arange(len(numbers)), numbers)
    total = len(parent)
    u = rng.random(total)
    when = np.empty(total, np.int64)
    first = 0
    for i, number in enumerate(numbers):
        if number:
            lost = bound[i, 0] - bound[i, : steps[i] + 1]
            when[first : first + number] = np.interp(
                u[first : first + number] * lost[-1], lost, np.arange(len(lost))
            )
            first += number
    at_release = track[parent, when]
    position, velocity = at_release[:, :3].copy(), at_release[:, 3:].copy()
    r = lengths(position) + 1e-3
    tidal = np.cbrt(bound[parent, when] / (2.0 * at(r, profile.mass))) * r
    side = np.where(rng.random(total) < 0.5, 1.0, -1.0) * (0.9 + 0.35 * rng.standard_normal(total)) * tidal
    offset = position / r[:, None] * side[:, None]
    offset += 0.3 * tidal[:, None] * rng.standard_normal((total, 3))
    spin = np.cross(position, velocity) / (r**2)[:, None]
    inner = np.sqrt(bound[parent, when] / np.maximum(tidal, 1e-3))
    velocity += 0.6 * np.cross(spin, offset) + 0.3 * inner[:, None] * rng.standard_normal((total, 3))
    position += offset
    remaining = (steps[parent] - when + 1) // _STREAM_STRIDE
    drift_stripped(_pull_table(profile), _TURN, position, velocity, remaining, _STREAM_STRIDE * DT)
    inside = lengths(position) < 2.8
    lost_share = 1.0 - bound[np.arange(len(numbers)), steps] / np.maximum(bound[:, 0], 1e-30)
    depth = u * lost_share[parent]
    return position[inside], velocity[inside], parent[inside], depth[inside]
