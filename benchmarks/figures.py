"""The paper's figures from any store and any predictions: arrays in, figures out.

1: the sample's distribution in mass; 2: what a model sees beside the truth; 3: predictions of several
models beside the truth; 4: their residuals. Used by the demo's report and by the results page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.display import COLOUR_MAPS, RESIDUAL_COLOUR_MAP
from three_hundred_maps.plot import (
    LABELS,
    Map,
    colour_range,
    draw_circle,
    draw_map,
    draw_residual,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL_COLOURS = ("#3b6fb6", "#d1495b", "#edae49", "#2e7d5b", "#7b5ea7", "#8d6e63", "#00838f")


def mass_distribution(masses_msun: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Figure 1: how many clusters per bin of log10 M200c, stacked by split.

    Parameters
    ----------
    masses_msun
        M200c in Msun of the halos of each split.
    """
    figure, axes = new_figure(1, 1, (6.4, 3.4))
    axis = axes[0][0]
    logs = {split: np.log10(m) for split, m in masses_msun.items() if len(m)}
    every = np.concatenate(list(logs.values()))
    bins = np.arange(np.floor(every.min() * 5) / 5, every.max() + 0.2, 0.2)
    colours = MODEL_COLOURS[: len(logs)]
    axis.hist(list(logs.values()), bins, stacked=True, label=list(logs), color=colours, rwidth=0.94)
    axis.set_xlabel("log$_{10}$ M$_{200c}$ / M$_\\odot$")
    axis.set_ylabel("clusters")
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def inputs_and_truth(rows: Sequence[tuple[str, Mapping[str, Map]]], views: Sequence[str]) -> Figure:
    """Figure 2: each row one cluster, each column one view.

    Parameters
    ----------
    rows
        A label and the maps (y, x) by view.
    views
        The columns, in order.
    """
    figure, axes = new_figure(len(rows), len(views), (2.5 * len(views), 2.25 * len(rows) + 0.3))
    for column, view in enumerate(views):
        for line, (label, maps) in enumerate(rows):
            axis = axes[line][column]
            image = draw_map(axis, view, maps[view])
            bar = figure.colorbar(image, ax=axis, shrink=0.9, pad=0.02)
            bar.ax.tick_params(labelsize=8)
            if line == 0:
                axis.set_title("\n".join(LABELS.get(view, (view, ""))), fontsize=10)
            if column == 0:
                axis.set_ylabel(label, fontsize=9)
            if line == len(rows) - 1:
                axis.set_xlabel("x / R200c", fontsize=9)
    return figure


def predictions_and_truth(
    rows: Sequence[tuple[str, Map, Mapping[str, Map]]], models: Sequence[str]
) -> Figure:
    """Figure 3: for each cluster the truth, the models' maps, and below each map its error in dex.

    Parameters
    ----------
    rows
        A label, the true mass map (y, x) and the predicted ones by model.
    models
        The columns after the truth, in order.
    """
    figure, axes = new_figure(2 * len(rows), 1 + len(models), (2.0 * (1 + len(models)), 3.9 * len(rows)))
    for line, (label, truth, predicted) in enumerate(rows):
        span = colour_range("mass", truth)
        upper, lower = axes[2 * line], axes[2 * line + 1]
        image = draw_map(upper[0], "mass", truth, span=span, ticks=False)
        upper[0].set_ylabel(label, fontsize=9)
        lower[0].axis("off")
        # Both colour bars stand in the empty cell below the truth, so that rows and columns stay aligned.
        upper_bar, lower_bar = (lower[0].inset_axes((0.0, y, 1.0, 0.07)) for y in (0.78, 0.3))
        bar = figure.colorbar(image, cax=upper_bar, orientation="horizontal")
        bar.set_label(LABELS["mass"][1], fontsize=9)
        bar.ax.tick_params(labelsize=8)
        for column, model in enumerate(models, start=1):
            draw_map(upper[column], "mass", predicted[model], span=span, ticks=False)
            shown = draw_residual(lower[column], truth, predicted[model], ticks=False)
        bar = figure.colorbar(shown, cax=lower_bar, orientation="horizontal")
        bar.set_label("predicted - true / dex", fontsize=9)
        bar.ax.tick_params(labelsize=8)
        if line == 0:
            upper[0].set_title("truth", fontsize=11)
            for column, model in enumerate(models, start=1):
                upper[column].set_title(model, fontsize=11)
    return figure


def residual_histogram(residuals: Mapping[str, NDArray[np.floating[Any]]]) -> Figure:
    """Figure 4: the distribution of (prediction - truth) / sigma of the truth, one line a model.

    Parameters
    ----------
    residuals
        Residuals of any shape by model, in units of the truth's standard deviation inside R200c (the
        paper's equation 1). The legend says which share lies beyond the axis.
    """
    figure, axes = new_figure(1, 1, (6.4, 3.6))
    axis = axes[0][0]
    bins = np.linspace(-1.5, 1.5, 121)
    for (model, values), colour in zip(residuals.items(), MODEL_COLOURS, strict=False):
        counts, _ = np.histogram(values, bins)
        density = counts / values.size / np.diff(bins)
        beyond = 1.0 - counts.sum() / values.size
        label = f"{model} ({100 * beyond:.1f} % beyond)" if beyond >= 0.0005 else model
        axis.stairs(density, bins, label=label, color=colour, lw=1.3)
    axis.axvline(0.0, color="0.6", lw=0.8)
    axis.set_yscale("log")
    axis.set_xlabel("(predicted - true) / standard deviation of the true map")
    axis.set_ylabel("density")
    axis.legend(frameon=False, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def residual_maps(means: Mapping[str, Map], scatters: Mapping[str, Map]) -> Figure:
    """Figure 4, as maps: mean and root mean square of the error in dex at each pixel, over the test maps.

    Parameters
    ----------
    means, scatters
        (y, x) maps by model, in dex.
    """
    models = list(means)
    figure, axes = new_figure(2, len(models), (2.1 * len(models) + 0.8, 4.2))
    for column, model in enumerate(models):
        for line, (image, cmap, low, high) in enumerate(
            (
                (means[model], RESIDUAL_COLOUR_MAP, -0.15, 0.15),
                (scatters[model], COLOUR_MAPS["mass"], 0.0, 0.3),
            )
        ):
            axis = axes[line][column]
            shown = axis.imshow(image, origin="lower", extent=(-1, 1, -1, 1), cmap=cmap, vmin=low, vmax=high)
            draw_circle(axis)
            if column == len(models) - 1:
                label = ("mean error / dex", "rms error / dex")[line]
                figure.colorbar(shown, ax=list(axes[line]), shrink=0.85, label=label)
        axes[0][column].set_title(model, fontsize=11)
    return figure
