"""What names a row: the key of a halo, the line of sight, the views in their order, and tracks.

numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from three_hundred_maps.errors import InputError

KEY = ("simulation", "region", "snapshot", "halo_id")
"""Names of the variables that make the key of a halo: halo ids repeat between regions and simulations."""

SEALED_KEY = "key"
"""The variable that names a halo of sealed inputs: it tells nothing of the halo."""

INPUT_VIEWS = ("sz", "xray", "star")
"""The paper's input views, in the order in which tracks, channels and tables name them."""

SHEAR = ("shear1", "shear2")
"""The components that the track name ``shear`` stands for."""

NO_VIEWS = "none"
"""The track of a submission that used no map."""


class HaloKey(NamedTuple):
    """The key of a halo: unique in a store, and across stores of different simulations."""

    simulation: str
    region: int
    snapshot: int
    halo_id: int

    def __str__(self) -> str:
        return ":".join(str(part) for part in self)

    @staticmethod
    def parse(text: str) -> dict[str, Any]:
        """What ``REGION:ID``, ``REGION:SNAPSHOT:ID`` or ``SIMULATION:REGION:SNAPSHOT:ID`` says of a key.

        Raises
        ------
        InputError
            Where the text is none of these.
        """
        parts = text.split(":")
        names = {2: ("region", "halo_id"), 3: KEY[1:], 4: KEY}.get(len(parts), ())
        values: dict[str, Any] = dict(zip(names, parts, strict=False))
        try:
            for name in names:
                if name != "simulation":
                    values[name] = int(values[name])
        except ValueError:
            values = {}
        if not values:
            raise InputError(f"{text!r} names no halo: write REGION:ID, as 1:128000000000001")
        return values


def halo_keys(halos: Mapping[str, Any]) -> list[HaloKey]:
    """The keys of the rows of ``halos``, columns of equal length that include all of `KEY`."""
    columns = [np.asarray(halos[name]).tolist() for name in KEY]
    return [HaloKey(str(s), int(r), int(n), int(i)) for s, r, n, i in zip(*columns, strict=True)]


def ordered_views(views: Iterable[str]) -> tuple[str, ...]:
    """Views in their standard order: sz, xray, star, then others as they come."""
    given = list(views)
    return tuple(v for v in INPUT_VIEWS if v in given) + tuple(v for v in given if v not in INPUT_VIEWS)


def track_name(views: Sequence[str]) -> str:
    """The track of a set of views, as ``sz,xray,star``; ``none`` without, ``shear`` for both components."""
    ordered = ordered_views(views)
    if "shear" in ordered or set(SHEAR) <= set(ordered):
        ordered = (*(view for view in ordered if view not in (*SHEAR, "shear")), "shear")
    return ",".join(ordered) or NO_VIEWS


def require_list(views: Any) -> None:
    """InputError for the text of one view, whose letters would be read as views."""
    if isinstance(views, str):
        raise InputError(f"views must be a list of names, not the text {views!r}")


def parse_views(text: str) -> tuple[str, ...]:
    """The views of a comma-separated list, in the order given; InputError for no name and for one twice."""
    named = tuple(part.strip() for part in text.split(",")) if text.strip() else ()
    if not all(named):
        raise InputError(f"a view without a name in {text!r}: write views as {','.join(INPUT_VIEWS)}")
    views = tuple(view for name in named for view in (SHEAR if name == "shear" else (name,)))
    if len(set(views)) != len(views):
        raise InputError(f"a view is named twice: {text}")
    return () if views == (NO_VIEWS,) else views
