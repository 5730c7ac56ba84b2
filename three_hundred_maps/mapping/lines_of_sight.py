"""Lines of sight: a fixed quasi-uniform set on the half sphere, or the user's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from three_hundred_maps.errors import InputError

GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))


def lines_of_sight(
    n_or_vectors: int | Sequence[Sequence[float]] | NDArray[np.generic],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors to the observer, and which way is up on each map.

    Parameters
    ----------
    n_or_vectors
        A number n: n directions as far from each other, and from each other's opposites (which would give
        mirrored maps), as they can be; always the same ones. Or vectors of any length, (n, 3).

    Returns
    -------
    vectors, up_vectors
        (n, 3) float64 each. The up vector is the direction of the map's +y: the box's z axis as seen by the
        observer, or the box's y axis for lines of sight within 8 degrees of z. The map's +x is
        ``cross(up, vector)``, so that x, y and the direction to the observer are right-handed.

    Raises
    ------
    InputError
        No line of sight, one of length zero, or one that is not finite.
    """
    if isinstance(n_or_vectors, int | np.integer):
        vectors = _spread(int(n_or_vectors))
    else:
        vectors = _unit(n_or_vectors)
    up_vectors = np.zeros_like(vectors)
    near_pole = np.abs(vectors[:, 2]) > math.cos(math.radians(8.0))
    up_vectors[~near_pole, 2] = 1.0
    up_vectors[near_pole, 1] = 1.0
    up_vectors -= np.sum(up_vectors * vectors, axis=1, keepdims=True) * vectors
    up_vectors /= np.linalg.norm(up_vectors, axis=1, keepdims=True)
    return vectors, up_vectors


_RELAXED_UP_TO = 200
_RELAXATION_STEPS = 300


def _spread(n: int) -> NDArray[np.float64]:
    """A golden spiral on the half sphere z > 0, relaxed as if directions and their opposites repelled."""
    if n < 1:
        raise InputError(f"lines of sight: at least 1 is needed, not {n}")
    i = np.arange(n)
    z = 1.0 - (i + 0.5) / n
    ring = np.sqrt(1.0 - z**2)
    vectors = np.stack([ring * np.cos(i * GOLDEN_ANGLE), ring * np.sin(i * GOLDEN_ANGLE), z], axis=1)
    if n <= _RELAXED_UP_TO:  # many directions are even enough as they are
        for step in np.linspace(0.1, 0.0, _RELAXATION_STEPS, endpoint=False) / math.sqrt(n):
            apart = vectors[:, None, :] - np.concatenate([vectors, -vectors])[None, :, :]
            distance = np.sqrt(np.sum(apart**2, axis=2)) + np.eye(n, 2 * n)
            push = np.sum(apart / distance[:, :, None] ** 3, axis=1)
            push -= np.sum(push * vectors, axis=1, keepdims=True) * vectors
            vectors = vectors + step * push / max(float(np.max(np.linalg.norm(push, axis=1))), 1e-9)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[vectors[:, 2] < 0] *= -1.0
        vectors = np.round(vectors, 6)  # so that every processor has the same ones
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _unit(given: ArrayLike) -> NDArray[np.float64]:
    try:
        vectors = np.atleast_2d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        raise InputError("lines of sight: give a number, or vectors of three numbers each") from None
    if vectors.ndim != 2 or vectors.shape[1] != 3 or len(vectors) == 0:
        raise InputError(f"lines of sight: vectors must be (n, 3) with n >= 1, not {vectors.shape}")
    # scaled by the largest component first, so that neither tiny nor huge vectors lose their direction
    largest = np.max(np.abs(vectors), axis=1, keepdims=True)
    bad = ~np.isfinite(largest[:, 0]) | (largest[:, 0] == 0)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"lines of sight: vector {row} is {vectors[row].tolist()}; it must be finite and not zero"
        )
    vectors = vectors / largest
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rotations(vectors: NDArray[np.float64], up_vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3, 3) matrices whose rows are the map's +x, its +y and the direction to the observer.

    Raises
    ------
    InputError
        When ``vectors`` or ``up_vectors`` are not unit vectors at right angles.
    """
    n = np.asarray(vectors, dtype=np.float64)
    u = np.asarray(up_vectors, dtype=np.float64)
    if n.ndim != 2 or n.shape[1:] != (3,) or u.shape != n.shape or len(n) == 0:
        raise InputError(
            f"lines of sight: vectors {n.shape} and up_vectors {u.shape} must both be (n, 3), n >= 1"
        )
    off = np.abs(np.stack([np.sum(n * n, 1) - 1.0, np.sum(u * u, 1) - 1.0, np.sum(n * u, 1)], axis=1))
    bad = ~(off.max(axis=1) < 1e-6)  # written so that NaN is bad
    if bad.any():
        raise InputError(
            f"lines of sight: number {int(np.argmax(bad))} is not a pair of unit vectors at right angles; "
            "make them with lines_of_sight"
        )
    return np.stack([np.cross(u, n), u, n], axis=1)
