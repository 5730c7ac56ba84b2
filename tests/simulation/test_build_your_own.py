"""The page docs/build-your-own.md: its recipes are files, its commands and its Python run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.snippets import run_lines, snippets
from three_hundred_maps import open_store
from three_hundred_maps.builder import build
from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.writers.gadget_binary import write_gadget
from three_hundred_maps.testing.small import small_snapshot

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "build-your-own.md"
RECIPES = ROOT / "docs" / "recipes"
QUICK = ("maps.lines_of_sight=1",)
MAPS = ("sz", "xray", "star", "mass")


def halos_of(store):
    """{halo_id: {variable: array}} over all splits."""
    found = {}
    opened = open_store(store)
    for split in ("train", "validation", "test"):
        data = opened[split]
        for row, halo in enumerate(data["halo_id"].values.tolist()):
            found[halo] = {name: data[name].values[row] for name in (*MAPS, "M200c", "R200c", "c200c")}
    return found


def test_recipes_on_the_page_are_the_files():
    text = PAGE.read_text()
    shown = dict(re.findall(r"<!-- docs/recipes/(\w+\.yaml) -->\n```yaml\n(.*?)```", text, re.DOTALL))
    assert sorted(shown) == sorted(path.name for path in RECIPES.glob("*.yaml"))
    for name, block in shown.items():
        assert block == (RECIPES / name).read_text()


def test_commands_of_the_page(real, tmp_path):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    # The same lines; the zoom is planned in full, and all are built along one line of sight, in this one
    # process: workers take longer to start than these maps.
    build, few = 'zoom.yaml --root "$SIMULATIONS" --out zoom\n', "--set maps.lines_of_sight="
    lines = "".join(block.text for block in snippets(PAGE, "bash"))
    assert lines.count(build) == 1 and lines.count(f"{few}3") == 2
    lines = lines.replace(build, f"{build.strip()} {few}1\n").replace(f"{few}3", f"{few}1")
    lines = lines.replace("three-hundred-maps build ", "three-hundred-maps build --workers 1 ")
    printed = run_lines(lines, tmp_path, SIMULATIONS=str(real), THREE_HUNDRED_MAPS_QUIET="1")
    assert "4 halos x 29 lines of sight" in printed and "finished: 4 of 4 halos" in printed
    ahf, subfind = halos_of(tmp_path / "box"), halos_of(tmp_path / "box-subfind")
    assert len(ahf) == len(subfind) > 2
    heaviest = [max(halos.values(), key=lambda halo: halo["M200c"]) for halos in (ahf, subfind)]
    assert heaviest[0]["M200c"] == pytest.approx(heaviest[1]["M200c"], rel=0.01)


def test_python_of_the_page(real, monkeypatch, capsys):
    monkeypatch.setenv("SIMULATIONS", str(real))
    for block in snippets(PAGE, "python"):
        exec(compile(block.text, str(PAGE), "exec"), {"__name__": "page"})
    assert "f_gas = 0.124, kT = 1.23 keV" in capsys.readouterr().out


def test_three_formats_through_the_build_give_the_same_maps(real, tmp_path):
    stores = []
    for name in ("snapshot_003.hdf5", "snap_003.gad1", "snap_003.gad2"):
        out = tmp_path / name
        build(
            RECIPES / "box.yaml",
            out,
            root=real,
            overrides=(f"simulation.snapshot=gadget4_lcdm_gas/{name}", *QUICK),
            quiet=True,
        )
        stores.append(halos_of(out))
    first, *others = stores
    assert len(first) > 2
    for other in others:
        assert other.keys() == first.keys()
        for halo, values in first.items():
            for name in MAPS:
                scale = np.abs(values[name]).max()
                assert scale > 0 or name == "star"
                np.testing.assert_allclose(
                    other[halo][name], values[name], rtol=1e-5, atol=1e-7 * scale, err_msg=name
                )
            assert other[halo]["c200c"] == values["c200c"]


def test_regions(tmp_path):
    recipe = yaml.safe_load((RECIPES / "regions.yaml").read_text())
    assert recipe["simulation"]["regions"] == "1-4"
    for region in range(1, 5):
        folder = tmp_path / f"NewMDCLUSTER_{region:04d}"
        small = small_snapshot(folder, halos=2, particles=2000, redshift=0.333, seed=region)
        small.snapshot.rename(folder / "snap_110.hdf5")
        small.catalogue.rename(folder / f"GIZMO-NewMDCLUSTER_{region:04d}.snap_110.z0.333.AHF_halos")
    out = tmp_path / "store"
    build(RECIPES / "regions.yaml", out, root=tmp_path, overrides=QUICK, quiet=True)
    opened = open_store(out)
    regions = [opened[split]["region"].values.tolist() for split in ("train", "validation", "test")]
    assert sorted(sum(regions, [])) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert not set(regions[0]) & (set(regions[1]) | set(regions[2]))
    assert opened.attrs["simulation"]["code"] == "GIZMO"


def test_csv_of_the_page(real, tmp_path):
    (table,) = [block.text for block in snippets(PAGE, "csv")]
    (tmp_path / "halos.csv").write_text(table)
    (tmp_path / "gadget4_lcdm_gas").symlink_to(real / "gadget4_lcdm_gas")
    build(RECIPES / "csv.yaml", tmp_path / "store", root=tmp_path, overrides=QUICK, quiet=True)
    halos = halos_of(tmp_path / "store")
    assert halos.keys() == {0, 1}
    assert halos[0]["M200c"] * 0.7 == pytest.approx(1.74e14, rel=0.01)
    assert halos[1]["M200c"] * 0.7 == pytest.approx(7.21e13, rel=0.01)


def test_a_wrong_unit_is_refused_before_any_map(real, tmp_path):
    (table,) = [block.text for block in snippets(PAGE, "csv")]
    (tmp_path / "gadget4_lcdm_gas").symlink_to(real / "gadget4_lcdm_gas")
    assert "M200c_msun_h\n" in table  # with which `test_csv_of_the_page` builds
    (tmp_path / "halos.csv").write_text(table.replace("M200c_msun_h\n", "M200c_msun\n"))
    with pytest.raises(InputError, match="they seem to be in Msun/h, and are read as Msun"):
        build(RECIPES / "csv.yaml", tmp_path / "store", root=tmp_path, overrides=QUICK, quiet=True)


def test_what_does_not_fit_is_told_also_when_quiet(tmp_path, capsys):
    """A centre beside its halo and mended particles are warnings; a wrong unit is refused with the key."""
    small = small_snapshot(tmp_path, format="gadget2", particles=2000)
    small.particles[0]["mass"][0] = 0.0
    write_gadget(tmp_path / "snap", small.header, small.particles)
    write_gadget(tmp_path / "mpc", replace(small.header, length_unit="Mpc/h"), small.particles)
    rows = [
        f"{row},{x + 300.0},{y},{z},{mass}"
        for row, ((x, y, z), mass) in enumerate(zip(small.centres, small.M200c, strict=True))
    ]
    names = "halo_id,x_ckpc_h,y_ckpc_h,z_ckpc_h,M200c_msun_h"
    (tmp_path / "halos.csv").write_text("\n".join([names, *rows]) + "\n")
    recipe = yaml.safe_load((RECIPES / "csv.yaml").read_text())
    recipe["simulation"]["snapshot"] = "snap"
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    build(tmp_path / "recipe.yaml", tmp_path / "store", overrides=QUICK, quiet=True)
    said = capsys.readouterr().err
    assert "warning: halo 0: the catalogue's centre is " in said
    assert "warning: values mended on reading: gas: mass of 0, left out (1)\n" in said
    mpc = (*QUICK, "simulation.snapshot=mpc")
    with pytest.raises(InputError, match="read as kpc/h; set simulation.length_unit if they are in .*Mpc/h"):
        build(tmp_path / "recipe.yaml", tmp_path / "other", overrides=mpc, quiet=True)
