"""The generated tables of ``docs/benchmark.md`` and ``docs/train.md``: ``python -m tools.documentation``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from baselines.command import command_line
from baselines.settings import Parser, Settings, default_words, meaning
from benchmarks.constants import STANDARD, VERSION
from benchmarks.registry import CURVES, SCORES
from benchmarks.tasks import TASKS
from three_hundred_maps.display import markdown_table
from three_hundred_maps.io import write_bytes

DOCS = Path(__file__).resolve().parent.parent / "docs"
BETTER = {"low": "lower", "high": "higher"}


def scores_table() -> str:
    """Every score: name, unit, which way is better, meaning."""
    rows = [
        (
            f"`{s.name}`",
            s.units,
            BETTER[s.better] if isinstance(s.better, str) else f"{s.better:g}",
            s.meaning,
        )
        for s in SCORES.values()
    ]
    rows += [(f"`{name}` (a curve)", "", "", text) for name, text in CURVES.items()]
    return markdown_table(("score", "unit", "better", "meaning"), rows)


def constants_table() -> str:
    """Every constant of this version."""
    rows = []
    for field in dataclasses.fields(STANDARD):
        value = getattr(STANDARD, field.name)
        text = ", ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
        rows.append((f"`{field.name}`", text))
    return f"Version {VERSION}, digest `{STANDARD.digest()}`.\n\n" + markdown_table(
        ("constant", "value"), rows
    )


def tasks_table() -> str:
    """Every task, with the recipes of its data."""
    rows = [
        (f"`{t.name}`", f"`{t.target}`", t.text, "; ".join(f"{a} → {b}" for a, b in t.recipes))
        for t in TASKS.values()
    ]
    return markdown_table(("task", "target", "what it is", "trained on → scored on"), rows)


def settings_table() -> str:
    """Every setting of training: option, defaults (also those of presets), meaning."""
    rows = [
        (f"`--{item.name.replace('_', '-')}`", "; ".join(default_words(item.name)), meaning(item))
        for item in dataclasses.fields(Settings)
    ]
    return markdown_table(("option", "default", "meaning"), rows)


def gpu_table() -> str:
    """What `tools.gpu` measured on a GPU: docs/gpu.json holds its figures."""
    kept = json.loads((DOCS / "gpu.json").read_text(encoding="utf-8"))
    measured, projected = kept["training"], kept["projection"]["torch"]
    loop, network, inference = (measured[name] for name in ("loop", "network", "inference_samples_per_s"))
    rows = [
        (f"whole training step, {name}", f"{one['samples_per_s']:,.0f} samples/s", _step(one))
        for name, one in loop.items()
    ]
    rows += [
        (f"float32 step of the network alone, {name}", f"{one['samples_per_s']:,.0f} samples/s", "")
        for name, one in network.items()
        if name != "parameters"
    ]
    rows += [(f"inference, {name}", f"{rate:,.0f} maps/s", "") for name, rate in inference.items()]
    rows.append(("loader alone", f"{measured['loader_samples_per_s']:,.0f} samples/s", ""))
    rate = projected["maps"] / projected["wall_s"]
    worst = max(projected["largest_difference"].values())
    rows.append(("torch projection, 1e6 particles", f"{rate:.0f} maps/s", f"within {worst:.0e} of the CPU's"))
    made = kept["build"]
    rows.append(
        (
            f"synthetic clusters, {made['lines_of_sight']} lines of sight, {made['workers']} processes",
            f"{made['halos'] / made['seconds']:.1f} clusters/s",
            "",
        )
    )
    if several := kept.get("campaign"):
        rows.append(
            (
                f"networks of `tools.campaign --plan small`, {several['at_once']} at once",
                f"{several['networks']} in {several['seconds']} s",
                f"trained and predicted, {several['median_seconds_each']} s each in the median, "
                "beside `tools.posterior`",
            )
        )
    title = (
        f"{kept['device']}, torch {kept['torch']}, {measured['channels']} channels, batch "
        f"{measured['batch']}, "
        f"{measured['gflop_per_sample']:.2f} GFLOP a sample; `{kept['command']}`."
    )
    log, clusters = kept["flagship"]["log"], kept["flagship"]["clusters"]
    best = min(log, key=lambda row: row["validation_rms_dex"])
    flagship = (
        f"The flagship, a residual U-Net on {clusters} synthetic clusters, was best at {best['step']:,.0f} "
        f"of its {log[-1]['step']:,.0f} steps: {best['validation_rms_dex']:.4f} dex on validation, "
        f"{log[-1]['validation_rms_dex']:.4f} at the end."
    )
    return "\n\n".join((title, markdown_table(("what", "rate", "beside it"), rows), flagship))


def _step(one: Mapping[str, float]) -> str:
    share = 100 * one["share_of_matrix_rate"]
    return f"{one['memory_gib']:.1f} GiB, {share:.0f} % of the card's bfloat16 matrix rate"


PAGES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "docs/benchmark.md": {"scores": scores_table, "constants": constants_table, "tasks": tasks_table},
    "docs/train.md": {"settings": settings_table, "gpu": gpu_table},
}
"""The tables of each page, by the name between their markers."""


def fill(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """A page with its tables made anew between their markers."""
    for name, make in tables.items():
        start, end = f"<!-- table {name} -->\n", "<!-- end -->"
        head, found, rest = text.partition(start)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page has no place for the table {name}")
        text = head + start + make() + "\n" + end + tail
    return text


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    Parser(prog="python -m tools.documentation", description=__doc__).parse_args(args)
    for page, tables in PAGES.items():
        write_bytes(Path(page), fill(Path(page).read_text("utf-8"), tables).encode())


if __name__ == "__main__":
    main()
