"""The tables of ``docs/benchmark.md``, made by ``python -m tools.benchmarks_documentation``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.constants import STANDARD, VERSION
from benchmarks.registry import CURVES, SCORES
from benchmarks.tasks import TASKS
from three_hundred_maps.io import write_bytes

PAGE = Path("docs") / "benchmark.md"


def _better(better: str | float) -> str:
    if isinstance(better, str):
        return {"low": "lower", "high": "higher"}[better]
    return f"{better:g}"


def scores_table() -> str:
    """Every score: name, unit, which way is better, meaning."""
    lines = ["| score | unit | better | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| `{s.name}` | {s.units} | {_better(s.better)} | {s.meaning} |" for s in SCORES.values()]
    lines += [f"| `{name}` (a curve) | | | {text} |" for name, text in CURVES.items()]
    return "\n".join(lines)


def constants_table() -> str:
    """Every constant of this version."""
    lines = [
        f"Version {VERSION}, digest `{STANDARD.digest()}`.",
        "",
        "| constant | value |",
        "| --- | --- |",
    ]
    for field in dataclasses.fields(STANDARD):
        value = getattr(STANDARD, field.name)
        text = ", ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
        lines.append(f"| `{field.name}` | {text} |")
    return "\n".join(lines)


def tasks_table() -> str:
    """Every task, with the recipes of its data."""
    lines = ["| task | what it is | trained on → scored on |", "| --- | --- | --- |"]
    for task in TASKS.values():
        pairs = "; ".join(f"{a} → {b}" for a, b in task.recipes)
        lines.append(f"| `{task.name}` | {task.text} | {pairs} |")
    return "\n".join(lines)


TABLES = {"scores": scores_table, "constants": constants_table, "tasks": tasks_table}


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


if __name__ == "__main__":
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    write_bytes(page, fill(page.read_text("utf-8"), TABLES).encode())
