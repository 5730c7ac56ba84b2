"""What is worked out on the split validation: the benchmark's score, and a model's calibration."""

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
from three_hundred_maps.errors import InputError


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


def calibrate(model: MassModel, rows: Rows, loss: MassLoss, settings: Settings) -> float:
    """Shift the model's log10 mass so that the median mass inside R200c is right on ``rows``.

    A model that is trained on log10 of the maps predicts medians, and the sum of medians is less than the
    mass. The masses are those of the predictions as they will be written: in float32, averaged over as many
    symmetries.

    Returns
    -------
    float
        What was added, in dex.

    Raises
    ------
    InputError
        Where there are no rows to calibrate on.
    """
    if len(rows) == 0:
        raise InputError("--calibrate needs halos in the split validation, and the store has none there")
    device = model.climatology.device
    off = []
    # The memory format of a prediction, so that these are its very bits.
    model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for first in range(0, len(rows), settings.batch):
        inputs = rows.inputs[first : first + settings.batch].to(device, torch.float32)
        target = rows.target[first : first + settings.batch].to(device)
        output = model.over_symmetries(inputs, settings.test_symmetries)
        off.append(loss.cylinder_residual(loss.residual(output, target), target).cpu())
    shift = -float(torch.cat(off).quantile(0.5))
    model.shift(shift)
    return shift


def autocast(device: torch.device, precision: str) -> Any:
    """bfloat16 where asked for."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
