"""What a projection back end is given and what it returns: one contract for all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Batch:
    """Some particles of one species, ready to be projected.

    Parameters
    ----------
    position
        (n, 3) float32, kpc from the centre of the map.
    smoothing_length
        (n,) float32 kpc, the radius where the kernel ends; None for particles without a kernel.
    weights
        (n, n_fields) float32: what each particle adds to each field.
    kernel
        Name of the SPH kernel.
    """

    position: NDArray[np.float32]
    smoothing_length: NDArray[np.float32] | None
    weights: NDArray[np.float32]
    kernel: str


@dataclass(frozen=True)
class Grid:
    """The pixel grid of one map: sizes in kpc, the Gaussian in pixels."""

    pixels: int
    pixel_kpc: float
    half_depth_kpc: float
    sigma_px: float


MAX_STAMP_SIGMA_PX = 1.0
"""A Gaussian wider than this is left out of the stamps and applied to the finished map."""

_STAMP_SIGMA_PX = 0.5


def split_gaussian(sigma_px: float) -> tuple[float, float, int]:
    """How a Gaussian is shared: in the stamps, on the map, and the pixels the map must be wider by.

    Stamps of a Gaussian of many pixels would be large; what is left after a narrow one is smooth on the
    pixel grid and can be applied there.
    """
    if sigma_px <= MAX_STAMP_SIGMA_PX:
        return sigma_px, 0.0, 0
    rest = math.sqrt(sigma_px**2 - _STAMP_SIGMA_PX**2)
    return _STAMP_SIGMA_PX, rest, math.ceil(5.0 * rest)


def gaussian_matrix(pixels: int, sigma_px: float, margin: int) -> NDArray[np.float64]:
    """(pixels, pixels + 2 margin) weights that convolve a wider row with a Gaussian and cut it to size."""
    distance = np.arange(pixels)[:, None] + margin - np.arange(pixels + 2 * margin)[None, :]
    kernel = np.exp(-0.5 * (np.arange(-margin, margin + 1) / sigma_px) ** 2)
    weights = np.exp(-0.5 * (distance / sigma_px) ** 2) / kernel.sum()
    return np.where(np.abs(distance) <= margin, weights, 0.0)


class Backend(Protocol):
    """Project a batch along every line of sight."""

    def __call__(
        self, batch: Batch, grid: Grid, rotations: NDArray[np.float64], threads: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums a pixel, (n_fields, n_los, y, x) float64, and what fell inside the map, (n_fields, n_los)."""
