"""What the metrics need of a map's geometry, made once: radii, circles, rings, windows and bins."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.constants import Constants
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import (
    SCORE_FWHM,
    MapGrid,
    aperture_fractions,
    gaussian_kernel,
    ring_fractions,
    ring_map,
    smooth_score_grid,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Where the benchmark's constants lie on the maps' grid.

    Parameters
    ----------
    maps
        Geometry of the maps.
    constants
        Of the benchmark.
    """

    maps: MapGrid
    constants: Constants

    def __post_init__(self) -> None:
        if self.maps.width < 2.0 * self.constants.mask_radius * (1 - 1e-9):
            raise InputError(
                f"maps {self.maps.width} R200c wide do not hold the circle R < R200c that is scored"
            )
        least = 2 * self.constants.ssim_border + 2
        if self.maps.pixels < least:
            raise InputError(
                f"maps of {self.maps.pixels} pixels are too small to score; at least {least} a side"
            )

    def smooth(self, maps: NDArray[np.generic]) -> Array:
        """Maps (..., y, x) on the score grid, in their own units."""
        # The shared function's FWHM is fixed; a pixel scaled the other way is the same smoothing.
        return smooth_score_grid(maps, self.maps.pixel * SCORE_FWHM / self.constants.score_fwhm)

    @functools.cached_property
    def inside(self) -> NDArray[np.int64]:
        """(pixel,): flat places of the pixels that count."""
        return np.flatnonzero(self.maps.radius.ravel() < self.constants.mask_radius)

    @functools.cached_property
    def central(self) -> NDArray[np.bool_]:
        """(pixel,): which counted pixels lie in the central circle."""
        return self.maps.radius.ravel()[self.inside] < self.constants.central_radius

    @functools.cached_property
    def inside_bin(self) -> NDArray[np.int64]:
        """(pixel,): which bin of the table by radius each counted pixel is in."""
        edges = np.asarray(self.constants.table_radius[1:-1])
        return np.searchsorted(edges, self.maps.radius.ravel()[self.inside], side="right")

    @functools.cached_property
    def ring_weights(self) -> Array:
        """(pixel, ring): weights whose sum over the counted pixels is the mean over a ring of the table."""
        rings = len(self.constants.table_radius) - 1
        weights = np.zeros((len(self.inside), rings))
        weights[np.arange(len(self.inside)), self.inside_bin] = 1.0
        return weights / np.maximum(weights.sum(axis=0), 1)

    def circle(self, radius: float) -> Array:
        """(y, x): area of every pixel inside R < ``radius``, exactly, in R200c^2."""
        return aperture_fractions(self.maps.pixels, radius, self.maps.pixel) * self.maps.area

    @functools.cached_property
    def circles(self) -> Array:
        """(aperture, y, x): `circle` of the constants' apertures."""
        return np.stack([self.circle(r) for r in self.constants.apertures])

    @functools.cached_property
    def profile_edges(self) -> Array:
        """(ring + 1,): edges of the profile's rings, R200c."""
        c = self.constants
        return np.asarray(np.geomspace(c.profile_inner, c.profile_outer, c.profile_rings + 1), np.float64)

    @functools.cached_property
    def profile_weights(self) -> Array:
        """(ring, y, x): weights whose sum over a map is the mean surface density of the ring."""
        areas = ring_fractions(self.maps.pixels, self.profile_edges, self.maps.pixel)
        return areas / areas.sum(axis=(1, 2), keepdims=True)

    @functools.cached_property
    def hann(self) -> Array:
        """(y, x): the two-dimensional Hann window, of mean square 1."""
        line = np.sin(np.pi * (np.arange(self.maps.pixels) + 0.5) / self.maps.pixels) ** 2
        window = np.outer(line, line)
        return window / math.sqrt(float(np.mean(window**2)))

    @functools.cached_property
    def k(self) -> Array:
        """(k,): centres of the bins in wave number, cycles per R200c."""
        c = self.constants
        return np.asarray(c.power_step * np.arange(1, round(c.power_max / c.power_step) + 1), np.float64)

    @functools.cached_property
    def k_bins(self) -> tuple[NDArray[np.int64], Array]:
        """(mode,) bin of every mode of `rfft2` (len(k) for none), and how many modes it stands for."""
        frequency_y = np.fft.fftfreq(self.maps.pixels, self.maps.pixel)
        frequency_x = np.fft.rfftfreq(self.maps.pixels, self.maps.pixel)
        k = np.hypot(frequency_y[:, None], frequency_x[None, :])
        place = np.rint(k / self.constants.power_step).astype(np.int64) - 1
        place[(place < 0) | (place >= len(self.k))] = len(self.k)
        weight = np.full(k.shape, 2.0)
        weight[:, 0] = 1.0
        if self.maps.pixels % 2 == 0:
            weight[:, -1] = 1.0
        return place.ravel(), weight.ravel()

    @functools.cached_property
    def ssim_filter(self) -> Array:
        """(pixels - 2 border, pixels): one axis of the Gaussian window, at the places that are averaged."""
        c = self.constants
        reach = int(c.ssim_truncate * c.ssim_sigma + 0.5)
        kernel = gaussian_kernel(c.ssim_sigma, c.ssim_truncate)
        rows = self.maps.pixels - 2 * c.ssim_border
        matrix = np.zeros((rows, self.maps.pixels))
        for row in range(rows):
            first = row + c.ssim_border - reach
            matrix[row, first : first + len(kernel)] = kernel
        return matrix

    @functools.cached_property
    def peak_rings(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Flat places of the pixels of all background rings, ring by ring, and where each ring begins."""
        c = self.constants
        step = c.peak_ring * self.maps.pixel
        ring = np.floor(self.maps.radius.ravel() / step * (1 + 1e-12)).astype(np.int64)
        reach = c.peak_outer + c.peak_aperture + 2 * self.maps.pixel
        last = min(int(ring.max()), int(reach / step) + 1)
        places = [np.flatnonzero(ring == r) for r in range(last + 1)]
        sizes = [len(p) for p in places if len(p)]
        return np.concatenate(places), np.cumsum([0, *sizes])

    @functools.cached_property
    def peak_weights(self) -> Array:
        """(dy, dx): area of the pixels around a peak inside its aperture, R200c^2."""
        reach = int(math.ceil(self.constants.peak_aperture / self.maps.pixel - 0.5))
        side = 2 * max(reach, 0) + 1
        return aperture_fractions(side, self.constants.peak_aperture, self.maps.pixel) * self.maps.area

    @functools.cached_property
    def peak_allowed(self) -> NDArray[np.bool_]:
        """(y, x): where a peak may lie."""
        c = self.constants
        margin = max(c.peak_window, self.peak_weights.shape[0] // 2)
        allowed = (self.maps.radius > c.peak_inner) & (self.maps.radius < c.peak_outer)
        edge = np.zeros_like(allowed)
        edge[margin : self.maps.pixels - margin, margin : self.maps.pixels - margin] = True
        return allowed & edge

    def climatology(self, rings: Array) -> Array:
        """(y, x): ring values (40,) at every pixel's radius: linear between ring centres, held beyond."""
        n = self.constants.climatology_rings
        if len(rings) != n:
            raise InputError(f"the store's climatology has {len(rings)} rings; the benchmark's has {n}")
        return ring_map(rings, self.maps.radius / self.constants.mask_radius)


@functools.lru_cache(maxsize=8)
def make_grid(maps: MapGrid, constants: Constants) -> Grid:
    """The `Grid` of these maps, made once a process."""
    return Grid(maps, constants)
