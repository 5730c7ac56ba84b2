"""The house: no room imports, by whatever way, what imports it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = "three_hundred_maps"
TOP = (CORE, "baselines", "benchmarks")


def room_of(module: str) -> str:
    """The folder a module lies in; by themselves: the core's top modules and the speed benchmarks."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == CORE or parts[:2] == ["benchmarks", "speed"] else parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules of the project that a file imports anywhere, also for types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module in TOP:
            names = [f"{node.module}.{item.name}" for item in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in TOP and "__version__" not in name)


def rooms(files: dict[str, str]) -> dict[str, set[str]]:
    """What each room imports of the others; the core's front door opens on all and is left out."""
    graph: dict[str, set[str]] = {}
    for module, text in files.items():
        if module == f"{CORE}.__init__":
            continue
        here = graph.setdefault(room_of(module), set())
        here |= {room_of(name) for name in imported(ast.parse(text))} - {room_of(module)}
    return graph


def sources() -> dict[str, str]:
    """Every module of the project, by name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for top in TOP
        for path in sorted((ROOT / top).rglob("*.py"))
    }


def test_rooms_import_in_no_circle() -> None:
    graph = rooms(sources())
    assert {f"{CORE}.simulation", f"{CORE}.mapping", f"{CORE}.store", "baselines", "benchmarks"} <= set(graph)
    assert f"{CORE}.simulation" in graph[f"{CORE}.mapping"]
    order = list(TopologicalSorter(graph).static_order())
    assert order.index(f"{CORE}.store") < order.index(f"{CORE}.hub") < order.index("baselines")


def test_a_circle_would_be_seen() -> None:
    files = sources() | {f"{CORE}.simulation.wrong": f"from {CORE}.mapping.views import get_view"}
    with pytest.raises(CycleError, match="mapping"):
        list(TopologicalSorter(rooms(files)).static_order())
