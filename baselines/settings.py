"""Settings of a training run: defaults, under a preset of the device, a file, and the command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Collection, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import yaml

from baselines.model import NETWORKS
from baselines.networks import NORMS
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import parse_views
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.torch_inputs import Robust
from three_hundred_maps.torch_transforms import SCALINGS

LOSSES = ("l2", "l1", "huber", "gaussian")


def _setting(
    default: Any,
    help: str,
    choices: Collection[Any] = (),
    low: float | None = None,
    below: float | None = None,
) -> Any:
    """A field: what it is, its choices, its least value, and what it must stay below."""
    return field(default=default, metadata={"help": help, "choices": choices, "low": low, "below": below})


@dataclass(frozen=True)
class Settings:
    """All that decides what a run trains; `config.yaml` of a run holds every one of them."""

    views: str = _setting("sz,xray,star", "the views the model sees, as sz,xray,star")
    target: str = _setting(
        TARGET, "the surface density that is predicted: the mass, or another view of the store, as gas"
    )
    data: str = _setting(
        "mini",
        "a store, or the name of a config (built and cached at first use); A+B trains on both, and takes "
        "statistics, validation and test from A",
    )
    seed: int = _setting(0, "seed of weights, order and symmetries", low=0, below=2**32)
    network: str = _setting(
        "unet",
        "the paper's U-Net, one of residual blocks and attention, of NAFNet's or ConvNeXt's blocks, or one "
        "on a timm encoder",
        NETWORKS,
    )
    encoder: str | None = _setting(None, "a timm encoder, as resnet10t; sets the network to encoder")
    channels: int = _setting(32, "channels of the first level (the paper: 32)", low=1)
    poolings: int = _setting(4, "levels below the first (the paper: 4)", low=1)
    shuffle: int = _setting(
        1, "pixels a side that are folded into channels first: with 2 a step costs a third", low=1, below=9
    )
    norm: str = _setting(
        "batch", "normalisation; instance is fastMRI's, and takes each map's mean amplitude away", NORMS
    )
    drop: float = _setting(0.0, "probability of dropping a channel after each convolution", low=0, below=1)
    radius: bool = _setting(True, "give the network the distance of each pixel from the halo's centre")
    loss: str = _setting("l2", "of the residual of log10 mass; gaussian also learns its sigma", LOSSES)
    grid: str = _setting(
        "score", "where the loss is taken: the benchmark's score grid, or raw pixels", ("score", "raw")
    )
    outside_weight: float = _setting(0.1, "weight of pixels beyond R200c, which no score counts", low=0)
    mass_weight: float = _setting(0.0, "weight of the mass inside R200c in the loss, beside the map's", low=0)
    calibrate: bool = _setting(
        False, "after training, make the mass inside R200c that of a regression on the views' radial profiles"
    )
    scaling: str = _setting(
        "fixed_mass",
        "how E(z) brings maps to redshift 0: to the halo of the same mass, or of the same surface density",
        SCALINGS,
    )
    smooth_stars: float = _setting(
        0.1, "FWHM in R200c that the star view is smoothed by; 0: not", low=0, below=2
    )
    median_xray: bool = _setting(True, "replace each X-ray pixel by the median of the 3 x 3 around it")
    saturate: bool = _setting(True, "let inputs beyond 0.1-99.9 % of the training range grow slowly")
    thin_stars: bool = _setting(True, "in training, redraw star maps in quanta of random size")
    calibration_error: float = _setting(
        0.1, "in training, error in dex of a factor that all pixels of a view share", low=0
    )
    noise: str = _setting(
        "stored",
        "of an observed store: as it is, or drawn anew in every step from the ideal store it was made of",
        ("stored", "fresh"),
    )
    ideal: str | None = _setting(None, "that ideal store; by the name that the observed one gives it")
    view_dropout: float = _setting(0.15, "in training, probability of withholding a view", low=0, below=1)
    steps: int = _setting(10000, "number of steps", low=1)
    batch: int = _setting(256, "maps in a step, over all processes", low=1)
    optimiser: str = _setting("adamw", "adamw, or any optimiser of timm")
    lr: float = _setting(0.002, "highest learning rate", low=0)
    weight_decay: float = _setting(0.05, "weight decay of the convolutions", low=0)
    warmup: float = _setting(0.05, "share of the steps in which the learning rate rises", low=0, below=1)
    clip: float = _setting(1.0, "largest norm of the gradient; 0: no clipping", low=0)
    ema: float = _setting(0.999, "decay of the averaged weights; 0: no averaging", low=0, below=1)
    symmetries: bool = _setting(True, "train on the square's eight symmetries")
    validate_every: int = _setting(500, "steps between validations and checkpoints", low=1)
    validation_lines: int = _setting(29, "lines of sight of each halo used in a validation", low=1)
    patience: int = _setting(0, "stop after so many validations without a better one; 0: never", low=0)
    test_symmetries: int = _setting(8, "symmetries averaged in a prediction", (1, 8))
    device: str = _setting("auto", "auto, cpu, cuda or cuda:N")
    place: str = _setting("auto", "where the training set lies", ("auto", "device", "ram", "stream"))
    precision: str = _setting(
        "auto",
        "of the network's arithmetic; auto: bf16 where the device multiplies in it",
        ("auto", "bf16", "fp32"),
    )
    channels_last: bool = _setting(True, "memory format of images")
    compile: bool = _setting(False, "torch.compile the network")
    threads: int = _setting(0, "threads of torch; 0: one a core", low=0)
    tensorboard: bool = _setting(False, "also write the log for TensorBoard")

    def robust(self) -> Robust:
        """What is applied to the inputs, in training and prediction."""
        return Robust(self.smooth_stars, self.median_xray, self.saturate)

    def view_list(self) -> tuple[str, ...]:
        """The views, in the order of the channels."""
        return parse_views(self.views)

    def to_yaml(self) -> str:
        """As a file that ``--config`` takes."""
        return yaml.safe_dump(asdict(self), sort_keys=False)


PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {
        "channels": 8, "shuffle": 2, "batch": 32, "steps": 500, "lr": 0.004, "ema": 0.99,
        "validate_every": 100, "validation_lines": 8,
    },
    "gpu": {"compile": True},
}  # fmt: skip
"""What a device has instead of the defaults."""

PLAIN: dict[str, Any] = {
    "smooth_stars": 0.0, "median_xray": False, "saturate": False, "thin_stars": False,
    "calibration_error": 0.0, "view_dropout": 0.0,
}  # fmt: skip
"""``--plain``: none of what makes a model hold on other simulations."""

FREE = ("ideal", "device", "place", "threads", "compile", "tensorboard", "data", "test_symmetries")
"""Settings that may differ when a run is resumed: where it runs, not what it trains."""


class Parser(argparse.ArgumentParser):
    """argparse whose errors are `InputError`."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")

    def add_name(self, default: str) -> None:
        """``--name``, checked before hours of work and not after them."""
        self.add_argument("--name", type=_board_name, help=f"name on the leaderboard (default: {default})")


def _board_name(text: str) -> str:
    """A submission's name as the benchmark takes it; a machine that only trains may have no pydantic."""
    if find_spec("pydantic") is not None:
        from benchmarks.manifest import parse_manifest

        content = {"name": text, "authors": ["-"], "task": "mass-map", "track": "none"}
        try:
            parse_manifest(content)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error).partition(": ")[2]) from None
    return text


def add_settings(
    parser: argparse.ArgumentParser,
    *,
    cpu: Mapping[str, Any] = MappingProxyType({}),
    without: Collection[str] = (),
) -> None:
    """One option for each setting, as `--validate-every`; one that is not given is None.

    Parameters
    ----------
    cpu
        Defaults of the command without a GPU, other than its preset's.
    without
        Settings that the command chooses itself.
    """
    group = parser.add_argument_group("settings (in brackets: the default, and that of a device's preset)")
    for item in fields(Settings):
        if item.name in without:
            continue
        # argparse fills in %(...)s, so a percent sign is written twice.
        text = f"{meaning(item)} [{'; '.join(default_words(item.name, cpu))}]".replace("%", "%%")
        if item.type == "bool":
            group.add_argument(_option(item.name), action=argparse.BooleanOptionalAction, help=text)
        else:
            group.add_argument(_option(item.name), metavar=item.name.upper(), help=text)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def meaning(item: Field[Any]) -> str:
    """What a setting is, with its choices where it has some."""
    choices = item.metadata["choices"]
    return item.metadata["help"] + (f" ({', '.join(map(str, choices))})" if choices else "")


def default_words(name: str, cpu: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """The default of a setting and, named, that of each preset which has another: as ``32``, ``cpu: 8``.

    ``cpu`` stands above the preset of that name.
    """
    words = {None: "none", True: "yes", False: "no"}

    def shown(value: Any) -> str:
        return words[value] if value is None or isinstance(value, bool) else f"{value}"

    known = {**PRESETS, "cpu": {**PRESETS["cpu"], **cpu}}
    presets = [f"{device}: {shown(preset[name])}" for device, preset in known.items() if name in preset]
    return [shown(getattr(Settings, name)), *presets]


def merge(options: Mapping[str, Any], *, config: Path | None, preset: str, plain: bool = False) -> Settings:
    """The defaults, under a preset (``cpu`` or ``gpu``), under a file, under the command line's options.

    With ``plain``, `PLAIN` stands above the preset.
    """
    if preset not in PRESETS:
        raise InputError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    given = {name: value for name, value in options.items() if value is not None}
    defaults = {**PRESETS[preset], **(PLAIN if plain else {})}
    return make_settings({**defaults, **(read_config(config) if config else {}), **given})


def read_config(path: Path) -> dict[str, Any]:
    """The settings that a YAML file names."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no file {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a YAML of settings")
    return content


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Settings of the right types, the rest by default; InputError for an unknown or impossible one."""
    known = {item.name: item for item in fields(Settings)}
    unknown = [str(name) for name in values if name not in known]
    if unknown:
        raise InputError(f"unknown setting {', '.join(unknown)}; there are {', '.join(known)}")
    settings = Settings(**{name: _typed(known[name], value) for name, value in values.items()})
    if settings.network == "encoder" and not settings.encoder:
        raise InputError("the network encoder needs --encoder NAME, for instance resnet10t")
    if settings.ideal and settings.noise != "fresh":
        raise InputError("--ideal is of --noise fresh: give both, or neither")
    if settings.encoder and settings.network not in (Settings.network, "encoder"):
        raise InputError(f"--encoder {settings.encoder} is another network than {settings.network}: give one")
    return replace(settings, network="encoder") if settings.encoder else settings


def _typed(item: Field[Any], value: Any) -> Any:
    """A value of a setting's own type, within its bounds."""
    option, kind = _option(item.name), type(item.default)
    choices, low, below = (item.metadata[name] for name in ("choices", "low", "below"))
    if value is None and item.default is not None:
        raise InputError(f"{option} has no value")
    if kind is bool and not isinstance(value, bool):
        raise InputError(f"{option} is true or false, not {value!r}")
    if kind in (int, float):
        try:
            value = kind(str(value))
        except ValueError:
            number = "a whole number" if kind is int else "a number"
            raise InputError(f"{option} is {number}, not {value!r}") from None
        if not math.isfinite(value):
            raise InputError(f"{option} must be finite, not {value}")
    elif value is not None and kind is not bool and not isinstance(value, str):
        raise InputError(f"{option} is a text, as {item.default or 'NAME'}, not {value!r}")
    if choices and value not in choices:
        raise InputError(f"{option} is one of {', '.join(map(str, choices))}, not {str(value)!r}")
    if low is not None and not value >= low:
        raise InputError(f"{option} must be at least {low}, not {value}")
    if below is not None and not value < below:
        raise InputError(f"{option} must be below {below}, not {value}")
    return value
