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
from benchmarks.leaderboard.cells import number
from benchmarks.leaderboard.images import data_uri
from benchmarks.predictions import Predictions
from benchmarks.registry import RANKING, SCORES
from benchmarks.results import read_result
from benchmarks.truth import Truth
from benchmarks.validation import order_of
from three_hundred_maps.geometry import MapGrid, score_log
from three_hundred_maps.io import write_bytes
from three_hundred_maps.plot import png
from three_hundred_maps.store.arrays import read_split, root_attrs
from three_hundred_maps.store.schema import SPLITS

VIEWS = ("sz", "xray", "star", "mass")
SHOWN = (RANKING, "skill", "residual_bias", "mass_bias", "mass_scatter", "ssim", "k_0.5")
"""Scores of the report's table; the leaderboard's site has them all."""


def write_report(
    path: Path,
    *,
    store: Path,
    submissions: Mapping[str, Path],
    results: Mapping[str, Path],
    site: Path,
    stages: Sequence[Any],
) -> None:
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
        Result file of each row of the table: of every model, and others.
    site
        Folder of the leaderboard.
    stages
        The `benchmarks.demo.Stage` of each stage: what it cost.
    """
    attrs = root_attrs(store)
    test = read_split(store, "test", VIEWS)
    truth = test.maps["mass"]
    grid = MapGrid.from_attrs(attrs, store)
    target = Truth(store)
    scored = {model: read_result(result) for model, result in results.items()}
    predicted = {
        _label(scored[model]["track"]): _read(folder, target) for model, folder in submissions.items()
    }
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
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchmarks", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("demo.html").render(
        attrs=attrs,
        store=store,
        counts={split: len(halos) for split, halos in masses.items()},
        shape=truth.shape,
        figures={name: data_uri(png(figure), "png") for name, figure in drawn.items()},
        columns=SHOWN,
        rows=board(scored),
        board_text=_board_text([scored[model] for model in submissions]),
        site=Path(os.path.relpath(site / "index.html", path.parent)).as_posix(),
        stages=stages,
    )
    write_bytes(path, page.encode())


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


def board(results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, list[dict[str, str]]]]:
    """The report's table: submissions in the order of their rank, then the reference rows.

    Returns
    -------
    Of each row its name, its views (``reference`` for a reference row) and its cells.
    """
    content = sorted(results.values(), key=lambda result: result["scores"][RANKING]["value"])
    rows = [(r["name"], r["track"].replace(",", " + "), _cells(r["scores"])) for r in content]
    references = content[0]["references"].items()
    return rows + [(name, "reference", _cells(row["scores"])) for name, row in references]


def _cells(scores: Mapping[str, Any]) -> list[dict[str, str]]:
    cells = []
    for name in SHOWN:
        value, low, high = (scores[name][key] for key in ("value", "low", "high"))
        digits = SCORES[name].digits
        interval = "" if low is None else f"{low:.{digits}f} to {high:.{digits}f}"
        cells.append({"value": number(value, digits), "interval": interval})
    return cells


def _board_text(results: Sequence[Mapping[str, Any]]) -> str:
    """What the table says, in words."""
    rms = {result["track"]: result["scores"][RANKING]["value"] for result in results}
    best = min((views for views in rms if "," not in views), key=lambda views: rms[views])
    most = min(value for views, value in rms.items() if "," in views)
    change = 100.0 * (1.0 - most / rms[best])
    verdict = f"{abs(change):.0f} % {'below' if change >= 0 else 'above'}"
    return (
        f"All views together err by {most:.3f} dex, {verdict} the best single view ({best}, "
        f"{rms[best]:.3f} dex), on regions that no model has seen."
    )
