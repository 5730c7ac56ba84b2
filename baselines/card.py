"""A run's model card: written from the run's own files, with its scores where they have been made."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from baselines.model import NETWORKS, read_model_config
from three_hundred_maps.display import markdown_table, sections
from three_hundred_maps.io import write_bytes
from three_hundred_maps.store.schema import TARGET

CARD = "README.md"


def write_card(run: Path, result: Path | None = None) -> Path:
    """Write `README.md` of a run's folder, and with a RESULT.json of the benchmark `.eval_results/`.

    Parameters
    ----------
    run
        A finished run.
    result
        What ``python -m benchmarks score`` wrote for the run's submission. The data set's repository on the
        Hub is that of ``THREE_HUNDRED_MAPS_REPO``.

    Raises
    ------
    InputError
        Where ``result`` is not a result of the benchmark.
    """
    config = read_model_config(run)
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    views = config["views"]
    header: dict[str, Any] = {
        "license": "apache-2.0",
        "library_name": "three_hundred_maps",
        "tags": ["astronomy", "galaxy-clusters", "u-net", *views],
    }
    architecture = config["architecture"]
    network = getattr(NETWORKS[architecture["network"]], "title", architecture["network"])
    if architecture["encoder"]:
        network += f", {architecture['encoder']}"
    target = config["transforms"].get("target_view", TARGET)
    wanted = "total projected mass" if target == TARGET else f"projected {target.replace('_', ' ')}"
    text = sections(files(__package__).joinpath("card.md"))
    calibrated = text["CALIBRATED"].format(**config["calibration"]) + "\n" if "calibration" in config else ""
    card = text["CARD"].format(
        header=yaml.safe_dump(header, sort_keys=False).strip(),
        config=config,
        settings=settings,
        architecture=architecture,
        wanted=wanted,
        network=network,
        calibrated=calibrated,
        note=f"{config['note']}\n\n" if "note" in config else "",
        run=run.name,
        views=", ".join(views),
        channels=len(views),
        pixels=config["transforms"]["pixels"],
    )
    card += "\n"
    if result is not None:
        # Here, for a machine that only trains has neither pydantic nor the Hub's package.
        from benchmarks.eval_results import write_eval_results
        from benchmarks.results import read_result
        from three_hundred_maps.hub.configs import REPOSITORY_VARIABLE

        scores = read_result(result)
        data = scores["dataset"]
        part = "all splits" if data.get("split") == "all" else f"{data.get('split', 'test')} split"
        sizes = "{halos} halos x {lines_of_sight} lines of sight in {regions} regions".format(**data)
        rows = [(name, _number(v["value"]), _interval(v)) for name, v in scores["scores"].items()]
        card += f"\nScored on `{data['name']}` ({part}): {sizes}.\n"
        card += "\n" + markdown_table(("score", "value", "95 % interval"), rows) + "\n"
        write_eval_results(scores, os.environ.get(REPOSITORY_VARIABLE) or "three_hundred_maps", run)
    write_bytes(run / CARD, card.encode())
    return run / CARD


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, (int, float)) else str(value)


def _interval(score: dict[str, Any]) -> str:
    low, high = score.get("low"), score.get("high")
    return "-" if low is None or high is None else f"{low:.4g} to {high:.4g}"
