"""Compiled loops: orbits of satellites, stripped particles, and clouds of particles of a given shape.

Random numbers come from a counter hashed by splitmix64, so they depend on the seed alone, never on
a library's version or the order of work.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.compiled import njit

Array = NDArray[Any]


@njit(cache=True, inline="always")
def _uniform(state: Any) -> float:
    """The next uniform number of (0, 1); ``state`` is a uint64 array of one."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (float(z >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@njit(cache=True, inline="always")
def _lookup(table: Array, x: float, x_min: float, inverse_step: float) -> float:
    """A table on a uniform grid in log x at ``x``."""
    position = math.log(max(x, x_min) / x_min) * inverse_step
    k = int(position)
    if k >= table.size - 1:
        return table[table.size - 1]
    f = position - k
    return table[k] * (1.0 - f) + table[k + 1] * f


@njit(cache=True)
def integrate_orbits(
    mass_table: Array,
    density_table: Array,
    sigma_table: Array,
    x_min: float,
    inverse_step: float,
    position: Array,
    velocity: Array,
    steps: Array,
    dt: float,
    mass: Array,
    concentration: Array,
    radius: Array,
    stop_inside: Array,
    track: Array,
    bound: Array,
    density_inverse: Array,
    log_g0: float,
    inverse_dg: float,
) -> None:
    """Leapfrog orbits with dynamical friction (Chandrasekhar 1943) and tidal stripping.

    A satellite loses the mass outside its tidal radius (King 1962) within a local dynamical time, as
    in Zentner et al. (2005) and Jiang et al. (2021). Units: G = M200c = R200c = 1.

    Parameters
    ----------
    position, velocity
        (n, 3), at accretion; on return today's.
    steps
        (n,) steps until today.
    mass, concentration, radius
        (n,) at accretion: virial mass, NFW concentration and virial radius.
    stop_inside
        (n,) where > 0, the orbit is stopped at its last step within this radius.
    track, bound
        (n, max(steps) + 1, 6) and (n, max(steps) + 1): phase-space coordinates and bound mass.
    density_inverse, log_g0, inverse_dg
        ln(r/r_s) of an NFW halo over ln of its mean inner density, tabulated from ``log_g0`` on.
    """
    for i in range(mass.size):
        x, y, z = position[i]
        u, v, w = velocity[i]
        m = mass[i]
        c = concentration[i]
        full = math.log(1.0 + c) - c / (1.0 + c)
        last_inside = -1
        for step in range(steps[i] + 1):
            r = math.sqrt(x * x + y * y + z * z) + 1e-9
            track[i, step, 0] = x
            track[i, step, 1] = y
            track[i, step, 2] = z
            track[i, step, 3] = u
            track[i, step, 4] = v
            track[i, step, 5] = w
            bound[i, step] = m
            if r < stop_inside[i]:
                last_inside = step
            if step == steps[i]:
                break
            soft = r * r + 1e-4
            enclosed = _lookup(mass_table, r, x_min, inverse_step)
            pull = -enclosed / (soft * math.sqrt(soft))
            # friction
            drag = 0.0
            speed = math.sqrt(u * u + v * v + w * w) + 1e-9
            if r < 1.5 and m > 1e-4 * mass[i]:
                sigma = _lookup(sigma_table, r, x_min, inverse_step)
                q = speed / (1.4142135 * sigma)
                shape = math.erf(q) - 1.1283792 * q * math.exp(-q * q)
                coulomb = math.log(1.0 + 1.0 / m)
                rho = _lookup(density_table, r, x_min, inverse_step)
                drag = 4.0 * math.pi * m * coulomb * rho * shape / (speed * speed * speed)
                drag = min(drag, 0.5 / dt)
            u += dt * (pull * x - drag * u)
            v += dt * (pull * y - drag * v)
            w += dt * (pull * z - drag * w)
            x += dt * u
            y += dt * v
            z += dt * w
            # stripping: mean density of the satellite inside the tidal radius equals twice the host's
            host = 2.0 * enclosed / (r * r * r)
            wanted = host * full * (radius[i] / c) ** 3 / mass[i]
            k = (math.log(wanted) - log_g0) * inverse_dg
            if k <= 0.0:
                tidal = mass[i]
            else:
                j = min(int(k), density_inverse.size - 2)
                f = min(k - j, 1.0)
                s = min(math.exp(density_inverse[j] * (1.0 - f) + density_inverse[j + 1] * f), c)
                tidal = mass[i] * (math.log(1.0 + s) - s / (1.0 + s)) / full
            if m > tidal:
                rate = 0.7 * math.sqrt(enclosed / (r * r * r))
                m -= (m - tidal) * (1.0 - math.exp(-dt * rate))
            if r < 0.02 and m < 0.5 * mass[i]:
                m *= math.exp(-6.0 * dt)
        end = steps[i]
        if stop_inside[i] > 0.0 and last_inside >= 0:
            end = last_inside
            steps[i] = end
        for k in range(3):
            position[i, k] = track[i, end, k]
            velocity[i, k] = track[i, end, 3 + k]


@njit(cache=True)
def drift_stripped(
    pull: Array, turn: float, position: Array, velocity: Array, steps: Array, dt: float
) -> None:
    """Leapfrog of stripped particles in the host's potential, from their release to today.

    ``pull`` is M(<r)/r^3 (softened) on a uniform grid of r/(r + turn), which needs no logarithm.
    """
    last = pull.size - 1
    for i in range(steps.size):
        x, y, z = position[i]
        u, v, w = velocity[i]
        for _ in range(steps[i]):
            r = math.sqrt(x * x + y * y + z * z)
            place = r / (r + turn) * last
            k = int(place)
            f = place - k
            kick = -dt * (pull[k] * (1.0 - f) + pull[min(k + 1, last)] * f)
            u += kick * x
            v += kick * y
            w += kick * z
            x += dt * u
            y += dt * v
            z += dt * w
        position[i, 0] = x
        position[i, 1] = y
        position[i, 2] = z
        velocity[i, 0] = u
        velocity[i, 1] = v
        velocity[i, 2] = w


@njit(cache=True, inline="always")
def _trilinear(grid: Array, x: float, y: float, z: float) -> float:
    """A periodic grid at (x, y, z) in cells."""
    n = grid.shape[0]
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    dx, dy, dz = x - fx, y - fy, z - fz
    i, j, k = int(fx), int(fy), int(fz)
    # a division takes longer than the rest of this: only what lies outside pays for it
    if min(i, j, k) < 0 or max(i, j, k) >= n:
        i, j, k = i % n, j % n, k % n
    i1 = i + 1 if i + 1 < n else 0
    j1 = j + 1 if j + 1 < n else 0
    k1 = k + 1 if k + 1 < n else 0
    a = grid[i, j, k] * (1 - dz) + grid[i, j, k1] * dz
    b = grid[i, j1, k] * (1 - dz) + grid[i, j1, k1] * dz
    c = grid[i1, j, k] * (1 - dz) + grid[i1, j, k1] * dz
    d = grid[i1, j1, k] * (1 - dz) + grid[i1, j1, k1] * dz
    return (a * (1 - dy) + b * dy) * (1 - dx) + (c * (1 - dy) + d * dy) * dx


@njit(cache=True)
def sample_cloud(
    seed: int,
    radii: Array,
    axes: Array,
    q1: Array,
    q2: Array,
    amplitude: Array,
    x_min: float,
    inverse_step: float,
    grid: Array,
    cells_per_x: float,
    octave: float,
    second_amplitude: Array,
    second_grid: Array,
    second_cells_per_x: float,
    skew: float,
    spiral: Array,
    shift: Array,
    quiet: bool,
    position: Array,
    smooth: Array,
    first: Array,
    second: Array,
) -> None:
    """Directions for particles at given radii: ellipsoidal, irregular, with exactly those radii.

    A direction is drawn from an ellipsoid's angular distribution (m^-3, axis ratios ``q1``, ``q2``
    tabulated in log radius) and accepted by exp(amplitude G), G a random field of unit variance, times that
    of a second, skewed field, times a spiral. Since only directions are drawn, the spherical mass profile is
    that of ``radii``.

    Parameters
    ----------
    radii
        (n,) in R200c.
    axes
        (3, 3) rows: long, middle and short axis.
    q1, q2, amplitude
        Tables over log radius: middle/long, short/long axis ratio of the map of directions, field strength.
    grid, cells_per_x, octave
        Periodic random field; grid cells per R200c; strength of a second, 2.7 times finer octave.
    second_amplitude, second_grid, second_cells_per_x, skew
        The same of a second field g, which enters as amplitude (g + skew (g^2 - 1)); none where 0.
    spiral
        (amplitude, scale radius, pitch, phase) of an m = 1 spiral in the plane of the first two axes.
    shift
        (3,) lopsidedness: added to the unit direction, times radius / (1 + radius).
    quiet
        Take directions from a jittered low-discrepancy sequence instead of independent ones.
    position, smooth, first, second
        Out: (n, 3) in R200c, and (n,) ln of the density over the spherical one before normalisation: of
        ellipsoid, spiral and lopsidedness, of the first and of the second field. They add up.
    """
    state = np.empty(1, np.uint64)
    state[0] = np.uint64(seed)
    n_grid = grid.shape[0]
    half = 0.5 * n_grid
    second_half = 0.5 * second_grid.shape[0]
    limit, second_limit, most = 2.4, 3.0, 2.0
    a0 = _uniform(state)
    b0 = _uniform(state)
    for i in range(radii.size):
        r = radii[i]
        p1 = _lookup(q1, r, x_min, inverse_step)
        p2 = _lookup(q2, r, x_min, inverse_step)
        norm = (p1 * p2) ** (-1.0 / 3.0)
        l1, l2, l3 = norm, norm * p1, norm * p2
        strength = _lookup(amplitude, r, x_min, inverse_step)
        strength2 = _lookup(second_amplitude, r, x_min, inverse_step)
        ceiling = strength * limit
        if strength2 > 0.0:
            ceiling += strength2 * (second_limit + skew * (second_limit * second_limit - 1.0))
        if ceiling > most:
            ceiling = most
        off = r / (0.35 + r)
        twist = spiral[0] * math.exp(-r / spiral[1])
        wind = math.log(r / spiral[1] + 0.02) * spiral[2] + spiral[3]
        attempt = 0
        while True:
            if quiet and attempt == 0:
                a = (a0 + (i + 1.0) * 0.7548776662466927 + 0.08 * _uniform(state)) % 1.0
                b = (b0 + (i + 1.0) * 0.5698402909980532 + 0.08 * _uniform(state)) % 1.0
            else:
                a = _uniform(state)
                b = _uniform(state)
            cos = 2.0 * a - 1.0
            sin = math.sqrt(max(0.0, 1.0 - cos * cos))
            e1 = sin * math.cos(2.0 * math.pi * b) * l1
            e2 = sin * math.sin(2.0 * math.pi * b) * l2
            e3 = cos * l3
            x = e1 * axes[0, 0] + e2 * axes[1, 0] + e3 * axes[2, 0]
            y = e1 * axes[0, 1] + e2 * axes[1, 1] + e3 * axes[2, 1]
            z = e1 * axes[0, 2] + e2 * axes[1, 2] + e3 * axes[2, 2]
            s = 1.0 / math.sqrt(x * x + y * y + z * z)
            x = x * s + shift[0] * off
            y = y * s + shift[1] * off
            z = z * s + shift[2] * off
            s = r / math.sqrt(x * x + y * y + z * z)
            x *= s
            y *= s
            z *= s
            g = _trilinear(grid, x * cells_per_x + half, y * cells_per_x + half, z * cells_per_x + half)
            if octave > 0.0:
                f = 2.7 * cells_per_x
                g += octave * _trilinear(grid, y * f + 0.37 * n_grid, z * f + 0.11 * n_grid, x * f)
            g = min(max(g, -limit), limit)
            one = strength * g
            two = 0.0
            if strength2 > 0.0:
                c = second_cells_per_x
                g = _trilinear(second_grid, x * c + second_half, y * c + second_half, z * c + second_half)
                g = min(max(g, -second_limit), second_limit)
                two = strength2 * (g + skew * (g * g - 1.0))
            # The rarest peaks are cut, which leaves their pressure alone and spares most of the attempts.
            two -= max(one + two - ceiling, 0.0)
            curl = 0.0
            if twist != 0.0:
                along = (x * axes[0, 0] + y * axes[0, 1] + z * axes[0, 2]) / r
                across = (x * axes[1, 0] + y * axes[1, 1] + z * axes[1, 2]) / r
                curl = twist * (along * math.cos(wind) + across * math.sin(wind))
            attempt += 1
            if _uniform(state) < math.exp(one + two + curl - ceiling - abs(twist)) or attempt > 60:
                break
        position[i, 0] = x
        position[i, 1] = y
        position[i, 2] = z
        u1 = (x * axes[0, 0] + y * axes[0, 1] + z * axes[0, 2]) / r / l1
        u2 = (x * axes[1, 0] + y * axes[1, 1] + z * axes[1, 2]) / r / l2
        u3 = (x * axes[2, 0] + y * axes[2, 1] + z * axes[2, 2]) / r / l3
        lopsided = 2.0 * off * (x * shift[0] + y * shift[1] + z * shift[2]) / r
        smooth[i] = -1.5 * math.log(u1 * u1 + u2 * u2 + u3 * u3) + curl + lopsided
        first[i] = one
        second[i] = two
