"""The regression of masses: exact where the truth is one of its own, tame elsewhere, part of the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from baselines.calibration import calibrate
from baselines.mass_regression import CLIP, MassRegression
from baselines.model import Architecture, MassModel, from_pretrained, in_bfloat16
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import aperture_fractions
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.testing import tiny_store
from three_hundred_maps.torch_data import SYMMETRIES, Transforms, apply_symmetry

VIEWS = ("sz", "star")


@pytest.fixture
def regression(store):
    return MassRegression(Transforms.from_store(store, VIEWS))


def random_maps(number: int, pixels: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Positive maps of two views that differ in amplitude from map to map, and log10 mass maps."""
    draw = np.random.default_rng(3)
    amplitude = 10.0 ** draw.normal(0, 0.5, (number, 2, 1, 1))
    raw = amplitude * draw.lognormal(0, 0.3, (number, 2, pixels, pixels))
    log_mass = 8.0 + draw.normal(0, 0.2, (number, 1, 1)) + draw.normal(0, 0.1, (number, pixels, pixels))
    return torch.from_numpy(raw).float(), torch.from_numpy(log_mass).float()


def test_a_mass_that_is_a_parabola_of_its_features_is_found(regression):
    raw, log_mass = random_maps(400)
    features = regression.features(raw, log_mass)
    middle = (features - features.mean(0)) / features.std(0)
    expected = 0.1 + 0.05 * middle[:, 3] - 0.03 * middle[:, -1] + 0.02 * middle[:, 10].square()
    near = (middle.abs() < 0.8 * CLIP).all(1)
    assert near.sum() > 200
    regression.fit(features[near], expected[near], 1e-12)
    torch.testing.assert_close(regression.correction(features[near]), expected[near], rtol=0, atol=1e-5)
    regression.fit(features, expected, math.inf)
    torch.testing.assert_close(regression(raw, log_mass), expected.mean().expand(400))


def test_features_are_profiles_and_the_cylinder_mass(store, regression):
    raw, log_mass = random_maps(2)
    features = regression.features(raw, log_mass)
    inside = aperture_fractions(32, 1.0, 2 / 32)
    mass = (10.0 ** log_mass.double().numpy() * inside).sum((1, 2))
    np.testing.assert_allclose(features[:, -1], np.log10(mass), rtol=1e-12)
    offset = Transforms.from_store(store, VIEWS).inputs[1].offset
    whole = (raw[:, 1].double().numpy() * inside).sum((1, 2)) / inside.sum()
    np.testing.assert_allclose(features[:, -2], np.log10(whole + offset), rtol=1e-12)
    for number in range(SYMMETRIES):
        turned = regression.features(apply_symmetry(raw, number), apply_symmetry(log_mass, number))
        torch.testing.assert_close(turned, features, rtol=1e-9, atol=1e-9)


def test_far_from_its_data_it_follows_no_parabola(regression):
    raw, log_mass = random_maps(200)
    features = regression.features(raw, log_mass)
    regression.fit(features, features[:, 3].square(), 1e-6)
    far, farther = features.clone(), features.clone()
    far[:, 3] += 10 * features[:, 3].std()
    farther[:, 3] += 1000 * features[:, 3].std()
    torch.testing.assert_close(regression.correction(far), regression.correction(farther))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """More halos than a regression of one view has numbers."""
    folder = tmp_path_factory.mktemp("calibration") / "store"
    return tiny_store(folder, halos=(48, 16, 8), n_los=3, pixels=16)


@pytest.mark.parametrize("sigma", [False, True])
def test_a_calibrated_model_has_the_regressions_masses(many, tmp_path, sigma):
    torch.manual_seed(1)
    transforms = Transforms.from_store(many, VIEWS)
    model = MassModel(Architecture(channels=4, poolings=2, sigma=sigma), transforms)
    torch.nn.init.normal_(model.network.head.weight, std=0.1)
    raw = torch.from_numpy(
        np.stack([read_split(many, "test", list(VIEWS)).maps[view][:, 0] for view in VIEWS], axis=1)
    )
    plain, plain_sigma = model.predict(raw)
    done = calibrate(model, [many], symmetries=8)
    assert done.maps == 48 * 3 and done.after_dex < done.before_dex
    mass, sigma_after = model.predict(raw)
    regression = model.regression
    moved = regression.cylinder(mass.log10()) - regression.cylinder(plain.log10())
    torch.testing.assert_close(moved, regression(raw, plain.log10()), rtol=0, atol=1e-5)
    shape = (mass / plain).flatten(1)
    torch.testing.assert_close(shape, shape[:, :1].expand_as(shape), rtol=1e-4, atol=0)
    assert sigma_after is None if plain_sigma is None else torch.equal(sigma_after, plain_sigma)
    model.save(tmp_path / "model")
    assert torch.equal(from_pretrained(tmp_path / "model").predict(raw)[0], mass)
    kept = in_bfloat16(model.state_dict())
    assert kept["regression.weight"].dtype == torch.float64
    assert kept["network.head.weight"].dtype == torch.bfloat16


def test_without_a_validation_split_nothing_is_calibrated(tmp_path):
    store = tiny_store(tmp_path / "store", halos=(4, 0, 2), n_los=1, pixels=16)
    model = MassModel(Architecture(channels=4, poolings=2), Transforms.from_store(store, ("sz",)))
    with pytest.raises(InputError, match="needs halos in the split validation"):
        calibrate(model, [store], symmetries=1)
    assert model.regression is None
