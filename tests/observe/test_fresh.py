"""Models on observed stores: signed views, and noise drawn anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr

from baselines import predict, profile_regression
from baselines.data import ResidentBatches, load_rows
from baselines.fresh import load_expected
from baselines.machine import find_machine
from baselines.mass_regression import RING_EDGES_R200C, MassRegression
from baselines.posterior_training import Options, train_posterior
from baselines.settings import PLAIN, make_settings
from baselines.unet import train
from benchmarks.manifest import canonical_track
from benchmarks.predictions import Predictions
from benchmarks.scoring import score_submission
from benchmarks.truth import Truth
from benchmarks.validation import find_problems
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.derive import subset
from three_hundred_maps.torch_data import ScoreGrid, Transforms

VIEWS = ("sz", "xray", "star", "shear1", "shear2")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def transforms(deep) -> Transforms:
    return Transforms.from_store(deep, VIEWS)


def test_signed_views_are_standardised_and_come_back(deep, transforms):
    maps = read_split(deep, "train", VIEWS).maps
    raw = torch.from_numpy(np.stack([maps[view] for view in VIEWS], axis=2)).flatten(0, 1)
    values = transforms.standardise(raw)
    assert bool(torch.isfinite(values).all())
    for channel, item in enumerate(transforms.inputs):
        assert float(values[:, channel].mean()) == pytest.approx(0.0, abs=0.06)
        assert float(values[:, channel].std()) == pytest.approx(1.0, abs=0.06)
        assert item.signed == (item.view not in ("xray", "star"))
        np.testing.assert_allclose(item.forward(raw[:, channel]), item.of(raw[:, channel].numpy()), atol=1e-4)
    np.testing.assert_allclose(transforms.restore(values)[:, 0], raw[:, 0], rtol=1e-3, atol=1e-9)
    assert Transforms.from_dict(transforms.to_dict()) == transforms
    assert transforms.scaling == "none"


def test_fresh_noise_is_another_each_step_about_the_same_maps(wide, deep, transforms):
    grid = ScoreGrid(transforms)
    rows, noise = load_expected(deep, str(wide), transforms, grid, device=CPU, seed=5)
    stored = load_rows(deep, "train", transforms, grid, device=CPU, raw=True)
    np.testing.assert_allclose(rows.target, stored.target, atol=1e-5)
    np.testing.assert_array_equal(rows.region, stored.region)
    batches = ResidentBatches(rows, batch=4, seed=5, symmetries=False, device=CPU, noise=noise, views=VIEWS)
    first, again, later = (next(batches.from_step(step))[0] for step in (0, 0, 3))
    torch.testing.assert_close(first, again)
    assert not torch.equal(first, later)
    # Over many draws the mean is the expected map; that of counts with the background.
    draws = torch.stack([noise(rows.inputs, rows.scale, step) for step in range(64)])
    off = (draws.mean(0) - rows.inputs)[:, 0] / rows.scale[:, 0, None, None]
    assert float(off.std()) == pytest.approx(1 / 8, rel=0.03)
    background = (draws.mean(0) - rows.inputs)[:, 1]
    assert float(background.mean()) == pytest.approx(3e-3, rel=0.02)
    # What is stored is one more draw.
    unit = (stored.inputs - rows.inputs)[:, 0] / rows.scale[:, 0, None, None]
    assert float(unit.std()) == pytest.approx(1.0, rel=0.03)


def test_a_network_trains_on_fresh_noise(wide, deep, transforms, tmp_path):
    settings = make_settings(
        {
            **PLAIN, "data": str(deep), "views": ",".join(VIEWS), "noise": "fresh", "ideal": str(wide),
            "channels": 4, "poolings": 2, "steps": 6, "batch": 4, "validate_every": 3, "precision": "fp32",
            "threads": 1, "test_symmetries": 1, "device": "cpu",
        }
    )  # fmt: skip
    run = train(settings, tmp_path / "run")
    assert np.isfinite(run.progress.best_rms_dex)
    # It is trained on what it is scored on, which this task is about.
    problems, manifest, _ = find_problems(tmp_path / "run" / "submission", Truth(deep))
    assert not problems and manifest is not None
    assert (manifest.task, manifest.trained_on) == ("observed", "tiny-observed-deep")
    part = subset(deep, tmp_path / "part", los=1)
    with pytest.raises(InputError, match="nor is a subset"):
        load_expected(part, str(wide), transforms, ScoreGrid(transforms), device=CPU, seed=5)
    with pytest.raises(InputError, match="not an observed store"):
        train(replace(settings, data=str(wide), views="sz,star"), tmp_path / "other", submission=False)


def test_posterior_samples_of_observed_maps(deep, tmp_path):
    settings = make_settings(
        {
            **PLAIN, "data": str(deep), "views": ",".join(VIEWS), "channels": 4, "poolings": 1, "shuffle": 2,
            "steps": 2, "batch": 4, "validate_every": 2, "precision": "fp32", "threads": 1,
            "test_symmetries": 1, "device": "cpu",
        }
    )  # fmt: skip
    options = Options(folds=2, flow_steps=2, heun_steps=1, samples=0)
    run = train_posterior(settings, "flow", options, tmp_path / "run", find_machine("cpu"))
    words = [str(run), "--data", str(deep), "--out", str(tmp_path / "s"), "--samples", "3"]
    with pytest.raises(SystemExit) as end:
        predict.main([*words, "--symmetries", "1", "--device", "cpu", "--quiet"])
    assert end.value.code == 0
    samples = Predictions(tmp_path / "s").read("mass_samples", np.arange(3))
    assert samples.shape == (3, 2, 3, 80, 80) and (samples > 0).all()
    result = score_submission(tmp_path / "s", deep)
    assert (result["task"], result["samples"]) == ("observed", 3)
    assert result["track"] == canonical_track(VIEWS)
    assert 0 < result["scores"]["crps"]["value"] < 2


def test_masses_are_told_from_views_whose_noise_is_below_zero(deep, transforms, tmp_path):
    """The regression's features of a signed view are finite below 0, and odd in it; of others as before."""
    regression = MassRegression(transforms)
    raw = read_split(deep, "test", VIEWS).maps
    maps = torch.from_numpy(np.stack([raw[view][:, 0] for view in VIEWS], axis=1))
    log_mass = torch.zeros(len(maps), *maps.shape[-2:])
    sz, xray, rings = VIEWS.index("sz"), VIEWS.index("xray"), len(RING_EDGES_R200C)
    turned = maps.clone()
    turned[:, sz] *= -1
    both = (regression.features(each, log_mass)[:, :-1] for each in (maps, turned))
    one, other = (features.unflatten(1, (-1, rings)) for features in both)
    assert torch.isfinite(one).all() and torch.isfinite(other).all()
    assert (one[:, VIEWS.index("shear1")] < 0).any()
    torch.testing.assert_close(other[:, sz], -one[:, sz])
    torch.testing.assert_close(other[:, xray], one[:, xray])
    submission = profile_regression.write(deep, tmp_path, ("sz", "xray"))
    predicted = zarr.open_group(submission / "predictions.zarr", mode="r")["mass"][...]
    assert np.isfinite(predicted).all() and (predicted > 0).all()
