"""``python -m baselines.predict RUN --fits VIEW=FILE ...``: FITS images of a real sky in, a mass map out.

Images are brought to the frame (`baselines.sky_images`) and the units of the model's training store.
Needs the extra ``[observe]``.
"""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from baselines.command import new_folder
from baselines.model import MassModel
from baselines.sky_images import Frame, Image, SkyImage, on_pixels_of, read_image, to_frame
from three_hundred_maps.display import COLOUR_MAPS, DEFAULT_COLOUR_MAP
from three_hundred_maps.errors import InputError
from three_hundred_maps.observe.fits import write_image
from three_hundred_maps.observe.frame import PIXEL, PIXELS
from three_hundred_maps.plot import new_figure
from three_hundred_maps.torch_transforms import fainter_or_brighter

if TYPE_CHECKING:
    from baselines.posterior_model import PosteriorModel

MASS_FILE = "mass.fits"
_Y = re.compile(r"(compton|t?sz|y|param(eter)?|dimensionless|unitless|none|[ _-])+", re.IGNORECASE)
"""What BUNIT of a Compton y map says where it names the quantity, which has no unit."""
NO_DRAWING: Mapping[str, Any] = {}


@dataclass
class Prepared:
    """A view in the frame and units of training, and what was done to it."""

    maps: NDArray[np.float32]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def prepare(view: str, files: Mapping[str, str], frame: Frame, about: Mapping[str, Any]) -> Prepared:
    """A view from its files: in the frame, in the training store's units.

    Parameters
    ----------
    files
        ``image`` and, of counts, ``exposure`` (s) and ``background`` (counts).
    about
        What the model says of the view: ``units``, and the instrument of an observed store.
    """
    image = read_image(files["image"], frame)
    wanted = str(about.get("units", ""))
    if wanted == "ct s-1 arcmin-2":
        values, masked, note = _count_rate(view, image, files, frame, about)
    else:
        extra = [name for name in files if name != "image"]
        if extra:
            raise InputError(
                f"--fits {view}=...: {extra[0]} is of count images, and {view} here is in {wanted}"
            )
        factor, note = _conversion(view, image, wanted)
        values, masked = to_frame(image, None, frame)
        values = values * factor
    made = Prepared(np.asarray(values, np.float32), [f"{view}: {note}"])
    if masked:
        made.notes.append(f"{view}: {masked:.1%} of the pixels inside R200c were masked and are filled")
    beam, trained = image.beam_arcsec, about.get("beam_fwhm_arcsec")
    if beam is not None and trained is not None and abs(beam / trained - 1.0) > 0.25:
        made.warnings.append(f"{view} has a beam of {beam:.3g} arcsec, training {trained:.3g}")
    side = np.sqrt(image.pixel_arcmin2)
    if side > 2.0 * frame.pixel_arcmin:
        made.warnings.append(f"{view} has pixels {side / frame.pixel_arcmin:.2g} times those of training")
    return made


def _count_rate(
    view: str, image: SkyImage, files: Mapping[str, str], frame: Frame, about: Mapping[str, Any]
) -> tuple[Image, float, str]:
    """Counts s-1 arcmin-2 with the background of the training store."""
    from astropy import units

    level = float(about.get("background", 0.0))
    if "exposure" not in files:
        unit = _unit(image)
        per_second, per_area = units.ct / units.s, units.ct / units.s / units.arcmin**2
        if unit.is_equivalent(per_area):
            factor, text = float(unit.to(per_area)), "a count rate an area, used as it is"
        elif unit.is_equivalent(per_second):
            factor, text = (
                float(unit.to(per_second)) / image.pixel_arcmin2,
                "count rate over the pixel's area",
            )
        else:
            raise InputError(
                f"{image.path} is in {image.units or 'no units'}: give a count rate (count s-1 arcmin-2), or"
                f" counts as --fits {view}=FILE,exposure=FILE[,background=FILE]"
            )
        values, masked = to_frame(image, None, frame, whole=True)
        return values * factor, masked, text
    image = _in_unit(image, units.ct, "with an exposure it is to be in counts")
    given = _in_unit(read_image(files["exposure"], frame), units.s, "an exposure is to be in s")
    exposure = on_pixels_of(image, given)
    moved = ["exposure"] if exposure is not given.values else []
    exposure = np.where(np.isfinite(exposure) & (exposure > 0), exposure, 0.0)
    if not exposure.any():
        raise InputError(f"{files['exposure']}: the exposure is 0 on all of {image.path}")
    counts, text = image.values, "counts over exposure and area"
    if "background" in files:
        given = _in_unit(read_image(files["background"], frame), units.ct, "a background is to be in counts")
        background = on_pixels_of(image, given, sums=True)
        moved += ["background"] if background is not given.values else []
        counts = counts - background + level * exposure * image.pixel_arcmin2
        text += f", less the background map, plus the {level:.3g} ct s-1 arcmin-2 of training"
    if moved:
        text += f"; {' and '.join(moved)} resampled to the image's pixels"
    rate = np.where(exposure > 0, counts / np.where(exposure > 0, exposure, 1.0), np.nan)
    each = SkyImage(rate / image.pixel_arcmin2, image.wcs, "", image.path)
    values, masked = to_frame(each, exposure, frame, whole=True)
    trained = about.get("exposure_s")
    if trained:
        text += f"; mean exposure {exposure[exposure > 0].mean():.4g} s, of training {trained:.4g} s"
    return np.maximum(values, 0.0), masked, text


def _in_unit(image: SkyImage, wanted: Any, said: str) -> SkyImage:
    """An image in a unit, which it is where it names none; InputError with what is ``said`` for another."""
    unit = _unit(image)
    if unit == wanted or image.units in ("", "1"):
        return image
    if not unit.is_equivalent(wanted):
        raise InputError(f"{image.path} is in {image.units}, and {said}")
    return replace(image, values=image.values * float(unit.to(wanted)))


def _unit(image: SkyImage) -> Any:
    from astropy import units

    # As X-ray observatories write it: counts, cts, COUNTS/SEC, seconds; no image here is in siemens (S).
    text = re.sub(r"\b(counts?|cts?)\b", "ct", image.units, flags=re.IGNORECASE)
    text = re.sub(r"\bs(ec(onds?)?)?\b", "s", text, flags=re.IGNORECASE)
    try:
        with warnings.catch_warnings():
            # Several slashes are discouraged, and common.
            warnings.simplefilter("ignore", units.UnitsWarning)
            unit = units.Unit(text) if text not in ("", "1") else units.dimensionless_unscaled
    except ValueError:
        raise InputError(
            f"{image.path}: BUNIT {image.units!r} is not a unit of the FITS standard, such as ct s-1 arcmin-2"
        ) from None
    # A value of a pixel need not say so: count s-1 and count s-1 pixel-1 are the same.
    return unit * units.pix if dict(zip(unit.bases, unit.powers, strict=True)).get(units.pix) == -1 else unit


def _conversion(view: str, image: SkyImage, wanted: str) -> tuple[float, str]:
    """What an image is multiplied by to be in the units of training."""
    from astropy import units

    target = {
        "1": units.dimensionless_unscaled,
        "Msun kpc-2": units.Msun / units.kpc**2,
        "1e44 erg s-1 kpc-2": 1e44 * units.erg / units.s / units.kpc**2,
        "keV": units.keV,
    }.get(wanted)
    if target is None:
        raise InputError(
            f"the model does not say in which units it saw {view}: train it again with this version"
        )
    if wanted == "1" and _Y.fullmatch(image.units):
        image = replace(image, units="")
    unit = _unit(image)
    if not unit.is_equivalent(target):
        hint = ""
        if view == "xray":
            hint = "; the model saw ideal maps: for counts, train one on an observed store"
        raise InputError(
            f"{image.path} is in {image.units or 'no units'}, the model saw {view} in {wanted}{hint}"
        )
    factor = float(unit.to(target))
    return factor, f"{image.units or 'dimensionless'} times {factor:.6g}"


def parse_fits(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """``VIEW=FILE[,exposure=FILE,background=FILE]`` by view."""
    found: dict[str, dict[str, str]] = {}
    for word in words:
        view, equals, rest = word.partition("=")
        first, *more = rest.split(",")
        files = {"image": first}
        for item in more:
            name, sign, file = item.partition("=")
            if not sign or name not in ("exposure", "background"):
                raise InputError(f"--fits {word}: after the image come exposure=FILE and background=FILE")
            files[name] = file
        if not equals or not first or view in found:
            raise InputError(f"--fits {word}: write VIEW=FILE, each view once")
        if "background" in files and "exposure" not in files:
            raise InputError(f"--fits {word}: a background in counts needs exposure=FILE too")
        found[view] = files
    return found


def parse_centre(text: str) -> tuple[float, float]:
    """``RA,DEC`` in deg."""
    try:
        ra, dec = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--centre {text}: write RA,DEC in degrees, as 55.714,-53.628") from None
    if not (-360.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0):
        raise InputError(f"--centre {text}: no such place on the sky")
    return ra % 360.0, dec


@dataclass(frozen=True)
class SkyPrediction:
    """A predicted mass map.

    Parameters
    ----------
    mass
        (80, 80) Msun kpc-2.
    sigma
        (80, 80) dex, or None; of posterior samples their standard deviation.
    inputs
        By view, as the model saw it.
    notes, outside
        What was done to the images, and what lies outside the training range.
    """

    mass: Image
    sigma: Image | None
    inputs: dict[str, NDArray[np.float32]]
    notes: list[str]
    outside: list[str]


def predict_sky(
    model: MassModel | PosteriorModel,
    about: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, Mapping[str, str]],
    frame: Frame,
    redshift: float,
    *,
    symmetries: int = 8,
    drawing: Mapping[str, Any] = NO_DRAWING,
) -> SkyPrediction:
    """A mass map from FITS images.

    Parameters
    ----------
    about
        By view, what training saw: the config's ``inputs``.
    files
        By view, as `parse_fits`.
    frame
        Where the cluster is.
    redshift
        Of the cluster.
    drawing
        Number and seed of posterior samples, where the model draws some: ``samples`` and ``seed``.

    Raises
    ------
    InputError
        Where the views or the grid are not the model's, or an image cannot be brought to its frame and units.
    """
    views = model.transforms.views
    if set(files) != set(views):
        raise InputError(
            f"the model sees {', '.join(views)}, and --fits gives {', '.join(files) or 'nothing'}"
        )
    if not 0 < redshift < math.inf:
        raise InputError(f"--redshift {redshift}: a cluster on the sky is at a redshift above 0")
    if not 0 < frame.radius_arcmin < 600:
        raise InputError(f"--r200c-arcmin {frame.radius_arcmin}: give R200c in arcmin")
    if (model.transforms.pixels, model.transforms.width) != (PIXELS, PIXELS * PIXEL):
        raise InputError(
            f"the model was trained on maps of {model.transforms.pixels} pixels over "
            f"{model.transforms.width:g} R200c, and images are brought to {PIXELS} over {PIXELS * PIXEL:g}"
        )
    prepared = {view: prepare(view, files[view], frame, about.get(view, {})) for view in views}
    maps = np.stack([prepared[view].maps for view in views])[None]
    mass, sigma = model.predict(maps, redshift, symmetries=symmetries, **drawing)
    drawn = [f"mean and standard deviation of log10 of {drawing['samples']} samples"] if drawing else []
    shares = model.transforms.outside(maps[:, None], np.array([redshift]))
    outside = [text for each in prepared.values() for text in each.warnings]
    if shares.pop("redshift") > 0:
        outside.append("redshift")
    outside += [fainter_or_brighter(name, f"{share:.1%}") for name, share in shares.items() if share > 0.01]
    return SkyPrediction(
        mass[0].cpu().numpy().astype(np.float64),
        None if sigma is None else sigma[0].cpu().numpy().astype(np.float64),
        {view: each.maps for view, each in prepared.items()},
        [note for each in prepared.values() for note in each.notes] + drawn,
        outside,
    )


def write_prediction(made: SkyPrediction, frame: Frame, redshift: float, out: Path, name: str) -> None:
    """``mass.fits``, ``sigma.fits`` where there is one, each input as the model saw it, and ``mass.png``."""
    out.mkdir(parents=True, exist_ok=True)
    header = frame.header
    header["REDSHIFT"] = redshift
    history = "; ".join([f"predicted by {name}", *made.notes])
    if made.outside:
        history += "; outside the training range: " + ", ".join(made.outside)
    write_image(out / MASS_FILE, made.mass, header, "Msun kpc-2", history)
    if made.sigma is not None:
        write_image(out / "sigma.fits", made.sigma, header, "dex", history)
    draw_sky(made, frame, out / "mass.png", f"{name}, z = {redshift:g}")


def draw_sky(made: SkyPrediction, frame: Frame, path: Path, title: str) -> None:
    """Inputs and predicted mass beside each other, in arcmin."""
    panels: dict[str, NDArray[Any]] = {**made.inputs, "mass": made.mass}
    figure, axes = new_figure(1, len(panels), (4.2 * len(panels), 4.6))
    reach = frame.radius_arcmin
    for axis, (view, values) in zip(axes[0], panels.items(), strict=True):
        positive = values[values > 0]
        floor = float(positive.min()) if positive.size else 1.0
        image = axis.imshow(
            values if (values < 0).any() else np.log10(np.maximum(values, floor)),
            origin="lower",
            extent=(reach, -reach, -reach, reach),
            cmap=COLOUR_MAPS.get(view, DEFAULT_COLOUR_MAP),
            interpolation="nearest",
        )
        figure.colorbar(image, ax=axis, location="bottom", shrink=0.9).set_label(
            view if (values < 0).any() else f"log10 {view}"
        )
        axis.set_title(view)
        axis.set_xlabel("arcmin to the east of the centre")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def predict_fits(
    model: MassModel | PosteriorModel,
    config: Mapping[str, Any],
    words: Sequence[str],
    out: Path,
    *,
    redshift: float | None,
    centre: str | None,
    radius_arcmin: float | None,
    name: str,
    symmetries: int = 8,
    drawing: Mapping[str, Any] = NO_DRAWING,
) -> SkyPrediction:
    """The command: reads, predicts, writes, and prints what was done and what lies outside of training."""
    if redshift is None or centre is None or radius_arcmin is None:
        raise InputError("--fits needs --redshift Z, --centre RA,DEC and --r200c-arcmin R too")
    frame = Frame(parse_centre(centre), radius_arcmin)
    about = config.get("inputs", {})
    made = predict_sky(
        model, about, parse_fits(words), frame, redshift, symmetries=symmetries, drawing=drawing
    )
    write_prediction(made, frame, redshift, new_folder(out, ours=MASS_FILE), name)
    for note in made.notes:
        print(note, file=sys.stderr)
    if made.outside:
        print(f"outside the training range: {', '.join(made.outside)}", file=sys.stderr)
    return made
