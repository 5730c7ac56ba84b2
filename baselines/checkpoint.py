"""Checkpoints: one safetensors file, whole or absent, from which a run goes on to the same result."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from baselines.settings import FREE
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes

if TYPE_CHECKING:
    from baselines.training import Trainer

CHECKPOINT_FILE = "checkpoint.safetensors"


def save_checkpoint(trainer: Trainer) -> None:
    """Write all that a run needs to go on: weights, averages, best weights, optimiser, where it stands."""
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}
    for prefix, state in (
        ("model", trainer.model.state_dict()),
        ("average", trainer.average.state_dict()),
        ("best", trainer.best or {}),
    ):
        tensors |= {f"{prefix}.{name}": value for name, value in state.items()}
    optimiser = trainer.optimiser.state_dict()
    scalars: dict[str, Any] = {}
    for number, values in optimiser["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimiser.{number}.{name}"] = value
            else:
                scalars[f"{number}.{name}"] = value
    # Some optimisers of timm count their steps in the groups; all else there follows from the settings.
    for number, group in enumerate(optimiser["param_groups"]):
        for name, value in group.items():
            if isinstance(value, torch.Tensor):
                tensors[f"group.{number}.{name}"] = value
    content = {
        "settings": _what_trains(asdict(trainer.settings)),
        "statistics_digest": trainer.model.transforms.statistics_digest,
        "progress": _finite(asdict(trainer.state)),
        "optimiser_scalars": scalars,
    }
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_bytes(trainer.checkpoint, save(plain, metadata={"content": json.dumps(content)}))


def load_checkpoint(trainer: Trainer) -> None:
    """Put ``trainer`` where its checkpoint was written; InputError where that is of another run."""
    from baselines.training import Progress

    tensors, content = read_checkpoint(trainer.checkpoint)
    ours = _what_trains(asdict(trainer.settings))
    other = [name for name in ours if content["settings"].get(name) != ours[name]]
    if other:
        changes = "; ".join(f"{n} {content['settings'].get(n)!r} there, {ours[n]!r} here" for n in other)
        raise InputError(
            f"{trainer.checkpoint} is of a run with other settings ({changes}); choose another --out"
        )
    if content["statistics_digest"] != trainer.model.transforms.statistics_digest:
        raise InputError(
            f"{trainer.checkpoint} was trained with other statistics than this store has; give another --out"
        )
    trainer.model.load_state_dict(_part(tensors, "model"))
    trainer.average.load_state_dict(_part(tensors, "average"))
    best = _part(tensors, "best")
    trainer.best = {name: value.to(trainer.device) for name, value in best.items()} or None
    state: dict[int, dict[str, Any]] = {}
    for name, value in (_part(tensors, "optimiser") | content["optimiser_scalars"]).items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    groups = trainer.optimiser.state_dict()["param_groups"]
    for name, value in _part(tensors, "group").items():
        number, key = name.split(".", 1)
        groups[int(number)][key] = value
    trainer.optimiser.load_state_dict({"state": state, "param_groups": groups})
    for parameter, values in trainer.optimiser.state.items():
        for key, value in values.items():
            # A fused step walks through memory: moments must lie there as their weights do.
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                values[key] = torch.empty_like(parameter).copy_(value)
    trainer.state.__dict__.update(Progress(**_infinite(content["progress"])).__dict__)


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and what else a checkpoint holds; InputError where the file is not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            return tensors, json.loads((stream.metadata() or {})["content"])
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path} is not a whole checkpoint ({error}); delete it to start the run anew"
        ) from None


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, Any]:
    start = prefix + "."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}


def _what_trains(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in FREE}


def _finite(progress: dict[str, Any]) -> dict[str, Any]:
    # JSON knows no infinity: no validation yet is written as null.
    best = progress["best_rms_dex"]
    return progress | {"best_rms_dex": best if best < float("inf") else None}


def _infinite(progress: dict[str, Any]) -> dict[str, Any]:
    best = progress["best_rms_dex"]
    return progress | {"best_rms_dex": float("inf") if best is None else best}
