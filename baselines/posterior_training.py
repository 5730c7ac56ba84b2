"""Training of models that draw posterior samples: members, random field, flow, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from baselines.augment import Augment
from baselines.checkpoint import CHECKPOINT_FILE
from baselines.command import check_together, find_stores
from baselines.cross_fitting import held_out_moments, train_members
from baselines.data import ResidentBatches, Rows, load_rows
from baselines.flow_matching import FlowBatches, FlowLoss, FlowNetwork, flow_error
from baselines.machine import Machine, find_machine
from baselines.model import CONFIG_FILE, MassModel
from baselines.networks import count_parameters
from baselines.posterior_model import METHODS, PosteriorArchitecture, PosteriorModel
from baselines.predict import Predicted, predict_samples
from baselines.run_files import default_name, input_facts, make_reporter, training_facts, write_log
from baselines.settings import Parser, Settings, add_settings, merge
from baselines.training import Trainer
from baselines.unet import claimed, with_precision
from three_hundred_maps.errors import InputError
from three_hundred_maps.progress import progress, set_quiet
from three_hundred_maps.store.arrays import split_length
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.torch_data import check_views
from three_hundred_maps.torch_transforms import ScoreGrid

NETWORK = {"channels": 16, "poolings": 3, "shuffle": 2}
"""Of the members, unless said otherwise, where there is no GPU."""
CALIBRATION_MAPS, CALIBRATION_SAMPLES = 96, 8
"""Maps of the split validation, spread over its halos, and samples of each, that tell the spread."""


@dataclass(frozen=True)
class Options:
    """What a run of a method has beside the settings of its members.

    Parameters
    ----------
    folds
        Parts of the regions, and members.
    flow_steps, flow_lr
        Of the flow's training.
    heun_steps
        Of a sample.
    samples
        Of each map of the test split, in the submission; 0 for no submission.
    """

    folds: int = 3
    flow_steps: int = 1000
    flow_lr: float = 2e-3
    heun_steps: int = 4
    samples: int = 16


def add_options(parser: Parser) -> None:
    """The options that the commands share, with the settings of the members."""
    parser.add_argument(
        "--out", type=Path, default=None, help="the run's folder (default: runs/METHOD-VIEWS)"
    )
    parser.add_name("from the settings")
    parser.add_argument("--folds", type=int, default=3, help="parts of the regions, and networks [3]")
    parser.add_argument("--members", type=Path, default=None, help="take the networks of this run [its own]")
    parser.add_argument(
        "--samples", type=int, default=16, help="of each map of the test split; 0: no submission [16]"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    # The method has its own loss and calibration.
    add_settings(parser, cpu=NETWORK, without=("loss", "calibrate"))


def run(method: str, args: dict[str, object]) -> None:
    """Train a method by parsed arguments."""
    given = dict(args)
    if given.pop("quiet"):
        set_quiet(True)
    out, name, members = (given.pop(key) for key in ("out", "name", "members"))
    own = {key: given.pop(key) for key in list(given) if key in Options.__dataclass_fields__}
    options = Options(**own)  # type: ignore[arg-type]
    if options.folds < 2 or not (options.samples == 0 or 2 <= options.samples <= 64):
        raise InputError("--folds must be at least 2, --samples 2 to 64, or 0 for none")
    if min(options.flow_steps, options.heun_steps) < 1 or not 0 < options.flow_lr < math.inf:
        raise InputError("--flow-steps and --heun-steps must be at least 1, --flow-lr above 0 and finite")
    machine = find_machine(str(given.get("device") or "auto"))
    if machine.ranks > 1:
        raise InputError("a model of posterior samples is trained by one process")
    defaults = {key: value for key, value in NETWORK.items() if machine.preset == "cpu"}
    given = {**defaults, **{key: value for key, value in given.items() if value is not None}}
    settings = merge(given, config=None, preset=machine.preset)
    print(train_posterior(settings, method, options, out, machine, name=name, members=members))  # type: ignore[arg-type]


def train_posterior(
    settings: Settings,
    method: str,
    options: Options,
    out: Path | None,
    machine: Machine,
    *,
    name: str | None = None,
    members: Path | None = None,
) -> Path:
    """Train a method of `METHODS` into the folder ``out`` and sample the test split; returns the folder.

    Parameters
    ----------
    settings
        Of the members; a flow is trained by the same, but for steps and learning rate.
    members
        A run whose members are taken, of the same settings.

    Raises
    ------
    InputError
        For settings that do not fit the store, or members of other settings.
    """
    views = settings.view_list()
    if settings.target != TARGET:
        raise InputError(
            f"--target {settings.target}: samples are of the mass; python -m baselines.unet takes it"
        )
    stores = find_stores(settings.data)
    for store in stores:
        check_views(store, "train", views)
        if split_length(store, "train") == 0:
            raise InputError(f"{store} has no halos in its split train: nothing to train on")
    if split_length(stores[0], "validation") == 0:
        raise InputError(
            f"{stores[0]} has no halos in its split validation, by which the spread is calibrated"
        )
    check_together(stores, views)
    out = out or Path("runs") / f"{method}-{'-'.join(views)}"
    settings = with_precision(
        replace(settings, loss="gaussian" if method in ("deep", "white") else "l2"), out, machine
    )
    free = ("samples", "device", "threads", "data", "place", "test_symmetries")
    here = {"method": method, **asdict(options), **asdict(settings)}
    # Of others, a flow that is resumed was trained on other residuals.
    here["members"] = None if members is None else str(members)
    with claimed(out, here, free):
        if settings.threads:
            torch.set_num_threads(settings.threads)
        if members is not None and not (members / f"member-{options.folds - 1}" / CONFIG_FILE).is_file():
            raise InputError(
                f"--members {members}: no run with {options.folds} finished networks in member-K"
            )
        networks = train_members(settings, stores, members or out, machine, options.folds)
        if (
            networks[0].architecture.sigma != (settings.loss == "gaussian")
            or networks[0].transforms.views != views
        ):
            raise InputError(f"--members {members}: its networks have another loss or other views")
        model = _fit(settings, method, options, stores, out, machine, networks)
    offset, temperatures = calibrate_spread(model, stores[0], settings.test_symmetries)
    data = training_facts(stores)
    extra = {
        "views": list(views),
        "inputs": {view: input_facts(stores[0], view) for view in views},
        **data,
        "parameters": count_parameters(model),
        "name": name or f"{method}, {default_name(settings)}",
        "description": METHODS[method],
        "calibration": {"offset_dex": round(offset, 5), "temperatures": [round(t, 5) for t in temperatures]},
    }
    model.save(out, extra)
    if options.samples and split_length(stores[0], "test"):
        predict_samples(
            model, Predicted(stores[0]), out / "submission", name=str(extra["name"]), samples=options.samples,
            seed=settings.seed, symmetries=settings.test_symmetries, trained_on=data["dataset"],
            description=f"Samples: {METHODS[method]}.",
        )  # fmt: skip
    return out


def _fit(
    settings: Settings,
    method: str,
    options: Options,
    stores: Sequence[Path],
    out: Path,
    machine: Machine,
    members: list[MassModel],
) -> PosteriorModel:
    """The model of a method, round trained members: its field, and its flow."""
    device, transforms = machine.device, members[0].transforms
    sizes = {key: getattr(settings, key) for key in NETWORK} if method == "flow" else {}
    architecture = PosteriorArchitecture(method, len(members), steps=options.heun_steps, **sizes)
    model = PosteriorModel(architecture, members[0].architecture, transforms).to(device)
    for own, trained in zip(model.members, members, strict=True):
        own.load_state_dict(trained.state_dict())
    if method == "white":
        return model
    grid = ScoreGrid(transforms, device=device)
    augment = Augment(transforms, settings)
    raw = method == "flow" and augment.any
    rows = Rows.join(
        [load_rows(store, "train", transforms, grid, device=device, raw=raw) for store in stores]
    )
    mean, sigma = held_out_moments(members, rows, transforms, settings.test_symmetries, raw=raw)
    residual = rows.target - mean
    if sigma is not None:
        model.field.fit(residual / sigma, profile=False)
        return model
    model.field.fit(residual)
    if model.flow is not None:
        rows.target = torch.stack([residual / model.field.std, mean], dim=1)
        _train_flow(model, rows, settings, options, stores[0], out, machine, augment if raw else None)
    return model


def _train_flow(
    model: PosteriorModel,
    rows: Rows,
    settings: Settings,
    options: Options,
    store: Path,
    out: Path,
    machine: Machine,
    augment: Augment | None,
) -> None:
    """Train the flow of a model on rows with targets (N, 2, H, W), x_1 and the mean."""
    device, transforms = machine.device, model.transforms
    grid = ScoreGrid(transforms, device=device)
    validation = load_rows(
        store, "validation", transforms, grid, device=device, lines=settings.validation_lines
    )
    mean = torch.cat(
        [model.moments(part, settings.test_symmetries)[0].mean(0) for part in validation.inputs.split(512)]
    )
    validation.target = torch.stack([(validation.target - mean) / model.field.std, mean], dim=1)
    own = replace(settings, steps=options.flow_steps, lr=options.flow_lr)
    batches = ResidentBatches(
        rows, batch=own.batch, seed=own.seed, symmetries=True, device=device, augment=augment,
        views=transforms.views,
    )  # fmt: skip
    torch.manual_seed(own.seed)
    assert model.flow is not None
    sizes = {key: getattr(model.architecture, key) for key in NETWORK}
    network = FlowNetwork(transforms, **sizes).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = Trainer(
        model=network,
        batches=FlowBatches(batches, model.field),
        validation=validation,
        loss=FlowLoss(grid, own.outside_weight, model.field),
        settings=own,
        checkpoint=out / CHECKPOINT_FILE,
        samples_per_epoch=len(rows),
        score=flow_error,
    )
    state = trainer.run(on_validation=make_reporter(own, out, machine))
    write_log(out, state)
    model.flow.load_state_dict(trainer.best_model().state_dict())


@torch.no_grad()
def calibrate_spread(model: PosteriorModel, store: Path, symmetries: int) -> tuple[float, list[float]]:
    """Set a model's offset and temperatures by the split validation; returns them.

    The offset makes the mean of the residuals inside R200c 0, the temperatures the spread over skill 1: of
    the cylinder mass, and of what is left of the map.
    """
    device, transforms = model.temperature.device, model.transforms
    grid = ScoreGrid(transforms, device=device)
    lines = max(1, CALIBRATION_MAPS // split_length(store, "validation"))
    rows = load_rows(store, "validation", transforms, grid, device=device, lines=lines)
    n, inside = CALIBRATION_SAMPLES, grid.inside
    parts = progress(torch.arange(len(rows)).split(32), desc="calibration")
    drawn = torch.cat([model.draw(rows.inputs[part], part.tolist(), n, symmetries) for part in parts])
    mean = drawn.mean(1, keepdim=True)
    error = rows.target[:, None] - mean
    offset = error[:, 0, inside].mean()
    temperatures = []
    for true, own in zip(model.parts(error - offset, mean), model.parts(drawn - mean, mean), strict=True):
        expected, variance = (
            float(values.expand_as(rest)[..., inside].double().square().mean())
            for values, rest in ((true, error), (own, drawn))
        )
        # The samples differ from their own mean: n / (n - 1); it errs itself: (n + 1) / n.
        temperatures.append(math.sqrt(expected / (variance * (n + 1) / (n - 1))))
    model.offset.copy_(offset)
    model.temperature.copy_(torch.tensor(temperatures))
    return float(offset), temperatures
