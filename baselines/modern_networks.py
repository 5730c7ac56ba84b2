"""U-Nets of blocks that came after the paper's: NAFNet's for restoring pictures, ConvNeXt's for seeing them.

Levels, skips and ways between the levels are those of `baselines.networks.UNet`; what differs is what a level
does to its maps. Both add to what comes in, so that the amplitude of the maps, which carries the mass,
passes.
"""

from __future__ import annotations

import torch
from torch import nn

from baselines.networks import UNet, import_timm

BLOCKS = 2
"""Blocks a level."""


def _level(kind: type[nn.Module], inputs: int, outputs: int, drop: float) -> nn.Module:
    """A convolution to the level's channels, then its blocks."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1)]
    for _ in range(BLOCKS):
        layers.append(kind(outputs))
        if drop > 0:
            layers.append(nn.Dropout2d(drop))
    return nn.Sequential(*layers)


def gate(x: torch.Tensor) -> torch.Tensor:
    """(N, 2 C, H, W) -> (N, C, H, W): one half times the other, NAFNet's only non-linearity."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """NAFNet's block (Chen et al. 2022, ECCV, figure 3c): gated depth-wise convolution, then a gated layer.

    The channels of the first part are weighed by the means of the whole map (simplified channel attention).
    Each part is added with a factor a channel that training starts from 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        import_timm()
        from timm.layers import LayerNorm2d

        self.spread = nn.Sequential(
            LayerNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels),
        )
        self.weigh = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.mix = nn.Conv2d(channels, channels, 1)
        self.widen = nn.Sequential(LayerNorm2d(channels), nn.Conv2d(channels, 2 * channels, 1))
        self.narrow = nn.Conv2d(channels, channels, 1)
        self.factors = nn.Parameter(torch.zeros(2, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        near = gate(self.spread(x))
        x = x + self.factors[0] * self.mix(near * self.weigh(near))
        return x + self.factors[1] * self.narrow(gate(self.widen(x)))


class NAFUNet(UNet):
    """The levels of `UNet`, of two `NAFBlock`; ``norm`` is that of the ways up alone."""

    title = "a U-Net of NAFNet's blocks"

    def block(self, inputs: int, outputs: int, norm: str, drop: float) -> nn.Module:
        """A convolution and two blocks."""
        return _level(NAFBlock, inputs, outputs, drop)


class ConvNeXtUNet(UNet):
    """The levels of `UNet`, of two ConvNeXt blocks (Liu et al. 2022): 7 x 7 depth-wise, then pixel by pixel.

    ``norm`` is that of the ways up alone.
    """

    title = "a U-Net of ConvNeXt's blocks"

    def block(self, inputs: int, outputs: int, norm: str, drop: float) -> nn.Module:
        """A convolution and two of timm's blocks."""
        import_timm()
        from timm.models.convnext import ConvNeXtBlock

        return _level(ConvNeXtBlock, inputs, outputs, drop)
