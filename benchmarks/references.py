"""What every board shows beside submissions: the two reference rows and the noise floor of a dataset.

They depend on the dataset alone, so they are measured once and kept in the cache folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.constants import VERSION, Constants
from benchmarks.features import Features
from benchmarks.fingerprints import fingerprint
from benchmarks.grid import Grid
from benchmarks.intervals import Estimate
from benchmarks.measure import Measured
from benchmarks.metrics import aperture_masses, cross_correlation, falling_k
from benchmarks.registry import SCORES
from benchmarks.summary import Summary, above_noise, score_values
from benchmarks.truth import Truth
from three_hundred_maps.climatology import column_scale
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.io import cache_home, canonical_json, sha256_bytes, write_json
from three_hundred_maps.store.arrays import iter_shards, root_attrs
from three_hundred_maps.store.schema import TARGET

Array = NDArray[np.float64]
FORMAT = 8
"""Of the cached file: raised when what is kept, or how a score is measured, changes."""

REFERENCES = {
    "climatology": "No input: the mean of l at each radius over the train split.",
    "oracle R200c": "Oracle: the mean profile of surface density / (R200c rho_crit) over the train split, "
    "scaled by the true R200c.",
}
NOISE = "noise floor"


def climatology_log(truth: Truth, rows: NDArray[np.int64]) -> Array:
    """(halo, 1, y, x): l of the climatology, dex."""
    image = truth.grid.climatology(truth.climatology.climatology)
    return np.broadcast_to(image, (len(rows), 1, *image.shape))


def oracle_log(truth: Truth, rows: NDArray[np.int64]) -> Array:
    """(halo, 1, y, x): l of the mean profile in units of R200c rho_crit = 3 M200c / (800 pi R200c^2), dex."""
    image = truth.grid.climatology(truth.climatology.scaled_climatology)
    mass, radius = (np.asarray(truth.halos[k], np.float64)[rows] for k in ("M200c", "R200c"))
    scale = np.log10([column_scale(*row) for row in zip(mass, radius, strict=True)])
    return image[None, None] + scale[:, None, None, None]


_LOGS = {"climatology": climatology_log, "oracle R200c": oracle_log}


def reference_features(name: str, truth: Truth, rows: NDArray[np.int64]) -> Features:
    """The maps of a reference row: they live on the score grid, so they are not smoothed again."""
    maps = 10.0 ** _LOGS[name](truth, rows)
    return Features(maps, truth.grid, truth.r500[rows], smooth=maps).repeated(truth.n_los)


def scale_noise(name: str, value: float | None) -> float | None:
    """A score of one half-sample against the other, as the noise of the full sample gives it.

    Each half has twice the variance of the whole and their difference four times: dispersions halve, ratios
    of variances fall to a quarter. A correlation C of two halves is that of signal and full sample
    sqrt(2 C / (1 + C)).
    """
    if value is None:
        return None
    how = SCORES[name].noise
    if how == "half":
        return 0.5 * value
    if how == "quarter":
        return 1.0 - 0.25 * (1.0 - value)
    return value


@dataclass(frozen=True)
class Background:
    """What a dataset says before any submission.

    Parameters
    ----------
    references
        By name: ``scores``, ``curves``, ``regions``, ``text``.
    noise_floor
        By score: the value, scaled to the full sample; None where the store has no half-samples.
    noise_power
        (halo, k): power of the truth without its noise; None likewise.
    fingerprint
        `fingerprint` of the truth; None where it is sealed.
    relation
        Slope and intercept of `mass_relation`; None where the store has no maps of its train split.
    """

    references: dict[str, dict[str, Any]]
    noise_floor: dict[str, float | None] | None
    noise_power: Array | None
    fingerprint: dict[str, list[float]] | None = None
    relation: Sequence[float] | None = None

    def noise_free(self, truth: Truth) -> Array | None:
        """``noise_power`` where it is of every halo that is scored."""
        power = self.noise_power
        return power if power is not None and len(power) == truth.n_halos else None

    def to_json(self) -> dict[str, Any]:
        """For the cache and for records."""
        power = None if self.noise_power is None else self.noise_power.tolist()
        return {**vars(self), "noise_power": power}


def background_of(truth: Truth, measured: Mapping[str, Measured]) -> Background:
    """From what was measured of the reference rows and of the half-samples (`NOISE`)."""
    region = truth.halos["region"]
    noise_floor, noise_power = None, None
    if NOISE in measured:
        rows = truth.half_rows
        noise_power = np.asarray(measured[NOISE].per_halo["power_cross"], np.float64)
        noise_floor = _noise_floor(measured[NOISE], region[rows], truth.grid)
    marks = None if truth.sealed else fingerprint(next(iter(measured.values())), truth)
    background = Background({}, noise_floor, noise_power, marks, mass_relation(truth))
    for name, text in REFERENCES.items():
        summary = Summary(measured[name], region, truth.grid, background.noise_free(truth))
        background.references[name] = {
            "text": text,
            "scores": score_values(all_scores(summary, truth, background)),
            "curves": {k: v for k, v in summary.curves().items() if not k.endswith("noise_free")},
            "regions": summary.per_region(),
        }
    return background


def all_scores(summary: Summary, truth: Truth, background: Background) -> dict[str, Estimate]:
    """Every score: also those that need the data set's background."""
    scores = summary.scores()
    scores |= above_noise(scores, background.noise_floor)
    if background.relation is not None:
        slope, intercept = background.relation
        # A map below the floor everywhere still has a logarithm.
        least = math.pi * truth.constants.floor
        mass, radius = (np.asarray(truth.halos[k], np.float64)[:, None] for k in ("M200c", "R200c"))
        cylinder = np.maximum(summary.measured.per_halo["mass_200"], least) * radius**2
        error = slope * np.log10(cylinder) + intercept - np.log10(mass)
        scores["log_m200_scatter"] = summary.pooled(error)[1]
    return scores


def mass_relation(truth: Truth) -> Sequence[float] | None:
    """Slope and intercept of log10 M200c on log10 M(<R200c) of the cylinder, by true maps of train splits.

    Least squares over all maps as they are in the store; None without maps of two halos.
    """
    if truth.sealed:
        return truth.mass_relation
    cylinder: list[Array] = []
    mass: list[Array] = []
    for store in truth.train_stores:
        # Its maps may be of another grid than those that are scored.
        grid = MapGrid.from_attrs(root_attrs(store), store)
        circle = grid.aperture * grid.area
        for shard in iter_shards(store, "train", [truth.target]):
            maps = np.asarray(shard.maps[truth.target], np.float64)
            inside = aperture_masses(maps.reshape(-1, *maps.shape[2:]), circle)
            radius = np.repeat(np.asarray(shard.halos["R200c"], np.float64), maps.shape[1])
            cylinder.append(np.log10(inside * radius**2))
            mass.append(np.log10(np.repeat(shard.halos["M200c"], maps.shape[1])))
    if not mass or len(np.unique(np.concatenate(mass))) < 2:
        return None
    slope, intercept = np.polyfit(np.concatenate(cylinder), np.concatenate(mass), 1)
    return float(slope), float(intercept)


def _noise_floor(measured: Measured, region: NDArray[Any], grid: Grid) -> dict[str, float | None]:
    summary = Summary(measured, region, grid)
    values = {name: scale_noise(name, estimate.value) for name, estimate in summary.scores().items()}
    power_p, power_t, cross = (rows.sum(axis=0) for rows in summary.power_sums())
    halves = np.clip(cross_correlation(cross, power_p, power_t), 0, 1)
    whole = np.sqrt(2 * halves / (1 + halves))
    for level in grid.constants.correlation_levels:
        k = float(falling_k(whole, grid.k, level))
        values[f"k_{level:g}"] = min(k, grid.constants.power_max)
    return {name: None if v is None else Estimate(v).to_json()["value"] for name, v in values.items()}  # type: ignore[misc]


def background_path(
    dataset: Mapping[str, Any], training: Sequence[Mapping[str, Any]], constants: Constants
) -> Path:
    """The file that the background of a data set is kept in: of `Truth.identity` and `Truth.training`."""
    zero = [data["digest"][:32] for data in training]
    scores = sha256_bytes(canonical_json(list(SCORES)))[:8]  # another score has references to measure
    parts = [f"v{VERSION}", str(FORMAT), scores, constants.digest()]
    parts += [dataset["digest"][:32], dataset["split"], *zero]
    target = dataset.get("target") or TARGET
    parts += [target] if target != TARGET else []
    return cache_home() / "benchmark" / ("-".join(parts) + ".json")


def load_background(
    dataset: Mapping[str, Any], training: Sequence[Mapping[str, Any]], constants: Constants
) -> Background | None:
    """The kept background of a data set; None where there is none that can be read."""
    try:
        content = json.loads(background_path(dataset, training, constants).read_text("utf-8"))
        power = content["noise_power"]
        content["noise_power"] = None if power is None else np.asarray(power, np.float64)
        return Background(**content)
    except (OSError, ValueError, KeyError, TypeError):
        # A damaged or missing cache costs a measurement, nothing else.
        return None


def keep_background(truth: Truth, background: Background) -> None:
    """Keep a background, where the cache folder can be written."""
    try:
        write_json(background_path(truth.identity, truth.training, truth.constants), background.to_json())
    except (OSError, InputError):
        # Nothing is lost: it is measured again next time.
        return
