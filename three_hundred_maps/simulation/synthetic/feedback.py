"""What feedback does to a halo's baryons, in a few numbers: the two codes, a stronger one, all between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.simulation.synthetic.setup import Flavour, check_flavour

Code = Literal["gadgetx", "gizmo"]
STRATA = 52
"""Regions of one Latin hypercube (1-52, 53-104, ...): as many as the small recipes have."""

_Value = TypeVar("_Value", float, NDArray[np.float64])


@dataclass(frozen=True)
class Feedback:
    """Strengths of feedback on a scale where GADGET-X is 0 and GIZMO-SIMBA is 1.

    Parameters
    ----------
    code
        Whose file format, kernel and winds the files have.
    ejection
        How much gas is driven out of R500c.
    reach
        How far out that gas goes: what is left between R500c and R200c.
    core
        How much the cores of the gas are heated and widened.
    turbulence
        How much of the pressure is motion, and how clumpy the gas.
    stars
        How the stellar fraction depends on mass.
    """

    code: Code
    ejection: float
    reach: float
    core: float
    turbulence: float
    stars: float

    def values(self) -> dict[str, float]:
        """The strengths by name."""
        return {name: float(getattr(self, name)) for name in STRENGTHS}

    def between(self, codes: Mapping[Any, _Value], strength: str) -> _Value:
        """A quantity with the given values in the two codes, linear in a strength."""
        weight = float(getattr(self, strength))
        return codes["gadgetx"] + weight * (codes["gizmo"] - codes["gadgetx"])

    def ratio(self, codes: Mapping[Any, _Value], strength: str) -> _Value:
        """The same of positive quantities, linear in the logarithm."""
        weight = float(getattr(self, strength))
        return codes["gadgetx"] ** (1.0 - weight) * codes["gizmo"] ** weight

    def heated(self, gadgetx: float, gizmo: float) -> float:
        """A number that goes with ``core``; see `between`."""
        return self.between({"gadgetx": gadgetx, "gizmo": gizmo}, "core")

    def turbulent(self, gadgetx: float, gizmo: float) -> float:
        """A number that goes with ``turbulence``; see `between`."""
        return self.between({"gadgetx": gadgetx, "gizmo": gizmo}, "turbulence")


STRENGTHS = tuple(field.name for field in fields(Feedback) if field.name != "code")

_FIXED: dict[Flavour, Feedback] = {
    "gadgetx": Feedback("gadgetx", 0.0, 0.0, 0.0, 0.0, 0.0),
    "gizmo": Feedback("gizmo", 1.0, 1.0, 1.0, 1.0, 1.0),
    "simba-strong": Feedback("gizmo", 1.4, 1.5, 1.6, 1.6, 0.4),
}
"""``simba-strong`` has 25-30 % less gas in groups (M500c of 10^13.3-10^13.8 Msun) than ``gizmo``, 15 % less
at 10^14.1, and wider cores. At 10^14 Msun that is the gas fraction of FLAMINGO's strongest feedback (about
0.055; Schaye et al. 2023), in groups the 0.02-0.03 of Simba and of stacked eROSITA groups (Robson & Dave
2020; Popesso et al. 2024)."""

RANGES = {
    "ejection": (-0.3, 1.5),
    "reach": (-0.5, 1.8),
    "core": (-0.3, 1.8),
    "turbulence": (-1.0, 2.0),
    "stars": (-0.5, 1.5),
}
"""Of the hypercube: both codes, the stronger one, and as much again. The gas fraction at M500c of 10^14.1
Msun is 0.06-0.13, from FLAMINGO's strongest feedback to its weakest (Schaye et al. 2023)."""


def hypercube(seed: int, region: int) -> Feedback:
    """The strengths of a region: one point of a Latin hypercube (McKay et al. 1979) over `RANGES`.

    Of each `STRATA` regions (1-52, 53-104, ...) exactly one lies in each of as many equal parts of the range
    of every strength; a pure function of its arguments.
    """
    block, place = divmod(region - 1, STRATA)
    rng = np.random.default_rng(np.random.SeedSequence([int(seed), int(block), len(RANGES)]))
    values = {}
    for name, (low, high) in RANGES.items():
        order = rng.permutation(STRATA)
        share = (order[place] + rng.random(STRATA)[place]) / STRATA
        values[name] = float(low + (high - low) * share)
    return Feedback("gizmo", **values)


def feedback_of(flavour: Flavour, seed: int, region: int) -> Feedback:
    """The feedback of a flavour in a region: the same in all of them but for ``hypercube``."""
    check_flavour(flavour)
    return hypercube(seed, region) if flavour == "hypercube" else _FIXED[flavour]
