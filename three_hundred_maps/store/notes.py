"""What a build notices of its halos: kept beside the records, told in the root attributes at the end."""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from three_hundred_maps.io import write_json
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.records import PROGRESS

NOTES = f"{PROGRESS}/notes"
LARGE_SHARE = 0.3
"""Of a view's light inside R200c in ten particles: over it the view is said to be dominated by them."""
NOTICED = ("warnings", "ten_brightest_share", "corrections")
"""Root attributes that say what was noticed: they are known when a store is finished."""
EMPTY_TRAIN = "split train is empty: there are no statistics, and nothing to train a model on"


def write_notes(store: Path, split: str, shard: int, notes: Sequence[Mapping[str, Any]]) -> None:
    """Write what was noticed of a shard's halos, before its record.

    Parameters
    ----------
    notes
        One mapping a halo: ``halo``, its key as text; ``brightest``, by view the share of the light that ten
        particles give; ``warning``, a sentence or None; ``corrections``, how many values were mended where
        its particles were read, by what was done; ``snapshot``, the same of its whole snapshot: ``place``,
        which it is, ``warnings`` and ``corrections``.
    """
    write_json(store / NOTES / f"{split}-{shard:05d}.json", list(notes))


def closing_attrs(store: Path, layout: Layout) -> dict[str, Any]:
    """The root attributes with what was noticed: those of `NOTICED`, where there is anything to say."""
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
            cure = (
                "simulation.gas.xray_max_hydrogen_density_cm3 and simulation.gas.xray_max_share "
                "leave such gas out"
            )
            warnings.append(
                f"view {view}: in {many} of {len(each)} halos ten particles give over {LARGE_SHARE:.0%} of "
                f"the light inside R200c, at most {largest:.0%} (halo {halo})"
                f"{'; ' + cure if view.startswith('xray') else ''}"
            )
    told = [note["warning"] for note in noticed if note["warning"]]
    if told:
        warnings.append(f"{len(told)} of {len(noticed)} halos differ from their catalogue: {told[0]}")
    snapshots = {tuple(note["snapshot"]["place"]): note["snapshot"] for note in noticed}
    said = [text for snapshot in snapshots.values() for text in snapshot["warnings"]]
    if said:
        more = f", and {len(said) - 1} more" if said[1:] else ""
        warnings.append(f"the most massive halos were held against their catalogue: {said[0]}{more}")
    if not layout.splits["train"]:
        warnings.append(EMPTY_TRAIN)
    here = {
        "ten_brightest_share": shares,
        "warnings": list(dict.fromkeys(warnings)),
        "corrections": _summed([layout.attrs, *snapshots.values(), *noticed]),
    }
    return {**layout.attrs, **{name: value for name, value in here.items() if value}}


def _summed(parts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The ``corrections`` of all parts together."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part.get("corrections", {}))
    return dict(sorted(total.items()))


def by_kind(reasons: Sequence[str]) -> list[tuple[int, str]]:
    """How many reasons are alike but for their numbers, and the first of each; the commonest first."""
    kinds = [re.sub(r"\d[\d.e+-]*", "N", reason) for reason in reasons]
    first: dict[str, str] = {}
    for kind, reason in zip(kinds, reasons, strict=True):
        first.setdefault(kind, reason)
    return [(number, first[kind]) for kind, number in Counter(kinds).most_common()]


def say_warnings(attrs: Mapping[str, Any]) -> None:
    """A store's ``warnings`` and ``corrections`` on standard error, also where nothing else is said."""
    mended = attrs.get("corrections")
    for warning in (*attrs.get("warnings", ()), *([corrections_text(mended)] if mended else [])):
        print(f"warning: {warning}", file=sys.stderr)


def corrections_text(corrections: Mapping[str, int]) -> str:
    """What was mended, and how often, in one line."""
    done = "; ".join(f"{what} ({number:,})" for what, number in corrections.items())
    return f"values mended on reading: {done}"


def subset_attrs(attrs: Mapping[str, Any], views: Sequence[str], *, whole: bool) -> dict[str, Any]:
    """A store's root attributes for some of its views, without what was noticed of the others.

    Parameters
    ----------
    attrs, views
        The store's attributes, and the views that are kept.
    whole
        Whether all halos are: else the shares are not theirs.
    """
    warnings = [
        text
        for text in attrs.get("warnings", ())
        if not (found := re.search(r"(?:^|, )view (\w+):", text)) or found[1] in views
    ]
    if not whole:
        # Numbers of halos in them are the whole store's; whether train is empty is seen again.
        mark = "of a store that this is part of, "
        warnings = [mark + text.removeprefix(mark) for text in warnings if text != EMPTY_TRAIN]
    shares = attrs.get("ten_brightest_share", {}) if whole else {}
    kept = {
        "warnings": warnings,
        "ten_brightest_share": {view: share for view, share in shares.items() if view in views},
    }
    others = {name: value for name, value in attrs.items() if name not in kept}
    return {**others, **{name: value for name, value in kept.items() if value}}


def joined_attrs(stores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of `NOTICED`, what a store made of several says from the start, given their root attributes.

    Whether train is empty is seen again. The shares are of the halos of each.
    """
    warnings = [text for attrs in stores for text in attrs.get("warnings", ()) if text != EMPTY_TRAIN]
    joined = {
        "warnings": list(dict.fromkeys(warnings)),
        "corrections": _summed(stores),
    }
    return {name: value for name, value in joined.items() if value}
