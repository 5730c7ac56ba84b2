"""Baselines without a network: analytic truth for their parts, and what they score."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import zarr

from baselines import climatology, mean_profile, profile_regression, ridge, scaling
from baselines.predict import Predicted
from baselines.reference import sharpen
from tests.helpers import command, refused
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import score_log, smooth_score_grid
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.testing import tiny_store
from three_hundred_maps.torch_data import Transforms


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A store at the benchmark's own resolution."""
    return tiny_store(tmp_path_factory.mktemp("large") / "store", halos=(16, 4, 6), n_los=2)


def skill(store, submission):
    arrays = read_split(store, "test", ["mass"])
    predicted = zarr.open_group(submission / "predictions.zarr", mode="r")["mass"][...]
    transforms = Transforms.from_store(store, ())
    inside = transforms.grid.inside
    truth = score_log(arrays.maps["mass"], transforms.grid.pixel)
    model = np.mean((score_log(predicted, transforms.grid.pixel) - truth)[..., inside] ** 2)
    none = np.mean((transforms.climatology_map().numpy() - truth)[..., inside] ** 2)
    return 1 - model / none


def test_the_climatology_has_no_skill(tmp_path, large):
    assert skill(large, climatology.write(large, tmp_path / "c")) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("views", [("sz",), ("sz", "xray", "star")])
def test_what_looks_beats_what_does_not(tmp_path, large, views):
    profile = skill(large, mean_profile.write(large, tmp_path / "m", views))
    regression = skill(large, profile_regression.write(large, tmp_path / "p", views))
    linear = skill(large, ridge.write(large, tmp_path / "r", views))
    assert 0.1 < profile < linear < 1 and 0.1 < regression < linear


class Evolved(Predicted):
    """The test split as the same halos would be at redshift 0.7, by self-similar evolution."""

    def shards(self, views):
        transforms = Transforms.from_store(self.store, views)
        for arrays in super().shards(views):
            redshift = np.full(len(arrays), 0.7)
            factors = transforms.factors(redshift)[..., None, None, None]
            maps = {view: arrays.maps[view] / factors[:, k] for k, view in enumerate(views)}
            yield replace(arrays, maps=maps, halos={**arrays.halos, "redshift": redshift})


@pytest.mark.parametrize("program", [mean_profile, ridge, profile_regression, scaling])
def test_a_halo_of_another_redshift_gets_a_mass_map_of_its_own(tmp_path, large, program):
    maps = [
        zarr.open_group(program.write(large, tmp_path / name, ("sz",), kind(large)) / "predictions.zarr")[
            "mass"
        ][...]
        for name, kind in (("here", Predicted), ("there", Evolved))
    ]
    expansion = Transforms.from_store(large, ()).expansion(0.7)
    np.testing.assert_allclose(maps[1], maps[0] * expansion ** (4 / 3), rtol=1e-5)


def test_a_map_of_ring_means_has_those_means(large):
    profiles = profile_regression.Profiles(Transforms.from_store(large, ()))
    rings = len(profiles.shares)
    excess = np.stack([np.linspace(0.4, -0.3, rings), np.full(rings, 0.2), np.zeros(rings)])
    maps = profiles.maps(excess)
    means = np.log10(profiles.means(maps)) - np.log10(profiles.means(profiles.base))
    assert means == pytest.approx(excess, abs=2e-3)
    assert maps[1] == pytest.approx(profiles.base * 10**0.2) and maps[2] == pytest.approx(profiles.base)


def test_the_profile_regression_finds_the_mass(tmp_path, large):
    # Mass and SZ of the analytic clusters follow one another: far better than the spread of masses.
    submission = profile_regression.write(large, tmp_path / "p", ("sz",))
    predicted = zarr.open_group(submission / "predictions.zarr", mode="r")["mass"][...]
    frame, truth = Transforms.from_store(large, ()).grid, read_split(large, "test", ["mass"]).maps["mass"]
    masses = [np.log10((maps * frame.aperture).sum((-1, -2))) for maps in (predicted, truth)]
    assert np.std(masses[0] - masses[1]) < 0.5 * np.std(masses[1])


@pytest.mark.parametrize("concentration", [2.0, 5.0, 12.0])
def test_an_nfw_map_holds_the_mass_of_the_sphere(concentration):
    # The mass in a cylinder through a sphere of NFW density cut at a great depth: Lokas & Mamon 2001, eq. 43.
    radius = np.geomspace(1e-4, 1.0, 4000)
    sigma = scaling.nfw_shape(concentration, radius, half_depth=2000.0)
    cylinder = np.trapezoid(2 * math.pi * radius * sigma, radius)
    x = concentration
    shape = (math.acos(1 / x) if x > 1 else math.acosh(1 / x)) / math.sqrt(abs(x**2 - 1)) + math.log(x / 2)
    expected = shape / (math.log1p(x) - x / (1 + x))
    assert cylinder == pytest.approx(expected, rel=2e-3)


def test_nfw_maps_are_pixel_means(large):
    frame = Transforms.from_store(large, ()).grid
    maps = scaling.nfw_maps(frame, half_depth=2000.0)
    row = int(np.abs(scaling.CONCENTRATIONS - 5).argmin())
    mass = (maps[row] * frame.aperture).sum() * frame.pixel**2
    x = scaling.CONCENTRATIONS[row]
    shape = math.acos(1 / x) / math.sqrt(x**2 - 1) + math.log(x / 2)
    assert mass == pytest.approx(shape / (math.log1p(x) - x / (1 + x)), rel=5e-3)


def test_the_scaling_relation_gives_back_a_mass_it_was_given(tmp_path, large):
    submission = scaling.write(large, tmp_path / "s", ("sz",))
    predicted = zarr.open_group(submission / "predictions.zarr", mode="r")["mass"][...]
    halos = read_split(large, "test", []).halos
    frame = Transforms.from_store(large, ()).grid
    columns = (predicted * frame.aperture).sum((-1, -2)).mean(-1) * (frame.pixel * halos["R200c"]) ** 2
    # Its cylinder mass follows M200c of the catalogue: a line, up to the relation's scatter.
    assert np.corrcoef(np.log10(columns), np.log10(halos["M200c"]))[0, 1] > 0.9


def test_sharpening_undoes_the_score_grids_smoothing(large):
    transforms = Transforms.from_store(large, ())
    profile = transforms.climatology_map().double().numpy()
    before = np.abs(np.log10(smooth_score_grid(10**profile)) - profile)
    after = np.abs(np.log10(smooth_score_grid(sharpen(profile, 0.025))) - profile)
    assert after.max() < 3e-3 < 0.1 * before.max()


def test_a_smoothing_matrix_keeps_the_sum_and_a_constant():
    for sigma in ridge.SIGMAS_PIXELS:
        matrix = ridge.smoothing_matrix(80, sigma)
        assert np.allclose(matrix.sum(0), 1) and np.allclose(matrix.sum(1), 1)
    assert np.allclose(ridge.smoothing_matrix(16, 8.0).sum(1), 1)  # a kernel longer than the axis


def test_ridge_finds_a_linear_truth():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(500, 3)), np.ones(500)])
    truth = np.array([1.0, -2.0, 0.5, 3.0])
    y = x @ truth
    normal = ridge.Normal(4)
    normal.add(x[:200], y[:200])
    normal.add(x[200:], y[200:])
    assert normal.solve(1e-9) == pytest.approx(truth, abs=1e-6)
    assert normal.error(truth) == pytest.approx(0, abs=1e-9)
    shrunk = normal.solve(10.0)
    assert np.linalg.norm(shrunk[:3]) < np.linalg.norm(truth[:3])


def test_a_scaling_relation_needs_the_view(tmp_path, large):
    with pytest.raises(InputError, match="no view 'kinetic'"):
        scaling.write(large, tmp_path / "s", ("kinetic",))


PROGRAMS = (climatology, mean_profile, scaling, ridge, profile_regression)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda module: module.__name__.split(".")[-1])
def test_each_is_a_command(tmp_path, store, program):
    done = command(program.main, "--data", store, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stdout.strip() == str(tmp_path / "out" / "submission")
    assert (tmp_path / "out" / "submission" / "submission.json").is_file()
    words = ("--data", store, "--out", tmp_path / "out", "--split", "train")
    refused(program.main, *words, said="holds work with other settings")
