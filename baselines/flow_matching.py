"""Conditional flow matching of a mean network's residuals (Lipman et al. 2023), from a Gaussian field.

A sample starts as a Gaussian random field x_0 with the residuals' own spectrum and follows dx/dt = v(x, t) to
t = 1. Trained on straight lines x_t = (1 - t) x_0 + t x_1 to true residuals x_1: v is their mean direction
x_1 - x_0 at (x_t, t), given what the mean network saw and said. A network that says 0 leaves the field as is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from baselines.data import ResidentBatches, Rows
from baselines.losses import autocast
from baselines.networks import UNet
from baselines.random_field import RandomField
from baselines.settings import Settings
from three_hundred_maps.torch_transforms import ScoreGrid, Transforms

EMBEDDING = 64
FREQUENCIES = 16
VALIDATION_SEED = 20_261


class FlowNetwork(nn.Module):
    """The velocity: standardised views, the mean and x_t in, with the time in every block.

    Parameters
    ----------
    channels, poolings, shuffle
        Of its U-Net.
    """

    climatology: torch.Tensor
    radius_map: torch.Tensor

    def __init__(self, transforms: Transforms, *, channels: int, poolings: int, shuffle: int) -> None:
        super().__init__()
        self.transforms = transforms
        self.network = UNet(
            len(transforms.inputs) + 3,
            1,
            channels=channels,
            poolings=poolings,
            norm="group",
            shuffle=shuffle,
            embedding=EMBEDDING,
        )
        self.time = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU()
        )
        nn.init.zeros_(self.network.head.weight)
        assert self.network.head.bias is not None
        nn.init.zeros_(self.network.head.bias)
        self.register_buffer("climatology", transforms.climatology_map(), persistent=False)
        radius = torch.from_numpy(transforms.grid.radius).float()
        self.register_buffer("radius_map", (radius - radius.mean()) / radius.std(), persistent=False)

    def forward(self, packed: torch.Tensor) -> torch.Tensor:
        """(N, C + 3, H, W), the views, the mean, x_t and a map that is t everywhere, to v (N, 1, H, W).

        Were x_1 a field like x_0, v would be (2 t - 1) / s x_t with s = `variance_at` t, and what it leaves
        of x_1 - x_0 would have the variance 1 / s: the network adds to the one in units of the other.
        """
        time = packed[:, -1, 0, 0].float()
        angles = time[:, None] * 2.0 ** torch.linspace(0, 6, FREQUENCIES, device=time.device)
        embedding = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        radius = self.radius_map.to(packed.dtype).expand(len(packed), 1, -1, -1)
        added = self.network(torch.cat([packed[:, :-1], radius], dim=1), embedding).float()
        x, t = packed[:, -2:-1].float(), time[:, None, None, None]
        variance = variance_at(t)
        return (2 * t - 1) / variance * x + added / variance.sqrt()


def variance_at(t: Any) -> Any:
    """The variance at a time t, 0 to 1, of a line between independent fields of unit variance."""
    return t**2 + (1 - t) ** 2


def pack(inputs: torch.Tensor, mean: torch.Tensor, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """What `FlowNetwork.forward` takes: (N, C, H, W) views, (N, H, W) mean and x_t, and (N,) times."""
    time_map = time.to(x)[:, None, None].expand_as(x)
    return torch.cat([inputs, mean[:, None], x[:, None], time_map[:, None]], dim=1)


class FlowBatches:
    """Batches of a flow: what `pack` gives, and the direction x_1 - x_0.

    Parameters
    ----------
    batches
        Of rows whose targets are (N, 2, H, W): x_1 and the mean.
    field
        That x_0 is drawn from.
    """

    def __init__(self, batches: ResidentBatches, field: RandomField) -> None:
        self.batches, self.field = batches, field

    def from_step(self, step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(packed, direction) from ``step`` on; what is drawn follows from the seed and the step."""
        for inputs, target in self.batches.from_step(step):
            # Another factor than that of `Augment`: its errors were the very numbers of the first fields.
            seed = (self.batches.seed * 1_000_003 + step) * 1_019 + self.batches.rank
            yield straight_lines(inputs, target, self.field, seed)
            step += 1


def straight_lines(
    inputs: torch.Tensor, target: torch.Tensor, field: RandomField, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on lines from drawn fields to residuals, of targets (N, 2, H, W); and the lines' directions."""
    generator = torch.Generator(inputs.device).manual_seed(seed)
    count = len(inputs)
    start = field.draw(count, [generator])[0]
    # One time in each of equal parts of 0 to 1, in random order: a batch sees all of them.
    parts = torch.randperm(count, generator=generator, device=inputs.device)
    time = (parts + torch.rand(count, generator=generator, device=inputs.device)) / count
    end, mean = target[:, 0], target[:, 1]
    at = time[:, None, None]
    return pack(inputs, mean, (1 - at) * start + at * end, time), end - start


class FlowLoss:
    """Weighted mean over pixels of (v - direction)^2."""

    def __init__(self, score_grid: ScoreGrid, outside_weight: float, field: RandomField) -> None:
        weight = torch.where(score_grid.inside, 1.0, outside_weight)
        self.weight, self.field = weight / weight.sum(), field

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of a batch, a scalar."""
        return ((output[:, 0].float() - target).square().mean(0) * self.weight).sum()


@torch.no_grad()
def flow_error(network: FlowNetwork, rows: Rows, loss: FlowLoss, settings: Settings) -> float:
    """The root of the loss on rows with targets (N, 2, H, W), at the same times and starts every time."""
    if len(rows) == 0:
        return math.nan
    total, device = 0.0, network.climatology.device
    for number, first in enumerate(range(0, len(rows), settings.batch)):
        part = slice(first, first + settings.batch)
        inputs, target = rows.inputs[part].to(device), rows.target[part].to(device)
        packed, direction = straight_lines(inputs, target, loss.field, VALIDATION_SEED + number)
        with autocast(device, settings.precision):
            output = network(packed.contiguous(memory_format=torch.channels_last))
        total += float(loss(output, direction)) * len(inputs)
    return math.sqrt(total / len(rows))


@torch.no_grad()
def integrate(
    network: FlowNetwork,
    inputs: torch.Tensor,
    mean: torch.Tensor,
    x: torch.Tensor,
    steps: int,
    precision: str = "fp32",
) -> torch.Tensor:
    """Follow the flow from x_0 (N, H, W) to x_1 by Heun's method, ``steps`` steps of two evaluations.

    In units in which a network that has learnt nothing moves nothing: y = x / sqrt(s), s = `variance_at` t,
    by the angle a = arctan(2 t - 1), da = dt / s. So only what was learnt is integrated: dy/da = sqrt(s) v
    - (2 t - 1) / sqrt(s) x. It begins and ends with s = 1, y = x.
    """

    def slope(y: torch.Tensor, angle: float) -> torch.Tensor:
        t = 0.5 + 0.5 * math.tan(angle)
        deviation = math.sqrt(variance_at(t))
        x = deviation * y
        packed = pack(inputs, mean, x, torch.full((len(x),), t, device=x.device))
        with autocast(x.device, precision):
            v = network(packed.contiguous(memory_format=torch.channels_last))[:, 0].float()
        return deviation * v - (2 * t - 1) / deviation * x

    y, width = x, 0.5 * math.pi / steps
    for step in range(steps):
        angle = step * width - 0.25 * math.pi
        first = slope(y, angle)
        y = y + 0.5 * width * (first + slope(y + width * first, angle + width))
    return y
