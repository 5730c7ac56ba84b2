"""A result as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.registry import NO_FLOOR, SCORES
from three_hundred_maps.keys import KEY


def score_table(result: dict[str, Any]) -> str:
    """The scores as a table for a terminal, beside the reference rows and the noise floor."""
    data = result["dataset"]
    references = result["references"]
    rows = [("score", "value", "95 % interval", *references, "noise floor")]
    for name, found in result["scores"].items():
        digits = SCORES[name].digits
        note = found.get("note", "")
        interval = note
        if found["low"] is not None:
            interval = f"{_number(found['low'], digits)} to {_number(found['high'], digits)}"
        value = note.split(";")[0] if note.startswith(">=") else _number(found["value"], digits)
        others = (_number(r["scores"].get(name, {}).get("value"), digits) for r in references.values())
        noise = _number((result["noise_floor"] or {}).get(name), digits)
        rows.append((name, value, interval, *others, noise))
    return "\n".join(
        [
            f"{result['name']}: {result['task']}, track {result['track']}, on {data['name']} "
            f"({data['halos']} halos x {data['lines_of_sight']} lines of sight, {data['regions']} regions)",
            *_aligned(rows),
            *([NO_FLOOR] if result["noise_floor"] is None else []),
            *(f"flag: {flag}" for flag in result["flags"]),
            *_halo_lines(result),
        ]
    )


def _halo_lines(result: dict[str, Any]) -> list[str]:
    """The table halo by halo of a result on all splits."""
    if not result.get("halos"):
        return []
    lines = [("halo", "split", "M200c", "redshift", "rms [dex]", "rms / climatology", "mass bias", "outside")]
    for row in result["halos"]:
        key = ", ".join(str(row[name]) for name in KEY if name in row)
        mass, redshift, rms, ratio, bias = (
            row[k] for k in ("M200c", "redshift", "residual_rms_dex", "rms_over_climatology", "mass_bias")
        )
        lines.append(
            (key, row["split"], f"{mass:.3e}", f"{redshift:.2f}", f"{rms:.4f}", f"{ratio:.3f}",
             f"{bias:+.3f}", ", ".join(row["outside"]))
        )  # fmt: skip
    names = " and ".join(data["name"] for data in result["training"])
    head = f"halo by halo, against the climatology of {names}; outside: what lies beyond its training range"
    return ["", head, *_aligned(lines)]


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a table, its first column to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]


def _number(value: float | None, digits: int) -> str:
    """A number with its decimals; one of many digits in five of them."""
    if value is None:
        return "-"
    return f"{value:z.{digits}f}" if abs(value) < 1e4 else f"{value:.4e}"
