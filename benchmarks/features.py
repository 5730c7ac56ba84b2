"""Maps of a few halos and what the metrics derive from them, each made once, when first wanted."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from benchmarks import metrics
from benchmarks.grid import Grid
from three_hundred_maps.geometry import floored_log

Array = NDArray[np.float64]


class Features:
    """Maps of a few halos and what the metrics derive from them, each made once, when first wanted.

    Parameters
    ----------
    maps
        (halo, los, y, x), Msun kpc-2.
    grid
        Geometry and constants.
    r500
        (halo,): R500c / R200c, the truth's.
    smooth
        The same on the score grid, where ``maps`` are not to be smoothed (a reference that lives there).
    """

    def __init__(
        self, maps: NDArray[np.generic], grid: Grid, r500: Array, smooth: Array | None = None
    ) -> None:
        self.halos, self.los = maps.shape[:2]
        self.grid = grid
        self.r500 = r500
        self.raw = np.asarray(maps, np.float64).reshape(-1, grid.maps.pixels, grid.maps.pixels)
        if smooth is not None:
            self.smooth = np.asarray(smooth, np.float64).reshape(self.raw.shape)

    def _inside(self, maps: Array) -> Array:
        return np.take(maps.reshape(len(maps), -1), self.grid.inside, axis=1)

    @functools.cached_property
    def smooth(self) -> Array:
        """(map, y, x) on the score grid."""
        return self.grid.smooth(self.raw)

    @functools.cached_property
    def log(self) -> Array:
        """(map, y, x): l on the score grid."""
        return floored_log(self.smooth, self.grid.constants.floor)

    @functools.cached_property
    def log_inside(self) -> Array:
        """(map, pixel): l on the score grid inside R200c."""
        return self._inside(self.log)

    @functools.cached_property
    def smooth_inside(self) -> Array:
        """(map, pixel): surface density on the score grid inside R200c."""
        return self._inside(self.smooth)

    @functools.cached_property
    def raw_inside(self) -> Array:
        """(map, pixel): raw surface density inside R200c."""
        return self._inside(self.raw)

    @functools.cached_property
    def raw_log_inside(self) -> Array:
        """(map, pixel): l of raw pixels inside R200c."""
        return floored_log(self.raw_inside, self.grid.constants.floor)

    @functools.cached_property
    def floored(self) -> Array:
        """(map,): share of the counted pixels below S0."""
        below = self.smooth_inside < self.grid.constants.floor
        return np.mean(below, axis=1, dtype=np.float64)

    @functools.cached_property
    def spectrum(self) -> NDArray[np.complex128]:
        """(map, y, k_x): of `metrics.spectrum`."""
        return metrics.spectrum(self.log, self.grid)

    @functools.cached_property
    def local_moments(self) -> tuple[Array, Array]:
        """Local means of l and of its square, for ssim."""
        return (
            metrics.local_moments(self.log, self.grid),
            metrics.local_moments(self.log, self.grid, self.log),
        )

    @functools.cached_property
    def masses(self) -> Array:
        """(map, aperture): cylinder masses in the constants' apertures and, last, in R500c."""
        fixed = (
            self.smooth.reshape(len(self.smooth), -1)
            @ self.grid.circles.reshape(len(self.grid.circles), -1).T
        )
        by_halo = self.smooth.reshape(self.halos, self.los, *self.smooth.shape[1:])
        r500 = [
            metrics.aperture_masses(maps, self.grid.circle(float(radius)))
            for maps, radius in zip(by_halo, self.r500, strict=True)
        ]
        return np.column_stack([fixed, np.concatenate(r500)])

    @functools.cached_property
    def mass_200(self) -> Array:
        """(map,): M(<R200c)."""
        return metrics.aperture_masses(self.smooth, self.grid.circle(1.0))

    @functools.cached_property
    def profiles(self) -> Array:
        """(map, ring): surface-density profiles."""
        return metrics.surface_density_profiles(self.smooth, self.grid)

    @functools.cached_property
    def concentrations(self) -> Array:
        """(map,): of the NFW fits."""
        return metrics.concentrations(self.profiles, self.grid)

    @functools.cached_property
    def peaks(self) -> list[metrics.PeakList]:
        """Peaks of every map."""
        return metrics.find_peaks(self.smooth, self.mass_200, self.grid)

    def repeated(self, los: int) -> Features:
        """The same maps along ``los`` lines of sight: derived once a halo, then copied."""
        maps = np.repeat(self.raw, los, axis=0).reshape(self.halos, los, *self.raw.shape[1:])
        result = Features(maps, self.grid, self.r500)
        # cached_property looks here first.
        result.__dict__.update({name: np.repeat(getattr(self, name), los, axis=0) for name in _ARRAYS})
        result.__dict__["local_moments"] = tuple(np.repeat(each, los, axis=0) for each in self.local_moments)
        result.__dict__["peaks"] = [peaks for peaks in self.peaks for _ in range(los)]
        return result


_ARRAYS = (
    *("smooth", "log", "log_inside", "smooth_inside", "raw_inside", "raw_log_inside", "floored"),
    *("spectrum", "masses", "mass_200", "profiles", "concentrations"),
)
"""What `measure` asks of a prediction, as arrays (map, ...)."""
