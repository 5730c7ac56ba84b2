"""The commands on stores, as a user runs them; and one clear line for each mistake."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from numba.core import caching

from tests.recipes import write_box
from three_hundred_maps.cli import COMMANDS, main, project
from three_hundred_maps.compiled import cache_folder, njit
from three_hundred_maps.errors import declared_packages, error_handling
from three_hundred_maps.progress import set_quiet
from three_hundred_maps.store import names
from three_hundred_maps.testing import tiny_store


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("cli") / "store", halos=(4, 2, 2), pixels=20, n_los=2)


@pytest.fixture
def run(capsys):
    """Run the command line; (exit status, standard output, standard error)."""

    def call(*args: object) -> tuple[int, str, str]:
        set_quiet(False)
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def refused(result: tuple[int, str, str], *words: str) -> None:
    """Exit status 2 and one line on standard error with all the words."""
    status, _, err = result
    assert status == 2, result
    lines = [
        line for line in err.splitlines() if line.strip() and "halo/s" not in line and "file/s" not in line
    ]
    assert len(lines) == 1 and lines[0].startswith("error: "), err
    for word in words:
        assert word in lines[0], (word, lines[0])


def test_commands_take_a_store_by_name_and_by_url(run, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(names, "_RESOLVERS", [lambda name: tiny if name == "little" else None])
    monkeypatch.setenv("THREE_HUNDRED_MAPS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert run("verify", "little", "--against", "little", "--quiet")[0] == 0
    for number, store in enumerate(("little", tiny.as_uri())):
        assert run("subset", store, "--halos", 1, "--out", f"part-{number}", "--quiet")[0] == 0
        assert run("export", store, "--out", f"hub-{number}", "--quiet")[0] == 0
    refused(run("merge", "little", tiny.as_uri(), "--out", "joined"), "is in")


def test_every_command_explains_itself(run):
    for name in COMMANDS:
        status, out, _ = run(name, "--help")
        assert status == 0 and "Usage" in out, name


def test_inspect_verify_preview_subset_merge(run, tiny, tmp_path):
    assert "finished: 8 of 8 halos" in run("inspect", tiny)[1]
    assert json.loads(run("inspect", tiny, "--json")[1])["halos"] == 8
    status, out, _ = run("verify", tiny, "--deep", "--against", tiny)
    assert status == 0 and "is good" in out
    assert json.loads(run("verify", tiny, "--json")[1])["good"] is True
    assert run("preview", tiny, "--halo", "1:1000", "--los", 1, "-o", tmp_path / "a.png")[0] == 0
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert run("subset", tiny, "--regions", "1-2,5", "--out", tmp_path / "a")[0] == 0
    assert run("subset", tiny, "--regions", "3,4,6-99", "--out", tmp_path / "b")[0] == 0
    assert run("merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c", "--quiet")[0] == 0
    assert run("verify", tmp_path / "c", "--deep")[0] == 0
    assert run("finalise", tmp_path / "c")[0] == 0


def test_what_is_made_of_stores_is_finished_by_its_own_command(run, tiny, tmp_path, monkeypatch):
    given = ("subset", tiny, "--halos", 1, "--out", tmp_path / "a", "--quiet")
    with monkeypatch.context() as patched:
        patched.setattr("three_hundred_maps.store.derive.finalise", lambda *_, **__: sys.exit(137))
        assert run(*given)[0] == 137
    refused(run("finalise", tmp_path / "a"), "made of other stores", "re-run the command")
    assert run(*given)[0] == 0
    assert run("finalise", tmp_path / "a")[0] == 0


def test_verify_names_a_damaged_file_and_ends_with_2(run, tiny, tmp_path):
    store = Path(shutil.copytree(tiny, tmp_path / "store"))
    with open(store / "train/mass/c/0/0/0/0", "r+b") as stream:
        stream.write(b"xx")
    status, out, err = run("verify", store)
    assert status == 2 and "train/mass/c/0/0/0/0 does not match its checksum" in out
    assert "1 problem found" in err


def test_recipes_can_be_written_out(run, tmp_path):
    assert "mini" in run("recipe")[1].split()
    target = tmp_path / "mine.yaml"
    assert run("recipe", "mini", "-o", target)[0] == 0
    assert yaml.safe_load(target.read_text())["name"] == "mini"
    assert yaml.safe_load(run("recipe", "mini", "--full")[1])["maps"]["pixels"] == 80
    refused(run("recipe", "mini", "-o", target), "exists already")
    refused(run("recipe", "maxi"), "no shipped recipe 'maxi'", "mini")


def test_a_plan_is_printed_and_nothing_is_made(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("build", "mini", "--plan", "--workers", 2)
    assert status == 0 and "lines of sight" in out and "with 2 workers" in out and "left out" in out
    assert list(tmp_path.iterdir()) == []


def test_doctor_lists_what_the_project_declares(run, monkeypatch):
    status, out, _ = run("doctor")
    assert status == 0 and "zarr 3" in out and "cache" in out
    for extra, packages in declared_packages().items():
        line = next(line for line in out.splitlines() if line.startswith(f"{extra or 'base':<11}"))
        assert all(f"{package} " in line for package in packages)
    monkeypatch.setattr("three_hundred_maps.cli.project.installed_version", lambda name: None)
    assert "pip install 'three_hundred_maps[cluster]'" in run("doctor")[1]


def test_without_a_folder_for_the_cache_code_is_compiled_in_every_process(monkeypatch):
    assert cache_folder()
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    assert njit(cache=True, nogil=True)(lambda x: x + 1)(2) == 3
    assert cache_folder() is None
    assert project._compiled().startswith("nowhere: set NUMBA_CACHE_DIR")


def test_a_package_of_an_extra_that_is_missing_is_named_with_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    monkeypatch.setattr(
        "three_hundred_maps.cli.project.cores", lambda: importlib.import_module("dask_jobqueue")
    )
    refused(run("doctor"), "dask_jobqueue", "pip install 'three_hundred_maps[cluster]'")


def test_a_check_of_the_simulation_without_the_tools_says_where_they_are(run, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tools" else find(name))
    refused(run("simulate", "--check", "--regions", 1), "tools", "checkout")


@pytest.fixture
def recipe(real, tmp_path):
    """A recipe on the real box, with changes; the folder's own file name."""
    selection, maps = {"min_mass": 6.0e13, "min_particles": 100}, {"pixels": 8, "lines_of_sight": 1}
    return lambda **changes: write_box(tmp_path, real, "box", changes, selection=selection, maps=maps)


def test_a_build_from_the_command_line(run, recipe, tmp_path):
    status, out, err = run("build", recipe(), "--out", tmp_path / "store", "--workers", 1)
    assert status == 0 and "finished" in out and "halo" in err
    sampled = ("--snapshots", tmp_path / "box.yaml", "--sample", 1)
    assert run("verify", tmp_path / "store", "--deep", *sampled)[0] == 0
    assert run("build", tmp_path / "box.yaml", "--out", tmp_path / "store", "--quiet")[:2] == (0, "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "blue"}, ["unknown key colour"]),
        ({"maps": {"pixls": 8}}, ["unknown key maps.pixls"]),
        ({"maps": {"pixels": -3}}, ["maps.pixels", "-3"]),
        ({"maps": {"views": ["sz", "optical"]}}, ["optical", "sz"]),
        ({"simulation": {"snapshot": "nowhere/snap_099"}}, ["nowhere/snap_099"]),
        ({"simulation": {"catalogue": {"kind": "ahf", "path": "nowhere.AHF_halos"}}}, ["nowhere.AHF_halos"]),
        ({"simulation": {"snapshot": "snap_{galaxy}"}}, ["simulation.snapshot", "galaxy"]),
        ({"simulation": {"length_unit": "Mpc/h"}}, []),
        ({"selection": {"min_mass": 1e17}}, ["1.74e+14", "1e+17"]),
        ({"splits": {"scheme": "mine"}}, ["splits.scheme", "mine"]),
        ({"simulation": {"emissivity": "magic"}}, ["simulation.emissivity", "magic"]),
    ],
)
def test_bad_recipes(run, recipe, tmp_path, changes, words):
    refused(run("build", recipe(**changes), "--out", tmp_path / "store", "--workers", 1), *words)
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_a_truncated_snapshot(run, recipe, real, tmp_path):
    whole = (real / "gadget4_lcdm_gas" / "snapshot_003.hdf5").read_bytes()
    (tmp_path / "cut.hdf5").write_bytes(whole[: len(whole) // 2])
    refused(run("build", recipe(simulation={"snapshot": "cut.hdf5"}), "--out", tmp_path / "s"), "cut.hdf5")


def test_a_catalogue_of_another_simulation(run, recipe, real, tmp_path):
    """Its halos lie outside of the box: the zoom's box is twice as wide."""
    lines = (real / "gadget4_lcdm_gas" / "lcdm_gas_z0.z0.000.AHF_halos").read_text().splitlines()
    columns = [name.partition("(")[0] for name in lines[0].lstrip("#").split()]
    rows = [line.split() for line in lines[1:]]
    for row in rows:
        for name in ("Xc", "Yc", "Zc"):
            row[columns.index(name)] = str(float(row[columns.index(name)]) + 4e5)
    other = tmp_path / "other.z0.000.AHF_halos"
    other.write_text("\n".join([lines[0], *("\t".join(row) for row in rows)]) + "\n")
    catalogue = {"kind": "ahf", "path": str(other)}
    result = run("build", recipe(simulation={"catalogue": catalogue}), "--out", tmp_path / "s")
    refused(result, "no halo of this catalogue lies inside the box")


def test_folders_that_cannot_be_used(run, recipe, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    refused(run("build", recipe(), "--out", tmp_path / "mine"), "thesis.tex")
    refused(run("build", recipe(), "--out", tmp_path / "mine" / "thesis.tex" / "store"), "thesis.tex")
    refused(run("build", recipe(), "--out", "/proc/store"), "/proc/store")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("build", "mini"), ["--out"]),
        (("build", "maxi", "--out", "x"), ["maxi", "mini"]),
        (("build", "mini", "--out", "x", "--part", "3/2"), ["--part 3/2"]),
        (("build", "mini", "--out", "x", "--set", "maps.pixels"), ["--set maps.pixels"]),
        (("build", "mini", "--out", "x", "--workers", "many"), ["--workers", "integer"]),
        (("build", "mini", "--out", "x", "--root", "nowhere"), ["--root nowhere"]),
        (("build", "mini", "--bild", "x"), ["--bild"]),
        (("inspect", "nowhere"), ["nowhere", "does not exist"]),
        (("verify", "nowhere"), ["nowhere"]),
        (("finalise", "nowhere"), ["nowhere"]),
        (("preview", "nowhere", "--halo", "1:1", "-o", "a.png"), ["nowhere"]),
        (("subset", "nowhere", "--out", "x"), ["nowhere"]),
        (("brew",), ["brew"]),
        (("simulate", "--out", "x"), ["--regions"]),
        (("simulate", "--json"), ["--check"]),
        (("verify", "nowhere", "--sample", 3), ["--snapshots"]),
        (("verify", "nowhere", "--root", "."), ["--snapshots"]),
        (("recipe", "--out", "mine.yaml"), ["name the recipe", "mini"]),
    ],
)
def test_bad_options(run, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    refused(run(*args), *words)
    assert [p for p in tmp_path.iterdir() if p.name != "x"] == []


def test_a_tilde_after_an_equals_sign_is_the_home_folder(run, tmp_path, monkeypatch):
    # A shell fills it in where it stands alone; else a folder named ~ would be made.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert run("recipe", "mini", "--out=~/mine.yaml")[0] == 0
    assert (tmp_path / "home" / "mine.yaml").exists() and not (tmp_path / "~").exists()


def test_a_full_disk_is_one_line_and_the_build_goes_on(run, recipe, tmp_path, monkeypatch):
    from three_hundred_maps import io as files_io

    real_write = files_io.write_bytes

    def full(path: Path, data: bytes) -> None:
        if "/c/" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real_write(path, data)

    path = recipe()
    with monkeypatch.context() as patch:
        patch.setattr("three_hundred_maps.store.writer.write_bytes", full)
        refused(run("build", path, "--out", tmp_path / "store", "--workers", 1), "no space is left", "/c/0")
    assert "not finished" in run("inspect", tmp_path / "store")[1]
    refused(run("verify", tmp_path / "store"), "not finished")
    assert run("build", path, "--out", tmp_path / "store", "--workers", 1)[0] == 0
    assert run("verify", tmp_path / "store")[0] == 0


def test_a_name_that_the_terminal_cannot_show_is_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, "cp1252"))
    with error_handling():
        print("amas/Σ/é.zarr is good", flush=True)
    assert written.getvalue().strip() == b"amas/\\u03a3/\xe9.zarr is good"
