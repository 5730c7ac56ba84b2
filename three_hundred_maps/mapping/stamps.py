"""Stamps: what a kernel adds to each pixel it touches, tabulated for where in a pixel its centre lies.

A stamp is the projected SPH kernel convolved with the map grid's Gaussian, integrated over pixels exactly and
normalised to sum 1. Kernels are sorted into narrow bins of their width; each bin has a lattice of stamps
over the sub-pixel position of the centre, between which back ends interpolate bilinearly. Kernels over
`LARGE_PX` pixels go to lattices coarser by powers of two, from which the pixels are interpolated.

Along an axis the stamp of a centre at ``p`` (pixels) covers the ``width`` pixels from
``floor(p + shift) - width // 2``, with ``shift`` 0 for odd widths and 1/2 for even ones.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.mapping import kernels

Array = NDArray[np.float64]

LARGE_PX = 16.0
"""Kernels that end beyond this many pixels go to coarser lattices."""

BIN_STEP = 0.01
"""Bins are this wide in the logarithm of the standard deviation of kernel and Gaussian together."""

TAIL = 3e-5
"""Share of a kernel along an axis that may fall outside its stamp, before normalisation."""

_FLOOR_PX = 0.02
_REACH_SIGMAS = 6.0
_CDF_POINTS = 1 << 15


@functools.cache
def _normal_cdf_table() -> Array:
    x = np.linspace(-_REACH_SIGMAS, _REACH_SIGMAS, _CDF_POINTS)
    return np.array([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in x])


def normal_cdf(x: Array) -> Array:
    """Cumulative normal distribution, to 1e-8."""
    step = 2.0 * _REACH_SIGMAS / (_CDF_POINTS - 1)
    return kernels.look_up(_normal_cdf_table(), (np.asarray(x) + _REACH_SIGMAS) / step)


def pixel_response(t: Array, sigma_px: float) -> Array:
    """Share of a unit point, spread by the Gaussian, in the pixel whose centre is ``t`` pixels away."""
    if sigma_px == 0.0:
        return ((t >= -0.5) & (t < 0.5)).astype(np.float64)
    return normal_cdf((t + 0.5) / sigma_px) - normal_cdf((t - 0.5) / sigma_px)


def cell_response(t: Array, sigma_px: float, cell: float) -> Array:
    """As `pixel_response`, for samples that each stand for a cell of this width.

    A Gaussian as wide as the cells hides where in its cell a sample lies; under a narrower one (or none) the
    cell is spread out evenly, or else the pixel's edges would step from sample to sample.
    """
    if sigma_px > 0.75 * cell:
        return pixel_response(t, sigma_px)

    def integral(x: Array) -> Array:
        if sigma_px == 0.0:
            return np.maximum(x, 0.0)
        z = x / sigma_px
        return x * normal_cdf(z) + sigma_px / math.sqrt(2.0 * math.pi) * np.exp(-0.5 * z**2)

    def below(x: Array) -> Array:
        return (integral(x + 0.5 * cell) - integral(x - 0.5 * cell)) / cell

    return below(t + 0.5) - below(t - 0.5)


@dataclass(frozen=True)
class Bin:
    """One bin's stamps: table (nodes + 1, nodes + 1, width, row), y before x, rows padded with zeros."""

    table: NDArray[np.float32]
    width: int
    nodes: int


def _stamp_width(points: Array, marginal: Array, sigma_px: float) -> int:
    """Pixels that a stamp must span along an axis so that at most `TAIL` is lost, wherever its centre."""

    def enough(reach: float) -> bool:
        if sigma_px == 0.0:
            return float(np.sum(marginal[np.abs(points) > reach])) <= TAIL
        return 2.0 * float(np.sum(marginal * normal_cdf((points - reach) / sigma_px))) <= TAIL

    # only the half pixel above the least sufficient reach counts: see `_narrowest`
    low, high = 0, math.ceil(2.0 * (float(points[-1]) + _REACH_SIGMAS * sigma_px)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(0.5 * middle) else (middle, high)
    return _narrowest(0.5 * high)


def _narrowest(reach: float) -> int:
    """Pixels that cover ``reach`` either side, odd or even, whichever is less; back ends draw 3 and more."""
    return max(3, min(2 * math.ceil(reach) + 1, 2 * math.ceil(reach + 0.5)))


def _sample_kernel(kernel: str, radius: float, step: float) -> tuple[Array, Array]:
    """Points along an axis and the (n, n) share of the projected kernel in the cell around each."""
    half = np.arange(0.5, math.ceil(radius / step)) * step
    quarter = kernels.column(kernel, np.hypot(half[:, None], half[None, :]) / radius)
    image = np.pad(quarter, ((len(half), 0), (len(half), 0)), "symmetric")
    image /= image.sum()
    return np.concatenate([-half[::-1], half]), image


def _pad_rows(stamps: Array, lanes: int) -> NDArray[np.float32]:
    width = stamps.shape[-1]
    row = lanes * math.ceil(width / lanes)
    padded = np.zeros((*stamps.shape[:-1], row), np.float32)
    padded[..., :width] = stamps / stamps.sum(axis=(-2, -1), keepdims=True)
    return padded


def lanes_for(width: int) -> int:
    """Floats that are handled at once: rows of stamps are padded to a multiple of this."""
    return 4 if width <= 4 else 8


def _node_offsets(width: int, nodes: int) -> Array:
    """(width, nodes + 1) distance of each pixel's centre from the kernel's centre."""
    return np.arange(width)[:, None] + 1.0 - 0.5 * width - np.arange(nodes + 1)[None, :] / nodes


def _nodes_for(width: int) -> int:
    """Sub-pixel positions a pixel: the wider a stamp, the less it changes between two of them."""
    return 32 if width <= 4 else 16 if width <= 8 else 8 if width <= 16 else 4


def _less_interpolation(sigma_px: float, nodes: int) -> float:
    """The Gaussian less what bilinear interpolation between nodes widens it by on average, in quadrature."""
    return math.sqrt(max(sigma_px**2 - 1.0 / (6.0 * nodes**2), 0.0))


def make_bin(kernel: str, radius_px: float, sigma_px: float) -> Bin:
    """Stamps of a kernel of this radius, exact to the sampling of the kernel (32 points a radius)."""
    radius = max(radius_px, 0.03)
    step = min(0.125, radius / 32.0)
    points, image = _sample_kernel(kernel, radius, step)
    width = _stamp_width(points, image.sum(axis=0), sigma_px)
    nodes = _nodes_for(width)
    t = _node_offsets(width, nodes)
    sigma = _less_interpolation(sigma_px, nodes)
    response = cell_response(t[:, :, None] - points, sigma, step).reshape(-1, len(points))
    stamps = (response @ image @ response.T).reshape(width, nodes + 1, width, nodes + 1)
    return Bin(_pad_rows(stamps.transpose(1, 3, 0, 2), lanes_for(width)), width, nodes)


def make_point_bin(sigma_px: float) -> Bin:
    """Stamps of a particle without a kernel: the Gaussian alone."""
    width = _stamp_width(np.zeros(1), np.ones(1), sigma_px)
    nodes = _nodes_for(width)
    response = pixel_response(_node_offsets(width, nodes), _less_interpolation(sigma_px, nodes))
    stamps = response[:, :, None, None] * response[None, None, :, :]
    return Bin(_pad_rows(stamps.transpose(1, 3, 0, 2), lanes_for(width)), width, nodes)


def make_coarse_bin(kernel: str, radius_cells: float) -> Bin:
    """Stamps on a coarse lattice: the kernel sampled at the lattice's points, not integrated."""
    width = _narrowest(radius_cells)
    nodes = 4
    t = _node_offsets(width, nodes)
    distance = np.hypot(t[:, :, None, None], t[None, None, :, :])
    stamps = kernels.column(kernel, distance / radius_cells)
    return Bin(_pad_rows(stamps.transpose(1, 3, 0, 2), lanes_for(width)), width, nodes)


@dataclass(frozen=True)
class StampSet:
    """All stamps of one kernel under one Gaussian, in one flat table.

    Parameters
    ----------
    table
        All bins' tables, one after the other, float32.
    offset, width, nodes, row
        (n_bins,) int64: where a bin begins in ``table``, its stamps' width, sub-pixel positions a pixel,
        and padded row length.
    small_bins
        Bins below this number are for kernels on the pixel grid; the rest is one octave, [8, 16) cells,
        of kernels on coarse lattices.
    """

    kernel: str
    sigma_px: float
    table: NDArray[np.float32]
    offset: NDArray[np.int64]
    width: NDArray[np.int64]
    nodes: NDArray[np.int64]
    row: NDArray[np.int64]
    small_bins: int

    def assign(self, radius_px: NDArray[np.float32]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """The bin of each kernel radius and its level: level k is a lattice of 2^k pixels."""
        shape = kernels.sigma(self.kernel)
        radius = radius_px.astype(np.float32)
        base = np.float32(self.sigma_px**2 + _FLOOR_PX**2)
        ratio = np.log1p(np.float32(shape**2) * radius**2 / base)
        number = np.minimum((ratio * np.float32(0.5 / BIN_STEP)).astype(np.int16), self.small_bins - 1)
        level = np.zeros(len(radius), np.int16)
        large = np.flatnonzero(radius > LARGE_PX)
        if len(large):
            # a pixel and the Gaussian widen a kernel; on coarse lattices only their variance matters
            wide = np.sqrt(radius[large].astype(np.float64) ** 2 + self.widening_px2)
            octave = np.floor(np.log2(wide / (0.5 * LARGE_PX)))
            level[large] = octave
            within = np.log(wide / (0.5 * LARGE_PX * 2.0**octave)) / BIN_STEP
            number[large] = self.small_bins + np.minimum(within.astype(np.int64), _OCTAVE_BINS - 1)
        return number, level

    @property
    def widening_px2(self) -> float:
        """What pixel and Gaussian add to the square of a large kernel's radius."""
        return (self.sigma_px**2 + 1.0 / 12.0) / kernels.sigma(self.kernel) ** 2


_OCTAVE_BINS = math.ceil(math.log(2.0) / BIN_STEP)


def _pack(kernel: str, sigma_px: float, bins: list[Bin], small_bins: int) -> StampSet:
    sizes = [b.table.size for b in bins]
    return StampSet(
        kernel,
        sigma_px,
        np.concatenate([*(b.table.ravel() for b in bins), np.zeros(16, np.float32)]),
        np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
        np.array([b.width for b in bins], np.int64),
        np.array([b.nodes for b in bins], np.int64),
        np.array([b.table.shape[-1] for b in bins], np.int64),
        small_bins,
    )


@functools.lru_cache(maxsize=8)
def kernel_stamps(kernel: str, sigma_px: float) -> StampSet:
    """The stamps of an SPH kernel under a Gaussian of ``sigma_px`` pixels; made once a process."""
    base = sigma_px**2 + _FLOOR_PX**2
    shape = kernels.sigma(kernel)
    small_bins = math.ceil(0.5 * math.log1p(shape**2 * LARGE_PX**2 / base) / BIN_STEP)
    middle = (np.arange(small_bins) + 0.5) * BIN_STEP
    radii = np.sqrt(np.expm1(2.0 * middle) * base) / shape
    bins = [make_bin(kernel, float(radius), sigma_px) for radius in radii]
    octave = 0.5 * LARGE_PX * np.exp((np.arange(_OCTAVE_BINS) + 0.5) * BIN_STEP)
    bins += [make_coarse_bin(kernel, float(radius)) for radius in octave]
    return _pack(kernel, sigma_px, bins, small_bins)


@functools.lru_cache(maxsize=8)
def point_stamps(sigma_px: float) -> StampSet:
    """The stamps of particles without a kernel of their own: a single bin."""
    return _pack("", sigma_px, [make_point_bin(sigma_px)], 1)


def coarse_interpolation(pixels: int, level: int, pad: int) -> Array:
    """(pixels, cells) weights of a coarse lattice's points at the pixels' centres.

    Points lie every 2^level pixels; the padded lattice's first point is ``pad`` cells before the map's
    edge plus half a cell. Keys' cubic convolution, which keeps sums.
    """
    cell = 2.0**level
    cells = coarse_cells(pixels, level, pad)
    position = (np.arange(pixels) + 0.5) / cell + pad - 0.5
    distance = np.abs(position[:, None] - np.arange(cells)[None, :])
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
    return np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))


def coarse_cells(pixels: int, level: int, pad: int) -> int:
    """Points a side of the padded coarse lattice."""
    return math.ceil(pixels / 2**level) + 2 * pad
