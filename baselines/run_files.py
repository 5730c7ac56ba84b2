"""What a run leaves behind: its log, its model, its learning curve, its prediction and its card."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from baselines.calibration import Calibration
from baselines.card import write_card
from baselines.machine import Machine
from baselines.model import MassModel
from baselines.networks import count_parameters
from baselines.predict import Predicted, predict_split
from baselines.settings import Settings
from baselines.training import Progress
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes
from three_hundred_maps.plot import new_figure, png
from three_hundred_maps.store.arrays import open_group, read_split, root_attrs, split_length

LOG, CURVE = "log.csv", "curve.png"
COLUMNS = ("step", "epoch", "samples", "learning_rate", "train_loss", "validation_rms_dex", "seconds")


def make_reporter(settings: Settings, out: Path, machine: Machine) -> Callable[[Progress], None]:
    """What is done after each validation: the log as CSV and, if asked for, as TensorBoard's events."""
    if not settings.tensorboard or machine.rank:
        return lambda state: write_log(out, state)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise InputError("--tensorboard needs the package tensorboard: pip install tensorboard") from None
    events = SummaryWriter(str(out / "tensorboard"))

    def report(state: Progress) -> None:
        write_log(out, state)
        for name, value in state.rows[-1].items():
            if name not in ("step", "seconds"):
                events.add_scalar(name, value, int(state.rows[-1]["step"]))
        events.flush()

    return report


def finish(
    settings: Settings,
    store: Path,
    out: Path,
    model: MassModel,
    state: Progress,
    more: Sequence[Path] = (),
    *,
    name: str | None,
    submission: bool,
    calibration: Calibration | None = None,
) -> None:
    """Write the model, its learning curve, its prediction of the test split, and its card."""
    data = training_facts([store, *more])
    extra: dict[str, Any] = {
        "views": list(settings.view_list()),
        "inputs": {view: input_facts(store, view) for view in settings.view_list()},
        **data,
        "parameters": count_parameters(model),
        "best_step": state.best_step,
        "name": name or default_name(settings),
    }
    if calibration is not None:
        # JSON knows no infinity.
        penalty = calibration.penalty if math.isfinite(calibration.penalty) else None
        extra["calibration"] = asdict(calibration) | {"penalty": penalty}
    model.save(out, extra)
    try:
        draw_curve(state.rows, out / CURVE, title=extra["name"])
    except ModuleNotFoundError as error:
        # A machine that is lent for training need not draw: the log holds the same numbers.
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        print(f"{CURVE} is left out, as matplotlib is not installed; {LOG} holds its numbers")
    write_card(out)
    # Last: who finds it knows that all else is there.
    if not submission or not split_length(store, "test"):
        return
    if find_spec("pydantic") is None:
        print("submission/ is left out, as pydantic is not installed; baselines.predict makes it elsewhere")
        return
    predicted = Predicted(store, target=settings.target)
    try:
        task = predicted.task
    except InputError as error:
        print(f"submission/ is left out: {error}")
        return
    predict_split(
        model,
        predicted,
        out / "submission",
        name=extra["name"],
        task=task,
        symmetries=settings.test_symmetries,
        trained_on=data["dataset"],
    )


def training_facts(stores: Sequence[Path]) -> dict[str, Any]:
    """What a model was trained on: the data sets' names, and the regions of their train splits."""
    regions = {int(region) for store in stores for region in read_split(store, "train", []).halos["region"]}
    return {
        "dataset": "+".join(str(root_attrs(store)["name"]) for store in stores),
        "synthetic": bool(root_attrs(stores[0])["synthetic"]),
        "regions": sorted(regions),
    }


def input_facts(store: Path, view: str) -> dict[str, Any]:
    """Units of a view, and the instrument where it was observed: what `baselines.fits` brings images to."""
    group = open_group(store)
    return {"units": group["train"][view].attrs["units"], **group.attrs.get("view_attrs", {}).get(view, {})}


def default_name(settings: Settings) -> str:
    """The run's name on a leaderboard: network, width, what is unusual, seed."""
    network = {"unet": "unet", "encoder": f"unet-{settings.encoder}"}.get(
        settings.network, f"{settings.network}-unet"
    )
    parts = [network, f"{settings.channels}ch"]
    if settings.loss != "l2":
        parts.append(settings.loss)
    if settings.calibrate:
        parts.append("calibrated")
    return f"{' '.join(parts)}, seed {settings.seed}"


def write_log(out: Path, state: Progress) -> None:
    """`log.csv`: one row a validation."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in state.rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    write_bytes(out / LOG, text.getvalue().encode())


def draw_curve(rows: Sequence[dict[str, Any]], path: Path, *, title: str) -> None:
    """Write the learning curve of a run's log ``rows`` as a PNG: loss and validation error by epoch."""
    figure, ((axes,),) = new_figure(1, 1, (7, 4))
    epochs = [row["epoch"] for row in rows]
    validation = [row["validation_rms_dex"] for row in rows]
    known = [i for i, value in enumerate(validation) if not math.isnan(value)]
    if known:
        axes.plot(epochs, validation, "o-", ms=3, color="#1b6ca8", label="validation, averaged weights")
        best = min(known, key=lambda i: validation[i])
        point = epochs[best], validation[best]
        axes.plot(*point, "o", ms=8, mfc="none", color="#c0392b", label="kept")
        axes.annotate(f"{point[1]:.4f}", point, (0, 9), textcoords="offset points", ha="center")
        axes.legend(frameon=False, loc="upper right")
    axes.set(xlabel="epochs", ylabel="residual rms (dex)", title=title)
    axes.margins(y=0.12)
    axes.grid(alpha=0.3)
    twin = axes.twinx()
    twin.plot(epochs, [row["train_loss"] for row in rows], color="0.6", lw=1)
    twin.set_ylabel("training loss", color="0.4")
    write_bytes(path, png(figure))
