"""All scores in one place: what each is, its unit, which way is better, and how the noise floor scales."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

RANKING = "residual_rms_dex"
"""The score that ranks."""
PROBABILISTIC = "crps"
"""The score that ranks the probabilistic boards."""
BELOW_NOISE = "below the noise floor"
"""The flag of a result that cannot be ranked: no prediction can know the truth's own noise."""
NO_FLOOR = "no noise floor: the store has no half-samples of what is predicted"
"""What stands in the place of a floor that is not known."""


@dataclass(frozen=True)
class Score:
    """One score of the registry.

    Parameters
    ----------
    name, label, units
        Key in a result, heading of a table, and unit.
    better
        ``low``, ``high``, or the number it should be.
    meaning
        One sentence.
    noise
        How a half-sample's score against the other half becomes the noise of the full sample: ``half``
        (a dispersion: halves differ by twice the noise of the whole), ``quarter`` (1 - a ratio of variances),
        ``correlation`` (both halves are noisy, a perfect prediction is not), or ``none``.
    digits
        Decimals shown.
    limits
        Values the score can take.
    """

    name: str
    label: str
    units: str
    better: str | float
    meaning: str
    noise: str = "none"
    digits: int = 4
    limits: tuple[float, float] = (0.0, math.inf)


ANY = (-math.inf, math.inf)
SHARE = (0.0, 1.0)


def _mass(suffix: str, radius: str) -> Iterable[Score]:
    yield Score(
        f"mass_bias{suffix}",
        f"mass bias, {radius}",
        "1",
        0.0,
        f"median of M_p / M_t - 1 for the cylinder mass inside {radius}",
        limits=ANY,
    )
    yield Score(
        f"mass_scatter{suffix}",
        f"mass scatter, {radius}",
        "1",
        "low",
        f"half the 16-84 % range of M_p / M_t - 1 inside {radius}",
        "half",
    )


_SCORES = (
    Score(RANKING, "residual rms", "dex", "low", "sqrt of the mean of (l(p) - l(t))^2; ranks", "half"),
    Score(
        "rms_above_noise",
        "rms above noise",
        "dex",
        "low",
        "sqrt of residual_rms_dex^2 less the square of its noise floor",
    ),
    Score("central_rms_dex", "central rms", "dex", "low", "residual_rms_dex of R < 0.5 R200c", "half"),
    Score("residual_bias", "bias", "dex", 0.0, "median of l(p) - l(t) over all pixels", limits=ANY),
    Score("residual_scatter", "scatter", "dex", "low", "half the 16-84 % range of l(p) - l(t)", "half"),
    Score(
        "residual_rms",
        "residual rms (linear)",
        "1",
        "low",
        "root mean square of (p - t) / std(t), the paper's equation 1",
        "half",
    ),
    Score(
        "residual_skewness", "residual skewness", "1", 0.0, "skewness of (p - t) / std(t)", limits=ANY
    ),
    Score(
        "residual_kurtosis", "residual kurtosis", "1", 0.0, "excess kurtosis of (p - t) / std(t)", limits=ANY
    ),
    Score(
        "skill",
        "skill",
        "1",
        "high",
        "1 - MSE / MSE of the climatology: 0 is the mean radial profile, 1 is perfect",
        "quarter",
        limits=(-math.inf, 1.0),
    ),
    *_mass("_0.25", "0.25 R200c"),
    *_mass("_0.5", "0.5 R200c"),
    *_mass("_r500c", "R500c"),
    *_mass("", "R200c"),
    Score(
        "log_m200_scatter",
        "scatter of log M200c",
        "dex",
        "low",
        "half the 16-84 % range of log10 M200c by the predicted cylinder mass inside R200c, and a line "
        "fitted to the train split's truth, less the true one",
    ),
    Score(
        "concentration_scatter",
        "concentration scatter",
        "1",
        "low",
        "half the 16-84 % range of c_p / c_t - 1 of NFW fits to the profiles",
        "half",
    ),
    Score("k_0.9", "k at 0.9", "1/R200c", "high", "where the cross-correlation falls below 0.9", digits=2),
    Score("k_0.5", "k at 0.5", "1/R200c", "high", "where the cross-correlation falls below 0.5", digits=2),
    Score("ssim", "SSIM", "1", "high", "structural similarity of l", limits=(-1.0, 1.0)),
    Score(
        "peak_completeness", "peak completeness", "1", "high", "share of true peaks found", digits=3,
        limits=SHARE,
    ),
    Score(
        "peak_purity", "peak purity", "1", "high", "share of predicted peaks that are true", digits=3,
        limits=SHARE,
    ),
    Score(
        "peak_f1", "peak F1", "1", "high", "harmonic mean of completeness and purity", digits=3, limits=SHARE
    ),
    Score(
        "coverage_68", "coverage 68 %", "1", 0.68, "share of l(t) inside the 68 % interval", digits=3,
        limits=SHARE,
    ),
    Score(
        "coverage_95", "coverage 95 %", "1", 0.95, "share of l(t) inside the 95 % interval", digits=3,
        limits=SHARE,
    ),
    Score(
        "crps",
        "CRPS",
        "dex",
        "low",
        "continuous ranked probability score of l; ranks probabilistic predictions",
    ),
    Score("energy_score", "energy score", "dex", "low", "of samples: CRPS with the rms over a map's pixels"),
    Score(
        "spread_skill",
        "spread / skill",
        "1",
        1.0,
        "of samples: sqrt((n + 1) / n mean variance) of l over the rms of their mean",
        digits=3,
    ),
    Score(
        "mass_spread_skill",
        "spread / skill of the mass",
        "1",
        1.0,
        "the same of log10 M(<R200c)",
        digits=3,
    ),
    *(
        Score(
            f"sample_power_ratio_{low}_{high}",
            f"sample power, k {low}-{high}",
            "1",
            1.0,
            f"power of l of single samples over that of the truth, {low} to {high} cycles per R200c",
            digits=3,
        )
        for low, high in ((1, 3), (3, 8), (8, 14))
    ),
    Score(
        "rank_deviation",
        "rank deviation",
        "1",
        "low",
        "largest deviation from uniform of the cumulative histogram of the truth's rank among the samples",
        digits=3,
        limits=SHARE,
    ),
    Score(
        "tarp",
        "TARP deviation",
        "1",
        "low",
        "largest deviation of the expected coverage from the credibility, another halo's truth as reference",
        digits=3,
        limits=SHARE,
    ),
    Score(
        "tarp_mass",
        "TARP deviation of the mass",
        "1",
        "low",
        "the same of log10 M(<R200c)",
        digits=3,
        limits=SHARE,
    ),
    Score(
        "degradation",
        "degradation",
        "dex",
        "low",
        "residual rms less that of the in-domain model on the same regions, paired",
        limits=ANY,
    ),
)  # fmt: skip

OF_SAMPLES = (
    *("energy_score", "spread_skill", "mass_spread_skill"),
    *("sample_power_ratio_1_3", "sample_power_ratio_3_8", "sample_power_ratio_8_14"),
    *("rank_deviation", "tarp", "tarp_mass"),
)
"""Scores that a submission has from posterior samples alone."""

SCORES: dict[str, Score] = {score.name: score for score in _SCORES}
"""Every score by name."""

CURVES: dict[str, str] = {
    "power_ratio": "sum P_p / sum P_t of l by wave number",
    "power_ratio_noise_free": "the same, with the noise of the truth taken out of P_t",
    "cross_correlation": "sum Re(F_p F_t*) / sqrt(sum P_p sum P_t) of l by wave number",
    "cross_correlation_noise_free": "the same, with the noise of the truth taken out of P_t",
    "profile_bias": "median of the ratio of the surface-density profiles, less 1, by radius",
    "profile_scatter": "half the 16-84 % range of that ratio, by radius",
    "peak_completeness_by_mass": "share of true peaks found, by M_pk / M(<R200c)",
    "sample_power_ratio": "power of l of single samples over that of the truth, by wave number",
    "spread_skill_by_radius": "sqrt((n + 1) / n mean variance of the samples) over the rms of their mean",
    "tarp": "share of maps that lie within the samples' credible region, by its credibility",
    "tarp_mass": "the same of log10 M(<R200c)",
}
"""Scores that are functions: of wave number, radius, mass or credibility."""
SAMPLE_CURVES = ("sample_power_ratio", "spread_skill_by_radius", "tarp", "tarp_mass")
"""Those that a submission has from posterior samples alone."""
