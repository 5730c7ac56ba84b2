"""A trained model gets its `MassRegression`: fitted on ``train``, its penalty chosen on ``validation``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from baselines.data import spread_lines
from baselines.mass_regression import MassRegression
from baselines.model import MassModel
from three_hundred_maps.errors import InputError
from three_hundred_maps.progress import progress
from three_hundred_maps.store.arrays import iter_shards, split_length
from three_hundred_maps.store.schema import TARGET

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, math.inf)
MAPS = 4096
"""About so many maps of a split are looked at: lines of sight of one halo tell much the same."""
BATCH = 64


@dataclass(frozen=True)
class Calibration:
    """What a calibration did: the penalty, and the rms error of log10 mass inside R200c on validation."""

    maps: int
    penalty: float
    before_dex: float
    after_dex: float


def check_validation(store: Path) -> None:
    """InputError where a store has no halos to choose a penalty by."""
    if split_length(store, "validation") == 0:
        raise InputError(f"--calibrate needs halos in the split validation, and {store} has none there")


def calibrate(model: MassModel, stores: Sequence[Path], *, symmetries: int) -> Calibration:
    """Give ``model`` a regression of its masses.

    Parameters
    ----------
    stores
        All that the model was trained on; validation is that of the first.
    symmetries
        As in the predictions that are to be right.

    Raises
    ------
    InputError
        Where the first store has no halos in its split validation.
    """
    check_validation(stores[0])
    # The memory format of a prediction, so that these are its very bits.
    model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    regression = MassRegression(model.transforms).to(model.climatology.device)
    parts = [_masses(model, regression, store, "train", symmetries) for store in stores]
    features, missing = (torch.cat([part[place] for part in parts]) for place in (0, 1))
    others, expected = _masses(model, regression, stores[0], "validation", symmetries)
    errors = []
    for penalty in PENALTIES:
        regression.fit(features, missing, penalty)
        errors.append(float((regression.correction(others) - expected).square().mean().sqrt()))
    best = int(np.argmin(errors))
    regression.fit(features, missing, PENALTIES[best])
    model.regression = regression
    model.architecture = replace(model.architecture, mass_regression=True)
    before = float(expected.square().mean().sqrt())
    return Calibration(len(features), PENALTIES[best], round(before, 5), round(errors[best], 5))


@torch.no_grad()
def _masses(
    model: MassModel, regression: MassRegression, store: Path, split: str, symmetries: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of maps of a split, and what the model's masses lack, in dex."""
    device, views = model.climatology.device, model.transforms.views
    features, missing = [], []
    lines = max(MAPS // split_length(store, split), 1)
    for arrays in progress(iter_shards(store, split, [*views, TARGET]), desc=f"masses of {split}"):
        chosen = spread_lines(len(arrays.los_vector), min(lines, len(arrays.los_vector)))
        maps = np.stack([arrays.maps[view][:, chosen] for view in views], axis=2)
        truth = arrays.maps[TARGET][:, chosen]
        redshift = np.repeat(arrays.halos["redshift"], len(chosen))
        raw_maps = model.transforms.scale(torch.from_numpy(maps).flatten(0, 1), redshift)
        masses = model.transforms.scale_mass(torch.from_numpy(truth).flatten(0, 1), redshift)
        for raw, mass in zip(raw_maps.split(BATCH), masses.split(BATCH), strict=True):
            raw, mass = raw.to(device), mass.to(device)
            log_mass, _ = model.log_mass(raw, symmetries=symmetries)
            features.append(regression.features(raw, log_mass))
            missing.append(regression.cylinder(mass.double().log10()) - regression.cylinder(log_mass))
    return torch.cat(features), torch.cat(missing)
