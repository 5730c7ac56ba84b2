"""The peers of the projection benchmark, each called as its own documentation says.

Every peer is given the rotated positions in units of the map's width, 0 to 1, and kernels by the radius where
they end, in the same units; it returns sums a pixel, (n_fields, y, x).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tools.speed import projection_judge as judges

Floats = NDArray[np.float32]
Image = NDArray[np.generic]
Render = Callable[[Floats, Floats, Floats, int], Image]


def _swiftsimio() -> Render:
    from swiftsimio.visualisation.projection_backends.fast import scatter
    from swiftsimio.visualisation.projection_backends.kernels import kernel_gamma

    def render(place: Floats, radius: Floats, weights: Floats, pixels: int) -> Image:
        x, y = place[:, 0].astype(np.float64), place[:, 1].astype(np.float64)
        h = radius / kernel_gamma
        drawn = [scatter(x=x, y=y, m=w, h=h, res=pixels) for w in weights]
        return np.stack([image.T / pixels**2 for image in drawn])

    return render


def _meshoid() -> Render:
    from meshoid.grid_deposition import GridSurfaceDensityMulti

    def render(place: Floats, radius: Floats, weights: Floats, pixels: int) -> Image:
        # its grid points are on the corners of the square it is given: the pixels' centres here
        size = (pixels - 1) / pixels
        image = GridSurfaceDensityMulti(
            weights.T, place, radius, np.array([0.5, 0.5]), size, res=pixels, parallel=False
        )
        return image.transpose(2, 1, 0) / pixels**2

    return render


def _pynbody() -> Render:
    from pynbody.sph import _render, kernels

    kernel = kernels.Kernel2D()

    def render(place: Floats, radius: Floats, weights: Floats, pixels: int) -> Image:
        x, y = np.ascontiguousarray(place[:, 0]), np.ascontiguousarray(place[:, 1])
        z, one, half = np.zeros_like(x), np.ones_like(x), 0.5 * radius
        images = [
            _render.render_image(
                pixels, pixels, x, y, z, half, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0,
                one, w, one, 0.0, 1e9, -1e9, 1e9, 0.0, kernel,
            )
            for w in weights
        ]  # fmt: skip
        return np.stack(images) / pixels**2

    return render


def _fast_histogram() -> Render:
    from fast_histogram import histogram2d

    def render(place: Floats, radius: Floats, weights: Floats, pixels: int) -> Image:
        x, y = place[:, 0], place[:, 1]
        limits = [[0.0, 1.0], [0.0, 1.0]]
        return np.stack([histogram2d(y, x, bins=pixels, range=limits, weights=w) for w in weights])

    return render


def _sphviewer() -> Render:
    from sphviewer.extensions import render as extension

    def render(place: Floats, radius: Floats, weights: Floats, pixels: int) -> Image:
        x, y = place[:, 0] * np.float32(pixels), place[:, 1] * np.float32(pixels)
        h = radius * np.float32(pixels)
        shape = np.int32(pixels)
        images = [
            extension.render(x, y, h, w, shape, shape, np.int32(0), np.int32(0), np.int32(0)) for w in weights
        ]
        return np.stack(images)

    return render


PEERS: dict[str, tuple[Callable[[], Render], judges.Shape]] = {
    "swiftsimio fast": (_swiftsimio, judges.flat_wendland_c2),
    "meshoid GridSurfaceDensityMulti": (_meshoid, judges.flat_cubic),
    "pynbody render_image": (_pynbody, judges.projected_cubic),
    "py-sphviewer": (_sphviewer, judges.projected_cubic),
    "fast_histogram (nearest pixel)": (_fast_histogram, judges.projected_cubic),
}
"""Each peer: how to draw with it, and the kernel that it draws, for a judgement by its own measure."""


def unit_places(position: Floats, rotation: NDArray[np.float64], width: float) -> Floats:
    """Rotated positions in units of the map's width, with the map's lower corner at 0."""
    turned: Floats = position @ (rotation.T / width).astype(np.float32)
    turned[:, :2] += np.float32(0.5)
    return turned
