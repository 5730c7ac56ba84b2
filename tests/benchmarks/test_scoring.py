"""Scoring end to end on small stores: references, noise floor, tables, determinism, memory."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks import references
from benchmarks.constants import STANDARD
from benchmarks.features import Features
from benchmarks.measure import measure
from benchmarks.references import background_path
from benchmarks.registry import BELOW_NOISE, CURVES, OF_SAMPLES, RANKING, SAMPLE_CURVES, SCORES
from benchmarks.results import Result, read_result, result_problems
from benchmarks.scoring import COPY, NOISE_KNOWN, score_submission, stream
from benchmarks.summary import Summary
from benchmarks.tables import conditional_tables, groups
from benchmarks.truth import Truth
from tests.helpers import submitted
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import canonical_json, write_json
from three_hundred_maps.store.arrays import SplitArrays, read_split
from three_hundred_maps.testing import tiny_store


def test_a_result_has_every_score_with_an_interval(scored: dict) -> None:
    assert set(scored["scores"]) == set(SCORES) - {"degradation", *OF_SAMPLES}
    for name, score in scored["scores"].items():
        assert score["low"] <= score["value"] <= score["high"], name
    assert set(scored["curves"]) == set(CURVES) - set(SAMPLE_CURVES)
    assert scored["dataset"]["regions"] == 12 and scored["dataset"]["halos"] == 12
    assert not list(result_problems(json.loads(canonical_json(scored))))


def test_averages_go_over_pixels_maps_halos_then_regions_with_equal_weight(tmp_path: Path) -> None:
    # Regions of 3 halos and of 1: the lone halo weighs as much as the three.
    store = tiny_store(tmp_path / "uneven", halos=(3, 1, 4), n_los=2, halos_per_region=3, seed=2)
    split = read_split(store, "test", ["mass"])
    truth = Truth(store)
    rng = np.random.default_rng(0)
    maps = split.maps["mass"] * 10 ** rng.normal(0, 0.1, (4, 2, 1, 1)).astype(np.float32)
    result = score_submission(submitted(tmp_path / "s", maps, rows=split), store)
    logs = [Features(m, truth.grid, truth.r500).log_inside for m in (maps, split.maps["mass"])]
    halo = np.mean((logs[0] - logs[1]) ** 2, axis=1).reshape(4, 2).mean(axis=1)
    regions = split.halos["region"]
    by_region = [halo[regions == r].mean() for r in np.unique(regions)]
    assert len(by_region) == 2 and {int((regions == r).sum()) for r in np.unique(regions)} == {1, 3}
    assert result["scores"][RANKING]["value"] == pytest.approx(np.sqrt(np.mean(by_region)), rel=1e-9)
    assert result["scores"][RANKING]["note"] == "too few regions"


def test_the_climatology_has_no_skill_and_the_oracle_row_beats_it(scored: dict) -> None:
    climatology, oracle = (scored["references"][name] for name in ("climatology", "oracle R200c"))
    assert climatology["scores"]["skill"]["value"] == pytest.approx(0.0, abs=1e-12)
    assert 0 < oracle["scores"]["skill"]["value"] < 1


def test_what_the_truths_noise_leaves_of_the_rms(scored: dict) -> None:
    for scores in (scored["scores"], *(row["scores"] for row in scored["references"].values())):
        rms, above = scores[RANKING]["value"], scores["rms_above_noise"]["value"]
        assert rms**2 == pytest.approx(above**2 + scored["noise_floor"][RANKING] ** 2, rel=1e-8)


def test_the_mass_relation_is_fitted_on_train_truth_and_scatters_as_its_maps_do(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s", halos=(12, 1, 6), n_los=2, seed=5)
    truth, train = Truth(store), read_split(store, "train", ["mass"])
    slope, intercept = references.mass_relation(truth)
    circle = truth.grid.circle(1.0)
    inside = np.sum(train.maps["mass"] * circle, axis=(2, 3), dtype=float)
    cylinder = np.log10(inside * train.halos["R200c"][:, None] ** 2)
    errors = slope * cylinder + intercept - np.log10(train.halos["M200c"])[:, None]
    assert errors.mean() == pytest.approx(0.0, abs=1e-9)
    assert np.sum(errors * cylinder) == pytest.approx(0.0, abs=1e-6)
    split = read_split(store, "test", ["mass"])
    folder = submitted(tmp_path / "f", split.maps["mass"], rows=split)
    found = score_submission(folder, store)["scores"]["log_m200_scatter"]["value"]
    smooth = Features(split.maps["mass"], truth.grid, truth.r500).mass_200.reshape(6, 2)
    line = slope * np.log10(smooth * split.halos["R200c"][:, None] ** 2) + intercept
    low, high = np.quantile(line - np.log10(split.halos["M200c"])[:, None], [0.16, 0.84])
    assert found == pytest.approx(0.5 * (high - low), rel=1e-9)


def test_the_oracle_row_is_the_mean_profile_scaled_by_the_true_r200c(store: Path) -> None:
    truth = Truth(store)
    rows = np.arange(2)
    image = references.oracle_log(truth, rows)
    rho_crit = truth.halos["M200c"][:2] / (800 * np.pi / 3 * truth.halos["R200c"][:2] ** 3)
    expected = truth.climatology.scaled_climatology[0] + np.log10(truth.halos["R200c"][:2] * rho_crit)
    centre = truth.grid.maps.pixels // 2
    inner = np.interp(
        truth.grid.maps.radius[centre, centre], [0.0125, 0.0375], truth.climatology.scaled_climatology[:2]
    )
    assert image[:, 0, centre, centre] == pytest.approx(
        expected + inner - truth.climatology.scaled_climatology[0]
    )


def test_the_noise_floor_is_that_of_the_full_sample(tmp_path: Path) -> None:
    """Poisson halves: half the rms between them is the noise of the whole."""
    store = tiny_store(tmp_path / "noisy", halos=(3, 1, 10), n_los=2, seed=3)
    truth = Truth(store)
    measured = stream(truth, (references.NOISE, *references.REFERENCES))
    found = references.background_of(truth, measured)
    assert found.noise_floor is not None and found.noise_power is not None
    split = read_split(store, "test", ["mass", "mass_half"])
    half = split.maps["mass_half"].astype(float)
    other = np.maximum(2 * split.maps["mass"] - half, 0)
    logs = [Features(m, truth.grid, truth.r500).log_inside for m in (half, other)]
    expected = 0.5 * np.sqrt(np.mean((logs[0] - logs[1]) ** 2))
    assert found.noise_floor[RANKING] == pytest.approx(expected, rel=1e-6)
    assert found.noise_power.shape == (10, 40)


def test_noise_scales_as_its_scores_do() -> None:
    assert references.scale_noise("residual_rms_dex", 0.2) == pytest.approx(0.1)
    assert references.scale_noise("skill", 0.6) == pytest.approx(0.9)
    assert references.scale_noise("ssim", 0.6) == 0.6
    assert references.scale_noise("crps", None) is None


def test_noise_free_power_is_the_halves_cross_spectrum(scored: dict) -> None:
    curves = scored["curves"]
    noisy, clean = curves["cross_correlation"]["value"], curves["cross_correlation_noise_free"]["value"]
    # At small scales the truth's own noise holds the plain correlation down.
    k = next(i for i, v in enumerate(noisy) if v < 0.9)
    assert clean[k] > noisy[k]


def test_scoring_is_the_same_every_time_whatever_the_threads_and_the_cache(
    submit: Callable[..., Path], store: Path, own_cache: Path
) -> None:
    folder = submit()
    first = score_submission(folder, store, workers=1)
    for path in (own_cache / "benchmark").glob("*.json"):
        path.unlink()
    second = score_submission(folder, store, workers=3)
    assert canonical_json(first) == canonical_json(second)


def test_a_damaged_cache_is_measured_again_and_one_that_is_nowhere_not_kept(
    submit: Callable[..., Path], store: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = submit()
    first = score_submission(folder, store)
    (path,) = [p for p in (own_cache / "benchmark").glob("*.json") if Truth(store).digest[:32] in p.name]
    path.write_text("{}")
    assert canonical_json(score_submission(folder, store)) == canonical_json(first)
    with monkeypatch.context() as patched:  # what was kept has no references of a score that is new
        patched.setitem(SCORES, "another", SCORES[RANKING])
        truth = Truth(store)
        assert not background_path(truth.identity, truth.training, truth.constants).exists()
    monkeypatch.setenv("THREE_HUNDRED_MAPS_HOME", "~nobody-of-this-name")
    assert canonical_json(score_submission(folder, store)) == canonical_json(first)


def test_a_copy_of_the_truth_scores_perfect_and_is_not_ranked(
    submit: Callable[..., Path], store: Path, test_split: SplitArrays
) -> None:
    result = score_submission(submit(maps=test_split.maps["mass"]), store)
    assert result["scores"][RANKING]["value"] == 0.0 and result["scores"]["skill"]["value"] == 1.0
    assert result["ranked"] is False
    assert result["flags"] == [COPY, NOISE_KNOWN, BELOW_NOISE]


@pytest.mark.parametrize("attack", ["factor", "sigma 1", "sigma 1.2", "noise .1", "noise .3", "half"])
def test_what_is_made_from_the_truth_takes_no_rank(
    submit: Callable[..., Path], store: Path, attack: str
) -> None:
    maps = read_split(store, "test", ["mass", "mass_half"]).maps
    how, _, size = attack.partition(" ")
    if how == "factor":
        made = maps["mass"] * 1.0001
    elif how == "sigma":
        made = gaussian_filter(maps["mass"], (0, 0, float(size), float(size)))
    elif how == "noise":
        made = maps["mass"] * np.exp(np.random.default_rng(0).normal(0, float(size), maps["mass"].shape))
    else:
        made = maps["mass_half"]
    # Without intervals, which decide nothing here.
    result = score_submission(
        submit(maps=made), store, constants=dataclasses.replace(STANDARD, least_regions=1000)
    )
    assert result["ranked"] is False
    assert NOISE_KNOWN in result["flags"]


def test_the_limit_on_knowing_the_noise_is_a_constant(submit: Callable[..., Path], store: Path) -> None:
    folder = submit(maps=read_split(store, "test", ["mass_half"]).maps["mass_half"])
    lax = dataclasses.replace(STANDARD, least_regions=1000, noise_correlation=100.0)
    assert NOISE_KNOWN not in score_submission(folder, store, constants=lax)["flags"]


def test_a_bias_is_flagged(submit: Callable[..., Path], store: Path, fair: np.ndarray) -> None:
    assert "biased" in score_submission(submit("a", maps=fair * 1.5), store)["flags"]


def test_the_truths_own_numbers_lie_in_the_tables(scored: dict, store: Path) -> None:
    truth = Truth(store)
    tables = scored["tables"]
    assert set(tables) == {"log10 M200c [Msun]", "redshift", "dynamical state", "surroundings", "R / R200c"}
    for name, rows in tables.items():
        if name != "R / R200c":
            assert sum(row["halos"] for row in rows) == truth.n_halos
    inner, outer = tables["R / R200c"][0], tables["R / R200c"][-1]
    assert inner["scores"][RANKING]["value"] != outer["scores"][RANKING]["value"]
    # Rings weighted by their pixels give back the whole.
    share = np.bincount(truth.grid.inside_bin) / len(truth.grid.inside)
    squares = [row["scores"][RANKING]["value"] ** 2 for row in tables["R / R200c"]]
    assert np.dot(share, squares) == pytest.approx(scored["scores"][RANKING]["value"] ** 2, rel=1e-6)
    central = np.average(squares[:2], weights=share[:2])
    assert central == pytest.approx(scored["scores"]["central_rms_dex"]["value"] ** 2, rel=1e-6)


def test_table_edges_come_from_the_constants(store: Path, test_split: SplitArrays) -> None:
    halos = Truth(store).halos
    standard = groups(halos, STANDARD)
    for change in (
        {"table_log_mass": (13.9, 14.1)},
        {"table_redshift": (0.5,)},
        {"isolated_distance": 1e9},
    ):
        changed = groups(halos, dataclasses.replace(STANDARD, **change))
        assert [(name, label, rows.tolist()) for name, found in changed.items() for label, rows in found] != [
            (name, label, rows.tolist()) for name, found in standard.items() for label, rows in found
        ]


def test_one_group_scores_as_its_halos_alone(store: Path, test_split: SplitArrays, fair: np.ndarray) -> None:
    truth = Truth(store)
    climatology = truth.grid.climatology(truth.climatology.climatology).ravel()[truth.grid.inside]
    target = Features(test_split.maps["mass"], truth.grid, truth.r500)
    measured = measure(Features(fair, truth.grid, truth.r500), target, climatology, truth.data_range)
    table = conditional_tables(measured, truth.halos, truth.grid)["dynamical state"]
    relaxed = np.flatnonzero(truth.halos["relaxed"] == 1)
    if len(relaxed):
        alone = measure(
            Features(fair[relaxed], truth.grid, truth.r500[relaxed]),
            Features(test_split.maps["mass"][relaxed], truth.grid, truth.r500[relaxed]),
            climatology,
            truth.data_range,
        )
        expected = Summary(alone, truth.halos["region"][relaxed], truth.grid).brief()
        for name, estimate in expected.items():
            assert table[0]["scores"][name]["value"] == pytest.approx(estimate.value, rel=1e-3, abs=1e-4)
    assert sum(row["halos"] for row in table) == len(fair)


def test_other_constants_say_so(submit: Callable[..., Path], store: Path, scored: dict) -> None:
    changed = dataclasses.replace(
        STANDARD, peak_bins=(2e-3, 4e-3), copied_share=1.0, biased_dex=0.0, ssim_low=0.2
    )
    result = score_submission(submit(), store, constants=changed)
    assert result["benchmark_version"] == f"constants {changed.digest()}"
    assert len(result["curves"]["peak_completeness_by_mass"]["mass"]) == 2
    assert "biased" in result["flags"]
    assert result["scores"]["ssim"]["value"] != scored["scores"]["ssim"]["value"]
    higher = score_submission(submit("c"), store, constants=dataclasses.replace(STANDARD, ssim_high=0.9))
    assert higher["scores"]["ssim"]["value"] != scored["scores"]["ssim"]["value"]
    with pytest.raises(InputError, match="rings"):
        score_submission(submit("d"), store, constants=dataclasses.replace(STANDARD, climatology_rings=20))


def test_degradation_is_paired(
    submit: Callable[..., Path], store: Path, fair: np.ndarray, tmp_path: Path
) -> None:
    home = tmp_path / "home.json"
    write_json(home, score_submission(submit("home"), store))
    away = score_submission(
        submit("away", maps=fair * 1.3, task="cross-code", trained_on="other"), store, in_domain=home
    )
    home_rms = read_result(home)["scores"][RANKING]["value"]
    degradation = away["scores"]["degradation"]
    assert degradation["value"] == pytest.approx(away["scores"][RANKING]["value"] - home_rms, rel=1e-6)
    assert degradation["low"] <= degradation["value"] <= degradation["high"]


def test_cross_code_says_what_it_was_trained_on_and_what_it_degrades_from(
    submit: Callable[..., Path], store: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="cross-code needs trained_on"):
        score_submission(submit("a", task="cross-code"), store)
    with pytest.raises(InputError, match="is the task mass-map"):
        score_submission(submit("b", task="cross-code", trained_on="tiny"), store)
    other = tmp_path / "other.json"
    write_json(other, score_submission(submit("c", track="sz,star"), store))
    folder = submit("d", task="cross-code", trained_on="other+tiny")
    with pytest.raises(InputError, match="on the same track, sz"):
        score_submission(folder, store, in_domain=other)
    assert score_submission(folder, store)["ranked"] is True


def test_what_cannot_be_scored_against(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store"):
        Truth(tmp_path / "nothing")
    no_truth = tiny_store(tmp_path / "a", halos=(2, 1, 2), n_los=1, views=("sz",))
    with pytest.raises(InputError, match="no truth"):
        Truth(no_truth)
    no_test = tiny_store(tmp_path / "b", halos=(2, 1, 0), n_los=1)
    with pytest.raises(InputError, match="nothing to score"):
        Truth(no_test)
    no_train = tiny_store(tmp_path / "c", halos=(0, 1, 2), n_los=1)
    with pytest.raises(InputError, match="train"):
        Truth(no_train)


def test_scores_that_no_board_shows_are_told_at_once(
    submit: Callable[..., Path], store: Path, fair: np.ndarray
) -> None:
    with pytest.raises(InputError, match="scores is not a result: 'scores.*less than or equal to 1000000000"):
        score_submission(submit(maps=np.full_like(fair, 3e38)), store)


def test_results_follow_their_schema(scored: dict) -> None:
    import jsonschema

    content = json.loads(canonical_json(scored))
    jsonschema.validate(content, Result.model_json_schema())
    for broken in ({**content, "scores": {}}, {**content, "name": 3}, {**content, "schema": "other"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, Result.model_json_schema())
    for name in ("../x", "a/b", ""):
        # It is a part of a file's name where the record of a data set is looked for.
        target = {**content, "dataset": {**content["dataset"], "target": name}}
        assert any(problem.startswith("'dataset.target'") for problem in result_problems(target)), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "x"}, "does not say"),
        ({"scores": {}}, f"{RANKING} is missing"),
        ({"scores": {RANKING: {"value": "1", "low": None, "high": None}}}, "should be a valid number"),
        ({"scores": {RANKING: {"value": 1.0}}}, "low' is missing"),
        ({"scores": {RANKING: {"value": -0.1, "low": None, "high": None}}}, "between 0 and inf, not -0.1"),
        ({"scores": {RANKING: {"value": 0.1, "low": None, "high": None}}}, "its regions give"),
        ({"scores": {RANKING: {"value": 1, "low": 2, "high": 3}}}, "low <= value <= high"),
        (
            {"curves": {"power_ratio": {"k": [1, 2], "value": [1], "low": [1], "high": [1]}}},
            "as many numbers as the axis",
        ),
        ({"curves": {"power_ratio": {"k": [2, 1], "value": [1, 1]}}}, "rising"),
        (
            {"curves": {"power_ratio": {"k": None, "mass": [1], "value": [1], "low": [1], "high": [1]}}},
            "one axis",
        ),
        ({"flags": [1] * 9}, "is not a result: 'flags.0' input should be a valid string$"),
        ({"regions": {"id": [1] * 9, "mse": ["x"] * 2000}}, "2,000 fields are missing, unknown or"),
        ({"cases": None}, "'cases' input should be a valid dictionary"),
        ({"histogram": {"edges": [0, 1], "share": []}}, "histogram"),
        ({"dataset": {}}, "'dataset.name' is missing"),
        ({"regions": {}}, "'regions.id' is missing"),
        ({"regions": {"id": [1, 1], "mse": [1, 1]}}, "a region twice"),
        ({"regions": {"id": [1, 2], "mse": [1, -1]}}, "greater than or equal to 0"),
        ({"name": ""}, "name"),
        ({"ranked": 1}, "'ranked' input should be a valid boolean"),
        (
            {"residual_maps": {"mean": {"shape": [2, 2], "low": 0, "high": 1, "data": "x"}}},
            "residual_maps.mean",
        ),
    ],
)
def test_what_is_no_result(scored: dict, tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(canonical_json({**scored, **change}))
    with pytest.raises(InputError, match=message):
        read_result(path)
