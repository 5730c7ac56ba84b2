"""Recipes small enough to be built many times."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from three_hundred_maps.builder import build

sys.path.insert(0, str(Path(__file__).parent))

SMALL_MAPS = {"pixels": 16, "lines_of_sight": 2}


@pytest.fixture
def write_recipe(tmp_path):
    def write(name: str = "recipe", **content) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, **content}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def lcdm(real, write_recipe):
    """A recipe on a real box, small maps, several shards."""

    def recipe(name: str = "lcdm", **changes) -> Path:
        folder = real / "gadget4_lcdm_gas"
        content = {
            "simulation": {
                "kind": "gadget",
                "snapshot": str(folder / "snapshot_003.hdf5"),
                "catalogue": {"kind": "ahf", "path": str(folder / "lcdm_gas_z0.z0.000.AHF_halos")},
                "region_by": "halo",
            },
            "selection": {"min_mass": 1.0e13, "min_particles": 20},
            "maps": SMALL_MAPS,
            "store": {"shard_halos": 6},
        }
        for section, values in changes.items():
            content[section] = {**content.get(section, {}), **values}
        return write_recipe(name, **content)

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
    content = {
        "name": "little",
        "simulation": {"kind": "synthetic", "regions": "5,16,54,101"},
        "selection": {"min_mass": 1.2e13},
        "maps": SMALL_MAPS,
        "splits": {"scheme": "small"},
        "store": {"shard_halos": 1},
    }
    folder.mkdir()
    recipe = folder / "little.yaml"
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    build(recipe, folder / "store", quiet=True)
