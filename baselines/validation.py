"""The benchmark's score of a model, worked out on the split validation."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from baselines.data import Rows
from baselines.losses import MassLoss
from baselines.model import MassModel
from baselines.settings import Settings


def residual_rms_dex(model: MassModel, rows: Rows, loss: MassLoss, settings: Settings) -> float:
    """The benchmark's ranking score on ``rows``: maps of a halo, halos of a region, regions averaged in turn.

    NaN where there are no rows.
    """
    if len(rows) == 0:
        return math.nan
    device = model.climatology.device
    inside = loss.score_grid.inside
    squares = []
    model.eval()
    with torch.no_grad(), autocast(device, settings.precision):
        for first in range(0, len(rows), settings.batch):
            inputs = rows.inputs[first : first + settings.batch].to(device)
            if settings.channels_last:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            output = model(inputs)
            target = rows.target[first : first + settings.batch].to(device)
            with torch.autocast(device.type, enabled=False):
                squares.append(loss.residual(output, target)[:, inside].square().mean(-1).cpu())
    by_map = torch.cat(squares).double().numpy()
    regions = []
    for region in np.unique(rows.region):
        here = rows.region == region
        halos = [by_map[here & (rows.halo == halo)].mean() for halo in np.unique(rows.halo[here])]
        regions.append(np.mean(halos))
    return float(np.sqrt(np.mean(regions)))


def autocast(device: torch.device, precision: str) -> Any:
    """bfloat16 where asked for."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
