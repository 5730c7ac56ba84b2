"""What is kept of every halo: all that any score, curve or table is later made of.

Maps are gone after this step; what stays is a few kilobytes a halo, so scoring streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import metrics
from benchmarks.features import Features
from benchmarks.grid import Grid

Array = NDArray[np.float64]


def histogram_edges(grid: Grid) -> Array:
    """Edges of the residual histograms, dex; a bin below the first and one above the last come on top."""
    c = grid.constants
    count = round(2 * c.histogram_limit / c.histogram_step)
    return np.asarray(-c.histogram_limit + c.histogram_step * np.arange(count + 1), np.float64)


@dataclass
class Measured:
    """What is kept of some halos.

    Parameters
    ----------
    per_halo
        (halo, ...) arrays: means over a halo's maps, ratios of each map, sums of powers and peaks, and
        histograms of r.
    counts
        Summed over the halos: histograms ``radius`` (bin of radius, bin) and ``raw`` (bin,), and
        ``residual_sum``, ``residual_square`` (y, x) of l(p) - l(t) over ``maps`` maps.
    bounds
        Least and greatest r in every bin: ``score`` and ``raw``, (2, bin).
    """

    per_halo: dict[str, NDArray[Any]]
    counts: dict[str, NDArray[Any]]
    bounds: dict[str, Array]

    @staticmethod
    def join(parts: Sequence[Measured]) -> Measured:
        """Of all halos of ``parts``, in order."""
        return Measured(
            {k: np.concatenate([part.per_halo[k] for part in parts]) for k in parts[0].per_halo},
            {k: np.sum([part.counts[k] for part in parts], axis=0) for k in parts[0].counts},
            {
                k: np.stack(
                    [
                        np.min([part.bounds[k][0] for part in parts], axis=0),
                        np.max([part.bounds[k][1] for part in parts], axis=0),
                    ]
                )
                for k in parts[0].bounds
            },
        )

    def take(self, rows: NDArray[np.int64]) -> Measured:
        """Of some halos; the summed counts stay those of all."""
        return Measured({k: v[rows] for k, v in self.per_halo.items()}, self.counts, self.bounds)


def _bins(residual: Array, grid: Grid) -> NDArray[np.int32]:
    c = grid.constants
    last = round(2 * c.histogram_limit / c.histogram_step) + 1
    # floor, not truncation: a residual of -0.0001 belongs below 0.
    place = np.floor((residual + c.histogram_limit) / c.histogram_step) + 1
    return np.clip(place, 0, last).astype(np.int32)


def _bounds(residual: Array, bins: NDArray[np.int32], count: int) -> Array:
    bounds = np.stack([np.full(count, np.inf), np.full(count, -np.inf)])
    flat, places = residual.ravel(), bins.ravel()
    np.minimum.at(bounds[0], places, flat)
    np.maximum.at(bounds[1], places, flat)
    return bounds


def measure(
    predicted: Features,
    truth: Features,
    climatology: Array,
    data_range: float,
    sigma: NDArray[np.generic] | None = None,
) -> Measured:
    """Compare the predicted maps of some halos with the truth.

    Parameters
    ----------
    predicted, truth
        Of the same halos and lines of sight.
    climatology
        (pixel,): l of the climatology at the counted pixels.
    data_range
        Of ssim, dex.
    sigma
        (halo, los, y, x): sigma of l(p), dex, where the submission gives it.
    """
    grid, c = truth.grid, truth.grid.constants
    halos, los = truth.halos, truth.los
    bins_count = len(histogram_edges(grid)) + 1

    def by_halo(values: Array) -> Array:
        return values.reshape(halos, los, *values.shape[1:])

    def mean(values: Array) -> Array:
        return by_halo(values).mean(axis=1)

    residual = predicted.log_inside - truth.log_inside
    reference = climatology - truth.log_inside
    raw = predicted.raw_log_inside - truth.raw_log_inside
    square, reference_square = residual * residual, reference * reference
    rings = len(c.table_radius) - 1

    difference = predicted.log - truth.log
    bins = _bins(residual, grid)
    combined = np.stack(
        [
            np.bincount(row, minlength=rings * bins_count).reshape(rings, bins_count)
            for row in (bins + grid.inside_bin.astype(np.int32) * bins_count).reshape(halos, -1)
        ]
    )
    raw_bins = _bins(raw, grid)
    per_halo: dict[str, NDArray[np.generic]] = {
        "mse": mean(square.mean(axis=1)),
        "mse_map": by_halo(square.mean(axis=1)),
        "mse_climatology": mean(reference_square.mean(axis=1)),
        "mse_central": mean(square[:, grid.central].mean(axis=1)),
        "mse_radius": mean(square @ grid.ring_weights),
        "mse_climatology_radius": mean(reference_square @ grid.ring_weights),
        "powers": mean(metrics.residual_powers(predicted.smooth_inside, truth.smooth_inside)),
        "raw_mse": mean(np.einsum("np,np->n", raw, raw) / raw.shape[1]),
        "raw_powers": mean(metrics.residual_powers(predicted.raw_inside, truth.raw_inside)),
        "floored": mean(predicted.floored),
        "floored_truth": mean(truth.floored),
        # A pixel of no particles is 0 in many a model: only what is above 0 can be a copy.
        "copied": mean(np.mean((predicted.raw_inside == truth.raw_inside) & (truth.raw_inside > 0), axis=1)),
        "ssim": mean(
            metrics.ssim(
                predicted.log,
                truth.log,
                grid,
                data_range,
                (predicted.local_moments, truth.local_moments),
            )
        ),
        "mass_200": by_halo(predicted.mass_200),
        "mass_truth": by_halo(truth.mass_200),
        "mass_ratio": by_halo(predicted.masses / truth.masses),
        "profile_ratio": by_halo(predicted.profiles / truth.profiles),
        "concentration_ratio": by_halo(predicted.concentrations / truth.concentrations),
        "histogram": combined.sum(axis=1, dtype=np.int32),
        **_powers(predicted, truth),
        **_peaks(predicted, truth),
    }
    if sigma is not None:
        s = np.asarray(sigma, np.float64).reshape(halos * los, -1)[:, grid.inside]
        per_halo["coverage_68"] = mean(metrics.gaussian_coverage(residual, s, c.coverage_inner))
        per_halo["coverage_95"] = mean(metrics.gaussian_coverage(residual, s, c.coverage_outer))
        per_halo["crps"] = mean(metrics.gaussian_crps(residual, s))
    return Measured(
        per_halo,
        {
            "radius": combined.sum(axis=0),
            "raw": np.bincount(raw_bins.ravel(), minlength=bins_count).astype(np.int64),
            "residual_sum": difference.sum(axis=0),
            "residual_square": np.einsum("nyx,nyx->yx", difference, difference),
            "maps": np.array(halos * los),
        },
        {"score": _bounds(residual, bins, bins_count), "raw": _bounds(raw, raw_bins, bins_count)},
    )


def _powers(predicted: Features, truth: Features) -> dict[str, NDArray[np.generic]]:
    """(halo, k) sums over a halo's maps of the powers of prediction and truth and of their product."""

    def sums(first: Features, second: Features) -> Array:
        split = zip(
            np.split(first.spectrum, first.halos), np.split(second.spectrum, second.halos), strict=True
        )
        return np.stack([metrics.mode_powers(f, s, first.grid) for f, s in split])

    return {
        "power": sums(predicted, predicted),
        "power_truth": sums(truth, truth),
        "power_cross": sums(predicted, truth),
    }


def _peaks(predicted: Features, truth: Features) -> dict[str, NDArray[np.generic]]:
    """Peaks of each halo's maps: of the truth and those matched by bins of mass, predicted, matched."""
    edges = np.asarray(truth.grid.constants.peak_bins)
    pairs = list(zip(truth.peaks, predicted.peaks, strict=True))
    # A peak below the first edge cannot be: the least mass kept is that edge, but for other constants.
    bins = np.clip(
        np.searchsorted(edges, np.concatenate([t.mass for t, _ in pairs]), side="right") - 1,
        0,
        len(edges) - 1,
    )
    halo = np.repeat(np.arange(len(pairs)) // truth.los, [len(t.mass) for t, _ in pairs])
    matched = np.concatenate([metrics.match_peaks(t, p, truth.grid) for t, p in pairs])
    shape = (truth.halos, len(edges))
    place = halo * len(edges) + bins
    count = np.array([len(p.mass) for _, p in pairs]).reshape(truth.halos, truth.los)
    return {
        "peaks_truth": np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape),
        "peaks_matched": np.bincount(place[matched], minlength=shape[0] * shape[1]).reshape(shape),
        "peaks_predicted": count.sum(axis=1),
    }
