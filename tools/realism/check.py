"""`simulate --check`: the calibration table, measured on fresh seeds through the project's own readers."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.synthetic.calibration import (
    F_GAS,
    F_GAS_SCATTER,
    F_STAR,
    F_STAR_SCATTER,
    LOG_M500,
    SCATTER_LOG_M500,
)
from three_hundred_maps.simulation.synthetic.setup import FLAVOURS, Flavour, H, check_seed
from tools.realism.survey import MEASURED, Progress, over_regions, survey_region

CHECK_SEED = 83001
"""Base seed of the report: nothing was ever tuned on it."""
CHECK_REGIONS = 800
SELECTED_MSUN = 10**13.5 / H


@dataclass(frozen=True)
class CheckRow:
    """One line of the table: what, of which flavour, measured, and the range it must lie in."""

    quantity: str
    flavour: str
    value: float
    low: float
    high: float
    number: int

    @property
    def ok(self) -> bool:
        """Whether the value lies in its range."""
        return bool(self.low <= self.value <= self.high)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "ok": self.ok}


def survey(
    seed: int,
    regions: int,
    flavour: Flavour,
    workers: int = 1,
    progress: Progress = None,
) -> NDArray[np.float64]:
    """(n, len(MEASURED)) all distinct halos of ``regions`` regions; through a scratch folder."""
    check_seed(seed, 1)
    for what, number in (("regions", regions), ("workers", workers)):
        if isinstance(number, bool) or number < 1:
            raise InputError(f"{what}: {number} asked for; ask for 1 or more")
    with tempfile.TemporaryDirectory() as scratch:
        jobs = [(Path(scratch), seed, region, flavour) for region in range(1, regions + 1)]
        return np.concatenate(over_regions(_survey_and_delete, jobs, workers, progress))


def _survey_and_delete(job: tuple[Path, int, int, Flavour]) -> NDArray[np.float64]:
    parent, seed, region, flavour = job
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        return survey_region(Path(folder), seed, region, flavour)


def _column(table: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    return np.asarray(table[:, MEASURED.index(name)], np.float64)


def _half_range(values: NDArray[np.float64]) -> float:
    low, high = np.percentile(values, [16, 84])
    return float(0.5 * (high - low))


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.polyfit(np.log10(x), np.log10(y), 1)[0])


def _fractions(table: NDArray[np.float64], flavour: Flavour) -> list[CheckRow]:
    lines = []
    log_m500 = np.log10(_column(table, "M500c"))
    for name, targets, scatters in (("f_gas", F_GAS, F_GAS_SCATTER), ("f_star", F_STAR, F_STAR_SCATTER)):
        value = _column(table, name)
        expected = np.interp(log_m500, LOG_M500, targets[flavour])
        for node, target in zip(LOG_M500, targets[flavour], strict=True):
            near = np.abs(log_m500 - node) < 0.15
            if near.sum() >= 5:
                median = float(np.median(value[near] / expected[near]) * target)
                what, low, high = f"{name},500 at log M500 {node:.1f}", 0.9 * target, 1.1 * target
                lines.append(CheckRow(what, flavour, median, low, high, int(near.sum())))
        for node, target in zip(SCATTER_LOG_M500, scatters[flavour], strict=True):
            near = np.abs(log_m500 - node) < 0.25
            if near.sum() >= 8:
                spread = _half_range(value[near] - expected[near])
                what, low, high = f"{name} scatter at {node:.1f}", 0.6 * target, 1.4 * target
                lines.append(CheckRow(what, flavour, spread, low, high, int(near.sum())))
    return lines


_SLOPES: dict[Flavour, dict[str, tuple[float, float]]] = {
    "gadgetx": {"Y-M": (1.65, 1.85), "L-M": (1.4, 1.9), "L-T": (2.2, 3.3)},
    "gizmo": {"Y-M": (1.8, 2.05), "L-M": (1.7, 2.2), "L-T": (2.2, 3.3)},
}


def _relations(table: NDArray[np.float64], flavour: Flavour) -> list[CheckRow]:
    chosen = table[_column(table, "M200c") > SELECTED_MSUN]
    n = len(chosen)
    m500, y = _column(chosen, "M500c"), _column(chosen, "Y_mpc2")
    luminosity, kelvin = _column(chosen, "L_erg_s"), _column(chosen, "T_keV")
    ranges = _SLOPES[flavour]
    slope, at_6e14 = map(float, np.polyfit(np.log10(m500 / 6e14), np.log10(y), 1))
    massive = m500 > 1e14
    cool = m500 < 1e14
    off = np.log10(kelvin) - np.polyval(np.polyfit(np.log10(m500), np.log10(kelvin), 1), np.log10(m500))
    lines = [
        CheckRow("T500 scatter at fixed mass below 1e14 (dex)", flavour,
                 _half_range(off[cool]), 0.06, 0.10, int(cool.sum())),
        CheckRow("Y500-M500 slope", flavour, slope, *ranges["Y-M"], n),
        CheckRow("Y500 at 6e14 Msun (1e-4 Mpc^2)", flavour, float(10**at_6e14 * 1e4), 0.43, 0.65, n),
        CheckRow("bolometric L-M slope", flavour, _slope(m500, luminosity), *ranges["L-M"], n),
        CheckRow("L-T slope", flavour, _slope(kelvin, luminosity), *ranges["L-T"], n),
    ]  # fmt: skip
    if flavour == "gizmo":
        above = _slope(m500[massive], y[massive])
        lines.insert(2, CheckRow("Y500-M500 slope above 1e14", flavour, above, 1.7, 1.95, int(massive.sum())))
    return lines


def _structure(table: NDArray[np.float64], flavour: Flavour) -> list[CheckRow]:
    chosen = table[_column(table, "M200c") > SELECTED_MSUN]
    n = len(chosen)
    ratio = np.log10(_column(chosen, "c200c") / _column(chosen, "c_median"))
    share = _column(chosen, "M500c") / _column(chosen, "M200c") / _column(chosen, "m500_nfw")
    log_mass = np.log10(_column(chosen, "M200c"))
    near = np.abs(log_mass - 14.5) < 0.25
    f_sub, offset, state = (_column(chosen, name) for name in ("f_sub", "offset", "state"))
    relaxed = (offset < 0.1) & (f_sub < 0.1)
    ranks = [np.argsort(np.argsort(v)).astype(np.float64) for v in (f_sub, -state)]
    correlation = np.corrcoef(ranks[0], ranks[1])
    closure = np.abs(_column(table, "M200c") / _column(table, "M_intended") - 1.0)
    return [
        CheckRow("c200c over Ishiyama et al. 2021, median", flavour,
             float(10 ** np.nanmedian(ratio)), 0.9, 1.1, n),
        CheckRow("c200c scatter (dex)", flavour, _half_range(ratio[np.isfinite(ratio)]), 0.12, 0.20, n),
        CheckRow("hydrostatic bias, median", flavour,
             float(np.nanmedian(_column(chosen, "hse_bias"))), 0.08, 0.25, n),
        CheckRow("M500c/M200c over NFW's, median", flavour, float(np.nanmedian(share)), 0.95, 1.05, n),
        CheckRow("subhaloes above m/M = 1e-3 at 1e14.5", flavour,
             float(np.mean(_column(chosen, "n_sub")[near])), 8.0, 13.0, int(near.sum())),
        CheckRow("f_sub, median", flavour, float(np.median(f_sub)), 0.06, 0.10, n),
        CheckRow("rank correlation of f_sub with relaxation", flavour,
                 float(correlation[0, 1]), -1.0, -0.4, n),
        CheckRow("centre offset, median (R200c)", flavour, float(np.median(offset)), 0.035, 0.065, n),
        CheckRow("relaxed share", flavour, float(relaxed.mean()), 0.4, 0.6, n),
        CheckRow("M200c of catalogue against input, largest error", flavour,
             float(closure.max()), 0.0, 0.01, len(table)),
    ]  # fmt: skip


def check_tables(tables: dict[Flavour, NDArray[np.float64]]) -> list[CheckRow]:
    """Every line of the table, from the survey of each flavour."""
    lines: list[CheckRow] = []
    for flavour, table in tables.items():
        lines += _fractions(table, flavour) + _relations(table, flavour) + _structure(table, flavour)
    return lines


def flatness(table: NDArray[np.float64]) -> tuple[list[int], float]:
    """Clusters by 0.1 dex of log M200c (Msun/h) in 13.5-15.0, and the fullest bin over the median one."""
    log_mass = np.log10(_column(table, "M_intended") * H)
    counts = np.histogram(log_mass, np.arange(13.5, 15.01, 0.1))[0]
    return counts.tolist(), float(counts.max() / np.median(counts))


def format_lines(lines: list[CheckRow]) -> str:
    """The table as text."""
    width = max(len(line.quantity) for line in lines)
    rows = [f"{'quantity':{width}}  flavour       value   from     to      n"]
    for line in lines:
        rows.append(
            f"{line.quantity:{width}}  {line.flavour:8}  {line.value:9.4f}  {line.low:.4f} {line.high:.4f} "
            f"{line.number:5d}  {'ok' if line.ok else 'OUT OF RANGE'}"
        )
    return "\n".join(rows)


def format_json(lines: list[CheckRow]) -> str:
    """The table as JSON."""
    return json.dumps([line.to_json() for line in lines], indent=1)


def run_surveys(
    seed: int, regions: int, workers: int = 1, progress: Progress = None
) -> dict[Flavour, NDArray[np.float64]]:
    """The survey of both flavours."""
    return {flavour: survey(seed, regions, flavour, workers, progress) for flavour in FLAVOURS}


def run_check(
    seed: int = CHECK_SEED,
    regions: int = CHECK_REGIONS,
    workers: int = 1,
    progress: Progress = None,
) -> list[CheckRow]:
    """Survey fresh regions in both flavours and say how they compare."""
    return check_tables(run_surveys(seed, regions, workers, progress))
