"""Every constant of the benchmark, frozen: a change of any of them is a new version."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from three_hundred_maps.io import canonical_json, sha256_bytes

VERSION = 2


@dataclass(frozen=True)
class Constants:
    """The constants of the scores. Lengths in R200c, surface densities in Msun kpc-2, logarithms to base 10.

    Parameters
    ----------
    score_fwhm
        FWHM of the Gaussian that makes the score grid.
    mask_radius
        Pixels with centres inside this circle count.
    central_radius
        Circle of ``central_rms_dex``.
    floor
        S0: l(m) = log10(max(m, S0)).
    biased_dex
        abs(residual_bias) above this is flagged.
    quantile_low, quantile_high
        Half their difference is every ``scatter``.
    climatology_rings
        Number of rings of the climatology out to `mask_radius`.
    apertures
        Radii of the cylinder masses; R500c / R200c comes on top.
    profile_rings, profile_inner, profile_outer
        Logarithmic rings of the surface-density profile.
    concentration_low, concentration_high, concentration_steps
        Grid of the NFW fit.
    power_step, power_max
        Width of the bins in k and their last centre, cycles per R200c.
    correlation_levels
        Where the cross-correlation's falling k is read.
    ssim_sigma, ssim_truncate, ssim_k1, ssim_k2, ssim_border, ssim_low, ssim_high
        Of the structural similarity; sigma and border in pixels, low and high as quantiles of train.
    peak_*
        Of the peaks: ring of the background (pixels), half-window (pixels), annulus, aperture radius,
        least mass in M(<R200c), least separation, matching distance, bins of mass in M(<R200c).
    coverage_inner, coverage_outer
        Nominal coverage of the two intervals of probabilistic predictions.
    coverage_samples
        Empirical intervals of posterior samples are looked at from so many samples on.
    rank_bins, credibility_step
        Bins of the rank histogram; step of the credibilities at which the expected coverage is read.
    sample_power_edges
        Wave numbers, cycles per R200c, between which the power of samples is summed to scores.
    table_radius, table_log_mass, table_redshift, isolated_distance
        Edges of the conditional tables: R / R200c, log10 M200c / Msun, redshift; an isolated halo's nearest
        more massive one lies beyond so many of its R200c.
    confidence, bootstrap_draws, bootstrap_seed, least_regions
        Of the intervals.
    histogram_limit, histogram_step
        Residual histograms, dex; quantiles are read inside a bin between its least and greatest value.
    copied_share
        Share of pixels equal to the truth, bit by bit, above which predictions are taken for a copy of it.
    noise_correlation
        Noise-free cross-correlation where noise dominates, at most 1 without the truth at hand, above which
        predictions are taken to be made from it.
    """

    score_fwhm: float = 0.05
    mask_radius: float = 1.0
    central_radius: float = 0.5
    floor: float = 1e6
    biased_dex: float = 0.02
    quantile_low: float = 0.16
    quantile_high: float = 0.84
    climatology_rings: int = 40
    apertures: tuple[float, ...] = (0.25, 0.5, 1.0)
    profile_rings: int = 10
    profile_inner: float = 0.05
    profile_outer: float = 1.0
    concentration_low: float = 0.2
    concentration_high: float = 50.0
    concentration_steps: int = 401
    power_step: float = 0.5
    power_max: float = 20.0
    correlation_levels: tuple[float, ...] = (0.9, 0.5)
    ssim_sigma: float = 1.5
    ssim_truncate: float = 3.5
    ssim_k1: float = 0.01
    ssim_k2: float = 0.03
    ssim_border: int = 5
    ssim_low: float = 0.001
    ssim_high: float = 0.999
    peak_ring: float = 2.0
    peak_window: int = 2
    peak_inner: float = 0.15
    peak_outer: float = 0.95
    peak_aperture: float = 0.05
    peak_least: float = 2e-3
    peak_separation: float = 0.075
    peak_match: float = 0.075
    peak_bins: tuple[float, ...] = (2e-3, 5e-3, 1e-2, 3e-2)
    coverage_inner: float = 0.68
    coverage_outer: float = 0.95
    coverage_samples: int = 20
    rank_bins: int = 10
    credibility_step: float = 0.05
    sample_power_edges: tuple[float, ...] = (1.0, 3.0, 8.0, 14.0)
    table_radius: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    table_log_mass: tuple[float, ...] = (14.0, 14.4, 14.8)
    table_redshift: tuple[float, ...] = (0.1, 0.3, 0.6)
    isolated_distance: float = 2.0
    confidence: float = 0.95
    bootstrap_draws: int = 1000
    bootstrap_seed: int = 300
    least_regions: int = 10
    histogram_limit: float = 3.0
    histogram_step: float = 1e-3
    copied_share: float = 1e-3
    noise_correlation: float = 1.05

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any constant."""
        return sha256_bytes(canonical_json(asdict(self)))[:16]


STANDARD = Constants()
"""The constants of this version."""
