"""Instruments: beams, noise, counts and shear against what can be worked out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import FWHM_PER_SIGMA, MapGrid
from three_hundred_maps.keys import HaloKey
from three_hundred_maps.mapping.emissivity import free_free_share
from three_hundred_maps.observe.build import expect, observe_halo
from three_hundred_maps.observe.frame import (
    Frame,
    _cosmology,
    critical_density_of,
    draw_redshift,
    place,
    resampling_matrix,
)
from three_hundred_maps.observe.levels import (
    BENCHMARK_LEVELS,
    LEVELS,
    PERFECT,
    Level,
    StarInstrument,
    observed_recipe,
)
from three_hundred_maps.observe.operators import (
    band_fraction,
    beam_matrix,
    convergence_from_shear,
    count_rate,
    detect_stars,
    observe_rate,
    reduced_shear,
    separable,
    shear_from_convergence,
)
from three_hundred_maps.simulation.cosmology import MDPL2
from three_hundred_maps.store import schema
from three_hundred_maps.torch_symmetries import apply_symmetry

WIDE = MapGrid(120, 3.0)
PLANCK = _cosmology(MDPL2.h, MDPL2.omega_m, MDPL2.omega_lambda)
KEY = HaloKey("a", 3, 128, 77)


def offsets(pixels: int) -> np.ndarray:
    return np.arange(pixels) - 0.5 * (pixels - 1)


@pytest.mark.parametrize("fwhm", [0.0, 1.5, 6.0, 14.0])
def test_a_beam_keeps_the_flux_and_has_its_width(fwhm):
    sigma = 4.0
    x = offsets(120)
    source = np.exp(-0.5 * (x[:, None] ** 2 + x[None, :] ** 2) / sigma**2)
    beam = beam_matrix(120, fwhm)
    seen = separable(source, beam, beam)
    assert seen.sum() == pytest.approx(source.sum(), rel=1e-3)
    variance = (seen.sum(0) * x**2).sum() / seen.sum()
    # A sampled Gaussian integrated over pixels is wider by a twelfth of a pixel squared.
    pixel = 1 / 12 if fwhm else 0.0
    assert variance == pytest.approx(sigma**2 + (fwhm / FWHM_PER_SIGMA) ** 2 + pixel, rel=0.01)


@pytest.mark.parametrize("name", BENCHMARK_LEVELS)
def test_counts_of_a_known_cluster(name):
    """L_bol = 3e44 erg/s at z = 0.2 with 0.35 of it in the band: 28,000, 940 and 140 counts."""
    level, sky = LEVELS[name], place(PLANCK, 0.2)
    kpc2 = 40.0**2
    xray = np.full((120, 120), 3.0 / (120**2 * kpc2))
    rate = count_rate(xray, 0.35, sky.arcmin_per_kpc**2, sky.luminosity_kpc, level.xray.counts_per_flux)
    counts = rate.sum() * kpc2 * sky.arcmin_per_kpc**2 * level.xray.exposure_s
    assert counts == pytest.approx({"pointed": 28_000, "deep": 940, "wide": 140}[name], rel=0.02)


def test_band_fractions():
    """Without metals free-free light; with them, the share of a cluster's APEC fit (Bulbul et al. 2019)."""
    kT = np.array([0.0, 1.0, 5.0])
    wanted = [0.30, *free_free_share(kT[1:], (0.5, 2.0))]
    np.testing.assert_allclose(band_fraction(kT, 0.0), wanted, rtol=1e-3)
    assert band_fraction(np.array([9.1]), 0.3)[0] == pytest.approx(8.20 / 36.4, rel=0.05)


def empty_views(n_los: int) -> dict[str, np.ndarray]:
    maps = {view: np.zeros((n_los, 120, 120), np.float32) for view in ("sz", "xray", "star", "temperature")}
    return {**maps, "mass": np.full((n_los, 120, 120), 1e3, np.float32)}


def test_noise_of_an_empty_map_is_as_stated_and_white():
    level, sky, n_los = LEVELS["deep"], place(PLANCK, 0.3), 20
    critical = critical_density_of(PLANCK, sky, level.shear.source_redshift)
    expected = expect(level, WIDE, KEY, 1500.0, sky, critical, empty_views(n_los))
    seen = observe_halo(level, KEY, expected)
    side = np.array([Frame.draw(KEY, los).pixel_arcmin(1500.0, sky) for los in range(n_los)])
    unit = {
        "sz": seen["sz"] / (level.sz.depth_y_arcmin / side)[:, None, None],
        **{
            name: seen[name] * (np.sqrt(level.shear.galaxies_arcmin2) * side / 0.26)[:, None, None]
            for name in ("shear1", "shear2")
        },
    }
    for values in unit.values():
        assert values.var() == pytest.approx(1.0, rel=0.01)
        # Between neighbours, lines of sight and views nothing is shared.
        assert abs((values[:, 1:] * values[:, :-1]).mean()) < 0.01
        assert abs((values[1:] * values[:-1]).mean()) < 0.01
    assert abs((unit["shear1"] * unit["shear2"]).mean()) < 0.01
    assert abs((unit["sz"] * unit["shear1"]).mean()) < 0.01
    seconds = (level.xray.exposure_s * side**2)[:, None, None]
    counts = seen["xray"] * seconds
    np.testing.assert_allclose(counts, counts.round(), atol=1e-3)
    mean = level.xray.background * seconds
    assert ((counts - mean) ** 2 / mean).mean() == pytest.approx(1.0, rel=0.01)
    limit = 1e6 * 1.3**4
    assert set(np.unique(seen["star"] >= limit).tolist()) <= {False, True}
    assert ((seen["star"] == 0) | (seen["star"] >= limit)).all()
    # A third of the limit: three sigma.
    assert (seen["star"] > 0).mean() == pytest.approx(1.35e-3, rel=0.15)
    np.testing.assert_allclose(seen["mass"], 1e3, rtol=1e-5)


def test_perfect_instruments_leave_the_maps_in_the_frame():
    level, sky = LEVELS[PERFECT], place(PLANCK, 0.3)
    blob = np.exp(-8.0 * WIDE.radius**2).astype(np.float32)[None]
    ideal = {"sz": 1e-4 * blob, "xray": 1e-6 * blob, "star": 1e7 * blob, "mass": 1e9 * blob,
             "temperature": np.full_like(blob, 5.0)}  # fmt: skip
    expected = expect(level, WIDE, KEY, 1500.0, sky, 2e9, ideal)
    seen = observe_halo(level, KEY, expected)
    rows, columns = Frame.draw(KEY, 0).matrices(WIDE)
    for view in ("sz", "star"):
        plain = rows @ ideal[view][0] @ columns.T
        np.testing.assert_allclose(seen[view][0], plain, rtol=1e-5, atol=1e-6 * plain.max())
    for view in ("xray", "shear1", "shear2"):
        np.testing.assert_allclose(seen[view], expected.maps[view], atol=1e-3 * expected.maps[view].max())


def test_noise_is_the_halos_own_and_comes_back():
    level, sky = LEVELS["wide"], place(PLANCK, 0.3)
    expected = expect(level, WIDE, KEY, 1500.0, sky, 2e9, empty_views(1))
    first, again = (observe_halo(level, KEY, expected) for _ in range(2))
    other = observe_halo(level, KEY._replace(halo_id=78), expected)
    for view in ("sz", "xray", "shear1"):
        np.testing.assert_array_equal(first[view], again[view])
        assert (first[view] != other[view]).any()
    assert draw_redshift(KEY, (0.1, 0.6)) == draw_redshift(KEY._replace(simulation="twin"), (0.1, 0.6))
    draws = [draw_redshift(KEY._replace(halo_id=number), (0.1, 0.6)) for number in range(400)]
    assert np.mean(draws) == pytest.approx(0.35, abs=0.02) and min(draws) > 0.1 and max(draws) < 0.6


def test_noise_on_tensors_has_the_same_moments():
    draw = torch.Generator().manual_seed(1)
    rate = observe_rate(torch.zeros(400, 400), 3e-3, torch.tensor(500.0), draw)
    assert float(rate.mean()) == pytest.approx(3e-3, rel=0.01)
    assert float(rate.var()) == pytest.approx(3e-3 / 500.0, rel=0.02)
    stars = detect_stars(torch.full((400, 400), 2.0), torch.tensor(1.0), draw)
    assert float(stars.std()) == pytest.approx(1 / 3, rel=0.02)


# -- frame ---------------------------------------------------------------------------------------------------


def test_resampling_keeps_mass_and_place():
    x, y = np.meshgrid(WIDE.centres, WIDE.centres)
    blob = np.exp(-0.5 * ((x - 0.2) ** 2 + (y + 0.1) ** 2) / 0.12**2)
    frame = Frame(1.1, 0.05, -0.03)
    rows, columns = frame.matrices(WIDE)
    seen = rows @ blob @ columns.T
    assert seen.sum() * (0.025 * 1.1) ** 2 == pytest.approx(blob.sum() * 0.025**2, rel=1e-3)
    centres = (np.arange(80) - 39.5) * 0.025
    mean_x = (seen.sum(0) * centres).sum() / seen.sum()
    mean_y = (seen.sum(1) * centres).sum() / seen.sum()
    assert mean_x * 1.1 + 0.05 == pytest.approx(0.2, abs=1e-3)
    assert mean_y * 1.1 - 0.03 == pytest.approx(-0.1, abs=1e-3)
    np.testing.assert_allclose(resampling_matrix(WIDE, 80, 0.025, 0.0).sum(1), 1.0)
    with pytest.raises(InputError, match="do not hold a frame"):
        resampling_matrix(WIDE, 80, 0.025, 0.7)


def test_frames_scatter_as_stated():
    frames = [Frame.draw(KEY, los) for los in range(3000)]
    assert np.std(np.log10([f.radius for f in frames])) == pytest.approx(0.03, rel=0.05)
    # Each coordinate of a Rayleigh distance is Gaussian.
    assert np.std([[f.x, f.y] for f in frames]) == pytest.approx(0.03, rel=0.05)


# -- lensing -------------------------------------------------------------------------------------------------


def nfw_convergence(x: np.ndarray) -> np.ndarray:
    """Sigma / (rho_s r_s) of an NFW halo: Wright & Brainerd (2000), equation 11."""
    result = np.full(x.shape, 2.0 / 3.0)
    low, high = x < 1, x > 1
    a, b = x[low], x[high]
    result[low] = 2 / (a**2 - 1) * (1 - 2 / np.sqrt(1 - a**2) * np.arctanh(np.sqrt((1 - a) / (1 + a))))
    result[high] = 2 / (b**2 - 1) * (1 - 2 / np.sqrt(b**2 - 1) * np.arctan(np.sqrt((b - 1) / (1 + b))))
    return result


def nfw_mean_convergence(x: np.ndarray) -> np.ndarray:
    """The mean of it inside x: their equation 13."""
    result = 4 * (1 + np.log(0.5)) * np.ones_like(x)
    low, high = x < 1, x > 1
    a, b = x[low], x[high]
    inner = 2 / np.sqrt(1 - a**2) * np.arctanh(np.sqrt((1 - a) / (1 + a))) + np.log(a / 2)
    outer = 2 / np.sqrt(b**2 - 1) * np.arctan(np.sqrt((b - 1) / (1 + b))) + np.log(b / 2)
    result[low], result[high] = 4 / a**2 * inner, 4 / b**2 * outer
    return result


def tangential(gamma1: np.ndarray, gamma2: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle = 2 * np.arctan2(y, x)
    return -gamma1 * np.cos(angle) - gamma2 * np.sin(angle)


def test_shear_of_an_nfw_halo():
    """To 2 % of Wright & Brainerd outside two pixels of the centre, ring by ring to R200c."""
    finer, scale = 8, 0.2
    fine = MapGrid(120 * finer, 3.0)
    x = fine.radius / scale
    kappa = (0.2 * nfw_convergence(x)).reshape(120, finer, 120, finer).mean((1, 3))
    truth = 0.2 * (nfw_mean_convergence(x) - nfw_convergence(x))
    truth = truth.reshape(120, finer, 120, finer).mean((1, 3))
    columns, rows = np.meshgrid(WIDE.centres, WIDE.centres)
    found = tangential(*shear_from_convergence(kappa), columns, rows)
    radius = WIDE.radius
    for low in np.arange(0.05, 1.0, 0.05):
        ring = (radius >= low) & (radius < low + 0.05)
        assert found[ring].mean() == pytest.approx(truth[ring].mean(), rel=0.02)
    # The shape of one sheared pixel to the right: stretched along y, so gamma_1 is below 0.
    assert shear_from_convergence(kappa)[0][60, 90] < 0


def test_kaiser_squires_goes_there_and_back():
    x, y = np.meshgrid(offsets(96), offsets(96))
    kappa = np.exp(-0.5 * (x**2 + 2 * y**2) / 5.0**2) + 0.3 * np.exp(-0.5 * ((x - 9) ** 2 + y**2) / 4.0**2)
    gamma = shear_from_convergence(kappa, padding=1)
    back = convergence_from_shear(*gamma, padding=1)
    np.testing.assert_allclose(back, kappa - kappa.mean(), atol=1e-6)


def test_reduced_shear_is_capped():
    kappa = np.zeros((60, 60), np.float32)
    kappa[28:32, 28:32] = 1.2
    g = np.hypot(*reduced_shear(kappa))
    assert np.isfinite(g).all() and g.max() <= 1 + 1e-6
    weak = 1e-3 * kappa
    np.testing.assert_allclose(
        reduced_shear(weak)[0], shear_from_convergence(weak)[0] / (1 - weak), rtol=1e-4, atol=1e-9
    )


def test_critical_density_and_its_limits():
    sky = place(PLANCK, 0.3)
    # c^2 / (4 pi G) D_s / (D_l D_ls) with distances of 0.94, 1.66 and 1.05 Gpc
    assert critical_density_of(PLANCK, sky, 1.0) == pytest.approx(2.74e9, rel=0.03)
    with pytest.raises(InputError, match="before a lens"):
        critical_density_of(PLANCK, sky, 0.2)
    with pytest.raises(InputError, match="above 0"):
        place(PLANCK, 0.0)


def test_levels_say_where_their_figures_come_from():
    for level in LEVELS.values():
        for instrument in (level.sz, level.xray, level.star, level.shear):
            assert instrument is None or instrument.source
        assert level.views[-1] == schema.TARGET
        assert Level.of_recipe(observed_recipe("name: mini-wide", level)) == level
    with pytest.raises(InputError, match="no density for a limit of 27 mag"):
        StarInstrument(27.0, "assumed")


def test_symmetries_of_the_square_turn_the_shear_too():
    """The shear of a turned map is the turned shear: a field of spin 2."""
    beam = beam_matrix(24, 4.0)
    kappa = separable(np.random.default_rng(2).random((24, 24)), beam, beam)
    gamma = torch.from_numpy(np.stack(shear_from_convergence(kappa)))
    for number in range(8):
        turned = apply_symmetry(torch.from_numpy(kappa), number).numpy()
        wanted = np.stack(shear_from_convergence(np.ascontiguousarray(turned)))
        found = apply_symmetry(gamma, number, ("shear1", "shear2")).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-6)
