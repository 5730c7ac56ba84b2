"""Stars of the synthetic simulation: masses of particles, the brightest galaxy, the diffuse light."""

from __future__ import annotations

import numpy as np
import pytest

from three_hundred_maps.simulation.stellar_mass import mass_left
from three_hundred_maps.simulation.synthetic.dark_matter import DarkMatter, make_dark_matter
from three_hundred_maps.simulation.synthetic.profiles import at, lengths
from three_hundred_maps.simulation.synthetic.setup import (
    RESOLUTIONS,
    STAR_BIRTH_MASS,
    Resolution,
    check_flavour,
    generators,
)
from three_hundred_maps.simulation.synthetic.stars import Stars, make_stars
from three_hundred_maps.simulation.synthetic.universe import draw_plan

SEED, REGION = 4, 6
LIGHT = RESOLUTIONS["light"]


def _stars(dark: DarkMatter, resolution: Resolution = LIGHT) -> Stars:
    number = check_flavour("gadgetx")
    own = [generators(SEED, REGION, i + 1, 6, number)[4] for i in range(len(dark.halos))]
    shared = [generators(SEED, REGION, i + 1, 8)[6] for i in range(len(dark.halos))]
    return make_stars(dark.halos, "gadgetx", resolution, own, shared)


@pytest.fixture(scope="module")
def dark() -> DarkMatter:
    return make_dark_matter(draw_plan(SEED, REGION), LIGHT)


@pytest.fixture(scope="module")
def stars(dark: DarkMatter) -> Stars:
    return _stars(dark)


def test_a_chabrier_population_keeps_half_of_its_mass() -> None:
    assert mass_left(0.0) == 1.0
    np.testing.assert_allclose(mass_left([1.0, 10.0]), [0.623, 0.517], atol=0.005)


def test_star_particles_have_a_spread_of_masses_and_keep_their_sum(stars: Stars, dark: DarkMatter) -> None:
    assert len(np.unique(stars.mass)) > 0.99 * len(stars.mass)
    assert 0.1 < np.log(stars.mass).std() < 0.25
    assert stars.mass.mean() == pytest.approx(LIGHT.star, rel=1e-6)
    # light has twice The Three Hundred's masses; at birth 4e7 Msun/h
    age = 13.82 * (1.0 - stars.formation.astype(float) ** 1.5)
    assert np.median(stars.mass / mass_left(age)) == pytest.approx(2 * STAR_BIRTH_MASS, rel=0.05)
    for halo in dark.halos:
        budget = halo.budget["gadgetx"]
        r = lengths(stars.particles.position - halo.centre) / halo.radius
        total = stars.mass[r < budget.r500].sum() / halo.mass
        assert total == pytest.approx(budget.f_star * budget.m500, rel=0.01)


def test_the_brightest_galaxy_is_compact(stars: Stars, dark: DarkMatter) -> None:
    halo = dark.halos[0]
    r = lengths(stars.particles.position - halo.centre)
    assert 20.0 < np.median(r[r < 0.1 * halo.radius]) < 50.0  # kpc
    satellites = stars.galaxies[0].stellar_mass[1:]
    assert stars.galaxies[0].stellar_mass[0] > satellites.max()


def test_diffuse_light_is_steeper_than_dark_matter_and_follows_streams(
    stars: Stars, dark: DarkMatter
) -> None:
    halo = dark.halos[0]
    first = sum(int(c.sum()) for c in stars.satellite_counts) + sum(stars.debris_counts)
    place = (stars.particles.position[first:] - halo.centre) / halo.radius
    r = lengths(place)
    counts = np.histogram(r, [0.1, 0.2, 0.5, 1.0])[0]
    mass = np.diff(at(np.array([0.1, 0.2, 0.5, 1.0]), halo.profile.mass))
    assert (np.diff(np.log(counts)) < np.diff(np.log(mass)) - 0.2).all()
    # nearer to stripped dark matter than the same light turned around the centre is
    from scipy.spatial import cKDTree

    shell = (r > 0.3) & (r < 0.8)
    tree = cKDTree(halo.satellites.stream_position)
    light, turned = (tree.query(sign * place[shell])[0] for sign in (1.0, -1.0))
    assert np.median(light) < 0.9 * np.median(turned)


def test_particle_mass_changes_no_total(stars: Stars, dark: DarkMatter) -> None:
    few = _stars(dark, Resolution("few", LIGHT.dark_matter, LIGHT.gas, 4.0 * LIGHT.star))
    assert len(few.mass) == pytest.approx(len(stars.mass) / 4.0, rel=0.03)
    assert few.mass.sum() == pytest.approx(stars.mass.sum(), rel=0.03)
