"""The profile of Navarro, Frenk & White (1997): masses inside spheres and cylinders. numpy alone.

Radii are in scale radii r_s, masses in 4 pi rho_s r_s^3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def enclosed_mass(x: ArrayLike) -> NDArray[np.float64]:
    """m(x) = ln(1 + x) - x / (1 + x): the mass inside the sphere of radius ``x``."""
    x = np.asarray(x, np.float64)
    return np.log1p(x) - x / (1.0 + x)


def projected_mass(x: ArrayLike) -> NDArray[np.float64]:
    """g(x): the mass inside the infinite cylinder of radius ``x`` > 0.

    Bartelmann (1996), equation 13 and text: ln(x/2) + arccosh(1/x) / sqrt(1 - x^2) for x < 1, its
    continuation with arccos for x > 1, and 1 + ln(1/2) at x = 1.
    """
    x = np.asarray(x, np.float64)
    result = np.asarray(np.log(0.5 * x) + 1.0)  # of one number too, into which one can write
    low, high = x < 1 - 1e-6, x > 1 + 1e-6
    inner, outer = x[low], x[high]
    result[low] = np.log(0.5 * inner) + np.arccosh(1 / inner) / np.sqrt(1 - inner**2)
    result[high] = np.log(0.5 * outer) + np.arccos(1 / outer) / np.sqrt(outer**2 - 1)
    return result
