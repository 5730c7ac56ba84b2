"""What instruments do to a map: functions on arrays (..., y, x), of numpy or of torch alike.

A beam is separable, and so is the resampling to another frame: both are matrices on rows and columns, and
their product is one (`three_hundred_maps.observe.frame`). Noise is added last, on the observer's pixels, so
that it is white there. The lensing functions are those of Kaiser & Squires (1993, ApJ 404, 441), for numpy.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.geometry import SIGMA_PER_FWHM
from three_hundred_maps.mapping.emissivity import TABLE_SOLAR_METALLICITY, cie_table, soft_share
from three_hundred_maps.units import GRAVITY_CGS, KEV_K, KPC_CM, LIGHT_CM_PER_S, SUN_G

Floats = NDArray[np.floating]
COLD_BAND_FRACTION = 0.30
"""Share of the bolometric light in 0.5-2 keV where no temperature is known."""


def beam_matrix(pixels: int, fwhm_pixels: float) -> NDArray[np.float64]:
    """(pixels, pixels): a Gaussian along one axis, integrated over pixels; what leaves the map is lost.

    It is cut at 5 standard deviations; of FWHM 0 there is none.
    """
    if fwhm_pixels <= 0:
        return np.eye(pixels)
    sigma = fwhm_pixels * SIGMA_PER_FWHM
    reach = max(int(math.ceil(5.0 * sigma)), 1)
    edges = (np.arange(2 * reach + 2) - reach - 0.5) / (sigma * math.sqrt(2.0))
    cumulative = np.array([math.erf(edge) for edge in edges])
    kernel = np.diff(cumulative)
    kernel /= kernel.sum()
    offsets = np.arange(pixels)[:, None] - np.arange(pixels)[None, :] + reach
    inside = (offsets >= 0) & (offsets < len(kernel))
    return np.where(inside, kernel[np.clip(offsets, 0, len(kernel) - 1)], 0.0)


def separable(maps: Any, rows: Any, columns: Any) -> Any:
    """``rows @ maps @ columns.T``: maps (..., y, x) with a matrix for each axis, (..., new, old)."""
    return rows @ maps @ columns.swapaxes(-1, -2)


# -- noise: the maps' own library draws it -------------------------------------------------------------------


def add_white_noise(maps: Any, sigma: Any, draw: Any) -> Any:
    """Maps plus Gaussian noise of standard deviation ``sigma``, which broadcasts against them.

    Parameters
    ----------
    draw
        A ``numpy.random.Generator``, or for tensors a ``torch.Generator`` (None: torch's own).
    """
    return maps + sigma * _normal(maps, draw)


def draw_counts(expected: Any, draw: Any) -> Any:
    """Poisson counts of the mean ``expected``."""
    if isinstance(expected, np.ndarray):
        return draw.poisson(expected).astype(expected.dtype)
    import torch

    return torch.poisson(expected, generator=draw)


def detect_stars(maps: Any, limit: Any, draw: Any) -> Any:
    """Surface densities with noise of a third of ``limit``, then 0 where they are below it."""
    noisy = add_white_noise(maps, limit / 3.0, draw)
    return noisy * (noisy >= limit) + 0.0  # no -0


def observe_rate(rate: Any, background: float, seconds_arcmin2: Any, draw: Any) -> Any:
    """An observed count rate, counts s-1 arcmin-2, background included.

    Parameters
    ----------
    rate
        The source's, counts s-1 arcmin-2, not negative.
    background
        In the same units.
    seconds_arcmin2
        Exposure times a pixel's area; broadcasts.
    """
    return draw_counts((rate + background) * seconds_arcmin2, draw) / seconds_arcmin2


def _normal(maps: Any, draw: Any) -> Any:
    if isinstance(maps, np.ndarray):
        return draw.standard_normal(maps.shape, maps.dtype)
    import torch

    return torch.randn(maps.shape, generator=draw, dtype=maps.dtype, device=maps.device)


# -- X-rays --------------------------------------------------------------------------------------------------


def band_fraction(temperature_keV: Floats, solar_metallicity: float) -> Floats:
    """Share of the bolometric light in 0.5-2 keV of the rest frame, as in the view ``xray_soft``.

    `soft_share` of the table of collisional equilibrium, for gas of ``solar_metallicity`` times solar;
    `COLD_BAND_FRACTION` where the temperature is 0.
    """
    metals = np.full(temperature_keV.shape, solar_metallicity * TABLE_SOLAR_METALLICITY)
    share = soft_share(cie_table(), temperature_keV * KEV_K, metals)
    return np.where(temperature_keV > 0, share, COLD_BAND_FRACTION).astype(temperature_keV.dtype)


def count_rate(
    xray: Floats,
    fraction: Floats | float,
    arcmin2_per_kpc2: float,
    luminosity_distance_kpc: float,
    per_flux: float,
) -> Floats:
    """Expected counts s-1 arcmin-2 of a bolometric surface brightness.

    Parameters
    ----------
    xray
        1e44 erg s-1 kpc-2, integrated over 4 pi.
    fraction
        Of it in the band, `band_fraction`.
    arcmin2_per_kpc2
        Solid angle of a proper area.
    luminosity_distance_kpc
        Proper kpc.
    per_flux
        Counts s-1 for 1 erg s-1 cm-2, in cm2 erg-1.
    """
    # One number for all pixels, in double precision: 1e44 and (1e27 cm)^2 do not fit single precision.
    scale = 1e44 * per_flux / (4.0 * math.pi * (luminosity_distance_kpc * KPC_CM) ** 2 * arcmin2_per_kpc2)
    return xray * fraction * np.asarray(scale, xray.dtype)


# -- lensing -------------------------------------------------------------------------------------------------


def critical_surface_density(lens_kpc: float, source_kpc: float, between_kpc: float) -> float:
    """Sigma_crit = c^2 D_s / (4 pi G D_l D_ls) in Msun kpc-2, of angular diameter distances in kpc."""
    cgs = LIGHT_CM_PER_S**2 / (4.0 * math.pi * GRAVITY_CGS) * source_kpc / (lens_kpc * between_kpc * KPC_CM)
    return cgs * KPC_CM**2 / SUN_G


@functools.lru_cache(maxsize=4)
def _shear_kernel(rows: int, columns: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(rows, columns // 2 + 1): the Fourier transforms of gamma_1 and gamma_2 over that of kappa."""
    ky = np.fft.fftfreq(rows)[:, None]
    kx = np.fft.rfftfreq(columns)[None, :]
    square = kx**2 + ky**2
    square[0, 0] = 1.0
    first, second = (kx**2 - ky**2) / square, 2.0 * kx * ky / square
    # The highest frequency has no sign, and gamma_2 is odd in it.
    if columns % 2 == 0:
        second[:, -1] = 0.0
    if rows % 2 == 0:
        second[rows // 2] = 0.0
    return first.astype(np.float32), second.astype(np.float32)


def shear_from_convergence(kappa: Floats, padding: int = 2) -> tuple[Floats, Floats]:
    """gamma_1, gamma_2 of convergence maps (..., y, x): Kaiser & Squires (1993) by Fourier transform.

    Parameters
    ----------
    padding
        The map is set into zeros of so many times its size; 1 takes it as periodic.
    """
    ny, nx = kappa.shape[-2:]
    first, second = _shear_kernel(padding * ny, padding * nx)
    # Rows of zeros need no transform along x, nor do the rows that are not returned.
    spectrum = np.fft.rfft(kappa, n=padding * nx, axis=-1)
    spectrum = np.fft.fft(spectrum, n=padding * ny, axis=-2)
    return tuple(  # type: ignore[return-value]
        np.fft.irfft(np.fft.ifft(spectrum * kernel, axis=-2)[..., :ny, :], n=padding * nx, axis=-1)[..., :nx]
        for kernel in (first, second)
    )


def convergence_from_shear(gamma1: Floats, gamma2: Floats, padding: int = 2) -> Floats:
    """The convergence of shear maps (..., y, x), of mean 0 over the padded map: Kaiser & Squires (1993)."""
    ny, nx = gamma1.shape[-2:]
    first, second = _shear_kernel(padding * ny, padding * nx)
    norm = first**2 + second**2
    norm[norm == 0] = 1.0  # the mean, and the one mode that neither component carries
    total = sum(
        np.fft.rfft2(gamma, s=(padding * ny, padding * nx)) * (kernel / norm)
        for gamma, kernel in ((gamma1, first), (gamma2, second))
    )
    return np.fft.irfft2(total, s=(padding * ny, padding * nx))[..., :ny, :nx]


def reduced_shear(kappa: Floats) -> tuple[Floats, Floats]:
    """g = gamma / (1 - kappa), its modulus at most 1."""
    gamma1, gamma2 = shear_from_convergence(kappa)
    below = 1.0 - kappa
    modulus = np.hypot(gamma1, gamma2)
    # |gamma| / |1 - kappa| <= 1 without a division by what may be 0.
    largest = np.maximum(np.maximum(np.abs(below), modulus), np.finfo(np.float32).tiny)
    scale = np.where(below < 0, -1.0, 1.0).astype(kappa.dtype) / largest
    return gamma1 * scale, gamma2 * scale
