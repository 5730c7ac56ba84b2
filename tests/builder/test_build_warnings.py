"""What is remarkable is a warning, what cannot be mapped is excluded with a reason, damage is mended."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.helpers import command, flip, hashes
from tests.recipes import of_files
from three_hundred_maps import open_store
from three_hundred_maps.builder import build, load_recipe
from three_hundred_maps.builder.plan import describe_plan, make_plan, sources_for
from three_hundred_maps.builder.shard import read_region
from three_hundred_maps.cli import main
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.derive import subset
from three_hundred_maps.store.notes import (
    EMPTY_TRAIN,
    closing_attrs,
    corrections_text,
    joined_attrs,
    write_notes,
)
from three_hundred_maps.store.overview import describe, overview
from three_hundred_maps.store.records import read_layout
from three_hundred_maps.testing.small import small_snapshot


@pytest.fixture
def small(tmp_path, write_recipe):
    """A recipe on a small box of two halos whose file is changed by a function of it."""

    def make(change=lambda file: None, **options) -> Path:
        written = small_snapshot(tmp_path / "small", particles=3000, **options)
        with h5py.File(written.snapshot, "r+") as file:
            change(file)
        simulation = of_files(written.snapshot, written.catalogue)
        return write_recipe("small", simulation=simulation, maps={"pixels": 8, "lines_of_sight": 1})

    return make


def plan_of(recipe: Path, *overrides: str):
    return make_plan(sources_for(load_recipe(recipe, overrides=overrides), recipe, None))


def test_what_a_view_lacks_is_a_warning_everywhere(small, tmp_path, capsys):
    def change(file):
        del file["PartType4"]
        for name in ("Metallicity", "SmoothingLength", "Density"):
            del file[f"PartType0/{name}"]
        counts = file["Header"].attrs["NumPart_Total"]
        counts[4] = 0
        for name in ("NumPart_Total", "NumPart_ThisFile"):
            file["Header"].attrs[name] = counts

    recipe = small(change)
    plan = plan_of(recipe)
    assert plan.warnings == [
        "view xray: no metallicity in the snapshot: the emission of metals is left out",
        "view star: no stars in the snapshot: these maps are 0",
        "views sz, xray: no smoothing length of gas in the snapshot: it is taken from density, 48 "
        "neighbours, which changes X-rays most",
        "views sz, xray: no density of gas in the snapshot: it is taken from the distances of neighbours, "
        "which changes X-rays most",
    ]
    assert all(f"warning: {warning}" in describe_plan(plan) for warning in plan.warnings)
    store = build(recipe, tmp_path / "store", quiet=True)
    warnings = open_store(store).attrs["warnings"]
    assert warnings[:4] == plan.warnings
    assert capsys.readouterr().err.splitlines() == [f"warning: {warning}" for warning in warnings]
    assert plan_of(recipe, "simulation.emissivity=bremsstrahlung").warnings == plan.warnings[1:]


def test_a_view_dominated_by_few_particles_is_a_warning_with_its_cure(small, tmp_path, capsys):
    def change(file):
        density = file["PartType0/Density"][...]
        formed = file["PartType0/StarFormationRate"][...]
        density[np.flatnonzero(formed == 0)[:3]] *= 1e3
        file["PartType0/Density"][...] = density

    recipe = small(change)
    attrs = open_store(build(recipe, tmp_path / "store", quiet=True)).attrs
    (warning,) = attrs["warnings"]
    share = attrs["ten_brightest_share"]["xray"]
    assert share["largest"] > 0.9 and share["halo"] == "small:10000000000001:10:10000000000001"
    assert "view xray: in 2 of 2 halos ten particles give over 30%" in warning and "xray_max_share" in warning
    assert set(attrs["ten_brightest_share"]) == {"sz", "xray", "star", "mass"}
    assert capsys.readouterr().err == f"warning: {warning}\n"
    shown = describe(overview(tmp_path / "store"))
    assert f"warning: {warning}" in shown and f"xray {share['median']:.1%} ({share['largest']:.1%})" in shown
    cured = build(recipe, tmp_path / "cured", overrides=["simulation.gas.xray_max_share=0.01"], quiet=True)
    assert open_store(cured).attrs["ten_brightest_share"]["xray"]["largest"] < 0.5


def test_limits_on_particles_exclude_halos_with_the_reason(small, lcdm, tmp_path):
    recipe = small(low_resolution=True)
    deep = "maps.half_depth=5"
    with pytest.raises(InputError, match=r"low-resolution .* \(selection.max_low_resolution_fraction\)"):
        build(recipe, tmp_path / "none", overrides=[deep], quiet=True)
    lifted = ["selection.max_low_resolution_fraction=1", deep]
    store = build(recipe, tmp_path / "lifted", overrides=lifted, quiet=True)
    assert sum(len(open_store(store)[split]["halo_id"]) for split in open_store(store)) == 2
    with pytest.raises(InputError, match=r"dark-matter particles inside R200c, below 9999 \(selection.min"):
        build(recipe, tmp_path / "few", overrides=["selection.min_particles=9999"], quiet=True)
    # a plan knows the particles' mass, and names what it cannot know
    plan = plan_of(lcdm(), "selection.min_particles=100")
    said = describe_plan(plan)
    assert 0 < len(plan.expected) < plan.halos and "about 95, below 100 (selection.min_particles)" in said
    assert "only the particles tell" in said and "selection.max_low_resolution_fraction" in said


def test_the_closing_attributes(whole, tmp_path):
    recipe, _ = whole
    store = build(recipe, tmp_path / "store", part=(1, 4), quiet=True)
    layout = read_layout(store)
    notes = [
        {
            "halo": f"s:1:2:{k}",
            "brightest": {"xray": share},
            "warning": warning,
            "corrections": {"gas: mass of 0, left out": k},
            "snapshot": {
                "place": [1, 2],
                "warnings": ["region 1, halo 4: apart", "region 1, halo 5: apart"],
                "corrections": {"gas: mass of 0, left out": 10},
            },
        }
        for k, share, warning in ((3, 0.1, None), (4, 0.5, "halo s:1:2:4: off by 300 kpc"))
    ]
    shutil.rmtree(store / "progress" / "notes")
    write_notes(store, "test", 0, notes)
    attrs = closing_attrs(store, layout.with_splits({"train": 0, "validation": 1, "test": 1}))
    assert attrs["ten_brightest_share"] == {"xray": {"median": 0.3, "largest": 0.5, "halo": "s:1:2:4"}}
    assert attrs["warnings"][1:] == [
        "1 of 2 halos differ from their catalogue: halo s:1:2:4: off by 300 kpc",
        "the most massive halos were held against their catalogue: region 1, halo 4: apart, and 1 more",
        EMPTY_TRAIN,
    ]
    assert attrs["corrections"] == {"gas: mass of 0, left out": 17}
    joined = joined_attrs([attrs, {"warnings": ["another"], "corrections": {"gas: mass of 0, left out": 1}}])
    assert joined["warnings"] == [*attrs["warnings"][:-1], "another"]
    assert joined["corrections"] == {"gas: mass of 0, left out": 18}


@pytest.mark.parametrize("whole_particles", [50_000_000, 0])
def test_what_is_mended_and_what_differs_is_told_once_and_kept(
    small, tmp_path, capsys, monkeypatch, whole_particles
):
    def change(file):
        file["PartType0/Masses"][3] = 0.0
        file["PartType0/ElectronAbundance"][4:6] = -1e-8

    recipe = small(change)
    (catalogue,) = (tmp_path / "small").glob("*AHF_halos")
    head, first, *others = catalogue.read_text().splitlines()
    columns = first.split("\t")
    columns[5] = str(float(columns[5]) + 300.0)
    catalogue.write_text("\n".join([head, "\t".join(columns), *others]) + "\n")
    monkeypatch.setattr("three_hundred_maps.simulation.region.WHOLE_PARTICLES", whole_particles)
    # every shard reads its snapshot anew, as the workers of a pool do
    monkeypatch.setattr("three_hundred_maps.builder.shard.load_region", read_region)
    store = tmp_path / "store"
    build(recipe, store, overrides=["store.shard_halos=1"], part=(1, 1), quiet=True)
    told = [line for line in capsys.readouterr().err.splitlines() if "densest point" in line]
    assert len(told) == 1 and told[0].startswith("warning: halo ")
    done = command(main, "finalise", store, "--quiet")
    attrs, said = open_store(store).attrs, done.stderr.splitlines()
    assert done.returncode == 0 and said[:-1] == [f"warning: {warning}" for warning in attrs["warnings"]]
    assert said[-1] == f"warning: {corrections_text(attrs['corrections'])}"
    assert attrs["corrections"] == {
        "gas: electron abundance below 0, set to 0": 2,
        "gas: mass of 0, left out": 1,
    }
    shown = describe(overview(store))
    assert "gas: electron abundance below 0, set to 0 (2); gas: mass of 0, left out (1)" in shown
    (kept,) = [warning for warning in attrs["warnings"] if "held against their catalogue" in warning]
    assert "away from the densest point" in kept
    # what a build kept goes along into stores that are made of it, and with no train that is said too
    split = next(split for split in ("validation", "test", "train") if len(open_store(store)[split]["halo"]))
    part = subset(store, tmp_path / "part", splits=[split])
    assert subset(store, tmp_path / "part", splits=[split]) == part
    assert f"of a store that this is part of, {kept}" in open_store(part).attrs["warnings"]
    assert (EMPTY_TRAIN in open_store(part).attrs["warnings"]) == (split != "train")


def test_damaged_shards_of_a_finished_store_are_made_again(whole, tmp_path, capsys):
    recipe, store = whole
    copy = shutil.copytree(store, tmp_path / "copy")
    shards = sorted(path for path in copy.rglob("*") if "/c/" in str(path) and path.is_file())
    maps = [path for path in shards if path.parent.name == "0" and path.parts[-6] in ("sz", "mass_half")]
    flip(maps[0])
    maps[-1].unlink()
    build(recipe, copy, workers=2, quiet=True)
    assert hashes(copy) == hashes(store)
    assert capsys.readouterr().err.count("was rebuilt") == 2
    flip(copy / "test" / "M200c" / "c" / "0")
    with pytest.raises(InputError, match=r"test/M200c/c/0 is damaged or missing.*delete the store"):
        build(recipe, copy, quiet=True)


def test_a_shard_damaged_before_the_end_is_found_and_made_again(whole, tmp_path):
    recipe, store = whole
    parts = tmp_path / "parts"
    for i in (1, 2):
        build(recipe, parts, part=(i, 2), quiet=True)
    flip(parts / "train/xray/c/0/0/0/0")
    build(recipe, parts, quiet=True)
    assert hashes(parts) == hashes(store)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("np.log10(p.fields['metallicity'])", r"view v: its values for gas are negative"),
        ("p.fields['entropy']", r"view v: KeyError: 'entropy' \(.*view_of_\d+\.py, line 4\)$"),
    ],
)
def test_a_view_is_tried_before_any_particle_is_read(synthetic, tmp_path, monkeypatch, body, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = f"view_of_{len(body)}"
    (tmp_path / f"{module}.py").write_text(
        "import numpy as np\nfrom three_hundred_maps.mapping import View\ndef f(p, c):\n"
        f"    return {body}\nv = View('v', '1', 'v', ('gas',), f)\n"
    )
    monkeypatch.setattr("three_hundred_maps.mapping.views.VIEWS", {})
    with pytest.raises(InputError, match=words):
        build(synthetic(), tmp_path / "store", overrides=[f"maps.views=['{module}:v']"], quiet=True)
    assert not (tmp_path / "store").exists()


def test_an_error_of_the_disk_names_the_file(whole, tmp_path, monkeypatch):
    recipe, _ = whole

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error") as caught:
        build(recipe, tmp_path / "store", quiet=True)
    assert str(tmp_path) in str(caught.value.filename)


def test_simulation_ids_enter_the_key(whole, synthetic, tmp_path):
    _, store = whole
    assert set(open_store(store)["train"]["simulation"].values.tolist()) == {0}
    assert "synthetic-gadgetx" in json.dumps(dict(open_store(store)["train"]["simulation"].attrs))
    named = load_recipe(synthetic(), overrides=("simulation.id=my-run",))
    assert named.simulation_id == "my-run"
    with pytest.raises(InputError, match=r"simulation\.id"):
        load_recipe(synthetic(), overrides=("simulation.id=my run",))
