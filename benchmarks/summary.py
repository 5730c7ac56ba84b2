"""From what was measured on every halo to scores, curves and tables, with intervals over regions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import metrics
from benchmarks.grid import Grid
from benchmarks.intervals import (
    TOO_FEW,
    Estimate,
    Pool,
    bca,
    largest_deviation,
    median_and_scatter,
    of_means,
)
from benchmarks.measure import Measured, histogram_edges
from benchmarks.posterior import bands, credibilities
from benchmarks.registry import PROBABILISTIC, RANKING, SCORES

Array = NDArray[np.float64]


def histogram_quantile(counts: NDArray[Any], bounds: Array, q: float) -> float:
    """The q-quantile of a histogram: linear between the least and greatest value of the bin it falls in.

    Parameters
    ----------
    counts
        (bin,).
    bounds
        (2, bin): least and greatest value met in each bin.
    """
    total = float(counts.sum())
    if total == 0:
        return float("nan")
    cumulative = np.cumsum(counts, dtype=np.float64)
    place = int(np.searchsorted(cumulative, max(q * total, 0.5)))
    part = (q * total - (cumulative[place] - counts[place])) / counts[place]
    low, high = bounds[0, place], bounds[1, place]
    return float(low + min(max(part, 0.0), 1.0) * (high - low))


class Regional:
    """Halos gathered into regions: ``ids`` (region,), and the row in these of each halo, ``row`` (halo,)."""

    def __init__(self, region: NDArray[np.integer]) -> None:
        self.ids, self.row = np.unique(region, return_inverse=True)

    def sums(self, values: NDArray[Any]) -> Array:
        """(region, ...): sums over each region's halos."""
        result = np.zeros((len(self.ids), *values.shape[1:]))
        np.add.at(result, self.row, values)
        return result

    def means(self, values: NDArray[Any]) -> Array:
        """(region, ...): means over each region's halos, halos with equal weight."""
        count = np.bincount(self.row, minlength=len(self.ids))
        return self.sums(values) / count.reshape(-1, *[1] * (values.ndim - 1))


def _root(m: Array) -> Array:
    return np.sqrt(m[..., 0])


def _skill(m: Array) -> Array:
    return 1.0 - m[..., 0] / m[..., 1]


def _first(m: Array) -> Array:
    return m[..., 0]


def _ratio(m: Array) -> Array:
    return m[..., 0] / m[..., 1]


def _moment(place: int) -> Callable[[Array], Array]:
    return lambda m: metrics.moments_from_powers(m)[place]


class Summary:
    """Scores of one prediction over some halos.

    Parameters
    ----------
    measured
        Of these halos.
    region
        (halo,): their regions.
    grid
        Geometry and constants.
    noise_free
        (halo, k): power of the truth without its noise, where half-samples gave it.
    """

    def __init__(
        self, measured: Measured, region: NDArray[np.integer], grid: Grid, noise_free: Array | None = None
    ) -> None:
        self.measured, self.grid, self.noise_free = measured, grid, noise_free
        self.constants = grid.constants
        self.regions = Regional(region)
        self.bias, self.scatter = median_and_scatter(self.constants)

    def _field(self, name: str) -> NDArray[Any]:
        return self.measured.per_halo[name]

    def _means(
        self, function: Callable[[Array], Array], *names: str, limits: tuple[float, float] = (0.0, np.inf)
    ) -> Estimate:
        rows = np.concatenate(
            [self.regions.means(self._field(n)).reshape(len(self.regions.ids), -1) for n in names], axis=1
        )
        with np.errstate(all="ignore"):
            return of_means(rows, function, self.constants, limits=limits)

    def _score(self, name: str, function: Callable[[Array], Array], *fields: str) -> tuple[str, Estimate]:
        """A score of the registry, ``function`` of the means of ``fields``, and its name."""
        return name, self._means(function, *fields, limits=SCORES[name].limits)

    def _each(
        self, rows: Array, function: Callable[[Array], Array], limits: tuple[float, float] = (-np.inf, np.inf)
    ) -> list[Estimate]:
        """``function`` of the means over regions of rows (region, place, column), place by place."""
        with np.errstate(all="ignore"):
            return [
                of_means(rows[:, place], function, self.constants, limits=limits)
                for place in range(rows.shape[1])
            ]

    def pooled(self, values: NDArray[Any]) -> tuple[Estimate, Estimate]:
        """Median and scatter, with intervals, of values (halo, los)."""
        flat = values.ravel().astype(np.float64)
        row = np.repeat(self.regions.row, values.shape[1])
        pool = Pool.of_values(flat, row, len(self.regions.ids))
        results = []
        for quantiles in (self.bias, self.scatter):
            exact = sum(f * float(np.quantile(flat, q)) for q, f in quantiles.items())
            limits = (-np.inf if quantiles is self.bias else 0.0, np.inf)
            results.append(pool.estimate(exact, quantiles, self.constants, limits=limits))
        return results[0], results[1]

    def residuals(self) -> Iterator[tuple[str, Estimate]]:
        """The scores of residuals in dex, pixel by pixel."""
        yield self._score(RANKING, _root, "mse")
        yield self._score("central_rms_dex", _root, "mse_central")
        counts = self.regions.sums(self._field("histogram"))
        bounds = self.measured.bounds["score"]
        pool = Pool.of_histograms(counts, bounds)
        for name, quantiles in (("residual_bias", self.bias), ("residual_scatter", self.scatter)):
            exact = sum(f * histogram_quantile(counts.sum(axis=0), bounds, q) for q, f in quantiles.items())
            yield name, pool.estimate(exact, quantiles, self.constants)
        yield self._score("skill", _skill, "mse", "mse_climatology")
        yield self._score("ssim", _first, "ssim")

    def linear(self) -> Iterator[tuple[str, Estimate]]:
        """Moments of the paper's residuals."""
        for place, name in enumerate(("residual_rms", "residual_skewness", "residual_kurtosis")):
            yield self._score(name, _moment(place), "powers")

    def masses(self) -> Iterator[tuple[str, Estimate]]:
        """Cylinder masses and concentrations."""
        ratios = self._field("mass_ratio")
        for column, suffix in enumerate(_suffixes(self.constants.apertures)):
            bias, scatter = self.pooled(ratios[..., column] - 1.0)
            yield f"mass_bias{suffix}", bias
            yield f"mass_scatter{suffix}", scatter
        yield "concentration_scatter", self.pooled(self._field("concentration_ratio") - 1.0)[1]

    def peaks(self) -> Iterator[tuple[str, Estimate]]:
        """Completeness, purity and F1 of peaks, pooled over maps."""
        truth = self.regions.sums(self._field("peaks_truth").sum(axis=1))
        matched = self.regions.sums(self._field("peaks_matched").sum(axis=1))
        predicted = self.regions.sums(self._field("peaks_predicted"))
        for name, above, below in (
            ("peak_completeness", matched, truth),
            ("peak_purity", matched, predicted),
            ("peak_f1", 2 * matched, truth + predicted),
        ):
            yield name, self._share(above, below)

    def _share(self, above: Array, below: Array) -> Estimate:
        if below.sum() == 0:
            return Estimate(None, note="no peaks")

        def share(weights: Array) -> Array:
            # A draw of regions without a single peak has no share: it is left out.
            counts = weights @ below
            return np.divide(weights @ above, counts, out=np.full(len(weights), np.nan), where=counts > 0)

        if np.count_nonzero(below) < self.constants.least_regions:
            # Regions without a peak say nothing: with peaks in 3 of 13, an interval held 77 % of the truths.
            return Estimate(float(above.sum() / below.sum()), note=TOO_FEW)
        # Peaks are few: bootstrap-t divides by errors that may be nearly 0.
        return bca(share, len(self.regions.ids), self.constants, limits=(0.0, 1.0))

    def probability(self) -> Iterator[tuple[str, Estimate]]:
        """Of ``mass_sigma`` or of posterior samples, where they were given."""
        kept = self.measured.per_halo
        for name in ("coverage_68", "coverage_95", PROBABILISTIC):
            if name in kept:
                yield self._score(name, _first, name)
        if self.samples:
            yield from self._of_samples()

    @property
    def samples(self) -> int:
        """How many samples there are of a map; 0 where none were given."""
        return int(self._field("samples")[0]) if "samples" in self.measured.per_halo else 0

    def _of_samples(self) -> Iterator[tuple[str, Estimate]]:
        yield self._score("energy_score", _first, "energy_score")
        factor = 1.0 + 1.0 / self.samples

        def spread_skill(m: Array) -> Array:
            return np.sqrt(factor * m[..., 0] / m[..., 1])

        yield self._score("spread_skill", spread_skill, "variance", "mse")
        yield self._score("mass_spread_skill", spread_skill, "mass_variance", "mass_mse")
        power = self._sample_power()
        for band, chosen in bands(self.grid).items():
            with np.errstate(all="ignore"):
                ratio = of_means(power[:, chosen].sum(axis=1), _ratio, self.constants, limits=(0.0, np.inf))
            yield f"sample_power_ratio_{band}", ratio
        ranks = np.cumsum(self.regions.means(self._field("ranks")), axis=1)
        levels = np.arange(1, ranks.shape[1] + 1) / ranks.shape[1]
        yield "rank_deviation", largest_deviation(ranks, levels, self.constants)
        for name in ("tarp", "tarp_mass"):
            curves = self._expected_coverage(name)
            yield name, largest_deviation(curves, credibilities(self.constants), self.constants)

    def _expected_coverage(self, name: str) -> Array:
        """(region, level): share of the maps that lie within the credible region of each level.

        NaN of a single halo: there is no other whose truth could be the reference.
        """
        if len(self.regions.row) == 1:
            return np.full((1, len(credibilities(self.constants))), np.nan)
        below = metrics.rank_shares(self.samples, credibilities(self.constants))
        return self.regions.means(below[self._field(f"{name}_rank")].mean(axis=1))

    def _sample_power(self) -> Array:
        """(region, k, 2): sums of the power of single samples and of the truth."""
        names = ("power_samples", "power_truth")
        return np.stack([self.regions.sums(self._field(name)) for name in names], axis=-1)

    def power_sums(self, noise_free: bool = False) -> tuple[Array, Array, Array]:
        """(region, k) sums of P_p, P_t and the cross power."""
        truth = self.noise_free if noise_free and self.noise_free is not None else self._field("power_truth")
        return (
            self.regions.sums(self._field("power")),
            self.regions.sums(truth),
            self.regions.sums(self._field("power_cross")),
        )

    def scales(self) -> Iterator[tuple[str, Estimate]]:
        """Where the cross-correlation falls below its levels."""
        power_p, power_t, cross = self.power_sums()
        top = self.constants.power_max

        for level in self.constants.correlation_levels:

            def crossing(weights: Array, level: float = level) -> Array:
                curve = metrics.cross_correlation(weights @ cross, weights @ power_p, weights @ power_t)
                k = metrics.falling_k(curve, self.grid.k, level)
                return np.minimum(k, top)

            found = bca(crossing, len(self.regions.ids), self.constants, limits=(0.0, top))
            note = found.note
            if found.value is not None and found.value >= top:
                note = f">={top:g}" + (f"; {note}" if note else "")
            yield f"k_{level:g}", Estimate(found.value, found.low, found.high, note)

    def scores(self) -> dict[str, Estimate]:
        """Every score by name."""
        parts = (self.residuals, self.linear, self.masses, self.scales, self.peaks, self.probability)
        return {name: estimate for part in parts for name, estimate in part()}

    def brief(self) -> dict[str, Estimate]:
        """The few scores of a conditional table."""
        found = dict(self.residuals())
        ratios = self._field("mass_ratio")
        column = _suffixes(self.constants.apertures).index("")
        found["mass_bias"], found["mass_scatter"] = self.pooled(ratios[..., column] - 1.0)
        wanted = (PROBABILISTIC, "coverage_68", "coverage_95", "spread_skill", "mass_spread_skill")
        return found | {name: score for name, score in self.probability() if name in wanted}

    def secondary(self) -> dict[str, Estimate]:
        """Raw-pixel figures, and the shares of pixels below S0."""
        bounds, counts = self.measured.bounds["raw"], self.measured.counts["raw"]

        def read(quantiles: dict[float, float]) -> Estimate:
            return Estimate(sum(f * histogram_quantile(counts, bounds, q) for q, f in quantiles.items()))

        everything = (-np.inf, np.inf)
        moments = [self._means(_moment(place), "raw_powers", limits=everything) for place in range(3)]
        return {
            "raw_residual_rms_dex": self._means(_root, "raw_mse"),
            "raw_residual_bias": read(self.bias),
            "raw_residual_scatter": read(self.scatter),
            "raw_residual_rms": moments[0],
            "raw_residual_skewness": moments[1],
            "raw_residual_kurtosis": moments[2],
            "floored_share": Estimate(float(self.regions.means(self._field("floored")).mean())),
            "floored_share_truth": Estimate(float(self.regions.means(self._field("floored_truth")).mean())),
        }

    def curves(self) -> dict[str, dict[str, Any]]:
        """Power ratio, cross-correlation, profiles and completeness as functions, with intervals."""
        result: dict[str, dict[str, Any]] = {}
        for noise_free in (False, True) if self.noise_free is not None else (False,):
            sums = self.power_sums(noise_free)
            suffix = "_noise_free" if noise_free else ""
            rows = np.stack(sums, axis=-1)
            result[f"power_ratio{suffix}"] = _curve("k", self.grid.k, self._each(rows, _ratio))
            cross = self._each(rows, _correlation, (-1, np.inf if noise_free else 1))
            result[f"cross_correlation{suffix}"] = _curve("k", self.grid.k, cross)
        edges = self.grid.profile_edges
        middle = np.sqrt(edges[1:] * edges[:-1])
        profiles = [self.pooled(self._field("profile_ratio")[..., ring] - 1.0) for ring in range(len(middle))]
        result["profile_bias"] = _curve("radius", middle, [bias for bias, _ in profiles])
        result["profile_scatter"] = _curve("radius", middle, [scatter for _, scatter in profiles])
        truth = self.regions.sums(self._field("peaks_truth"))
        matched = self.regions.sums(self._field("peaks_matched"))
        result["peak_completeness_by_mass"] = _curve(
            "mass",
            np.asarray(self.constants.peak_bins),
            [self._share(matched[:, b], truth[:, b]) for b in range(truth.shape[1])],
        )
        return result | (self._sample_curves() if self.samples else {})

    def _sample_curves(self) -> dict[str, dict[str, Any]]:
        power, levels = self._sample_power(), credibilities(self.constants)
        edges = np.asarray(self.constants.table_radius)
        result = {
            "sample_power_ratio": _curve("k", self.grid.k, self._each(power, _ratio)),
            "spread_skill_by_radius": _curve(
                "radius", 0.5 * (edges[1:] + edges[:-1]), self.spread_by_radius()
            ),
        }
        for name in ("tarp", "tarp_mass"):
            share = self._each(self._expected_coverage(name)[..., None], _first, (0, 1))
            result[name] = _curve("credibility", levels, share)
        return result

    def spread_by_radius(self) -> list[Estimate]:
        """``spread_skill`` of each ring of the table by radius."""
        factor = 1.0 + 1.0 / self.samples
        variance, square = (self.regions.means(self._field(f"{n}_radius")) for n in ("variance", "mse"))
        rows = np.stack([factor * variance, square], axis=-1)
        return self._each(rows, lambda m: np.sqrt(_ratio(m)), (0.0, np.inf))

    def by_radius(self) -> dict[str, list[Estimate]]:
        """Scores of each ring of the table by radius."""
        means = {
            name: self.regions.means(self._field(f"{name}_radius"))[..., None]
            for name in ("mse", "mse_climatology")
        }
        counts, bounds = self.measured.counts["radius"], self.measured.bounds["score"]
        scores = {
            "residual_rms_dex": self._each(means["mse"], _root, (0, math.inf)),
            "skill": self._each(np.concatenate(list(means.values()), axis=-1), _skill, (-math.inf, 1.0)),
        }
        for name, quantiles in (("residual_bias", self.bias), ("residual_scatter", self.scatter)):
            scores[name] = [
                Estimate(sum(f * histogram_quantile(ring, bounds, q) for q, f in quantiles.items()))
                for ring in counts
            ]
        if self.samples:
            crps = self.regions.means(self._field("crps_radius"))[..., None]
            scores |= {PROBABILISTIC: self._each(crps, _first), "spread_skill": self.spread_by_radius()}
        return scores

    def rank_histogram(self) -> dict[str, Any]:
        """Share of the pixels by the rank of the truth among the samples, 0 to 1."""
        share = self.regions.means(self._field("ranks")).mean(axis=0)
        return {"edges": _short(np.linspace(0.0, 1.0, len(share) + 1)), "share": _short(share)}

    def histogram(self) -> dict[str, Any]:
        """Share of pixels by r, coarse enough to draw; the end bins take what lies beyond."""
        counts = self._field("histogram").sum(axis=0).astype(np.float64)
        bins = 80
        edges = np.linspace(-0.8, 0.8, bins + 1)
        fine = histogram_edges(self.grid)
        centres = np.concatenate([[fine[0]], 0.5 * (fine[1:] + fine[:-1]), [fine[-1]]])
        place = np.clip(np.searchsorted(edges, centres, side="right") - 1, 0, bins - 1)
        share = np.bincount(place, weights=counts, minlength=bins) / max(counts.sum(), 1.0)
        return {"edges": _short(edges), "share": _short(share)}

    def per_region(self) -> dict[str, Any]:
        """Means of each region, from which two results are compared pair by pair."""
        return {
            "id": self.regions.ids.tolist(),
            "mse": _short(self.regions.means(self._field("mse"))),
            "mse_climatology": _short(self.regions.means(self._field("mse_climatology"))),
            **(
                {PROBABILISTIC: _short(self.regions.means(self._field(PROBABILISTIC)))}
                if PROBABILISTIC in self.measured.per_halo
                else {}
            ),
        }


def _suffixes(apertures: tuple[float, ...]) -> tuple[str, ...]:
    """Suffix of each measured aperture, the last being R500c's."""
    fixed = tuple("" if radius == 1.0 else f"_{radius:g}" for radius in apertures)
    return (*fixed, "_r500c")


def _correlation(m: Array) -> Array:
    return m[..., 2] / np.sqrt(m[..., 0] * m[..., 1])


def _short(values: Array) -> list[float]:
    return [float(f"{value:.8g}") for value in np.asarray(values, np.float64)]


def _curve(axis: str, places: Array, estimates: list[Estimate]) -> dict[str, Any]:
    columns = [e.to_json() for e in estimates]
    return {
        axis: _short(places),
        **{
            name: [None if c[name] is None else float(f"{c[name]:.6g}") for c in columns]
            for name in ("value", "low", "high")
        },
    }


def above_noise(
    scores: Mapping[str, Estimate], noise_floor: Mapping[str, float | None] | None
) -> dict[str, Estimate]:
    """``rms_above_noise``: the ranking score and its interval, less the noise floor in quadrature."""
    floor = (noise_floor or {}).get(RANKING)
    if floor is None:
        return {}
    found = scores[RANKING]
    value, low, high = (
        v if v is None else math.sqrt(max(v * v - floor * floor, 0.0))
        for v in (found.value, found.low, found.high)
    )
    return {"rms_above_noise": Estimate(value, low, high, found.note)}


def score_values(scores: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    """Scores as a result keeps them."""
    return {name: estimate.to_json() for name, estimate in scores.items()}
