"""Conditional tables: the scores of parts of the sample."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.constants import Constants
from benchmarks.grid import Grid
from benchmarks.measure import Measured
from benchmarks.summary import Summary
from benchmarks.truth import RANGES, Truth

Array = NDArray[np.float64]


def _ranges(edges: tuple[float, ...], format_: str) -> list[str]:
    inner = [f"{a:{format_}} to {b:{format_}}" for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return [f"below {edges[0]:{format_}}", *inner, f"{edges[-1]:{format_}} and above"]


def groups(halos: dict[str, NDArray[Any]], constants: Constants) -> dict[str, list[tuple[str, Array]]]:
    """By table, the labels of its rows and which halos each holds."""
    mass = np.log10(halos["M200c"])
    redshift = np.asarray(halos["redshift"], np.float64)
    # No more massive halo known (NaN or inf) is as far from one as can be.
    near = np.asarray(halos["d_neighbour"], np.float64) <= constants.isolated_distance
    relaxed = np.asarray(halos["relaxed"]) == 1
    mass_bin = np.searchsorted(constants.table_log_mass, mass, side="right")
    z_bin = np.searchsorted(constants.table_redshift, redshift, side="right")
    return {
        "log10 M200c [Msun]": [
            (label, mass_bin == i) for i, label in enumerate(_ranges(constants.table_log_mass, ".1f"))
        ],
        "redshift": [(label, z_bin == i) for i, label in enumerate(_ranges(constants.table_redshift, "g"))],
        "dynamical state": [("relaxed", relaxed), ("not relaxed", ~relaxed)],
        "surroundings": [("isolated", ~near), ("near a more massive halo", near)],
    }


def conditional_tables(
    measured: Measured, halos: dict[str, NDArray[Any]], grid: Grid
) -> dict[str, list[dict[str, Any]]]:
    """Every table: rows with a label, their numbers of halos and regions, and scores with intervals.

    Rows without a halo are kept, with no scores: a table always has the same rows.
    """
    region = np.asarray(halos["region"])
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, rows in groups(halos, grid.constants).items():
        tables[name] = []
        for label, chosen in rows:
            row: dict[str, Any] = {"label": label, "halos": int(chosen.sum()), "regions": 0, "scores": {}}
            if chosen.any():
                summary = Summary(measured.take(np.flatnonzero(chosen)), region[chosen], grid)
                row["regions"] = len(summary.regions.ids)
                row["scores"] = {k: e.to_json() for k, e in summary.brief().items()}
            tables[name].append(row)
    tables["R / R200c"] = _by_radius(measured, region, grid)
    return tables


def halo_rows(measured: Measured, truth: Truth) -> list[dict[str, Any]]:
    """A row a halo: its errors over all of its maps, and what of it lies outside the training range.

    ``rms_over_climatology`` is its residual rms over that of the climatology, ``mass_bias`` the median of
    M_p / M_t - 1 inside R200c.
    """
    column = truth.constants.apertures.index(1.0)
    mse, zero = (measured.per_halo[name] for name in ("mse", "mse_climatology"))
    bias = np.median(measured.per_halo["mass_ratio"][..., column] - 1.0, axis=1)
    rows = []
    splits = [split for split, count in truth.counts.items() for _ in range(count)]
    for halo, split in enumerate(splits):
        known = {name: float(f"{truth.halos[name][halo]:.6g}") for name in RANGES}
        rows.append(
            {
                "split": split,
                **{name: truth.halos[name][halo].item() for name in truth.key_names},
                **known,
                "residual_rms_dex": float(f"{math.sqrt(mse[halo]):.6g}"),
                "rms_over_climatology": float(f"{math.sqrt(mse[halo] / zero[halo]):.6g}"),
                "mass_bias": float(f"{bias[halo]:.6g}"),
                "outside": [
                    name
                    for name in RANGES
                    if not any(data[name][0] <= known[name] <= data[name][1] for data in truth.training)
                ],
            }
        )
    return rows


def _by_radius(measured: Measured, region: NDArray[Any], grid: Grid) -> list[dict[str, Any]]:
    summary, edges = Summary(measured, region, grid), grid.constants.table_radius
    scores = summary.by_radius()
    return [
        {
            "label": f"{low:g} to {high:g}",
            "halos": len(region),
            "regions": len(summary.regions.ids),
            "scores": {name: rings[i].to_json() for name, rings in scores.items()},
        }
        for i, (low, high) in enumerate(pairwise(edges))
    ]
