"""Figures from results alone: the distribution of the residuals, and what is right at which scale."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import figures
from three_hundred_maps.io import write_bytes
from three_hundred_maps.plot import new_figure, png

MOST_INSIDE = 5
"""Lines of a legend that an axis has room for."""


def draw_statistics(models: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Write the pictures that need results alone: ``models`` has histogram and curves of each, by label."""
    write_bytes(folder / "results-residuals.png", png(residuals(models)))
    write_bytes(folder / "results-scales.png", png(scales(models)))


def residuals(models: Mapping[str, Mapping[str, Any]]) -> Any:
    """The paper's figure 4: the distribution of l(prediction) - l(truth), one line a model."""
    figure, (axes,) = new_figure(1, 1, (6.4, 3.6))
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
    figure, (axes,) = new_figure(1, 2, (9.0, 3.4))
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
