"""The square that is mapped around a halo, in R200c, and what it means in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from three_hundred_maps.errors import InputError

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
DM_SMOOTHING = ("gaussian", "adaptive")


@dataclass(frozen=True)
class Frame:
    """Geometry of the maps of one halo.

    Parameters
    ----------
    R200c_kpc
        Proper R200c of the halo in kpc.
    pixels
        Pixels a side.
    width
        Side of the map in R200c; the halo's centre is the middle of the map.
    half_depth
        Half the depth along the line of sight in R200c: a particle counts when its centre is inside.
    smoothing_fwhm
        FWHM in R200c of the Gaussian that every view is convolved with.
    dm_smoothing
        ``gaussian``: that Gaussian alone; ``adaptive``: kernels that end at the 32nd neighbour as well,
        for dark matter, stars and black holes.

    Raises
    ------
    InputError
        For sizes that are not positive and finite.
    """

    R200c_kpc: float
    pixels: int = 80
    width: float = 2.0
    half_depth: float = 2.0
    smoothing_fwhm: float = 0.01
    dm_smoothing: str = "gaussian"

    def __post_init__(self) -> None:
        for name in ("R200c_kpc", "width", "half_depth"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"frame: {name} must be positive and finite, not {value}")
        if self.pixels < 1:
            raise InputError(f"frame: pixels must be at least 1, not {self.pixels}")
        if not (math.isfinite(self.smoothing_fwhm) and self.smoothing_fwhm >= 0):
            raise InputError(f"frame: smoothing_fwhm must be 0 or more, not {self.smoothing_fwhm}")
        if self.dm_smoothing not in DM_SMOOTHING:
            raise InputError(
                f"frame: dm_smoothing must be one of {', '.join(DM_SMOOTHING)}, not {self.dm_smoothing!r}"
            )

    @property
    def pixel_kpc(self) -> float:
        """Proper side of a pixel in kpc."""
        return self.width * self.R200c_kpc / self.pixels

    @property
    def pixel_area_kpc2(self) -> float:
        """Proper area of a pixel in kpc^2."""
        return self.pixel_kpc**2

    @property
    def half_depth_kpc(self) -> float:
        """Half the depth along the line of sight in proper kpc."""
        return self.half_depth * self.R200c_kpc

    @property
    def sigma_px(self) -> float:
        """Standard deviation of the Gaussian in pixels."""
        return self.smoothing_fwhm / FWHM_PER_SIGMA * self.pixels / self.width


def cutout_radius(frame: Frame) -> float:
    """Proper radius in kpc of the sphere around the halo that holds the mapped box for every line of sight.

    It is the distance to the box's corner, sqrt(2 (width/2)^2 + half_depth^2) R200c, widened in the plane
    by the reach of the Gaussian (4 sigma). Around mid-depth the sphere is far wider than the map, so gas
    outside the map whose kernels reach in is there too; only right at the corners' depth would a kernel
    from beyond the sphere be missed.
    """
    half_width = 0.5 * frame.width + 4.0 * frame.smoothing_fwhm / FWHM_PER_SIGMA
    return frame.R200c_kpc * math.sqrt(2.0 * half_width**2 + frame.half_depth**2)
