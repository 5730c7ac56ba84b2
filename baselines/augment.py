"""What changes inputs at random in training, so that a model holds on other simulations than its own.

Star maps redrawn in coarser quanta (a simulation of heavier particles), a common error of all pixels of a
view (other physics, other instruments), and views that are withheld.
"""

from __future__ import annotations

import math

import torch

from baselines.settings import Settings
from three_hundred_maps.torch_transforms import Transforms

QUANTA_MSUN_KPC2 = (1e5, 3e7)
"""Least and greatest surface density of a single star particle in a pixel; log-uniform between them."""


class Augment:
    """Raw batches brought to redshift 0, to augmented and standardised ones.

    Parameters
    ----------
    transforms, settings
        Of the run: `Settings.thin_stars`, `calibration_error` and `view_dropout`.
    """

    def __init__(self, transforms: Transforms, settings: Settings) -> None:
        self.transforms, self.seed = transforms, settings.seed
        self.thin = settings.thin_stars and "star" in transforms.views
        self.error_dex, self.dropout = settings.calibration_error, settings.view_dropout
        if len(transforms.views) == 1:
            self.dropout = 0.0

    @property
    def any(self) -> bool:
        """Whether anything is changed at random."""
        return bool(self.thin or self.error_dex or self.dropout)

    def __call__(self, maps: torch.Tensor, step: int, rank: int = 0) -> torch.Tensor:
        """(N, C, H, W) standardised; what is drawn follows from the run's seed, the step and the process."""
        if not self.any:
            return self.transforms.standardise(maps)
        draw = torch.Generator(maps.device).manual_seed((self.seed * 1_000_003 + step) * 1_009 + rank)
        count, views = maps.shape[:2]
        maps = maps.float()
        if self.error_dex:
            error = torch.randn((count, views, 1, 1), generator=draw, device=maps.device)
            maps = maps * 10.0 ** (self.error_dex * error)
        if self.thin:
            star = self.transforms.views.index("star")
            maps = maps.clone()
            maps[:, star] = thinned(maps[:, star], draw)
        inputs = self.transforms.standardise(maps)
        if self.dropout:
            kept = torch.rand((count, views), generator=draw, device=maps.device) >= self.dropout
            # Never all: where none is left, one of them stays.
            stays = torch.randint(views, (count,), generator=draw, device=maps.device)
            channel = torch.arange(views, device=maps.device)
            kept |= ~kept.any(1, keepdim=True) & (channel == stays[:, None])
            # A standardised view's mean is 0.
            inputs = inputs * kept[:, :, None, None]
        return inputs


def thinned(maps: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """(N, H, W) surface densities redrawn in whole quanta, one size a map; the expected value stays."""
    low, high = (math.log(value) for value in QUANTA_MSUN_KPC2)
    size = torch.rand((len(maps), 1, 1), generator=draw, device=maps.device)
    quantum = torch.exp(low + (high - low) * size)
    rate = maps / quantum
    # What is not finite stays so: the loss tells of it.
    redrawn = torch.poisson(torch.where(rate.isfinite(), rate, 0.0), generator=draw) * quantum
    return torch.where(rate.isfinite(), redrawn, maps)
