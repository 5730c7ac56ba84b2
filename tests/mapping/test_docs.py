"""The page on views does what it says, and its picture is the one that its command draws."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.snippets import run_shell, snippets
from three_hundred_maps.builder.recipe import load_recipe
from three_hundred_maps.mapping import VIEWS, get_view

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "add-a-view.md"


def test_a_view_is_added_as_the_page_says(tmp_path, monkeypatch, capsys):
    module, script, _ = (block.text for block in snippets(PAGE, "python"))
    assert module.startswith("# my_views.py")
    declaration = [line for line in module.splitlines() if line.startswith(("metals", "mean_z"))]
    assert len(declaration) == 2 and len(module.splitlines()) < 20
    (tmp_path / "my_views.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_views", raising=False)
    registry = dict(VIEWS)
    try:
        names: dict[str, object] = {}
        exec(compile(script, str(PAGE), "exec"), names)
        shape, total, mean = capsys.readouterr().out.replace(") ", ")|").replace("\n", "|").split("|")[:3]
        assert shape == "(3, 80, 80)" and float(total) > 0
        assert float(mean) == pytest.approx(0.004, rel=1e-3)
        gas = names["cluster"].cutout["gas"]  # type: ignore[attr-defined]
        assert float(total) < float(0.004 * gas.mass.sum(dtype="f8"))

        (text,) = (block.text for block in snippets(PAGE, "yaml"))
        # The same build of two of the lightest regions, along one line of sight.
        assert "regions: 1-3}" in text and "lines_of_sight: 3}" in text
        text = text.replace("1-3", "'5,16'").replace("lines_of_sight: 3", "lines_of_sight: 1")
        (tmp_path / "with-metals.yaml").write_text(text, encoding="utf-8")
        recipe = load_recipe(tmp_path / "with-metals.yaml")
        assert [get_view(name).name for name in recipe.maps.views] == ["sz", "mass", "metals"]
        (commands,) = (block.text for block in snippets(PAGE, "bash"))
        assert "metals" in run_shell(commands, tmp_path)  # the installed command, with spawned workers
    finally:
        for name in set(VIEWS) - set(registry):
            del VIEWS[name]


def test_the_page_names_every_view():
    assert all(f"`{name}`" in PAGE.read_text(encoding="utf-8") for name in VIEWS)


def test_the_picture_is_current():
    drawn = runpy.run_path(str(DOCS / "figures" / "orientation.py"))["draw"]()
    assert (DOCS / "orientation.svg").read_text(encoding="utf-8") == drawn, (
        "docs/orientation.svg is stale: python docs/figures/orientation.py"
    )
