"""Recipes small enough to be built many times."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from tests.recipes import SMALL_MAPS, write_box, write_recipe
from three_hundred_maps.builder import build

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(name="write_recipe")
def _write_recipe(tmp_path):
    return partial(write_recipe, tmp_path)


@pytest.fixture
def lcdm(real, tmp_path):
    """A recipe on a real box, small maps, several shards."""
    selection, maps = {"min_mass": 1.0e13, "min_particles": 20}, SMALL_MAPS

    def recipe(name: str = "lcdm", **changes) -> Path:
        return write_box(
            tmp_path, real, name, changes, selection=selection, maps=maps, store={"shard_halos": 6}
        )

    return recipe


@pytest.fixture
def synthetic(write_recipe):
    """A recipe on a few synthetic regions."""

    def recipe(name: str = "little", regions: str = "1-4", **simulation) -> Path:
        return write_recipe(
            name,
            simulation={"kind": "synthetic", "regions": regions, **simulation},
            maps=SMALL_MAPS,
            splits={"scheme": "small"},
            store={"shard_halos": 2},
        )

    return recipe


@pytest.fixture(scope="session")
def whole(made_once):
    """A synthetic store of light regions built by one undisturbed worker, and its recipe."""
    folder = made_once("whole", make_whole)
    return folder / "little.yaml", folder / "store"


def make_whole(folder: Path) -> None:
    folder.mkdir()
    recipe = write_recipe(
        folder,
        "little",
        simulation={"kind": "synthetic", "regions": "5,16,54,101"},
        selection={"min_mass": 1.2e13},
        maps=SMALL_MAPS,
        splits={"scheme": "small"},
        store={"shard_halos": 1},
    )
    build(recipe, folder / "store", quiet=True)
