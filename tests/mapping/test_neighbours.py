"""Distances to the n-th neighbour against all distances."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from three_hundred_maps.mapping.kd_tree import neighbour_distance


def true_distance(position, neighbours):
    apart = position.astype("f8")[:, None] - position.astype("f8")[None]
    k = min(neighbours, len(position) - 1)
    return np.sort(np.sqrt((apart**2).sum(axis=2)), axis=1)[:, k]


@example(n=0, neighbours=32, clumps=0, coincident=0.0, decades=0.0, offset=0.0, seed=0)
@example(n=33, neighbours=32, clumps=0, coincident=1.0, decades=0.0, offset=0.0, seed=0)
@example(n=900, neighbours=32, clumps=3, coincident=0.5, decades=12.0, offset=0.0, seed=0)
@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 500),
    neighbours=st.sampled_from([1, 2, 31, 32, 200]),
    clumps=st.integers(0, 5),
    coincident=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    decades=st.floats(0.0, 15.0),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_every_distance_is_that_of_the_nth_neighbour(
    n, neighbours, clumps, coincident, decades, offset, seed
):
    rng = np.random.default_rng(seed)
    position = rng.normal(size=(n, 3)) * 10.0 ** rng.uniform(-decades, 0.0, (n, 1))
    for _ in range(clumps):
        some = rng.random(n) < 0.2
        position[some] = rng.normal(size=3) + 10.0 ** rng.uniform(-decades - 1.0, 0.0) * position[some]
    position[rng.random(n) < coincident] = rng.normal(size=3)
    position = (position + offset).astype("f4")
    found = neighbour_distance(position, neighbours)
    assert found.dtype == np.float32 and found.shape == (n,)
    if n:
        np.testing.assert_allclose(found, true_distance(position, neighbours), rtol=1e-6, atol=0.0)


def test_order_and_layout_of_the_particles_do_not_matter():
    rng = np.random.default_rng(1)
    position = rng.standard_cauchy((3000, 3)).astype("f4")
    found = neighbour_distance(position, 32)
    shuffled = rng.permutation(len(position))
    np.testing.assert_array_equal(neighbour_distance(position[shuffled], 32), found[shuffled])
    np.testing.assert_array_equal(neighbour_distance(np.asfortranarray(position), 32), found)
