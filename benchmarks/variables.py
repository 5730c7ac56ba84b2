"""The arrays of maps that a submission may hold: names, dimensions, units."""

from __future__ import annotations

from typing import Any

from three_hundred_maps.store.schema import MAP_DIMS

MASS, SIGMA, SAMPLES = "mass", "mass_sigma", "mass_samples"
SAMPLE_DIMS = (*MAP_DIMS[:2], "sample", *MAP_DIMS[2:])
SAMPLE_COUNT = (2, 64)
"""Least and greatest number of posterior samples of a map."""
SMOOTHED = "smoothed_fwhm"
"""Attribute of `SAMPLES` that are on the score grid already: the FWHM of its Gaussian, R200c."""

ATTRIBUTES: dict[str, dict[str, Any]] = {
    MASS: {"units": "Msun kpc-2", "long_name": "predicted total surface density"},
    SIGMA: {"units": "dex", "long_name": "sigma of log10 of the prediction"},
    SAMPLES: {"units": "Msun kpc-2", "long_name": "posterior samples of the total surface density"},
}


def map_dims(name: str) -> tuple[str, ...]:
    """Dimensions of an array."""
    return SAMPLE_DIMS if name == SAMPLES else MAP_DIMS
