"""The map grid of one halo in proper lengths, and the sphere of particles that it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import FWHM_PER_SIGMA, MapGrid


@dataclass(frozen=True)
class HaloGrid:
    """The grid of a halo's maps.

    Parameters
    ----------
    R200c_kpc
        Proper R200c of the halo in kpc.
    grid
        Pixels, and lengths in R200c.
    """

    R200c_kpc: float
    grid: MapGrid = MapGrid()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.R200c_kpc) and self.R200c_kpc > 0):
            raise InputError(f"map grid: R200c_kpc must be positive and finite, not {self.R200c_kpc}")

    @property
    def pixels(self) -> int:
        """Pixels a side."""
        return self.grid.pixels

    @property
    def pixel_kpc(self) -> float:
        """Proper side of a pixel in kpc."""
        return self.grid.width * self.R200c_kpc / self.grid.pixels

    @property
    def pixel_area_kpc2(self) -> float:
        """Proper area of a pixel in kpc^2."""
        return self.pixel_kpc**2

    @property
    def half_depth_kpc(self) -> float:
        """Half the depth along the line of sight in proper kpc."""
        return self.grid.half_depth * self.R200c_kpc


def cutout_radius(halo_grid: HaloGrid) -> float:
    """Proper radius in kpc of the sphere around the halo that holds the mapped box for every line of sight.

    It is the distance to the box's corner, sqrt(2 (width/2)^2 + half_depth^2) R200c, widened in the plane
    by the reach of the Gaussian (4 sigma). Around mid-depth the sphere is far wider than the map, so gas
    outside the map whose kernels reach in is there too; only right at the corners' depth would a kernel
    from beyond the sphere be missed. At least R200c, inside which the halo's velocity, the limit of a
    particle's X-rays and the counts of a build are measured.
    """
    grid = halo_grid.grid
    half_width = 0.5 * grid.width + 4.0 * grid.smoothing_fwhm / FWHM_PER_SIGMA
    return halo_grid.R200c_kpc * max(1.0, math.sqrt(2.0 * half_width**2 + grid.half_depth**2))
