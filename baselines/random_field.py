"""Gaussian random fields with the spread and the power spectrum of given maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.torch_symmetries import SYMMETRIES, apply_symmetry

RINGS = 16
"""Of the radial profile of the spread."""
PART = 256


class RandomField(nn.Module):
    """Maps r = std(R) u, u a stationary Gaussian field of unit variance.

    Residuals are not periodic: their covariance is estimated by pairs of pixels, on a grid twice as wide, and
    so are fields drawn; the maps are cut out of them.

    Parameters
    ----------
    grid
        Of the maps.
    """

    std: torch.Tensor
    amplitude: torch.Tensor

    def __init__(self, grid: MapGrid) -> None:
        super().__init__()
        self.grid = grid
        side = grid.pixels
        self.register_buffer("std", torch.ones(side, side))
        self.register_buffer("amplitude", torch.ones(2 * side, side + 1))

    @torch.no_grad()
    def fit(self, residuals: torch.Tensor, *, profile: bool = True) -> None:
        """Take the spread by radius and the spectrum of residuals (N, H, W).

        Parameters
        ----------
        profile
            Whether the spread hangs on the radius; else it is 1, for residuals in units of their sigma.
        """
        device = residuals.device
        square = residuals.square().mean(0).double()
        if profile:
            self.std.copy_(self._rings(square).sqrt())
        side = self.grid.pixels
        power = torch.zeros(2 * side, side + 1, dtype=torch.float64, device=device)
        for part in (residuals / self.std.to(device)).split(PART):
            power += torch.fft.rfft2(part.double(), s=(2 * side, 2 * side)).abs().square().sum(0)
        # Pairs of pixels at each distance: the same for a map of ones.
        ones = torch.ones(side, side, dtype=torch.float64, device=device)
        pairs = torch.fft.irfft2(
            torch.fft.rfft2(ones, s=(2 * side, 2 * side)).abs().square(), s=(2 * side, 2 * side)
        )
        covariance = torch.fft.irfft2(power, s=(2 * side, 2 * side)) / len(residuals)
        covariance = covariance / pairs.round().clamp_min(1.0)
        # Few pairs are as far apart as the map is wide, and say little.
        lag = torch.fft.fftfreq(2 * side, 1.0 / (2 * side), dtype=torch.float64, device=device)
        taper = torch.cos(0.5 * torch.pi * lag / side).clamp_min(0.0).square()
        covariance = _symmetric(covariance * taper[:, None] * taper)
        spectrum = torch.fft.rfft2(covariance).real.clamp_min(0.0)
        variance = torch.fft.irfft2(spectrum.to(torch.complex128), s=(2 * side, 2 * side))[0, 0]
        self.amplitude.copy_((spectrum / variance).sqrt())

    def _rings(self, square: torch.Tensor) -> torch.Tensor:
        """(H, W): the ring means of a map, linear between the rings' centres, held beyond R200c."""
        radius = torch.from_numpy(self.grid.radius).to(square)
        ring = (radius * RINGS).long().clamp_max(RINGS)
        count = torch.zeros(RINGS + 1, dtype=square.dtype, device=square.device)
        total = count.clone()
        count.index_add_(0, ring.flatten(), torch.ones_like(square).flatten())
        total.index_add_(0, ring.flatten(), square.flatten())
        means = total / count.clamp_min(1.0)
        place = (radius * RINGS - 0.5).clamp(0.0, float(RINGS))
        below = place.long()
        above = (below + 1).clamp_max(RINGS)
        part = place - below
        return means[below] * (1 - part) + means[above] * part

    @torch.no_grad()
    def draw(self, samples: int, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """(len(generators), samples, H, W): u, each generator's own."""
        side = self.grid.pixels
        fields = []
        for generator in generators:
            white = torch.randn(
                (samples, 2 * side, 2 * side), generator=generator, device=self.amplitude.device
            )
            field = torch.fft.irfft2(torch.fft.rfft2(white) * self.amplitude, s=(2 * side, 2 * side))
            fields.append(field[:, :side, :side])
        return torch.stack(fields)


def _symmetric(covariance: torch.Tensor) -> torch.Tensor:
    """The mean over the square's symmetries of a map around its pixel (0, 0), periodic."""
    centred = torch.fft.fftshift(covariance)
    # The shift leaves pixel (0, 0) at an even side's n / 2: turns about it leave one row and column out.
    odd = centred[1:, 1:]
    mean = torch.stack([apply_symmetry(odd, number) for number in range(SYMMETRIES)]).mean(0)
    result = torch.zeros_like(centred)
    result[1:, 1:] = mean
    return torch.fft.ifftshift(result)
