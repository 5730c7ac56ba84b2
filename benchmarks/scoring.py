"""Scoring: stream the truth shard by shard, measure, summarise, write a result."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import references
from benchmarks.cases import make_case, pack_image, pick_cases
from benchmarks.compare import paired_difference
from benchmarks.constants import STANDARD, VERSION, Constants
from benchmarks.disclosure import disclosed
from benchmarks.features import Features
from benchmarks.manifest import MANIFEST, Description, Manifest
from benchmarks.measure import Measured, measure
from benchmarks.posterior import measure_samples, references_of
from benchmarks.predictions import Predictions
from benchmarks.records import check_store
from benchmarks.registry import BELOW_NOISE, RANKING
from benchmarks.results import SCHEMA, check_result, read_result
from benchmarks.submissions import check_values
from benchmarks.summary import Summary, score_values
from benchmarks.tables import conditional_tables, halo_rows
from benchmarks.tasks import MASS_MAP
from benchmarks.texts import shown
from benchmarks.truth import Block, Truth
from benchmarks.validation import checked, order_of, task_of
from benchmarks.variables import SAMPLES
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import cores
from three_hundred_maps.progress import progress
from three_hundred_maps.store.local import find_store

Array = NDArray[np.float64]
Reader = Callable[[str, NDArray[np.int64]], NDArray[np.float32]]
MAPS_AT_ONCE = 32
"""Maps whose metrics are worked out together: bounds the memory of one worker, and what its cache holds."""
SUBMISSION = "submission"
_REFERENCE = "reference"
COPY = "a copy of the truth: pixels equal it bit by bit"
"""Another flag that keeps a result from being ranked."""
NOISE_KNOWN = "made from the truth: it correlates with the truth's own noise"
"""The third such flag: a blurred truth, a truth with noise on it, a half-sample."""


def _measure_rows(
    truth: Truth,
    block: Block,
    part: slice,
    predicted: Mapping[str, NDArray[np.float32]],
    names: tuple[str, ...],
    on_grid: bool,
) -> dict[str, Measured]:
    """Measure a few halos of a block: the submission, the reference rows, the half-samples."""
    rows = block.rows[part]
    r500 = truth.r500[rows]
    target = Features(block.maps[part], truth.grid, r500)
    climatology = truth.grid.climatology(truth.climatology.climatology).ravel()[truth.grid.inside]
    results: dict[str, Measured] = {}
    for name in names:
        if name == references.NOISE and block.half is None:
            continue
        sigma, against = None, target
        samples: dict[str, NDArray[Any]] = {}
        if name == SUBMISSION and SAMPLES in predicted:
            given = predicted[SAMPLES][part], predicted[_REFERENCE][part]
            features, samples = measure_samples(*given, rows, target, on_grid=on_grid)
        elif name == SUBMISSION:
            features = Features(predicted["mass"][part], truth.grid, r500)
            sigma = predicted["mass_sigma"][part] if "mass_sigma" in predicted else None
        elif name == references.NOISE:
            assert block.half is not None
            half = np.asarray(block.half[part], np.float64)
            # The other half is what is left of the whole; rounding may leave a negative nothing.
            other = np.maximum(2.0 * block.maps[part] - half, 0.0)
            features, against = (Features(maps, truth.grid, r500) for maps in (half, other))
        else:
            features = references.reference_features(name, truth, rows)
        results[name] = measure(features, against, climatology, truth.data_range, sigma)
        results[name].per_halo.update(samples)
    return results


def stream(
    truth: Truth,
    names: tuple[str, ...],
    read: Reader | None = None,
    variables: Sequence[str] = ("mass",),
    workers: int = 0,
    on_grid: bool = False,
) -> dict[str, Measured]:
    """Measure predictions against the truth, shard by shard.

    Parameters
    ----------
    truth
        What is scored against.
    names
        Any of ``submission``, the reference rows and ``noise floor``.
    read
        (variable, rows of the truth) -> (halo, los, y, x): the submission's maps.
    variables
        What it has: ``mass``, with or without ``mass_sigma``, or ``mass_samples``.
    workers
        Threads; 0 for as many as there are processors. The result does not depend on it.
    on_grid
        Whether ``mass_samples`` are on the score grid already.
    """
    workers = workers or cores()
    total: dict[str, Measured] = {}
    bar = progress(total=truth.n_halos, desc="scoring", unit="halo")
    step = max(1, MAPS_AT_ONCE // truth.n_los)
    blocks: Iterable[Block] = truth.blocks(half=references.NOISE in names)
    other = references_of(truth.n_halos, truth.constants.bootstrap_seed)
    if read is not None and SAMPLES in variables:
        # Samples are many maps a halo: no more of them are held than are worked on.
        step = 1
        blocks = (part for block in blocks for part in block.parts(workers))

    def predictions_of(block: Block) -> dict[str, NDArray[np.float32]]:
        predicted: dict[str, NDArray[np.float32]] = {}
        if read is None:
            return predicted
        for variable in variables:
            predicted[variable] = read(variable, block.rows)
            check_values(variable, predicted[variable], int(block.rows[0]), truth.task)
        if SAMPLES in predicted:
            predicted[_REFERENCE] = np.concatenate([truth.maps_of(int(row)) for row in other[block.rows]])
        return predicted

    def keep(found: Iterable[dict[str, Measured]]) -> None:
        # Joined at once, since each part holds maps of sums; in order, so that no sum depends on the parts.
        done = list(found)
        for name in done[0] if done else ():
            before = [total[name]] if name in total else []
            total[name] = Measured.join([*before, *(each[name] for each in done)])
        bar.update(sum(len(next(iter(each.values())).per_halo["mse"]) for each in done))

    with ThreadPoolExecutor(workers) as pool, bar:
        running: Iterable[dict[str, Measured]] = ()
        for block in blocks:
            # Read while the block before is worked on; no more than these two are held.
            predicted = predictions_of(block)
            keep(running)
            slices = [slice(i, i + step) for i in range(0, len(block.rows), step)]
            work = functools.partial(
                _measure_rows, truth, block, predicted=predicted, names=names, on_grid=on_grid
            )
            running = pool.map(work, slices)
        keep(running)
    return total


def score_maps(
    truth: Truth,
    read: Reader | None,
    *,
    variables: Sequence[str] = ("mass",),
    workers: int = 0,
    check: bool = True,
    on_grid: bool = False,
) -> tuple[Measured | None, references.Background]:
    """Measure a submission, and the background of the dataset where it is not kept yet, in one pass.

    ``check``: hold the truth against the record that is kept of its data set, where there is one.
    """
    background = references.load_background(truth.identity, truth.training, truth.constants)
    names: tuple[str, ...] = (SUBMISSION,) if read is not None else ()
    if background is None:
        names += tuple(references.REFERENCES) + ((references.NOISE,) if truth.has_half else ())
    measured = stream(truth, names, read, variables, workers, on_grid) if names else {}
    if background is None:
        background = references.background_of(truth, measured)
        references.keep_background(truth, background)
    if check:
        check_store(truth, background)
    return measured.get(SUBMISSION), background


def _knows_noise(measured: Measured, truth: Truth, noise_power: Array | None) -> bool:
    """Whether a prediction correlates with the truth by more than a truth without noise could.

    Re(F_p F_t*) / sqrt(P_p P_s), P_s the truth's power without its noise, is 1 at most for what does not know
    the noise, and sqrt(P_t / P_s) for any filtered truth. Bins count where P_s is a tenth of P_t or more:
    where it is less it is not known well enough. Of the halos that have half-samples.
    """
    if noise_power is None:
        return False
    own, noisy, cross = (
        measured.per_halo[name][truth.half_rows].sum(axis=0)
        for name in ("power", "power_truth", "power_cross")
    )
    clean = noise_power.sum(axis=0)
    most = truth.constants.noise_correlation * np.sqrt(np.maximum(own * clean, 0.0))
    return bool(np.any((clean > 0.1 * noisy) & (cross > most) & (own > 0)))


def _flags(
    scores: Mapping[str, Any], measured: Measured, truth: Truth, background: references.Background
) -> list[str]:
    c, flags, noise = truth.constants, [], background.noise_floor
    bias = scores["residual_bias"]["value"]
    if bias is not None and abs(bias) > c.biased_dex:
        flags.append("biased")
    if float(np.mean(measured.per_halo["copied"])) > c.copied_share:
        flags.append(COPY)
    if _knows_noise(measured, truth, background.noise_power):
        flags.append(NOISE_KNOWN)
    if scores[RANKING]["value"] < ((noise or {}).get(RANKING) or 0.0):
        flags.append(BELOW_NOISE)
    return flags


def score_submission(
    folder: str | Path,
    store: str | Path,
    *,
    split: str | None = None,
    trained_on: Sequence[str | Path] = (),
    in_domain: str | Path | None = None,
    constants: Constants = STANDARD,
    workers: int = 0,
) -> dict[str, Any]:
    """Score a submission against a store: its test split, or all of its splits where the task says so.

    Parameters
    ----------
    folder
        The submission.
    store
        The dataset predicted on, with its truth (sealed or not).
    split
        By default the task's; another one is an error.
    trained_on
        Stores that the model was trained on, for the task ``transfer``: their climatology is the zero of the
        skill.
    in_domain
        Result of the model trained on this dataset's own train split: gives ``degradation``.
    constants
        Of the benchmark; others than this version's are for tests.
    workers
        Threads; 0 for as many as there are processors.

    Returns
    -------
    A result, as `benchmarks.results.Result` describes it. The same for the same input.

    Raises
    ------
    InputError
        With all that is wrong with the submission, in one line.
    """
    task = task_of(folder)
    if trained_on and not task.zero_of_training:
        # Before the stores are looked for: a config is built at its first use.
        raise InputError(f"--trained-on is for the task transfer; the task is {task.name}")
    zero = [find_store(each) for each in trained_on]
    truth = Truth(store, constants, task=task, split=split, trained_on=zero)
    manifest, predictions = checked(folder, truth, values=False)
    _check_zero(manifest, truth)
    order, _ = order_of(predictions, truth)
    other = read_result(in_domain) if in_domain is not None else None

    def read(variable: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return predictions.read(variable, order[rows])

    measured, background = score_maps(
        truth, read, variables=tuple(predictions.maps), workers=workers, on_grid=predictions.on_grid
    )
    assert measured is not None
    result = assemble(manifest, truth, measured, background)
    if not truth.sealed:
        result["cases"] = _cases(truth, measured, read, predictions)
    if other is not None:
        if (other["task"], other["track"]) != (MASS_MAP.name, manifest.track):
            raise InputError(
                f"{in_domain}: task {other['task']}, track {other['track']}; degradation is against a result "
                f"of {MASS_MAP.name} on the same track, {manifest.track}"
            )
        difference = paired_difference(result, other, constants)
        result["scores"]["degradation"] = difference.to_json()
        result["in_domain"] = {"name": other["name"], "track": other["track"]}
    # Scores beyond what boards can show are told here, not when a board is made.
    return check_result(disclosed(result, constants) if truth.sealed else result, f"what {folder} scores")


def _check_zero(manifest: Manifest, truth: Truth) -> None:
    """The zero of the skill is the climatology of what was trained on, where that is another store."""
    if not truth.task.zero_of_training:
        return
    if not truth.trained_on:
        raise InputError(
            f"the task {manifest.task} needs --trained-on STORE: the store that the model was trained on, "
            "whose climatology is the zero of the skill"
        )
    if truth.digest in [data["digest"] for data in truth.training]:
        raise InputError(
            f"--trained-on {truth.path}: a model trained on what is scored is not a {manifest.task}"
        )
    names = "+".join(str(data["name"]) for data in truth.training)
    if manifest.trained_on is not None and manifest.trained_on != names:
        raise InputError(
            f"{MANIFEST} says trained_on {shown(manifest.trained_on, 60)!r}, but --trained-on gives {names!r}"
        )


def assemble(
    manifest: Manifest, truth: Truth, measured: Measured, background: references.Background
) -> dict[str, Any]:
    """A result from what was measured."""
    c = truth.constants
    region = truth.halos["region"]
    summary = Summary(measured, region, truth.grid, background.noise_free(truth))
    scores = score_values(references.all_scores(summary, truth, background))
    flags = _flags(scores, measured, truth, background)
    maps = float(measured.counts["maps"])
    mean = measured.counts["residual_sum"] / maps
    rms = np.sqrt(measured.counts["residual_square"] / maps)
    digest = None if c == STANDARD else c.digest()
    return {
        "schema": SCHEMA,
        "benchmark_version": VERSION if digest is None else f"constants {digest}",
        "parameters": None,
        "predictions_sha256": None,
        **manifest.model_dump(include=set(Description.model_fields), exclude_none=True),
        "dataset": {
            **truth.identity,
            "fingerprint": background.fingerprint,
            "width_R200c": truth.grid.maps.width,
            "synthetic": bool(truth.attrs.get("synthetic")),
            "halos": truth.n_halos,
            "lines_of_sight": truth.n_los,
            "regions": len(summary.regions.ids),
            "sealed": truth.sealed,
        },
        "ranked": len(summary.regions.ids) >= truth.task.least_regions
        and not {COPY, NOISE_KNOWN, BELOW_NOISE} & set(flags),
        "flags": flags,
        "scores": scores,
        "secondary": score_values(summary.secondary()),
        "curves": summary.curves(),
        "histogram": summary.histogram(),
        **(
            {"samples": summary.samples, "rank_histogram": summary.rank_histogram()}
            if summary.samples
            else {}
        ),
        "tables": conditional_tables(measured, truth.halos, truth.grid),
        **({"training": truth.training, "halos": halo_rows(measured, truth)} if truth.trained_on else {}),
        "regions": summary.per_region(),
        "residual_maps": {
            "mean": pack_image(mean, -0.3, 0.3),
            "rms": pack_image(rms, 0.0, max(0.1, math.ceil(10 * float(rms.max())) / 10)),
        },
        "references": background.references,
        "noise_floor": background.noise_floor,
    }


def _cases(truth: Truth, measured: Measured, read: Reader, predictions: Predictions) -> dict[str, Any]:
    cases = {}

    def log(maps: NDArray[np.float32], rows: NDArray[np.int64], on_grid: bool = False) -> Array:
        smooth = np.asarray(maps, np.float64) if on_grid else None
        return Features(maps, truth.grid, truth.r500[rows], smooth=smooth).log

    for name, (halo, los) in pick_cases(np.asarray(measured.per_halo["mse_map"])).items():
        rows = np.array([halo])
        expected = log(truth.maps_of(halo)[:, los : los + 1], rows)[0]
        if SAMPLES in predictions.maps:
            samples = log(read(SAMPLES, rows)[:, los], rows, predictions.on_grid)
            predicted = samples.mean(axis=0)
        else:
            samples = None
            predicted = log(read("mass", rows)[:, los : los + 1], rows)[0]
        values = {k: truth.halos[k][halo].item() for k in truth.key_names}
        cases[name] = {
            **values,
            "los": los,
            "rms_dex": float(f"{math.sqrt(measured.per_halo['mse_map'][halo, los]):.4g}"),
            **make_case(predicted, expected, samples),
        }
    return cases
