"""The task transfer: all splits of another store, against the climatology of what was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import Evaluator
from benchmarks.cli import app
from benchmarks.features import Features
from benchmarks.fingerprints import dataset_key
from benchmarks.references import mass_relation
from benchmarks.registry import RANKING
from benchmarks.results import result_problems
from benchmarks.scoring import NOISE_KNOWN, score_submission
from benchmarks.sealing import seal
from benchmarks.truth import Truth
from tests.helpers import submitted
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import canonical_json
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import SPLITS
from three_hundred_maps.testing import tiny_store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was trained on."""
    return tiny_store(tmp_path_factory.mktemp("home") / "s", halos=(3, 1, 1), n_los=1, seed=9)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is scored: 5 halos in its three splits."""
    return tiny_store(tmp_path_factory.mktemp("target") / "s", halos=(2, 1, 2), n_los=2, seed=8)


def all_maps(store: Path) -> np.ndarray:
    return np.concatenate([read_split(store, split, ["mass"]).maps["mass"] for split in SPLITS])


def submit(folder: Path, target: Path, factor: np.ndarray | float, **fields: str) -> Path:
    return submitted(folder, all_maps(target) * factor, task="transfer", rows=(target, "all"), **fields)


def test_every_halo_is_scored_against_the_training_stores_climatology(
    home: Path, target: Path, tmp_path: Path
) -> None:
    factor = np.float32([1.1, 1.2, 0.9, 1.3, 0.8]).reshape(-1, 1, 1, 1)
    result = score_submission(submit(tmp_path / "s", target, factor), target, trained_on=[home])
    rows = result["halos"]
    assert [row["split"] for row in rows] == ["train", "train", "validation", "test", "test"]
    assert [row["mass_bias"] for row in rows] == pytest.approx((factor.ravel() - 1).tolist(), rel=1e-4)
    # But for the few pixels at the floor S0, which a factor does not move alike.
    expected = np.abs(np.log10(factor.ravel().astype(float)))
    assert [row["residual_rms_dex"] for row in rows] == pytest.approx(expected.tolist(), rel=2e-3)

    # The zero is the home store's: its mean profile against the target's maps, worked out here.
    truth, train = Truth(target, split="all", trained_on=[home]), Truth(home, split="train")
    grid = truth.grid
    climatology = grid.climatology(train.climatology.climatology).ravel()[grid.inside]
    logs = Features(all_maps(target), grid, truth.r500).log_inside
    zero = np.mean((climatology - logs) ** 2, axis=1).reshape(5, 2).mean(axis=1)
    assert [row["rms_over_climatology"] for row in rows] == pytest.approx(
        (expected / np.sqrt(zero)).tolist(), rel=2e-3
    )
    skill = result["scores"]["skill"]["value"]
    assert skill == pytest.approx(1 - np.mean(expected**2) / np.mean(zero), rel=2e-3)
    reference = result["references"]["climatology"]["scores"][RANKING]["value"]
    assert reference == pytest.approx(np.sqrt(zero.mean()), rel=1e-4)

    assert result["dataset"]["split"] == "all" and result["dataset"]["halos"] == 5
    assert result["ranked"] is False, "5 regions rank nothing"
    assert not result_problems(json.loads(canonical_json(result)))
    scores = Evaluator(target, "transfer", trained_on=home).evaluate(all_maps(target) * factor, "all")
    assert scores == result["scores"]


def test_what_lies_outside_the_training_range_is_told(home: Path, target: Path, tmp_path: Path) -> None:
    result = score_submission(submit(tmp_path / "s", target, 1.1), target, trained_on=[home])
    (training,) = result["training"]
    masses = read_split(home, "train", []).halos["M200c"]
    assert training["M200c"] == pytest.approx([masses.min(), masses.max()], rel=1e-5)
    for row in result["halos"]:
        inside = masses.min() <= row["M200c"] <= masses.max()
        assert ("M200c" not in row["outside"]) == inside


def test_it_ranks_from_ten_regions_on(home: Path, store: Path, tmp_path: Path) -> None:
    truth = all_maps(store)
    mean = np.broadcast_to(truth.mean(axis=(0, 1)), truth.shape)
    folder = submitted(tmp_path / "mean", mean, task="transfer", rows=(store, "all"))
    result = score_submission(folder, store, trained_on=[home])
    assert result["dataset"]["regions"] == 19 and result["ranked"] is True
    # What is made from the truth is not ranked: its halos with half-samples tell.
    copied = score_submission(submit(tmp_path / "s", store, 1.3), store, trained_on=[home])
    assert copied["ranked"] is False and NOISE_KNOWN in copied["flags"]
    # Half-samples are kept for the test split alone: the floor is that of its halos.
    assert result["noise_floor"][RANKING] > 0
    assert "power_ratio_noise_free" not in result["curves"]


def test_several_training_stores_are_one_climatology(home: Path, store: Path, target: Path) -> None:
    both = Truth(target, split="all", trained_on=[home, store])
    alone = [Truth(path, split="train").climatology for path in (home, store)]
    assert np.array_equal(both.climatology.sum_l, alone[0].sum_l + alone[1].sum_l)
    assert [data["name"] for data in both.training] == ["tiny", "tiny"]
    first, second = (dataset_key(both.identity, both.training[::step]) for step in (1, -1))
    assert first == second != dataset_key(both.identity, both.training[:1])


def test_a_training_store_may_have_another_grid(target: Path, tmp_path: Path) -> None:
    """Of 80 pixels too, over another width: the line of its masses was one of other circles, 0.3 dex off."""
    masses = []
    for pixels, width in ((80, 2.0), (120, 3.0), (80, 3.0)):
        path = tiny_store(
            tmp_path / f"{pixels}-{width}", halos=(9, 0, 0), n_los=2, pixels=pixels, width=width
        )
        relation = mass_relation(Truth(target, split="all", trained_on=[path]))
        assert relation is not None
        masses.append(np.polyval(relation, 14.8))
    assert masses == pytest.approx([masses[0]] * 3, abs=0.01)


def test_what_it_needs(home: Path, target: Path, tmp_path: Path) -> None:
    folder = submit(tmp_path / "s", target, 1.1, trained_on="mini")
    for options, message in (
        ({}, "needs --trained-on STORE"),
        ({"split": "test", "trained_on": [home]}, "the task transfer scores all, not test"),
        ({"trained_on": [home]}, "says trained_on 'mini', but --trained-on gives 'tiny'"),
    ):
        with pytest.raises(InputError, match=message):
            score_submission(folder, target, **options)
    unnamed = submit(tmp_path / "u", target, 1.1)
    with pytest.raises(InputError, match="trained on what is scored is not a transfer"):
        score_submission(unnamed, target, trained_on=[target])
    for sealed in seal(home, tmp_path / "sealed"):
        with pytest.raises(InputError, match="is sealed: it has no maps of train"):
            score_submission(unnamed, target, trained_on=[sealed])
    plain = submitted(
        tmp_path / "p", read_split(target, "test", ["mass"]).maps["mass"], rows=(target, "test")
    )
    with pytest.raises(InputError, match="scores test, not all"):
        score_submission(plain, target, split="all")
    with pytest.raises(InputError, match="is for the task transfer"):
        # Told before the store is looked for: a config is built at its first use.
        score_submission(plain, target, trained_on=[tmp_path / "nowhere"])


def test_the_command_prints_the_table(home: Path, target: Path, tmp_path: Path) -> None:
    folder = submit(tmp_path / "s", target, 1.1)
    command = ["score", str(folder), "--data", str(target), "--split", "all", "--trained-on", str(home)]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    table = found.output[found.output.index("halo by halo, against the climatology of tiny") :]
    assert table.count("+0.100") == 5
    assert CliRunner().invoke(app, ["validate", str(folder), "--data", str(target)]).exit_code == 0
