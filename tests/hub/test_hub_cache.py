"""Where rows come from, in order; the store built on the spot; the shipped sample."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_hub import FakeHub, Run

from tests.snippets import snippets
from three_hundred_maps.builder import build
from three_hundred_maps.builder.recipe import load_recipe
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub import cache
from three_hundred_maps.hub.configs import SAMPLE, find_source, sample_folder
from three_hundred_maps.hub.loading import load_dataset
from three_hundred_maps.hub.rows import row_features
from three_hundred_maps.hub.sample import ROWS, refresh_sample, why_stale
from three_hundred_maps.hub.sources import ParquetSource, StoreSource
from three_hundred_maps.io import cache_home, sha256_file
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.schema import SPLITS
from three_hundred_maps.testing import tiny_store

RECIPE = """\
name: spot
license: CC0-1.0
simulation: {kind: synthetic, regions: 1, seed: 15}
selection: {max_halos: 3}
splits: {scheme: small}
maps: {lines_of_sight: 1}
store: {shard_halos: 4}
"""


class TestOrder:
    """data_dir, cache, Hub, build; each where those before do not serve."""

    def test_the_cache_comes_before_the_hub(self, home: Path, store: Path, monkeypatch) -> None:
        monkeypatch.setenv("THREE_HUNDRED_MAPS_REPO", "org/unreachable")
        path = cache.store_path(load_recipe("mini"))
        shutil.copytree(store, path)
        source = find_source("mini")
        assert isinstance(source, StoreSource)
        assert source.path == path
        assert find_source(None).digest == source.digest

    def test_an_unfinished_store_in_the_cache_does_not_serve(self, home: Path, store: Path, run: Run) -> None:
        path = cache.store_path(load_recipe("gadgetx"))
        shutil.copytree(store, path)
        (path / "manifest.json").unlink()
        with pytest.raises(InputError, match="the300-project.org"):
            find_source("gadgetx")

    def test_a_real_config_may_come_from_the_hub(
        self, run: Run, hub: FakeHub, exported: Path, tmp_path: Path
    ) -> None:
        code = """
from three_hundred_maps import load_dataset
from three_hundred_maps.errors import InputError
try:
    load_dataset("three_hundred_maps", "gadgetx")
except InputError as error:
    print(error)
"""
        said = run("-c", code, hub=hub, THREE_HUNDRED_MAPS_REPO="org/nothing").stdout
        assert said.startswith("org/nothing")
        assert "no such data set" in said

    def test_a_changed_recipe_or_version_has_another_place(self, home: Path, monkeypatch) -> None:
        recipe = load_recipe("mini")
        other = load_recipe("mini", overrides=("simulation.seed=301",))
        first = cache.store_path(recipe)
        assert first != cache.store_path(other)
        assert first.suffix == ".zarr"
        monkeypatch.setattr(cache, "GENERATOR_VERSION", 99)
        assert cache.store_path(recipe) != first

    @pytest.mark.parametrize(
        ("environment", "wanted"),
        [
            ({"THREE_HUNDRED_MAPS_HOME": "/a"}, "/a"),
            ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/three_hundred_maps"),
            ({"XDG_CACHE_HOME": "/c"}, "/c/three_hundred_maps"),
            ({"HOME": "/d"}, "/d/.cache/three_hundred_maps"),
        ],
    )
    def test_where_the_cache_is(self, monkeypatch, environment: dict[str, str], wanted: str) -> None:
        for name in ("THREE_HUNDRED_MAPS_HOME", "HF_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert cache_home() == Path(wanted)

    def test_a_user_without_a_home_folder_is_told(self, monkeypatch) -> None:
        """As in a container that runs under any user's number."""
        for name in ("THREE_HUNDRED_MAPS_HOME", "HF_HOME", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", Path("~/.cache/huggingface/datasets"))
        for call in (cache_home, lambda: load_dataset("sample"), lambda: load_dataset("~/mine")):
            with pytest.raises(InputError, match="~.*: the home folder is not known; .* set HOME"):
                call()


READ_ONLY = """
import sys, three_hundred_maps
from three_hundred_maps.errors import InputError
from three_hundred_maps import load_dataset
print(sum(1 for _ in load_dataset("sample", split="train", streaming=True)))
print(sum(1 for _ in load_dataset(sys.argv[1], split="test", streaming=True)))
print(load_dataset(sys.argv[1], split="test").num_rows)
try:
    print(load_dataset(sys.argv[1], split="test", views="mass").num_rows)
except InputError as error:
    print(error)
"""

IMPORTED = """
import os, sys
from three_hundred_maps import load_dataset
next(iter(load_dataset("sample", split="train", streaming=True)))
next(iter(load_dataset(sys.argv[1], split="test", streaming=True)))
if os.geteuid() == 0:
    load_dataset(sys.argv[1], split="test")
"""
"""What has to be imported while Python's own folder may still be read."""


def test_a_read_only_home_streams_and_serves_what_is_cached(run: Run, store: Path) -> None:
    """A shared cache, made with umask 022, serves a second user."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is for one user alone
        home = Path(folder) / "shared"
        own = Path(shutil.copytree(store, Path(folder) / "store.zarr"))
        # The checkout may be in a folder of one user alone, as Python's own may be.
        package = sample_folder().parent
        shutil.copytree(package, Path(folder) / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        fill = "import sys; from three_hundred_maps import load_dataset; load_dataset(sys.argv[1])"
        run("-c", fill, str(own), HF_HOME=str(home))
        Path(folder).chmod(0o755)
        cached = [home, *home.rglob("*")]
        for path in (*cached, own, *own.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        # No mode holds root back: the code is another user's from here on.
        drop = "os.setgid(65534); os.setuid(65534)" if os.geteuid() == 0 else ""
        code = f"{IMPORTED}\n{drop}\n{READ_ONLY}"
        out = run("-c", code, str(own), cwd=Path(folder), HF_HOME=str(home)).stdout.splitlines()
        for path in (*cached, own, *own.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert out[:3] == ["14", "9", "9"]
    assert "cannot be written" in out[3] and "HF_HOME" in out[3]


class TestOnTheSpot:
    """The build in a process of its own, under a lock."""

    def test_two_processes_at_once_build_once(self, run: Run, tmp_path: Path) -> None:
        """Unguarded scripts, started together: one builds, the other waits and takes what it built."""
        (tmp_path / "spot.yaml").write_text(RECIPE)
        script = tmp_path / "script.py"
        script.write_text(
            "from three_hundred_maps.builder.recipe import load_recipe\n"
            "from three_hundred_maps.hub.cache import build_on_the_spot\n"
            "from three_hundred_maps import load_dataset\n"
            "path = build_on_the_spot('spot.yaml', load_recipe('spot.yaml'))\n"
            "rows = load_dataset(data_dir=path, split='train')\n"
            "print(path.name, rows.num_rows, (path / 'manifest.json').stat().st_mtime_ns)\n"
        )
        results = []

        def start() -> None:
            results.append(run(str(script), THREE_HUNDRED_MAPS_HOME=str(tmp_path / "home")))

        threads = [threading.Thread(target=start) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 2
        assert results[0].stdout == results[1].stdout
        assert results[0].stdout.startswith("spot-")
        notes = results[0].stderr + results[1].stderr
        assert notes.count("building config") == 1
        assert "1 region" in notes
        assert "MB in" in notes

    def test_the_missing_extra_is_named(self, run: Run) -> None:
        code = """
from three_hundred_maps import load_dataset
from three_hundred_maps.hub import cache
real = cache.installed_version
cache.installed_version = lambda name: None if name in ("numba", "h5py") else real(name)
load_dataset("three_hundred_maps")
"""
        said = run("-c", code, status=1).stderr.strip().splitlines()[-1]
        assert "InputError" in said
        assert "numba" in said and "h5py" in said
        assert "pip install 'three_hundred_maps[build]'" in said
        assert "'sample'" in said

    def test_a_build_that_fails_says_why(self, home: Path, tmp_path: Path) -> None:
        recipe = tmp_path / "spot.yaml"
        recipe.write_text(RECIPE)
        known = load_recipe(recipe)
        recipe.write_text("name: spot\nsimulation: {kind: nothing}\n")
        with pytest.raises(InputError, match=r"could not be built: .*simulation\.kind"):
            cache.build_on_the_spot(str(recipe), known)


def test_bars_of_a_build_are_passed_on_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THREE_HUNDRED_MAPS_QUIET", raising=False)
    bar, out = "a" + 4000 * "\u2588", io.StringIO()
    words = [sys.executable, "-c", f"import sys; sys.stdout.buffer.write({bar.encode()!r})"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        cache._copy_output(process, out)
    assert out.getvalue() == bar


class TestSample:
    """The 24 rows that come with the package."""

    def test_it_is_current(self) -> None:
        """Its recipe, columns, checksums and card; make it anew by: three-hundred-maps sample --refresh."""
        assert why_stale() is None

    def test_it_loads_anywhere_as_what_it_says(self, home: Path) -> None:
        found = load_dataset("three_hundred_maps", SAMPLE)
        assert {split: len(rows) for split, rows in found.items()} == dict(ROWS)
        assert sum(ROWS.values()) == 24
        for rows in found.values():
            maps = rows.with_format("numpy")["mass"][:]
            assert np.isfinite(maps).all()
            assert (maps > 0).mean() > 0.99
        keys = {s: set(zip(r["region"][:], r["halo_id"][:], strict=True)) for s, r in found.items()}
        assert len(set.union(*keys.values())) == 24
        regions = [{region for region, _ in keys[split]} for split in SPLITS]
        assert not (regions[0] & regions[1] or regions[0] & regions[2] or regions[1] & regions[2])
        source = find_source(SAMPLE)
        assert isinstance(source, ParquetSource)
        schema = pq.read_schema(source.local_file(source.files["train"][0]))
        assert schema.equals(row_features(source.views, source.pixels).arrow_schema)

    def test_its_card_runs(self, run: Run) -> None:
        found = snippets(sample_folder().parent / "README.md", "python")
        assert len(found) == 2
        out = run("-c", "\n".join(snippet.text for snippet in found)).stdout
        assert "(80, 80)" in out
        assert "14 rows" in out

    def test_it_is_what_the_simulation_makes_today(self, tmp_path: Path) -> None:
        """One region of it, simulated, measured and mapped again, is the same cluster.

        Not the same bytes: another type of processor rounds otherwise and draws other particles from the same
        profiles. So halo values and totals are compared, and maps in blocks of 10 x 10 pixels, where another
        line of sight is off by 6 to 80 % of the peak.
        """

        def blocks(values: np.ndarray) -> np.ndarray:
            return values.astype(float).reshape(8, 10, 8, 10).sum((1, 3))

        of_peak = {"sz": 0.002, "xray": 0.002, "star": 0.05, "mass": 0.01}
        rows = pq.read_table(sample_folder() / "parquet" / "test-00000-of-00001.parquet").to_pydict()
        region = rows["region"][0]
        build("mini", tmp_path / "one", overrides=[f"simulation.regions={region}"], quiet=True)
        for split in SPLITS:
            part = read_split(tmp_path / "one", split)
            for i, key in enumerate(zip(part.halos["region"], part.halos["halo_id"], strict=True)):
                if key == (region, rows["halo_id"][0]):
                    for view, share in of_peak.items():
                        shipped = blocks(np.asarray(rows[view][0], np.float32))
                        built = blocks(part.maps[view][i, rows["los"][0]])
                        assert built.sum() == pytest.approx(shipped.sum(), rel=1e-3), view
                        assert np.abs(shipped - built).max() < share * built.max(), view
                    for name in ("M200c", "R200c", "M500c", "f_gas_500", "f_star_500", "c200c"):
                        assert part.halos[name][i] == pytest.approx(rows[name][0], rel=1e-5), name
                    return
        pytest.fail(f"region {region} of mini no longer holds the sample's halo: refresh the sample")

    def test_refreshing_makes_what_is_current_and_staleness_is_seen(self, tmp_path: Path) -> None:
        store = tiny_store(tmp_path / "store", halos=(14, 4, 6), n_los=2, name="mini")
        package = tmp_path / "package"
        refresh_sample(store, package)
        assert "recipe 'mini' has changed" in str(why_stale(package))
        manifest = json.loads((package / SAMPLE / "manifest.json").read_text())
        manifest["configs"][SAMPLE]["recipe_sha256"] = load_recipe("mini").sha256()
        (package / SAMPLE / "manifest.json").write_text(json.dumps(manifest))
        assert "card is not" in str(why_stale(package))
        from three_hundred_maps.hub.card import render_card

        (package / "README.md").write_text(render_card(manifest, "", shipped=True))
        assert why_stale(package) is None
        file = package / SAMPLE / "images" / "clusters.png"
        digest = sha256_file(file)
        file.write_bytes(file.read_bytes() + b"x")
        assert sha256_file(file) != digest
        assert "clusters.png" in str(why_stale(package))
        shutil.rmtree(package / SAMPLE)
        assert why_stale(package) == "there is none"

    def test_what_it_cannot_be_made_from(self, store: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="store of 'tiny'"):
            refresh_sample(store, tmp_path)
        few = tiny_store(tmp_path / "few", halos=(3, 1, 1), n_los=1, name="mini")
        with pytest.raises(InputError, match="train holds 3 halos; the sample takes 14"):
            refresh_sample(few, tmp_path / "package")
