"""``python -m baselines.predict RUN --data STORE --out SUBMISSION``: any checkpoint, any store."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.command import find_store, run_command
from baselines.machine import find_machine
from baselines.model import MassModel, find_model, from_pretrained, read_model_config
from baselines.networks import count_parameters
from baselines.settings import Parser
from benchmarks.submissions import write_submission
from three_hundred_maps.errors import InputError
from three_hundred_maps.progress import progress, set_quiet
from three_hundred_maps.store.arrays import SplitArrays, read_split, root_attrs, split_length, store_digest
from three_hundred_maps.torch_data import check_views, grid_of

AUTHORS = ("The three_hundred_maps developers",)
BLOCK_HALOS = 4


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(_command, args, "python -m baselines.predict")


def _command(args: list[str]) -> None:
    parser = Parser(prog="python -m baselines.predict", description="Predict a split of a store.")
    parser.add_argument("run", help="a run's folder, a shipped model's name, or a Hub repository")
    parser.add_argument("--data", required=True, help="a store, or the name of a config")
    parser.add_argument("--out", type=Path, required=True, help="the submission's folder")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"))
    parser.add_argument("--name", default=None, help="name on the leaderboard (default: the model's)")
    parser.add_argument("--task", default="mass-map", help="the benchmark's task")
    parser.add_argument("--symmetries", type=int, default=8, choices=(1, 8), help="symmetries averaged")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args(args)
    if options.quiet:
        set_quiet(True)
    machine = find_machine(options.device)
    folder = find_model(options.run)
    model = from_pretrained(folder, device=str(machine.device))
    name = options.name or str(read_model_config(folder).get("name", folder.name))
    predict_split(
        model,
        find_store(options.data),
        options.out,
        name=name,
        split=options.split,
        task=options.task,
        symmetries=options.symmetries,
    )
    print(options.out)


def predict_split(
    model: MassModel,
    store: Path,
    out: Path,
    *,
    name: str,
    split: str = "test",
    task: str = "mass-map",
    symmetries: int = 8,
    bf16: bool = False,
    **extra: str | None,
) -> Path:
    """Write the submission of a model for a split of a store.

    Parameters
    ----------
    symmetries, bf16
        As `baselines.model.MassModel.predict`.
    extra
        Optional fields of the submission.

    Raises
    ------
    InputError
        Where the store lacks a view the model needs or its maps lie on another grid.
    """
    transforms = model.transforms
    check_views(store, split, transforms.views)
    grid = grid_of(store)
    if grid != (transforms.pixels, transforms.width):
        raise InputError(
            f"the model was trained on maps of {transforms.pixels} pixels over {transforms.width:g} R200c; "
            f"those of {store} have {grid[0]} over {grid[1]:g}"
        )
    halos = split_length(store, split)
    if halos == 0:
        raise InputError(f"{store} has no halos in its split {split}")
    sigma = model.architecture.sigma
    masses, sigmas = [], []
    for arrays in progress(
        _blocks(store, split, transforms.views, halos), total=-(-halos // BLOCK_HALOS), desc="predicting"
    ):
        mass, error = predict_maps(model, arrays, symmetries=symmetries, bf16=bf16)
        masses.append(mass)
        if error is not None:
            sigmas.append(error)
    return submit(
        out,
        store,
        split=split,
        name=name,
        task=task,
        track=transforms.views,
        maps=np.concatenate(masses),
        mass_sigma=np.concatenate(sigmas) if sigma else None,
        parameters=count_parameters(model),
        **extra,
    )


def predict_maps(
    model: MassModel, arrays: SplitArrays, *, symmetries: int, bf16: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """(halo, los, y, x) masses in Msun kpc-2, and sigmas in dex or None, of the halos in ``arrays``."""
    raw = np.stack([arrays.maps[view] for view in model.transforms.views], axis=2)
    shape = raw.shape[:2]
    mass, sigma = model.predict(
        torch.from_numpy(raw.reshape(-1, *raw.shape[2:])), symmetries=symmetries, bf16=bf16
    )
    size = (*shape, *mass.shape[1:])
    return mass.cpu().numpy().reshape(size), None if sigma is None else sigma.cpu().numpy().reshape(size)


def submit(out: Path, store: Path, *, split: str = "test", task: str = "mass-map", **fields: Any) -> Path:
    """Write a baseline's submission with the digest of the store it was made for."""
    return write_submission(
        out,
        authors=AUTHORS,
        task=task,
        kind="baseline",
        split=read_split(store, split, []),
        dataset_name=str(root_attrs(store)["name"]),
        dataset_digest=store_digest(store),
        overwrite=True,
        **fields,
    )


def _blocks(store: Path, split: str, views: Sequence[str], halos: int) -> Iterator[SplitArrays]:
    for first in range(0, halos, BLOCK_HALOS):
        yield read_split(store, split, list(views), slice(first, min(first + BLOCK_HALOS, halos)))


if __name__ == "__main__":
    main(sys.argv[1:])
