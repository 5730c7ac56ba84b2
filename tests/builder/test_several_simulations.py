"""Several simulations in one recipe: one store, one split for one initial condition, resumed and repaired."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.helpers import hashes
from tests.recipes import SMALL_MAPS, write_recipe
from three_hundred_maps.builder import build, run
from three_hundred_maps.builder.plan import describe_plan, make_plan, sources_for
from three_hundred_maps.builder.recipe import load_recipe
from three_hundred_maps.builder.remeasure import remeasure
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import halo_keys
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.overview import describe, overview
from three_hundred_maps.store.verify import verify
from three_hundred_maps.testing.small import small_snapshot

ROOT = Path(__file__).resolve().parents[2]
ON_THE_PAGE = yaml.safe_load((ROOT / "docs" / "recipes" / "several.yaml").read_text())["simulation"]
SOURCES = {source["id"]: source for source in ON_THE_PAGE["sources"]}
CODES = {"simba-CV_0": ("gizmo", 1), "swift-CV_0": ("swift", 1), "simba-CV_1": ("gizmo", 2)}
"""Of each simulation, the code, and the seed of its initial conditions."""
HALOS = 3


def recipe_of(folder: Path, *sources: dict[str, Any], name: str = "three", **changes: Any) -> Path:
    return write_recipe(
        folder,
        name,
        simulation={**ON_THE_PAGE, **changes, "sources": list(sources)},
        maps=SMALL_MAPS,
        splits={"scheme": "small"},
        store={"shard_halos": 2},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two boxes, one of them under two codes whose halos are numbered in other orders; and a store of all."""
    folder = tmp_path_factory.mktemp("several")
    for name, (code, seed) in CODES.items():
        snapshot, catalogue = SOURCES[name]["snapshot"], SOURCES[name]["catalogue"]["path"]
        snapshot, catalogue = folder / snapshot, folder / catalogue
        small = small_snapshot(
            snapshot.parent, format=code, halos=HALOS, particles=2500, seed=seed, box_size=90_000.0
        )
        small.snapshot.rename(snapshot)
        head, *rows = small.catalogue.read_text().splitlines()
        ids = [row.split(None, 1)[0] for row in rows][:: -1 if code == "swift" else 1]
        lines = [f"{new} {row.split(None, 1)[1]}" for new, row in zip(ids, rows, strict=True)]
        catalogue.write_text("\n".join([head, *lines]) + "\n")
    build(recipe_of(folder, *SOURCES.values()), folder / "store", quiet=True)
    return folder


def rows(store: Path) -> dict[tuple[str, int], tuple[str, int, np.ndarray]]:
    """By (simulation, halo id): split, region and maps of the mass."""
    found = {}
    for split in schema.SPLITS:
        data = read_split(store, split, ["mass"])
        for row, key in enumerate(halo_keys(data.halos)):
            found[key.simulation, key.halo_id] = (split, key.region, data.maps["mass"][row])
    return found


def test_one_store_with_one_split_for_one_initial_condition(folder, tmp_path):
    store = folder / "store"
    assert verify(store, deep=True).problems == []
    found = rows(store)
    assert {name for name, _ in found} == set(CODES) and len(found) == HALOS * len(CODES)
    # The same cluster has another id in the other code's catalogue: it is known by its place.
    ids = sorted(halo_id for name, halo_id in found if name == "simba-CV_0")
    for halo_id, other in zip(ids, ids[::-1], strict=True):
        here, there = found["simba-CV_0", halo_id], found["swift-CV_0", other]
        assert here[:2] == there[:2]
        np.testing.assert_allclose(here[2], there[2], rtol=1e-3, atol=1e-3 * here[2].max())
    regions = {name: {row[1] for (n, _), row in found.items() if n == name} for name in CODES}
    assert len(regions["simba-CV_0"]) == HALOS and not regions["simba-CV_0"] & regions["simba-CV_1"]
    assert {row[0] for row in found.values()} >= {"train", "test"}
    # Each halo is what a recipe of its simulation alone makes of it.
    recipe = recipe_of(folder, SOURCES["swift-CV_0"], name="alone")
    for key, row in rows(build(recipe, tmp_path / "alone", quiet=True)).items():
        np.testing.assert_array_equal(row[2], found[key][2])
    attrs = overview(store)["simulation"]["sources"]
    assert [attrs[name]["file_format"] for name in CODES] == ["gizmo", "swift", "gizmo"]
    assert "and 2 more" in describe(overview(store))
    assert remeasure(store, folder / "three.yaml", sample=4) == (4, [])


def test_stopped_between_two_simulations_and_resumed(folder, tmp_path, monkeypatch):
    recipe = folder / "three.yaml"

    def stopped(task):
        if {row[0] for row in task.rows} != {0}:
            raise KeyboardInterrupt
        return done(task)

    done = run.run_shard
    monkeypatch.setattr(run, "run_shard", stopped)
    with pytest.raises(KeyboardInterrupt):
        build(recipe, tmp_path / "store", quiet=True)
    assert overview(tmp_path / "store")["state"].startswith("not finished")
    monkeypatch.undo()
    build(recipe, tmp_path / "store", quiet=True)
    assert hashes(tmp_path / "store") == hashes(folder / "store")


def test_a_damaged_shard_of_two_simulations_is_made_again(folder, tmp_path):
    store = shutil.copytree(folder / "store", tmp_path / "store")
    both = next(
        split
        for split in schema.SPLITS
        if len({key.simulation for key in halo_keys(read_split(store, split, []).halos)[:2]}) == 2
    )
    chunk = store / both / "sz" / "c" / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    build(folder / "three.yaml", store, quiet=True)
    assert hashes(store) == hashes(folder / "store")


def test_flavours_of_one_seed_share_their_splits(tmp_path):
    """Simulations whose universe is not named are taken for the same initial conditions."""
    flavours = [{"id": name, "flavour": name} for name in ("gadgetx", "gizmo")]
    simulation = {"kind": "synthetic", "regions": "1-12"}
    recipe = write_recipe(tmp_path, simulation={**simulation, "sources": flavours}, maps=SMALL_MAPS)
    plan = make_plan(sources_for(load_recipe(recipe), recipe, None))
    alone = write_recipe(tmp_path, "alone", simulation=simulation, maps=SMALL_MAPS)
    single = make_plan(sources_for(load_recipe(alone), alone, None))
    for split, candidates in single.rows.items():
        assert [c.key for c in plan.rows[split] if c.member == 0] == [c.key for c in candidates]
        assert {c.region for c in plan.rows[split]} == {c.region for c in candidates}
    assert plan.halos > 1.8 * single.halos and "x 2 lines of sight" in describe_plan(plan)


def test_mistakes_are_one_line_that_names_the_source(folder, tmp_path):
    one, _, other = SOURCES.values()

    def refusal(*sources: dict[str, Any], **common: Any) -> str:
        with pytest.raises(InputError) as error:
            build(recipe_of(folder, *sources, name="wrong", **common), tmp_path / "store", quiet=True)
        assert not (tmp_path / "store").exists() and "\n" not in str(error.value)
        return str(error.value)

    for wrong in ([one, one], [{**one, "id": None}]):
        assert "each needs an id, its own" in refusal(*wrong)
    assert "each needs an id, its own" in refusal(one, other, id="all")
    assert "simba-CV_1: unknown key seeed" in refusal(one, {**other, "seeed": 1})
    assert "kind and seed are said once" in refusal(one, {**other, "kind": "synthetic"})
    assert "simulation.sources, a b" in refusal(one, {**other, "id": "a b"})
    gone = refusal(one, {**other, "snapshot": "gone.hdf5"})
    assert gone.startswith("simulation.sources, simba-CV_1: ") and "gone.hdf5" in gone
    small = small_snapshot(folder / "small", halos=1, particles=500, box_size=60_000.0)
    paths = {"snapshot": str(small.snapshot), "catalogue": {"kind": "ahf", "path": str(small.catalogue)}}
    assert "name the universe of each" in refusal({**one, "universe": None}, {"id": "small", **paths})
