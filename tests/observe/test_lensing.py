"""Baselines on shear, and the track it makes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from baselines.lensing import CONCENTRATION, KaiserSquires, Lens, NfwFit, fit_nfw, nfw_shape, write
from benchmarks.manifest import canonical_track
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import parse_views
from three_hundred_maps.store.arrays import read_split


@pytest.fixture(scope="module")
def lens(deep) -> Lens:
    return Lens(deep)


def test_an_nfw_lens_is_fitted(lens, deep):
    """Without noise but that of rounding, the amplitude comes back."""
    fit = fit_nfw(lens, deep)
    assert isinstance(fit, NfwFit)
    grid, critical = lens.grid, 3e9
    shape, inner = nfw_shape(grid.radius)
    # The shape is a surface density whose mean inside R200c is 1.
    assert (shape * grid.aperture).sum() / grid.aperture.sum() == pytest.approx(1.0, rel=0.03)
    assert CONCENTRATION == 4.0
    wanted = fit.amplitudes[80]
    kappa = wanted * shape / critical
    sheared = wanted * (inner - shape) / critical / (1 - kappa)
    noise = 1e-3 * np.random.default_rng(0).standard_normal((2, *shape.shape))
    first, second = -sheared * np.cos(fit.angle) + noise[0], -sheared * np.sin(fit.angle) + noise[1]
    found = fit(first[None], second[None], critical)[0]
    assert np.median(found / (wanted * shape)) == pytest.approx(1.0, abs=0.06)
    # Of noise alone the prior's middle is left.
    noise = 5.0 * np.random.default_rng(1).standard_normal((2, 1, *shape.shape))
    assert fit(noise[0], noise[1], critical).mean() / (fit.amplitudes[60] * shape).mean() == pytest.approx(
        1.0, abs=0.3
    )


def test_kaiser_squires_sees_the_lens(lens, deep):
    data = read_split(deep, "test", ["shear1", "shear2", "mass"])
    method = KaiserSquires(lens, 8.0)
    critical = lens.critical(float(data.halos["redshift"][0]))
    found = method(data.maps["shear1"][0], data.maps["shear2"][0], critical)
    assert found.shape == data.maps["mass"][0].shape and (found > 0).all()
    # Against noise: the middle is above the rim.
    rim = lens.grid.radius > 0.9
    assert found[:, 35:45, 35:45].mean() > found[:, rim].mean()


@pytest.mark.parametrize("method", ["kaiser-squires", "nfw"])
def test_lensing_baselines_are_submissions_of_the_task(method, deep, wide, tmp_path):
    path = write(deep, tmp_path, method)
    found = json.loads((path / "submission.json").read_text())
    assert found["track"] == "shear" and found["task"] == "observed"
    with pytest.raises(InputError, match="no shear"):
        Lens(wide)


def test_the_track_shear_stands_for_both_components():
    assert canonical_track("sz,shear1,shear2") == canonical_track("shear,sz") == "sz,shear"
    assert canonical_track("temperature,shear2,shear1") == canonical_track("shear,temperature")
    assert parse_views("sz,shear") == ("sz", "shear1", "shear2")
    with pytest.raises(InputError, match="twice"):
        parse_views("shear,shear1")
