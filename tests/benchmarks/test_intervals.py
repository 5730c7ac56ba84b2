"""Intervals cover what they say, and are not given where they could not."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import scipy.stats

from benchmarks.compare import is_tie, paired_difference, ties_with_best
from benchmarks.constants import STANDARD
from benchmarks.intervals import (
    TOO_FEW,
    Estimate,
    Pool,
    bca,
    draws,
    largest_deviation,
    median_and_scatter,
    of_means,
)
from benchmarks.metrics import rank_shares
from benchmarks.summary import Regional, Summary
from three_hundred_maps.errors import InputError

REGIONS, SUBMISSIONS = 32, 1000


def root(m: np.ndarray) -> np.ndarray:
    return np.sqrt(m[..., 0])


def skill(m: np.ndarray) -> np.ndarray:
    return 1 - m[..., 0] / m[..., 1]


def covers(estimate: Estimate, value: float) -> bool:
    assert estimate.low is not None and estimate.high is not None
    return bool(estimate.low <= value <= estimate.high)


def test_intervals_of_32_regions_cover_the_known_value_in_95_percent_of_1000_submissions() -> None:
    rng = np.random.default_rng(7)
    hits = {"rms": 0, "skill": 0}
    for _ in range(SUBMISSIONS):
        # Mean squares of regions are skewed: log-normal, a factor of 1.65 up or down.
        mse = rng.lognormal(-4, 0.5, REGIONS)
        climatology = mse * rng.lognormal(1.0, 0.3, REGIONS)
        hits["rms"] += covers(of_means(mse[:, None], root), np.sqrt(np.exp(-4 + 0.125)))
        rows = np.column_stack([mse, climatology])
        hits["skill"] += covers(of_means(rows, skill), 1 - np.exp(-1.045))
    for name, count in hits.items():
        assert 0.93 <= count / SUBMISSIONS <= 0.97, f"{name} is covered in {count} of {SUBMISSIONS}"


def test_intervals_of_pooled_quantiles_cover_too() -> None:
    rng = np.random.default_rng(8)
    bias, scatter = median_and_scatter()
    # A region's own offset and noise within: pooled, a Gaussian of sigma sqrt(0.1^2 + 0.1^2).
    truth = {"bias": 0.0, "scatter": 0.14142 * 0.994458}
    hits = {"bias": 0, "scatter": 0}
    row = np.repeat(np.arange(REGIONS), 20)
    for _ in range(SUBMISSIONS):
        values = (rng.normal(0, 0.1, (REGIONS, 1)) + rng.normal(0, 0.1, (REGIONS, 20))).ravel()
        pool = Pool.of_values(values, row, REGIONS, nodes=301)
        for name, quantiles in (("bias", bias), ("scatter", scatter)):
            exact = sum(f * float(np.quantile(values, q)) for q, f in quantiles.items())
            hits[name] += covers(pool.estimate(exact, quantiles), truth[name])
    for name, count in hits.items():
        assert 0.93 <= count / SUBMISSIONS <= 0.97, f"{name} is covered in {count} of {SUBMISSIONS}"


@pytest.mark.parametrize("factor", [1.0, 1.2, 1.6])
def test_intervals_of_the_largest_deviation_cover_calibrated_samples_too(factor: float) -> None:
    """Ranks of the truth among 32 samples whose spread is too small by a factor, alike within a region."""
    rng = np.random.default_rng(10)
    levels = np.linspace(0.05, 1.0, 20)
    shares = rank_shares(32, levels)

    def curves(regions: int) -> np.ndarray:
        z = np.sqrt(0.5) * (rng.normal(size=(regions, 1)) + rng.normal(size=(regions, 6)))
        return shares[rng.binomial(32, scipy.stats.norm.cdf(factor * z))].mean(axis=1)

    truth = float(np.abs(curves(20_000).mean(axis=0) - levels).max()) if factor > 1 else 0.0
    hits = sum(covers(largest_deviation(curves(REGIONS), levels), truth) for _ in range(300))
    assert 0.93 <= hits / 300 <= 0.99
    assert largest_deviation(curves(9), levels).note == TOO_FEW
    same = largest_deviation(np.tile(levels, (REGIONS, 1)), levels)
    assert (same.value, same.low, same.high) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)


def test_bca_is_scipys_with_expanded_percentiles() -> None:
    values = np.random.default_rng(3).lognormal(0, 0.6, 40)
    many = dataclasses.replace(STANDARD, bootstrap_draws=20_000)
    ours = bca(lambda weights: weights @ values / weights.sum(axis=1), 40, many)
    tail = np.sqrt(40 / 39) * scipy.stats.t.ppf(0.975, 39)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, confidence_level=1 - 2 * scipy.stats.norm.sf(tail), n_resamples=20_000,
        method="BCa", rng=1,
    ).confidence_interval  # fmt: skip
    assert ours.low is not None and ours.high is not None
    assert [ours.low, ours.high] == pytest.approx(list(theirs), abs=0.03 * (theirs.high - theirs.low))


def test_fewer_than_ten_regions_have_no_interval() -> None:
    for estimate in (
        of_means(np.ones((9, 1)), root),
        Pool.of_values(np.arange(9.0), np.arange(9), 9).estimate(4.0, {0.5: 1.0}),
        bca(lambda w: w.sum(axis=1), 9),
    ):
        assert (estimate.low, estimate.high, estimate.note) == (None, None, TOO_FEW)
        assert estimate.to_json()["note"] == TOO_FEW
    rng = np.random.default_rng(0)
    assert of_means(rng.random((10, 1)), root).low is not None


def test_regions_that_agree_leave_a_point() -> None:
    for value in (0.0, 0.3):
        estimate = of_means(np.full((20, 1), value**2), root)
        assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(value),) * 3


def test_intervals_end_where_scores_do() -> None:
    shares = np.column_stack([np.r_[np.full(19, 5.0), 4.0], np.full(20, 5.0)])
    estimate = of_means(shares, lambda m: m[..., 0] / m[..., 1], limits=(0.0, 1.0))
    assert estimate.high is not None and estimate.high <= 1.0


def test_draws_are_the_same_each_time_and_follow_the_constants() -> None:
    assert draws(12).shape == (STANDARD.bootstrap_draws, 12)
    assert (draws(12).sum(axis=1) == 12).all()
    draws.cache_clear()
    again = draws(12)
    assert np.array_equal(again, draws(12))
    other = dataclasses.replace(STANDARD, bootstrap_seed=1)
    assert not np.array_equal(draws(12, other), again)
    rows = np.random.default_rng(0).random((20, 1))
    narrow = of_means(rows, root, dataclasses.replace(STANDARD, confidence=0.5))
    wide = of_means(rows, root)
    assert narrow.low > wide.low and narrow.high < wide.high
    few = of_means(rows, root, dataclasses.replace(STANDARD, bootstrap_draws=200))
    assert few.low != wide.low


def result(mse: np.ndarray, digest: str = "a" * 64) -> dict:
    return {
        "name": "x",
        "dataset": {"name": "d", "digest": digest},
        "regions": {"id": list(range(len(mse))), "mse": mse.tolist()},
    }


def test_a_paired_difference_is_finer_than_two_intervals() -> None:
    rng = np.random.default_rng(2)
    mse = rng.lognormal(-4, 0.6, 40)
    first, second = result(mse), result(mse * 1.06 * rng.lognormal(0, 0.02, 40))
    alone = [of_means(np.array(r["regions"]["mse"])[:, None], root) for r in (first, second)]
    assert alone[0].high > alone[1].low, "their intervals overlap"
    difference = paired_difference(first, second)
    assert difference.high < 0, "and yet the first is better in nearly every region"
    assert is_tie(difference) is False
    assert is_tie(paired_difference(first, result(mse * rng.lognormal(0, 0.3, 40)))) is True
    assert ties_with_best([first, second]) == [None, False]


def test_paired_differences_cover_zero_of_equal_models() -> None:
    rng = np.random.default_rng(5)
    ties = 0
    for _ in range(400):
        mse = rng.lognormal(-4, 0.5, REGIONS)
        pair = [result(mse * rng.lognormal(0, 0.2, REGIONS)) for _ in range(2)]
        ties += is_tie(paired_difference(*pair))
    assert 0.92 <= ties / 400 <= 0.98


def test_results_of_different_data_are_not_compared() -> None:
    mse = np.ones(12)
    with pytest.raises(InputError, match="cannot be compared"):
        paired_difference(result(mse), result(mse, "b" * 64))
    with pytest.raises(InputError, match="different regions"):
        paired_difference(result(mse), result(np.ones(13)))
    one, two = ({**result(mse), "benchmark_version": version} for version in (1, 2))
    with pytest.raises(InputError, match="are of 1 and 2, two versions"):
        paired_difference(one, two)
    assert paired_difference(one, result(mse)["regions"]).value == 0


@pytest.mark.parametrize(("with_peaks", "note"), [(1, TOO_FEW), (9, TOO_FEW), (10, ""), (13, "")])
def test_regions_without_peaks_do_not_count_for_the_interval_of_a_share(with_peaks: int, note: str) -> None:
    regions = SimpleNamespace(regions=Regional(np.arange(13)), constants=STANDARD)
    below = np.where(np.arange(13) < with_peaks, 3.0, 0.0)
    above = below * (np.arange(13) % 2) / 3.0
    found = Summary._share(cast(Summary, regions), above, below)
    assert found.value == pytest.approx(above.sum() / below.sum()) and found.note == note
    assert (found.low is None) == bool(note)
    assert note or (found.low is not None and found.high is not None and found.low < found.value < found.high)
