"""What tells a data set: its name, recipe and generator; and a fingerprint of its truth to hold against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.measure import Measured
from benchmarks.truth import Truth
from three_hundred_maps.store.schema import TARGET

TOLERANCE = 1e-3
"""Relative: bytes differ between types of processors, masses by less than 1e-5."""


def fingerprint(measured: Measured, truth: Truth) -> dict[str, list[float]]:
    """Of every halo in the order of its key: M200c and the mean over its maps of M(<R200c), both in Msun."""
    keys = [truth.halos[name] for name in reversed(truth.keys)]
    order = np.lexsort(keys)
    cylinder = measured.per_halo["mass_truth"].mean(axis=1) * np.asarray(truth.halos["R200c"], float) ** 2
    values = {"M200c": truth.halos["M200c"], "cylinder_mass": cylinder}
    return {name: [float(f"{v:.5g}") for v in found[order]] for name, found in values.items()}


def fingerprint_problem(found: Mapping[str, Any], kept: Mapping[str, Any]) -> str | None:
    """How one fingerprint departs from another by more than `TOLERANCE`; None where it does not."""
    for name, expected in kept.items():
        a, b = np.asarray(found.get(name, []), float), np.asarray(expected, float)
        if a.shape != b.shape:
            return f"it has {len(a)} halos, not {len(b)}"
        worst = int(np.argmax(np.abs(a / b - 1.0)))
        if abs(a[worst] / b[worst] - 1.0) > TOLERANCE:
            return f"{name} of its halo {worst + 1} is {a[worst]:.5g} Msun, not {b[worst]:.5g}"
    return None


def dataset_key(dataset: Mapping[str, Any], training: Sequence[Mapping[str, Any]] = ()) -> tuple[str, ...]:
    """What tells a data set: name, recipe and generator (else the digest of its bytes), split, what is
    predicted where it is not the mass, and the data sets whose climatology is the zero of the skill where
    these are others.

    Bytes differ between types of processors, scores do not.
    """
    identity = [dataset["name"]]
    if dataset.get("recipe_sha256") and dataset.get("generator"):
        identity += [dataset["recipe_sha256"], dataset["generator"]]
    else:
        identity += ["digest", dataset["digest"]]
    # Their climatology is that of all together, in whatever order they were named.
    zeros = sorted(dataset_key({**data, "split": "train"}) for data in training)
    zero = [part for key in zeros for part in key]
    target = dataset.get("target") or TARGET
    return (*identity, dataset.get("split", "test"), *([target] if target != TARGET else []), *zero)
