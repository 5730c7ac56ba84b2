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
from three_hundred_maps.plot import png
from three_hundred_maps.simulation.synthetic.setup import GENERATOR_VERSION
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import TARGET
from tools.campaign_summary import collect, store_of
from tools.plan import ALL_VIEWS, SINGLE_VIEWS, VIEW_SETS, run_name
from tools.residuals import draw_residuals, moments, open_predictions

SHOWN_MODELS = (*SINGLE_VIEWS, ALL_VIEWS)
SHOWN_CLUSTERS = 3


def write_page(campaign: Path, out: Path) -> Path:
    """Write results.json, results.md and the figures of a finished campaign into ``out``."""
    summary, folder = collect(campaign), out / "figures"
    runs = {
        views: campaign / "runs" / run_name(views, summary["networks"][0]["seed"]) for views in SHOWN_MODELS
    }
    store = store_of(campaign)
    submissions = {view_names(views): run / "submission" for views, run in runs.items()}
    shown = shown_clusters(store)
    write_bytes(folder / "results-predictions.png", png(draw_predictions(store, submissions, shown)))
    picture = draw_residuals(store, submissions, shown)
    write_bytes(folder / "results-equation-1.png", png(picture))
    summary["equation_1"] = moments(store, submissions)
    first = {row["views"]: row for row in reversed(summary["networks"])}
    draw_statistics({view_names(views): first[views] for views in SHOWN_MODELS}, folder)
    write_json(out / SUMMARY, summary)
    return render_again(out)


def render_again(folder: Path) -> Path:
    """Write results.md from results.json."""
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    write_bytes(folder / PAGE, render(summary).encode())
    return folder / PAGE


def shown_clusters(store: Path) -> list[int]:
    """Test clusters of low, middle and high mass."""
    order = np.argsort(read_split(store, "test", []).halos["M200c"])
    places = np.linspace(0, len(order) - 1, SHOWN_CLUSTERS + 2).round().astype(int)[1:-1]
    return list(dict.fromkeys(order[places].tolist()))


def draw_predictions(store: Path, submissions: Mapping[str, Path], halos: Sequence[int]) -> Any:
    """The paper's figure 3 for some test clusters: predictions of models by label."""
    truth = read_split(store, "test", [TARGET])
    maps = open_predictions(submissions)
    rows = []
    for halo in halos:
        predicted = {label: np.asarray(array[halo, 0]) for label, array in maps.items()}
        label = f"M200c = {truth.halos['M200c'][halo]:.2g} Msun"
        rows.append((label, truth.maps[TARGET][halo, 0], predicted))
    return figures.predictions_and_truth(rows, list(maps))


def _older(dataset: Mapping[str, Any]) -> list[str]:
    """That the clusters are of an earlier version of the synthetic simulation, where they are."""
    version = dataset.get("generator")
    if version in (None, str(GENERATOR_VERSION)):
        return []
    return [
        f"**These clusters are of version {version} of the synthetic simulation, whose star view showed "
        "single particles, which gave the mass away; the simulation is now at version "
        f"{GENERATOR_VERSION}.** Results on the present clusters are [across codes](cross-code.md) and of "
        "[the mass](mass/results.md).",
        "",
    ]


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
        *_older(dataset),
        "For models applied to the clusters of another simulation code, see [their page](cross-code.md); "
        "those of other simulations have a page of `tools.transfer`.",
        "",
        "A command writes this page and its figures from the files of the runs:",
        "",
        "```sh",
        summary["command"],
        "```",
        "",
        "## Sets of views",
        "",
        f"{_network(summary)} Values are means over seeds, with half the range of the seeds; the 95 % "
        f"interval over regions is that of seed {seeds[0]}. Mass is that inside a cylinder of R200c.",
        "",
        _views_table(networks, seeds),
        "",
        f"The noise floor (half of the particles against the other half): residual_rms_dex "
        f"{number(summary['noise_floor']['residual_rms_dex'], 'residual_rms_dex')}, mass scatter "
        f"{number(summary['noise_floor']['mass_scatter'], 'mass_scatter')}.",
        "",
        *_gains(summary["gains"]),
        *_limits(networks),
        "",
        "![Predictions of four models beside the truth](figures/results-predictions.png)",
        "",
        "![Distribution of the residuals](figures/results-residuals.png)",
        "",
        "![Power ratio and cross-correlation with the truth by scale](figures/results-scales.png)",
        "",
        *_equation_1(summary),
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
        "Instance normalisation, as in fastMRI's U-Net, subtracts the mean of every channel from each map, "
        "and the mean of a logarithmic map is its amplitude, which tells the mass. Same network, data, steps "
        "and seed, predicted in one orientation.",
        "",
        _norms_table(summary["norms"]),
        "",
        _instance(summary["norms"]),
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
    lines = [
        f"All views together have a residual_rms_dex {_percent(statistics.mean(shares))} lower than the best "
        f"single view ({', '.join(best)}); by seed: {', '.join(_percent(share) for share in shares)}.",
    ]
    apart = [gain for gain in gains if gain["difference"]["high"] is not None]
    if apart:
        clear = sum(gain["difference"]["high"] < 0 for gain in apart)
        lines.append(
            f"The interval of the paired difference over regions excludes 0 for {clear} of {len(apart)} "
            "seeds."
        )
    return lines


def _network(summary: Mapping[str, Any]) -> str:
    """The network of the runs, and what differs from the paper's."""
    one, trained = summary["networks"][0], summary["training_set"]
    epochs = one["steps"] * one["batch"] / trained["maps"]
    return (
        f"A U-Net of the paper's form (four poolings), with {one['channels']} channels at the first level "
        f"(the paper: 32). Unlike the paper's it is given the distance from the centre as a channel, learns "
        f"log10 of the mass on the benchmark's score grid as a residual to the mean profile, sees the "
        f"square's eight symmetries in training and averages over them in prediction; here it sees "
        f"{epochs:.1f} epochs."
    )


def _mean(networks: Sequence[Mapping[str, Any]], views: str, score: str) -> tuple[float, float]:
    """Mean over seeds and half the range of them."""
    values = [run["scores"][score]["value"] for run in networks if run["views"] == views]
    return statistics.mean(values), (max(values) - min(values)) / 2


def _limits(networks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each view adds to the others, and where fewer views do as well or better."""
    error = MAIN[0]

    def adds(views: str, to: str) -> str:
        (more, a), (fewer, b) = _mean(networks, views, error), _mean(networks, to, error)
        tie = " (within the spread of seeds)" if abs(more - fewer) <= a + b else ""
        return f"{more - fewer:+.4f}{tie}"

    lines = [
        f"In residual_rms_dex, X-rays change SZ by {adds('sz,xray', 'sz')}, stars by "
        f"{adds('xray,star', 'star')} and SZ + stars by {adds(ALL_VIEWS, 'sz,star')}; SZ changes X-ray + "
        f"stars by {adds(ALL_VIEWS, 'xray,star')}, stars SZ + X-ray by {adds(ALL_VIEWS, 'sz,xray')}. Both "
        "gas views are of the same gas.",
    ]
    known = networks[0]["scores"]
    if "peak_f1" in known:
        lines.append(
            f"Peaks of the mass map are found with an F1 of {_mean(networks, 'star', 'peak_f1')[0]:.3f} from "
            f"stars, {_mean(networks, ALL_VIEWS, 'peak_f1')[0]:.3f} from all views and "
            f"{_mean(networks, 'sz', 'peak_f1')[0]:.3f} from SZ."
        )
    if "central_rms_dex" in known:
        centre = {views: _mean(networks, views, "central_rms_dex")[0] for views in SINGLE_VIEWS}
        worst = max(centre, key=lambda views: centre[views])
        lines.append(
            "Inside 0.5 R200c the error is "
            + ", ".join(f"{value:.4f} from {view_names(views)}" for views, value in centre.items())
            + f" alone: that stars lack the centre, as the paper says, is {'' if worst == 'star' else 'not '}"
            "reproduced."
        )
    return lines


def _equation_1(summary: Mapping[str, Any]) -> list[str]:
    """The paper's equation 1 and figure 4, where a campaign has worked them out."""
    table = summary.get("equation_1")
    if not table:
        return []
    heads = ["views", "mean", "standard deviation", "16 %", "median", "84 %", "skewness", "kurtosis"]
    rows = [
        [
            label,
            *(f"{row[name]:.3g}" for name in ("mean", "std", "q16", "q50", "q84")),
            f"{row['skewness']:.1f}",
            f"{row['kurtosis']:.0f}",
        ]
        for label, row in table.items()
    ]
    return [
        "## Predicted less true",
        "",
        "The paper's equation 1 and figure 4: the difference of surface densities in Msun kpc-2, over all "
        "pixels inside R200c. It is that of the densest pixels; the logarithm above weighs all alike.",
        "",
        markdown_table(heads, rows),
        "",
        "![Predicted less true surface density of four models](figures/results-equation-1.png)",
        "",
    ]


def _instance(norms: Sequence[Mapping[str, Any]]) -> str:
    """What the trap costs here."""
    value = {row["norm"]: row["scores"][MAIN[0]]["value"] for row in norms}
    scatter = {row["norm"]: row["scores"]["mass_scatter"]["value"] for row in norms}
    return (
        f"It costs {value['instance'] - value['batch']:+.4f} dex and changes the scatter of the mass from "
        f"{scatter['batch']:.3f} to {scatter['instance']:.3f}: some of the amplitude still comes through, by "
        "the pixels near the edge and by the distance from the centre, so the network is not blind to it."
    )


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
    known = summary["no_input"]["oracle R200c"]["mass_scatter"]["value"]
    long = summary["long_gain"]
    return [
        "On all views, the same training set; predictions are averaged over the square's eight symmetries "
        "unless the name says otherwise. Samples are maps seen in training, its seconds wall time on "
        + ("one core, which" if summary["plan"] == "cpu" else "a GPU, which")
        + " other work may have shared.",
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
        f"Best: {best['name']}. Its mass inside a cylinder of R200c has a bias of "
        f"{number(bias, 'mass_bias')} and a scatter of {number(scatter, 'mass_scatter')} (95 % interval "
        f"{interval(best['scores']['mass_scatter'], 'mass_scatter')}). The mean profile scaled by the true "
        f"R200c, which no model is given, has a scatter of {number(known, 'mass_scatter')}. (The abstract of "
        "MNRAS 528, 1517 reports a bias of about 1 % and a scatter of about 3 % for a mass whose aperture it "
        "does not give: not like for like.)",
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
