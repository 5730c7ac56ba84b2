"""Values that no snapshot has are refused, those that codes are known to write are mended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.gas import CLIPPED, LIMITS, NEIGHBOURS, POSITIVE

_MOST_ZEROS = 0.01
"""Share of the rows of a column that may hold a zero which means nothing."""
_ROUNDING = 1e-3
"""Abundances are not farther below zero than this."""


class ColumnChecks:
    """The checks of one snapshot's columns.

    Attributes
    ----------
    corrections
        How many values were mended, by what was done.
    """

    def __init__(self, path: Path, factors: Mapping[str, float]) -> None:
        self._path, self._factors = path, factors
        self.corrections: dict[str, int] = {}

    def check(self, column: NDArray[np.float32], name: str, species: str) -> int:
        """Refuse values that no snapshot has, mend those that codes are known to write; the number of zeros.

        Zeros where they mean nothing (mass, density, smoothing length) may be in 1 % of the rows, and
        abundances that rounding took below zero are set to zero.
        """
        if not len(column):
            return 0
        least, most = (limit / self._factors.get(name, 1.0) for limit in LIMITS[name])
        low, high = float(column.min()), float(column.max())
        if name in CLIPPED and -_ROUNDING <= low < 0.0:
            below = (column < 0) & (column >= -_ROUNDING)
            column[below] = 0.0
            self._note(f"{species}: {name.replace('_', ' ')} below 0, set to 0", int(below.sum()))
            low = float(column.min())
        zeros = int(np.count_nonzero(column == 0)) if name in POSITIVE and low == 0.0 else 0
        within = least <= low and high <= most  # false for NaN
        if within and zeros <= _MOST_ZEROS * len(column):
            if zeros:
                done = "left out" if name == "mass" else "derived from the other columns"
                self._note(f"{species}: {name.replace('_', ' ')} of 0, {done}", zeros)
            return zeros
        bad = ~np.isfinite(column) | (column > most)
        bad |= (column <= least) if name in POSITIVE else (column < least)
        row = int(np.argmax(bad))
        raise InputError(
            f"{self._path}: {species}: {name.replace('_', ' ')} of row {row} is {column[row]:.6g} "
            f"({int(bad.sum())} of {len(column)} rows are not usable): damaged, or in other units"
        )

    def _note(self, what: str, number: int) -> None:
        self.corrections[what] = self.corrections.get(what, 0) + number

    def fill_gas(
        self, mass: NDArray[np.float32] | float, gas: Mapping[str, NDArray[np.float32]], kernel: str
    ) -> NDArray[np.float32] | float:
        """Give gas of no density or smoothing length what the other implies; its masses, 0 without either."""
        empty = [gas[name] <= 0 for name in ("density", "smoothing_length") if name in gas]
        rows = np.flatnonzero(np.logical_or.reduce(empty)) if empty else np.zeros(0, np.int64)
        if not len(rows):
            return mass
        n = len(next(iter(gas.values())))
        masses = np.full(n, mass, np.float32) if isinstance(mass, float) else mass
        density = gas.get("density", np.zeros(n, np.float32))
        smoothing = gas.get("smoothing_length", np.zeros(n, np.float32))
        # Both in the file's units; the kernel's radius may be in another one than the positions.
        unit = self._factors["smoothing_length"] / self._factors["position"]
        sphere = NEIGHBOURS[kernel] / (4.0 / 3.0 * math.pi)
        for row in rows:
            if smoothing[row] > 0 and "density" in gas:
                density[row] = sphere * masses[row] / (unit * smoothing[row]) ** 3
            elif density[row] > 0 and "smoothing_length" in gas:
                smoothing[row] = np.cbrt(sphere * masses[row] / density[row]) / unit
            elif "density" in gas and density[row] <= 0:
                masses[row] = 0.0
        return masses
