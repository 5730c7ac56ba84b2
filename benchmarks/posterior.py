"""What is kept of a halo's posterior samples: all that their scores, curves and tables are made of.

The samples of one halo are worked on a few lines of sight at a time, so that memory does not grow with
their number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import metrics
from benchmarks.constants import Constants
from benchmarks.features import Features
from benchmarks.grid import Grid
from three_hundred_maps.geometry import floored_log

Array = NDArray[np.float64]
MAPS_AT_ONCE = 256
"""Samples whose metrics are worked out together, if a line of sight has no more."""


def credibilities(constants: Constants) -> Array:
    """(level,): where the expected coverage is read, without 0."""
    step = constants.credibility_step
    return np.asarray(step * np.arange(1, round(1.0 / step) + 1), np.float64)


def references_of(halos: int, seed: int) -> NDArray[np.int64]:
    """(halo,): for each halo another one, by a seeded permutation; itself where there is but one."""
    order = np.random.default_rng([seed, halos]).permutation(halos)
    other = np.empty(halos, np.int64)
    other[order] = np.roll(order, 1)
    return other


def measure_samples(
    samples: NDArray[np.floating],
    reference: NDArray[np.floating],
    seeds: NDArray[np.int64],
    truth: Features,
    *,
    on_grid: bool = False,
) -> tuple[Features, dict[str, NDArray[Any]]]:
    """The mean of the samples as a prediction, and what is kept of each halo's samples.

    Parameters
    ----------
    samples
        (halo, los, sample, y, x), Msun kpc-2.
    reference
        (halo, los, y, x), Msun kpc-2: the truth of another halo, which TARP measures distances from.
    seeds
        (halo,): of the draw of ranks among equal values.
    truth
        Of the same halos and lines of sight.
    on_grid
        Whether the samples are on the score grid already.

    Returns
    -------
    The prediction whose l is the mean of the samples' l, on the score grid and on raw pixels; and arrays
    (halo, ...).
    """
    halos, los, n = samples.shape[:3]
    step = max(1, MAPS_AT_ONCE // n)
    means: list[tuple[Array, Array]] = []
    kept: list[dict[str, NDArray[Any]]] = []
    for halo in range(halos):
        rng = np.random.default_rng([truth.grid.constants.bootstrap_seed, int(seeds[halo])])
        parts = []
        for first in range(0, los, step):
            lines = slice(first, min(first + step, los))
            given = samples[halo, lines], reference[halo : halo + 1, lines]
            logs, found = _measure_lines(*given, truth, halo, lines, rng, on_grid)
            means.append(logs)
            parts.append(found)
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        kept.append(
            {name: values if name in _BY_MAP else values.mean(axis=0) for name, values in joined.items()}
        )
        kept[-1]["power_samples"] = joined["power_samples"].sum(axis=0)
    shape = (halos, los, *samples.shape[3:])
    smooth, raw = (10.0 ** np.concatenate([part[i] for part in means]).reshape(shape) for i in (0, 1))
    mean = Features(raw, truth.grid, truth.r500, smooth=smooth)
    per_halo = {name: np.stack([part[name] for part in kept]) for name in kept[0]}
    return mean, {**per_halo, "samples": np.full(halos, n)}


_BY_MAP = ("tarp_rank", "tarp_mass_rank")


def _measure_lines(
    maps: NDArray[np.floating],
    reference_maps: NDArray[np.floating],
    truth: Features,
    halo: int,
    lines: slice,
    rng: np.random.Generator,
    on_grid: bool,
) -> tuple[tuple[Array, Array], dict[str, NDArray[Any]]]:
    """Mean l (los, y, x) of some lines of sight of a halo, smooth and raw; and arrays (los, ...)."""
    grid, c = truth.grid, truth.grid.constants
    count, n = maps.shape[:2]
    r500 = truth.r500[halo : halo + 1]
    smooth = np.asarray(maps, np.float64) if on_grid else None
    features = Features(maps.reshape(1, count * n, *maps.shape[2:]), grid, r500, smooth=smooth)
    reference = Features(reference_maps, grid, r500)
    place = slice(halo * truth.los + lines.start, halo * truth.los + lines.stop)
    t, t_mass = truth.log_inside[place], np.log10(truth.mass_200[place])

    def by_map(values: Array) -> Array:
        return values.reshape(count, n, *values.shape[1:])

    x, x_mass = by_map(features.log_inside), np.log10(_at_least_floor(by_map(features.mass_200), c))
    crps = metrics.fair_crps(x, t)
    variance = x.var(axis=1, ddof=1)
    ranks = metrics.truth_ranks(x, t, rng)
    shares = np.stack([np.bincount(row, minlength=n + 1) for row in ranks]) / ranks.shape[1]
    raw_truth = truth.raw_inside[place][:, None]
    found: dict[str, NDArray[Any]] = {
        "crps": crps.mean(axis=1),
        "crps_radius": crps @ grid.ring_weights,
        "energy_score": metrics.energy_score(x, t),
        "variance": variance.mean(axis=1),
        "variance_radius": variance @ grid.ring_weights,
        "mass_variance": x_mass.var(axis=1, ddof=1),
        "mass_mse": (x_mass.mean(axis=1) - t_mass) ** 2,
        "ranks": np.diff(shares @ metrics.rank_shares(n, np.linspace(0, 1, c.rank_bins + 1))),
        "tarp_rank": _closer(x, t, reference.log_inside, rng),
        "tarp_mass_rank": _closer(
            x_mass[..., None], t_mass[:, None], np.log10(reference.mass_200)[:, None], rng
        ),
        "power_samples": _sample_powers(features, count),
        "copied": np.mean((by_map(features.raw_inside) == raw_truth) & (raw_truth > 0), axis=(1, 2)),
    }
    if n >= c.coverage_samples:
        for name, content in (("coverage_68", c.coverage_inner), ("coverage_95", c.coverage_outer)):
            ends = metrics.rank_shares(n, 0.5 + 0.5 * content * np.array([-1.0, 1.0]))
            found[name] = shares @ (ends[:, 1] - ends[:, 0])
    raw = mean = by_map(features.log).mean(axis=1)
    if not on_grid:
        raw = by_map(floored_log(features.raw, c.floor)).mean(axis=1)
    return (mean, raw), found


def _at_least_floor(masses: Array, c: Constants) -> Array:
    # A map below the floor everywhere still has a logarithm.
    return np.maximum(masses, np.pi * c.floor)


def _closer(x: Array, t: Array, reference: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """(map,): how many samples (map, sample, pixel) lie closer to a reference than the truth does."""
    distances = np.einsum("mnp,mnp->mn", x - reference[:, None], x - reference[:, None])
    expected = np.einsum("mp,mp->m", t - reference, t - reference)
    return metrics.truth_ranks(distances, expected, rng)


def _sample_powers(features: Features, count: int) -> Array:
    """(map, k): powers of single samples, their mean over the samples of each map."""
    split = np.split(features.spectrum, count)
    return np.stack([metrics.mode_powers(part, part, features.grid) / len(part) for part in split])


def bands(grid: Grid) -> dict[str, NDArray[np.bool_]]:
    """(k,): the bins in wave number of each ``sample_power_ratio``, by the end of its name."""
    edges = grid.constants.sample_power_edges
    return {
        f"{low:g}_{high:g}": (grid.k >= low) & (grid.k < high)
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    }
