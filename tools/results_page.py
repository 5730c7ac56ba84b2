"""The results page of a campaign: results.json, results.md and figures in its folder."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.results import HEADS, MAIN, PAGE, SUMMARY, cells, interval, number, view_names
from baselines.results_figures import draw_statistics
from benchmarks import figures
from three_hundred_maps.display import markdown_table
from three_hundred_maps.io import write_bytes, write_json
from three_hundred_maps.plot import new_figure, png
from three_hundred_maps.simulation.synthetic.setup import GENERATOR_VERSION
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import TARGET
from tools.campaign_summary import collect, store_of
from tools.page import kept_numbers, texts, write_text
from tools.plan import ALL_VIEWS, SINGLE_VIEWS, VIEW_SETS, run_name
from tools.residuals import draw_residuals, moments, open_predictions

SHOWN_MODELS = (*SINGLE_VIEWS, ALL_VIEWS)
SHOWN_CLUSTERS = 3
MODELS = {"unet": "U-Net", "ridge": "ridge regression"}
"""Of the learning curve."""


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
    if summary["curve"]:
        write_bytes(folder / "results-clusters.png", png(draw_curve(_learning_curve(summary))))
    write_json(out / SUMMARY, summary)
    return render_again(out)


def render_again(folder: Path) -> Path:
    """Write results.md from results.json."""
    return write_text(folder / PAGE, render(kept_numbers(folder / SUMMARY, "campaign")))


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


def render(summary: Mapping[str, Any]) -> str:
    """The page as Markdown, by the texts in ``results.md``."""
    text = texts("results")
    dataset, networks, floor = summary["dataset"], summary["networks"], summary["noise_floor"]
    one, seeds = networks[0], sorted({row["seed"] for row in networks})
    folded = one.get("shuffle", 1)
    version = (dataset.get("generator") or "").removeprefix("synthetic ")
    older = text["OLDER"].format(version=version, now=GENERATOR_VERSION) + "\n\n"
    less = text["LESS"].format(table=_equation_1(summary.get("equation_1") or {})) + "\n\n"
    norms = {row["norm"]: row["scores"] for row in summary["norms"]}
    lost = norms["instance"][MAIN[0]]["value"] - norms["batch"][MAIN[0]]["value"]
    spread = _mean(networks, ALL_VIEWS, MAIN[0])[1]
    return (
        text["PAGE"].format(
            **{name: value for name, value in summary.items() if name not in ("gains", "curve")},
            one=one,
            seeds=f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}",
            synthetic=" of the synthetic simulation" if dataset["synthetic"] else "",
            older="" if version in ("", str(GENERATOR_VERSION)) else older,
            folding=f" and {folded} x {folded} pixels folded into channels before it" if folded > 1 else "",
            epochs=one["steps"] * one["batch"] / summary["training_set"]["maps"],
            first_seed=seeds[0],
            elsewhere=_on_gpu(summary),
            views_table=_views_table(networks, seeds),
            floor_error=number(floor[MAIN[0]], MAIN[0]),
            floor_scatter=number(floor["mass_scatter"], "mass_scatter"),
            gains="\n".join(_gains(summary["gains"])),
            limits="\n".join(_limits(networks)),
            less=less if summary.get("equation_1") else "",
            scales_table=_small_scales(summary, seeds[0]),
            references_table=_references_table(summary),
            curve=f"\n{_curve_section(summary, text['CURVE'])}\n" if summary.get("curve") else "",
            norms_table=_norms_table(summary["norms"]),
            lost=lost,
            within_seeds=" (within the spread of seeds above)" if abs(lost) <= 2 * spread else "",
            scatter_batch=norms["batch"]["mass_scatter"]["value"],
            scatter_instance=norms["instance"]["mass_scatter"]["value"],
            further=f"\n{_further(summary, text)}\n" if summary["extra"] else "",
            all_commands="\n".join(summary["commands"]),
        )
        + "\n"
    )


def _on_gpu(summary: Mapping[str, Any]) -> str:
    """How many runs of a plan for processors had a GPU."""
    count = sum("baselines.unet" in line and "--device cuda" in line for line in summary["commands"])
    if count == 0 or summary["plan"] != "cpu":
        return ""
    return f"; {count} runs of the same settings were trained on a GPU, as the commands below say"


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
        row.append(f"{runs[0]['seconds']:.0f} s")
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
        shares = [f"{value / _mean(networks, views, error)[0]:.2f}" for views, value in centre.items()]
        lines.append(
            "Inside 0.5 R200c the error is "
            + ", ".join(f"{value:.4f} from {view_names(views)}" for views, value in centre.items())
            + f" alone; that is {', '.join(shares)} of the error inside R200c."
        )
    return lines


def _equation_1(table: Mapping[str, Mapping[str, float]]) -> str:
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
    return markdown_table(heads, rows)


def _small_scales(summary: Mapping[str, Any], seed: int) -> str:
    """Power and correlation where gas is smooth and galaxies are not: the U-Net's beside the ridge's."""
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
    return markdown_table(heads, rows)


def _references_table(summary: Mapping[str, Any]) -> str:
    rows = []
    for row in summary["references"]:
        rows.append([row["name"], view_names(row["views"]), *cells(row["scores"], MAIN)])
    for name, scores in summary["no_input"].items():
        if name != "climatology":  # a baseline of its own
            rows.append([f"`{name}`", "none", *cells(scores, MAIN)])
    return markdown_table(["baseline", "views", *(HEADS[name] for name in MAIN)], rows)


def _learning_curve(summary: Mapping[str, Any]) -> dict[str, dict[int, list[float]]]:
    """The errors of a model's seeds, by model and number of training clusters, the whole set last."""
    whole = summary["training_set"]["halos"]
    rows = [(row["model"], row["clusters"], row["scores"]) for row in summary["curve"]]
    rows += [("unet", whole, row["scores"]) for row in summary["networks"] if row["views"] == ALL_VIEWS]
    rows += [
        (row["baseline"], whole, row["scores"])
        for row in summary["references"]
        if (row["baseline"], row["views"]) == ("ridge", ALL_VIEWS)
    ]
    curve: dict[str, dict[int, list[float]]] = {"unet": {}, "ridge": {}}
    for model, clusters, scores in rows:
        curve[model].setdefault(clusters, []).append(scores[MAIN[0]]["value"])
    return curve


def draw_curve(curve: Mapping[str, Mapping[int, Sequence[float]]]) -> Any:
    """The error against the number of training clusters: the mean over seeds, and their range."""
    figure, (axes,) = new_figure(1, 1, (5.2, 3.4))
    for (model, points), colour in zip(curve.items(), figures.MODEL_COLOURS, strict=False):
        numbers = sorted(points)
        means = np.array([statistics.mean(points[number]) for number in numbers])
        low, high = (np.array([pick(points[number]) for number in numbers]) for pick in (min, max))
        axes[0].errorbar(
            numbers,
            means,
            [means - low, high - means],
            color=colour,
            marker="o",
            ms=4,
            lw=1.4,
            capsize=2,
            label=MODELS[model],
        )
    ticks = sorted({number for points in curve.values() for number in points})
    axes[0].set_xscale("log")
    axes[0].set_xticks(ticks, [str(number) for number in ticks])
    axes[0].minorticks_off()
    axes[0].set_xlabel("training clusters")
    axes[0].set_ylabel("residual_rms_dex")
    axes[0].legend(frameon=False, fontsize=8)
    axes[0].spines[["top", "right"]].set_visible(False)
    return figure


def _curve_section(summary: Mapping[str, Any], text: str) -> str:
    curve = _learning_curve(summary)
    numbers = sorted(set(curve["unet"]) & set(curve["ridge"]))
    steps, lines = summary["networks"][0], summary["dataset"]["lines_of_sight"]
    rows = [
        [
            str(number),
            f"{steps['steps'] * steps['batch'] / (number * lines):.1f}",
            *(_spread(curve[model][number], MAIN[0]) for model in MODELS),
        ]
        for number in numbers
    ]
    heads = ["clusters", "epochs of the U-Net", *(f"{name}: {MAIN[0]}" for name in MODELS.values())]
    changes = {
        model: statistics.mean(curve[model][numbers[-1]]) - statistics.mean(curve[model][numbers[0]])
        for model in MODELS
    }
    return text.format(table=markdown_table(heads, rows), first=numbers[0], last=numbers[-1], **changes)


def _norms_table(norms: Sequence[Mapping[str, Any]]) -> str:
    names = ("residual_rms_dex", "skill", "mass_bias", "mass_scatter")
    rows = [[f"`{row['norm']}`", *cells(row["scores"], names)] for row in norms]
    return markdown_table(["normalisation", *(HEADS[name] for name in names)], rows)


def _further(summary: Mapping[str, Any], text: Mapping[str, str]) -> str:
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
    scores, long = best["scores"], ""
    if gain := summary["long_gain"]:
        best_single = sorted({by_seed["best_single"] for by_seed in summary["gains"]})
        other = ", ".join(map(view_names, best_single))
        long = text["LONG"].format(
            share=_percent(gain["share"]),
            single=view_names(gain["best_single"]),
            better="" if gain["best_single"] in best_single else f"; the best single view above is {other}",
            difference=gain["difference"]["value"],
            interval=interval(gain["difference"], MAIN[0]),
        )
        long += "\n\n"
    # Runs of before it was a regression say nothing of what --calibrate does now.
    calibrated = any(row.get("calibration") for row in extra)
    heads = ["model", "parameters", "samples", "training", *(HEADS[name] for name in names)]
    known = summary["no_input"]["oracle R200c"]["mass_scatter"]["value"]
    return text["FURTHER"].format(
        machine="one core, which" if summary["plan"] == "cpu" else "a GPU, which",
        table=markdown_table(heads, rows),
        long=long,
        best=best,
        bias=number(scores["mass_bias"]["value"], "mass_bias"),
        scatter=number(scores["mass_scatter"]["value"], "mass_scatter"),
        scatter_interval=interval(scores["mass_scatter"], "mass_scatter"),
        known=number(known, "mass_scatter"),
        calibration=text["CALIBRATED" if calibrated else "CONSTANT"].format(same=extra[0]["name"]),
    )


def _spread(values: Sequence[float | None], score: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = number(statistics.mean(known), score)
    return mean if len(known) == 1 else f"{mean} ± {number((max(known) - min(known)) / 2, score)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
