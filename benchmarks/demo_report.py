"""The demo's report: one HTML file that needs nothing else: the paper's four figures and the leaderboard."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import figures
from benchmarks.constants import V1
from benchmarks.predictions import Predictions
from benchmarks.registry import RANKING, SCORES
from benchmarks.results import read_result
from benchmarks.stages import Stage
from benchmarks.validation import order_of
from three_hundred_maps.geometry import radius_grid, smooth_score_grid
from three_hundred_maps.io import write_bytes
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
    import jinja2

    attrs = root_attrs(store)
    test = read_split(store, "test", VIEWS)
    truth = test.maps["mass"]
    predicted = {model: _read(folder, store) for model, folder in submissions.items()}
    labels = {model: _label(views[model]) for model in submissions}
    masses = {split: read_split(store, split, []).halos["M200c"] for split in SPLITS}
    drawn = {
        "masses": figures.mass_distribution(masses),
        "inputs": figures.inputs_and_truth(_inputs(test.maps, test.halos), VIEWS),
        "predictions": _predictions(truth, predicted, test.halos, labels),
        "residuals": figures.residual_histogram(
            {labels[m]: _residuals(truth, maps) for m, maps in predicted.items()}
        ),
        "residual_maps": figures.residual_maps(*_error_maps(truth, predicted, labels)),
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
        sample=_sample(counts, truth.shape[1]),
        figures={name: _data_uri(figures.png(figure)) for name, figure in drawn.items()},
        board=board(results, views),
        board_text=_board_text(results, views),
        site=str(site / "index.html"),
        stages=stages,
        next_steps=_next_steps(store),
        footer=f"three_hundred_maps {attrs['package_version']}; recipe {attrs['recipe_sha256'][:12]}; "
        "after de Andres et al. 2024, arXiv 2404.05400.",
    )
    write_bytes(path, page.encode())
    return path


def _read(folder: Path, store: Path) -> NDArray[np.float32]:
    """A submission's maps (halo, los, y, x) in the order of the store's test split."""
    from benchmarks.truth import Truth

    predictions = Predictions(folder)
    order, _ = order_of(predictions, Truth(store))
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


def _log(maps: NDArray[Any]) -> NDArray[np.float64]:
    return np.log10(np.maximum(smooth_score_grid(maps), V1.floor))


def _predictions(
    truth: NDArray[np.float32],
    predicted: Mapping[str, NDArray[np.float32]],
    halos: Mapping[str, NDArray[Any]],
    labels: Mapping[str, str],
) -> Any:
    """Best, median and worst map of the last model, which sees most, beside what the others made of them."""
    last = list(predicted)[-1]
    error = np.stack(
        [((_log(p) - _log(t)) ** 2).mean(axis=(1, 2)) for p, t in zip(predicted[last], truth, strict=True)]
    )
    order = np.argsort(error, axis=None)
    rows = []
    for title, place in (("best", 0), ("median", len(order) // 2), ("worst", len(order) - 1)):
        halo, los = np.unravel_index(order[place], error.shape)
        maps = {labels[m]: p[halo, los] for m, p in predicted.items()}
        rows.append((f"{title}: {_name(halos, int(halo))}", truth[halo, los], maps))
    return figures.predictions_and_truth(rows, list(labels.values()))


def _residuals(truth: NDArray[np.float32], predicted: NDArray[np.float32]) -> figures.Map:
    """The paper's equation 1: p - t inside R200c in units of each true map's standard deviation there."""
    inside = radius_grid(truth.shape[-1]) < V1.mask_radius
    t = truth[..., inside].astype(np.float64)
    return (predicted[..., inside] - t) / t.std(axis=-1, keepdims=True)


def _error_maps(
    truth: NDArray[np.float32], predicted: Mapping[str, NDArray[np.float32]], labels: Mapping[str, str]
) -> tuple[dict[str, figures.Map], dict[str, figures.Map]]:
    means: dict[str, figures.Map] = {}
    scatters: dict[str, figures.Map] = {}
    for model, maps in predicted.items():
        error = np.stack([_log(p) - _log(t) for p, t in zip(maps, truth, strict=True)])
        means[labels[model]] = error.mean(axis=(0, 1))
        scatters[labels[model]] = np.sqrt((error**2).mean(axis=(0, 1)))
    return means, scatters


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


def _sample(counts: Mapping[str, int], n_los: int) -> str:
    total = sum(counts.values())
    parts = ", ".join(f"{n} for {split}" for split, n in counts.items())
    return (
        f"{total} clusters ({parts}), each seen along {n_los} lines of sight in {len(VIEWS)} views: "
        f"{total * n_los * len(VIEWS):,} maps of 80 x 80 pixels."
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


def _data_uri(data: bytes) -> str:
    return f"data:image/png;base64,{html.escape(base64.b64encode(data).decode())}"
