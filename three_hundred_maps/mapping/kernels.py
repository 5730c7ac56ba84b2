"""SPH kernels seen in projection. Lengths are in units of the radius where the kernel ends."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError

Array = NDArray[np.float64]


def _cubic_spline(q: Array) -> Array:
    return 8.0 / math.pi * np.where(q < 0.5, 1.0 - 6.0 * q**2 * (1.0 - q), 2.0 * (1.0 - q) ** 3)


def _wendland_c2(q: Array) -> Array:
    return 21.0 / (2.0 * math.pi) * (1.0 - q) ** 4 * (1.0 + 4.0 * q)


def _wendland_c4(q: Array) -> Array:
    return 495.0 / (32.0 * math.pi) * (1.0 - q) ** 6 * (1.0 + 6.0 * q + 35.0 / 3.0 * q**2)


KERNELS: dict[str, Callable[[Array], Array]] = {
    "cubic_spline": _cubic_spline,
    "wendland_c2": _wendland_c2,
    "wendland_c4": _wendland_c4,
}
"""Three-dimensional kernels on 0 <= q <= 1, normalised to 1 (Monaghan 1992; Dehnen & Aly 2012)."""
SPREAD_KERNEL = "wendland_c4"
"""Of views that are spread to neighbours (`View.spread`)."""

_COLUMN_POINTS = 4097
_GAUSS_POINTS = 200


def check_kernel(name: str) -> str:
    """The name itself, when there is such a kernel; else InputError."""
    if name not in KERNELS:
        raise InputError(f"SPH kernel {name!r} is not known: use {', '.join(KERNELS)}")
    return name


@functools.cache
def _column_table(name: str) -> Array:
    kernel = KERNELS[check_kernel(name)]
    nodes, weights = np.polynomial.legendre.leggauss(_GAUSS_POINTS)
    b = np.linspace(0.0, 1.0, _COLUMN_POINTS)
    half_chord = np.sqrt(1.0 - b**2)
    z = 0.5 * half_chord[:, None] * (nodes + 1.0)
    q = np.minimum(np.sqrt(b[:, None] ** 2 + z**2), 1.0)
    # twice the half chord, whose Gauss weights sum to 2
    return half_chord * np.sum(weights * kernel(q), axis=1)


def look_up(table: Array, place: Array) -> Array:
    """Linear interpolation at ``place`` = 0 ... len(table) - 1, and the end values beyond."""
    place = np.clip(place, 0.0, len(table) - 1.0)
    left = np.minimum(place.astype(np.int32), len(table) - 2)
    low = table[left]
    return low + (place - left) * (table[left + 1] - low)


def column(name: str, b: Array) -> Array:
    """Integral of the kernel along a line that passes at distance ``b`` >= 0 (0 beyond 1)."""
    return look_up(_column_table(name), np.asarray(b) * (_COLUMN_POINTS - 1.0))


@functools.cache
def sigma(name: str) -> float:
    """Standard deviation of the projected kernel along one axis."""
    nodes, weights = np.polynomial.legendre.leggauss(_GAUSS_POINTS)
    q = 0.5 * (nodes + 1.0)
    second_moment = float(np.sum(0.5 * weights * 4.0 * math.pi * q**4 * KERNELS[check_kernel(name)](q)))
    return math.sqrt(second_moment / 3.0)
