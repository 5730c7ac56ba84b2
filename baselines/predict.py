"""``python -m baselines.predict RUN --data STORE --out SUBMISSION``: any checkpoint, any store."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.command import find_store, run_command
from baselines.inputs import BLOCK_HALOS, Inputs
from baselines.machine import find_machine
from baselines.model import MassModel, find_model, from_pretrained, read_model_config
from baselines.networks import count_parameters
from baselines.settings import Parser
from benchmarks.submissions import write_submission
from three_hundred_maps.errors import InputError
from three_hundred_maps.progress import progress, set_quiet
from three_hundred_maps.store.arrays import read_split, root_attrs, store_digest

AUTHORS = ("The three_hundred_maps developers",)


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(_command, args)


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
    config = read_model_config(folder)
    name = options.name or str(config.get("name", folder.name))
    predict_split(
        model,
        find_store(options.data),
        options.out,
        name=name,
        split=options.split,
        task=options.task,
        symmetries=options.symmetries,
        trained_on=config.get("dataset"),
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
    inputs = Inputs.open(store, split, transforms.views)
    if (inputs.grid.pixels, inputs.grid.width) != (transforms.pixels, transforms.width):
        raise InputError(
            f"the model was trained on maps of {transforms.pixels} pixels over {transforms.width:g} R200c; "
            f"those of {store} have {inputs.grid.pixels} over {inputs.grid.width:g}"
        )
    masses, sigmas = [], []
    for maps in progress(inputs.blocks(), total=-(-len(inputs) // BLOCK_HALOS), desc="predicting"):
        mass, sigma = model.predict(maps.reshape(-1, *maps.shape[2:]), symmetries=symmetries, bf16=bf16)
        shape = (*maps.shape[:2], *mass.shape[1:])
        masses.append(mass.cpu().numpy().reshape(shape))
        if sigma is not None:
            sigmas.append(sigma.cpu().numpy().reshape(shape))
    return write_submission(
        out,
        name=name,
        authors=AUTHORS,
        task=task,
        track=transforms.views,
        kind="baseline",
        maps=np.concatenate(masses),
        mass_sigma=np.concatenate(sigmas) if sigmas else None,
        split=inputs.keys,
        dataset_name=inputs.name,
        dataset_digest=inputs.digest,
        parameters=count_parameters(model),
        overwrite=True,
        **extra,
    )


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


if __name__ == "__main__":
    main(sys.argv[1:])
