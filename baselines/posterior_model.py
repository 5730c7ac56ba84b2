"""Models that draw posterior samples of a mass map, round the means of cross-fitted networks.

`METHODS` says how each draws; all share members, a random field, and a calibration by the split validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from baselines.flow_matching import FlowNetwork, integrate
from baselines.losses import MassLoss
from baselines.machine import best_precision
from baselines.model import (
    MAX_POOLINGS,
    MAX_SHUFFLE,
    Architecture,
    MassModel,
    load_weights,
    read_model_config,
    save_model,
    sigma_dex,
)
from baselines.random_field import RandomField
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import FLOOR_MSUN_KPC2
from three_hundred_maps.torch_symmetries import SYMMETRIES, apply_symmetry, undo_symmetry
from three_hundred_maps.torch_transforms import ScoreGrid, Transforms

METHODS = {
    "flow": "the members' mean and a residual by flow matching, started from the random field",
    "field": "the members' mean and a Gaussian random field with the residuals' spread and power spectrum",
    "deep": "the mean of one member after the other, plus its sigma times a random field of unit variance",
    "white": "the members' mean, plus their sigma times noise on single pixels",
}
"""How samples are drawn. The members of ``deep`` and ``white`` state a sigma."""
MAX_MEMBERS = 32
LEVEL = 8.0
"""log10 of a surface density, Msun kpc-2: powers of it stay within single precision."""
BATCH = 64


def draw_seeds(seed: int, first: int, count: int) -> range:
    """Of the draws of a split's maps from the ``first`` on, others for every ``seed``."""
    return range(seed * 10**9 + first, seed * 10**9 + first + count)


@dataclass(frozen=True)
class PosteriorArchitecture:
    """What is needed to make the model again, beside its members' architecture.

    Parameters
    ----------
    method
        One of `METHODS`.
    members
        Number of networks.
    channels, poolings, shuffle
        Of the flow's U-Net.
    steps
        Of Heun's method.
    """

    method: str
    members: int
    channels: int = 16
    poolings: int = 3
    shuffle: int = 2
    steps: int = 6

    def __post_init__(self) -> None:
        whole = all(type(v) is int and v >= 1 for k, v in asdict(self).items() if k != "method")
        if self.method not in METHODS or not whole:
            raise ValueError(f"no model of posterior samples {self.method!r} of these sizes")
        if self.members > MAX_MEMBERS or self.poolings > MAX_POOLINGS or self.shuffle > MAX_SHUFFLE:
            raise ValueError(
                f"{self.members} members, {self.poolings} poolings, {self.shuffle} pixels folded"
            )


class PosteriorModel(nn.Module):
    """Networks of one architecture, a random field and, of a flow, its network.

    Attributes
    ----------
    temperature
        Factors of the samples' deviations from their mean: of log10 M(<R200c), and of the rest of the map.
    offset
        Added to all of l, dex.
    """

    temperature: torch.Tensor
    offset: torch.Tensor
    climatology: torch.Tensor

    def __init__(
        self, architecture: PosteriorArchitecture, member: Architecture, transforms: Transforms
    ) -> None:
        super().__init__()
        self.architecture, self.member, self.transforms = architecture, member, transforms
        self.members = nn.ModuleList(MassModel(member, transforms) for _ in range(architecture.members))
        self.field = RandomField(transforms.grid)
        self.register_buffer("climatology", transforms.climatology_map(), persistent=False)
        sizes = {name: getattr(architecture, name) for name in ("channels", "poolings", "shuffle")}
        self.flow = FlowNetwork(transforms, **sizes) if architecture.method == "flow" else None
        self.register_buffer("temperature", torch.ones(2))
        self.register_buffer("offset", torch.zeros(()))

    @torch.no_grad()
    def moments(self, inputs: torch.Tensor, symmetries: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(member, N, H, W): each member's residual to the climatology, on the score grid; and sigma, dex."""
        return member_moments(list(self.members), inputs, symmetries)  # type: ignore[arg-type]

    @torch.no_grad()
    def sample(
        self,
        maps: np.ndarray | torch.Tensor,
        redshift: np.ndarray | float | None,
        seeds: Sequence[int],
        *,
        samples: int,
        symmetries: int = SYMMETRIES,
    ) -> torch.Tensor:
        """Posterior samples, on the score grid.

        Parameters
        ----------
        maps
            (N, C, H, W), raw values in the units of the store, channels in the order of the views.
        redshift
            (N,), or one for all; none is 0.
        seeds
            (N,): of each map's draws, whatever it is drawn beside.
        samples
            Of each map, at least 2.
        symmetries
            1, or 8 to average the members' means over the square's symmetries.

        Returns
        -------
        (N, samples, H, W) float32 Msun kpc-2.
        """
        self.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        device = self.temperature.device
        raw = torch.as_tensor(maps).to(device, torch.float32)
        self.transforms.check_maps(raw, redshift)
        raw = self.transforms.scale(raw, redshift)
        inputs = self.transforms.standardise(raw)
        if not bool(torch.isfinite(inputs).all()):
            raise InputError("the maps to predict from hold values that are not finite or are negative")
        logs = self.climatology + self.calibrated(self.draw(inputs, seeds, samples, symmetries))
        scaled = redshift if redshift is None or np.ndim(redshift) == 0 else np.asarray(redshift)[:, None]
        return self.transforms.unscale_mass(10.0**logs, scaled)

    def predict(
        self,
        maps: np.ndarray | torch.Tensor,
        redshift: np.ndarray | float | None = None,
        *,
        samples: int = 16,
        seed: int = 0,
        symmetries: int = SYMMETRIES,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of log10 of posterior samples: what a `MassModel` predicts in one go.

        Parameters
        ----------
        maps, redshift, samples, symmetries
            As `sample`.
        seed
            Of the draws.

        Returns
        -------
        (N, H, W) Msun kpc-2, on the score grid; and sigma, dex.
        """
        seeds = draw_seeds(seed, 0, len(maps))
        drawn = self.sample(maps, redshift, seeds, samples=samples, symmetries=symmetries)
        logs = drawn.clamp(min=FLOOR_MSUN_KPC2).log10()
        return 10.0 ** logs.mean(1), logs.std(1)

    def calibrated(self, residuals: torch.Tensor) -> torch.Tensor:
        """(N, samples, H, W) draws with their mean moved and their spread scaled."""
        mean = residuals.mean(1, keepdim=True)
        of_mass, rest = self.parts(residuals - mean, mean)
        return mean + self.offset + self.temperature[0] * of_mass + self.temperature[1] * rest

    def parts(self, deviations: torch.Tensor, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, samples, H, W) deviations of a mean (N, 1, H, W): as a whole (N, samples, 1, 1), and the rest.

        As a whole, that is the mean over R < R200c by mass: the deviation of log10 M(<R200c), to first order.
        """
        inside = torch.from_numpy(self.transforms.grid.inside).to(mean.device)
        share = torch.where(inside, 10.0 ** (mean + self.climatology - LEVEL), 0.0)
        share = share / share.sum((-2, -1), keepdim=True)
        of_mass = (deviations * share).sum((-2, -1), keepdim=True)
        return of_mass, deviations - of_mass

    @torch.no_grad()
    def draw(self, inputs: torch.Tensor, seeds: Sequence[int], samples: int, symmetries: int) -> torch.Tensor:
        """(N, samples, H, W): residuals to the climatology on the score grid, dex, before calibration."""
        means, sigmas = self.moments(inputs, symmetries)
        mean = means.mean(0)
        generators = [torch.Generator(inputs.device).manual_seed(int(seed)) for seed in seeds]
        method = self.architecture.method
        if method == "white":
            assert sigmas is not None
            # The variance of a mixture: that within the members and that between them.
            sigma = (sigmas.square().mean(0) + means.var(0, unbiased=False)).sqrt()
            white = torch.stack(
                [torch.randn((samples, *mean.shape[1:]), generator=g, device=mean.device) for g in generators]
            )
            return mean[:, None] + sigma[:, None] * white
        field = self.field.draw(samples, generators)
        if method == "deep":
            assert sigmas is not None
            member = torch.arange(samples, device=mean.device) % len(self.members)
            return means[member].transpose(0, 1) + sigmas[member].transpose(0, 1) * field
        if method == "flow":
            field = self._flow(inputs, mean, field, generators)
        return mean[:, None] + self.field.std * field

    def _flow(
        self,
        inputs: torch.Tensor,
        mean: torch.Tensor,
        start: torch.Tensor,
        generators: Sequence[torch.Generator],
    ) -> torch.Tensor:
        """Each sample through the flow, under a symmetry of the square that is drawn for it."""
        assert self.flow is not None
        precision = best_precision(start.device)
        count, samples = start.shape[:2]
        numbers = torch.cat(
            [torch.randint(SYMMETRIES, (samples,), generator=g, device=start.device) for g in generators]
        ).tolist()
        of_map = torch.arange(count).repeat_interleave(samples)
        flat, result = start.flatten(0, 1), torch.empty_like(start.flatten(0, 1))
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        for number in sorted(set(numbers)):
            here = torch.tensor([i for i in order if numbers[i] == number], device=start.device)
            for part in here.split(BATCH):
                which = of_map[part.cpu()].to(start.device)
                views = apply_symmetry(inputs[which], number, self.transforms.views)
                known, begin = (apply_symmetry(values, number) for values in (mean[which], flat[part]))
                end = integrate(self.flow, views, known, begin, self.architecture.steps, precision)
                result[part] = undo_symmetry(end, number)
        return result.unflatten(0, (count, samples))

    def save(self, folder: Path, extra: dict[str, Any]) -> None:
        """Write `model.safetensors` and `config.json`."""
        save_model(
            self, folder, self.member, self.transforms, {"posterior": asdict(self.architecture), **extra}
        )


@torch.no_grad()
def member_moments(
    members: Sequence[MassModel], inputs: torch.Tensor, symmetries: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(member, N, H, W): residuals to the climatology on the score grid, dex; and sigmas, where stated."""
    grid = ScoreGrid(members[0].transforms, device=inputs.device)
    loss = MassLoss(grid, "l2", 0.0)
    means, sigmas = [], []
    for member in members:
        member.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for part in inputs.split(BATCH):
            output = member.over_symmetries(part, symmetries)
            means.append(loss.residual(output, torch.zeros_like(output[:, 0])))
            if member.architecture.sigma:
                sigmas.append(sigma_dex(output[:, 1]))
    shape = (len(members), *inputs.shape[:1], *inputs.shape[2:])
    return torch.cat(means).reshape(shape), torch.cat(sigmas).reshape(shape) if sigmas else None


def load_posterior(folder: Path, *, device: str = "cpu") -> PosteriorModel:
    """The model of posterior samples in a run's folder.

    Raises
    ------
    InputError
        Where there is none.
    """
    config = read_model_config(folder)
    try:
        architecture = PosteriorArchitecture(**config["posterior"])
        member = Architecture.from_dict(config["architecture"])
        transforms = Transforms.from_dict(config["transforms"])
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / 'config.json'} describes no model of posterior samples: {error}"
        ) from None
    widest = max(
        member.widest, architecture.channels << architecture.poolings if architecture.method == "flow" else 0
    )
    return load_weights(folder, lambda: PosteriorModel(architecture, member, transforms), widest).to(device)
