"""Random fields and the shapes that clouds of particles take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from three_hundred_maps.simulation.synthetic.kernels import sample_cloud
from three_hundred_maps.simulation.synthetic.profiles import DLOG_X, N_X, X_MIN, X

FIELD_SIDE = 6.0
"""Side of the periodic box of a halo's random field, R200c: larger than the halo, so nothing repeats."""


def random_field(rng: np.random.Generator, n: int = 48, slope: float = -3.0) -> NDArray[np.float32]:
    """A periodic Gaussian random field on (n, n, n), zero mean and unit variance, P(k) ~ k^slope.

    Waves longer than 0.4 of the box are left out: a halo's centre stays its centre.
    """
    noise = rng.standard_normal((n, n, n), dtype=np.float32)
    field = fft.irfftn(fft.rfftn(noise) * _root_power(n, float(slope)), s=(n, n, n))
    return np.ascontiguousarray(field / field.std(), np.float32)


@lru_cache(maxsize=8)
def _root_power(n: int, slope: float) -> NDArray[np.float32]:
    """sqrt(P(k)) of `random_field` on the half grid of a real transform: the same for most halos."""
    k = np.fft.fftfreq(n, 1.0 / n).astype(np.float32)
    k2 = k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, : n // 2 + 1] ** 2
    k2[0, 0, 0] = 1.0
    shape = k2 ** np.float32(slope / 4.0) * np.exp(-k2 / np.float32((0.36 * n) ** 2))
    shape[k2 < 2.5**2] = 0.0
    shape.flags.writeable = False
    return np.asarray(shape, np.float32)


def refined(field: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """The same periodic field on a finer grid (n, n, n), by its Fourier modes; unit variance."""
    old = field.shape[0]
    if n == old:
        return field
    modes = fft.rfftn(field)
    finer = np.zeros((n, n, n // 2 + 1), modes.dtype)
    half = old // 2  # of the coarse grid's shortest waves only the positive side: they hold next to nothing
    rows = np.r_[0:half, n - half : n]
    finer[np.ix_(rows, rows, np.arange(half + 1))] = modes[:, :, : half + 1]
    out = fft.irfftn(finer, s=(n, n, n))
    return np.ascontiguousarray(out / out.std(), np.float32)


def add_wells(
    field: NDArray[np.float32],
    side: float,
    position: NDArray[np.float64],
    size: NDArray[np.float64],
    height: NDArray[np.float64],
) -> None:
    """Add Gaussian bumps to a periodic field of a given ``side`` (R200c), in place.

    Parameters
    ----------
    position, size, height
        (n, 3) centres and (n,) standard deviations in R200c, (n,) heights in the field's own unit.
    """
    n = field.shape[0]
    cell = side / n
    for centre, sigma, peak in zip(position / cell + 0.5 * n, size / cell, height, strict=True):
        reach = int(np.ceil(2.5 * sigma)) + 1
        span = np.arange(-reach, reach + 1)
        start = np.floor(centre).astype(np.int64)
        one, two, three = (
            np.exp(-0.5 * ((start[k] + span - centre[k]) / sigma) ** 2).astype(np.float32) for k in range(3)
        )
        bump = np.float32(peak) * one[:, None, None] * two[None, :, None] * three
        field[np.ix_(*((start[k] + span) % n for k in range(3)))] += bump


@dataclass(frozen=True)
class Fluctuation:
    """A second random field in ln density: w = amplitude (g + skew (g^2 - 1)), g of unit variance.

    ``field`` is periodic with ``side`` (R200c), ``amplitude`` (N_X,).
    """

    field: NDArray[np.float32]
    amplitude: NDArray[np.float64]
    side: float
    skew: float


_NONE = Fluctuation(np.zeros((1, 1, 1), np.float32), np.zeros(N_X), FIELD_SIDE, 0.0)


@dataclass(frozen=True)
class Placed:
    """Particles put in a shape: (n, 3) positions in R200c and, all (n,), what made their density.

    ``ratio`` is the density over its mean in shells; ``smooth`` the factor of ellipsoid, spiral and
    lopsidedness in it, ``first`` and ``second`` the logarithms of the two fields' factors.
    """

    position: NDArray[np.float64]
    ratio: NDArray[np.float64]
    smooth: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]


def rotation(rng: np.random.Generator, long_axis: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """(3, 3) orthonormal rows; the first along ``long_axis`` where given."""
    first = rng.standard_normal(3) if long_axis is None else np.asarray(long_axis, np.float64)
    first = first / np.linalg.norm(first)
    second = np.cross(first, rng.standard_normal(3))
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])


@dataclass(frozen=True)
class Shape:
    """Departures of a cloud from a sphere; see `kernels.sample_cloud`.

    ``middle`` and ``short`` are (N_X,) axis ratios of iso-density surfaces to the long axis,
    ``amplitude`` (N_X,) the strength of the random field in ln density.
    """

    axes: NDArray[np.float64]
    middle: NDArray[np.float64]
    short: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    field: NDArray[np.float32]
    octave: float = 0.0
    spiral: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 0.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    second: Fluctuation = _NONE

    def placed(
        self,
        rng: np.random.Generator,
        radii: NDArray[np.float64],
        slope: NDArray[np.float64],
        quiet: bool = False,
    ) -> Placed:
        """Put particles at ``radii`` (R200c) in this shape.

        Parameters
        ----------
        rng
            Gives the seed of the directions.
        radii
            (n,) in R200c.
        slope
            (N_X,) minus the logarithmic slope of the density: it turns iso-density axis ratios q into
            those of directions, q^(slope/3).
        quiet
            Low-discrepancy directions (for gas, which in a real code is no Poisson sample).
        """
        n = len(radii)
        position = np.empty((n, 3))
        smooth, first, second = np.empty((3, n))
        power = np.clip(slope, 1.0, 3.5) / 3.0
        sample_cloud(
            int(rng.integers(1, 2**62)),
            np.ascontiguousarray(radii, np.float64),
            self.axes,
            self.middle**power,
            self.short**power,
            self.amplitude,
            X_MIN,
            1.0 / DLOG_X,
            self.field,
            self.field.shape[0] / FIELD_SIDE,
            self.octave,
            self.second.amplitude,
            self.second.field,
            self.second.field.shape[0] / self.second.side,
            self.second.skew,
            np.array(self.spiral, np.float64),
            np.array(self.shift, np.float64),
            quiet,
            position,
            smooth,
            first,
            second,
        )
        density = np.exp(smooth + first + second)
        # Particles are a mass-weighted sample, hence the volume mean is 1/<1/rho>.
        ratio = density * shell_means(radii, 1.0 / density)
        return Placed(position, ratio, np.exp(smooth), first, second)


def shell_means(radii: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) the mean of ``values`` over the particles in each one's shell; 1 where there are too few."""
    if not len(radii):
        return np.empty(0)
    bins = np.clip((np.log(radii / 0.02) * 8.0).astype(np.int64), 0, 45)
    counts = np.bincount(bins, minlength=46)
    mean = np.bincount(bins, weights=values, minlength=46) / np.maximum(counts, 1)
    return np.asarray(np.where(counts > 20, mean, 1.0)[bins])


def log_slope(density: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the logarithmic slope of a density tabulated at `profiles.X`."""
    return -np.gradient(np.log(np.maximum(density, 1e-30)), DLOG_X)


def stratified_radii(
    rng: np.random.Generator, number: int, mass: NDArray[np.float64], inner: float, outer: float
) -> NDArray[np.float64]:
    """``number`` radii of the cumulative ``mass`` between ``inner`` and ``outer`` (R200c), one a stratum."""
    if number <= 0:
        return np.empty(0)
    low, high = np.interp(np.log([max(inner, 1e-9), outer]), np.log(X), mass)
    if inner <= X_MIN:
        low = 0.0
    u = low + (np.arange(number) + rng.random(number)) / number * (high - low)
    r = np.exp(np.interp(u, mass, np.log(X)))
    # Inside the first point of the table M grows as r^2 or steeper.
    return np.where(u < mass[0], X_MIN * np.sqrt(np.maximum(u / mass[0], 1e-6)), r)
