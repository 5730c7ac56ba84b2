"""Peaks of the surface density: subhaloes and mergers, found and matched one to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.grid import Grid

Array = NDArray[np.float64]
Places = NDArray[np.int64]
_SLACK = 1 + 1e-9
"""Distances are whole numbers of pixels: equality must not hang on rounding."""


@dataclass(frozen=True)
class PeakList:
    """Peaks of one map, the most massive first.

    Parameters
    ----------
    y, x
        (peak,): pixel.
    mass
        (peak,): M_pk in units of that map's own M(<R200c).
    """

    y: Places
    x: Places
    mass: Array


def excess(maps: Array, grid: Grid) -> Array:
    """(map, y, x): E = S - median of S in rings of 2 pixels around the halo, Msun kpc-2.

    Beyond the rings that a peak's aperture can reach it is 0.
    """
    order, ends = grid.peak_rings
    values = np.take(maps.reshape(len(maps), -1), order, axis=1)
    for first, end in zip(ends[:-1], ends[1:], strict=True):
        ring = values[:, first:end]
        # Not `np.median`, which also looks for NaN: of a truth it was done, in predictions they are refused.
        middle = [(end - first - 1) // 2, (end - first) // 2]
        ring -= np.partition(ring, middle, axis=1)[:, middle].mean(axis=1, keepdims=True)
    result = np.zeros((len(maps), maps.shape[1] * maps.shape[2]))
    result[:, order] = values
    return result.reshape(maps.shape)


def find_peaks(maps: Array, masses: Array, grid: Grid) -> list[PeakList]:
    """The peaks of every map.

    Candidates are strict maxima of E in 5 x 5 pixels with 0.15 < R / R200c < 0.95; M_pk is the sum of E
    times area within 0.05 R200c; kept from 2e-3 of the map's own M(<R200c) on; of two closer than
    0.075 R200c the larger.

    Parameters
    ----------
    maps
        (map, y, x): surface density on the score grid, Msun kpc-2.
    masses
        (map,): M(<R200c) of each map, Msun kpc-2 R200c^2 (`aperture_masses` of the circle R < R200c).
    """
    c = grid.constants
    e = excess(maps, grid)
    reach = grid.peak_weights.shape[0] // 2
    least = np.zeros(len(maps))
    if reach <= c.peak_window:
        # A peak is the highest of its aperture: where it is too low, M_pk is too small.
        least = (1 - 1e-9) * c.peak_least * masses / grid.peak_weights.sum()
    # Most pixels fall to their four neighbours; the whole window is looked at round those that are left.
    inner = e[:, 1:-1, 1:-1]
    top = (inner > 0) & (inner >= least[:, None, None]) & grid.peak_allowed[1:-1, 1:-1]
    for neighbour in (e[:, 1:-1, :-2], e[:, 1:-1, 2:], e[:, :-2, 1:-1], e[:, 2:, 1:-1]):
        top &= inner > neighbour
    n, y, x = np.nonzero(top)
    y, x = y + 1, x + 1
    span = np.arange(-c.peak_window, c.peak_window + 1)
    windows = e[n[:, None, None], y[:, None, None] + span[:, None], x[:, None, None] + span]
    strict = np.sum(windows >= e[n, y, x][:, None, None], axis=(1, 2)) == 1
    n, y, x = n[strict], y[strict], x[strict]
    span = np.arange(-reach, reach + 1)
    apertures = e[n[:, None, None], y[:, None, None] + span[:, None], x[:, None, None] + span]
    with np.errstate(divide="ignore", invalid="ignore"):
        mass = np.einsum("pyx,yx->p", apertures, grid.peak_weights) / masses[n]
    kept = mass >= c.peak_least
    n, y, x, mass = n[kept], y[kept], x[kept], mass[kept]
    order = np.lexsort((x, y, -mass, n))
    n, y, x, mass = n[order], y[order], x[order], mass[order]
    first = np.searchsorted(n, np.arange(len(maps) + 1))
    return [
        _separate(PeakList(y[a:b], x[a:b], mass[a:b]), c.peak_separation / grid.maps.pixel)
        for a, b in zip(first[:-1], first[1:], strict=True)
    ]


def _separate(peaks: PeakList, least_pixels: float) -> PeakList:
    kept: list[int] = []
    for i in range(len(peaks.mass)):
        near = (
            (int(peaks.y[i]) - int(peaks.y[j])) ** 2 + (int(peaks.x[i]) - int(peaks.x[j])) ** 2 for j in kept
        )
        if all(square * _SLACK >= least_pixels**2 for square in near):
            kept.append(i)
    return PeakList(peaks.y[kept], peaks.x[kept], peaks.mass[kept])


def match_peaks(truth: PeakList, predicted: PeakList, grid: Grid) -> NDArray[np.bool_]:
    """(truth peak,): whether each truth peak found a partner.

    One to one: truth peaks in falling M_pk take the nearest prediction that is still free within
    0.075 R200c.
    """
    matched = np.zeros(len(truth.mass), bool)
    if not len(predicted.mass):
        return matched
    limit = (grid.constants.peak_match / grid.maps.pixel) ** 2 * _SLACK
    square = ((truth.y[:, None] - predicted.y) ** 2 + (truth.x[:, None] - predicted.x) ** 2).astype(float)
    for i in range(len(matched)):
        j = int(np.argmin(square[i]))
        if square[i, j] <= limit:
            matched[i] = True
            square[:, j] = np.inf
    return matched
