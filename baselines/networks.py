"""The networks: the paper's U-Net (after fastMRI's), one of residual blocks, and one on any encoder of timm.

All map (N, channels in, H, W) to (N, channels out, H, W) for any H and W of at least 16 pixels.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import nn
from torch.nn import functional

from three_hundred_maps.errors import InputError

NORMS = ("batch", "group", "instance", "none")
"""Normalisation layers. ``instance`` is the paper's (fastMRI's): it takes the mean of every channel away,
map by map, and with it the amplitude of the input, which carries the cluster's mass."""

GROUP_CHANNELS = 16
"""Channels normalised together by ``group``: enough that their differences keep the amplitude."""


def norm_layer(norm: str, channels: int) -> nn.Module:
    """The normalisation layer ``norm`` for ``channels`` channels."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(max(channels // GROUP_CHANNELS, 1), channels)
    if norm == "none":
        return nn.Identity()
    raise InputError(f"no normalisation {norm!r}; there are {', '.join(NORMS)}")


class ConvBlock(nn.Module):
    """Two times: 3 x 3 convolution, normalisation, leaky ReLU of slope 0.2."""

    def __init__(self, inputs: int, outputs: int, norm: str, drop: float = 0.0) -> None:
        super().__init__()
        # A convolution needs no bias where the normalisation that follows takes the mean away.
        bias = norm == "none"
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [
                nn.Conv2d(channels, outputs, 3, padding=1, bias=bias),
                norm_layer(norm, outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            if drop > 0:
                layers.append(nn.Dropout2d(drop))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        return self.layers(x)


class UpBlock(nn.Module):
    """Doubles height and width: 2 x 2 transposed convolution, normalisation, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=norm == "none"),
            norm_layer(norm, outputs),
            nn.LeakyReLU(0.2, inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, 2 H, 2 W)."""
        return self.layers(x)


class UNet(nn.Module):
    """The paper's U-Net: average pooling down, transposed convolutions up, channels doubled at each level.

    Parameters
    ----------
    inputs, outputs
        Channels in and out.
    channels
        Channels of the first level (32 in the paper).
    poolings
        Levels below it (4 in the paper: 80, 40, 20, 10, 5 pixels).
    norm
        One of `NORMS`.
    drop
        Probability of dropping a channel after each convolution.
    shuffle
        So many pixels a side are folded into channels first, and unfolded last.
    embedding
        Length of a vector that scales and shifts what every block gives (FiLM: Perez et al. 2018); 0: none.
    """

    title = "the paper's U-Net"
    """In a model card."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        channels: int = 32,
        poolings: int = 4,
        norm: str = "batch",
        drop: float = 0.0,
        shuffle: int = 1,
        embedding: int = 0,
    ) -> None:
        super().__init__()
        self.shuffle = shuffle
        inputs, outputs = inputs * shuffle**2, outputs * shuffle**2
        widths = [channels * 2**level for level in range(poolings + 1)]
        self.down = nn.ModuleList(
            self.block(a, b, norm, drop) for a, b in zip([inputs, *widths[:-1]], widths, strict=True)
        )
        self.bottom = self.bottom_block(widths[-1])
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(UpBlock(below, here, norm) for below, here in pairs)
        self.merge = nn.ModuleList(self.block(2 * here, here, norm, drop) for _, here in pairs)
        self.head = nn.Conv2d(channels, outputs, 1)
        filmed = [*widths, *(here for _, here in pairs)] if embedding else []
        self.films = nn.ModuleList(nn.Linear(embedding, 2 * width) for width in filmed)

    def block(self, inputs: int, outputs: int, norm: str, drop: float) -> nn.Module:
        """What a level does to its maps, on the way down and on the way up."""
        return ConvBlock(inputs, outputs, norm, drop)

    def bottom_block(self, channels: int) -> nn.Module:
        """What follows at the lowest level; nothing in the paper's network."""
        return nn.Identity()

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """(N, inputs, H, W), and (N, embedding) where there is one, -> (N, outputs, H, W)."""
        skips = []
        films = iter(self.films)
        x = functional.pixel_unshuffle(x, self.shuffle)
        for level, block in enumerate(self.down):
            x = film(block(x), films, embedding)
            if level < len(self.down) - 1:
                skips.append(x)
                x = functional.avg_pool2d(x, 2)
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            skip = skips.pop()
            x = film(merge(torch.cat([fit(up(x), skip), skip], dim=1)), films, embedding)
        return functional.pixel_shuffle(self.head(x), self.shuffle)


def film(x: torch.Tensor, layers: Iterator[nn.Module], embedding: torch.Tensor | None) -> torch.Tensor:
    """(N, C, H, W) scaled and shifted by the next layer's view of an embedding; as it is without one."""
    if embedding is None:
        return x
    scale, shift = next(layers)(embedding)[:, :, None, None].chunk(2, dim=1)
    return x * (1.0 + scale) + shift


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, their channels weighed by the map as a whole.

    The weighing (squeeze and excitation: Hu et al. 2018) lets what is true of the whole cluster, as its
    mass, act on every pixel from the first level on.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, drop: float = 0.0) -> None:
        super().__init__()
        import_timm()
        from timm.layers import SqueezeExcite

        bias = norm == "none"
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias),
            norm_layer(norm, outputs),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Dropout2d(drop) if drop > 0 else nn.Identity(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias),
            norm_layer(norm, outputs),
            SqueezeExcite(outputs, rd_channels=max(outputs // 4, 4)),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        return functional.leaky_relu(self.shortcut(x) + self.layers(x), 0.2)


class SelfAttention(nn.Module):
    """Every pixel of the lowest level looks at every other: added to what is there."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(
            channels, heads if channels % heads == 0 else 1, batch_first=True
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        pixels = self.norm(x.flatten(2).transpose(1, 2))
        seen, _ = self.attention(pixels, pixels, pixels, need_weights=False)
        return x + seen.transpose(1, 2).reshape(x.shape)


class ResidualUNet(UNet):
    """The same levels, of `ResidualBlock`, with `SelfAttention` at the lowest; parameters as for `UNet`."""

    title = "a U-Net of residual blocks with attention"

    def block(self, inputs: int, outputs: int, norm: str, drop: float) -> nn.Module:
        """A residual block."""
        return ResidualBlock(inputs, outputs, norm, drop)

    def bottom_block(self, channels: int) -> nn.Module:
        """Attention over the pixels of the lowest level."""
        return SelfAttention(channels)


class EncoderUNet(nn.Module):
    """A U-Net whose way down is a timm encoder, with a stem at full resolution beside it.

    Parameters
    ----------
    encoder
        The name of any timm model that gives features (``resnet10t``, ``regnetx_002``, ...).
    inputs, outputs, channels, norm, drop
        As for `UNet`; ``channels`` is the width of the stem and of the last level.
    """

    title = "a U-Net on a timm encoder"

    def __init__(
        self,
        encoder: str,
        inputs: int,
        outputs: int,
        *,
        channels: int = 32,
        norm: str = "batch",
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = ConvBlock(inputs, channels, norm, drop)
        self.encoder, widths = timm_encoder(encoder, inputs)
        widths = [channels, *widths]
        self.merge = nn.ModuleList()
        below = widths[-1]
        for here in widths[-2::-1]:
            width = max(channels, min(here, below // 2))
            self.merge.append(ConvBlock(below + here, width, norm, drop))
            below = width
        self.head = nn.Conv2d(below, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        features = [self.stem(x), *self.encoder(x)]
        x = features.pop()
        for merge in self.merge:
            skip = features.pop()
            # Encoders round odd sizes up (10, 5, 3), so the size to return to is the skip's.
            x = functional.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = merge(torch.cat([x, skip], dim=1))
        return self.head(x)


def fit(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``x`` with its last row or column repeated where pooling dropped one of ``like``."""
    # Not functional.pad: torch.compile fails in the gradient of its mode "replicate".
    if like.shape[-2] > x.shape[-2]:
        x = torch.cat([x, x[..., -1:, :]], dim=-2)
    return torch.cat([x, x[..., -1:]], dim=-1) if like.shape[-1] > x.shape[-1] else x


def timm_encoder(name: str, inputs: int) -> tuple[nn.Module, list[int]]:
    """A timm encoder without weights from elsewhere, its features at 1/2 to 1/16, and their channels.

    Only names of timm's own list: others (``hf-hub:``, ``local-dir:``) make it fetch or read a model.
    """
    timm = import_timm()
    try:
        if not re.fullmatch(r"\w+(\.\w+)?", name, re.ASCII) or not timm.is_model(name):
            raise RuntimeError("it has no model of this name")
        encoder = timm.create_model(
            name, pretrained=False, features_only=True, in_chans=inputs, out_indices=(0, 1, 2, 3)
        )
    except (RuntimeError, AssertionError, IndexError) as error:
        raise InputError(
            f"--encoder {name}: timm cannot make features of it ({error}); try resnet10t or regnetx_002"
        ) from None
    return encoder, list(encoder.feature_info.channels())


_KEPT_LIBRARIES: list[torch.library.Library] = []


def import_timm() -> ModuleType:
    """``timm``, also where torchvision was built for another torch.

    timm imports torchvision, whose build for a GPU fails beside a CPU torch with "operator
    torchvision::nms does not exist". Nothing here calls that operator: declaring it lets the import
    through. A healthy installation never gets to that.
    """
    try:
        return importlib.import_module("timm")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for module in [m for m in sys.modules if m.split(".")[0] in ("torchvision", "timm")]:
        del sys.modules[module]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT_LIBRARIES.append(library)  # the declarations live as long as this object
    return importlib.import_module("timm")


def count_parameters(network: nn.Module) -> int:
    """Number of values that training sets."""
    return sum(parameter.numel() for parameter in network.parameters())
