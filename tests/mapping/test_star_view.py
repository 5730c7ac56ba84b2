"""The star view hides the mass of a star particle: what connected pixels sum to tells nothing of R200c."""

from __future__ import annotations

import numpy as np
import pytest
from mapping_helpers import cutout, frame, particles
from scipy import ndimage

from three_hundred_maps.mapping import get_view, render

ALONG_Z = (np.array([[0.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 0.0]]))
STAR, GRAINY, MASS = (get_view(name) for name in ("star", "star_grainy", "mass"))


def smallest_blob(stars: np.ndarray) -> float:
    """The least sum of connected pixels that hold anything: of a map of grains, a star particle's mass."""
    labels, number = ndimage.label(stars > 0)
    return float(np.min(ndimage.sum_labels(stars, labels, np.arange(1, number + 1))))


def cluster(seed: int, stars: int):
    """A concentrated cluster of equal particles; its size is the grid's."""
    rng = np.random.default_rng(seed)
    radius = 15.0 * rng.random(stars) ** 2
    direction = rng.normal(size=(stars, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    return cutout(stars=particles(radius[:, None] * direction))


def test_grains_give_the_particles_mass_away_and_the_star_view_does_not() -> None:
    shape = frame()
    recovered: dict[str, list[float]] = {"star": [], "star_grainy": []}
    for seed in range(8):
        made = render(cluster(seed, 300), [STAR, GRAINY], shape, *ALONG_Z)
        for name, found in recovered.items():
            found.append(smallest_blob(made[name][0][0]) * shape.pixel_area_kpc2)
    # the test's particles weigh 1: the attack succeeds on grains to a few parts in a thousand
    assert np.median(recovered["star_grainy"]) == pytest.approx(1.0, rel=0.02)
    assert np.min(recovered["star"]) > 100.0


@pytest.mark.parametrize("stars", [1, 5, 32, 33])
def test_few_stars_are_spread_too(stars: int) -> None:
    shape = frame()
    maps, total = render(cluster(3, stars), [STAR], shape, *ALONG_Z)["star"]
    assert maps.sum() * shape.pixel_area_kpc2 == pytest.approx(total[0], rel=1e-6)
    if stars < 33:
        assert np.mean(maps > 0) > 0.5


def test_the_kernels_are_exact_and_other_views_stay_as_they_were() -> None:
    box, shape = cluster(5, 200), frame()
    together = render(box, [STAR, MASS, GRAINY], shape, *ALONG_Z)
    alone = render(box, [MASS], shape, *ALONG_Z)["mass"]
    assert np.array_equal(together["mass"][0], alone[0])
    assert np.array_equal(together["mass"][0], together["star_grainy"][0])
    truth, _ = render(box, [STAR], shape, *ALONG_Z, backend="reference")["star"]
    lit = truth > 1e-3 * truth.max()
    errors = np.abs(together["star"][0] - truth)[lit] / truth[lit]
    assert np.median(errors) < 4e-3 and np.quantile(errors, 0.99) < 3e-2
