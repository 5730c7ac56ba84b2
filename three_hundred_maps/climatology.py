"""The mean mass map by radius, on the score grid: what a model that sees nothing would predict.

numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.geometry import FLOOR_MSUN_KPC2, radius_grid, score_log
from three_hundred_maps.histograms import LOG_BINS, dense, histogram_of, histogram_quantile, sparse

RINGS = 40
RING_EDGES = np.linspace(0.0, 1.0, RINGS + 1)
"""Edges of the climatology's rings, in R200c."""


@dataclass(frozen=True)
class Climatology:
    """The train split's mean mass map by radius, on the score grid; sums, so that parts add.

    Parameters
    ----------
    sum_l, sum_scaled
        (40,): sums over pixels of l = log10(max(m, 1e6)), and of l - log10(R200c rho_crit), by ring.
    pixels
        (40,): number of pixels summed.
    histogram
        (3000,): counts of l over whole maps of the score grid.
    """

    sum_l: NDArray[np.float64]
    sum_scaled: NDArray[np.float64]
    pixels: NDArray[np.int64]
    histogram: NDArray[np.int64]
    ring_edges = RING_EDGES

    @staticmethod
    def empty() -> Climatology:
        """Of no maps."""
        return Climatology(
            np.zeros(RINGS), np.zeros(RINGS), np.zeros(RINGS, np.int64), np.zeros(LOG_BINS, np.int64)
        )

    @staticmethod
    def of(
        maps: NDArray[np.generic],
        M200c: NDArray[np.generic],
        R200c: NDArray[np.generic],
        pixel: float,
        floor: float = FLOOR_MSUN_KPC2,
    ) -> Climatology:
        """Of maps (halo, los, y, x), as of mass in Msun kpc-2, with the halos' M200c (Msun) and R200c (kpc).

        ``floor`` is S0 of l, in the units of the maps.
        """
        total = Climatology.empty()
        if len(maps) == 0:
            return total
        pixels = maps.shape[-1]
        ring = np.floor(radius_grid(pixels, pixel) * RINGS).astype(np.int64).ravel()
        inside = ring < RINGS
        counts = np.bincount(ring[inside], minlength=RINGS)
        sums, scaled, histogram = np.zeros(RINGS), np.zeros(RINGS), np.zeros(LOG_BINS, np.int64)
        for halo, (mass, radius) in enumerate(zip(M200c, R200c, strict=True)):
            logs = score_log(maps[halo], pixel, floor)
            histogram += histogram_of(logs)
            by_pixel = logs.sum(axis=0).ravel()[inside]
            by_ring = np.bincount(ring[inside], weights=by_pixel, minlength=RINGS)
            sums += by_ring
            scaled += by_ring - counts * maps.shape[1] * math.log10(column_scale(float(mass), float(radius)))
        return Climatology(sums, scaled, counts * maps.shape[0] * maps.shape[1], histogram)

    def merge(self, other: Climatology) -> Climatology:
        """Of both together."""
        return Climatology(
            self.sum_l + other.sum_l,
            self.sum_scaled + other.sum_scaled,
            self.pixels + other.pixels,
            self.histogram + other.histogram,
        )

    @property
    def climatology(self) -> NDArray[np.float64]:
        """(40,): mean of l by ring, interpolated where a ring has no pixel centre; NaN without maps."""
        return self._mean(self.sum_l)

    @property
    def scaled_climatology(self) -> NDArray[np.float64]:
        """(40,): mean of l - log10(R200c rho_crit) by ring."""
        return self._mean(self.sum_scaled)

    def _mean(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        filled = self.pixels > 0
        if not filled.any():
            return np.full(RINGS, math.nan)
        means = sums[filled] / self.pixels[filled]
        rings = np.arange(RINGS)
        return np.interp(rings, rings[filled], means)

    def log_range(self, low: float = 0.001, high: float = 0.999) -> tuple[float, float]:
        """Quantiles of l over the score grid: the data range of ssim."""
        return histogram_quantile(self.histogram, low), histogram_quantile(self.histogram, high)

    def to_json(self) -> dict[str, Any]:
        """For a progress file."""
        return {
            "sum_l": self.sum_l.tolist(),
            "sum_scaled": self.sum_scaled.tolist(),
            "pixels": self.pixels.tolist(),
            "histogram": sparse(self.histogram),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Climatology:
        """The inverse of `to_json`."""
        return Climatology(
            np.array(value["sum_l"]),
            np.array(value["sum_scaled"]),
            np.array(value["pixels"], np.int64),
            dense(value["histogram"]),
        )


def column_scale(M200c: float, R200c: float) -> float:
    """R200c rho_crit in Msun kpc-2, from M200c (Msun) = 800/3 pi rho_crit R200c^3 (kpc)."""
    return 3.0 * M200c / (800.0 * math.pi * R200c**2)
