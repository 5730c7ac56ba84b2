"""Analytic clusters of Plummer spheres: the halos of stores made for tests."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.geometry import pixel_centres
from three_hundred_maps.testing.analytic import COSMOLOGY

_PARTICLE_MSUN = 2e9


class BlobCluster:
    """An analytic cluster of Plummer spheres; its attributes are the store's halo variables."""

    simulation = "blobs"
    snapshot = 128
    redshift = 0.0

    def __init__(self, region: int, number: int, generator: np.random.Generator) -> None:
        self._generator = generator
        self.region, self.halo_id = region, region * 1000 + number
        self.M200c = 10 ** generator.uniform(13.7, 15.2)
        rho = COSMOLOGY.critical_density_msun_kpc3(self.redshift)
        self.R200c = (3.0 * self.M200c / (800.0 * math.pi * rho)) ** (1.0 / 3.0)
        self.f_sub = float(generator.uniform(0.03, 0.25))
        self.c200c = float(10 ** (0.55 - 0.1 * (math.log10(self.M200c) - 14.5) + generator.normal(0, 0.1)))
        smooth, subhaloes = self._body(generator), self._subhaloes(generator)
        # In units of M200c and R200c: position, share of the mass, Plummer radius, and which part it is.
        self._position = np.concatenate([smooth[0], subhaloes[0]])
        self._share = np.concatenate([smooth[1] * (1 - self.f_sub), subhaloes[1] * self.f_sub]) * 1.2
        self._radius = np.concatenate([smooth[2], subhaloes[2]])
        self._is_sub = np.arange(len(self._share)) >= len(smooth[1])
        weighted = (self._share[:, None] * self._position).sum(axis=0) / self._share.sum()
        self.com_offset = float(np.linalg.norm(weighted))
        self.relaxed = int(self.com_offset < 0.1 and self.f_sub < 0.1)
        self.R500c, self.M500c = 0.66 * self.R200c, 2.5 * 0.66**3 * self.M200c
        self.f_gas_500 = float(0.13 * (self.M200c / 1e15) ** 0.1 * 10 ** generator.normal(0, 0.03))
        self.f_star_500 = float(0.015 * (self.M200c / 1e15) ** -0.25 * 10 ** generator.normal(0, 0.08))
        self.d_neighbour = float(generator.uniform(1.0, 10.0))
        self.M200c_catalogue, self.R200c_catalogue = self.M200c * 1.01, self.R200c * 1.0033

    @staticmethod
    def draw(seed: int, region: int, number: int) -> BlobCluster:
        """The cluster of a seed, region and number."""
        return BlobCluster(region, number, np.random.default_rng([seed, region, number]))

    def _body(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        radii = np.repeat([0.03, 0.09, 0.25, 0.55], 6) * (4.0 / self.c200c) ** 0.5
        share = np.repeat([0.04, 0.14, 0.36, 0.46], 6) / 6
        axis = generator.normal(size=3)
        axis /= np.linalg.norm(axis)
        stretch = generator.normal(0, 1, len(radii)) * generator.uniform(0.3, 0.8)
        return radii[:, None] * stretch[:, None] * axis[None, :], share, radii

    @staticmethod
    def _subhaloes(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = int(generator.integers(8, 22))
        share = generator.pareto(0.9, n) + 0.1
        share = np.minimum(share / share.sum(), 0.5)
        direction = generator.normal(size=(n, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        distance = generator.uniform(0.1, 1.3, n)
        return direction * distance[:, None], share / share.sum(), 0.02 + 0.1 * share ** (1 / 3)

    def _project(
        self,
        share: np.ndarray,
        radius: np.ndarray,
        vectors: np.ndarray,
        ups: np.ndarray,
        pixels: int,
        width: float,
    ) -> NDArray[np.float64]:
        """(los, y, x): sum of Plummer discs, M a^2 / (pi (a^2 + R^2)^2), in units of 1 / R200c^2."""
        centres = pixel_centres(pixels, width)
        x = self._position @ np.cross(ups, vectors).T
        y = self._position @ ups.T
        out = np.zeros((len(vectors), pixels, pixels))
        for blob in range(len(share)):
            square = (
                (centres[None, None, :] - x[blob][:, None, None]) ** 2
                + (centres[None, :, None] - y[blob][:, None, None]) ** 2
                + radius[blob] ** 2
            )
            out += share[blob] * radius[blob] ** 2 / math.pi / square**2
        return out

    def maps(
        self, vectors: np.ndarray, ups: np.ndarray, pixels: int, width: float
    ) -> dict[str, NDArray[np.float32]]:
        """Maps (los, y, x) of every view, and of the half-sample."""
        generator = self._generator
        column = self.M200c / self.R200c**2
        args = (vectors, ups, pixels, width)
        smooth = self._project(self._share, self._radius, *args)
        gas_share = self._share * np.where(self._is_sub, 0.4, 1.0)
        gas = self._project(gas_share, 1.3 * self._radius + 0.04, *args)
        core = self._project(gas_share**2 * 30, 0.8 * self._radius + 0.03, *args)
        galaxies = self._project(self._share ** np.where(self._is_sub, 0.8, 1.2), 0.25 * self._radius, *args)
        area_kpc2 = (width / pixels * self.R200c) ** 2
        # Shot noise of the particles a simulation would have: the two halves differ by it.
        lumps = np.maximum(smooth * column * area_kpc2 / _PARTICLE_MSUN, 0.05)
        first, second = generator.poisson(lumps / 2), generator.poisson(lumps / 2)
        unit = _PARTICLE_MSUN / area_kpc2
        texture = np.exp(0.1 * _smooth_noise(generator, smooth.shape))
        stars = self.f_star_500 * column * galaxies * np.exp(0.2 * _smooth_noise(generator, smooth.shape))
        found = {
            "mass": np.maximum((first + second) * unit, 1e-3 * unit),
            "mass_half": 2.0 * first * unit,
            "sz": 1.1e-5 * (self.M200c / 1e15) ** (2 / 3) * (self.f_gas_500 / 0.13) * gas * texture,
            "xray": 4.0 / self.R200c**2 * (self.M200c / 1e15) ** 1.6 * (core + 0.02 * gas**2) * texture**2,
            "star": np.where(stars < 2e4, 0.0, stars),
            "gas": self.f_gas_500 * column * gas * texture,
        }
        dark = found["mass"] - found["gas"] - found["star"]
        found["dark_matter"] = np.maximum(dark, 1e-3 * unit)
        return {name: values.astype(np.float32) for name, values in found.items()}


def _smooth_noise(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Gaussian noise of unit variance on a tenth of the map's scale."""
    n_los, pixels, _ = shape
    wave = np.hypot(np.fft.fftfreq(pixels)[:, None], np.fft.rfftfreq(pixels)[None, :])
    filtered = np.fft.irfft2(
        np.fft.rfft2(generator.normal(size=shape)) * np.exp(-0.5 * (wave * pixels / 8.0) ** 2), s=shape[1:]
    )
    return filtered / max(float(filtered.std()), 1e-12)
