"""Whole builds: on real files and synthetic ones, with any number of workers, killed and resumed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests import dying
from tests.helpers import hashes
from tests.processes import Forked
from tests.recipes import of_files
from three_hundred_maps import open_store
from three_hundred_maps.builder import executors
from three_hundred_maps.builder.remeasure import remeasure
from three_hundred_maps.builder.run import build
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.mapping import HaloGrid, cutout_radius, get_view, lines_of_sight, render
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.derive import merge, subset
from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.overview import overview
from three_hundred_maps.store.verify import verify

H_ZOOM, H_LCDM = 0.6777, 0.7


def halo_of(store: Path, halo_id: int) -> dict[str, float]:
    for split in ("train", "validation", "test"):
        data = read_split(store, split, [])
        for row in np.flatnonzero(data.halos["halo_id"] == halo_id):
            return {name: float(data.halos[name][row]) for name in data.halos if name != "simulation"}
    raise AssertionError(f"no halo {halo_id}")


def test_a_real_zoom_becomes_a_store(real, write_recipe, tmp_path):
    recipe = write_recipe(
        "zoom",
        simulation=of_files("gadget4_zoom/snapshot_z0.989.hdf5", "gadget4_zoom/zoom.z0.989.AHF_halos"),
        selection={"min_mass": 1.0e13},
        maps={"lines_of_sight": 4},
    )
    store = build(recipe, tmp_path / "store", root=real, quiet=True)
    assert verify(store, deep=True).problems == []
    assert {s: v["halos"] for s, v in overview(store)["splits"].items()} == {
        "train": 1,
        "validation": 2,
        "test": 1,
    }
    halo = halo_of(store, 0)
    assert halo["M200c"] * H_ZOOM == pytest.approx(6.745e13, rel=0.01)
    assert halo["f_gas_500"] == pytest.approx(0.1245, rel=0.03)
    assert halo["f_star_500"] == pytest.approx(0.0176, rel=0.03)
    # Halos 1 and 2 are merging: one region, so one split.
    assert halo_of(store, 1)["region"] == halo_of(store, 2)["region"] == 1.0
    for data in open_store(store).values():
        # The cylinder holds more than the sphere, and every view peaks near the centre.
        assert (data["total_mass"] > 0.9 * data["M200c"]).all()
        for view in ("sz", "xray", "mass"):
            centre = data[view].values[..., 30:50, 30:50].max(axis=(2, 3))
            assert (centre > 10 * np.median(data[view].values, axis=(2, 3))).all()
        stars = data["star"].values
        assert np.median(data["mass"].values[stars > 0]) > 3 * np.median(data["mass"].values[stars == 0])
    assert remeasure(store, recipe, root=real, sample=2) == (2, [])


def test_small_maps_exclude_no_halo_for_particles_that_lie_beside_them(lcdm, tmp_path):
    maps = {"views": ["mass"], "pixels": 4, "lines_of_sight": 1, "width": 0.2, "half_depth": 0.1}
    chosen = {"max_halos": 2, "min_mass": 6.0e13, "min_particles": 200}
    store = build(lcdm(maps=maps, selection=chosen), tmp_path / "store", quiet=True)
    assert open_store(store).manifest["refused"] == []


def test_a_halos_velocity_does_not_depend_on_the_size_of_its_map(real):
    region = Region.open(real / "gadget4_lcdm_gas" / "snapshot_003.hdf5", optional=frozenset({"velocity"}))
    centre = np.array([30055.23, 19043.46, 12064.27]) / H_LCDM
    grid = HaloGrid(1297.0, MapGrid(pixels=8, width=0.4, half_depth=0.2))
    found = [
        render(region.cutout(centre, radius), [get_view("velocity")], grid, *lines_of_sight(2))["velocity"][0]
        for radius in (cutout_radius(grid), 3000.0)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=0.1)  # km/s


def test_a_real_box_becomes_a_store_and_excluded_halos_are_listed(lcdm, tmp_path):
    store = build(lcdm(), tmp_path / "store", quiet=True)
    assert verify(store, deep=True).problems == []
    manifest = open_store(store).manifest
    assert (
        sum(manifest["halos"].values()) + len(manifest["refused"])
        == 50
        == sum(manifest["halos_planned"].values())
    )
    assert manifest["refused"] and all("there is no halo" in item["reason"] for item in manifest["refused"])
    halo = halo_of(store, 0)
    assert halo["M200c"] * H_LCDM == pytest.approx(1.74e14, rel=0.03)
    assert halo["f_gas_500"] == pytest.approx(0.118, rel=0.05)
    assert np.isinf(halo["d_neighbour"])
    half = read_split(store, "test", ["mass", "mass_half"]).maps
    assert (half["mass_half"] <= 2 * half["mass"] * 1.001 + 1).all()
    assert half["mass_half"].sum() == pytest.approx(half["mass"].sum(), rel=0.1)
    assert not np.array_equal(half["mass_half"], half["mass"])


def test_a_synthetic_store_is_good_and_leaves_no_snapshots(whole):
    recipe, store = whole
    assert verify(store, deep=True).problems == []
    assert open_store(store).attrs["synthetic"] is True
    assert sorted(p.name for p in store.parent.iterdir()) == ["little.yaml", "store"]
    assert remeasure(store, recipe, sample=2) == (2, [])
    with pytest.raises(InputError, match="give the recipe it was built with"):
        remeasure(store, "mini")


def test_parts_in_any_order_give_the_same_bytes(whole, tmp_path):
    recipe, store = whole
    parts = tmp_path / "parts"
    for i in (3, 1, 2):
        build(recipe, parts, part=(i, 3), quiet=True)
        build(recipe, parts, part=(i, 3), quiet=True)
        assert overview(parts)["state"].startswith("not finished")
        if i != 2:
            with pytest.raises(InputError, match="shards are done"):
                finalise(parts)
    finalise(parts)
    build(recipe, parts, part=(1, 3), quiet=True)
    assert hashes(parts) == hashes(store)


def test_kept_snapshots_lie_beside_the_store(whole, tmp_path):
    recipe, store = whole
    overrides = ("simulation.keep_snapshots=true", "simulation.regions=6")
    other = build(recipe, tmp_path / "store", overrides=overrides, quiet=True)
    assert len(list((tmp_path / "store-snapshots").rglob("snap_128*"))) == 1
    # Joined with a store of other halos, those are told apart.
    joined = merge([other, store], tmp_path / "joined")
    looked, problems = remeasure(joined, recipe, overrides=overrides, sample=99)
    halos = {path: sum(open_store(path).manifest["halos"].values()) for path in (other, store)}
    assert (looked, len(problems)) == (sum(halos.values()), halos[store])
    assert all("is none of those that this recipe selects" in problem for problem in problems)


def test_a_changed_recipe_is_refused_with_the_difference(whole, tmp_path):
    recipe, store = whole
    difference = r"there - now \+, defaults left out: \+ maps.half_depth: 1.5"
    with pytest.raises(InputError, match=f"finished store of another recipe .*{difference}"):
        build(recipe, store, overrides=["maps.half_depth=1.5"], quiet=True)
    begun = tmp_path / "begun"
    build(recipe, begun, part=(1, 4), quiet=True)
    with pytest.raises(InputError, match=difference):
        build(recipe, begun, overrides=["maps.half_depth=1.5"], quiet=True)
    assert remeasure(store, recipe, overrides=("splits.scheme=small",), sample=1) == (1, [])
    with pytest.raises(InputError, match=difference):
        remeasure(store, recipe, overrides=("maps.half_depth=1.5",))


def test_a_subset_is_not_taken_for_what_its_recipe_builds(whole, tmp_path):
    recipe, store = whole
    part = subset(store, tmp_path / "part", halos=1)
    with pytest.raises(InputError, match="made of other stores by subset or merge"):
        build(recipe, part, quiet=True)


def test_a_second_builder_is_refused(whole, tmp_path):
    from three_hundred_maps.store.lock import store_lock

    recipe, _ = whole
    with store_lock(tmp_path / "store"), pytest.raises(InputError, match="being built by another process"):
        build(recipe, tmp_path / "store", quiet=True)


def test_the_work_of_a_lost_worker_is_done_again(tmp_path):
    tasks = [(str(tmp_path / "marker"), n) for n in range(6)]
    assert sorted(r for _, r in executors.run_tasks(dying.dies_once, tasks, workers=2)) == [
        0,
        1,
        4,
        9,
        16,
        25,
    ]
    assert (tmp_path / "marker").exists()


def test_workers_that_always_die_end_the_build(monkeypatch):
    monkeypatch.setattr(executors, "LOST_WORKER_TRIES", 2)
    with pytest.raises(InputError, match="workers died 2 times with nothing finished"):
        list(executors.run_tasks(dying.always_dies, [1, 2], workers=2))
    with pytest.raises(InputError, match="task . is bad"):
        list(executors.run_tasks(dying.fails, [1, 2], workers=2))


def test_no_lock_of_a_stopped_worker_is_spoken_of_below_the_error():
    assert [named for _, named in executors.run_tasks(dying.names_a_lock, [1, 2], workers=2)] == [False] * 2


BUILD = (
    "from three_hundred_maps.builder.run import build\n"
    "if __name__ == '__main__':\n"
    "    print('begun', flush=True)\n"
    "    build({recipe!r}, {store!r}, workers=2, quiet=True)\n"
)


def kill_until_done(recipe: Path, store: Path, generator, kills: int, longest_s: float) -> None:
    """Build with two workers, killed with SIGKILL at random moments ``kills`` times, then left alone."""
    script = store.with_name("build.py")
    script.write_text(BUILD.format(recipe=str(recipe), store=str(store)))
    made = 0
    while True:
        process = Forked(str(script))
        process.says("begun")
        if not process.ended(None if made >= kills else float(generator.uniform(0, longest_s))):
            workers = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            _, alive = psutil.wait_procs(workers, timeout=30)
            assert not alive
            made += 1
            continue
        assert process.result.returncode == 0, process.printed
        if made >= kills:
            return
        # Done before all its kills: it is begun anew, so that each kill meets a build at work.
        shutil.rmtree(store)


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.timeout(3600)
def test_killed_builds_resume_to_the_same_bytes_and_no_worker_stays(whole, tmp_path, kills):
    recipe, store = whole
    killed = tmp_path / "killed"
    kill_until_done(recipe, killed, np.random.default_rng(59), kills, longest_s=6.0)
    assert hashes(killed) == hashes(store)


@pytest.mark.timeout(600)
def test_a_dask_scheduler_does_the_work_though_a_worker_is_killed(whole, tmp_path):
    from distributed import LocalCluster

    recipe, store = whole
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victim = cluster.workers[0].process.pid
        done: list[int] = []

        def kill_in_mid_build() -> None:
            while not done:
                done.extend([n] if (n := len(list(tmp_path.glob("dask/progress/t*-*.json")))) else [])
                time.sleep(0.005)
            os.kill(victim, signal.SIGKILL)

        thread = threading.Thread(target=kill_in_mid_build)
        thread.start()
        built = build(recipe, tmp_path / "dask", scheduler=cluster.scheduler_address, quiet=True)
        thread.join()
    assert 0 < done[0] < sum(open_store(store)[split].sizes["halo"] for split in open_store(store))
    assert hashes(built) == hashes(store)
    with pytest.raises(InputError, match="no Dask scheduler answers there"):
        list(executors.run_tasks(dying.fails, [1], scheduler="tcp://127.0.0.1:9"))
