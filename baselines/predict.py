"""``python -m baselines.predict RUN --data STORE --out SUBMISSION``: any checkpoint, any store."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.command import find_store, run_command
from baselines.machine import find_machine
from baselines.model import MassModel, find_model, from_pretrained, read_model_config
from baselines.networks import count_parameters
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.progress import progress, set_quiet
from three_hundred_maps.store.arrays import iter_shards, root_attrs, split_length
from three_hundred_maps.torch_data import check_views

AUTHORS = ("The three_hundred_maps developers",)
BLOCK_HALOS = 4


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
    check_views(store, split, transforms.views)
    count, grid = split_length(store, split), MapGrid.from_attrs(root_attrs(store), store)
    if count == 0:
        raise InputError(f"{store} has no halos in its split {split}")
    if (grid.pixels, grid.width) != (transforms.pixels, transforms.width):
        raise InputError(
            f"the model was trained on maps of {transforms.pixels} pixels over {transforms.width:g} R200c; "
            f"those of {store} have {grid.pixels} over {grid.width:g}"
        )
    masses, sigmas = [], []
    bar = progress(total=count, desc="predicting", unit="halo")
    for arrays in iter_shards(store, split, transforms.views):
        maps = np.stack([arrays.maps[view] for view in transforms.views], axis=2)
        for block in np.split(maps, range(BLOCK_HALOS, len(maps), BLOCK_HALOS)):
            mass, sigma = model.predict(block.reshape(-1, *maps.shape[2:]), symmetries=symmetries, bf16=bf16)
            shape = (*block.shape[:2], *mass.shape[1:])
            masses.append(mass.cpu().numpy().reshape(shape))
            if sigma is not None:
                sigmas.append(sigma.cpu().numpy().reshape(shape))
            bar.update(len(block))
    bar.close()
    return submit(
        out,
        store,
        split=split,
        task=task,
        name=name,
        track=transforms.views,
        maps=np.concatenate(masses),
        mass_sigma=np.concatenate(sigmas) if sigmas else None,
        parameters=count_parameters(model),
        **extra,
    )


def submit(out: Path, store: Path, *, split: str = "test", task: str = "mass-map", **fields: Any) -> Path:
    """Write a baseline's submission for a split of a store."""
    # Here, for a machine that only trains has no pydantic.
    from benchmarks.submissions import write_submission

    return write_submission(
        out,
        authors=AUTHORS,
        task=task,
        kind="baseline",
        rows=(store, split),
        overwrite=True,
        **fields,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
