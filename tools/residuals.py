"""The paper's equation 1, predicted less true surface density: its maps (figure 4) and moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.reference import Floats
from three_hundred_maps.display import RESIDUAL_COLOUR_MAP
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.plot import new_figure
from three_hundred_maps.store.arrays import read_split, root_attrs
from three_hundred_maps.store.schema import TARGET

QUANTILES = (0.16, 0.5, 0.84)
REACH = 0.98
"""Quantile of the absolute residuals at which the colours end."""


def open_predictions(submissions: Mapping[str, Path]) -> dict[str, Any]:
    """The predicted mass maps (halo, los, y, x) of submissions, by label."""
    import zarr

    return {
        label: zarr.open_array(folder / "predictions.zarr" / TARGET, mode="r")
        for label, folder in submissions.items()
    }


def moments(store: Path, submissions: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """Moments of predicted - true inside R200c over all pixels of the test split, in Msun kpc-2.

    Returns
    -------
    By label: mean, standard deviation, 16, 50 and 84 % quantiles, skewness and excess kurtosis.
    """
    inside = MapGrid.from_attrs(root_attrs(store), store).inside
    truth = read_split(store, "test", [TARGET]).maps[TARGET]
    table = {}
    for label, array in open_predictions(submissions).items():
        values = (np.asarray(array[...], np.float64) - truth)[..., inside].ravel()
        mean, deviation = float(values.mean()), float(values.std())
        standard = (values - mean) / deviation
        table[label] = {
            "mean": mean,
            "std": deviation,
            **{f"q{round(100 * q)}": float(np.quantile(values, q)) for q in QUANTILES},
            "skewness": float(np.mean(standard**3)),
            "kurtosis": float(np.mean(standard**4) - 3.0),
        }
    return table


def draw_residuals(store: Path, submissions: Mapping[str, Path], halos: Sequence[int]) -> Any:
    """Predicted - true of some test clusters along the first line of sight, a column a model."""
    arrays = read_split(store, "test", [TARGET])
    maps = open_predictions(submissions)
    size = 2.3 * len(maps) + 0.8, 2.2 * len(halos) + 0.4
    figure, axes = new_figure(len(halos), len(maps), size)
    turn = np.linspace(0, 2 * np.pi, 200)
    for line, halo in enumerate(halos):
        truth = arrays.maps[TARGET][halo, 0]
        errors: dict[str, Floats] = {
            label: np.asarray(array[halo, 0], np.float64) - truth for label, array in maps.items()
        }
        reach = float(np.quantile(np.abs(np.stack(list(errors.values()))), REACH))
        for axis, (label, error) in zip(axes[line], errors.items(), strict=True):
            image = axis.imshow(
                error,
                origin="lower",
                extent=(-1, 1, -1, 1),
                cmap=RESIDUAL_COLOUR_MAP,
                vmin=-reach,
                vmax=reach,
            )
            axis.plot(np.cos(turn), np.sin(turn), color="0.3", lw=0.7)
            axis.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
            if line == 0:
                axis.set_title(label, fontsize=10)
            if line == len(halos) - 1:
                axis.set_xlabel("R200c", fontsize=9)
        axes[line][0].set_ylabel(f"{arrays.halos['M200c'][halo]:.2g} Msun", fontsize=9)
        bar = figure.colorbar(image, ax=list(axes[line]), shrink=0.9, pad=0.01)
        bar.set_label("predicted - true (Msun kpc$^{-2}$)", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    return figure
