"""The page about what is learnt on one simulation and tried on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from baselines.results import number, view_names
from baselines.settings import Settings
from benchmarks import Evaluator
from benchmarks.results import read_result
from three_hundred_maps.display import markdown_table
from three_hundred_maps.io import write_json
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.torch_transforms import SCALINGS
from tools.page import kept_numbers, texts, write_text
from tools.plan import SINGLE_VIEWS, TRACKS

PAGE, SUMMARY = "transfer.md", "transfer.json"
SCORE = "residual_rms_dex"
OUTSIDE = "outside the training range: "
HEAVY_MSUN = 2e13
"""Halos above this mass are counted in the sentences on the real simulation."""
HEADS = {
    "home": "home",
    "code": "another code",
    "flavour": "hidden flavour",
    "resolution": "heavier particles",
    "epoch": "redshift 1",
    "real": "real simulation",
}
SHIFTS = ("code", "flavour", "resolution", "epoch")
VARIED = ("varied-sz", "varied-xray", "varied-star", "varied")
"""Models of the same views, trained on varied physics."""
TITLES = {
    **dict.fromkeys(TRACKS, "U-Net"),
    **dict.fromkeys(VARIED, "U-Net, trained on varied physics"),
    "residual-varied": "`residual-varied` (varied physics, 266 clusters)",
    "ridge-sz-xray-star": "ridge regression",
    "profile_regression-sz-xray-star": "profile regression",
    "profile_regression-sz": "profile regression",
}
CURES = {
    "all": "default",
    "no-thinning": "without thinned stars",
    "no-smoothing": "without smoothed stars",
    "no-median": "without the X-ray median",
    "no-saturation": "without saturation",
    "no-calibration-error": "without calibration errors",
    "no-dropout": "without view dropout",
    "plain": "plain: none of these",
}


def write_page(out: Path, folder: Path, stores: Mapping[str, Path], steps: int | None) -> Path:
    """Write transfer.json and transfer.md from the results of `tools.transfer` in ``out``.

    Parameters
    ----------
    stores
        By target.
    steps
        That its runs were told; None: the preset's.
    """
    models: dict[str, dict[str, Any]] = {}
    finer = Finer(stores["home"])
    for path in sorted((out / "results").glob("*.json")):
        name, _, target = path.stem.rpartition("-")
        result = read_result(path)
        models.setdefault(name, {"views": result["track"]})[target] = {
            "rms": result["scores"][SCORE]["value"],
            "above_noise": result["scores"]["rms_above_noise"]["value"],
            "noise_floor": (result["noise_floor"] or {}).get(SCORE),
            "mass_bias": result["scores"]["mass_bias"]["value"],
            "mass_scatter": result["scores"]["mass_scatter"]["value"],
            "dataset": result["dataset"],
            "halos": result.get("halos", []),
            "training": [item["name"] for item in result.get("training", [])],
            "outside": _outside(out / "log" / f"predict-{path.stem}.txt"),
        }
        if target == "resolution":
            submission = out / "predictions" / path.stem
            fitted = submission / "submission"
            models[name]["finer"] = finer.error(fitted if fitted.is_dir() else submission)
    write_json(folder / SUMMARY, {"steps": steps, "models": models})
    return render_again(folder)


class Finer:
    """The truth of lighter particles, against which predictions from heavier ones of the same clusters stand.

    The truth of heavier particles has a noise that no model can tell, and that its halves do not measure
    well: where pixels hold few particles, the logarithm is not linear in it. Here only inputs are noisier.
    """

    def __init__(self, home: Path) -> None:
        self.truth, self.clusters = Evaluator(home), _clusters(read_split(home, "test", []).halos)

    def error(self, submission: Path) -> float | None:
        """residual_rms_dex; None where the clusters are others."""
        predictions: Any = zarr.open_group(submission / "predictions.zarr", mode="r")
        place = {cluster: row for row, cluster in enumerate(_clusters(predictions))}
        if set(place) != set(self.clusters):
            return None
        maps = predictions[TARGET][...][[place[cluster] for cluster in self.clusters]]
        return float(self.truth.evaluate(maps)[SCORE]["value"])


def _clusters(columns: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Region and number of each halo: the same cluster, whatever its particles."""
    return [
        (int(region), int(halo))
        for region, halo in zip(columns["region"][:], columns["halo_id"][:], strict=True)
    ]


def _outside(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return next((line.removeprefix(OUTSIDE) for line in lines if line.startswith(OUTSIDE)), "")


def render_again(folder: Path) -> Path:
    """Write transfer.md from transfer.json."""
    return write_text(folder / PAGE, render(**kept_numbers(folder / SUMMARY, "transfer")))


def render(models: Mapping[str, Mapping[str, Any]], steps: int | None) -> str:
    """The page as Markdown, by the text in ``transfer.md``."""
    text = texts("transfer")
    default, plain, varied = (models[name] for name in ("all", "plain", "varied"))
    home, real = default["home"], default["real"]
    finer = ""
    if default.get("finer"):
        costs = (model["finer"] - model["home"]["rms"] for model in (default, plain))
        finer = text["FINER"].format(**dict(zip(("change", "plain"), costs, strict=True)))
    trained = " --shipped HYPERCUBE_240" if "residual-varied" in models else ""
    page = text["PAGE"].format(
        names={target: f"`{default[target]['dataset']['name']}`" for target in HEADS},
        real=real,
        redshifts=_range([row["redshift"] for row in real["halos"]]),
        errors=_table(models, TITLES, "rms"),
        biases=_table(models, TITLES, "mass_bias"),
        cure_errors=_table(models, CURES, "rms"),
        cure_biases=_table(models, CURES, "mass_bias"),
        over_plain=_changes(lambda target: default[target]["rms"] - plain[target]["rms"], ("home", *SHIFTS)),
        lost=_changes(lambda target: default[target]["rms"] - home["rms"], SHIFTS),
        lost_above_noise=_changes(
            lambda target: default[target]["above_noise"] - home["above_noise"], SHIFTS
        ),
        finer=f" {finer}" if finer else "",
        varied=varied["flavour"]["rms"] - varied["home"]["rms"],
        best="; ".join(_best(models)),
        least_biased=_least_biased(models),
        scalings=_scalings(models),
        halos=_halos(models),
        heavy_msun=HEAVY_MSUN,
        heavy="\n".join(_heavy_halos(models)),
        outside="\n".join(
            f"- {view_names(models[name]['views'])}: {models[name]['real']['outside'] or 'nothing'}"
            for name in SINGLE_VIEWS
        ),
        trained=f"{trained} --steps {steps}" if steps else trained,
    )
    return f"{page}\n"


def _table(models: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str], score: str) -> str:
    rows = []
    for name, title in titles.items():
        if name not in models:
            continue
        model = models[name]
        first = [title, view_names(model["views"])] if titles is TITLES else [title]
        cells = [
            number(model[target][score], SCORE if score == "rms" else score) for target in list(HEADS)[:-1]
        ]
        if score == "rms":
            cells += [number(model.get("finer"), SCORE), _real_error(model["real"])]
        else:
            cells.append(_real_bias(model["real"]))
        rows.append([*first, *cells])
    heads = [*(["model", "views"] if titles is TITLES else ["model"]), *HEADS.values()]
    if score == "rms":
        floors = [models["all"][target]["noise_floor"] for target in (*list(HEADS)[:-1], "home")]
        blank = ["noise floor of the truth", *[""] * (titles is TITLES)]
        rows.append([*blank, *(number(floor, SCORE) for floor in floors), ""])
        heads.insert(-1, "their inputs alone")
    return markdown_table(heads, rows)


def _scalings(models: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows of all scalings of every set of views."""
    rows = []
    for track, scaling in product(TRACKS, SCALINGS):
        name = track if scaling == Settings.scaling else f"{track}-{scaling}"
        epoch, real = models[name]["epoch"], models[name]["real"]
        cells = [number(epoch["rms"], SCORE), number(epoch["mass_bias"], "mass_bias")]
        cells += [_real_error(real), _real_bias(real)]
        rows.append([view_names(models[name]["views"]), f"`{scaling}`", *cells])
    heads = ["views", "scaling", "redshift 1: error", "mass bias", "real: error / climatology", "mass bias"]
    return markdown_table(heads, rows)


def _changes(change: Callable[[str], float], targets: Sequence[str]) -> str:
    return ", ".join(f"{HEADS[target]} {change(target):+.4f}" for target in targets)


def _best(models: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The row of least error in every column of the measures."""
    for target in list(HEADS)[:-1]:
        name = min(CURES, key=lambda cure: float(models[cure][target]["rms"]))
        yield f"{HEADS[target]}, {CURES[name]} ({number(models[name][target]['rms'], SCORE)})"


def _least_biased(models: Mapping[str, Mapping[str, Any]]) -> str:
    name = min(CURES, key=lambda cure: max(abs(row["mass_bias"]) for row in models[cure]["real"]["halos"]))
    return f"{CURES[name]} ({_real_bias(models[name]['real'])})"


def _real_error(result: Mapping[str, Any]) -> str:
    return f"{np.median([row['rms_over_climatology'] for row in result['halos']]):.2f}"


def _real_bias(result: Mapping[str, Any]) -> str:
    return _range([row["mass_bias"] for row in result["halos"]], signed=True)


def _range(values: Sequence[float], *, signed: bool = False) -> str:
    low, high = (f"{value:{'+' if signed else ''}.3g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _halos(models: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            title,
            view_names(models[name]["views"]),
            *(
                f"{halo['rms_over_climatology']:.2f}, {100 * halo['mass_bias']:+.0f} %"
                for halo in models[name]["real"]["halos"]
            ),
        ]
        for name, title in TITLES.items()
        if name in models
    ]
    halos = models["all"]["real"]["halos"]
    heads = ["model", "views", *(f"halo {halo['halo_id']}, {halo['M200c']:.2e} Msun" for halo in halos)]
    return markdown_table(heads, rows)


def _heavy_halos(models: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Which views hold on the real simulation's halos above `HEAVY_MSUN`."""
    for name in (*TRACKS, *(name for name in VARIED if name in models)):
        rows = models[name]["real"]["halos"]
        heavy = [row for row in rows if row["M200c"] > HEAVY_MSUN] or rows
        better = sum(row["rms_over_climatology"] < 1 for row in heavy)
        biases = _range([100 * row["mass_bias"] for row in heavy], signed=True)
        yield (
            f"- {view_names(models[name]['views'])}{', varied physics' if name in VARIED else ''}: better "
            f"than the climatology on {better} of {len(heavy)}; mass bias {biases} %."
        )
