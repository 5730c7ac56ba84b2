"""The architecture: no file imports what imports it, and packages import downwards alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = "three_hundred_maps"
TOP = (CORE, "baselines", "benchmarks", "tools")

LAYERS = (
    ("simulation",),
    ("mapping",),
    ("store",),
    ("builder",),
    ("observe",),
    ("hub", "explore", "testing", "torch_data", "torch_inputs", "torch_transforms"),
    ("cli", "__main__"),
    ("baselines", "benchmarks"),
    ("tools",),
)
"""From the bottom up; below them all lie the core's other modules (errors, keys, geometry, io, ...)."""

UPWARDS = {
    (f"{CORE}.cli.project", "tools"): "a maintainers' check is a command too, where tools is there",
}
"""Imports against the layers that are known, with the reason."""


@cache
def sources() -> dict[str, str]:
    """Every module of the project, by name; a package by its own."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text(
            encoding="utf-8"
        )
        for top in TOP
        for path in sorted((ROOT / top).rglob("*.py"))
    }


def imports(files: dict[str, str], module: str) -> Iterator[str]:
    """Modules of the project that a file imports anywhere, inside functions and for types too."""
    for node in ast.walk(ast.parse(files[module])):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{module}: imports are absolute"
            inner = [f"{node.module}.{item.name}" for item in node.names]
            names = [name if name in files else node.module for name in inner]
        yield from (name for name in names if name in files and name != module)


@cache
def graph() -> dict[str, set[str]]:
    """What each module imports; the core's front door opens on all and is left out."""
    return {module: set(imports(sources(), module)) - {CORE} for module in sources() if module != CORE}


def layer(module: str) -> int:
    """Number of a module's layer, -1 below all."""
    parts = module.split(".")
    name = parts[1] if parts[0] == CORE else parts[0]
    return next((number for number, names in enumerate(LAYERS) if name in names), -1)


def test_no_files_import_each_other_in_a_circle() -> None:
    edges = graph()
    assert len(edges) > 150 and f"{CORE}.simulation.region" in edges
    TopologicalSorter(edges).prepare()


def test_packages_import_downwards_alone() -> None:
    upwards = {
        (module, other.split(".")[0] if other.split(".")[0] != CORE else other)
        for module, others in graph().items()
        for other in others
        if layer(other) > layer(module)
    }
    assert upwards <= set(UPWARDS)


def test_a_circle_would_be_seen() -> None:
    errors = f"{CORE}.errors"
    wrong = f"{sources()[errors]}\n\ndef wrong():\n    from {CORE}.store.writer import write_shard\n"
    edges = {**graph(), errors: set(imports({**sources(), errors: wrong}, errors)) - {CORE}}
    with pytest.raises(CycleError, match="store"):
        TopologicalSorter(edges).prepare()
