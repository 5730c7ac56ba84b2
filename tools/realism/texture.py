"""Texture, shape and correlation of maps: how alike are the maps of stores, in numbers a model sees.

Every figure is of one halo, the median over its lines of sight; a store's is the median over halos.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter1d

from three_hundred_maps.display import markdown_table
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import SPLITS

Maps = NDArray[np.float64]

VIEWS = ("sz", "xray", "star", "mass")
LOW_MSUN, HIGH_MSUN = 5e13, 4e14
"""M200c of the halos compared: those that a real zoom and the small configs both hold."""
EVERY = 4
"""One in so many lines of sight is measured."""
_WIDTH = 2.0
"""Side of a map, R200c."""
_FWHM = 0.05
"""Of the Gaussian before anything is measured, R200c."""
_FLOOR = {"sz": 1e-9, "xray": 1e-12, "star": 3e3, "mass": 1e5}
"""Added before the logarithm, each in its view's unit: far below anything that is seen."""
_RINGS = np.concatenate([np.linspace(0.0, 1.0, 21), [1.1, 1.25, 1.45]])
_BANDS = ((0.75, 1.5), (1.5, 3.0), (3.0, 6.0), (6.0, 10.0))
"""Cycles per R200c."""
_PAIRS = (("sz", "xray"), ("sz", "mass"), ("xray", "mass"), ("star", "mass"))
_BODY, _ANNULI = (0.15, 0.95), ((0.3, 0.6), (0.6, 1.0))
_SLOPES = {
    "core/.15": ((0.0, 0.05), (0.1, 0.2)),
    ".15/.5": ((0.1, 0.2), (0.4, 0.6)),
    ".5/.92": ((0.4, 0.6), (0.85, 1.0)),
}


@dataclass(frozen=True)
class Aim:
    """What a synthetic store should show: the figure's name in words, and its range."""

    words: str
    low: float
    high: float


AIMS = {
    "P sz 3-6": Aim("SZ power, 3-6 cycles per R200c", 0.006, 0.010),
    "P xray 3-6": Aim("X-ray power, 3-6", 0.03, 0.08),
    "P xray 6-10": Aim("X-ray power, 6-10", 0.004, 0.010),
    "kurtosis xray": Aim("X-ray excess kurtosis", -0.1, 2.0),
    "brightest xray": Aim("X-ray share of the 4 brightest pixels", 0.04, 0.10),
    "r sz-xray 3-6": Aim("correlation SZ - X-ray, 3-6", 0.45, 0.60),
    "r sz-xray 6-10": Aim("correlation SZ - X-ray, 6-10", 0.40, 0.60),
    "r sz-mass 3-6": Aim("correlation SZ - mass, 3-6", 0.15, 0.30),
    "r xray-mass 3-6": Aim("correlation X-ray - mass, 3-6", 0.20, 0.35),
    "slope star core/.15": Aim("stars, core over 0.15 R200c (dex)", 1.8, 2.3),
    "scatter star 0.3-0.6": Aim("stars, azimuthal scatter 0.3-0.6 R200c (dex)", 0.50, 0.79),
    "scatter star 0.6-1": Aim("stars, azimuthal scatter 0.6-1 R200c (dex)", 0.37, 0.58),
}
"""Ranges that real simulations of clusters span, between the codes with feedback and those without."""


def map_radius(n: int) -> NDArray[np.float64]:
    """(n, n) distance of the pixels of a map from its centre, R200c."""
    centre = (np.arange(n) + 0.5) * (_WIDTH / n) - 0.5 * _WIDTH
    return np.asarray(np.hypot(centre[:, None], centre[None, :]))


def ring_residual(maps: Maps, view: str) -> Maps:
    """log10 of (n, y, x) maps of a view, smoothed, less its mean in rings around the centre; dex."""
    n = maps.shape[-1]
    sigma = _FWHM / (_WIDTH / n) / np.sqrt(8.0 * np.log(2.0))
    smooth = gaussian_filter1d(gaussian_filter1d(maps, sigma, axis=-1), sigma, axis=-2)
    logarithm = np.log10(np.maximum(smooth, 0.0) + _FLOOR[view])
    ring = (np.digitize(map_radius(n), _RINGS) - 1).ravel()
    flat = logarithm.reshape(len(maps), -1)
    counts = np.bincount(ring)
    means = np.stack([np.bincount(ring, row) / np.maximum(counts, 1) for row in flat])
    return (flat - means[:, ring]).reshape(maps.shape)


def halo_figures(maps: Mapping[str, Maps]) -> dict[str, float]:
    """Every figure of one halo.

    Parameters
    ----------
    maps
        (n, y, x) maps of `VIEWS`, square and 2 R200c wide, in the store's units.

    Returns
    -------
    dict
        ``P view band`` the power of `ring_residual` under a Hann window (dex^2), ``r a-b band`` the
        correlation of two views, ``scatter`` its standard deviation in a ring (dex), ``kurtosis`` and
        ``skewness``, ``slope`` of the profile (dex), ``brightest`` the share of the four brightest pixels,
        ``empty star`` the share of pixels inside R200c without stars.
    """
    n = maps[VIEWS[0]].shape[-1]
    radius = map_radius(n)
    window = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    taper = np.outer(window, window)
    taper /= np.sqrt((taper**2).mean())
    frequency = np.fft.fftfreq(n, _WIDTH / n)
    k = np.hypot(frequency[:, None], frequency[None, :])
    bands = {f"{low:g}-{high:g}": (k >= low) & (k < high) for low, high in _BANDS}
    figures: dict[str, float] = {}
    modes = {}
    for view in VIEWS:
        residual = ring_residual(maps[view], view)
        modes[view] = fft.fft2(residual * taper)
        for name, band in bands.items():
            figures[f"P {view} {name}"] = float((np.abs(modes[view][:, band]) ** 2).mean() / n**2)
        for low, high in _ANNULI:
            inside = residual[:, (radius > low) & (radius < high)]
            figures[f"scatter {view} {low:g}-{high:g}"] = float(np.median(inside.std(1)))
        body = residual[:, (radius > _BODY[0]) & (radius < _BODY[1])]
        scaled = (body - body.mean(1, keepdims=True)) / np.maximum(body.std(1, keepdims=True), 1e-12)
        figures[f"kurtosis {view}"] = float(np.median((scaled**4).mean(1)) - 3.0)
        figures[f"skewness {view}"] = float(np.median((scaled**3).mean(1)))
        for name, rings in _SLOPES.items():
            inner, outer = (
                float(np.median(maps[view][:, (radius >= low) & (radius < high)].mean(1)))
                for low, high in rings
            )
            figures[f"slope {view} {name}"] = float(np.log10(max(inner, 1e-30) / max(outer, 1e-30)))
        rows = maps[view].reshape(len(maps[view]), -1)
        top = np.partition(rows, -4, axis=1)[:, -4:].sum(1)
        figures[f"brightest {view}"] = float(np.median(top / np.maximum(rows.sum(1), 1e-300)))
    for one, two in _PAIRS:
        for name, band in bands.items():
            a, b = modes[one][:, band], modes[two][:, band]
            norm = np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())
            figures[f"r {one}-{two} {name}"] = float((a * b.conj()).real.sum() / max(norm, 1e-300))
    figures["empty star"] = float((maps["star"][:, radius < 1.0] == 0).mean())
    return figures


def medians(halos: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The median of every figure over halos."""
    rows = list(halos)
    return {name: float(np.median([row[name] for row in rows])) for name in rows[0]}


def store_maps(
    store: str | Path, low_msun: float = LOW_MSUN, high_msun: float = HIGH_MSUN
) -> Iterator[tuple[float, dict[str, Maps]]]:
    """M200c (Msun) and every fourth map of `VIEWS` of a store's halos (all splits) in a range of M200c.

    Raises
    ------
    InputError
        Where the folder is no store with `VIEWS`, or holds no halo of that mass.
    """
    number = 0
    for split in SPLITS:
        mass = read_split(store, split, []).halos["M200c"]
        for i in np.flatnonzero((mass >= low_msun) & (mass <= high_msun)):
            number += 1
            maps = read_split(store, split, VIEWS, slice(i, i + 1)).maps
            yield float(mass[i]), {view: maps[view][0, ::EVERY].astype(np.float64) for view in VIEWS}
    if not number:
        raise InputError(f"{store}: no halo of {low_msun:.3g}-{high_msun:.3g} Msun")


def store_figures(
    store: str | Path, low_msun: float = LOW_MSUN, high_msun: float = HIGH_MSUN
) -> list[dict[str, float]]:
    """`halo_figures` of the halos of `store_maps`."""
    return [halo_figures(maps) for _, maps in store_maps(store, low_msun, high_msun)]


def aimed_medians(halos: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What a page keeps of a store: the number of halos, and the medians of the figures in `AIMS`."""
    middle = medians(halos)
    return {"halos": len(halos), **{name: middle[name] for name in AIMS}}


def aims_table(kept: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table of `aimed_medians`, a column a store; what misses its aim is marked."""
    head = ("figure", "aim", *(f"{name} ({row['halos']:.0f})" for name, row in kept.items()))
    rows = [
        (
            aim.words,
            f"{aim.low:g} to {aim.high:g}",
            *(
                f"{row[name]:.3g}" if aim.low <= row[name] <= aim.high else f"*{row[name]:.3g}*"
                for row in kept.values()
            ),
        )
        for name, aim in AIMS.items()
    ]
    return markdown_table(head, rows)


def full_table(stores: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Every figure as text: median and, in brackets, the range over halos; a column a store."""
    width = 30
    lines = [" " * width + "".join(f"| {f'{name} ({len(halos)})':>34} " for name, halos in stores.items())]
    for figure in next(iter(stores.values()))[0]:
        cells = []
        for halos in stores.values():
            values = np.array([row[figure] for row in halos])
            cells.append(f"| {np.median(values):10.4f} [{values.min():10.4f} {values.max():10.4f}] ")
        lines.append(f"{figure:{width}}" + "".join(cells))
    return "\n".join(lines)
