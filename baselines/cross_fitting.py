"""Networks each trained without a part of the regions, so that their errors on it are those of new clusters.

A network over-fits a few dozen clusters: its residuals on them are smaller than on others, and samples learnt
from those would spread too little.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from baselines.checkpoint import CHECKPOINT_FILE
from baselines.data import Rows
from baselines.machine import Machine
from baselines.model import CONFIG_FILE, MassModel, from_pretrained, read_model_config
from baselines.networks import count_parameters
from baselines.posterior_model import member_moments
from baselines.run_files import default_name, make_reporter, write_log
from baselines.settings import Settings
from baselines.unet import make_trainer
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import root_attrs
from three_hundred_maps.store.statistics import read_statistics
from three_hundred_maps.torch_transforms import Transforms, statistics_digest

PART = 512


def fold_of(region: np.ndarray, folds: int) -> np.ndarray:
    """(row,): the fold of each region, dealt out in a fixed random order.

    Raises
    ------
    InputError
        Where there are fewer regions than folds.
    """
    ids = np.unique(region)
    if len(ids) < folds:
        raise InputError(f"--folds {folds}: the training set has {len(ids)} regions")
    order = np.random.default_rng([folds, len(ids)]).permutation(len(ids))
    return np.argsort(order)[np.searchsorted(ids, region)] % folds


def train_members(
    settings: Settings, stores: Sequence[Path], out: Path, machine: Machine, folds: int
) -> list[MassModel]:
    """A network for each fold, trained on the others, in ``out/member-K``; those that are there are kept.

    Raises
    ------
    InputError
        Where one that is there was trained on other data or other folds: it may have seen its held-out rows.
    """
    members = []
    trained_on = "+".join(str(root_attrs(store)["name"]) for store in stores)
    digest = statistics_digest(read_statistics(stores[0]))
    for fold in range(folds):
        folder = out / f"member-{fold}"
        # The file that is written last: a run killed before it has weights that cannot be read.
        if not (folder / CONFIG_FILE).is_file():
            own = replace(settings, seed=settings.seed + fold)
            keep = functools.partial(_outside, fold=fold, folds=folds)
            checkpoint = folder / CHECKPOINT_FILE
            trainer = make_trainer(own, stores[0], checkpoint, machine, stores[1:], keep)
            state = trainer.run(on_validation=make_reporter(own, folder, machine))
            write_log(folder, state)
            model = trainer.best_model()
            extra = {
                "views": list(own.view_list()),
                "dataset": trained_on,
                "parameters": count_parameters(model),
                "name": f"{default_name(own)}, fold {fold + 1} of {folds}",
                "fold": [fold, folds],
            }
            model.save(folder, extra)
            checkpoint.unlink(missing_ok=True)
        member, about = from_pretrained(folder, device=str(machine.device)), read_model_config(folder)
        known = about.get("fold"), about.get("dataset"), member.transforms.statistics_digest
        if known != ([fold, folds], trained_on, digest):
            raise InputError(
                f"{folder} holds a network trained on other data, or on other folds, than {trained_on} in "
                f"{folds}: it may have seen the clusters that it would be tried on"
            )
        members.append(member)
    return members


def _outside(region: np.ndarray, *, fold: int, folds: int) -> np.ndarray:
    return fold_of(region, folds) != fold


def held_out_moments(
    members: Sequence[MassModel], rows: Rows, transforms: Transforms, symmetries: int, *, raw: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(row, H, W): of each row, the mean and sigma (where stated) of the member that has not seen it."""
    fold = fold_of(rows.region, len(members))
    mean = torch.empty_like(rows.target)
    sigma = torch.empty_like(rows.target) if members[0].architecture.sigma else None
    device = members[0].climatology.device
    for number, member in enumerate(members):
        own = np.flatnonzero(fold == number)
        for here in np.split(own, range(PART, len(own), PART)):
            inputs = rows.inputs[torch.from_numpy(here)].to(device).float()
            means, sigmas = member_moments(
                [member], transforms.standardise(inputs) if raw else inputs, symmetries
            )
            mean[here] = means[0].to(mean.device)
            if sigma is not None and sigmas is not None:
                sigma[here] = sigmas[0].to(mean.device)
    return mean, sigma
