"""The half-sample: a random, seeded half of the particles, the same in every cut-out and line of sight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.particles import SPECIES

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def splitmix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The SplitMix64 generator's output for each state (Steele, Lea & Flood 2014)."""
    z = values + _STEP
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def in_random_half(species: str, index: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which particles are in the random half.

    Parameters
    ----------
    species
        One of `SPECIES`: its number is part of what is hashed.
    index
        (n,) rows of the particles within their species in the snapshot.
    seed
        Of the choice; any integer.

    Returns
    -------
    (n,) bool
    """
    key = np.array([seed % 2**64], dtype=np.uint64)
    key = splitmix64(splitmix64(key) + np.uint64(SPECIES.index(species)))
    hashed = splitmix64(splitmix64(index.astype(np.uint64)) ^ key)
    return (hashed & np.uint64(1)) == 0
