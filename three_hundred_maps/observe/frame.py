"""The observer's sky and frame: redshift, distances, R200c and centre as an observer has them; resampling.

All random numbers are seeded by names: the same halo, line of sight and purpose give the same numbers.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.keys import HaloKey
from three_hundred_maps.observe.operators import critical_surface_density

RADIUS_ERROR_DEX = 0.03
CENTRE_ERROR = 0.03
"""Rayleigh parameter of the distance between the observer's centre and the true one, in R200c."""
PIXELS, PIXEL = 80, 0.025
"""The observer's frame: pixels a side, each 0.025 of the observer's R200c."""
FINER = 4
"""Samples a pixel and axis that a resampled map is averaged from."""


def seeded(purpose: str, key: HaloKey, *parts: object) -> np.random.Generator:
    """Random numbers of a purpose (a level, or what is the same at all), a halo and further names."""
    text = "\0".join(map(str, (purpose, key.region, key.snapshot, key.halo_id, *parts)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


@dataclass(frozen=True)
class Sky:
    """Where a halo stands: distances in proper kpc, in the cosmology of its simulation.

    Parameters
    ----------
    redshift
        Observed.
    angular_kpc, luminosity_kpc
        Distances.
    """

    redshift: float
    angular_kpc: float
    luminosity_kpc: float

    @property
    def arcmin_per_kpc(self) -> float:
        """Angle of a proper length."""
        return math.degrees(1.0 / self.angular_kpc) * 60.0


@functools.lru_cache(maxsize=8)
def _cosmology(h: float, omega_m: float, omega_lambda: float) -> Any:
    from astropy.cosmology import LambdaCDM

    return LambdaCDM(H0=100.0 * h, Om0=omega_m, Ode0=omega_lambda)


def cosmology_of(attrs: Mapping[str, Any]) -> Any:
    """The astropy cosmology of a store's attributes; InputError where they do not state one."""
    stated: Any = dict(attrs.get("simulation", {})).get("cosmology")
    try:
        return _cosmology(*(float(stated[name]) for name in ("h", "omega_m", "omega_lambda")))
    except (KeyError, TypeError, ValueError):
        raise InputError("the store does not state its cosmology: it cannot be placed on the sky") from None


def place(cosmology: Any, redshift: float) -> Sky:
    """A redshift's distances; InputError for a redshift that is not positive."""
    if not (math.isfinite(redshift) and redshift > 0):
        raise InputError(f"a redshift on the sky is above 0, not {redshift}")
    return Sky(
        redshift,
        float(cosmology.angular_diameter_distance(redshift).to_value("kpc")),
        float(cosmology.luminosity_distance(redshift).to_value("kpc")),
    )


def draw_redshift(key: HaloKey, redshifts: tuple[float, float]) -> float:
    """The observed redshift of a halo: even between two values; the same draw at every level."""
    low, high = redshifts
    return low + (high - low) * float(seeded("redshift", key).random())


def critical_density_of(cosmology: Any, sky: Sky, source_redshift: float) -> float:
    """Sigma_crit in Msun kpc-2; InputError where the sources lie before the lens."""
    if source_redshift <= sky.redshift:
        raise InputError(f"sources at z = {source_redshift} lie before a lens at z = {sky.redshift:.3g}")
    to_lens, to_source = (
        float(cosmology.comoving_transverse_distance(z).to_value("kpc"))
        for z in (sky.redshift, source_redshift)
    )
    # Hogg (1999, astro-ph/9905116), equation 19.
    curvature = float(cosmology.Ok0) / float(cosmology.hubble_distance.to_value("kpc")) ** 2
    between = to_source * math.sqrt(1.0 + curvature * to_lens**2)
    between -= to_lens * math.sqrt(1.0 + curvature * to_source**2)
    a = 1.0 / (1.0 + source_redshift)
    return critical_surface_density(sky.angular_kpc, a * to_source, a * between)


@dataclass(frozen=True)
class Frame:
    """The observer's frame.

    Parameters
    ----------
    radius
        The observer's R200c over the true one.
    x, y
        The observer's centre, in true R200c from the halo's.
    """

    radius: float = 1.0
    x: float = 0.0
    y: float = 0.0

    @staticmethod
    def draw(key: HaloKey, los: int) -> Frame:
        """Of a halo and a line of sight; the same for all views and levels."""
        draws = seeded("frame", key, los)
        radius = 10.0 ** (RADIUS_ERROR_DEX * float(draws.standard_normal()))
        off = CENTRE_ERROR * float(np.sqrt(-2.0 * np.log1p(-draws.random())))
        angle = 2.0 * math.pi * float(draws.random())
        return Frame(radius, off * math.cos(angle), off * math.sin(angle))

    def pixel_arcmin(self, R200c_kpc: float, sky: Sky) -> float:
        """Side of the observer's pixel."""
        return PIXEL * self.radius * R200c_kpc * sky.arcmin_per_kpc

    def matrices(self, grid: MapGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(80, pixels) for rows and for columns: from maps on ``grid`` to this frame."""
        return tuple(  # type: ignore[return-value]
            resampling_matrix(grid, PIXELS, PIXEL * self.radius, offset) for offset in (self.y, self.x)
        )


def resampling_matrix(grid: MapGrid, pixels: int, pixel: float, offset: float) -> NDArray[np.float64]:
    """(pixels, grid.pixels): linear interpolation on a finer grid, averaged over each new pixel.

    Parameters
    ----------
    grid
        Of the maps that it acts on.
    pixels, pixel, offset
        Of the new axis: its length, a pixel's side and where its middle lies, in R200c.

    Raises
    ------
    InputError
        Where the new axis reaches beyond the map.
    """
    fine = (np.arange(pixels * FINER) + 0.5) / FINER - 0.5 * pixels
    place = (offset + fine * pixel + 0.5 * grid.width) / grid.pixel - 0.5
    if place.min() < -0.5 or place.max() > grid.pixels - 0.5:
        raise InputError(
            f"maps {grid.width:g} R200c wide do not hold a frame of {pixels * pixel:.3g} R200c,"
            f" {abs(offset):.2g} off the centre"
        )
    place = np.clip(place, 0.0, grid.pixels - 1.0)
    left = np.minimum(place.astype(int), grid.pixels - 2)
    share = place - left
    matrix = np.zeros((pixels, grid.pixels))
    rows = np.arange(len(fine)) // FINER
    np.add.at(matrix, (rows, left), (1.0 - share) / FINER)
    np.add.at(matrix, (rows, left + 1), share / FINER)
    return matrix
