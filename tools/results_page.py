"""The results page's text, from the numbers of results.json alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tools.campaign import ALL_VIEWS, VIEW_SETS

VIEW_NAMES = {"sz": "SZ", "xray": "X-ray", "star": "stars"}
MAIN = ("residual_rms_dex", "skill", "mass_bias", "mass_scatter", "ssim", "k_0.5")
HEADS = {
    "residual_rms_dex": "residual_rms_dex",
    "skill": "skill",
    "mass_bias": "mass bias",
    "mass_scatter": "mass scatter",
    "ssim": "ssim",
    "k_0.5": "k_0.5 (per R200c)",
    "coverage_68": "coverage 68 %",
    "coverage_95": "coverage 95 %",
    "crps": "crps (dex)",
}
DIGITS = {"residual_rms_dex": 4, "crps": 4, "k_0.5": 2}
GOAL_GAIN = 0.15
GOAL_MASS_BIAS, GOAL_MASS_SCATTER = 0.01, 0.03


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
        "What a model of one simulation code reaches on another's clusters is [a page of its own]"
        "(cross-code.md).",
        "",
        "This page and its figures are written by a command from the run files; no number is typed:",
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
        *_views_table(networks, seeds),
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
        "## What each view knows of small scales",
        "",
        *_small_scales(summary, seeds[0]),
        "",
        "## What needs no network, and what sees nothing",
        "",
        *_references_table(summary),
        "",
        "## Normalisation: the amplitude trap",
        "",
        "Instance normalisation, that of fastMRI's U-Net, takes the mean of every channel away, map by map: "
        "the network is blind to the amplitude of its input, and the amplitude is the mass. Same network, "
        "data, steps and seed, predicted in one orientation. (What such a network does learn of the "
        "amplitude it writes as bright texture finer than the score grid. The average of logarithms over "
        "eight orientations takes that away, and its masses then fall short.)",
        "",
        *_norms_table(summary["norms"]),
    ]
    if summary["extra"]:
        lines += ["", "## Further models", "", *_further(summary)]
    lines += ["", "## The commands", "", "```sh", *summary["commands"], "```", ""]
    return "\n".join(lines)


def _views_table(networks: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[str]:
    rows = []
    for views in VIEW_SETS:
        runs = sorted((row for row in networks if row["views"] == views), key=lambda row: row["seed"])
        first = runs[0]["scores"]["residual_rms_dex"]
        cells = [view_names(views)]
        for score in MAIN:
            cells.append(_spread([run["scores"][score]["value"] for run in runs], score))
            if score == "residual_rms_dex":
                cells.append(interval(first, score))
        cells.append(f"{statistics.mean(run['seconds'] for run in runs):.0f} s")
        rows.append(cells)
    heads = ["views", HEADS[MAIN[0]], "95 % interval", *(HEADS[name] for name in MAIN[1:]), "training"]
    return table(heads, rows)


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
        "per R200c on the held-out regions; the truth's noise is taken off by its half-samples. Gas is "
        "smooth there; galaxies mark the lumps.",
        "",
        *table(heads, rows),
    ]


def _references_table(summary: Mapping[str, Any]) -> list[str]:
    rows = []
    for row in summary["references"]:
        rows.append([row["name"], view_names(row["views"]) or "none", *_cells(row["scores"], MAIN)])
    for name, scores in summary["frame"].items():
        rows.append([f"`{name}`", "none", *_cells(scores, MAIN)])
    return table(["baseline", "views", *(HEADS[name] for name in MAIN)], rows)


def _norms_table(norms: Sequence[Mapping[str, Any]]) -> list[str]:
    names = ("residual_rms_dex", "skill", "mass_bias", "mass_scatter")
    rows = [[f"`{row['norm']}`", *_cells(row["scores"], names)] for row in norms]
    return table(["normalisation", *(HEADS[name] for name in names)], rows)


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
            *_cells(row["scores"], names),
        ]
        for row in extra
    ]
    best = min(extra, key=lambda row: row["scores"]["residual_rms_dex"]["value"])
    bias, scatter = (best["scores"][name]["value"] for name in ("mass_bias", "mass_scatter"))
    reached = "reached" if abs(bias) <= GOAL_MASS_BIAS else "missed"
    also = "reached" if scatter <= GOAL_MASS_SCATTER else "missed"
    known = summary["frame"]["oracle R200c"]["mass_scatter"]["value"]
    long = summary["long_gain"]
    return [
        "On all views, the same training set; predictions are averaged over the square's eight symmetries "
        "unless the name says otherwise. Samples are maps seen in training, its seconds wall time on "
        + ("a GPU." if summary["plan"] == "gpu" else "one core, which other work may have shared."),
        "",
        *table(["model", "parameters", "samples", "training", *(HEADS[name] for name in names)], rows),
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
        f"told, has a scatter of {number(known, 'mass_scatter')}.",
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
        "radial profiles; what that makes of the masses is [a page of its own](mass/results.md)."
    )


def view_names(views: str) -> str:
    """``sz,xray`` as a person says it."""
    return " + ".join(VIEW_NAMES.get(view, view) for view in views.split(",") if view)


def _cells(scores: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [number(scores[name]["value"], name) if name in scores else "-" for name in names]


def number(value: float | None, score: str) -> str:
    """A score's value with its digits."""
    return "-" if value is None else f"{value:.{DIGITS.get(score, 3)}f}"


def _spread(values: Sequence[float | None], score: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = number(statistics.mean(known), score)
    return mean if len(known) == 1 else f"{mean} ± {number((max(known) - min(known)) / 2, score)}"


def interval(score: Mapping[str, Any], name: str) -> str:
    """A score's interval, where it has one."""
    if score["low"] is None or score["high"] is None:
        return "-"
    return f"{number(score['low'], name)} to {number(score['high'], name)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


__all__ = ["ALL_VIEWS", "interval", "number", "render", "table", "view_names"]
