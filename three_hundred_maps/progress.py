"""Progress bars for long work: one place that decides how they look and when they are silent."""

from __future__ import annotations

import os
from typing import Any

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


def progress(iterable: Any = None, *, total: int | None = None, desc: str = "", unit: str = "it") -> Any:
    """Wrap ``iterable`` in a tqdm bar on standard error (or make one to ``update`` by hand).

    Parameters
    ----------
    iterable
        What to iterate over, or None for a bar driven by ``update``.
    total
        The number of steps, where it cannot be asked of ``iterable``.
    desc, unit
        The bar's label and the name of one step; bytes (``B``) are shown as MB and GB.
    """
    from tqdm import tqdm

    return tqdm(
        iterable,
        total=total,
        desc=desc,
        unit=unit,
        unit_scale=unit == "B",
        disable=is_quiet(),
        dynamic_ncols=True,
        mininterval=0.3,
    )
