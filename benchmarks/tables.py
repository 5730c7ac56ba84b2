"""Conditional tables: the scores of parts of the sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.constants import Constants
from benchmarks.grid import Grid
from benchmarks.intervals import median_and_scatter, of_means
from benchmarks.measure import Measured
from benchmarks.registry import PROBABILISTIC
from benchmarks.summary import Regional, Summary, histogram_quantile
from benchmarks.truth import RANGES, Truth
from three_hundred_maps.keys import KEY

Array = NDArray[np.float64]
COLUMNS = (
    "residual_rms_dex",
    "residual_bias",
    "residual_scatter",
    "skill",
    "mass_bias",
    "mass_scatter",
    "ssim",
)


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
    names = list(KEY) if len(set(truth.halos[KEY[0]].tolist())) > 1 else list(KEY[1:])
    rows = []
    splits = [split for split, count in truth.counts.items() for _ in range(count)]
    for halo, split in enumerate(splits):
        known = {name: float(f"{truth.halos[name][halo]:.6g}") for name in RANGES}
        rows.append(
            {
                "split": split,
                **{name: truth.halos[name][halo].item() for name in names},
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
    constants, regions = grid.constants, Regional.of(region)
    mse = regions.means(measured.per_halo["mse_radius"])
    climatology = regions.means(measured.per_halo["mse_climatology_radius"])
    counts, bounds = measured.counts["radius"], measured.bounds["score"]
    rows = []
    edges = constants.table_radius
    summary = Summary(measured, region, grid)
    spread = summary.spread_by_radius() if summary.samples else None
    for i in range(len(edges) - 1):
        bias, scatter = (
            sum(f * histogram_quantile(counts[i], bounds, q) for q, f in quantiles.items())
            for quantiles in median_and_scatter(constants)
        )
        with np.errstate(all="ignore"):
            scores = {
                "residual_rms_dex": of_means(
                    mse[:, i : i + 1], lambda m: np.sqrt(m[..., 0]), constants, limits=(0, math.inf)
                ).to_json(),
                "skill": of_means(
                    np.column_stack([mse[:, i], climatology[:, i]]),
                    lambda m: 1 - m[..., 0] / m[..., 1],
                    constants,
                    limits=(-math.inf, 1.0),
                ).to_json(),
            }
        for name, value in (("residual_bias", bias), ("residual_scatter", scatter)):
            scores[name] = {"value": float(f"{value:.10g}"), "low": None, "high": None}
        if spread is not None:
            crps = regions.means(measured.per_halo["crps_radius"])[:, i : i + 1]
            scores[PROBABILISTIC] = of_means(crps, lambda m: m[..., 0], constants).to_json()
            scores["spread_skill"] = spread[i].to_json()
        rows.append(
            {
                "label": f"{edges[i]:g} to {edges[i + 1]:g}",
                "halos": len(region),
                "regions": len(regions.ids),
                "scores": scores,
            }
        )
    return rows
