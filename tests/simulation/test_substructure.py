"""Substructure from particles: smooth halos have none, planted lumps are found, finders agree."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from three_hundred_maps.simulation import substructure
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.particles import Cutout, Particles
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.substructure import substructure_from_particles
from three_hundred_maps.simulation.synthetic.region import simulate_region
from three_hundred_maps.simulation.synthetic.setup import COSMOLOGY
from three_hundred_maps.simulation.synthetic.universe import draw_halos
from three_hundred_maps.testing import analytic_cluster

R200 = 1500.0


def smooth_halo(n: int = 30_000, seed: int = 0) -> Cutout:
    return analytic_cluster(n_gas=10, n_stars=10, n_dark=n, R200c_kpc=R200, seed=seed).cutout


def with_dark_matter(cutout: Cutout, position: NDArray[np.float32]) -> Cutout:
    mass = np.full(len(position), cutout["dark_matter"].mass[0], np.float32)
    dark = Particles(position, mass, np.arange(len(position)))
    return replace(cutout, particles={**cutout.particles, "dark_matter": dark})


def plant(cutout: Cutout, share: float, places: list[tuple[float, float, float]], seed: int = 1) -> Cutout:
    """Plummer spheres at ``places`` (R200c), together ``share`` of what lies within R200c."""
    rng = np.random.default_rng(seed)
    position = cutout["dark_matter"].position
    inside = np.count_nonzero((position**2).sum(axis=1) < R200**2)
    number = round(share / (1.0 - share) * inside / len(places))
    parts = [position]
    for place in places:
        radius = 0.012 / np.sqrt(rng.uniform(0.0, 0.97, number) ** (-2.0 / 3.0) - 1.0)
        direction = rng.standard_normal((number, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        parts.append(((np.array(place) + radius[:, None] * direction) * R200).astype(np.float32))
    return with_dark_matter(cutout, np.concatenate(parts))


PLACES = [(0.5, 0.1, 0.0), (-0.3, 0.55, 0.2), (0.0, -0.4, -0.6), (0.2, 0.2, 0.7)]


@pytest.mark.parametrize("seed", range(4))
def test_a_smooth_halo_has_next_to_none(seed: int) -> None:
    assert substructure_from_particles(smooth_halo(seed=seed), R200) < 0.003


@pytest.mark.parametrize(("share", "within"), [(0.02, 0.2), (0.08, 0.2), (0.2, 0.35)])
def test_planted_lumps_are_found_with_their_mass(share: float, within: float) -> None:
    # A fifth of the mass in four lumps at one radius is part of what is typical there.
    found = substructure_from_particles(plant(smooth_halo(), share, PLACES), R200)
    assert found == pytest.approx(share, rel=within)


def test_a_lump_beyond_r200c_does_not_count() -> None:
    assert substructure_from_particles(plant(smooth_halo(), 0.1, [(0.0, 1.2, 0.0)]), R200) < 0.003


def test_mirrored_and_scaled_it_is_the_same() -> None:
    cutout = plant(smooth_halo(), 0.1, PLACES)
    truth = substructure_from_particles(cutout, R200)
    position = cutout["dark_matter"].position
    mirrored = with_dark_matter(cutout, position[:, ::-1] * np.float32([1, -1, 1]))
    assert substructure_from_particles(mirrored, R200) == pytest.approx(truth, rel=1e-3)
    doubled = with_dark_matter(cutout, position * np.float32(2.0))
    assert substructure_from_particles(doubled, 2 * R200) == pytest.approx(truth, rel=1e-3)


def test_thinned_it_is_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    cutout = plant(smooth_halo(60_000), 0.1, PLACES)
    truth = substructure_from_particles(cutout, R200)
    monkeypatch.setattr(substructure, "MOST_PARTICLES", 20_000)
    assert substructure_from_particles(cutout, R200) == pytest.approx(truth, rel=0.15)


def test_too_few_particles_give_nothing() -> None:
    assert math.isnan(substructure_from_particles(smooth_halo(1_000), R200))
    none = with_dark_matter(smooth_halo(10), np.zeros((0, 3), np.float32))
    assert math.isnan(substructure_from_particles(none, R200))


def test_against_the_subhaloes_of_a_catalogue(tmp_path: Path) -> None:
    """Regions whose catalogue lists the subhaloes that were put in, bound masses and all."""
    bound, found = [], []
    for region in (10, 29, 55, 69):  # several halos each, and few particles a halo
        files = simulate_region(tmp_path, seed=5151, region=region, flavour="gizmo")
        opened = Region.open(files.snapshot)
        halos = read_catalogue("ahf", files.catalogue, cosmology=COSMOLOGY, redshift=0.0)
        for row in range(len(draw_halos(5151, region))):
            if halos.M200c_msun[row] > 4e13:
                cutout = opened.cutout(halos.centre_kpc[row], 1.2 * halos.R200c_kpc[row])
                bound.append(halos.f_sub[row])
                found.append(substructure_from_particles(cutout, halos.R200c_kpc[row]))
    ranks = [np.argsort(np.argsort(values)) for values in (bound, found)]
    assert len(found) >= 9
    assert np.corrcoef(*ranks)[0, 1] > 0.6  # 0.87 over 24 halos
    assert 0.7 < np.median(np.array(found) / np.array(bound)) < 1.2
