"""The metrics of the benchmark: plain functions on arrays of maps (map, y, x).

Each takes batches of maps in their physical units (Msun kpc-2) or their l = log10(max(m, S0)), and a
`benchmarks.grid.Grid` that holds geometry and constants. Averages over maps, halos and regions are
taken elsewhere (`benchmarks.summary`).
"""

from benchmarks.metrics.mass import aperture_masses, concentrations, surface_density_profiles
from benchmarks.metrics.peaks import PeakList, find_peaks, match_peaks
from benchmarks.metrics.power import cross_correlation, falling_k, mode_powers, spectrum
from benchmarks.metrics.probability import (
    energy_score,
    fair_crps,
    gaussian_coverage,
    gaussian_crps,
    rank_shares,
    truth_ranks,
)
from benchmarks.metrics.residuals import moments_from_powers, residual_powers
from benchmarks.metrics.similarity import local_moments, ssim

__all__ = [
    "PeakList",
    "aperture_masses",
    "concentrations",
    "cross_correlation",
    "energy_score",
    "fair_crps",
    "falling_k",
    "find_peaks",
    "gaussian_coverage",
    "gaussian_crps",
    "local_moments",
    "match_peaks",
    "mode_powers",
    "moments_from_powers",
    "rank_shares",
    "residual_powers",
    "spectrum",
    "ssim",
    "surface_density_profiles",
    "truth_ranks",
]
