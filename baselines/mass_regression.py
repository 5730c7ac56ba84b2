"""The mass inside R200c from a few numbers: the views' radial profiles and a predicted map's own mass.

A network that is trained pixel by pixel hardly learns the mass of the whole map, although the integrated SZ
signal alone tells it well. A regression, found in closed form, does; its answer moves the map up or down.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from three_hundred_maps.geometry import ring_fractions
from three_hundred_maps.torch_transforms import Transforms

RING_EDGES_R200C = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CLIP = 3.0
"""Features count at most so many standard deviations: a parabola must not be followed far from its data."""


class MassRegression(nn.Module):
    """What to add to log10 of a predicted map, so that its mass inside R200c is the regression's.

    The features are log10 (asinh of a signed view) of each view's mean in each ring and inside R200c, and
    log10 of the predicted mass inside R200c; the regression is linear in them and in their squares. All of
    them are the same for the square's eight symmetries.
    """

    rings: torch.Tensor
    aperture: torch.Tensor
    offset: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, transforms: Transforms) -> None:
        super().__init__()
        grid, edges = transforms.grid, np.array(RING_EDGES_R200C)
        shares = np.concatenate([ring_fractions(grid.pixels, edges, grid.pixel), grid.aperture[None]])
        shares /= shares.sum(axis=(1, 2), keepdims=True)
        self.register_buffer("rings", torch.from_numpy(shares), persistent=False)
        self.register_buffer("aperture", torch.from_numpy(grid.aperture), persistent=False)
        offset = torch.tensor([item.offset for item in transforms.inputs], dtype=torch.float64)
        self.register_buffer("offset", offset, persistent=False)
        self.signed = [channel for channel, item in enumerate(transforms.inputs) if item.signed]
        count = len(transforms.inputs) * len(shares) + 1
        self.register_buffer("mean", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(count, dtype=torch.float64))
        self.weight = nn.Parameter(torch.zeros(2 * count + 1, dtype=torch.float64), requires_grad=False)

    def cylinder(self, log_mass: torch.Tensor) -> torch.Tensor:
        """(N,) log10 of the sum inside R200c of maps (N, H, W) that are given as log10."""
        return torch.log10((10.0 ** log_mass.double() * self.aperture).sum(dim=(1, 2)))

    def features(self, maps: torch.Tensor, log_mass: torch.Tensor) -> torch.Tensor:
        """(N, F) float64 from raw maps (N, C, H, W) and the predicted log10 mass maps (N, H, W)."""
        means = torch.einsum("nchw,rhw->ncr", maps.double(), self.rings)
        profiles = torch.log10(means + self.offset[:, None])
        # Noise takes the mean of a signed view below 0.
        profiles[:, self.signed] = torch.asinh(means[:, self.signed] / self.offset[self.signed, None])
        return torch.cat([profiles.flatten(1), self.cylinder(log_mass)[:, None]], dim=1)

    def design(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 2 F + 1): a constant, the standardised features and their squares."""
        standard = ((features - self.mean) / self.scale).clamp(-CLIP, CLIP)
        return torch.cat([torch.ones_like(standard[:, :1]), standard, standard.square()], dim=1)

    def fit(self, features: torch.Tensor, missing_dex: torch.Tensor, penalty: float) -> None:
        """Ridge regression of what the predicted masses lack, (N,) dex.

        Parameters
        ----------
        penalty
            Of the squared weights but the constant's, times N; infinite: a constant alone.
        """
        self.mean.copy_(features.mean(0))
        self.scale.copy_(features.std(0, correction=0).clamp_min(1e-6))
        self.weight.zero_()
        if np.isinf(penalty):
            self.weight[0] = missing_dex.mean()
            return
        rows = self.design(features)
        ridge = torch.full((rows.shape[1],), penalty * len(rows), dtype=rows.dtype, device=rows.device)
        ridge[0] = 0.0
        self.weight.copy_(torch.linalg.solve(rows.T @ rows + torch.diag(ridge), rows.T @ missing_dex))

    def correction(self, features: torch.Tensor) -> torch.Tensor:
        """(N,) dex to add, from `features`."""
        return self.design(features) @ self.weight

    def forward(self, maps: torch.Tensor, log_mass: torch.Tensor) -> torch.Tensor:
        """(N,) dex to add, from raw maps (N, C, H, W) and the predicted log10 mass maps (N, H, W)."""
        return self.correction(self.features(maps, log_mass))
