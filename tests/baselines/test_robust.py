"""What makes a model hold elsewhere: scaling with redshift, robust transforms, augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter

from baselines.augment import QUANTA_MSUN_KPC2, Augment, thinned
from baselines.data import load_rows
from baselines.model import Architecture, MassModel
from baselines.settings import PLAIN, merge
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.torch_data import ScoreGrid, Transforms
from three_hundred_maps.torch_inputs import SATURATION_DEX, Robust, median_3x3
from three_hundred_maps.torch_transforms import SCALINGS, SELF_SIMILAR

VIEWS = ("sz", "xray", "star")
REDSHIFTS = np.array([0.0, 0.3, 0.989])


@pytest.fixture(scope="module")
def transforms(store):
    return Transforms.from_store(store, VIEWS)


def raw_maps(store, halo=0):
    arrays = read_split(store, "test", list(VIEWS))
    return torch.from_numpy(np.stack([arrays.maps[view][halo] for view in VIEWS], axis=1))


def test_the_expansion_is_that_of_a_flat_universe(transforms):
    m, vacuum = transforms.training.omega_m, transforms.training.omega_lambda
    assert m + vacuum == pytest.approx(1)
    assert transforms.expansion(REDSHIFTS) == pytest.approx(np.sqrt(m * (1 + REDSHIFTS) ** 3 + vacuum))
    assert transforms.expansion(0.0) == 1.0


def test_a_curved_universe_expands_by_its_curvature(transforms):
    empty = replace(transforms, training=replace(transforms.training, omega_m=0.0, omega_lambda=0.0))
    assert empty.expansion(REDSHIFTS) == pytest.approx(1 + REDSHIFTS)


@pytest.mark.parametrize("view", SELF_SIMILAR)
def test_scaled_views_are_those_of_a_halo_at_redshift_0(transforms, view):
    mass = np.geomspace(1e13, 1e15, 3)
    expansion = transforms.expansion(REDSHIFTS)
    a, b = SELF_SIMILAR[view]
    value, sigma = mass**a * expansion**b, mass ** (1 / 3) * expansion ** (4 / 3)
    same_mass, same_sigma, same = (
        value * expansion ** replace(transforms, scaling=scaling)._power(view)
        for scaling in ("fixed_mass", "equal_sigma", "none")
    )
    assert same_mass == pytest.approx(mass**a) and np.array_equal(same, value)
    assert same_sigma == pytest.approx((sigma**3) ** a)  # at redshift 0, sigma is mass^(1/3)


def test_the_powers_are_those_of_the_text(transforms):
    expansion = transforms.expansion(0.989)
    assert transforms.factors(0.989) == pytest.approx(expansion ** np.array([-2, -11 / 3, -4 / 3]))
    assert transforms.mass_factor(0.989) == pytest.approx(expansion ** (-4 / 3))
    equal = replace(transforms, scaling="equal_sigma")
    assert equal.factors(0.989) == pytest.approx([expansion**2, 1 / expansion, 1])
    assert equal.mass_factor(0.989) == 1


@pytest.mark.parametrize("scaling", SCALINGS)
def test_at_redshift_0_nothing_changes_and_elsewhere_it_is_undone(store, transforms, scaling):
    here, maps = replace(transforms, scaling=scaling), raw_maps(store)
    assert torch.equal(here.standardise(maps, np.zeros(3)), here.standardise(maps))
    mass = torch.from_numpy(read_split(store, "test", ["mass"]).maps["mass"][0])
    assert torch.equal(here.target(mass, 0.0), here.target(mass))
    # Surface densities far above the floor, and smooth, so that the score grid's smoothing leaves them.
    flat = torch.full((3, 32, 32), 1e8)
    back = here.mass(here.target(flat, REDSHIFTS), REDSHIFTS)
    torch.testing.assert_close(back, flat, rtol=1e-5, atol=0)


def test_a_model_at_another_redshift_sees_the_scaled_maps(store, transforms):
    torch.manual_seed(0)
    model, maps = MassModel(Architecture(channels=4, poolings=2), transforms), raw_maps(store)
    torch.nn.init.normal_(model.network.head.weight, std=0.1)
    away, _ = model.predict(maps, REDSHIFTS, symmetries=1)
    scaled, _ = model.predict(transforms.scale(maps, REDSHIFTS), symmetries=1)
    expansion = torch.from_numpy(transforms.expansion(REDSHIFTS)).float()[:, None, None]
    torch.testing.assert_close(away, scaled * expansion ** (4 / 3), rtol=1e-5, atol=0)
    assert torch.equal(away[0], model.predict(maps, symmetries=1)[0][0])


def test_a_median_of_nine_is_scipys():
    maps = torch.rand(3, 7, 9, generator=torch.Generator().manual_seed(1))
    expected = [median_filter(one, 3, mode="nearest") for one in maps.numpy()]
    assert np.array_equal(median_3x3(maps).numpy(), np.stack(expected))


def test_robust_transforms_change_what_they_name_alone(store, transforms):
    maps, plain = raw_maps(store), transforms
    smooth = replace(transforms, robust=Robust(smooth_stars=0.3))
    got, as_it_was = smooth.standardise(maps), plain.standardise(maps)
    assert torch.equal(got[:, :2], as_it_was[:, :2]) and not torch.equal(got[:, 2], as_it_was[:, 2])
    # Smoothing keeps a constant.
    flat = torch.full((1, 3, 32, 32), 1e7)
    torch.testing.assert_close(smooth.standardise(flat), plain.standardise(flat))
    median = replace(transforms, robust=Robust(median_xray=True))
    got = median.standardise(maps)
    assert torch.equal(got[:, ::2], as_it_was[:, ::2])
    spike = maps.clone()
    spike[:, 1, 16, 16] *= 1e6
    assert (median.standardise(spike)[:, 1] - got[:, 1]).abs().max() < 0.5
    assert (plain.standardise(spike)[:, 1] - as_it_was[:, 1]).max() > 5


def test_inputs_beyond_the_training_range_grow_by_a_logarithm(transforms):
    robust = replace(transforms, robust=Robust(saturate=True))
    item = transforms.inputs[0]
    low, high = (np.log10(v + item.offset) for v in (item.low, item.high))
    logs = torch.linspace(low - 0.0, high, 9, dtype=torch.float64)
    beyond = high + torch.tensor([1e-6, 1.0, 3.0], dtype=torch.float64)

    def seen(logs, by):
        maps = (10.0**logs - item.offset)[:, None, None, None].expand(-1, 3, 1, 1)
        return by.standardise(maps)[:, 0, 0, 0] * item.std + item.mean

    torch.testing.assert_close(seen(logs, robust), logs, rtol=0, atol=1e-9)
    expected = high + SATURATION_DEX * np.log1p(np.array([1e-6, 1.0, 3.0]) / SATURATION_DEX)
    assert seen(beyond, robust).numpy() == pytest.approx(expected, abs=1e-9)
    torch.testing.assert_close(seen(beyond, transforms), beyond, rtol=0, atol=1e-9)


def test_transforms_keep_what_they_do(transforms):
    whole = replace(transforms, scaling="equal_sigma", robust=Robust(0.1, True, True))
    assert Transforms.from_dict(whole.to_dict()) == whole
    for wrong in ({"scaling": "other"}, {"robust": {"smooth_stars": 9.0}}):
        with pytest.raises(InputError, match="never does"):
            Transforms.from_dict({**whole.to_dict(), **wrong})


def test_thinned_stars_keep_their_mean_in_whole_quanta():
    maps = torch.full((6, 60, 60), 2e6)
    got = thinned(maps, torch.Generator().manual_seed(0))
    assert got.mean((1, 2)) / 2e6 == pytest.approx(1, abs=0.3)
    smallest = torch.stack([one[one > 0].min() for one in got])
    assert len(set(smallest.tolist())) == 6  # one quantum a map
    for one in got:
        values = torch.unique(one)
        quantum = values.diff().min()
        assert QUANTA_MSUN_KPC2[0] <= quantum <= QUANTA_MSUN_KPC2[1] * 1.001
        torch.testing.assert_close(values / quantum, (values / quantum).round(), rtol=0, atol=1e-2)
        # Poisson: the variance is the mean times the quantum.
        assert one.var() / (2e6 * quantum) == pytest.approx(1, abs=0.15)


def test_augmentation_follows_from_seed_and_step(store, transforms):
    settings = replace(merge({}, config=None, preset="cpu"), view_dropout=0.4)
    augment, maps = Augment(transforms, settings), raw_maps(store)
    assert torch.equal(augment(maps, 5), augment(maps, 5))
    for other in (augment(maps, 6), augment(maps, 5, rank=1)):
        assert not torch.equal(augment(maps, 5), other)
    other = Augment(transforms, replace(settings, seed=1))
    assert not torch.equal(augment(maps, 5), other(maps, 5))


def test_a_calibration_error_is_common_to_a_view_of_a_map(store, transforms):
    settings = replace(merge({}, config=None, preset="cpu", plain=True), calibration_error=0.1)
    # Without offsets, a factor is a constant of the logarithm.
    bare = replace(transforms, inputs=tuple(replace(item, offset=0.0) for item in transforms.inputs))
    maps = raw_maps(store).repeat(40, 1, 1, 1) + 1.0
    change = Augment(bare, settings)(maps, 0) - bare.standardise(maps)
    assert change.std((2, 3)).max() < 1e-4
    dex = change.mean((2, 3)) * torch.tensor([item.std for item in bare.inputs])
    assert dex.std(0).numpy() == pytest.approx(0.1, abs=0.025) and abs(dex.mean()) < 0.03
    assert abs(np.corrcoef(dex.T.numpy())[0, 1]) < 0.3


def test_never_are_all_views_withheld(store, transforms):
    settings = replace(merge({}, config=None, preset="cpu", plain=True), view_dropout=0.9)
    inputs = Augment(transforms, settings)(raw_maps(store).repeat(60, 1, 1, 1), 0)
    there = inputs.abs().amax((2, 3)) > 0
    assert there.any(1).all() and there.float().mean() < 0.5
    alone = replace(transforms, inputs=transforms.inputs[:1])
    assert not Augment(alone, settings).any


def test_plain_augments_nothing_and_is_above_the_preset_alone(store, transforms):
    plain = merge({}, config=None, preset="cpu", plain=True)
    assert all(getattr(plain, name) == value for name, value in PLAIN.items())
    assert merge({"thin_stars": True}, config=None, preset="cpu", plain=True).thin_stars
    assert plain.robust() == Robust() and not Augment(transforms, plain).any
    rows = load_rows(store, "test", transforms, ScoreGrid(transforms), device=torch.device("cpu"), raw=True)
    assert torch.equal(
        Augment(transforms, plain)(rows.inputs[:3], 0), transforms.standardise(raw_maps(store))
    )


def test_what_lies_outside_the_training_range_is_told(store, transforms):
    arrays = read_split(store, "train", list(VIEWS))
    maps = np.stack([arrays.maps[view] for view in VIEWS], axis=2)
    redshift = arrays.halos["redshift"]
    inside = transforms.outside(maps, redshift)
    assert inside["redshift"] == 0
    assert all(share < 0.004 for share in inside.values())
    shares = transforms.outside(maps * np.array([1, 1e4, 1])[:, None, None], redshift + 0.5)
    assert shares["redshift"] == 1 and shares["xray bright"] > 0.9 and shares["star bright"] < 0.004
