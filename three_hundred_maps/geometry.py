"""Geometry of a map: its grid in R200c, the score grid, radii, exact apertures, the floored logarithm.

The builder, the store, the benchmark and the baselines all use these functions; numpy alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
SCORE_FWHM = 0.05
"""FWHM of the score grid's Gaussian, in R200c."""
SIGMA_PER_FWHM = 1.0 / FWHM_PER_SIGMA
TRUNCATE_SIGMA = 4.0
FLOOR_MSUN_KPC2 = 1e6
"""S0 of the benchmark: l(m) = log10(max(m, S0))."""


@dataclass(frozen=True)
class MapGrid:
    """The square grid that is mapped around every halo, in units of R200c.

    Parameters
    ----------
    pixels
        Pixels a side.
    width
        Side of the map; the halo's centre is the middle of the map.
    half_depth
        Half the depth along the line of sight: a particle counts when its centre is inside.
    smoothing_fwhm
        FWHM of the Gaussian that every view is convolved with.

    Raises
    ------
    InputError
        For sizes that are not positive and finite.
    """

    pixels: int = 80
    width: float = 2.0
    half_depth: float = 2.0
    smoothing_fwhm: float = 0.01

    def __post_init__(self) -> None:
        for name in ("width", "half_depth"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"map grid: {name} must be positive and finite, not {value}")
        if self.pixels < 1:
            raise InputError(f"map grid: pixels must be at least 1, not {self.pixels}")
        if not (math.isfinite(self.smoothing_fwhm) and self.smoothing_fwhm >= 0):
            raise InputError(f"map grid: smoothing_fwhm must be 0 or more, not {self.smoothing_fwhm}")

    @property
    def pixel(self) -> float:
        """Side of a pixel, R200c."""
        return self.width / self.pixels

    @property
    def area(self) -> float:
        """Area of a pixel, R200c^2."""
        return self.pixel**2

    @property
    def sigma_px(self) -> float:
        """Standard deviation of the Gaussian smoothing in pixels."""
        return self.smoothing_fwhm / FWHM_PER_SIGMA * self.pixels / self.width

    @functools.cached_property
    def centres(self) -> NDArray[np.float64]:
        """(pixels,): pixel centres along an axis, R200c."""
        return pixel_centres(self.pixels, self.width)

    @functools.cached_property
    def radius(self) -> NDArray[np.float64]:
        """(y, x): distance of the pixel centres from the halo, R200c."""
        return radius_grid(self.pixels, self.pixel)

    @functools.cached_property
    def inside(self) -> NDArray[np.bool_]:
        """(y, x): whether a pixel's centre is inside R200c."""
        return self.radius < 1.0

    @functools.cached_property
    def aperture(self) -> NDArray[np.float64]:
        """(y, x): the share of each pixel's area inside R200c."""
        return aperture_fractions(self.pixels, 1.0, self.pixel)

    def attrs(self) -> dict[str, Any]:
        """As the root attributes of a store say it."""
        return {
            "pixels": self.pixels,
            "width_R200c": self.width,
            "half_depth_R200c": self.half_depth,
            "smoothing_fwhm_R200c": self.smoothing_fwhm,
        }

    @staticmethod
    def from_attrs(attrs: Mapping[str, Any], where: object = "the store") -> MapGrid:
        """The grid that root attributes state; InputError where they do not."""
        try:
            return MapGrid(
                int(attrs["pixels"]),
                float(attrs["width_R200c"]),
                float(attrs["half_depth_R200c"]),
                float(attrs["smoothing_fwhm_R200c"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{where} does not state its map grid ({error}): is it a store of maps?"
            ) from None


def floored_log(maps: NDArray[np.generic], floor: float = FLOOR_MSUN_KPC2) -> NDArray[np.float64]:
    """l(m) = log10(max(m, S0)) of surface densities in Msun kpc-2, dex; any shape; ``floor`` is S0."""
    return np.asarray(np.log10(np.maximum(maps, floor)), np.float64)


def score_log(maps: NDArray[np.generic], pixel: float, floor: float = FLOOR_MSUN_KPC2) -> NDArray[np.float64]:
    """`floored_log` of maps (..., y, x) on the score grid."""
    return floored_log(smooth_score_grid(maps, pixel), floor)


def ring_map(values: NDArray[np.floating], radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ring means at any radius: linear between the centres of equal rings of R < R200c, held beyond.

    Parameters
    ----------
    values
        (rings,), from the centre outwards.
    radius
        R200c, any shape.
    """
    centres = (np.arange(len(values)) + 0.5) / len(values)
    return np.asarray(np.interp(radius, centres, values), np.float64)


def gaussian_kernel(sigma_pixels: float, truncate: float = TRUNCATE_SIGMA) -> NDArray[np.float64]:
    """Samples of a Gaussian at whole pixels, cut at ``truncate`` sigma and normalised to a sum of 1."""
    reach = int(truncate * sigma_pixels + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma_pixels) ** 2) if sigma_pixels > 0 else np.ones(1)
    return np.asarray(weights / weights.sum(), np.float64)


def _smooth_axis(maps: NDArray[np.float64], kernel: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    # A sum of shifted slices in a fixed order: the same bytes whatever the number of threads.
    reach = len(kernel) // 2
    widths = [(0, 0)] * maps.ndim
    widths[axis] = (reach, reach)
    padded = np.pad(maps, widths, mode="symmetric")
    length = maps.shape[axis]

    def shifted(first: int) -> NDArray[np.float64]:
        window = [slice(None)] * maps.ndim
        window[axis] = slice(first, first + length)
        return padded[tuple(window)]

    result = shifted(reach) * kernel[reach]
    for k in range(1, reach + 1):
        result += (shifted(reach - k) + shifted(reach + k)) * kernel[reach + k]
    return result


def smooth_score_grid(maps: NDArray[np.generic], pixel: float = 0.025) -> NDArray[np.float64]:
    """Smooth maps to the score grid: a Gaussian of FWHM 0.05 R200c, reflected at the edge, cut at 4 sigma.

    Parameters
    ----------
    maps
        (..., y, x), linear units.
    pixel
        Size of a pixel in R200c.

    Returns
    -------
    (..., y, x) float64, in the units of ``maps``.
    """
    kernel = gaussian_kernel(SCORE_FWHM * SIGMA_PER_FWHM / pixel)
    values = np.asarray(maps, np.float64)
    return _smooth_axis(_smooth_axis(values, kernel, values.ndim - 1), kernel, values.ndim - 2)


def smoothing_matrix(pixels: int, sigma: float) -> NDArray[np.float64]:
    """(pixels, pixels): a Gaussian of ``sigma`` pixels along an axis, reflected at the edges."""
    kernel = gaussian_kernel(sigma)
    reach = len(kernel) // 2
    # Row i holds which pixel stands at each place of the padded axis.
    places = np.pad(np.arange(pixels), reach, mode="symmetric")
    matrix = np.zeros((pixels, pixels))
    for i in range(pixels):
        np.add.at(matrix[i], places[i : i + len(kernel)], kernel)
    return matrix


def pixel_centres(pixels: int, width: float) -> NDArray[np.float64]:
    """Pixel centres along an axis of a map ``width`` wide (R200c), the halo at 0."""
    return (np.arange(pixels, dtype=np.float64) + 0.5) * (width / pixels) - 0.5 * width


def radius_grid(pixels: int, pixel: float = 0.025) -> NDArray[np.float64]:
    """(y, x): distance of every pixel centre from the halo, in R200c."""
    centres = pixel_centres(pixels, pixels * pixel)
    return np.hypot(centres[:, None], centres[None, :])


def _quadrant_area(x: NDArray[np.float64], y: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Area of the circle's part in [0, x] x [0, y] for x, y >= 0: by the circle's primitive."""

    def height(t: NDArray[np.float64]) -> NDArray[np.float64]:
        # A product of differences: where the circle touches a line of pixels, squares would lose its digits.
        return np.sqrt((radius - t) * (radius + t))

    def primitive(t: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 * (t * height(t) + radius**2 * np.arctan2(t, height(t)))

    x, y = np.minimum(x, radius), np.minimum(y, radius)
    # The circle is above y up to x_y; from there to x it is the upper edge.
    x_y = np.minimum(height(y), x)
    return y * x_y + primitive(x) - primitive(x_y)


def aperture_fractions(pixels: int, radius: float, pixel: float = 0.025) -> NDArray[np.float64]:
    """Fraction of every pixel's area inside the circle R < ``radius``, exactly.

    Parameters
    ----------
    pixels
        Pixels along a side; the circle's centre is the map's.
    radius, pixel
        In R200c.

    Returns
    -------
    (y, x) float64 between 0 and 1; times ``pixel**2`` it sums to the circle's area.
    """
    if radius <= 0:
        return np.zeros((pixels, pixels))
    edges = (np.arange(pixels + 1) - 0.5 * pixels) * pixel
    x, y = np.meshgrid(edges, edges)
    corner = np.sign(x) * np.sign(y) * _quadrant_area(np.abs(x), np.abs(y), radius)
    area = corner[1:, 1:] - corner[1:, :-1] - corner[:-1, 1:] + corner[:-1, :-1]
    return np.clip(area / pixel**2, 0.0, 1.0)


def ring_fractions(pixels: int, edges: NDArray[np.float64], pixel: float = 0.025) -> NDArray[np.float64]:
    """(ring, y, x): fraction of every pixel's area in each ring between successive ``edges`` (R200c)."""
    circles = np.stack([aperture_fractions(pixels, float(edge), pixel) for edge in edges])
    return np.diff(circles, axis=0)
