"""A recipe's identity: what differs from the defaults, and the version of the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from three_hundred_maps.builder.recipe import RECIPE_VERSION, Recipe, load_recipe
from three_hundred_maps.errors import InputError

SMALLEST = {"name": "smallest", "simulation": {"kind": "synthetic", "regions": "1"}}
DEFAULTS = Path(__file__).with_name("recipe_defaults.yaml")
SEVERAL = Path(__file__).resolve().parents[2] / "docs" / "recipes" / "several.yaml"


def flat(content: dict, name: str = "") -> dict[str, object]:
    """{section.key: value} of a recipe."""
    parts: dict[str, object] = {}
    for key, value in content.items():
        parts |= flat(value, f"{name}{key}.") if isinstance(value, dict) else {f"{name}{key}": value}
    return parts


def test_the_defaults_are_those_of_their_version() -> None:
    """A changed default would give other data under the same identity: raise RECIPE_VERSION.

    A new key is added to recipe_defaults.yaml with its default (``Recipe.full``), and nothing else changes.
    """
    pinned, now = (flat(yaml.safe_load(t)) for t in (DEFAULTS.read_text(), Recipe(**SMALLEST).full()))
    assert pinned["recipe_version"] == RECIPE_VERSION
    changed = {key for key in pinned if key not in now or now[key] != pinned[key]}
    assert not changed, f"raise RECIPE_VERSION and write recipe_defaults.yaml anew: {sorted(changed)}"
    assert set(now) == set(pinned), f"add to recipe_defaults.yaml: {sorted(set(now) - set(pinned))}"


def test_only_what_differs_from_the_defaults_counts() -> None:
    written_out = {**SMALLEST, "maps": {"pixels": 80}, "selection": {}, "recipe_version": RECIPE_VERSION}
    assert Recipe(**written_out).sha256() == Recipe(**SMALLEST).sha256()
    assert Recipe(**SMALLEST, maps={"pixels": 40}).sha256() != Recipe(**SMALLEST).sha256()
    cut = {**SMALLEST, "simulation": {**SMALLEST["simulation"], "gas": {"xray_max_share": 0.1}}}
    assert yaml.safe_load(Recipe(**cut).canonical())["simulation"]["gas"] == {"xray_max_share": 0.1}


@pytest.mark.parametrize("name", ["mini", "gizmo-simba", SEVERAL])
def test_what_a_store_carries_is_a_recipe_of_the_same_identity(name: str | Path, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    file = tmp_path / "carried.yaml"
    for text in (recipe.canonical(), recipe.full()):
        file.write_text(text)
        assert load_recipe(file) == recipe and load_recipe(file).sha256() == recipe.sha256()


def test_a_recipe_of_another_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "later.yaml"
    file.write_text(yaml.safe_dump({**SMALLEST, "recipe_version": RECIPE_VERSION + 1}))
    with pytest.raises(InputError, match="recipe_version"):
        load_recipe(file)
