"""``python -m baselines.unet``: train a U-Net on a store and write its prediction of the test split.

RUN holds config.yaml (every setting), config.json and model.safetensors (the model), log.csv, curve.png,
submission/, README.md (the model card) and, until it is deleted, the checkpoint to resume from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from baselines.augment import Augment
from baselines.calibration import calibrate, check_validation
from baselines.checkpoint import CHECKPOINT_FILE
from baselines.command import check_together, command_line, find_stores, new_folder
from baselines.data import ResidentBatches, Rows, StreamBatches, load_rows
from baselines.losses import MassLoss
from baselines.machine import Machine, best_precision, choose_place, find_machine, memory_advice
from baselines.model import Architecture, MassModel
from baselines.run_files import finish, make_reporter, write_log
from baselines.settings import FREE, Parser, Settings, add_settings, merge, read_config
from baselines.training import Batches, Progress, Trainer, compile_failed
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import sweep_partial, write_bytes
from three_hundred_maps.progress import set_quiet
from three_hundred_maps.store.arrays import open_group, split_length
from three_hundred_maps.store.lock import hold
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.torch_data import ScoreGrid, StreamDataset, Transforms, check_views

CONFIG = "config.yaml"

Keep = Callable[[np.ndarray], np.ndarray]
"""(row,) regions -> (row,) whether a row is trained on."""


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m baselines.unet", description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="the run's folder (default: runs/VIEWS-SEED)")
    parser.add_argument(
        "--config", type=Path, default=None, help="a YAML of settings, as a run's config.yaml"
    )
    parser.add_argument("--preset", default=None, help="cpu or gpu (default: by the device)")
    parser.add_argument(
        "--plain", action="store_true", help="the defaults of a model for one simulation alone"
    )
    parser.add_name("from the settings")
    parser.add_argument("--no-submission", action="store_true", help="train only")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    add_settings(parser)
    options = vars(parser.parse_args(args))
    if options.pop("quiet"):
        set_quiet(True)
    out, config, preset = options.pop("out"), options.pop("config"), options.pop("preset")
    name, no_submission = options.pop("name"), options.pop("no_submission")
    plain = options.pop("plain")
    named = options["device"] or (read_config(config).get("device") if config else None) or "auto"
    machine = find_machine(str(named))
    settings = merge(options, config=config, preset=preset or machine.preset, plain=plain)
    try:
        run = train(settings, out, machine=machine, name=name, submission=not no_submission)
        if machine.rank == 0:
            print(run.folder)
    finally:
        machine.leave()


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the model with the lowest validation error, and where training ended."""

    folder: Path
    model: MassModel
    progress: Progress


def train(
    settings: Settings,
    out: Path | None = None,
    *,
    machine: Machine | None = None,
    name: str | None = None,
    submission: bool = True,
    stop_at: int | None = None,
) -> Run:
    """Train by ``settings`` into the folder ``out``; resumes a run of the same settings that was stopped.

    Parameters
    ----------
    out
        New, empty, or of an unfinished run with the same settings.
    name
        On the leaderboard.
    submission
        Whether to predict the test split into ``out/submission``.
    stop_at
        Stop after so many steps, as a killed run would, with a checkpoint to resume from.

    Raises
    ------
    InputError
        For settings that do not fit the store, too little memory, or a loss that is no longer finite.
    """
    machine = machine or find_machine(settings.device)
    views = settings.view_list()
    store, *more = find_stores(settings.data)
    for each in (store, *more):
        check_views(each, "train", views, settings.target)
        if split_length(each, "train") == 0:
            raise InputError(f"{each} has no halos in its split train: nothing to train on")
    if settings.target != TARGET and (settings.calibrate or settings.noise == "fresh"):
        raise InputError(f"--target {settings.target}: --calibrate and --noise fresh are of the mass alone")
    if settings.calibrate:
        # Before hours of training, not after them.
        check_validation(store)
    check_together([store, *more], views)
    out = out or Path("runs") / f"{'-'.join(views)}-{settings.seed}"
    settings = with_precision(settings, out, machine)
    with claimed(out, asdict(settings)) if machine.rank == 0 else nullcontext():
        machine.barrier()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        try:
            trainer = make_trainer(settings, store, out / CHECKPOINT_FILE, machine, more)
            state = trainer.run(stop_at=stop_at, on_validation=make_reporter(settings, out, machine))
        except torch.OutOfMemoryError:
            raise InputError(memory_advice(settings, machine)) from None
        except ValueError as error:
            if "Expected more than 1" not in str(error):
                raise
            raise InputError(
                f"--poolings {settings.poolings} leaves one pixel, which --norm {settings.norm} cannot make "
                f"normal at --batch {settings.batch}: give fewer poolings"
            ) from None
        except RuntimeError as error:
            if "DefaultCPUAllocator" in str(error):
                # Of a CPU, torch raises no class of its own.
                raise InputError(memory_advice(settings, machine)) from None
            if not (settings.compile and compile_failed(error)):
                raise
            why = str(error).strip().partition("\n")[0]
            raise InputError(f"--compile: torch cannot compile here ({why}); use --no-compile") from error
    model = trainer.best_model()
    if machine.rank == 0:
        write_log(out, state)
        if state.step >= settings.steps or state.stopped_early:
            # The checkpoint holds the weights before it: a run that was killed here calibrates them anew.
            calibration = None
            if settings.calibrate:
                calibration = calibrate(model, [store, *more], symmetries=settings.test_symmetries)
            finish(
                settings,
                store,
                out,
                model,
                state,
                more,
                name=name,
                submission=submission,
                calibration=calibration,
            )
    machine.barrier()
    return Run(out, model, state)


def make_trainer(
    settings: Settings,
    store: Path,
    checkpoint: Path,
    machine: Machine,
    more: Sequence[Path] = (),
    keep: Keep | None = None,
) -> Trainer:
    """Model, data and optimiser of a run, at its first step.

    ``more`` stores are trained on as well; of each split train, the rows that ``keep`` tells by region.
    """
    device = machine.device
    transforms = Transforms.from_store(
        store,
        settings.view_list(),
        scaling=settings.scaling,
        robust=settings.robust(),
        target=settings.target,
    )
    score_grid = ScoreGrid(transforms, settings.grid, device)
    lines = min(settings.validation_lines, _lines(store))
    validation = load_rows(store, "validation", transforms, score_grid, device=device, lines=lines)
    batches, rows = make_batches(settings, [store, *more], transforms, score_grid, machine, keep)
    torch.manual_seed(settings.seed)
    names = ("network", "encoder", "channels", "poolings", "norm", "drop", "radius", "shuffle")
    same = {name: getattr(settings, name) for name in names}
    model = MassModel(Architecture(**same, sigma=settings.loss == "gaussian"), transforms).to(device)
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Trainer(
        model=model,
        batches=batches,
        validation=validation,
        loss=MassLoss(score_grid, settings.loss, settings.outside_weight, settings.mass_weight),
        settings=settings,
        checkpoint=checkpoint,
        samples_per_epoch=rows,
        rank=machine.rank,
        ranks=machine.ranks,
    )


def make_batches(
    settings: Settings,
    stores: Sequence[Path],
    transforms: Transforms,
    score_grid: ScoreGrid,
    machine: Machine,
    keep: Keep | None = None,
) -> tuple[Batches, int]:
    """The training batches, where they fit best, and the number of rows of an epoch."""
    device, store = machine.device, stores[0]
    drawn = Augment(transforms, settings)
    augment = drawn if drawn.any else None
    samples = sum(split_length(each, "train") * _lines(each) for each in stores)
    place = choose_place(settings, machine, samples, transforms.pixels, joined=len(stores) > 1)
    if place == "stream":
        if settings.noise == "fresh":
            raise InputError("--noise fresh: the training set does not fit into memory; train on a subset")
        if keep is not None:
            raise InputError("cross-fitting needs the training set in memory, and it does not fit")
        if len(stores) > 1:
            raise InputError(
                f"--data {settings.data}: several stores are trained on from memory alone, and these do not "
                f"fit: make them smaller with three-hundred-maps subset"
            )
        dataset = StreamDataset(
            store,
            "train",
            transforms.views,
            target=transforms.target_view,
            seed=settings.seed,
            rank=machine.rank,
            ranks=machine.ranks,
        )
        workers = 0 if device.type == "cpu" else 8
        return (
            StreamBatches(
                dataset,
                transforms,
                score_grid,
                batch=settings.batch,
                symmetries=settings.symmetries,
                device=device,
                workers=workers,
                augment=augment,
            ),
            samples,
        )
    # bfloat16 is what the network computes in: on a GPU the set is kept so, in half the memory.
    dtype = torch.bfloat16 if settings.precision == "bf16" and device.type == "cuda" else torch.float32
    where = device if place == "device" else torch.device("cpu")
    grid = score_grid if place == "device" else ScoreGrid(transforms, settings.grid, where)
    noise = None
    if settings.noise == "fresh":
        if len(stores) > 1:
            raise InputError("--noise fresh: of one store alone")
        # Here, for observing needs more than training does.
        from baselines.fresh import load_expected

        augment, ideal = drawn, settings.ideal
        rows, noise = load_expected(store, ideal, transforms, grid, device=where, seed=settings.seed)
    else:
        rows = Rows.join(
            [
                load_rows(each, "train", transforms, grid, device=where, dtype=dtype, raw=augment is not None)
                for each in stores
            ]
        )
    if keep is not None:
        rows = rows.take(keep(rows.region))
    batches = ResidentBatches(
        rows,
        batch=settings.batch,
        seed=settings.seed,
        symmetries=settings.symmetries,
        device=device,
        rank=machine.rank,
        ranks=machine.ranks,
        augment=augment,
        noise=noise,
        views=transforms.views,
    )
    return batches, len(rows)


def _lines(store: Path) -> int:
    return int(open_group(store)["train"]["los_vector"].shape[0])


def with_precision(settings: Settings, out: Path, machine: Machine) -> Settings:
    """``auto`` made definite: as a resumed run began, else what suits the device."""
    if settings.precision != "auto":
        return settings
    there = read_config(out / CONFIG).get("precision") if (out / CONFIG).is_file() else None
    return replace(settings, precision=str(there or best_precision(machine.device)))


@contextmanager
def claimed(out: Path, here: Mapping[str, Any], free: Collection[str] = FREE) -> Iterator[None]:
    """Hold a folder for one run: a new one, or one to resume, whose config.yaml says the same.

    One that ends with nothing written leaves the folder free for other settings.

    Parameters
    ----------
    here
        The settings of the run; those that are ``free`` may be others when it is resumed.
    """
    path = new_folder(out, ours=CONFIG) / CONFIG
    new = not path.is_file()
    there = dict(here) if new else read_config(path)
    other = [
        f"{k} {there.get(k)!r} there, {value!r} here"
        for k, value in here.items()
        if k not in free and there.get(k) != value
    ]
    if other:
        raise InputError(
            f"--out {out} holds a run with other settings ({'; '.join(other)}); give another folder"
        )
    try:
        with hold(out / ".lock", f"--out {out} is being trained by another process: wait for it, or stop it"):
            if new:
                write_bytes(path, yaml.safe_dump(dict(here), sort_keys=False).encode())
            sweep_partial(out)
            yield
    finally:
        if new and list(out.iterdir()) == [path]:
            path.unlink()


if __name__ == "__main__":
    main()
