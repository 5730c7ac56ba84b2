"""Maps of a store as FITS images on the sky, by the FITS standard 4.0; needs the extra ``[observe]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps._version import __version__
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.keys import halo_keys
from three_hundred_maps.observe.frame import Frame, cosmology_of, place
from three_hundred_maps.store.arrays import open_group, root_attrs
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.preview import read_halo

ORIGIN = (180.0, 0.0)
"""Right ascension and declination, deg, at which a simulated halo is placed."""

FITS_UNITS = {
    "1": "",
    "Msun kpc-2": "solMass kpc-2",
    "Lsun kpc-2": "solLum kpc-2",
    "1e44 erg s-1 kpc-2": "10**44 erg s-1 kpc-2",
    "ct s-1 arcmin-2": "count s-1 arcmin-2",
}
"""Units of a store as the FITS standard writes them; others are the same."""


def sky_header(
    centre_deg: tuple[float, float], pixels: int, pixel_arcmin: float, radius_arcmin: float
) -> Any:
    """The header of a square image about a halo: a gnomonic (TAN) projection, north up, east to the left.

    Parameters
    ----------
    centre_deg
        Right ascension and declination of the halo.
    pixels, pixel_arcmin
        A side of the image, and of a pixel.
    radius_arcmin
        R200c: the keyword ``R200ARCM``.
    """
    from astropy.io import fits

    side = pixel_arcmin / 60.0
    header = fits.Header()
    for axis, (name, centre, step) in enumerate(
        (("RA---TAN", centre_deg[0], -side), ("DEC--TAN", centre_deg[1], side)), 1
    ):
        header[f"CTYPE{axis}"] = name
        header[f"CRVAL{axis}"] = (centre, "[deg] the halo's centre")
        header[f"CRPIX{axis}"] = 0.5 * (pixels + 1)
        header[f"CDELT{axis}"] = (step, "[deg] side of a pixel")
        header[f"CUNIT{axis}"] = "deg"
    header["RADESYS"] = "ICRS"
    header["R200ARCM"] = (radius_arcmin, "[arcmin] R200c that frames the map")
    return header


def write_image(path: Path, values: NDArray[np.floating], header: Any, units: str, history: str) -> Path:
    """Write a map (y, x) as the primary image of a FITS file; ``units`` as a store states them."""
    from astropy.io import fits

    header = header.copy()
    unit = FITS_UNITS.get(units, units)
    if unit:
        header["BUNIT"] = unit
    header["ORIGIN"] = f"three_hundred_maps {__version__}"
    header["HISTORY"] = history
    image = fits.PrimaryHDU(np.asarray(values, ">f4"), header)
    image.add_checksum(when="as written")  # else astropy states the time, and no two files are the same
    image.writeto(path, overwrite=True)
    return path


def export_fits(
    store: str | Path, halo: str, los: int, out: str | Path, *, redshift: float | None = None
) -> list[Path]:
    """Write every view of a halo along a line of sight as ``OUT/VIEW.fits``.

    Parameters
    ----------
    store
        A finished store, by name or folder.
    halo, los
        The key (``REGION:ID``) and the number of the line of sight.
    out
        A folder.
    redshift
        Where an ideal halo is placed; by default at its snapshot's. An observed one has its place.

    Raises
    ------
    InputError
        Where there is no such halo, or no redshift above 0 to place it at.
    """
    source = find_store(store)
    attrs = root_attrs(source)
    split, data = read_halo(source, halo, los)
    key, R200c = halo_keys(data.halos)[0], float(data.halos["R200c"][0])
    own, frame = float(data.halos["redshift"][0]), Frame()
    if "observed" in attrs:
        frame = Frame.draw(key, los)
        if redshift not in (None, own):
            raise InputError(f"--redshift {redshift}: this halo was observed at z = {own:.4f}")
    elif redshift is None and own <= 0:
        raise InputError("a halo at redshift 0 has no place on the sky: give --redshift Z")
    sky = place(cosmology_of(attrs), own if redshift is None else redshift)
    grid = MapGrid.from_attrs(attrs, source)
    radius_arcmin = frame.radius * R200c * sky.arcmin_per_kpc
    header = sky_header(ORIGIN, grid.pixels, grid.pixel * radius_arcmin, radius_arcmin)
    header["OBJECT"] = str(key)
    header["REDSHIFT"] = sky.redshift
    header["R200C"] = (R200c, "[kpc] the halo's true R200c")
    header["M200C"] = (float(data.halos["M200c"][0]), "[solMass] the halo's true M200c")
    header["LOS"] = (los, "number of the line of sight")
    header["SYNTHET"] = (bool(attrs["synthetic"]), "whether the halo is of a synthetic simulation")
    header["HIERARCH SYNTHETIC"] = header["SYNTHET"]  # nine letters, which the standard itself has not
    header["DATASET"] = str(attrs["name"])
    folder, group, written = Path(out), open_group(source)[split], []
    folder.mkdir(parents=True, exist_ok=True)
    for view, maps in data.maps.items():
        about = dict(group[view].attrs)
        each = header.copy()
        add_instrument(each, about)
        each["VIEW"] = view
        history = f"{about['long_name']}; map axes: +x to the right (west), +y up (north)"
        written.append(write_image(folder / f"{view}.fits", maps[0, los], each, about["units"], history))
    return written


def add_instrument(header: Any, about: Mapping[str, Any]) -> None:
    """The beam and exposure that a view's attributes state, as keywords."""
    if "beam_fwhm_arcsec" in about:
        for name, text in (("BMAJ", "major"), ("BMIN", "minor")):
            header[name] = (about["beam_fwhm_arcsec"] / 3600.0, f"[deg] FWHM of the beam, {text} axis")
    if "exposure_s" in about:
        header["EXPOSURE"] = (about["exposure_s"], "[s]")
