"""The generated cluster of the projection benchmark: a beta model with clumps, kernels as snapshots have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.mapping import HaloGrid
from three_hundred_maps.mapping.kd_tree import neighbour_distance
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.particles import Cutout, Particles

FRAME = HaloGrid(1000.0)


def clumpy_cluster(n: int, seed: int = 1) -> NDArray[np.float32]:
    """(n, 3) positions in R200c: a beta model (beta 2/3, core 0.1) to 1.5 R200c, a quarter in 40 clumps."""
    rng = np.random.default_rng(seed)
    core, extent, n_clumps = 0.1, 1.5, 40
    grid = np.concatenate([[0.0], np.geomspace(1e-5, extent, 4000)])
    enclosed = grid - core * np.arctan(grid / core)

    def directions(count: int) -> NDArray[np.float64]:
        vectors = rng.normal(size=(count, 3))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    in_clumps = n // 4
    smooth = np.interp(rng.random(n - in_clumps) * enclosed[-1], enclosed, grid)
    parts = [smooth[:, None] * directions(n - in_clumps)]
    share = rng.pareto(1.0, n_clumps) + 0.2
    counts = rng.multinomial(in_clumps, share / share.sum())
    for count in counts:
        centre = np.interp(rng.random() * enclosed[-1], enclosed, grid) * directions(1)
        size = 0.5 * (count / in_clumps) ** (1.0 / 3.0)
        parts.append(centre + size * (rng.random(count) ** (1.0 / 1.2))[:, None] * directions(count))
    return np.concatenate(parts)[rng.permutation(n)].astype(np.float32)


def gas_fields(position: NDArray[np.float32], radius: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 3): mass, a pressure-like and an X-ray-like field (m rho sqrt T)."""
    temperature = 1.0 / (1.0 + np.linalg.norm(position, axis=1))
    bright = radius.astype(np.float64) ** -3 * np.sqrt(temperature)
    fields = [np.ones(len(radius)), temperature, bright / bright.max()]
    return np.stack(fields, axis=1).astype(np.float32)


def benchmark_cutout(n: int) -> Cutout:
    """A cut-out with every field that the four views of the data set need."""
    position = clumpy_cluster(n) * np.float32(FRAME.R200c_kpc)
    radius = neighbour_distance(position, 48)
    mass = np.full(n, 1e14 / n, np.float32)
    distance = np.linalg.norm(position, axis=1) / FRAME.R200c_kpc
    one = np.ones(n, np.float32)
    gas = Particles(
        position,
        mass,
        np.arange(n),
        {
            "temperature": (5e7 / (1.0 + distance)).astype(np.float32),
            "density": (48.0 * mass[0] / (4.1888 * radius.astype(np.float64) ** 3)).astype(np.float32),
            "smoothing_length": radius,
            "hydrogen_fraction": 0.76 * one,
            "electron_abundance": 1.158 * one,
            "metallicity": 0.004 * one,
            "star_formation_rate": 0.0 * one,
            "wind": 0.0 * one,
        },
    )
    dark = clumpy_cluster(n, seed=2) * np.float32(FRAME.R200c_kpc)
    stars = clumpy_cluster(n // 10, seed=3) * np.float32(0.5 * FRAME.R200c_kpc)
    particles = {
        "gas": gas,
        "dark_matter": Particles(dark, 6.0 * mass, np.arange(n)),
        "low_resolution": Particles.empty(),
        "stars": Particles(stars, mass[: n // 10], np.arange(n // 10)),
        "black_holes": Particles.empty(),
    }
    return Cutout(particles, 1e6, 0.0, Cosmology(0.678, 0.307, 0.693, 0.048))
