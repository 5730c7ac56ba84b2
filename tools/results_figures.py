"""The figures of the results page: predictions beside the truth, residuals, and what is right where."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import figures
from three_hundred_maps.io import write_bytes
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import TARGET
from tools.campaign import ALL_VIEWS, run_name
from tools.results_page import view_names

MODELS = ("sz", "xray", "star", ALL_VIEWS)
SHOWN = 3
MOST_INSIDE = 5
"""Lines of a legend that an axis has room for."""


def draw_figures(campaign: Path, store: Path, summary: Mapping[str, Any], folder: Path) -> None:
    """Write the page's pictures into ``folder``."""
    write_bytes(folder / "results-predictions.png", figures.png(predictions(campaign, store, summary)))
    draw_statistics({view_names(views): _first(summary, views) for views in MODELS}, folder)


def draw_statistics(models: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Write the pictures that need results alone: ``models`` has histogram and curves of each, by label."""
    write_bytes(folder / "results-residuals.png", figures.png(residuals(models)))
    write_bytes(folder / "results-scales.png", figures.png(scales(models)))


def _first(summary: Mapping[str, Any], views: str) -> Mapping[str, Any]:
    return next(row for row in summary["networks"] if row["views"] == views)


def predictions(campaign: Path, store: Path, summary: Mapping[str, Any]) -> Any:
    """The paper's figure 3 for clusters of low, middle and high mass of the split test."""
    truth = read_split(store, "test", [TARGET])
    order = np.argsort(truth.halos["M200c"])
    chosen = order[np.linspace(0, len(order) - 1, SHOWN + 2).round().astype(int)[1:-1]]
    seed = summary["networks"][0]["seed"]
    rows = []
    for halo in (int(value) for value in chosen):
        predicted = {}
        for views in MODELS:
            submission = campaign / "runs" / run_name(views, seed) / "submission"
            predicted[view_names(views)] = _map(submission, halo)
        label = f"M200c = {truth.halos['M200c'][halo]:.2g} Msun"
        rows.append((label, truth.maps[TARGET][halo, 0], predicted))
    return figures.predictions_and_truth(rows, [view_names(views) for views in MODELS])


def _map(submission: Path, halo: int) -> np.ndarray:
    import zarr

    return np.asarray(zarr.open_array(submission / "predictions.zarr" / TARGET, mode="r")[halo, 0])


def residuals(models: Mapping[str, Mapping[str, Any]]) -> Any:
    """The paper's figure 4: the distribution of l(prediction) - l(truth), one line a model."""
    figure, axes = _axes(1, (6.4, 3.6))
    for (label, model), colour in zip(models.items(), cycle(figures.MODEL_COLOURS), strict=False):
        histogram = model["histogram"]
        edges, share = np.asarray(histogram["edges"]), np.asarray(histogram["share"])
        density = share / np.diff(edges)
        axes[0].stairs(density, edges, color=colour, lw=1.3, label=label)
    axes[0].axvline(0.0, color="0.6", lw=0.8)
    axes[0].set_yscale("log")
    axes[0].set_xlabel(
        "log$_{10}$ predicted - log$_{10}$ true (dex, score grid, R < R200c; beyond 0.8 in the last bins)"
    )
    axes[0].set_ylabel("density (1 / dex)")
    _legend(figure, axes[0], len(models))
    axes[0].spines[["top", "right"]].set_visible(False)
    return figure


def scales(models: Mapping[str, Mapping[str, Any]]) -> Any:
    """Power ratio and cross-correlation with the truth against wave number, one line a model."""
    figure, axes = _axes(2, (9.0, 3.4))
    heads = ("power predicted / true", "cross-correlation with the truth")
    for axis, name, head in zip(axes, ("power_ratio", "cross_correlation"), heads, strict=True):
        for (label, model), colour in zip(models.items(), cycle(figures.MODEL_COLOURS), strict=False):
            curve = model["curves"][name]
            values = [np.nan if value is None else value for value in curve["value"]]
            axis.plot(curve["k"], values, color=colour, lw=1.4, label=label)
        axis.axhline(1.0, color="0.6", lw=0.8)
        axis.set_xscale("log")
        axis.set_xlabel("k (cycles per R200c)")
        axis.set_ylabel(head)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    _legend(figure, axes[0], len(models))
    return figure


def _legend(figure: Any, axis: Any, models: int) -> None:
    """In the axes where it is short, else below them, where it hides no line."""
    if models <= MOST_INSIDE:
        axis.legend(frameon=False, fontsize=8)
    else:
        figure.legend(
            *axis.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8
        )


def _axes(number: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, list(np.atleast_1d(figure.subplots(1, number)))
