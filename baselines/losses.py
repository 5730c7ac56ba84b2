"""Losses of the residual of log10 mass, in dex, and the score, on the grid where the benchmark compares."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from baselines.data import Rows
from baselines.model import MassModel, sigma_dex
from baselines.settings import Settings
from three_hundred_maps.geometry import FLOOR_MSUN_KPC2
from three_hundred_maps.torch_transforms import ScoreGrid

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
        self, score_grid: ScoreGrid, kind: str, outside_weight: float, mass_weight: float = 0.0
    ) -> None:
        self.kind, self.score_grid, self.mass_weight = kind, score_grid, mass_weight
        weight = torch.where(score_grid.inside, 1.0, outside_weight)
        self.weight = weight / weight.sum()
        # The climatology in units of S0, so that single precision is at ease.
        self.scaled_climatology = score_grid.climatology - math.log10(FLOOR_MSUN_KPC2)
        # As numbers: a mask would be counted, and the device waited for, at every use.
        self.inside = torch.nonzero(score_grid.inside.flatten())[:, 0]

    def residual(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """(N, H, W) dex: r, from the network's output (N, 1 or 2, H, W) and the target (N, H, W)."""
        scaled = 10.0 ** (output[:, 0].float() + self.scaled_climatology)
        return self.score_grid.of_scaled(scaled) - self.score_grid.climatology - target

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
        true = (target + self.scaled_climatology).flatten(1)[:, self.inside]
        return (10.0 ** (r.flatten(1)[:, self.inside] + true)).sum(1).log10() - (10.0**true).sum(1).log10()


@torch.no_grad()
def residual_rms_dex(model: MassModel, rows: Rows, loss: MassLoss, settings: Settings) -> float:
    """The benchmark's ranking score on ``rows``: maps of a halo, halos of a region, regions averaged in turn.

    NaN where there are no rows.
    """
    if len(rows) == 0:
        return math.nan
    device = model.climatology.device
    squares = []
    model.eval()
    for first in range(0, len(rows), settings.batch):
        inputs = rows.inputs[first : first + settings.batch].to(device)
        if settings.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with autocast(device, settings.precision):
            output = model(inputs)
        r = loss.residual(output, rows.target[first : first + settings.batch].to(device))
        squares.append(r.flatten(1)[:, loss.inside].square().mean(-1))
    by_map = torch.cat(squares).double().cpu().numpy()
    regions = []
    for region in np.unique(rows.region):
        here = rows.region == region
        halos = [by_map[here & (rows.halo == halo)].mean() for halo in np.unique(rows.halo[here])]
        regions.append(np.mean(halos))
    return float(np.sqrt(np.mean(regions)))


def autocast(device: torch.device, precision: str) -> Any:
    """bfloat16 where asked for."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
