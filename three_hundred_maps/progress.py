"""Progress bars for long work: one place that decides how they look and when they are silent."""

from __future__ import annotations

import os
import sys
from typing import Any

from tqdm import tqdm

QUIET_VARIABLE = "THREE_HUNDRED_MAPS_QUIET"


def set_quiet(quiet: bool) -> None:
    """Silence (or restore) every progress bar of this process and of those it starts."""
    if quiet:
        os.environ[QUIET_VARIABLE] = "1"
    else:
        os.environ.pop(QUIET_VARIABLE, None)


def is_quiet() -> bool:
    """Whether progress bars and notes are to be kept quiet."""
    return bool(os.environ.get(QUIET_VARIABLE))


def note(text: str) -> None:
    """One line on standard error, unless `is_quiet`."""
    if not is_quiet():
        print(f"three_hundred_maps: {text}", file=sys.stderr, flush=True)


def progress(
    iterable: Any = None,
    *,
    total: int | None = None,
    desc: str = "",
    unit: str = "it",
    after_first: bool = False,
) -> Any:
    """Wrap ``iterable`` in a tqdm bar on standard error (or make one to ``update`` by hand).

    Parameters
    ----------
    iterable
        What to iterate over, or None for a bar driven by ``update``.
    total
        The number of steps, where it cannot be asked of ``iterable``.
    desc, unit
        The bar's label and the name of one step; bytes (``B``) are shown as MB and GB.
    after_first
        Show nothing before the first step, so that bad input is told in its one line alone.
    """
    return tqdm(
        iterable,
        total=total,
        desc=desc,
        unit=unit,
        unit_scale=unit == "B",
        disable=is_quiet(),
        dynamic_ncols=True,
        mininterval=0.3,
        delay=1e-6 if after_first else 0,
    )
