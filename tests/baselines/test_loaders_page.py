"""The recipes of the page on loaders run; where a library is not here, with the least they need of it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import datasets  # noqa: F401  It looks for jax when it is first imported, and a stand-in has no spec.
import numpy as np
import pytest

from tests.snippets import snippets

PAGE = Path(__file__).resolve().parents[2] / "docs" / "loaders.md"


def stand_in(name: str) -> dict[str, ModuleType]:
    """Modules in place of a library that is not installed."""
    if importlib.util.find_spec(name) is not None:
        return {}
    module = ModuleType(name)
    if name == "jax":
        module.numpy = np  # type: ignore[attr-defined]
        return {name: module, "jax.numpy": np}
    module.LightningDataModule = type("LightningDataModule", (), {})  # type: ignore[attr-defined]
    return {name: module}


def test_every_recipe_runs(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, variable in (("hf", "HF_HOME"), ("home", "THREE_HUNDRED_MAPS_HOME")):
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.setenv("STORE", str(store))
    for module, stand in (stand_in("lightning") | stand_in("jax")).items():
        monkeypatch.setitem(sys.modules, module, stand)
    blocks = snippets(PAGE, "python")
    for block in blocks:
        exec(compile(block.text, f"{PAGE.name}:{block.line}", "exec"), {"__name__": "page"})
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(blocks) == 4
    assert lines[-5:] == [
        "{'inputs': (8, 3, 32, 32), 'target': (8, 1, 32, 32), 'key': (8, 5)}",
        "3 and then 33",
        "(3, 32, 32) (1, 32, 32)",
        "(8, 3, 32, 32) (8, 32, 32)",
        lines[-1],
    ]
    assert lines[-1].startswith("(8, 32, 32) ")
