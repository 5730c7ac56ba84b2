"""The recipes of public simulations on files of their layouts: of the same particles the same maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from three_hundred_maps import open_store
from three_hundred_maps.builder import build, load_recipe
from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.gas import AREPO_CELL_RADII
from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.simulation.writers.gadget_binary import write_gadget
from three_hundred_maps.simulation.writers.hdf5 import write_hdf5
from three_hundred_maps.store.derive import merge
from three_hundred_maps.store.halo_table import halo_table
from three_hundred_maps.store.verify import verify
from three_hundred_maps.testing.catalogues import write_catalogue
from three_hundred_maps.testing.dialects import DIALECTS
from three_hundred_maps.testing.layouts import write_swift, write_tng
from three_hundred_maps.testing.small import small_snapshot

VIEWS = ("sz", "xray", "star", "mass")
QUICK = ("maps.lines_of_sight=1", "maps.pixels=40", "selection.min_mass=1e13")
TOLERANCE = 1e-4
OTHER_KERNEL = 0.03
"""Of what a map holds where gas is mapped with another kernel."""


@pytest.fixture(scope="module")
def particles(tmp_path_factory):
    """Two clusters whose gas is the same in every dialect, and a light background.

    X = 0.76, ionised, no winds; smoothing lengths are those that cells of a mesh are given.
    """
    folder = tmp_path_factory.mktemp("particles")
    small = small_snapshot(folder, format="gadget2", particles=3000, redshift=0.0)
    gas, stars = small.particles[0], small.particles[4]
    hydrogen = 0.76
    for fields in (gas, stars):
        fields["helium_fraction"] = (1.0 - hydrogen - fields["metallicity"]).astype(np.float32)
    gas["electron_abundance"][:] = 1.0 + (1.0 - hydrogen) / (2.0 * hydrogen)
    gas["delay_time"][:] = 0.0
    volume = gas["mass"].astype(np.float64) / gas["density"]
    gas["smoothing_length"] = (AREPO_CELL_RADII * np.cbrt(3.0 * volume / (4.0 * np.pi))).astype(np.float32)
    content = dict(small.particles)
    light = content[1]["mass"] < 1e-3
    content[2] = {name: values[light] for name, values in content[1].items()}
    content[1] = {name: values[~light] for name, values in content[1].items()}
    return small, content


@pytest.fixture(scope="module")
def catalogue(particles):
    """The halos, and how they are written in another form."""
    small, _ = particles
    info = open_source(small.snapshot).info
    background = {"cosmology": info.cosmology, "redshift": info.redshift}
    halos = read_catalogue("ahf", small.catalogue, **background)

    def write(kind: str, path: Path, **options):
        return write_catalogue(kind, path, halos, **background, box_kpc=info.box_kpc, **options)

    return write


def maps_of(store):
    """The maps of each halo, from the most massive."""
    opened = open_store(store)
    found = []
    for split in ("train", "validation", "test"):
        data = opened[split].load()
        for row in range(data.sizes["halo"]):
            mass = float(data["M200c"][row])
            found.append((mass, {name: data[name].values[row, 0] for name in VIEWS}))
    return [maps for _, maps in sorted(found, key=lambda item: -item[0])]


@pytest.fixture(scope="module")
def reference(particles, tmp_path_factory):
    """Maps through Gadget's binary format and AHF."""
    small, content = particles
    folder = tmp_path_factory.mktemp("reference")
    write_gadget(folder / "snap_090", small.header, content)
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        "name: reference\nsimulation:\n  kind: gadget\n  snapshot: snap_090\n  region_by: halo\n"
        f"  dialect: gadget2\n  catalogue: {{kind: ahf, path: {small.catalogue}}}\n"
    )
    build(recipe, folder / "store", overrides=QUICK, quiet=True)
    return maps_of(folder / "store")


def blocks(image, size=10):
    n = image.shape[0] // size
    return image.reshape(n, size, n, size).mean((1, 3))


def compare(found, reference, *, other_kernel=False):
    assert len(found) == len(reference) == 2
    for maps, expected in zip(found, reference, strict=True):
        for name in VIEWS:
            one, other = maps[name].astype(np.float64), expected[name].astype(np.float64)
            if other_kernel and name != "star":
                one, other = blocks(one), blocks(other)
                inner = other > 0.01 * other.max()
                np.testing.assert_allclose(one[inner], other[inner], rtol=0.3, err_msg=name)
                assert one.sum() == pytest.approx(other.sum(), rel=OTHER_KERNEL), name
            else:
                # positions differ in their last digit, and with it the place of a stamp on its lattice
                close = 5e-3 if name == "star" else TOLERANCE
                np.testing.assert_allclose(one, other, rtol=close, atol=TOLERANCE * other.max(), err_msg=name)


def made(name, folder, *overrides):
    build(name, folder / "store", root=folder, overrides=(*QUICK, *overrides), quiet=True)
    return maps_of(folder / "store")


def test_camels_simba(particles, catalogue, reference, tmp_path):
    small, content = particles
    write_hdf5(tmp_path / "snapshot_090.hdf5", small.header, content)
    catalogue("subfind", tmp_path / "groups_090.hdf5")
    catalogue("caesar", tmp_path / "caesar_090.hdf5")
    catalogue("rockstar", tmp_path / "out_90.list")
    compare(made("camels-simba", tmp_path), reference)
    for kind, name in (("caesar", "caesar_090.hdf5"), ("rockstar", "out_90.list")):
        folder = tmp_path / kind
        folder.mkdir()
        for path in tmp_path.glob("*090*"):
            (folder / path.name).symlink_to(path)
        (folder / "out_90.list").symlink_to(tmp_path / "out_90.list")
        compare(
            made("camels-simba", folder, f"simulation.catalogue={{kind: {kind}, path: {name}}}"), reference
        )


def test_eagle(particles, catalogue, reference, tmp_path):
    """EAGLE's element fractions and smoothed metallicities; its kernel is Wendland's C2."""
    small, content = particles
    write_hdf5(tmp_path / "snapshot_090.hdf5", small.header, content, dialect=DIALECTS["eagle"])
    catalogue("subfind", tmp_path / "groups_090.hdf5")
    found = made("camels-simba", tmp_path)
    assert open_store(tmp_path / "store").attrs["simulation"]["file_format"] == "eagle"
    compare(found, reference, other_kernel=True)


def test_flamingo(particles, catalogue, reference, tmp_path):
    small, content = particles
    master = tmp_path / "snapshots" / "flamingo_0077" / "flamingo_0077.hdf5"
    write_swift(master, small.header, without_low_resolution(content))
    catalogue("soap", tmp_path / "SOAP-HBT" / "halo_properties_0077.hdf5")
    compare(made("flamingo", tmp_path), reference)


def without_low_resolution(content):
    """The particles of a box that is no zoom: the background is dark matter like other."""
    dark = {name: np.concatenate([content[1][name], values]) for name, values in content[2].items()}
    return {0: content[0], 1: dark, 4: content[4]}


def test_tng300(particles, catalogue, reference, tmp_path):
    """Whole; and with the chunks of the first cluster alone, by whose lack the other is left out."""
    small, content = particles
    folder = tmp_path / "output" / "snapdir_099"
    plain = without_low_resolution(content)
    tng = write_tng(folder, small.header, plain, small.centres, small.R200c)
    (tmp_path / "postprocessing" / "offsets").mkdir(parents=True)
    tng.offsets.rename(tmp_path / "postprocessing" / "offsets" / tng.offsets.name)
    catalogue(
        "subfind",
        tmp_path / "output" / "groups_099" / "fof_subhalo_tab_099.hdf5",
        files=2,
        lengths=tng.lengths,
    )
    whole = made("tng300", tmp_path)
    compare(whole, reference)
    (tmp_path / "store").rename(tmp_path / "before")
    ends = np.cumsum(tng.lengths, axis=0)
    total = np.array([len(plain[k]["position"]) if k in plain else 0 for k in range(6)])
    (lost, *_) = [
        n
        for n in range(8)
        if all(ends[0, k] <= total[k] * n // 8 and total[k] * (n + 1) // 8 <= ends[1, k] for k in (0, 1, 4))
    ]
    (folder / f"snap_099.{lost}.hdf5").unlink()
    (left,) = made("tng300", tmp_path)
    np.testing.assert_array_equal(left["mass"], whole[0]["mass"])
    said = open_store(tmp_path / "store").attrs["simulation"]["assumptions"]["files"]
    assert said.startswith("1 of 8 files of the snapshot are not here")
    other = f"simulation.catalogue={{kind: ahf, path: {small.catalogue}}}"
    with pytest.raises(InputError, match="1 of 8 files .* does not say which halos need them"):
        build("tng300", tmp_path / "other", root=tmp_path, overrides=(*QUICK, other), quiet=True)


def test_tng_cluster(particles, catalogue, reference, tmp_path):
    """Each zoom is two files of the snapshot and one of the groups; others may be missing."""
    small, content = particles
    folder = tmp_path / "output" / "snapdir_099"
    write_tng(folder, small.header, content, small.centres, small.R200c, zooms=True)
    for zoom in (0, 1):
        (folder / f"snap_099.{zoom + 2}.hdf5").rename(folder / f"snap_099.{zoom + 352}.hdf5")
    catalogue("subfind", tmp_path / "output" / "groups_099" / "fof_subhalo_tab_099.hdf5", files=2)
    found = made("tng-cluster", tmp_path, "simulation.regions=0-1")
    compare(found, reference)
    (folder / "snap_099.1.hdf5").unlink()
    alone = tmp_path / "alone"
    build("tng-cluster", alone, root=tmp_path, overrides=(*QUICK, "simulation.regions=0"), quiet=True)
    (again,) = maps_of(alone)
    np.testing.assert_array_equal(again["mass"], found[0]["mass"])


@pytest.mark.parametrize("name", ["tng-cluster", "tng300", "camels-simba", "flamingo"])
def test_recipes_say_how_little_is_needed(name):
    from three_hundred_maps.builder.recipe import recipe_text

    text, _ = recipe_text(name)
    assert f"build {name} --root DIR" in text
    recipe = load_recipe(name)
    assert recipe.citation
    assert recipe.license


def test_unrelated_boxes_merge(tmp_path):
    """Halo numbers repeat between boxes; with their universes named, the regions do not, and splits hold."""
    stores = []
    for seed in (1, 2):
        folder = tmp_path / f"CV_{seed}"
        small = small_snapshot(folder, halos=4, particles=2500, redshift=0.0, box_size=90_000.0, seed=seed)
        small.snapshot.rename(folder / "snapshot_090.hdf5")
        info = open_source(folder / "snapshot_090.hdf5").info
        background = {"cosmology": info.cosmology, "redshift": info.redshift}
        halos = read_catalogue("ahf", small.catalogue, **background)
        write_catalogue("subfind", folder / "groups_090.hdf5", halos, **background, box_kpc=info.box_kpc)
        named = (f"simulation.id=simba-CV_{seed}", f"simulation.universe=CV_{seed}")
        build("camels-simba", folder / "store", root=folder, overrides=(*QUICK, *named), quiet=True)
        stores.append(folder / "store")
    merge(stores, tmp_path / "both")
    assert verify(tmp_path / "both", deep=True).good
    table = halo_table(tmp_path / "both")
    assert len(set(table["region"])) == len(table["region"]) == 8
    assert sorted(table["halo_id"]) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert set(table["simulation"]) == {"simba-CV_1", "simba-CV_2"}
