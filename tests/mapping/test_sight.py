"""Lines of sight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import lines_of_sight
from three_hundred_maps.mapping.lines_of_sight import rotations

COORDINATE = st.floats(-1e300, 1e300)


def test_twenty_nine_cover_the_half_sphere_evenly():
    vectors, ups = lines_of_sight(29)
    assert vectors.shape == ups.shape == (29, 3)
    both = np.concatenate([vectors, -vectors])
    angle = np.degrees(np.arccos(np.clip(both @ both.T - 2 * np.eye(58), -1, 1)))
    assert angle.min() > 15.0  # 58 points at equal distances would be 29 degrees apart
    # no direction is far from all of them
    probe = np.random.default_rng(0).normal(size=(4000, 3))
    probe /= np.linalg.norm(probe, axis=1, keepdims=True)
    assert np.degrees(np.arccos(np.abs(probe @ vectors.T).max(axis=1))).max() < 24.0
    again, _ = lines_of_sight(29)
    assert (again == vectors).all()


@given(st.lists(st.tuples(COORDINATE, COORDINATE, COORDINATE), min_size=1, max_size=5))
def test_any_vectors_make_right_handed_frames(given_vectors):
    if any(max(map(abs, v)) == 0.0 for v in given_vectors):
        with pytest.raises(InputError, match="not zero"):
            lines_of_sight(given_vectors)
        return
    vectors, ups = lines_of_sight(given_vectors)
    turn = rotations(vectors, ups)
    assert np.allclose(turn @ turn.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(turn), 1.0)
    for row, vector in zip(given_vectors, vectors, strict=True):
        scaled = np.array(row) / np.max(np.abs(row))
        assert scaled @ vector == pytest.approx(np.linalg.norm(scaled))


def test_up_is_the_box_s_z_and_near_it_y():
    _, ups = lines_of_sight([[1, 0, 0], [0, 0, 1], [0, -2, 0.01]])
    assert np.allclose(ups[:2], [[0, 0, 1], [0, 1, 0]])
    assert ups[2, 2] > 0.99


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (0, "at least 1"),
        (-3, "at least 1"),
        ([[0.0, 0.0, 0.0]], "not zero"),
        ([[1.0, 0.0, 0.0], [np.nan, 0.0, 0.0]], "vector 1"),
        ([[1.0, 2.0]], r"\(n, 3\)"),
        ([], r"\(n, 3\)"),
        ("north", "number"),
    ],
)
def test_lines_of_sight_that_cannot_be(bad, words):
    with pytest.raises(InputError, match=words):
        lines_of_sight(bad)


def test_rotations_refuse_what_is_not_a_frame():
    n, u = lines_of_sight(2)
    for vectors, ups in ((n, n), (2 * n, u), (n, np.full_like(u, np.nan)), (n[:1], u), (n[:0], u[:0])):
        with pytest.raises(InputError):
            rotations(vectors, ups)
