"""Posterior samples: scores against analytic truth, what they find, and from a submission to a page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import erf

from benchmarks import Evaluator, metrics
from benchmarks.constants import STANDARD
from benchmarks.disclosure import disclosed
from benchmarks.features import Features
from benchmarks.grid import make_grid
from benchmarks.leaderboard import render
from benchmarks.leaderboard.boards import make_boards
from benchmarks.measure import measure
from benchmarks.packing import opened, pack
from benchmarks.posterior import measure_samples, references_of
from benchmarks.predictions import Predictions
from benchmarks.registry import OF_SAMPLES, PROBABILISTIC, RANKING, SAMPLE_CURVES
from benchmarks.results import result_problems
from benchmarks.scoring import COPY, SUBMISSION, score_submission, stream
from benchmarks.sealing import seal
from benchmarks.summary import Summary
from benchmarks.truth import Truth
from benchmarks.validation import find_problems
from tests.helpers import restated, submitted
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.io import canonical_json
from three_hundred_maps.store.arrays import SplitArrays

Array = NDArray[np.float64]
SIGMA = 0.15
HALOS, SAMPLES = 60, 24


# -- the scores themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5, 30])
def test_the_fair_crps_is_the_gaussians_whatever_the_number_of_samples(n: int) -> None:
    """Gneiting & Raftery (2007): closed form of a Gaussian forecast."""
    rng = np.random.default_rng(n)
    truth = rng.normal(0.4, 1.3, (1, 60_000))
    samples = rng.normal(0.0, 0.8, (1, n, 60_000))
    z = truth / 0.8
    closed = 0.8 * (
        z * erf(z / math.sqrt(2)) + np.exp(-0.5 * z**2) * math.sqrt(2 / math.pi) - 1 / math.sqrt(math.pi)
    )
    assert metrics.fair_crps(samples, truth).mean() == pytest.approx(closed.mean(), rel=0.02)


def test_the_fair_crps_is_the_sum_over_pairs() -> None:
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(3, 7, 5)), rng.normal(size=(3, 5))
    pairs = np.abs(samples[:, :, None] - samples[:, None]).sum(axis=(1, 2)) / (2 * 7 * 6)
    expected = np.abs(samples - truth[:, None]).mean(axis=1) - pairs
    assert np.allclose(metrics.fair_crps(samples, truth), np.maximum(expected, 0))


@pytest.mark.parametrize("n", [2, 16])
def test_the_energy_score_of_independent_gaussians(n: int) -> None:
    """Distances of P independent pixels: sqrt(2 / P) sigma chi_P; a true forecast scores half their mean."""
    rng = np.random.default_rng(1)
    pixels = 6
    chi = math.sqrt(2) * math.gamma((pixels + 1) / 2) / math.gamma(pixels / 2)
    samples, truth = rng.normal(0, 0.2, (20_000, n, pixels)), rng.normal(0, 0.2, (20_000, pixels))
    expected = 0.5 * 0.2 * math.sqrt(2 / pixels) * chi
    assert metrics.energy_score(samples, truth).mean() == pytest.approx(expected, rel=0.01)


def test_the_energy_score_of_one_pixel_is_the_crps() -> None:
    rng = np.random.default_rng(2)
    samples, truth = rng.normal(size=(50, 9, 1)), rng.normal(size=(50, 1))
    assert np.allclose(metrics.energy_score(samples, truth), metrics.fair_crps(samples, truth)[:, 0])


def test_ranks_are_uniform_where_samples_are_calibrated_and_where_all_is_equal() -> None:
    rng = np.random.default_rng(3)
    samples, truth = rng.normal(size=(40_000, 7)), rng.normal(size=40_000)
    for values in ((samples, truth), (np.zeros_like(samples), np.zeros_like(truth))):
        share = np.bincount(metrics.truth_ranks(*values, rng), minlength=8) / 40_000
        assert share == pytest.approx(np.full(8, 1 / 8), abs=0.008)
    assert metrics.truth_ranks(np.array([[1.0, 2.0, 3.0]]), np.array([2.5]), rng).tolist() == [2]


@pytest.mark.parametrize("n", [2, 9, 20, 64])
def test_of_uniform_ranks_the_share_below_a_level_is_the_level(n: int) -> None:
    levels = np.array([0.025, 0.1, 0.16, 0.5, 0.975, 1.0])
    assert metrics.rank_shares(n, levels).mean(axis=0) == pytest.approx(levels, abs=1e-12)


@pytest.mark.parametrize("spread", [0.7, 1.5])
def test_tarp_finds_a_wrong_spread_nine_times_of_ten(spread: float) -> None:
    """100 maps of 8 pixels, 20 samples each: at a false alarm in 20, the power is 0.9 and more."""
    rng = np.random.default_rng(4)
    shares = metrics.rank_shares(20, np.linspace(0.05, 1, 20))

    def deviation(scale: float) -> float:
        truth, reference = rng.normal(size=(2, 100, 8))
        samples = scale * rng.normal(size=(100, 20, 8))
        distances = np.sum((samples - reference[:, None]) ** 2, axis=2)
        ranks = metrics.truth_ranks(distances, np.sum((truth - reference) ** 2, axis=1), rng)
        return float(np.abs(shares[ranks].mean(axis=0) - np.linspace(0.05, 1, 20)).max())

    right, wrong = ([deviation(scale) for _ in range(200)] for scale in (1.0, spread))
    assert np.mean(np.array(wrong) > np.quantile(right, 0.95)) > 0.9


def test_every_halo_has_another_as_its_reference() -> None:
    for halos in (2, 3, 50):
        other = references_of(halos, 300)
        assert sorted(other.tolist()) == list(range(halos)) and (other != np.arange(halos)).all()


# -- what they say of maps ------------------------------------------------------------------------------

GRID = make_grid(MapGrid(40, 2.0), STANDARD)


def fields(rng: np.random.Generator, *shape: int, blur: float = 2.0) -> Array:
    """Correlated Gaussian fields of unit variance, with an offset that a whole map shares."""
    white = rng.normal(size=(*shape, 40, 40))
    smooth = gaussian_filter(white, (*[0] * len(shape), blur, blur), mode="wrap") if blur else white
    return 0.9 * smooth / smooth.std() + math.sqrt(1 - 0.9**2) * rng.normal(size=(*shape, 1, 1))


def scores_of(samples: Array, truth: Array) -> dict[str, float]:
    """Scores of l of samples (halo, los, sample, y, x) and truth, both on the score grid."""
    maps, expected = 10.0**samples, 10.0**truth
    r500 = np.full(len(truth), 0.65)
    target = Features(expected, GRID, r500, smooth=expected)
    order = references_of(len(truth), 300)
    mean, kept = measure_samples(maps, expected[order], np.arange(len(truth)), target, on_grid=True)
    measured = measure(mean, target, np.full(len(GRID.inside), 8.0), 3.0)
    measured.per_halo.update(kept)
    summary = Summary(measured, np.arange(len(truth)), GRID)
    found = {name: float(score.value) for name, score in summary.probability() if score.value is not None}
    assert set(summary.curves()) >= set(SAMPLE_CURVES) and sum(summary.rank_histogram()["share"]) > 0.999
    return {**found, RANKING: math.sqrt(measured.per_halo["mse"].mean())}


def test_a_single_halo_has_no_tarp() -> None:
    """It was its own reference, so that all samples lay farther: 0.95 for calibrated ones."""
    rng = np.random.default_rng(6)
    scores = scores_of(8.0 + 0.1 * fields(rng, 1, 2, 20), 8.0 + 0.1 * fields(rng, 1, 2))
    assert set(OF_SAMPLES) - set(scores) == {"tarp", "tarp_mass"}


@pytest.fixture(scope="module")
def drawn() -> tuple[Array, Array, Array]:
    """The mean of l, its truths, and the deviations of calibrated samples, in units of the spread."""
    rng = np.random.default_rng(5)
    mean = 8.0 - 1.2 * GRID.maps.radius
    truth = mean + SIGMA * fields(rng, HALOS, 1)
    return mean, truth, fields(rng, HALOS, 1, SAMPLES)


@pytest.fixture(scope="module")
def calibrated(drawn: tuple[Array, Array, Array]) -> dict[str, float]:
    mean, truth, deviations = drawn
    return scores_of(mean + SIGMA * deviations, truth)


def test_calibrated_samples_score_as_they_must(calibrated: dict[str, float]) -> None:
    assert set(OF_SAMPLES) - {"sample_power_ratio_8_14"} <= set(calibrated)
    # CRPS of a true Gaussian forecast: sigma / sqrt(pi).
    assert calibrated[PROBABILISTIC] == pytest.approx(SIGMA / math.sqrt(math.pi), rel=0.06)
    assert calibrated["spread_skill"] == pytest.approx(1.0, abs=0.06)
    assert calibrated["mass_spread_skill"] == pytest.approx(1.0, abs=0.2)
    for band in ("1_3", "3_8"):
        assert calibrated[f"sample_power_ratio_{band}"] == pytest.approx(1.0, abs=0.08)
    assert calibrated["coverage_68"] == pytest.approx(0.68, abs=0.04)
    assert calibrated["coverage_95"] == pytest.approx(0.95, abs=0.02)
    assert calibrated["rank_deviation"] < 0.05 and calibrated["tarp"] < 0.15 and calibrated["tarp_mass"] < 0.2
    # The mean of the samples is a prediction: its error is the truth's spread, but for their number.
    assert calibrated[RANKING] == pytest.approx(SIGMA * math.sqrt(1 + 1 / SAMPLES), rel=0.06)


@pytest.mark.parametrize(("scale", "ratio"), [(0.5, 0.5), (2.0, 2.0)])
def test_a_wrong_spread_is_found(
    drawn: tuple[Array, Array, Array], calibrated: dict[str, float], scale: float, ratio: float
) -> None:
    mean, truth, deviations = drawn
    found = scores_of(mean + scale * SIGMA * deviations, truth)
    assert found["spread_skill"] == pytest.approx(ratio, rel=0.1)
    assert found["mass_spread_skill"] == pytest.approx(ratio, rel=0.25)
    assert found["rank_deviation"] > 2 * calibrated["rank_deviation"] + 0.05
    assert found["tarp"] > calibrated["tarp"] + 0.05
    assert found[PROBABILISTIC] > 1.05 * calibrated[PROBABILISTIC]
    assert found["energy_score"] > 1.01 * calibrated["energy_score"]


def test_a_bias_is_found(drawn: tuple[Array, Array, Array], calibrated: dict[str, float]) -> None:
    mean, truth, deviations = drawn
    found = scores_of(mean + SIGMA * (deviations + 0.7), truth)
    assert found["rank_deviation"] > calibrated["rank_deviation"] + 0.1
    assert found["tarp_mass"] > calibrated["tarp_mass"] + 0.1
    assert found["coverage_68"] < calibrated["coverage_68"] - 0.05


def test_noise_on_single_pixels_passes_pixel_scores_and_is_found_by_mass_and_power(
    drawn: tuple[Array, Array, Array], calibrated: dict[str, float]
) -> None:
    mean, truth, _ = drawn
    white = np.random.default_rng(6).normal(size=(HALOS, 1, SAMPLES, 40, 40))
    found = scores_of(mean + SIGMA * white, truth)
    assert found[PROBABILISTIC] == pytest.approx(calibrated[PROBABILISTIC], rel=0.03)
    assert found["spread_skill"] == pytest.approx(calibrated["spread_skill"], rel=0.05)
    assert found["coverage_68"] == pytest.approx(calibrated["coverage_68"], abs=0.03)
    assert found["energy_score"] < 1.1 * calibrated["energy_score"]
    assert found["mass_spread_skill"] < 0.2
    assert found["sample_power_ratio_1_3"] < 0.8 and found["sample_power_ratio_3_8"] > 2


# -- from a submission to a page ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples(fair: np.ndarray) -> np.ndarray:
    """A fair prediction with five samples that share a factor a map and have noise of their own."""
    rng = np.random.default_rng(7)
    halos, los, *_ = fair.shape
    logs = 0.1 * rng.normal(size=(halos, los, 5, 1, 1)) + 0.05 * rng.normal(
        size=(halos, los, 5, *fair.shape[2:])
    )
    return (fair[:, :, None] * 10**logs).astype(np.float32)


@pytest.fixture
def sampled(submit: Callable[..., Path], samples: np.ndarray) -> Callable[..., Path]:
    """Write a submission of samples, or one changed by keywords."""

    def write(folder: str = "samples", **changes: Any) -> Path:
        return submit(folder, **{"maps": None, "mass_samples": samples, "name": "Sampled", **changes})

    return write


@pytest.fixture(scope="module")
def result(
    store: Path, samples: np.ndarray, test_split: SplitArrays, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = submitted(
        tmp_path_factory.mktemp("s") / "s", name="Sampled", mass_samples=samples, rows=test_split
    )
    return score_submission(folder, store, workers=1)


def test_a_result_of_samples(result: dict[str, Any]) -> None:
    assert set(OF_SAMPLES) <= set(result["scores"]) and set(SAMPLE_CURVES) <= set(result["curves"])
    assert result["samples"] == 5 and result["ranked"] and "coverage_68" not in result["scores"]
    for name, score in result["scores"].items():
        assert score["low"] <= score["value"] <= score["high"], name
    for rows in result["tables"].values():
        assert all({PROBABILISTIC, "spread_skill"} <= set(row["scores"]) for row in rows if row["halos"])
    content = json.loads(canonical_json(result))
    assert not result_problems(content)
    content["regions"]["crps"][0] *= 2
    assert any("crps" in problem for problem in result_problems(content))


def test_threads_and_archives_change_nothing(
    sampled: Callable[..., Path], store: Path, result: dict[str, Any], tmp_path: Path
) -> None:
    with opened(pack(sampled(), tmp_path / "s.tar", store)) as folder:
        packed = score_submission(folder, store, workers=3)
    for name in ("scores", "curves", "tables", "rank_histogram", "cases"):
        assert packed[name] == result[name]


def test_the_map_of_samples_is_the_mean_of_their_logarithms(
    result: dict[str, Any], store: Path, samples: np.ndarray, test_split: SplitArrays
) -> None:
    found = result["scores"][RANKING]["value"]
    truth = Truth(store)
    logs = Features(samples.reshape(12, 10, 80, 80), truth.grid, truth.r500).log_inside
    expected = Features(test_split.maps["mass"], truth.grid, truth.r500).log_inside
    residual = logs.reshape(24, 5, -1).mean(axis=1) - expected
    assert found == pytest.approx(math.sqrt(np.mean(residual**2)), rel=1e-6)


def test_samples_in_memory_score_as_those_of_a_submission(
    result: dict[str, Any], store: Path, samples: np.ndarray
) -> None:
    expected = result["scores"]
    evaluator = Evaluator(store)
    assert evaluator.evaluate(mass_samples=samples) == expected
    assert evaluator.evaluate(mass_samples=samples.reshape(24, 5, 80, 80)) == expected
    with pytest.raises(InputError, match="mass_samples alone"):
        evaluator.evaluate(samples[:, :, 0], mass_samples=samples)
    with pytest.raises(InputError, match="1 samples of a map; give 2 to 64"):
        evaluator.evaluate(mass_samples=samples[:, :, :1])
    with pytest.raises(InputError, match="smoothed_fwhm is for mass_samples"):
        evaluator.evaluate(samples[:, :, 0], smoothed_fwhm=0.05)


def test_what_is_on_the_score_grid_already_is_not_smoothed_again(
    sampled: Callable[..., Path], store: Path, samples: np.ndarray, result: dict[str, Any]
) -> None:
    smooth = Truth(store).grid.smooth(samples).astype(np.float32)
    plain = result["scores"]
    declared = score_submission(sampled("declared", mass_samples=smooth, smoothed_fwhm=0.05), store)["scores"]
    assert Evaluator(store).evaluate(mass_samples=smooth, smoothed_fwhm=0.05) == declared
    twice = score_submission(sampled("twice", mass_samples=smooth), store)["scores"]
    for name in (RANKING, PROBABILISTIC, *OF_SAMPLES):
        assert declared[name]["value"] == pytest.approx(plain[name]["value"], rel=1e-4), name
    power = "sample_power_ratio_8_14"
    assert twice[power]["value"] < 0.8 * plain[power]["value"]


def test_samples_of_the_truth_itself_are_a_copy(
    sampled: Callable[..., Path], store: Path, test_split: SplitArrays, samples: np.ndarray
) -> None:
    truth = test_split.maps["mass"]
    result = score_submission(sampled(mass_samples=np.repeat(truth[:, :, None], 3, axis=2)), store)
    assert COPY in result["flags"] and not result["ranked"]
    assert result["scores"][PROBABILISTIC]["value"] == 0
    # One sample of them is enough.
    hidden = samples.copy()
    hidden[:, :, 2] = truth
    assert COPY in score_submission(sampled("hidden", mass_samples=hidden), store)["flags"]


def test_no_more_samples_are_held_than_are_worked_on(store: Path, samples: np.ndarray) -> None:
    asked = []

    def read(name: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        asked.append(len(rows))
        return samples[rows]

    stream(Truth(store), (SUBMISSION,), read, ("mass_samples",), workers=2)
    assert sum(asked) == 12 and max(asked) == 2


def test_a_sealed_truth_scores_samples_alike(
    sampled: Callable[..., Path], store: Path, result: dict[str, Any], tmp_path: Path
) -> None:
    _, truth = seal(store, tmp_path / "sealed")
    keys = Truth(truth).keys["key"]
    found = score_submission(sampled(rows={"key": keys}, dataset={"digest": Truth(truth).digest}), truth)
    for name in OF_SAMPLES:
        assert found["scores"][name]["value"] == pytest.approx(
            result["scores"][name]["value"], rel=6e-3, abs=6e-4
        )
    assert not {"regions", "cases"} & set(found) and not result_problems(found)
    assert all(share == float(f"{share:.3g}") for share in found["rank_histogram"]["share"])
    # Digits that are all rounded up make more than 1.
    ranks = {**result["rank_histogram"], "share": [0.1005001] * 9 + [1 - 9 * 0.1005001]}
    found["rank_histogram"] = disclosed({**result, "rank_histogram": ranks}, STANDARD)["rank_histogram"]
    assert sum(found["rank_histogram"]["share"]) > 1.004 and not result_problems(found)
    found["rank_histogram"]["share"] = [0.102] * 10
    assert "must sum to 1" in result_problems(found)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": np.ones((12, 2, 80, 80))}, "alone"),
        ({"mass_sigma": np.ones((12, 2, 80, 80))}, "alone"),
        ({"mass_samples": np.ones((12, 2, 1, 80, 80))}, "1 samples of a map; give 2 to 64"),
        ({"mass_samples": np.ones((12, 2, 65, 80, 80))}, "65 samples of a map"),
        ({"mass_samples": np.ones((12, 2, 80, 80))}, "dimensions halo, los, sample, y, x"),
        ({"mass_samples": -np.ones((12, 2, 3, 80, 80))}, "mass_samples is negative"),
        ({"mass_samples": np.full((12, 2, 3, 80, 80), 8.0)}, "log10"),
        ({"smoothed_fwhm": 0.1}, "0.05"),
        ({"mass_samples": None}, "nothing"),
    ],
)
def test_samples_that_may_not_be_written(sampled: Callable[..., Path], change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sampled(**change)


def test_what_is_wrong_with_samples_is_told(
    sampled: Callable[..., Path], store: Path, samples: np.ndarray
) -> None:
    def instead(maps: np.ndarray, name: str = "mass_samples") -> Callable[[Any], Any]:
        chunks = (1, *maps.shape[1:])
        return lambda group: group.create_array(name, data=maps, chunks=chunks, overwrite=True)

    for place, (change, message) in enumerate(
        (
            (instead(samples[:, :, 0], "mass"), "mass_samples stand alone"),
            (lambda group: group["mass_samples"].attrs.update(smoothed_fwhm=0.2), "smoothed_fwhm is 0.2"),
            (instead(samples[:, :, :1]), "1 samples of a map; give 2 to 64"),
            (instead(samples[..., :40]), "expected (halo, los, sample, y, x) = (12, 2, 5, 80, 80)"),
        )
    ):
        folder = restated(sampled(str(place)))
        change(zarr.open_group(folder / "predictions.zarr", mode="a"))
        assert message in "; ".join(find_problems(folder, Truth(store))[0])


def test_samples_without_views_are_the_same_for_all(
    sampled: Callable[..., Path], store: Path, samples: np.ndarray
) -> None:
    same = np.broadcast_to(samples[:1, :1], samples.shape)
    assert not find_problems(sampled("same", mass_samples=same, track="none"), Truth(store))[0]
    assert find_problems(sampled("other", track="none"), Truth(store))[0]


def test_an_npz_of_samples(tmp_path: Path, test_split: SplitArrays, samples: np.ndarray) -> None:
    about = {"name": "n", "authors": ["a"], "task": "mass-map", "track": "sz"}
    keys = {name: test_split.halos[name] for name in ("region", "snapshot", "halo_id")}
    np.savez(tmp_path / "s.npz", mass_samples=samples, submission=json.dumps(about), **keys)
    with opened(tmp_path / "s.npz") as folder:
        assert np.array_equal(Predictions(folder).read("mass_samples", np.arange(2)), samples[:2])


def test_boards_and_pages_of_probabilistic_predictions(
    result: dict[str, Any], submit: Callable[..., Path], store: Path, fair: np.ndarray, tmp_path: Path
) -> None:
    results = [result] + [
        score_submission(folder, store)
        for folder in (
            submit("sigma", name="Sigma", mass_sigma=np.full_like(fair, 0.02)),
            submit("plain", name="Plain"),
        )
    ]
    maps, probabilistic = make_boards(results)
    assert (maps.key.score, probabilistic.key.score) == (RANKING, PROBABILISTIC)
    assert len(maps.entries) == 3
    ranked = [(entry.result["name"], entry.rank) for entry in probabilistic.entries]
    expected = sorted(results[:2], key=lambda r: r["scores"][PROBABILISTIC]["value"])
    assert ranked == [(result["name"], rank) for rank, result in enumerate(expected, 1)]
    assert probabilistic.entries[1].tie is not None
    index = render(results, tmp_path / "site")
    text = index.read_text()
    assert text.count('type="checkbox"') == 3
    assert ", probabilistic" in text and "spread / skill of the mass" in text
    pages = {
        page.name.rsplit("-", 1)[0]: page.read_text() for page in index.parent.glob("submissions/*.html")
    }
    assert len(pages) == 3
    for words in (
        "Rank histogram",
        "Expected coverage (TARP)",
        "Spread over skill",
        "Power of single samples",
    ):
        assert words in pages["sampled"] and words not in pages["sigma"]
    assert pages["sampled"].count("<figcaption>sample ") == 9 and "mean of the samples" in pages["sampled"]
    assert "by CRPS" in pages["sampled"] and "by CRPS" not in pages["plain"]
