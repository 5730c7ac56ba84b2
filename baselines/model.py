"""The whole model: standardised maps in, the mass map's residual to the climatology out; saved and loaded."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from baselines.mass_regression import MassRegression
from baselines.modern_networks import ConvNeXtUNet, NAFUNet
from baselines.networks import NORMS, EncoderUNet, ResidualUNet, UNet
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes, write_json
from three_hundred_maps.torch_symmetries import SYMMETRIES, apply_symmetry, undo_symmetry
from three_hundred_maps.torch_transforms import Transforms

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
FORMAT_VERSION = 1
Module = TypeVar("Module", bound=nn.Module)
LOG_SIGMA_RANGE = (-7.0, 1.0)
"""Natural logarithm of the least and greatest sigma (dex) a heteroscedastic model can state."""
START_SIGMA_DEX = 0.15
MAX_CONFIG_BYTES = 2**20
MAX_POOLINGS = 10
MAX_SHUFFLE = 8


NETWORKS: dict[str, type[nn.Module]] = {
    "unet": UNet,
    "residual": ResidualUNet,
    "nafnet": NAFUNet,
    "convnext": ConvNeXtUNet,
    "encoder": EncoderUNet,
}
"""Every network by the name that settings and a model's config give it."""


@dataclass(frozen=True)
class Architecture:
    """What is needed to make the network again; see `baselines.networks` for the parameters."""

    network: str = "unet"
    encoder: str | None = None
    channels: int = 32
    poolings: int = 4
    norm: str = "batch"
    drop: float = 0.0
    radius: bool = True
    sigma: bool = False
    mass_regression: bool = False
    shuffle: int = 1

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Architecture:
        """Of a model's config, each value checked; TypeError or ValueError for what describes no network."""
        architecture = Architecture(**values)
        for item in fields(Architecture):
            value, like = getattr(architecture, item.name), item.default
            kinds = (str, type(None)) if like is None else (int, float) if type(like) is float else type(like)
            if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(like, bool):
                raise TypeError(f"{item.name} is {value!r}")
        if architecture.network not in NETWORKS:
            raise ValueError(f"no network {architecture.network!r} among {', '.join(NETWORKS)}")
        if architecture.norm not in NORMS:
            raise ValueError(f"no norm {architecture.norm!r} among {', '.join(NORMS)}")
        if not (0 <= architecture.drop < 1 and architecture.channels >= 1):
            raise ValueError(f"drop {architecture.drop} with {architecture.channels} channels")
        if not 1 <= architecture.poolings <= MAX_POOLINGS:
            raise ValueError(f"{architecture.poolings} poolings")
        if not 1 <= architecture.shuffle <= MAX_SHUFFLE:
            raise ValueError(f"{architecture.shuffle} pixels folded into channels")
        return architecture

    @property
    def widest(self) -> int:
        """Channels of the lowest level; on an encoder, of the stem; 0 for a network from elsewhere."""
        kind = NETWORKS[self.network]
        if issubclass(kind, UNet):
            return self.channels << self.poolings
        return self.channels if issubclass(kind, EncoderUNet) else 0


class MassModel(nn.Module):
    """A network between a store's transforms.

    It sees the maps of its views and, as an option, the distance of each pixel from the centre, which is
    the same for every map. It predicts the residual of log10 of the mass map to the climatology, in dex,
    and with ``sigma`` the logarithm of that residual's uncertainty. With ``mass_regression`` a prediction is
    moved as a whole, so that its mass inside R200c is that of a `MassRegression`.
    """

    climatology: torch.Tensor
    radius_map: torch.Tensor
    network: nn.Module

    def __init__(self, architecture: Architecture, transforms: Transforms) -> None:
        super().__init__()
        self.architecture, self.transforms = architecture, transforms
        inputs = len(transforms.inputs) + int(architecture.radius)
        outputs = 1 + int(architecture.sigma)
        common: dict[str, Any] = {
            "channels": architecture.channels,
            "norm": architecture.norm,
            "drop": architecture.drop,
        }
        if transforms.pixels % architecture.shuffle:
            raise InputError(
                f"--shuffle {architecture.shuffle} does not divide maps of {transforms.pixels} pixels: "
                "give --shuffle 1"
            )
        side = transforms.pixels // (1 if architecture.network == "encoder" else architecture.shuffle)
        if side >> architecture.poolings == 0:
            raise InputError(
                f"--poolings {architecture.poolings} leaves nothing of maps of {side} pixels (of "
                f"{transforms.pixels}, by --shuffle): give at most {side.bit_length() - 1}"
            )
        kind = NETWORKS[architecture.network]
        if issubclass(kind, EncoderUNet):
            self.network = kind(architecture.encoder or "", inputs, outputs, **common)
        else:
            common |= {"poolings": architecture.poolings, "shuffle": architecture.shuffle}
            self.network = kind(inputs, outputs, **common)
        # The first prediction is the climatology, with a plausible sigma.
        head = self.network.head
        assert isinstance(head, nn.Conv2d) and head.bias is not None
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        if architecture.sigma:
            nn.init.constant_(head.bias[len(head.bias) // 2 :], float(np.log(START_SIGMA_DEX)))
        self.regression = MassRegression(transforms) if architecture.mass_regression else None
        self.register_buffer("climatology", transforms.climatology_map(), persistent=False)
        radius = torch.from_numpy(transforms.grid.radius).float()
        self.register_buffer("radius_map", (radius - radius.mean()) / radius.std(), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) standardised maps to (N, 1 or 2, H, W): residual in dex, and log of its sigma."""
        if self.architecture.radius:
            radius = self.radius_map.to(inputs.dtype).expand(len(inputs), 1, -1, -1)
            inputs = torch.cat([inputs, radius], dim=1)
        return self.network(inputs)

    @torch.no_grad()
    def predict(
        self,
        maps: np.ndarray | torch.Tensor,
        redshift: np.ndarray | float | None = None,
        *,
        symmetries: int = SYMMETRIES,
        bf16: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Mass maps from raw maps.

        Parameters
        ----------
        maps
            (N, C, H, W), raw values in the units of the store, channels in the order of the views.
        redshift
            (N,), or one for all; none is 0.
        symmetries
            1, or 8 to average log10 of the mass over the square's symmetries.
        bf16
            Whether the network computes in bfloat16.

        Returns
        -------
        (N, H, W) float32 Msun kpc-2, and (N, H, W) sigma in dex or None.
        """
        # One memory format, so that a model gives the same bits before and after it was saved.
        self.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        raw = torch.as_tensor(maps).to(self.climatology.device, torch.float32)
        self.transforms.check_maps(raw, redshift)
        raw = self.transforms.scale(raw, redshift)
        log_mass, sigma = self.log_mass(raw, symmetries=symmetries, bf16=bf16)
        if self.regression is not None:
            log_mass = log_mass + self.regression(raw, log_mass).float()[:, None, None]
        return self.transforms.unscale_mass(10.0**log_mass, redshift), sigma

    @torch.no_grad()
    def log_mass(
        self, raw: torch.Tensor, *, symmetries: int = SYMMETRIES, bf16: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What the network alone predicts at redshift 0: log10 of the mass, (N, H, W), and sigma or None."""
        inputs = self.transforms.standardise(raw)
        if not bool(torch.isfinite(inputs).all()):
            raise InputError("the maps to predict from hold values that are not finite or are negative")
        mean = self.over_symmetries(inputs, symmetries, bf16=bf16)
        return self.climatology + mean[:, 0], sigma_dex(mean[:, 1]) if self.architecture.sigma else None

    @torch.no_grad()
    def over_symmetries(self, inputs: torch.Tensor, symmetries: int, *, bf16: bool = False) -> torch.Tensor:
        """(N, C, H, W) standardised maps to `forward`'s output, averaged over 1 or 8 symmetries."""
        if symmetries not in (1, SYMMETRIES):
            raise InputError(f"symmetries is 1 or {SYMMETRIES}, not {symmetries}")
        total: torch.Tensor | None = None
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bf16):
            for number in range(symmetries):
                turned = apply_symmetry(inputs, number, self.transforms.views).contiguous(
                    memory_format=torch.channels_last
                )
                output = undo_symmetry(self(turned), number).float()
                total = output if total is None else total + output
        assert total is not None
        return total / symmetries

    def save(self, folder: Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write `model.safetensors` and `config.json`, each whole or not at all."""
        save_model(self, folder, self.architecture, self.transforms, extra)


def save_model(
    model: nn.Module,
    folder: Path,
    architecture: Architecture,
    transforms: Transforms,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write `model.safetensors` and `config.json`, each whole or not at all."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_bytes(folder / MODEL_FILE, save(state))
    content = {
        "format_version": FORMAT_VERSION,
        "architecture": asdict(architecture),
        "transforms": transforms.to_dict(),
        **(extra or {}),
    }
    write_json(folder / CONFIG_FILE, content)


def in_bfloat16(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights in half the room; what is in float64 (a `MassRegression`) needs its digits and keeps them."""
    return {
        name: (value.to(torch.bfloat16) if value.dtype == torch.float32 else value).contiguous()
        for name, value in state.items()
    }


def sigma_dex(log_sigma: torch.Tensor) -> torch.Tensor:
    """The network's second channel as a sigma in dex."""
    return log_sigma.clamp(*LOG_SIGMA_RANGE).exp()


def from_pretrained(source: str | Path, *, device: str = "cpu") -> MassModel:
    """A trained model from a run's folder, a Hub repository, or by the name of one that is shipped.

    Parameters
    ----------
    source
        A folder with `config.json` and `model.safetensors`; a shipped name, as ``unet-mini``; or
        ``organisation/name`` on the Hub.
    device
        Where to put it.

    Raises
    ------
    InputError
        Where there is no such model, or it is not one of this package's version.
    """
    folder = find_model(source)
    config = read_model_config(folder)
    try:
        architecture = Architecture.from_dict(config["architecture"])
        transforms = Transforms.from_dict(config["transforms"])
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / CONFIG_FILE} does not describe a model: {error}") from None
    if "posterior" in config:
        raise InputError(f"{folder} holds a model of posterior samples: python -m baselines.predict takes it")
    return load_weights(folder, lambda: MassModel(architecture, transforms), architecture.widest).to(device)


def load_weights(folder: Path, make: Callable[[], Module], widest: int) -> Module:
    """A model with the weights of a folder.

    Parameters
    ----------
    make
        Builds it by the folder's config.
    widest
        Channels of its widest layer.
    """
    path = folder / MODEL_FILE
    weights = read_weights(path)
    shapes = {name: value.shape for name, value in weights.items()}
    # The network is built only once it is known to be no larger than the file: first without memory.
    fits = widest <= max((size for shape in shapes.values() for size in shape), default=0)
    if fits:
        with torch.device("meta"):
            state = make().state_dict()
        fits = shapes == {name: value.shape for name, value in state.items()}
    if not fits:
        raise InputError(f"{path} holds the weights of another network than its {CONFIG_FILE} describes")
    model = make()
    model.load_state_dict(weights)
    return model.eval()


def read_model_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model's folder, its version checked."""
    path = folder / CONFIG_FILE
    try:
        data = path.read_bytes()
        config = json.loads(data) if len(data) <= MAX_CONFIG_BYTES else None
    except (OSError, ValueError, RecursionError):
        raise InputError(
            f"{path} is missing or not JSON: is {folder} the folder of a trained model?"
        ) from None
    if not isinstance(config, dict) or config.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path} is not of format version {FORMAT_VERSION}, the one this package reads")
    about = config.setdefault("inputs", {})
    facts = about.values() if isinstance(about, dict) else [about]
    if not all(isinstance(each, dict) and isinstance(each.get("units"), str) for each in facts):
        raise InputError(f"{path} does not describe a model: its inputs are not views with their units")
    return config


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file; InputError where it is not whole or holds what is not finite."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        weights: dict[str, torch.Tensor] = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({error})") from None
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{path}: the weights {name} are not finite")
    return weights


def find_model(source: str | Path) -> Path:
    """The folder of a model: a path, a shipped name or, downloaded, a Hub repository."""
    path = Path(source)
    if path.is_dir():
        return path
    shipped = Path(str(importlib.resources.files("baselines"))) / "pretrained"
    names = sorted(p.name for p in shipped.glob("*") if (p / CONFIG_FILE).is_file())
    if str(source) in names:
        return shipped / str(source)
    parts = str(source).split("/")
    if len(parts) == 2 and all(parts) and not str(source).startswith("."):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            return Path(snapshot_download(str(source), allow_patterns=[MODEL_FILE, CONFIG_FILE]))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
            raise InputError(f"no folder {source}, and the Hub gave no model of that name: {error}") from None
    raise InputError(
        f"no model {str(source)!r}: neither a folder nor one of the shipped {', '.join(names) or '-'}"
    )
