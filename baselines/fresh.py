"""Noise of an observed store drawn anew in every training step: a model then sees no noise map twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from baselines.data import BLOCK_HALOS, Rows
from three_hundred_maps.errors import InputError
from three_hundred_maps.observe.build import Observatory, with_noise
from three_hundred_maps.observe.levels import Level
from three_hundred_maps.store.arrays import root_attrs, split_length, store_digest
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.torch_data import ScoreGrid, Transforms


@dataclass(frozen=True)
class FreshNoise:
    """The noise of a level's instruments on batches of expected maps.

    Parameters
    ----------
    level, views
        What observes, and the channels.
    seed
        Of the run: what is drawn follows from it, the step and the process.
    """

    level: Level
    views: tuple[str, ...]
    seed: int

    def __call__(self, maps: torch.Tensor, scale: torch.Tensor, step: int, rank: int = 0) -> torch.Tensor:
        """(N, C, H, W) expected maps and (N, C) scales of `with_noise` to observed maps."""
        draw = torch.Generator(maps.device).manual_seed((self.seed * 1_000_003 + step) * 1_013 + rank)
        seen = [
            with_noise(self.level, view, maps[:, channel], scale[:, channel, None, None], draw)
            for channel, view in enumerate(self.views)
        ]
        return torch.stack(seen, dim=1)


def load_expected(
    store: Path,
    ideal: str | None,
    transforms: Transforms,
    score_grid: ScoreGrid,
    *,
    device: torch.device,
    seed: int,
) -> tuple[Rows, FreshNoise]:
    """The train split of an observed store without its noise, and that noise.

    Parameters
    ----------
    store
        Observed.
    ideal
        The store that it was made of, by name or folder; None: by the name that ``store`` gives it.

    Raises
    ------
    InputError
        Where ``store`` is not observed, or ``ideal`` is not what it was made of.
    """
    attrs = root_attrs(store)
    if "observed" not in attrs:
        raise InputError(f"--noise fresh: {store} is not an observed store, so it has no noise to draw")
    try:
        source = find_store(ideal or str(attrs["observed"]["of"]))
    except InputError as error:
        raise InputError(f"--noise fresh: {error}; --ideal STORE names what {store} was made of") from None
    if store_digest(source) != attrs["derived"].get("observed_of"):
        raise InputError(
            f"--noise fresh: {store} is not what observe wrote of {source} (nor is a subset of that, or a "
            "merged store); name the store that it was made of by --ideal"
        )
    level, views = Level.of_recipe(str(attrs["recipe"])), transforms.views
    observatory, inputs, targets, scales, regions, numbers = Observatory(source, level), [], [], [], [], []
    halos = split_length(source, "train")
    for first in range(0, halos, BLOCK_HALOS):
        rows = slice(first, min(first + BLOCK_HALOS, halos))
        keys, expected, _ = observatory.expected("train", rows)
        for number, (key, each) in enumerate(zip(keys, expected, strict=True), first):
            maps = torch.from_numpy(np.stack([each.maps[view] for view in views], axis=1))
            count = len(maps)
            inputs.append(maps.to(device))
            targets.append(score_grid.target(torch.from_numpy(each.maps[TARGET]).to(device)))
            none = np.zeros(count, np.float32)
            scales.append(np.stack([each.scale.get(view, none) for view in views], axis=1))
            regions.append(np.full(count, key.region))
            numbers.append(np.full(count, number))
    return (
        Rows(
            torch.cat(inputs),
            torch.cat(targets),
            np.concatenate(numbers),
            np.concatenate(regions),
            torch.from_numpy(np.concatenate(scales)).to(device),
        ),
        FreshNoise(level, views, seed),
    )
