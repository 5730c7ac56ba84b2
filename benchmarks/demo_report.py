"""The demo's report: one HTML file that needs nothing else: the paper's four figures and the leaderboard."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks import figures
from benchmarks.constants import STANDARD
from benchmarks.leaderboard.images import data_uri
from benchmarks.predictions import Predictions
from benchmarks.registry import RANKING, SCORES
from benchmarks.results import read_result
from benchmarks.stages import Stage
from benchmarks.truth import Truth
from benchmarks.validation import order_of
from three_hundred_maps.geometry import MapGrid, score_log
from three_hundred_maps.io import write_bytes
from three_hundred_maps.plot import png
from three_hundred_maps.store.arrays import read_split, root_attrs, split_length
from three_hundred_maps.store.schema import SPLITS

VIEWS = ("sz", "xray", "star", "mass")
SHOWN = (
    RANKING,
    "skill",
    "residual_bias",
    "mass_bias",
    "mass_scatter",
    "ssim",
    "k_0.5",
)
"""Scores of the report's table; the leaderboard's site has them all."""


def write_report(
    path: Path,
    *,
    store: Path,
    submissions: Mapping[str, Path],
    results: Mapping[str, Path],
    site: Path,
    stages: Sequence[Stage],
    views: Mapping[str, str],
) -> Path:
    """Draw the figures, fill the page, write it.

    Parameters
    ----------
    path
        The HTML file.
    store
        The data set.
    submissions
        Folder of each model's submission.
    results
        Result file of each row of the table.
    site
        Folder of the leaderboard.
    stages
        What each stage cost.
    views
        The views each model sees, as ``sz,xray,star``.

    Returns
    -------
    ``path``.
    """
    attrs = root_attrs(store)
    test = read_split(store, "test", VIEWS)
    truth = test.maps["mass"]
    grid = MapGrid.from_attrs(attrs, store)
    target = Truth(store)
    predicted = {_label(views[model]): _read(folder, target) for model, folder in submissions.items()}
    logs = score_log(truth, grid.pixel)
    errors = {label: score_log(maps, grid.pixel) - logs for label, maps in predicted.items()}
    masses = {split: read_split(store, split, []).halos["M200c"] for split in SPLITS}
    drawn = {
        "masses": figures.mass_distribution(masses),
        "inputs": figures.inputs_and_truth(_inputs(test.maps, test.halos), VIEWS),
        "predictions": _predictions(truth, predicted, errors, test.halos),
        "residuals": figures.residual_histogram(
            {label: _residuals(truth, maps, grid) for label, maps in predicted.items()}
        ),
        "residual_maps": figures.residual_maps(
            {label: error.mean(axis=(0, 1)) for label, error in errors.items()},
            {label: np.sqrt((error**2).mean(axis=(0, 1))) for label, error in errors.items()},
        ),
    }
    counts = {split: split_length(store, split) for split in SPLITS}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchmarks", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("demo.html").render(
        title=f"Mass maps of galaxy clusters: {attrs['name']}",
        synthetic=bool(attrs["synthetic"]),
        lead="Galaxy clusters in three kinds of light, what U-Nets made of them, and how good that is.",
        sample=_sample(counts, truth.shape),
        figures={name: data_uri(png(figure), "png") for name, figure in drawn.items()},
        board=board(results, views),
        board_text=_board_text(results, views),
        site=Path(os.path.relpath(site / "index.html", path.parent)).as_posix(),
        stages=stages,
        next_steps=_next_steps(store),
        footer=f"three_hundred_maps {attrs['package_version']}; recipe {attrs['recipe_sha256'][:12]}; "
        "after de Andres et al. 2024, arXiv 2404.05400.",
    )
    write_bytes(path, page.encode())
    return path


def _read(folder: Path, truth: Truth) -> NDArray[np.float32]:
    """A submission's maps (halo, los, y, x) in the order of the store's test split."""
    predictions = Predictions(folder)
    order, _ = order_of(predictions, truth)
    return predictions.read("mass", order)


def _label(views: str) -> str:
    names = views.split(",")
    return " + ".join(names) if len(names) > 1 else f"{names[0]} alone"


def _name(halos: Mapping[str, NDArray[Any]], row: int) -> str:
    return f"region {halos['region'][row]}, $10^{{{np.log10(halos['M200c'][row]):.1f}}}$ M$_\\odot$"


def _inputs(
    maps: Mapping[str, NDArray[np.float32]], halos: Mapping[str, NDArray[Any]]
) -> list[tuple[str, dict[str, figures.Map]]]:
    """A massive, a middling and a light cluster of the test split."""
    order = np.argsort(halos["M200c"])
    rows = [int(order[int(q * (len(order) - 1))]) for q in (0.95, 0.5, 0.1)]
    return [(_name(halos, row), {view: maps[view][row, 0] for view in VIEWS}) for row in rows]


def _predictions(
    truth: NDArray[np.float32],
    predicted: Mapping[str, NDArray[np.float32]],
    errors: Mapping[str, NDArray[np.float64]],
    halos: Mapping[str, NDArray[Any]],
) -> Figure:
    """Best, median and worst map of the last model, which sees most, beside what the others made of them."""
    square = (list(errors.values())[-1] ** 2).mean(axis=(2, 3))
    order = np.argsort(square, axis=None)
    rows = []
    for title, place in (("best", 0), ("median", len(order) // 2), ("worst", len(order) - 1)):
        halo, los = np.unravel_index(order[place], square.shape)
        maps = {label: p[halo, los] for label, p in predicted.items()}
        rows.append((f"{title}: {_name(halos, int(halo))}", truth[halo, los], maps))
    return figures.predictions_and_truth(rows, list(predicted))


def _residuals(truth: NDArray[np.float32], predicted: NDArray[np.float32], grid: MapGrid) -> figures.Map:
    """The paper's equation 1: p - t inside R200c in units of each true map's standard deviation there."""
    inside = grid.radius < STANDARD.mask_radius
    t = truth[..., inside].astype(np.float64)
    return (predicted[..., inside] - t) / t.std(axis=-1, keepdims=True)


def board(results: Mapping[str, Path], views: Mapping[str, str]) -> dict[str, Any]:
    """The report's table: submissions in the order of their rank, then the reference rows.

    Parameters
    ----------
    results, views
        As of `write_report`.
    """
    content = [read_result(path) for path in results.values()]
    content.sort(key=lambda result: result["scores"][RANKING]["value"])
    rows = [
        {
            "name": r["name"],
            "views": r["track"].replace(",", " + "),
            "reference": False,
            "cells": _cells(r["scores"]),
        }
        for r in content
    ]
    for name, reference in content[0]["references"].items():
        rows.append(
            {"name": name, "views": "reference", "reference": True, "cells": _cells(reference["scores"])}
        )
    return {"columns": ["name", "views", *SHOWN], "rows": rows}


def _cells(scores: Mapping[str, Any]) -> list[dict[str, str]]:
    cells = []
    for name in SHOWN:
        score = scores.get(name) or {}
        value, low, high = (score.get(key) for key in ("value", "low", "high"))
        digits = SCORES[name].digits
        cells.append(
            {
                "value": "" if value is None else f"{value:.{digits}f}",
                "interval": "" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}",
            }
        )
    return cells


def _board_text(results: Mapping[str, Path], views: Mapping[str, str]) -> str:
    """What the table says, in words."""
    scores = {model: read_result(results[model])["scores"] for model in views}
    rms = {model: scores[model][RANKING]["value"] for model in views}
    single = {model: value for model, value in rms.items() if "," not in views[model]}
    together = {model: value for model, value in rms.items() if "," in views[model]}
    best, most = min(single, key=lambda m: single[m]), min(together, key=lambda m: together[m])
    change = 100.0 * (1.0 - together[most] / single[best])
    verdict = f"{abs(change):.0f} % {'below' if change >= 0 else 'above'}"
    return (
        f"All views together err by {together[most]:.3f} dex, {verdict} the best single view ({best}, "
        f"{single[best]:.3f} dex), on regions that no model has seen."
    )


def _sample(counts: Mapping[str, int], shape: tuple[int, ...]) -> str:
    total = sum(counts.values())
    _, n_los, height, width = shape
    parts = ", ".join(f"{n} for {split}" for split, n in counts.items())
    return (
        f"{total} clusters ({parts}), each seen along {n_los} lines of sight in {len(VIEWS)} views: "
        f"{total * n_los * len(VIEWS):,} maps of {height} x {width} pixels."
    )


def _next_steps(store: Path) -> str:
    return "\n".join(
        (
            f"three-hundred-maps inspect {store}",
            f"python -m baselines.unet --views sz,star --data {store} --out runs/sz-star",
            f"python -m benchmarks score runs/sz-star/submission --data {store} --out sz-star.json",
            "three-hundred-maps recipe mini -o my.yaml",
            "three-hundred-maps build my.yaml --out my-store",
        )
    )
