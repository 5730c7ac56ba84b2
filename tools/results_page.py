"""The results page of a campaign: results.json, results.md and figures in its folder.

``python -m tools.results_page FOLDER`` renders FOLDER/results.md again from FOLDER/results.json alone.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.results import HEADS, MAIN, PAGE, SUMMARY, cells, interval, number, view_names
from baselines.results_figures import draw_statistics
from benchmarks import figures
from three_hundred_maps.display import markdown_table
from three_hundred_maps.io import write_bytes, write_json
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import TARGET
from tools.campaign_summary import collect, store_of
from tools.plan import ALL_VIEWS, SINGLE_VIEWS, VIEW_SETS, run_name

SHOWN_MODELS = (*SINGLE_VIEWS, ALL_VIEWS)
SHOWN_CLUSTERS = 3
GOAL_GAIN = 0.15
GOAL_MASS_BIAS, GOAL_MASS_SCATTER = 0.01, 0.03


def write_page(campaign: Path, out: Path) -> Path:
    """Write results.json, results.md and the figures of a finished campaign into ``out``."""
    summary, folder = collect(campaign), out / "figures"
    runs = {
        views: campaign / "runs" / run_name(views, summary["networks"][0]["seed"]) for views in SHOWN_MODELS
    }
    picture = draw_predictions(
        store_of(campaign), {view_names(views): run / "submission" for views, run in runs.items()}
    )
    write_bytes(folder / "results-predictions.png", figures.png(picture))
    first = {row["views"]: row for row in reversed(summary["networks"])}
    draw_statistics({view_names(views): first[views] for views in SHOWN_MODELS}, folder)
    write_json(out / SUMMARY, summary)
    return render_again(out)


def render_again(folder: Path) -> Path:
    """Write results.md from results.json."""
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    write_bytes(folder / PAGE, render(summary).encode())
    return folder / PAGE


def draw_predictions(store: Path, submissions: Mapping[str, Path]) -> Any:
    """The paper's figure 3 for test clusters of low, middle and high mass: predictions of models by label."""
    import zarr

    truth = read_split(store, "test", [TARGET])
    order = np.argsort(truth.halos["M200c"])
    maps = {
        label: zarr.open_array(folder / "predictions.zarr" / TARGET, mode="r")
        for label, folder in submissions.items()
    }
    places = np.linspace(0, len(order) - 1, SHOWN_CLUSTERS + 2).round().astype(int)[1:-1]
    rows = []
    for halo in dict.fromkeys(order[places].tolist()):
        predicted = {label: np.asarray(array[halo, 0]) for label, array in maps.items()}
        label = f"M200c = {truth.halos['M200c'][halo]:.2g} Msun"
        rows.append((label, truth.maps[TARGET][halo, 0], predicted))
    return figures.predictions_and_truth(rows, list(maps))


def render(summary: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    dataset, networks = summary["dataset"], summary["networks"]
    one, trained = networks[0], summary["training_set"]
    seeds = sorted({row["seed"] for row in networks})
    lines = [
        "# Results of the baselines",
        "",
        f"Trained on `{dataset['name']}` ({trained['halos']} clusters of {trained['regions']} regions, "
        f"{trained['maps']:,} maps), {summary['label']}: {one['steps']} steps of {one['batch']} maps "
        f"a run, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}. Scored on {dataset['halos']} halos x "
        f"{dataset['lines_of_sight']} lines of sight in {dataset['regions']} held-out regions"
        + (" of the synthetic simulation" if dataset["synthetic"] else "")
        + ".",
        "",
        "For models applied to the clusters of another simulation code, see [their page](cross-code.md).",
        "",
        "A command writes this page and its figures from the files of the runs:",
        "",
        "```sh",
        summary["command"],
        "```",
        "",
        "## Sets of views",
        "",
        "The paper's U-Net. Values are means over seeds, with half the range of the seeds; the 95 % interval "
        f"over regions is that of seed {seeds[0]}. Mass is that inside a cylinder of R200c.",
        "",
        _views_table(networks, seeds),
        "",
        f"The noise floor (half of the particles against the other half): residual_rms_dex "
        f"{number(summary['noise_floor']['residual_rms_dex'], 'residual_rms_dex')}, mass scatter "
        f"{number(summary['noise_floor']['mass_scatter'], 'mass_scatter')}.",
        "",
        *_gains(summary["gains"]),
        "",
        "![Predictions of four models beside the truth](figures/results-predictions.png)",
        "",
        "![Distribution of the residuals](figures/results-residuals.png)",
        "",
        "![Power ratio and cross-correlation with the truth by scale](figures/results-scales.png)",
        "",
        "## Small scales, by view",
        "",
        *_small_scales(summary, seeds[0]),
        "",
        "## Baselines without a network, and without input",
        "",
        _references_table(summary),
        "",
        "## Normalisation: the amplitude trap",
        "",
        "Instance normalisation, as in fastMRI's U-Net, subtracts the mean of every channel from each map: "
        "the network is blind to the amplitude of its input, and the amplitude is the mass. Same network, "
        "data, steps and seed, predicted in one orientation. (Such a network encodes the little that it "
        "learns of the amplitude as bright texture finer than the score grid. Averaging logarithms over "
        "eight orientations removes that texture, and the masses are then too low.)",
        "",
        _norms_table(summary["norms"]),
    ]
    if summary["extra"]:
        lines += ["", "## Further models", "", *_further(summary)]
    lines += ["", "## The commands", "", "```sh", *summary["commands"], "```", ""]
    return "\n".join(lines)


def _views_table(networks: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> str:
    rows = []
    for views in VIEW_SETS:
        runs = sorted((row for row in networks if row["views"] == views), key=lambda row: row["seed"])
        first = runs[0]["scores"]["residual_rms_dex"]
        row = [view_names(views)]
        for score in MAIN:
            row.append(_spread([run["scores"][score]["value"] for run in runs], score))
            if score == "residual_rms_dex":
                row.append(interval(first, score))
        row.append(f"{statistics.mean(run['seconds'] for run in runs):.0f} s")
        rows.append(row)
    heads = ["views", HEADS[MAIN[0]], "95 % interval", *(HEADS[name] for name in MAIN[1:]), "training"]
    return markdown_table(heads, rows)


def _gains(gains: Sequence[Mapping[str, Any]]) -> list[str]:
    shares = [gain["share"] for gain in gains]
    best = sorted({view_names(gain["best_single"]) for gain in gains})
    reached = "reached" if min(shares) >= GOAL_GAIN else "not reached by every seed"
    lines = [
        f"All views together have a residual_rms_dex {_percent(statistics.mean(shares))} lower than the best "
        f"single view ({', '.join(best)}); by seed: {', '.join(_percent(share) for share in shares)}. "
        f"The goal was {_percent(GOAL_GAIN)}: {reached}.",
    ]
    apart = [gain for gain in gains if gain["difference"]["high"] is not None]
    if apart:
        clear = sum(gain["difference"]["high"] < 0 for gain in apart)
        lines.append(
            f"The interval of the paired difference over regions excludes 0 for {clear} of {len(apart)} "
            "seeds."
        )
    return lines


def _small_scales(summary: Mapping[str, Any], seed: int) -> list[str]:
    """Power and correlation where gas is smooth and galaxies are not: the U-Net's beside the ridge's."""
    low, high = summary["small_scales"]
    nets = {row["views"]: row["small_scales"] for row in summary["networks"] if row["seed"] == seed}
    ridges = {r["views"]: r["small_scales"] for r in summary["references"] if r["baseline"] == "ridge"}
    heads = ["views", *(f"{m}: {what}" for m in ("U-Net", "ridge") for what in ("power", "correlation"))]
    rows = [
        [
            view_names(views),
            *(
                f"{model[views][name]:.2f}"
                for model in (nets, ridges)
                for name in ("power_ratio", "cross_correlation")
            ),
        ]
        for views in ("sz", "xray", "star", ALL_VIEWS)
        if views in ridges
    ]
    return [
        f"Predicted over true power, and the correlation of both, averaged over {low:g} to {high:g} cycles "
        "per R200c on the held-out regions; the truth's noise is removed by means of its half-samples. Gas "
        "is smooth there; galaxies trace the substructure.",
        "",
        markdown_table(heads, rows),
    ]


def _references_table(summary: Mapping[str, Any]) -> str:
    rows = []
    for row in summary["references"]:
        rows.append([row["name"], view_names(row["views"]), *cells(row["scores"], MAIN)])
    for name, scores in summary["no_input"].items():
        if name != "climatology":  # a baseline of its own
            rows.append([f"`{name}`", "none", *cells(scores, MAIN)])
    return markdown_table(["baseline", "views", *(HEADS[name] for name in MAIN)], rows)


def _norms_table(norms: Sequence[Mapping[str, Any]]) -> str:
    names = ("residual_rms_dex", "skill", "mass_bias", "mass_scatter")
    rows = [[f"`{row['norm']}`", *cells(row["scores"], names)] for row in norms]
    return markdown_table(["normalisation", *(HEADS[name] for name in names)], rows)


def _further(summary: Mapping[str, Any]) -> list[str]:
    """Models beside the paper's, on all views: what each gains, and what it costs."""
    extra = summary["extra"]
    names = ("residual_rms_dex", "skill", "mass_bias", "mass_scatter", "coverage_68", "coverage_95", "crps")
    rows = [
        [
            row["name"],
            f"{row['parameters']:,}",
            f"{row['steps'] * row['batch']:,}",
            f"{row['seconds']:.0f} s",
            *cells(row["scores"], names),
        ]
        for row in extra
    ]
    best = min(extra, key=lambda row: row["scores"]["residual_rms_dex"]["value"])
    bias, scatter = (best["scores"][name]["value"] for name in ("mass_bias", "mass_scatter"))
    reached = "reached" if abs(bias) <= GOAL_MASS_BIAS else "missed"
    also = "reached" if scatter <= GOAL_MASS_SCATTER else "missed"
    known = summary["no_input"]["oracle R200c"]["mass_scatter"]["value"]
    long = summary["long_gain"]
    return [
        "On all views, the same training set; predictions are averaged over the square's eight symmetries "
        "unless the name says otherwise. Samples are maps seen in training, its seconds wall time on "
        + ("a GPU." if summary["plan"] == "gpu" else "one core, which other work may have shared."),
        "",
        markdown_table(
            ["model", "parameters", "samples", "training", *(HEADS[name] for name in names)], rows
        ),
        "",
        *(
            [
                f"Trained as long as the flagship, the paper's network on all views has a residual_rms_dex "
                f"{_percent(long['share'])} lower than on {view_names(long['best_single'])} alone (paired "
                f"difference {long['difference']['value']:+.4f}, {interval(long['difference'], MAIN[0])}).",
                "",
            ]
            if long
            else []
        ),
        f"Best: {best['name']}. Its mass inside R200c has a bias of {number(bias, 'mass_bias')} (goal: "
        f"within {GOAL_MASS_BIAS}, {reached}) and a scatter of {number(scatter, 'mass_scatter')} (goal: "
        f"within {GOAL_MASS_SCATTER}, {also}). The mean profile scaled by the true R200c, which no model is "
        f"given, has a scatter of {number(known, 'mass_scatter')}.",
        "",
        _calibration(extra),
    ]


def _calibration(extra: Sequence[Mapping[str, Any]]) -> str:
    """What ``--calibrate`` did to these runs: those of before it was a regression say nothing of it."""
    if any(row.get("calibration") for row in extra):
        return (
            "Calibrated, a model's maps have the mass of a regression on the views' radial profiles: compare "
            f"`unet, calibrated` with `{extra[0]['name']}`, which is the same network."
        )
    return (
        "When these runs were made, `--calibrate` added a constant. It is now a regression on the views' "
        "radial profiles; [this page](mass/results.md) gives the masses that result."
    )


def _spread(values: Sequence[float | None], score: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = number(statistics.mean(known), score)
    return mean if len(known) == 1 else f"{mean} ± {number((max(known) - min(known)) / 2, score)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


if __name__ == "__main__":
    print(render_again(Path(sys.argv[1])))
