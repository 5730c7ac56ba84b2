"""Losses of the residual of log10 mass, in dex, on the grid where the benchmark compares maps."""

from __future__ import annotations

import math

import torch

from baselines.data import ScoreGrid
from baselines.model import MassModel, sigma_dex
from three_hundred_maps.geometry import FLOOR_MSUN_KPC2

HUBER_DEX = 0.1
BETA = 0.5
"""Weight of the heteroscedastic loss's variance (Seitzer et al. 2022): 0 is the plain likelihood, which lets
hard pixels go; 1 has the gradient of an L2 loss for the mean."""


class MassLoss:
    """Weighted mean over pixels of a loss of r = l(prediction) - l(truth).

    Parameters
    ----------
    kind
        ``l2``, ``l1``, ``huber`` (0.1 dex), or ``gaussian`` (the likelihood with a learnt sigma).
    outside_weight
        Weight of pixels beyond R200c; those inside have weight 1.
    mass_weight
        Weight of the square of log10 of the mass inside a cylinder of R200c, predicted over true: the mean
        over pixels hardly knows it, since the mass is in few of them.
    """

    def __init__(
        self,
        model: MassModel,
        score_grid: ScoreGrid,
        kind: str,
        outside_weight: float,
        mass_weight: float = 0.0,
    ) -> None:
        self.kind, self.score_grid, self.mass_weight = kind, score_grid, mass_weight
        inside = score_grid.inside
        weight = torch.where(inside, 1.0, outside_weight)
        self.weight = weight / weight.sum()
        # The climatology in units of S0, so that single precision is at ease.
        self.climatology = model.climatology
        self.floor = math.log10(FLOOR_MSUN_KPC2)

    def residual(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """(N, H, W) dex: r, from the network's output (N, 1 or 2, H, W) and the target (N, H, W)."""
        scaled = 10.0 ** (output[:, 0].float() + (self.climatology - self.floor))
        return self.score_grid.of_scaled(scaled) - self.climatology - target

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of a batch, a scalar."""
        r = self.residual(output, target)
        if self.kind == "l2":
            each = r.square()
        elif self.kind == "l1":
            each = r.abs()
        elif self.kind == "huber":
            each = torch.nn.functional.huber_loss(r, torch.zeros_like(r), reduction="none", delta=HUBER_DEX)
        else:
            sigma = sigma_dex(output[:, 1].float())
            each = (0.5 * (r / sigma).square() + sigma.log()) * sigma.detach() ** (2 * BETA)
        loss = (each.mean(0) * self.weight).sum()
        if self.mass_weight > 0:
            loss = loss + self.mass_weight * self.cylinder_residual(r, target).square().mean()
        return loss

    def cylinder_residual(self, r: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """(N,) dex: log10 of the mass within R200c on the map, predicted over true."""
        inside = self.score_grid.inside
        true = (target + self.climatology - self.floor)[:, inside]
        return (10.0 ** (r[:, inside] + true)).sum(1).log10() - (10.0**true).sum(1).log10()
