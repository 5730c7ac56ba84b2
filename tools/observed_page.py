"""The page about what instruments cost: numbers from results of the benchmark and from noise, a figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.results import cells, interval, kept_scores, number, view_names
from benchmarks.compare import paired_difference
from benchmarks.constants import STANDARD
from benchmarks.figures import MODEL_COLOURS
from benchmarks.grid import Grid
from benchmarks.metrics.power import falling_k, mode_powers, spectrum
from benchmarks.registry import RANKING
from benchmarks.results import read_result
from three_hundred_maps.display import markdown_table
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.io import write_bytes, write_json
from three_hundred_maps.observe.build import Observatory, observe_halo
from three_hundred_maps.observe.frame import PIXELS
from three_hundred_maps.observe.levels import BENCHMARK_LEVELS, LEVELS, PERFECT
from three_hundred_maps.plot import new_figure, png
from three_hundred_maps.store.arrays import split_length
from three_hundred_maps.store.schema import TARGET
from tools.page import kept_numbers, texts, write_text

SUMMARY, PAGE, FIGURE = "observed.json", "observed-results.md", "figures/observed-scales.png"
NETWORK, ALL, SHEAR = "unet", "all", "all-shear"
NFW = "nfw"
TITLES = {
    "unet": "U-Net",
    "ridge": "ridge regression",
    "profile_regression": "profile regression",
    "kaiser-squires": "Kaiser-Squires",
    NFW: "NFW fit to the tangential shear",
}
CURVES = ("power_ratio", "cross_correlation")
BANDS = ((0.5, 2.5), (3.0, 8.0))
"""Of k, over which the lost part of the truth is averaged."""
MAPS_PER_HALO = 8
"""Lines of sight that an instrument's noise is measured on."""
Run = Mapping[str, Any]


def write_page(results: Mapping[str, Path], wide: Path, out: Path, *, command: str) -> Path:
    """Write observed.json, observed-results.md and the figure into ``out``.

    Parameters
    ----------
    results
        Of `tools.observed`, by level, model and track.
    wide
        The ideal store, on whose test split the instruments' noise is measured.
    """
    summary = summary_of({name: read_result(path) for name, path in results.items()}, command)
    levels = [level for level in dict.fromkeys(run["level"] for run in summary["runs"]) if level != PERFECT]
    summary["instruments"] = [row for level in levels for row in measure_noise(wide, level)]
    write_json(out / SUMMARY, summary)
    return render_again(out)


def render_again(out: Path) -> Path:
    """Write the page and the figure from ``out/observed.json``."""
    summary = kept_numbers(out / SUMMARY, "observed")
    write_bytes(out / FIGURE, png(draw_scales(summary["runs"])))
    return write_text(out / PAGE, render(summary))


def summary_of(results: Mapping[str, Mapping[str, Any]], command: str) -> dict[str, Any]:
    """What the page tells of results, as JSON, but for the instruments."""
    runs, found = [], {}
    for name, result in results.items():
        level, rest = name.split("-", 1)
        model = next(title for title in TITLES if rest.startswith(title))
        track = rest.removeprefix(f"{model}-")
        found[level, model, track] = result
        runs.append(
            {
                "level": level,
                "model": model,
                "track": track,
                "views": result["track"],
                "parameters": result.get("parameters"),
                "dataset": {k: result["dataset"][k] for k in ("name", "halos", "regions", "lines_of_sight")},
                "scores": kept_scores(result["scores"]),
                "noise_floor": {RANKING: (result["noise_floor"] or {}).get(RANKING)},
                "references": {k: kept_scores(v["scores"]) for k, v in result["references"].items()},
                "curves": {k: {n: result["curves"][k][n] for n in ("k", "value")} for k in CURVES},
            }
        )
    # The truth of all levels is the same: regions are compared pair by pair across stores.
    pairs = {
        **{
            ("instrument", level, track): ((PERFECT, model, track), (level, model, track))
            for level, model, track in found
            if model == NETWORK and level != PERFECT
        },
        **{
            ("shear", level, SHEAR): ((level, NETWORK, ALL), (level, NETWORK, SHEAR))
            for level, model, track in found
            if track == SHEAR and level != PERFECT
        },
    }
    differences = []
    for (kind, level, track), (before, after) in pairs.items():
        first, second = ({"regions": found[key]["regions"]} for key in (after, before))
        told = paired_difference(first, second).to_json()
        differences.append({"kind": kind, "level": level, "track": track, **told})
    return {"command": command, "runs": runs, "differences": differences}


def measure_noise(wide: Path, name: str) -> list[dict[str, Any]]:
    """Of each view of a level: what noise is to the signal, over the test split of an ideal store.

    The signal is the map as the instrument gives it without noise; the power of both is of maps less their
    mean, and their ratio by k is the median over maps.
    """
    level = LEVELS[name]
    observatory, halos = Observatory(wide, level), split_length(wide, "test")
    grid = Grid(MapGrid(PIXELS), STANDARD)
    ratios: dict[str, list[np.ndarray]] = {}
    beams: dict[str, list[float]] = {}
    for row in range(halos):
        keys, (expected,), columns = observatory.expected("test", slice(row, row + 1))
        observed = observe_halo(level, keys[0], expected)
        R200c_arcsec = float(columns["R200c"][0]) * observatory.sky(keys[0]).arcmin_per_kpc * 60.0
        for view in level.views:
            # The two components of shear have one noise.
            if view in (TARGET, "shear2"):
                continue
            beam = getattr(getattr(level, view, None), "beam_fwhm_arcsec", 0.0)
            beams.setdefault(view, []).append(beam / R200c_arcsec)
            clean = np.asarray(expected.maps[view][:MAPS_PER_HALO], np.float64)
            noise = np.asarray(observed[view][:MAPS_PER_HALO], np.float64) - clean
            for one, other in zip(spectrum(clean, grid), spectrum(noise, grid), strict=True):
                powers = [mode_powers(part[None], part[None], grid) for part in (other, one)]
                ratios.setdefault(view, []).append(powers[0] / powers[1])
    rows = []
    for view, found in ratios.items():
        ratio = np.median(found, axis=0)
        even = float(falling_k(1.0 / ratio, grid.k, 1.0))
        rows.append(
            {
                "level": name,
                "view": view,
                "beam_R200c": float(np.median(beams[view])),
                "k_noise": even if np.isfinite(even) else None,
                "noise_over_signal": {"k": grid.k.tolist(), "value": ratio.tolist()},
            }
        )
    return rows


def lost_share(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """k, and the power of the error over that of the truth: 1 + q - 2 c sqrt(q).

    q is the power ratio and c the cross-correlation; 1 where nothing is known of a scale.
    """
    curves = run["curves"]
    q, c = (np.asarray(curves[name]["value"], np.float64) for name in CURVES)
    return np.asarray(curves["power_ratio"]["k"]), 1.0 + q - 2.0 * c * np.sqrt(q)


def draw_scales(runs: Sequence[Run]) -> Any:
    """Error, cross-correlation and power by scale: a column for each set of views, a line for each level."""
    networks = [run for run in runs if run["model"] == NETWORK]
    tracks = list(dict.fromkeys(run["track"] for run in networks))
    colours = dict(zip((PERFECT, *BENCHMARK_LEVELS), ("0.25", *MODEL_COLOURS), strict=False))
    figure, axes = new_figure(3, len(tracks), (2.9 * len(tracks), 7.6))
    for column, track in enumerate(tracks):
        error, correlation, power = (axes[line][column] for line in range(3))
        for run in networks:
            if run["track"] != track:
                continue
            style = {"label": run["level"], "color": colours[run["level"]], "lw": 1.5}
            error.plot(*lost_share(run), **style)
            for axis, name in ((correlation, "cross_correlation"), (power, "power_ratio")):
                axis.plot(run["curves"][name]["k"], run["curves"][name]["value"], **style)
        error.set_title(track_name(track, networks), fontsize=11)
        for axis in (error, power):
            axis.axhline(1, color="0.6", lw=0.8)
        for axis, top in ((error, 1.2), (correlation, 1.02), (power, 1.5)):
            axis.set(xscale="log", xlim=(0.5, 20), ylim=(0, top))
            axis.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"], minor=False)
            axis.set_xticks([], minor=True)
        power.set_xlabel("k (cycles per R200c)")
    for line, text in enumerate(("error / truth (power)", "correlation with the truth", "power / truth")):
        axes[line][0].set_ylabel(text)
    axes[0][0].legend(frameon=False, fontsize=9)
    return figure


def track_name(track: str, runs: Sequence[Run]) -> str:
    """Of a track as a person says it."""
    if track == SHEAR:
        return "all + shear"
    return "all" if track == ALL else view_names(next(run["views"] for run in runs if run["track"] == track))


def render(summary: Mapping[str, Any]) -> str:
    """The page as Markdown, by the text in ``observed.md``."""
    text = texts("observed")
    runs: list[Run] = summary["runs"]
    networks = {(run["level"], run["track"]): run for run in runs if run["model"] == NETWORK}
    levels = list(dict.fromkeys(level for level, _ in networks))
    first = runs[0]
    names = {track: track_name(track, runs) for _, track in networks}

    def table(cell: Callable[[Run], str]) -> str:
        rows = [[name, *(cell(networks[level, track]) for level in levels)] for track, name in names.items()]
        return markdown_table(["views", *levels], rows)

    page = text["PAGE"].format(
        perfect=PERFECT,
        first=first,
        data=first["dataset"],
        floor=number(first["noise_floor"][RANKING], RANKING),
        climatology=number(first["references"]["climatology"][RANKING]["value"], RANKING),
        errors=table(lambda run: _cell(run, RANKING)),
        costs=_costs(summary, names),
        costs_in_words="\n".join([*_costs_in_words(summary, networks, names), *_untold(networks, names)]),
        mass_scatters=table(lambda run: _cell(run, "mass_scatter")),
        figure=FIGURE,
        bands="".join(f", mean over k of {low:g} to {high:g}" for low, high in BANDS),
        scales=table(_scales),
        instruments=_instruments(summary["instruments"]),
        instruments_in_words="\n".join(_instruments_in_words(summary["instruments"], networks)),
        shear="\n".join(_shear(summary, networks, text)),
        references=_references(runs, levels),
        command=summary["command"],
    )
    return f"{page}\n"


def _differences(summary: Mapping[str, Any], kind: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(d["level"], d["track"]): d for d in summary["differences"] if d["kind"] == kind}


def _signed(difference: Mapping[str, Any]) -> str:
    text = f"{difference['value']:+.4f}"
    if difference["low"] is None:
        return text
    return f"{text} ({difference['low']:+.4f} to {difference['high']:+.4f})"


def _costs(summary: Mapping[str, Any], names: Mapping[str, str]) -> str:
    found = _differences(summary, "instrument")
    levels = list(dict.fromkeys(level for level, _ in found))
    rows = [[name, *(_signed(found[level, track]) for level in levels)] for track, name in names.items()]
    return markdown_table(["views", *levels], rows)


def _costs_in_words(
    summary: Mapping[str, Any],
    networks: Mapping[tuple[str, str], Run],
    names: Mapping[str, str],
) -> list[str]:
    """Which view is best, and which loses most, at each level."""
    found, singles = _differences(summary, "instrument"), [t for t in names if t not in (ALL, SHEAR)]
    lines = []
    for level in dict.fromkeys(level for level, _ in networks):
        rms = {track: networks[level, track]["scores"][RANKING]["value"] for track in singles}
        best = min(rms, key=lambda track: rms[track])
        text = f"- `{level}`: of single views {names[best]} has the least error ({rms[best]:.4f})"
        if level != PERFECT:
            order = sorted(singles, key=lambda track: -found[level, track]["value"])
            lost = ", ".join(f"{names[track]} {found[level, track]['value']:+.4f}" for track in order)
            text += f"; what they lose, from most to least: {lost}"
        lines.append(text + ".")
    return lines


def _untold(networks: Mapping[tuple[str, str], Run], names: Mapping[str, str]) -> list[str]:
    """Which networks are no better than the climatology: they say nothing of their instruments."""
    rms = {key: run["scores"][RANKING]["value"] for key, run in networks.items()}
    climatology = {key: run["references"]["climatology"][RANKING]["value"] for key, run in networks.items()}
    found = [f"{names[track]} at `{level}`" for level, track in rms
             if rms[level, track] >= climatology[level, track]]  # fmt: skip
    return [f"- No better than the climatology: {', '.join(found)}."] if found else []


def _scales(run: Run) -> str:
    """The scale that a network tells, and the shares of power that its error has."""
    k, lost = lost_share(run)
    shares = [f"{lost[(k >= low) & (k <= high)].mean():.2f}" for low, high in BANDS]
    return f"{_cell(run, 'k_0.5')}; {', '.join(shares)}"


def _instruments(instruments: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for row in instruments:
        beam = f"{row['beam_R200c']:.3f}" if row["beam_R200c"] else "-"
        rows.append([row["level"], _view(row), beam, _scale(row["k_noise"])])
    return markdown_table(["level", "view", "beam FWHM (R200c)", "noise = signal at k"], rows)


def _view(row: Mapping[str, Any]) -> str:
    return "shear" if row["view"].startswith("shear") else view_names(row["view"])


def _scale(k: float | None) -> str:
    if k is None:
        return f"above {STANDARD.power_max:g}"
    return f"{k:.1f}" if k > STANDARD.power_step else f"below {STANDARD.power_step:g}"


def _instruments_in_words(
    instruments: Sequence[Mapping[str, Any]], networks: Mapping[tuple[str, str], Run]
) -> list[str]:
    """Of each view: where its noise reaches the signal, and to which scale the network tells the mass."""
    lines = []
    for view in dict.fromkeys(row["view"] for row in instruments):
        if (PERFECT, view) not in networks:
            continue
        rows = [row for row in instruments if row["view"] == view]
        told = {level: _cell(run, "k_0.5") for (level, track), run in networks.items() if track == view}
        parts = [f"{row['level']} {_scale(row['k_noise'])} and {told[row['level']]}" for row in rows]
        lines.append(f"- {_view(rows[0])}: perfect {told[PERFECT]}; {'; '.join(parts)}.")
    return lines


def _cell(run: Run, score: str) -> str:
    return number(run["scores"][score]["value"], score)


def _shear(
    summary: Mapping[str, Any], networks: Mapping[tuple[str, str], Run], text: Mapping[str, str]
) -> list[str]:
    """What shear adds to all views, by level, and how much its own mass could add."""
    lines = []
    fits = {run["level"]: run for run in summary["runs"] if run["model"] == NFW}
    for (level, _), difference in _differences(summary, "shear").items():
        low, high = difference["low"], difference["high"]
        without, with_shear = (_cell(networks[level, track], "mass_scatter") for track in (ALL, SHEAR))
        line = text["SHEAR"].format(
            level=level,
            difference=_signed(difference),
            tie=", a tie" if low is not None and low <= 0 <= high else "",
            without=without,
            with_shear=with_shear,
        )
        if level in fits:
            scatters = [run["scores"]["mass_scatter"]["value"] for run in (networks[level, ALL], fits[level])]
            best = number(math.prod(scatters) / math.hypot(*scatters), "mass_scatter")
            line += " " + text["NFW"].format(alone=_cell(fits[level], "mass_scatter"), best=best)
        lines.append(line)
    return lines


def _references(runs: Sequence[Run], levels: Sequence[str]) -> str:
    rows = []
    for level in levels:
        here = [run for run in runs if run["level"] == level]
        for run in here:
            if run["model"] != NETWORK or run["track"] in (ALL, SHEAR):
                views = "shear" if run["track"] == "shear" else track_name(run["track"], runs)
                rows.append([level, TITLES[run["model"]], views, *_cells(run["scores"])])
        for name, scores in here[0]["references"].items():
            rows.append([level, f"`{name}`", "none", *_cells(scores)])
    heads = ["level", "model", "views", RANKING, "95 % interval", "mass bias", "mass scatter"]
    return markdown_table(heads, rows)


def _cells(scores: Mapping[str, Any]) -> list[str]:
    shown = cells(scores, (RANKING, "mass_bias", "mass_scatter"))
    return [shown[0], interval(scores[RANKING], RANKING), *shown[1:]]
