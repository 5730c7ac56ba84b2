"""Two results side by side: the paired difference over regions, and ties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.constants import STANDARD, Constants
from benchmarks.intervals import Estimate, of_means
from benchmarks.registry import PROBABILISTIC, RANKING
from benchmarks.results import identity
from three_hundred_maps.errors import InputError

_FIGURES = {RANKING: ("mse", np.sqrt), PROBABILISTIC: ("crps", np.positive)}
"""Of each ranking score: the figure of a region that it is made of, and what is made of its mean."""


def paired_difference(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    constants: Constants = STANDARD,
    score: str = RANKING,
) -> Estimate:
    """A ranking score of ``first`` less that of ``second``, dex, with its interval over common regions.

    Parameters
    ----------
    first, second
        Results on the same dataset, or their ``regions`` alone with ``id`` and ``mse`` (or ``crps``).
    score
        ``residual_rms_dex`` or ``crps``.

    Raises
    ------
    InputError
        Where they are of different datasets, regions or versions of the benchmark.
    """
    if "dataset" in first and "dataset" in second:
        if identity(first) != identity(second):
            names = [f"{r.get('name')} was scored on {' '.join(identity(r))[:60]}" for r in (first, second)]
            raise InputError(f"{', '.join(names)}: they cannot be compared pair by pair")
        versions = [str(result.get("benchmark_version")) for result in (first, second)]
        if versions[0] != versions[1]:
            raise InputError(
                f"the two results are of {' and '.join(versions)}, two versions of the benchmark: "
                "they cannot be compared pair by pair"
            )
    regions = [result.get("regions", result) for result in (first, second)]
    figure, function = _FIGURES[score]
    if any(found.get(figure) is None for found in regions):
        raise InputError("results on held-back data keep no figures of regions to compare pair by pair")
    if regions[0]["id"] != regions[1]["id"]:
        raise InputError("the two results are of different regions: they cannot be compared pair by pair")
    rows = np.column_stack([found[figure] for found in regions])
    with np.errstate(all="ignore"):
        return of_means(rows, lambda m: function(m[..., 0]) - function(m[..., 1]), constants)


def is_tie(difference: Estimate) -> bool | None:
    """Whether the interval of a paired difference contains 0; None where there is no interval."""
    if difference.low is None or difference.high is None:
        return None
    return difference.low <= 0.0 <= difference.high


def ties_with_best(results: Sequence[Mapping[str, Any]], score: str = RANKING) -> list[bool | None]:
    """For results in the order of a board: whether each ties with the first (None: cannot be told)."""
    given = [result.get("regions") or {} for result in results]
    first = given[0] if given else {}
    return [
        None
        if place == 0
        or any(not found.get(_FIGURES[score][0]) for found in (regions, first))
        # What claims other regions keeps nobody else's board from being made.
        or regions["id"] != first["id"]
        else is_tie(paired_difference(result, results[0], score=score))
        for place, (result, regions) in enumerate(zip(results, given, strict=True))
    ]
