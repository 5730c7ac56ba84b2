"""Starlight: ages, magnitudes against published ones, and maps of populations whose light is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from three_hundred_maps.display import SOLAR_MAGNITUDE, SURFACE_BRIGHTNESS
from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import VIEWS, HaloGrid, MapContext, lines_of_sight, render
from three_hundred_maps.mapping.star_light import BANDS, magnitude, table
from three_hundred_maps.mapping.views import context_of_halo
from three_hundred_maps.plot import colour_bar, draw_map, new_figure
from three_hundred_maps.simulation.cosmology import MDPL2, Cosmology
from three_hundred_maps.simulation.particles import Particles
from three_hundred_maps.simulation.stellar_mass import mass_left
from three_hundred_maps.testing import analytic_cluster

PARSEC = {
    # age in yr, metals: g, r, i, z of 1 Msun (CMD 3.7, PARSEC and COLIBRI isochrones, LSST's bands)
    (1.0e10, 0.00098): (6.609, 6.060, 5.830, 5.731),
    (1.0e10, 0.00385): (6.888, 6.243, 5.960, 5.826),
    (1.0e10, 0.00605): (6.987, 6.306, 6.010, 5.866),
}


def test_ages_of_a_flat_universe_are_the_analytic_ones() -> None:
    a = np.array([1e-4, 0.1, 0.5, 1.0])
    m, vacuum = 0.307, 0.693
    exact = 2.0 / (3.0 * np.sqrt(vacuum)) * np.arcsinh(np.sqrt(vacuum / m) * a**1.5) * 9.777922 / 0.6777
    np.testing.assert_allclose(Cosmology(0.6777, m, vacuum).age_gyr(a), exact, rtol=2e-5)
    matter = Cosmology(0.7, 1.0, 0.0).age_gyr(1.0)
    assert matter == pytest.approx(2.0 / 3.0 * 9.777922 / 0.7, rel=1e-6)


def test_the_table_is_met_at_its_points_and_held_at_its_ends() -> None:
    log_ages, log_metals, columns = table()
    magnitudes = np.stack([columns[band] for band in BANDS], axis=-1)
    age, metals = np.meshgrid(10.0**log_ages, 10.0**log_metals, indexing="ij")
    for k, band in enumerate(BANDS):
        np.testing.assert_allclose(magnitude(band, age, metals), magnitudes[..., k], rtol=0, atol=1e-12)
    # half way in one of the two
    middle = magnitude("r", np.sqrt(age[1:] * age[:-1]), metals[1:])
    np.testing.assert_allclose(middle, (magnitudes[1:, :, 1] + magnitudes[:-1, :, 1]) / 2.0, atol=1e-12)
    middle = magnitude("r", age[:, 1:], np.sqrt(metals[:, 1:] * metals[:, :-1]))
    np.testing.assert_allclose(middle, (magnitudes[:, 1:, 1] + magnitudes[:, :-1, 1]) / 2.0, atol=1e-12)
    np.testing.assert_array_equal(magnitude("r", [-1.0, 0.0, 99.0], 0.02), magnitudes[[0, 0, -1], -2, 1])
    np.testing.assert_array_equal(magnitude("r", age[5, 0], [0.0, 1e-9, 0.9]), magnitudes[5, [0, 0, -1], 1])


def test_other_published_models_agree() -> None:
    """PARSEC's magnitudes; and relations of colour and mass-to-light ratio, for old stars of solar metals."""
    for (age, metals), published in PARSEC.items():
        found = [float(magnitude(band, age / 1e9, metals)) for band in BANDS]
        np.testing.assert_allclose(found, published, atol=0.15)
    g, r = (float(magnitude(band, 10.0, 0.02)) for band in "gr")
    assert 0.75 < g - r < 0.85
    ratio = float(mass_left(10.0)) * 10.0 ** (0.4 * (r - SOLAR_MAGNITUDE["lum_r"]))
    # log M/L_r = a + b (g - r): Zibetti et al. (2009); Roediger & Courteau (2015) with BC03 and with FSPS
    for a, b in ((-0.840, 1.654), (-0.792, 1.629), (-0.647, 1.497)):
        assert ratio == pytest.approx(10.0 ** (a + b * (g - r)), rel=0.15)


def test_old_and_metal_rich_is_faint_and_red() -> None:
    age, metals = np.linspace(1.0, 13.5, 60)[:, None], np.geomspace(4e-4, 0.05, 40)
    m = {band: magnitude(band, age, metals) for band in BANDS}
    for blue, red in ("gr", "ri", "iz"):
        colour = m[blue] - m[red]
        assert (colour[-1] - colour[0] > 0.02).all() and (np.diff(colour[30:], axis=1) > 0).all()
    assert (np.diff(m["g"] - m["r"], axis=1) > 0).all()
    # fading; the giants of 1 to 3 Gyr make i and z waver
    assert all((np.diff(value[10:], axis=0) > 0).all() for value in m.values())
    reddening = np.diff(magnitude("g", 10.0, [0.005, 0.02]) - magnitude("r", 10.0, [0.005, 0.02]))
    assert 0.08 < reddening[0] < 0.16


def stars(born: float, metals: float, n: int = 400) -> Particles:
    rng = np.random.default_rng(2)
    fields = {
        "formation_time": np.full(n, born, np.float32),
        "metallicity": np.full(n, metals, np.float32),
    }
    position = rng.normal(0.0, 100.0, (n, 3)).astype(np.float32)
    return Particles(position, np.full(n, 2e9, np.float32), np.arange(n), fields)


def test_a_map_holds_the_light_of_its_stars() -> None:
    """Stars of one age and metallicity: the light is their mass at birth times that of a population."""
    cluster = analytic_cluster(metallicity=0.004)
    own = stars(0.4, 0.01)
    cutout = replace(
        cluster.cutout, particles={**cluster.cutout.particles, "stars": own}, cosmology=MDPL2, redshift=0.5
    )
    names = [f"lum_{band}" for band in BANDS]
    views = [VIEWS[name] for name in (*names, "star")]
    maps = render(cutout, views, HaloGrid(cluster.R200c_kpc), *lines_of_sight(1))
    age = float(MDPL2.age_gyr(1.0 / 1.5) - MDPL2.age_gyr(0.4))
    assert 3.0 < age < 5.0
    for band, name in zip(BANDS, names, strict=True):
        light = float(mass_left(age)) ** -1 * 10 ** (
            -0.4 * (float(magnitude(band, age, 0.01)) - SOLAR_MAGNITUDE[name])
        )
        assert maps[name][1][0] == pytest.approx(light * 2e9 * 400, rel=1e-4)
        # spread as the stellar mass is: light is mass times a constant, pixel by pixel
        np.testing.assert_allclose(maps[name][0], light * maps["star"][0], rtol=1e-4)
    context = MapContext(cosmology=MDPL2, redshift=0.5)
    oldest, initial = (VIEWS["lum_r"].contribution(stars(born, 0.01, 3), context) for born in (0.0, -1.0))
    np.testing.assert_array_equal(initial, oldest)  # -1: SWIFT's stars of the initial conditions
    # a Sun's worth of mass of middle age gives less light than the Sun, and young stars give more
    assert maps["lum_r"][1][0] < maps["star"][1][0]


def test_light_needs_the_ages() -> None:
    cluster = analytic_cluster()
    context = context_of_halo(MapContext(), cluster.cutout, cluster.R200c_kpc, [VIEWS["lum_r"]])
    assert context.cosmology is cluster.cutout.cosmology
    assert context_of_halo(MapContext(), cluster.cutout, 1.0, [VIEWS["star"]]).cosmology is None
    bare = replace(stars(0.5, 0.01), fields={})
    with pytest.raises(InputError, match="formation_time"):
        render(
            replace(cluster.cutout, particles={**cluster.cutout.particles, "stars": bare}),
            [VIEWS["lum_r"]], HaloGrid(cluster.R200c_kpc), *lines_of_sight(1),
        )  # fmt: skip


def test_pictures_are_in_magnitudes() -> None:
    """A Sun a square parsec is 21.572 mag arcsec-2 fainter than the Sun at 10 pc."""
    zero = SOLAR_MAGNITUDE["lum_r"] + SURFACE_BRIGHTNESS
    assert zero - 2.5 * np.log10(1e6) == pytest.approx(4.65 + 21.572)
    figure, axes = new_figure(1, 1, (3.0, 3.0))
    maps = np.geomspace(1e3, 1e8, 400).reshape(20, 20)
    colour_bar(figure, draw_map(axes[0][0], "lum_r", maps), axes[0][0], "mag arcsec-2", zero)
    bar = figure.axes[-1]
    marks = [int(text.get_text()) for text in bar.get_xticklabels()]
    assert 3 <= len(marks) <= 9
    np.testing.assert_allclose([zero - 2.5 * np.log10(v) for v in bar.get_xticks()], marks)
