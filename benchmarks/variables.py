"""The arrays of maps that a submission may hold: names, dimensions, units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import SCORE_FWHM
from three_hundred_maps.store.schema import MAP_DIMS

MASS, SIGMA, SAMPLES = "mass", "mass_sigma", "mass_samples"
"""The arrays, by the names that they have where the mass is predicted; of others see `array_name`."""
SAMPLE_DIMS = (*MAP_DIMS[:2], "sample", *MAP_DIMS[2:])
SAMPLE_COUNT = (2, 64)
"""Least and greatest number of posterior samples of a map."""
SMOOTHED = "smoothed_fwhm"
"""Attribute of `SAMPLES` that are on the score grid already: the FWHM of its Gaussian, R200c."""

_LONG_NAMES = {
    MASS: "predicted map",
    SIGMA: "sigma of log10 of the prediction",
    SAMPLES: "posterior samples of the map",
}


def array_name(variable: str, target: str) -> str:
    """Name of an array where the view ``target`` is predicted: ``gas``, ``gas_sigma``, ``gas_samples``."""
    return target + variable.removeprefix(MASS)


def attributes(variable: str, units: str) -> dict[str, Any]:
    """Attributes of an array of maps in ``units``."""
    return {"units": "dex" if variable == SIGMA else units, "long_name": _LONG_NAMES[variable]}


def given_maps(maps: Any, mass_sigma: Any, mass_samples: Any) -> dict[str, Any]:
    """The arrays that are given, by name; InputError where they do not go together."""
    named = {MASS: maps, SIGMA: mass_sigma, SAMPLES: mass_samples}
    given = {name: values for name, values in named.items() if values is not None}
    if set(given) not in ({MASS}, {MASS, SIGMA}, {SAMPLES}):
        raise InputError(
            f"a submission holds maps, maps and {SIGMA}, or {SAMPLES} alone; given: "
            + (", ".join(given) or "nothing")
        )
    return given


def check_sample_count(name: str, shape: Sequence[int]) -> None:
    """InputError where an array of samples, by its shape, holds too few or too many of a map."""
    least, most = SAMPLE_COUNT
    if name == SAMPLES and not least <= shape[2] <= most:
        raise InputError(f"{name} holds {shape[2]} samples of a map; give {least} to {most}")


def check_smoothed(fwhm: float | None, given: Mapping[str, Any]) -> None:
    """InputError where something else than samples is said to be on the score grid, or another grid."""
    if fwhm is not None and (SAMPLES not in given or fwhm != SCORE_FWHM):
        raise InputError(f"{SMOOTHED} is for {SAMPLES} on the score grid: {SCORE_FWHM:g} (R200c) or left out")


def map_dims(name: str) -> tuple[str, ...]:
    """Dimensions of an array."""
    return SAMPLE_DIMS if name == SAMPLES else MAP_DIMS
