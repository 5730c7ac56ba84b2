"""Where a submission gives ``mass_sigma``: are its Gaussian errors of l(m) true?"""

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
