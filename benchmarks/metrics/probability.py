"""Probabilistic scores: of a Gaussian sigma, and of n samples of a map, against the truth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def gaussian_coverage(residual: Array, sigma: Array, nominal: float) -> Array:
    """(map,): share of pixels with abs(r) inside the Gaussian's central interval of content ``nominal``.

    Parameters
    ----------
    residual, sigma
        (map, pixel), dex.
    """
    from scipy.special import ndtri

    return np.mean(np.abs(residual) <= float(ndtri(0.5 + 0.5 * nominal)) * sigma, axis=1)


def gaussian_crps(residual: Array, sigma: Array) -> Array:
    """(map,): mean over pixels of the continuous ranked probability score, dex.

    Gneiting & Raftery (2007), closed form for a Gaussian: sigma (z (2 Phi(z) - 1) + 2 phi(z) -
    1 / sqrt(pi)) with z = r / sigma.
    """
    from scipy.special import erf

    z = residual / sigma
    density = np.exp(-0.5 * z * z) * (2.0 / math.sqrt(2.0 * math.pi))
    return np.mean(sigma * (z * erf(z / math.sqrt(2.0)) + density - 1.0 / math.sqrt(math.pi)), axis=1)


def fair_crps(samples: Array, truth: Array) -> Array:
    """(map, pixel): the fair CRPS, the units of ``truth``; its mean is that of infinitely many samples.

    Ferro (2014): mean abs(x_i - t) - sum_ij abs(x_i - x_j) / (2 n (n - 1)).

    Parameters
    ----------
    samples
        (map, sample, pixel), at least two samples.
    truth
        (map, pixel).
    """
    n = samples.shape[1]
    ordered = np.sort(samples, axis=1)
    # sum_ij abs(x_i - x_j) = 2 sum_k (2 k - n + 1) x_(k), k from 0.
    weights = (2.0 * np.arange(n) - n + 1.0) / (n * (n - 1.0))
    spread = np.einsum("k,mkp->mp", weights, ordered)
    # Never negative (a mean over pairs of samples, each by the triangle's inequality), but for rounding.
    return np.maximum(np.abs(samples - truth[:, None]).mean(axis=1) - spread, 0.0)


def energy_score(samples: Array, truth: Array) -> Array:
    """(map,): the fair energy score (Gneiting & Raftery 2007), distance the rms over pixels.

    Parameters
    ----------
    samples
        (map, sample, pixel), at least two samples.
    truth
        (map, pixel).
    """
    n = samples.shape[1]
    # Distances from products: of differences to the truth, so that few digits are lost.
    d = samples - truth[:, None]
    products = d @ d.transpose(0, 2, 1) / d.shape[2]
    squares = np.diagonal(products, axis1=1, axis2=2)
    between = np.sqrt(np.maximum(squares[:, :, None] + squares[:, None, :] - 2.0 * products, 0.0))
    return np.maximum(np.sqrt(squares).mean(axis=1) - between.sum(axis=(1, 2)) / (2.0 * n * (n - 1.0)), 0.0)


def truth_ranks(samples: Array, truth: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """(map, ...): how many samples lie below the truth, 0 to n; among equal ones the place is drawn.

    Parameters
    ----------
    samples
        (map, sample, ...).
    truth
        (map, ...).
    rng
        Draws the places.
    """
    ranks = np.sum(samples < truth[:, None], axis=1, dtype=np.int64)
    equal = np.sum(samples == truth[:, None], axis=1, dtype=np.int64)
    # The draw is made for all, so that it does not depend on which are equal.
    return ranks + np.floor(rng.random(ranks.shape) * (equal + 1)).astype(np.int64)


def rank_shares(samples: int, levels: Array) -> Array:
    """(rank, level): the share of the truths of a rank that count below each level.

    A truth of rank r among n samples of its own distribution lies, in the cumulative distribution, anywhere
    in r / (n + 1) to (r + 1) / (n + 1) with equal probability: a level within is passed by a part. So the
    share below a level is the level, whatever n.

    Parameters
    ----------
    samples
        n.
    levels
        Between 0 and 1.
    """
    ranks = np.arange(samples + 1)[:, None]
    return np.clip(levels * (samples + 1) - ranks, 0.0, 1.0)
