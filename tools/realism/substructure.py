"""What each view knows of a cluster's substructure: reported on fresh seeds, never tuned on."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, map_coordinates

from three_hundred_maps.mapping.halo_grid import HaloGrid, cutout_radius
from three_hundred_maps.mapping.lines_of_sight import lines_of_sight
from three_hundred_maps.mapping.render import render
from three_hundred_maps.mapping.views import get_view
from three_hundred_maps.simulation.synthetic.setup import Flavour, H
from tools.realism.survey import Progress, open_region, over_regions

SUBSTRUCTURE_SEED, SUBSTRUCTURE_REGIONS = 93001, 16
VIEWS = ("sz", "xray", "star", "mass")
PLAUSIBLE = {"star": (0.6, 1.0), "sz": (0.0, 0.2), "xray": (0.1, 0.4), "mass": (0.7, 1.0)}
"""Ranges of `detected_fraction` that a realistic simulation should fall in."""

PIXEL = 0.025
"""Of a map, in R200c."""
APERTURE = 0.05
"""Radius in R200c within which a subhalo's light is summed."""
INNER, OUTER, SMALLEST_RATIO, SIGNIFICANCE = 0.15, 0.92, 5e-3, 3.0
_ANGLES = 72


def aperture_means(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of a map (y, x) within `APERTURE` of every pixel."""
    half = math.ceil(APERTURE / PIXEL)
    offsets = np.arange(-half, half + 1) * PIXEL
    disc = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= APERTURE**2).astype(np.float64)
    return convolve(image, disc / disc.sum(), mode="nearest")


def significance(image: NDArray[np.float64], x: float, y: float, floor: float) -> float:
    """Excess in an aperture at (x, y) (R200c) over the median of its ring, in the ring's scatter.

    The scatter is 1.4826 MAD of apertures around the ring, those that touch the object left out, and at
    least ``floor``.
    """
    smooth = aperture_means(image)
    r, phase = math.hypot(x, y), math.atan2(y, x)
    angles = phase + 2.0 * np.pi * np.arange(_ANGLES) / _ANGLES
    middle = 0.5 * (image.shape[0] - 1)
    ring = map_coordinates(
        smooth,
        np.stack([r * np.sin(angles) / PIXEL + middle, r * np.cos(angles) / PIXEL + middle]),
        order=1,
        mode="nearest",
    )
    apart = 2.0 * r * np.abs(np.sin(0.5 * (angles - phase))) > 3.0 * APERTURE
    around = ring[apart]
    median = float(np.median(around))
    scatter = max(1.4826 * float(np.median(np.abs(around - median))), floor)
    return (float(ring[0]) - median) / scatter


def detected_fraction(
    flavour: Flavour, workers: int = 1, progress: Progress = None
) -> dict[str, tuple[float, int]]:
    """Share of projected subhaloes (m/M > 5e-3, outside 0.15 R200c) above 3 sigma in the map of each view.

    Returns
    -------
    dict
        View -> (share, number of projected subhaloes).
    """
    jobs = [(SUBSTRUCTURE_SEED, region, flavour) for region in range(1, SUBSTRUCTURE_REGIONS + 1)]
    parts = over_regions(_detections, jobs, workers, progress)
    found = {name: [hit for part in parts for hit in part[name]] for name in VIEWS}
    return {name: (float(np.mean(hits)) if hits else math.nan, len(hits)) for name, hits in found.items()}


def _detections(job: tuple[int, int, Flavour]) -> dict[str, list[bool]]:
    """Of every projected subhalo of a region, whether it is seen, by view."""
    seed, region, flavour = job
    vectors, ups = (directions[[0, 14, 28]] for directions in lines_of_sight(29))
    views = [get_view(name) for name in VIEWS]
    found: dict[str, list[bool]] = {name: [] for name in VIEWS}
    with tempfile.TemporaryDirectory() as folder:
        opened = open_region(Path(folder), seed, region, flavour)
        halos = opened.halos
        for i in np.flatnonzero(halos.distinct & (halos.M200c_msun > 10**13.5 / H)):
            size = halos.R200c_kpc[i]
            frame = HaloGrid(size)
            cutout = opened.region.cutout(halos.centre_kpc[i], cutout_radius(frame))
            maps = render(cutout, views, frame, vectors, ups)
            members = (halos.host_id == halos.halo_id[i]) & (
                halos.M200c_msun > SMALLEST_RATIO * halos.M200c_msun[i]
            )
            offsets = (halos.centre_kpc[members] - halos.centre_kpc[i]) / size
            star = opened.data.resolution.star / (np.pi * (APERTURE * size) ** 2)
            for k, (n, u) in enumerate(zip(vectors, ups, strict=True)):
                across = np.cross(u, n)
                for x, y in zip(offsets @ across, offsets @ u, strict=True):
                    if not INNER < math.hypot(x, y) < OUTER:
                        continue
                    for name in VIEWS:
                        image = maps[name][0][k].astype(np.float64)
                        level = significance(image, x, y, star if name == "star" else 1e-300)
                        found[name].append(level > SIGNIFICANCE)
    return found
