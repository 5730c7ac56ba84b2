"""FITS images of the sky, and their means over the pixels of the frame that a model sees.

The frame is 80 x 80 pixels about the given centre, 0.025 of the given R200c each. Needs the extra
``[observe]``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import gaussian_kernel, pixel_centres
from three_hundred_maps.observe.fits import sky_header
from three_hundred_maps.observe.frame import PIXEL, PIXELS

Image = NDArray[np.float64]
MOST_MISSING = 0.2
"""Share of pixels inside R200c that may be masked; they are filled from their neighbours."""
COVERED = 0.99
"""Share of the frame that an image must reach."""
ALIGNED_PX = 0.1
"""Two images whose corners are this near to each other have the same pixels."""
MARGIN_PX = 8
"""Pixels of an image that are read around the frame."""
LEAK = 1e-5
"""Share of a neighbour's value below which a pixel of the frame is empty."""
FILL_SIGMA = 1.5
"""Of the Gaussian, in pixels, whose weighted mean fills masked pixels; doubled until none is left."""


@dataclass(frozen=True)
class SkyImage:
    """An image on the sky.

    Parameters
    ----------
    values
        (y, x); NaN where masked.
    wcs
        Its celestial coordinates.
    units
        Its BUNIT, empty where there is none.
    path
        The file.
    beam_arcsec
        FWHM of its beam where the header says so.
    """

    values: Image
    wcs: Any
    units: str
    path: Path
    beam_arcsec: float | None = None

    @property
    def pixel_arcmin2(self) -> float:
        """Area of the middle pixel on the sky: in maps of all the sky it is another than at the reference."""
        middle = (np.array(self.values.shape[::-1]) - 1.0) / 2.0
        across, up = (middle[:, None] + 0.5 * np.outer(axis, [1, -1]) for axis in np.eye(2))
        sides = [self.wcs.pixel_to_world(*ends).cartesian.xyz.value for ends in (across, up)]
        area = np.cross(*(ends[:, 0] - ends[:, 1] for ends in sides))
        return float(np.linalg.norm(area) * np.degrees(60.0) ** 2)


def on_pixels_of(image: SkyImage, other: SkyImage, *, sums: bool = False) -> Image:
    """The values of ``other`` on the pixels of ``image``: its own where they are the same, else resampled.

    Parameters
    ----------
    sums
        Whether they are counts a pixel, which are interpolated and go as its area; others are those of the
        nearest pixel, so that what is masked by 0 stays so.
    """
    from astropy.wcs.utils import pixel_to_pixel
    from reproject import reproject_interp

    if other.values.shape == image.values.shape:
        x, y = np.meshgrid(*([0, size - 1] for size in reversed(image.values.shape)))
        there = pixel_to_pixel(image.wcs, other.wcs, x, y)
        if np.hypot(there[0] - x, there[1] - y).max() < ALIGNED_PX:
            return other.values
    values, _ = reproject_interp(
        (other.values, other.wcs),
        image.wcs,
        shape_out=image.values.shape,
        order="bilinear" if sums else "nearest-neighbor",
    )
    return np.asarray(values * (image.pixel_arcmin2 / other.pixel_arcmin2 if sums else 1.0))


@dataclass(frozen=True)
class Frame:
    """The frame that a model sees: centre in deg, R200c in arcmin."""

    centre_deg: tuple[float, float]
    radius_arcmin: float

    @property
    def pixel_arcmin(self) -> float:
        """Side of a pixel."""
        return PIXEL * self.radius_arcmin

    @property
    def header(self) -> Any:
        """Of images in this frame."""
        return sky_header(self.centre_deg, PIXELS, self.pixel_arcmin, self.radius_arcmin)


def read_image(path: str | Path, frame: Frame) -> SkyImage:
    """What a FITS file's first image has round a frame: a survey's whole map need not fit into memory.

    Raises
    ------
    InputError
        For what is no image, or has no place on the sky, or none in the frame.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        # Old keywords (RADECSYS) are read as what they mean.
        with warnings.catch_warnings(action="ignore"), fits.open(path) as file:
            found = next((hdu for hdu in file if hdu.is_image and hdu.shape), None)
            if found is None:
                healpix = any(hdu.header.get("PIXTYPE") == "HEALPIX" for hdu in file)
                advice = ": reproject.reproject_from_healpix makes one of its HEALPix pixels" * healpix
                raise InputError(f"{path} holds no image{advice}")
            if len(found.shape) < 2 or any(n > 1 for n in found.shape[:-2]):
                shape = " x ".join(map(str, reversed(found.shape)))
                raise InputError(
                    f"{path} is {shape} and not one image: a model sees one band, so give one plane of it"
                )
            header = found.header.copy()
            try:
                wcs = WCS(header).celestial
            except (ValueError, TypeError, MemoryError) as error:
                raise InputError(f"{path}: its world coordinates cannot be read: {error}") from None
            if wcs.naxis != 2 or not wcs.has_celestial:
                raise InputError(
                    f"{path} has no celestial coordinates (CTYPE1, CTYPE2, ...): where it points is unknown"
                )
            rows, columns = window = _window(wcs, found.shape[-2:], frame)
            if rows.start >= rows.stop or columns.start >= columns.stop:
                raise _uncovered(path, 0.0, frame)
            ahead = (slice(0, 1),) * (len(found.shape) - 2)
            values = np.array(found.section[(*ahead, *window)], np.float64)
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as FITS: {error}") from None
    values = values.reshape(values.shape[-2:])
    values[~np.isfinite(values)] = np.nan
    if np.isnan(values).all():
        raise InputError(f"{path} holds no finite pixel in the frame")
    beam = header.get("BMAJ")
    if not isinstance(beam, int | float | None):
        raise InputError(f"{path}: BMAJ is {beam!r} and not the beam's FWHM in degrees")
    return SkyImage(
        values,
        wcs[window],
        str(header.get("BUNIT", "")).strip(),
        path,
        None if beam is None else 3600.0 * float(beam),
    )


def _window(wcs: Any, shape: tuple[int, int], frame: Frame) -> tuple[slice, slice]:
    """Rows and columns of an image of that shape that hold the frame, with `MARGIN_PX` around."""
    from astropy.wcs import WCS
    from astropy.wcs.utils import pixel_to_pixel

    if wcs.cpdis1 is not None or wcs.det2im1 is not None:
        # Tables of distortion are of the whole image.
        return slice(0, shape[0]), slice(0, shape[1])
    corners = np.meshgrid(*[np.arange(PIXELS + 1) - 0.5] * 2)
    places = pixel_to_pixel(WCS(frame.header), wcs, *corners)
    window = []
    for place, size in zip(reversed(places), shape, strict=True):
        known = place[np.isfinite(place)]
        low, high = (known.min(), known.max()) if known.size else (0.0, -1.0)
        window.append(slice(int(max(low - MARGIN_PX, 0)), int(min(high + MARGIN_PX + 1, size))))
    return window[0], window[1]


def _uncovered(path: Path, share: float, frame: Frame) -> InputError:
    return InputError(
        f"{path} covers {share:.0%} of the frame of {2 * frame.radius_arcmin:.1f} arcmin about the centre: "
        "a model needs all of it"
    )


def to_frame(
    image: SkyImage, weight: Image | None, frame: Frame, *, whole: bool = False
) -> tuple[Image, float]:
    """The mean of an image over the frame's pixels, and the share of those inside R200c that were masked.

    Parameters
    ----------
    weight
        (y, x) of the mean, 0 where masked; 1 by default. Pixels of NaN count as masked.
    whole
        Each pixel falls as a whole into that of the frame which holds its centre, where it is smaller: counts
        then keep the noise of counts.

    Raises
    ------
    InputError
        Where the image does not reach over the frame, or too much of it is masked.
    """
    from astropy.wcs import WCS
    from reproject import reproject_exact, reproject_interp

    target = WCS(frame.header)
    good = np.isfinite(image.values)
    weights = np.where(good, 1.0 if weight is None else weight, 0.0)
    weighted = np.where(good, image.values, 0.0) * weights
    # Of an image of larger pixels the frame's are parts: between those it is interpolated.
    coarse = image.pixel_arcmin2 > frame.pixel_arcmin**2
    fine = 2.0 * image.pixel_arcmin2 <= frame.pixel_arcmin**2
    project = bin_image if whole and fine else reproject_interp if coarse else reproject_exact
    shape = (PIXELS, PIXELS)
    above, reach = project((weighted, image.wcs), target, shape_out=shape)
    below, _ = project((weights, image.wcs), target, shape_out=shape)
    if np.mean(reach > 0.5) < COVERED:
        raise _uncovered(image.path, float(np.mean(reach > 0.5)), frame)
    seen = np.isfinite(below) & (below > 1e-3 * weights.max())
    inside = np.hypot(*np.meshgrid(*[pixel_centres(PIXELS, 2.0)] * 2)) < 1
    missing = float(1.0 - seen[inside].mean())
    if missing > MOST_MISSING:
        raise InputError(f"{image.path}: {missing:.0%} of the pixels inside R200c are masked")
    values = np.where(seen, above / np.where(seen, below, 1.0), 0.0)
    # By the last digits of coordinates a bright pixel leaks into an empty neighbour, which no longer is one.
    values[np.abs(values) < LEAK * maximum_filter(np.abs(values), 3)] = 0.0
    return fill(np.where(seen, values, np.nan)), missing


def bin_image(given: tuple[Image, Any], target: Any, *, shape_out: tuple[int, int]) -> tuple[Image, Image]:
    """Sums of the pixels whose centres lie in each pixel of ``target``, and how many there are."""
    from astropy.wcs.utils import pixel_to_pixel

    values, wcs = given
    y, x = np.indices(values.shape)
    with np.errstate(invalid="ignore"):
        places = pixel_to_pixel(wcs, target, x.ravel(), y.ravel())
    finite = np.isfinite(places[0]) & np.isfinite(places[1])
    column, row = (np.floor(np.where(finite, place, -1e6) + 0.5).astype(np.int64) for place in places)
    inside = (row >= 0) & (row < shape_out[0]) & (column >= 0) & (column < shape_out[1])
    flat = row[inside] * shape_out[1] + column[inside]
    sums = np.bincount(flat, values.ravel()[inside], shape_out[0] * shape_out[1])
    counts = np.bincount(flat, minlength=shape_out[0] * shape_out[1])
    return sums.reshape(shape_out).astype(np.float64), counts.reshape(shape_out).astype(np.float64)


def fill(values: Image) -> Image:
    """Pixels of NaN as the mean of their neighbours, weighted by a Gaussian that widens as it must."""
    values, sigma = values.copy(), FILL_SIGMA
    while np.isnan(values).any():
        kernel = gaussian_kernel(sigma)
        good = np.isfinite(values)
        above, below = (_smooth(part, kernel) for part in (np.where(good, values, 0.0), good.astype(float)))
        new = ~good & (below > 1e-6)
        values[new] = above[new] / below[new]
        sigma *= 2.0
    return values


def _smooth(values: Image, kernel: Image) -> Image:
    rows = np.apply_along_axis(np.convolve, 0, values, kernel, "same")
    return np.apply_along_axis(np.convolve, 1, rows, kernel, "same")
