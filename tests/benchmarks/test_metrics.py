"""Every metric against analytic truth and, where there is one, a well-kept implementation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
from scipy.ndimage import gaussian_filter

from benchmarks import metrics
from benchmarks.constants import STANDARD
from benchmarks.features import Features
from benchmarks.grid import Grid, make_grid
from benchmarks.measure import measure
from benchmarks.summary import Summary, histogram_quantile
from three_hundred_maps import nfw
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid

GRID = make_grid(MapGrid(80, 2.0), STANDARD)
CLIMATOLOGY = np.full(len(GRID.inside), 8.0)
RANGE = 3.0


def cluster_maps(n: int = 4, los: int = 2, seed: int = 0, pixels: int = 80) -> np.ndarray:
    """(halo, los, y, x): isothermal clusters with a few Gaussian clumps, Msun kpc-2."""
    rng = np.random.default_rng(seed)
    grid = make_grid(MapGrid(pixels, 2.0), STANDARD)
    y, x = np.meshgrid(grid.maps.centres, grid.maps.centres, indexing="ij")
    maps = np.empty((n, los, pixels, pixels))
    for halo in range(n):
        for line in range(los):
            body = 3e8 / np.hypot(np.hypot(x, y), 0.1) ** 1.1
            for _ in range(6):
                cy, cx = rng.uniform(-0.6, 0.6, 2)
                body += rng.uniform(3e8, 3e9) * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / 0.035**2)
            noise = gaussian_filter(rng.normal(size=body.shape), 1.0)
            maps[halo, line] = body * 10 ** (0.2 * noise)
    return maps


def features(maps: np.ndarray, grid: Grid = GRID) -> Features:
    return Features(maps, grid, np.full(len(maps), 0.65))


def scores_of(
    predicted: np.ndarray, truth: np.ndarray, grid: Grid = GRID, sigma: np.ndarray | None = None
) -> dict[str, float | None]:
    """Values of every score, each halo a region of its own."""
    climatology = np.full(len(grid.inside), 8.0)
    measured = measure(features(predicted, grid), features(truth, grid), climatology, RANGE, sigma)
    found = Summary(measured, np.arange(len(truth)), grid)
    return {name: e.value for name, e in {**found.scores(), **found.secondary()}.items()}


TRUTH = cluster_maps()


def test_a_perfect_prediction_scores_perfect() -> None:
    scores = scores_of(TRUTH, TRUTH, sigma=np.full(TRUTH.shape, 0.1))
    zero = ("residual_rms_dex", "residual_bias", "residual_scatter", "residual_rms", "concentration_scatter")
    for name in (*zero, "mass_bias", "mass_scatter", "mass_scatter_0.25", "mass_bias_r500c"):
        assert scores[name] == pytest.approx(0.0, abs=1e-12), name
    for name in (
        "skill",
        "ssim",
        "peak_completeness",
        "peak_purity",
        "peak_f1",
        "coverage_68",
        "coverage_95",
    ):
        assert scores[name] == pytest.approx(1.0, abs=1e-12), name
    assert scores["k_0.9"] == scores["k_0.5"] == STANDARD.power_max
    # Of a Gaussian at its own centre: sigma (2 phi(0) - 1 / sqrt(pi)).
    assert scores["crps"] == pytest.approx(0.1 * (2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi)))


def test_a_scaled_prediction_is_an_offset_in_dex_and_a_factor_in_mass() -> None:
    scores = scores_of(TRUTH * 10**0.1, TRUTH)
    assert scores["residual_rms_dex"] == pytest.approx(0.1, abs=1e-9)
    assert scores["residual_bias"] == pytest.approx(0.1, abs=1e-9)
    assert scores["residual_scatter"] == pytest.approx(0.0, abs=1e-9)
    for suffix in ("", "_0.25", "_0.5", "_r500c"):
        assert scores[f"mass_bias{suffix}"] == pytest.approx(10**0.1 - 1)
        assert scores[f"mass_scatter{suffix}"] == pytest.approx(0.0, abs=1e-12)
    # What is a constant in l is nothing to the power spectrum, and peaks are fractions of their own map.
    assert scores["k_0.5"] == STANDARD.power_max
    assert scores["peak_f1"] == 1.0


def test_moments_are_scipys() -> None:
    rng = np.random.default_rng(3)
    truth = rng.gamma(2.0, size=(1, 5000))
    predicted = truth + rng.gamma(1.5, size=truth.shape) - 1.0
    d = ((predicted - truth) / truth.std())[0]
    powers = metrics.residual_powers(predicted, truth)[0]
    rms, skewness, kurtosis = metrics.moments_from_powers(powers)
    assert rms == pytest.approx(np.sqrt(np.mean(d**2)), rel=1e-12)
    assert skewness == pytest.approx(scipy.stats.skew(d), rel=1e-9)
    assert kurtosis == pytest.approx(scipy.stats.kurtosis(d), rel=1e-9)


def test_moments_of_equal_residuals_have_no_shape() -> None:
    rms, skewness, kurtosis = metrics.moments_from_powers(np.array([2.0, 4.0, 8.0, 16.0]))
    assert rms == 2.0 and np.isnan(skewness) and np.isnan(kurtosis)


def test_a_constant_truth_is_refused() -> None:
    with pytest.raises(InputError, match="constant"):
        metrics.residual_powers(np.ones((2, 9)), np.ones((2, 9)))


def test_ssim_is_scikit_images() -> None:
    from skimage.metrics import structural_similarity

    truth, predicted = features(TRUTH), features(cluster_maps(seed=1))
    moments = (predicted.local_moments, truth.local_moments)
    ours = metrics.ssim(predicted.log, truth.log, GRID, RANGE, moments)
    theirs = [
        structural_similarity(
            p, t, data_range=RANGE, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for p, t in zip(predicted.log, truth.log, strict=True)
    ]
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_power_is_powerboxs() -> None:
    from powerbox import get_power

    truth, predicted = features(TRUTH), features(cluster_maps(seed=1))
    k = GRID.k
    edges = 2 * np.pi * np.append(k - 0.25, k[-1] + 0.25)
    shares = []
    for first, second in ((truth, truth), (predicted, truth)):
        ours = metrics.mode_powers(first.spectrum[:1], second.spectrum[:1], GRID)
        windowed = [(f.log[0] - f.log[0].mean()) * GRID.hann for f in (first, second)]
        found = get_power(
            windowed[0], 2.0, deltax2=windowed[1], bins=edges, remove_shotnoise=False,
            vol_normalised_power=False, dimensionless=False, bins_upto_boxlen=False,
        )  # fmt: skip
        modes = metrics.mode_powers(np.ones((1, 80, 41)), np.ones((1, 80, 41)), GRID)
        shares.append((ours / modes) / np.asarray(found.power, float))
    # Their mean power of a bin and ours differ by one factor, of units, the same for every bin.
    for share in shares:
        assert share == pytest.approx(share[0], rel=1e-6)
    assert shares[0][0] == pytest.approx(shares[1][0], rel=1e-6)


def test_parseval_holds_for_the_modes() -> None:
    rng = np.random.default_rng(0)
    field = rng.normal(size=(2, 80, 80))
    spectrum = metrics.spectrum(field, GRID)
    place, weight = GRID.k_bins
    total = np.sum(np.abs(spectrum.reshape(2, -1)) ** 2 * weight)
    windowed = (field - field.mean(axis=(1, 2), keepdims=True)) * GRID.hann
    assert total == pytest.approx(np.sum(windowed**2) * 6400, rel=1e-12)
    assert np.mean(GRID.hann**2) == pytest.approx(1.0)


def test_smoothing_loses_power_and_peaks_at_small_scales() -> None:
    smoothed = gaussian_filter(TRUTH, (0, 0, 2.5, 2.5))
    target, predicted = features(TRUTH), features(smoothed)
    power_p, power_t = (metrics.mode_powers(f.spectrum, f.spectrum, GRID) for f in (predicted, target))
    ratio = power_p / power_t
    assert ratio[0] > 0.95 and ratio[11] < 0.2 and ratio[5] > ratio[11]
    sharp, soft = scores_of(TRUTH, TRUTH), scores_of(smoothed, TRUTH)
    assert soft["peak_completeness"] < sharp["peak_completeness"]
    assert soft["k_0.9"] < sharp["k_0.9"]


def test_shuffled_pixels_and_maps_collapse() -> None:
    rng = np.random.default_rng(0)
    shuffled = rng.permuted(TRUTH.reshape(*TRUTH.shape[:2], -1), axis=-1).reshape(TRUTH.shape)
    scores = scores_of(shuffled, TRUTH)
    assert scores["k_0.9"] == GRID.k[0]
    assert scores["ssim"] < 0.5 and scores["peak_f1"] < 0.5
    other = scores_of(TRUTH[::-1], TRUTH)
    assert other["ssim"] < 1 and other["residual_rms_dex"] > 0.05


def test_a_constant_prediction() -> None:
    scores = scores_of(np.full_like(TRUTH, 1e8), TRUTH)
    # l = 8 everywhere is the climatology of these tests.
    assert scores["skill"] == pytest.approx(0.0, abs=1e-9)
    assert scores["peak_completeness"] == 0.0
    assert scores["peak_purity"] is None
    assert scores["k_0.5"] == GRID.k[0]


def test_zero_is_valid_and_floored() -> None:
    scores = scores_of(np.zeros_like(TRUTH), TRUTH)
    expected = np.sqrt(np.mean((6.0 - features(TRUTH).log_inside) ** 2))
    assert scores["residual_rms_dex"] == pytest.approx(expected)
    assert scores["floored_share"] == 1.0


def test_an_aperture_holds_the_area_of_its_circle() -> None:
    ones = np.ones((1, 80, 80))
    for radius in (0.25, 0.5, 0.6123, 1.0):
        mass = metrics.aperture_masses(ones, GRID.circle(radius))
        assert mass[0] == pytest.approx(math.pi * radius**2, rel=1e-12)
    assert metrics.surface_density_profiles(3 * ones, GRID) == pytest.approx(3.0)


@pytest.mark.parametrize("concentration", [1.5, 4.0, 9.0, 20.0])
def test_the_fit_finds_the_concentration_of_an_nfw_halo(concentration: float) -> None:
    edges = GRID.profile_edges
    profile = np.diff(nfw.projected_mass(edges * concentration)) / np.diff(edges**2)
    found = metrics.concentrations(2e9 * profile[None] / profile[0], GRID)
    assert found[0] == pytest.approx(concentration, rel=2e-4)


def test_projected_nfw_mass_is_the_integral_of_its_surface_density() -> None:
    from scipy.integrate import quad

    def sigma(x: float) -> float:
        # rho = 1 / (r (1 + r)^2) along the line of sight; 4 pi rho_s r_s^3 is 4 pi.
        return 2 * quad(lambda z: 1 / (np.hypot(x, z) * (1 + np.hypot(x, z)) ** 2), 0, np.inf)[0]

    for x in (0.3, 1.0, 3.0):
        whole = quad(lambda r: 2 * math.pi * r * sigma(r), 0, x)[0] / (4 * math.pi)
        assert nfw.projected_mass(x) == pytest.approx(whole, rel=1e-6)


def clump_map(clumps: list[tuple[int, int, float]]) -> np.ndarray:
    """(1, y, x): a flat map with clumps (y, x, height) of three by three pixels."""
    field = np.full((1, 80, 80), 1e8)
    for y, x, height in clumps:
        field[0, y - 1 : y + 2, x - 1 : x + 2] += 0.5 * height
        field[0, y, x] += 0.5 * height
    return field


def peaks_of(field: np.ndarray, grid: Grid = GRID) -> metrics.PeakList:
    return metrics.find_peaks(field, metrics.aperture_masses(field, grid.circle(1.0)), grid)[0]


def test_peaks_are_found_with_their_mass() -> None:
    peaks = peaks_of(clump_map([(40, 60, 2e10), (20, 40, 4e10)]))
    assert list(zip(peaks.y, peaks.x, strict=True)) == [(20, 40), (40, 60)]
    field = clump_map([(40, 60, 2e10)])
    total = metrics.aperture_masses(field, GRID.circle(1.0))[0]
    excess = 2e10 * (0.5 * 9 + 0.5) * GRID.maps.area
    # All of a clump of 3 x 3 pixels lies within 2 pixels but for a sliver at the corners.
    corner = 4 * 0.5 * 2e10 * GRID.maps.area * (1 - GRID.peak_weights[1, 1] / GRID.maps.area)
    assert peaks_of(field).mass[0] == pytest.approx((excess - corner) / total, rel=1e-9)


def test_what_is_no_peak() -> None:
    assert len(peaks_of(clump_map([(40, 42, 4e10)])).mass) == 0, "inside 0.15 R200c"
    assert len(peaks_of(clump_map([(1, 40, 4e10)])).mass) == 0, "outside 0.95 R200c"
    assert len(peaks_of(clump_map([(20, 40, 1e8)])).mass) == 0, "below 2e-3 of M(<R200c)"
    plateau = clump_map([(20, 40, 4e10)])
    plateau[0, 20, 41] = plateau[0, 20, 40]
    assert len(peaks_of(plateau).mass) == 0, "not a strict maximum"


def test_of_two_close_peaks_the_larger_stays() -> None:
    wide = make_grid(MapGrid(80, 2.0), dataclasses.replace(STANDARD, peak_separation=0.2))
    field = clump_map([(20, 40, 2e10), (20, 45, 4e10)])
    assert len(peaks_of(field).mass) == 2
    kept = peaks_of(field, wide)
    assert (kept.y.tolist(), kept.x.tolist()) == ([20], [45])


def test_peaks_are_matched_one_to_one_within_their_distance() -> None:
    def peaks(*places: tuple[int, int, float]) -> metrics.PeakList:
        y, x, mass = zip(*places, strict=True)
        return metrics.PeakList(np.array(y), np.array(x), np.array(mass, float))

    truth = peaks((20, 40, 0.03), (22, 40, 0.02))
    one = peaks((21, 40, 0.03))
    # The more massive takes it; the other finds none that is free.
    assert metrics.match_peaks(truth, one, GRID).tolist() == [True, False]
    assert metrics.match_peaks(peaks((20, 40, 1.0)), peaks((23, 40, 1.0)), GRID).tolist() == [True]
    assert metrics.match_peaks(peaks((20, 40, 1.0)), peaks((23, 41, 1.0)), GRID).tolist() == [False]
    none = metrics.PeakList(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    assert metrics.match_peaks(none, one, GRID).tolist() == []


def test_gaussian_errors_that_are_true_have_nominal_coverage_and_crps() -> None:
    rng = np.random.default_rng(5)
    sigma = rng.uniform(0.05, 0.2, (1, 200_000))
    residual = rng.normal(size=sigma.shape) * sigma
    assert metrics.gaussian_coverage(residual, sigma, 0.68)[0] == pytest.approx(0.68, abs=0.005)
    assert metrics.gaussian_coverage(residual, sigma, 0.95)[0] == pytest.approx(0.95, abs=0.003)
    # E CRPS of a true Gaussian forecast is sigma / sqrt(pi).
    expected = sigma.mean() / math.sqrt(math.pi)
    assert metrics.gaussian_crps(residual, sigma)[0] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("r", "s"), [(0.05, 0.1), (-0.3, 0.1)])
def test_crps_is_the_integral_of_its_definition(r: float, s: float) -> None:
    from scipy.integrate import quad
    from scipy.special import ndtr

    # The prediction at r, the truth at 0: integral of (Phi((x - r) / s) - [x >= 0])^2.
    below = quad(lambda x: ndtr((x - r) / s) ** 2, -2, 0, points=[r - s, r])[0]
    above = quad(lambda x: (1 - ndtr((x - r) / s)) ** 2, 0, 2, points=[r, r + s])[0]
    found = metrics.gaussian_crps(np.array([[r]]), np.array([[s]]))[0]
    assert found == pytest.approx(below + above, rel=1e-6)


def test_the_fall_of_a_correlation_is_read_between_bins() -> None:
    k = np.array([1.0, 2.0, 3.0, 4.0])
    curves = np.array([[1.0, 0.95, 0.85, 0.95], [0.8, 0.7, 0.6, 0.5], [1.0, 1.0, 1.0, 1.0]])
    assert metrics.falling_k(curves, k, 0.9).tolist() == pytest.approx([2.5, 1.0, np.inf])


def test_a_histograms_quantiles_are_exact_where_bins_hold_one_value() -> None:
    counts = np.array([0, 5, 0, 5, 0])
    bounds = np.array([[np.inf, 0.1, np.inf, 0.3, np.inf], [-np.inf, 0.1, -np.inf, 0.3, -np.inf]])
    assert histogram_quantile(counts, bounds, 0.16) == 0.1
    assert histogram_quantile(counts, bounds, 0.84) == 0.3


CHANGES = {
    "score_fwhm": (0.1, "residual_rms_dex"),
    "central_radius": (0.3, "central_rms_dex"),
    "mask_radius": (0.8, "residual_rms_dex"),
    "floor": (1e9, "residual_rms_dex"),
    "quantile_low": (0.1, "residual_scatter"),
    "quantile_high": (0.9, "mass_scatter"),
    "apertures": ((0.25, 0.4, 1.0), "mass_scatter_0.4"),
    "profile_rings": (6, "concentration_scatter"),
    "profile_inner": (0.1, "concentration_scatter"),
    "profile_outer": (0.7, "concentration_scatter"),
    "concentration_low": (8.0, "concentration_scatter"),
    "concentration_high": (3.0, "concentration_scatter"),
    "concentration_steps": (9, "concentration_scatter"),
    "power_step": (1.5, "k_0.9"),
    "power_max": (2.0, "k_0.5"),
    "correlation_levels": ((0.8, 0.4), "k_0.8"),
    "ssim_sigma": (1.0, "ssim"),
    "ssim_truncate": (2.0, "ssim"),
    "ssim_k1": (0.1, "ssim"),
    "ssim_k2": (0.1, "ssim"),
    "ssim_border": (8, "ssim"),
    "peak_ring": (12.0, "peak_purity"),
    "peak_window": (6, "peak_f1"),
    "peak_inner": (0.35, "peak_f1"),
    "peak_outer": (0.7, "peak_f1"),
    "peak_aperture": (0.1, "peak_purity"),
    "peak_least": (3e-3, "peak_f1"),
    "peak_separation": (0.3, "peak_f1"),
    "peak_match": (0.026, "peak_completeness"),
    "coverage_inner": (0.5, "coverage_68"),
    "coverage_outer": (0.8, "coverage_95"),
    "histogram_step": (0.2, "residual_bias"),
    "histogram_limit": (0.05, "residual_scatter"),
}  # fmt: skip


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A prediction with shifted clumps and noise, its sigma, and the truth."""
    rng = np.random.default_rng(2)
    truth = cluster_maps(8, 2)
    moved = np.roll(gaussian_filter(truth, (0, 0, 0.6, 0.6)), 1, axis=-1)
    return moved * 10 ** (0.15 * rng.normal(size=truth.shape)), np.full(truth.shape, 0.05), truth


@pytest.fixture(scope="module")
def standard(noisy: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, float | None]:
    return scores_of(noisy[0], noisy[2], sigma=noisy[1])


@pytest.mark.parametrize("name", CHANGES)
def test_each_constant_changes_a_score(
    name: str, noisy: tuple[np.ndarray, np.ndarray, np.ndarray], standard: dict[str, float | None]
) -> None:
    value, score = CHANGES[name]
    constants = dataclasses.replace(STANDARD, **{name: value})
    grid = make_grid(MapGrid(80, 2.0), constants)
    scores = scores_of(noisy[0], noisy[2], grid, noisy[1])
    assert scores[score] is not None
    assert scores[score] != standard.get(score), f"{name} = {value} leaves {score} as it is"
    assert constants.digest() != STANDARD.digest()


def test_every_constant_is_looked_at() -> None:
    elsewhere = {
        "biased_dex", "climatology_rings", "ssim_low", "ssim_high", "peak_bins", "table_radius",
        "table_log_mass", "table_redshift", "isolated_distance", "confidence", "bootstrap_draws",
        "bootstrap_seed", "least_regions", "copied_share", "noise_correlation", "coverage_samples",
        "rank_bins", "credibility_step", "sample_power_edges",
    }  # fmt: skip
    assert {field.name for field in dataclasses.fields(STANDARD)} == set(CHANGES) | elsewhere


def test_maps_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(InputError, match="R200c wide"):
        Grid(MapGrid(80, 1.5), STANDARD)
    with pytest.raises(InputError, match="too small"):
        Grid(MapGrid(8, 2.0), STANDARD)
