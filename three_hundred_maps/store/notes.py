"""What a build notices of its halos: kept beside the records, told in the root attributes at the end."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from three_hundred_maps.io import write_json
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.records import PROGRESS

NOTES = f"{PROGRESS}/notes"
LARGE_SHARE = 0.3
"""Of a view's light inside R200c in ten particles: over it the view is said to be dominated by them."""
EMPTY_TRAIN = "split train is empty: there are no statistics, and nothing to train a model on"


def write_notes(store: Path, split: str, shard: int, notes: Sequence[Mapping[str, Any]]) -> None:
    """Write what was noticed of a shard's halos, before its record.

    Parameters
    ----------
    notes
        One mapping a halo: ``halo``, its key as text; ``brightest``, by view the share of the light that ten
        particles give; ``warning``, a sentence or None.
    """
    write_json(store / NOTES / f"{split}-{shard:05d}.json", list(notes))


def closing_attrs(store: Path, layout: Layout) -> dict[str, Any]:
    """The root attributes with what was noticed: ``ten_brightest_share``, and more ``warnings``."""
    paths = sorted((store / NOTES).glob("*.json"))
    noticed = [note for path in paths for note in json.loads(path.read_bytes())]
    warnings = list(layout.attrs.get("warnings", ()))
    shares: dict[str, dict[str, Any]] = {}
    for view in layout.views:
        each = [(note["brightest"][view], note["halo"]) for note in noticed if view in note["brightest"]]
        if not each:
            continue
        largest, halo = max(each)
        median = statistics.median(share for share, _ in each)
        shares[view] = {"median": round(median, 4), "largest": round(largest, 4), "halo": halo}
        many = sum(share > LARGE_SHARE for share, _ in each)
        if many:
            cure = "gas.xray_max_hydrogen_density_cm3 and gas.xray_max_share leave such gas out"
            warnings.append(
                f"view {view}: in {many} of {len(each)} halos ten particles give over {LARGE_SHARE:.0%} of "
                f"the light inside R200c, at most {largest:.0%} (halo {halo})"
                f"{'; ' + cure if view.startswith('xray') else ''}"
            )
    told = [note["warning"] for note in noticed if note["warning"]]
    if told:
        warnings.append(f"{len(told)} of {len(noticed)} halos differ from their catalogue: {told[0]}")
    if not layout.splits["train"] and EMPTY_TRAIN not in warnings:
        warnings.append(EMPTY_TRAIN)
    more = {"ten_brightest_share": shares, "warnings": warnings}
    return {**layout.attrs, **{name: value for name, value in more.items() if value}}
