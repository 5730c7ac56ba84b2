"""Settings of a training run: one YAML of defaults, a preset of the device, a file, the command line."""

from __future__ import annotations

import argparse
import importlib.resources
from collections.abc import Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import yaml

from baselines.networks import NORMS
from three_hundred_maps.errors import InputError

NETWORKS = ("unet", "residual", "encoder")
LOSSES = ("l2", "l1", "huber", "gaussian")


def _setting(help: str, choices: Sequence[str] | None = None, low: float | None = None) -> Any:
    return field(metadata={"help": help, "choices": choices, "low": low})


@dataclass(frozen=True)
class Settings:
    """All that decides what a run trains; `config.yaml` of a run holds every one of them."""

    views: str = _setting("the views the model sees, as sz,xray,star")
    data: str = _setting(
        "a store, or the name of a config (built and cached at first use); A+B trains on both, and takes "
        "statistics, validation and test from A"
    )
    seed: int = _setting("seed of weights, order and symmetries", low=0)
    network: str = _setting(
        "the paper's U-Net, one of residual blocks and attention, or one on a timm encoder", NETWORKS
    )
    encoder: str | None = _setting("a timm encoder, as resnet10t; sets the network to encoder")
    channels: int = _setting("channels of the first level (the paper: 32)", low=1)
    poolings: int = _setting("levels below the first (the paper: 4)", low=1)
    norm: str = _setting("normalisation; instance is fastMRI's and blind to amplitude", NORMS)
    drop: float = _setting("probability of dropping a channel after each convolution", low=0)
    radius: bool = _setting("give the network the distance of each pixel from the halo's centre")
    loss: str = _setting("of the residual of log10 mass; gaussian also learns its sigma", LOSSES)
    grid: str = _setting(
        "where the loss is taken: the benchmark's score grid, or raw pixels", ("score", "raw")
    )
    outside_weight: float = _setting("weight of pixels beyond R200c, which no score counts", low=0)
    mass_weight: float = _setting("weight of the mass inside R200c in the loss, beside the map's", low=0)
    calibrate: bool = _setting(
        "after training, make the mass inside R200c that of a regression on the views' radial profiles"
    )
    steps: int = _setting("number of steps", low=1)
    batch: int = _setting("maps in a step, over all processes", low=1)
    optimiser: str = _setting("adamw, or any optimiser of timm")
    lr: float = _setting("highest learning rate", low=0)
    weight_decay: float = _setting("weight decay of the convolutions", low=0)
    warmup: float = _setting("share of the steps in which the learning rate rises", low=0)
    clip: float = _setting("largest norm of the gradient; 0: no clipping", low=0)
    ema: float = _setting("decay of the averaged weights; 0: no averaging", low=0)
    symmetries: bool = _setting("train on the square's eight symmetries")
    validate_every: int = _setting("steps between validations and checkpoints", low=1)
    validation_lines: int = _setting("lines of sight of each halo used in a validation", low=1)
    patience: int = _setting("stop after so many validations without a better one; 0: never", low=0)
    test_symmetries: int = _setting("symmetries averaged in a prediction, 1 or 8", low=1)
    device: str = _setting("auto, cpu, cuda or cuda:N")
    place: str = _setting("where the training set lies", ("auto", "device", "ram", "stream"))
    precision: str = _setting(
        "of the network's arithmetic; auto: bf16 where the device multiplies in it", ("auto", "bf16", "fp32")
    )
    channels_last: bool = _setting("memory format of images")
    compile: bool = _setting("torch.compile the network")
    threads: int = _setting("threads of torch; 0: one a core", low=0)
    tensorboard: bool = _setting("also write the log for TensorBoard")

    def view_list(self) -> tuple[str, ...]:
        """The views, in the order of the channels."""
        return tuple(view.strip() for view in self.views.split(",") if view.strip())

    def to_yaml(self) -> str:
        """As a file that ``--config`` takes."""
        return yaml.safe_dump(asdict(self), sort_keys=False)


FREE = ("device", "place", "threads", "compile", "tensorboard", "data", "test_symmetries")
"""Settings that may differ when a run is taken up again: where it runs, not what it trains."""

_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "str | None": str, "bool": bool}


class Parser(argparse.ArgumentParser):
    """argparse whose errors are `InputError`."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """One option for each setting, as `--validate-every`; their defaults come from elsewhere."""
    group = parser.add_argument_group("settings (in brackets: the default, and that of a device's preset)")
    for item in fields(Settings):
        name = "--" + item.name.replace("_", "-")
        text = f"{meaning(item)} [{'; '.join(default_words(item.name))}]"
        if item.type == "bool":
            group.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            group.add_argument(name, type=str, default=None, metavar=item.name.upper(), help=text)


def meaning(item: Field[Any]) -> str:
    """What a setting is, with its choices where it has some."""
    choices = item.metadata["choices"]
    return item.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")


def default_words(name: str) -> list[str]:
    """The default of a setting and, named, that of each preset which has another: as ``32``, ``cpu: 8``."""
    values, presets = defaults()
    words = [_shown(values[name])]
    return words + [f"{k}: {_shown(preset[name])}" for k, preset in presets.items() if name in preset]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value}"


@cache
def defaults() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The settings and presets of `defaults.yaml`."""
    text = (importlib.resources.files("baselines") / "defaults.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return content["settings"], content["presets"]


def merge(options: dict[str, Any], *, config: Path | None, preset: str) -> Settings:
    """The defaults, under a preset (``cpu`` or ``gpu``), under a file, under the command line's options."""
    values, presets = defaults()
    if preset not in presets:
        raise InputError(f"no preset {preset!r}; there are {', '.join(presets)}")
    values = {**values, **presets[preset]}
    if config is not None:
        values |= read_config(config)
    values |= {name: value for name, value in options.items() if value is not None}
    if values["encoder"]:
        values["network"] = "encoder"
    return make_settings(values)


def read_config(path: Path) -> dict[str, Any]:
    """The settings that a YAML file names."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no file {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{path} is not a YAML of settings") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a YAML of settings")
    return content


def make_settings(values: dict[str, Any]) -> Settings:
    """Settings of the right types; InputError for an unknown, missing or impossible one."""
    known = {item.name: item for item in fields(Settings)}
    unknown = [name for name in values if name not in known]
    if unknown:
        raise InputError(f"unknown setting {', '.join(unknown)}; there are {', '.join(known)}")
    missing = [name for name in known if name not in values]
    if missing:
        raise InputError(f"no value for the setting {', '.join(missing)}")
    settings = Settings(**{name: _typed(known[name], value) for name, value in values.items()})
    if settings.network == "encoder" and not settings.encoder:
        raise InputError("the network encoder needs --encoder NAME, for instance resnet10t")
    if settings.network != "encoder" and settings.encoder:
        settings = replace(settings, network="encoder")
    if settings.test_symmetries not in (1, 8):
        raise InputError(f"--test-symmetries is 1 or 8, not {settings.test_symmetries}")
    if not 0 <= settings.ema < 1:
        raise InputError(f"--ema is a decay from 0 to below 1, not {settings.ema}")
    if not 0 <= settings.drop < 1:
        raise InputError(f"--drop is a probability below 1, not {settings.drop}")
    return settings


def _typed(item: Any, value: Any) -> Any:
    option = "--" + item.name.replace("_", "-")
    kind = _TYPES[item.type]
    if value is None:
        if "None" in item.type:
            return None
        raise InputError(f"{option} has no value")
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(f"{option} is true or false, not {value!r}")
        return value
    try:
        result = kind(str(value)) if kind is not str else str(value)
    except ValueError:
        raise InputError(
            f"{option} is {'a whole number' if kind is int else 'a number'}, not {value!r}"
        ) from None
    choices, low = item.metadata["choices"], item.metadata["low"]
    if choices and result not in choices:
        raise InputError(f"{option} is one of {', '.join(choices)}, not {value!r}")
    if low is not None and not result >= low:
        raise InputError(f"{option} must be at least {low}, not {value}")
    return result
