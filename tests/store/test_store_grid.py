"""The score grid and the statistics, against scipy, geometry and plain numpy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from three_hundred_maps.climatology import RING_EDGES, Climatology, column_scale
from three_hundred_maps.geometry import (
    SIGMA_PER_FWHM,
    aperture_fractions,
    pixel_centres,
    radius_grid,
    smooth_score_grid,
)
from three_hundred_maps.store.statistics import Statistics, ViewStatistics, merge_all


@pytest.mark.parametrize(("pixels", "pixel"), [(80, 0.025), (120, 0.025), (40, 0.05), (64, 0.01)])
def test_smoothing_is_scipys_gaussian_reflected_and_cut_at_4_sigma(pixels, pixel):
    maps = np.random.default_rng(0).lognormal(size=(2, 3, pixels, pixels))
    sigma = 0.05 * SIGMA_PER_FWHM / pixel
    wanted = gaussian_filter(maps, (0, 0, sigma, sigma), mode="reflect", truncate=4.0)
    np.testing.assert_allclose(smooth_score_grid(maps, pixel), wanted, rtol=1e-12)


@given(radius=st.floats(0.01, 1.6), pixels=st.integers(1, 50))
@example(radius=0.6000000000000001, pixels=15)  # touches a line of pixels
@settings(max_examples=60, deadline=None)
def test_circles_have_their_exact_area(radius, pixels):
    pixel = 2.0 / pixels
    fractions = aperture_fractions(pixels, radius, pixel)
    assert fractions.min() >= 0 and fractions.max() <= 1
    if radius <= 1.0:
        assert fractions.sum() * pixel**2 == pytest.approx(math.pi * radius**2, rel=1e-9)
    np.testing.assert_allclose(fractions, fractions[::-1], atol=1e-12)
    np.testing.assert_allclose(fractions, fractions.T, atol=1e-12)


def test_circle_fractions_against_counted_points():
    pixels, radius, fine = 10, 0.77, 200
    points = pixel_centres(pixels * fine, 2.0)
    inside = (points[:, None] ** 2 + points[None, :] ** 2) < radius**2
    counted = inside.reshape(pixels, fine, pixels, fine).mean(axis=(1, 3))
    np.testing.assert_allclose(aperture_fractions(pixels, radius, 0.2), counted, atol=2e-3)


def test_the_centre_is_a_corner_of_four_pixels():
    radii = radius_grid(80)
    assert np.argwhere(radii == radii.min()).tolist() == [[39, 39], [39, 40], [40, 39], [40, 40]]
    assert radii.min() == pytest.approx(0.0125 * math.sqrt(2))


def test_view_statistics_are_numpys():
    values = 10 ** np.random.default_rng(2).normal(8, 1.3, (5, 3, 16, 16))
    values[0, 0, :4] = 0.0
    found = ViewStatistics.of(values)
    logs = np.log10(values[values > 0])
    assert (found.count, found.zeros) == (values.size, 64)
    assert found.mean == pytest.approx(logs.mean(), rel=1e-10)
    assert found.std == pytest.approx(logs.std(), rel=1e-10)
    assert (found.minimum, found.maximum) == (0.0, values.max())
    assert found.histogram.sum() == logs.size
    for q in (0.05, 0.16, 0.5, 0.84, 0.95):
        assert found.quantile(q) == pytest.approx(np.quantile(logs, q), abs=0.021)


@given(st.lists(st.lists(st.floats(0, 1e30), max_size=12), max_size=8), st.integers(0, 8))
@settings(max_examples=80, deadline=None)
def test_merging_parts_gives_the_whole(parts, cut):
    arrays = [np.array(part) for part in parts]
    one_by_one = merge_all(ViewStatistics.of([a]) for a in arrays)
    in_two = merge_all([ViewStatistics.of(arrays[:cut]), ViewStatistics.of(arrays[cut:])])
    whole = ViewStatistics.of([np.concatenate([np.zeros(0), *arrays])])
    for other in (one_by_one, in_two):
        assert (other.count, other.zeros) == (whole.count, whole.zeros)
        np.testing.assert_array_equal(other.histogram, whole.histogram)
        np.testing.assert_allclose([other.mean], [whole.mean], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose([other.std], [whole.std], rtol=1e-6, atol=1e-6)
        np.testing.assert_equal([other.minimum, other.maximum], [whole.minimum, whole.maximum])


def test_statistics_survive_json():
    maps = {"mass": 10 ** np.random.default_rng(3).normal(7.5, 1, (4, 2, 80, 80)).astype(np.float32)}
    halos = {"M200c": np.full(4, 5e14), "R200c": np.full(4, 1600.0)}
    found = Statistics.of(maps, halos, 0.025)
    back = Statistics.from_json(json.loads(json.dumps(found.to_json())))
    assert back["mass"].mean == found["mass"].mean
    np.testing.assert_array_equal(back["mass"].histogram, found["mass"].histogram)
    np.testing.assert_array_equal(back.climatology.climatology, found.climatology.climatology)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_maps_that_are_no_maps_are_refused(bad):
    values = np.ones((1, 2, 4, 4))
    values[0, 1, 2, 3] = bad
    with pytest.raises(ValueError, match="maps must be finite"):
        ViewStatistics.of(values)


def test_climatology_of_a_known_profile():
    radius = radius_grid(80)
    halos = {"M200c": np.array([3e14, 9e14]), "R200c": np.array([1400.0, 2000.0])}
    levels = np.array([0.0, 0.4])
    maps = np.stack([np.broadcast_to(10 ** (9 + level - 1.5 * radius), (3, 80, 80)) for level in levels])
    found = Climatology.of(maps.astype(np.float32), halos["M200c"], halos["R200c"], 0.025)
    middle = 0.5 * (RING_EDGES[1:] + RING_EDGES[:-1])
    # Away from the kink at the centre, smoothing moves an exponential by a constant factor alone.
    shift = found.climatology[5:-1] - (9.2 - 1.5 * middle[5:-1])
    assert np.ptp(shift) < 0.03 and abs(shift.mean()) < 0.02
    scale = np.mean(
        [np.log10(column_scale(*pair)) for pair in zip(halos["M200c"], halos["R200c"], strict=True)]
    )
    np.testing.assert_allclose(found.climatology - found.scaled_climatology, scale, rtol=1e-12)
    assert column_scale(4e14, 1500.0) == pytest.approx(1500.0 * 3 * 4e14 / (800 * math.pi * 1500.0**3))


def test_climatology_floors_and_fills():
    found = Climatology.of(np.zeros((1, 1, 16, 16), np.float32), np.array([1e14]), np.array([900.0]), 0.125)
    np.testing.assert_allclose(found.climatology, 6.0)
    assert found.log_range() == pytest.approx((6.0, 6.0), abs=0.021)
