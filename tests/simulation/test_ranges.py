"""Snapshots read by ranges, the same particles as of one read whole; files that only point to their parts."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from simulation_helpers import set_count

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation import block_index
from three_hundred_maps.simulation.block_index import merged, rows_of, within_rows
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.particles import GAS_FIELDS, SPECIES
from three_hundred_maps.simulation.readers.hdf5_index import parts_of
from three_hundred_maps.simulation.readers.hdf5_safe import dataset, opened
from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.testing.catalogues import write_catalogue
from three_hundred_maps.testing.layouts import write_master, write_swift, write_tng
from three_hundred_maps.testing.small import FORMATS, small_snapshot


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that even a small snapshot has many."""
    monkeypatch.setattr(block_index, "BLOCK_ROWS", 64)
    monkeypatch.setattr(block_index, "_LARGEST_GAP", 8)


def same(one, other):
    """Two cut-outs hold the same particles, to the last bit."""
    for species in SPECIES:
        a, b = one[species], other[species]
        np.testing.assert_array_equal(a.index, b.index)
        np.testing.assert_array_equal(a.position, b.position)
        np.testing.assert_array_equal(a.mass, b.mass)
        assert sorted(a.fields) == sorted(b.fields)
        for name in a.fields:
            np.testing.assert_array_equal(a.fields[name], b.fields[name], err_msg=name)


def spheres(small, region):
    """Around every halo (the first lies at the box's corner), small, large, and around nothing."""
    scale = small.header.time / small.header.cosmology.h
    assert region.periodic
    yield from ((centre * scale, r * scale) for centre in small.centres for r in (300.0, 4000.0, 20_000.0))
    yield np.array([100.0, 100.0, 100.0]), 1.0


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("files", [1, 3])
def test_ranges_are_the_whole(small_blocks, tmp_path, format, files):
    small = small_snapshot(tmp_path, format=format, files=files, particles=1500, low_resolution=True)
    whole = Region.open(small.snapshot, whole=True, optional=("velocity",))
    ranged = Region.open(small.snapshot, whole=False, optional=("velocity",))
    np.testing.assert_array_equal(whole.bounds_kpc(), ranged.bounds_kpc())
    assert ranged.mean_density_msun_kpc3() == pytest.approx(whole.mean_density_msun_kpc3(), rel=1e-6)
    assert whole.extent_kpc <= ranged.extent_kpc * (1 + 1e-6) < 1.2 * whole.extent_kpc
    for centre, radius in spheres(small, whole):
        cutout = whole.cutout(centre, radius)
        same(cutout, ranged.cutout(centre, radius))
        assert cutout["gas"].fields["velocity"].shape == (len(cutout["gas"]), 3)


def test_optional_columns_are_there_only_when_asked_for(tmp_path):
    small = small_snapshot(tmp_path, format="swift", particles=300)
    scale = small.header.time / small.header.cosmology.h
    sphere = small.centres[1] * scale, 3000.0 * scale
    plain = Region.open(small.snapshot).cutout(*sphere)
    assert set(plain["gas"].fields) == set(GAS_FIELDS)
    assert not plain["stars"].fields
    wanted = ("velocity", "formation_time", "metallicity")
    full = Region.open(small.snapshot, optional=wanted).cutout(*sphere)
    assert set(full["stars"].fields) == set(wanted)
    assert set(full["dark_matter"].fields) == {"velocity"}
    index = full["stars"].index
    np.testing.assert_allclose(
        full["stars"].fields["velocity"], small.particles[4]["velocity"][index], rtol=1e-5
    )
    np.testing.assert_allclose(
        full["stars"].fields["formation_time"], small.particles[4]["formation_time"][index], rtol=1e-6
    )
    with h5py.File(small.snapshot, "r+") as file:
        del file["PartType1/Velocities"]
    Region.open(small.snapshot)
    with pytest.raises(InputError, match="dark matter without velocity, which a view is made of"):
        Region.open(small.snapshot, optional=("velocity",))


@pytest.mark.parametrize("format", FORMATS)
def test_velocities_are_peculiar(tmp_path, format):
    """Gadget's family stores v / sqrt(a), SWIFT v itself: whatever the file holds, cut-outs have km/s."""
    small = small_snapshot(tmp_path, format=format, particles=300, redshift=1.0)
    scale = small.header.time / small.header.cosmology.h
    cutout = Region.open(small.snapshot, optional=("velocity",)).cutout(
        small.centres[0] * scale, 3000.0 * scale
    )
    for kind, species in ((0, "gas"), (1, "dark_matter"), (4, "stars")):
        part = cutout[species]
        expected = small.particles[kind]["velocity"][part.index]
        assert len(part) > 10
        np.testing.assert_allclose(part.fields["velocity"], expected, rtol=1e-5)
    if h5py.is_hdf5(small.snapshot):
        with h5py.File(small.snapshot) as file:
            stored = file[
                "PartType0/Velocities" if "Velocities" in file["PartType0"] else "PartType0/Velocity"
            ]
            factor = 1.0 if format == "swift" else np.sqrt(2.0)
            np.testing.assert_allclose(stored, factor * small.particles[0]["velocity"], rtol=1e-5)


def test_a_packed_chunk_is_unpacked_once(tmp_path):
    """SWIFT's hold 2^20 rows, and a sphere touches hundreds of runs in one: the cache must hold it."""
    path = tmp_path / "packed.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (1 << 20, 3), "f8", chunks=(1 << 20, 3), compression="gzip")
    with opened(path) as file:
        _, held, _ = file["x"].id.get_access_plist().get_chunk_cache()
        assert held >= 8 * np.prod(file["x"].chunks)


def bfloat16():
    """The type of numbers of which SWIFT's filter BFloat16 keeps 16 bits of 32."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_precision(16)
    return kind


def test_short_numbers_that_were_unpacked(tmp_path):
    """As by h5repack: they lie in one piece, but not as float32."""
    small = small_snapshot(tmp_path, particles=300)
    sphere = small.centres[1] * small.header.time / small.header.cosmology.h, 2000.0
    before = Region.open(small.snapshot).cutout(*sphere)["gas"].fields["density"]
    with h5py.File(small.snapshot, "r+") as file:
        values = file["PartType0/Density"][...]
        del file["PartType0/Density"]
        made = h5py.h5d.create(
            file["PartType0"].id, b"Density", bfloat16(), h5py.h5s.create_simple(values.shape)
        )
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
    after = Region.open(small.snapshot).cutout(*sphere)["gas"].fields["density"]
    np.testing.assert_allclose(after, before, rtol=0.01)


def test_a_column_of_one_value_as_swift_packs_it(tmp_path):
    """16 bits of 32 are kept (SWIFT's filter BFloat16), and all are the same: 2035 to 1."""
    path, rows = tmp_path / "packed.hdf5", 1 << 22
    packed = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    packed.set_chunk((1 << 20,))
    packed.set_filter(h5py.h5z.FILTER_NBIT, 0, ())
    packed.set_shuffle()
    packed.set_deflate(4)
    with h5py.File(path, "w") as file:
        made = h5py.h5d.create(file.id, b"x", bfloat16(), h5py.h5s.create_simple((rows,)), packed)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.full(rows, 1.5, np.float32))
        assert rows * 4 > 2000 * made.get_storage_size()
    with opened(path) as file:
        assert dataset(file, "x", path, rows)[-1] == 1.5


def test_the_index_is_kept(small_blocks, tmp_path, monkeypatch):
    small = small_snapshot(tmp_path, particles=500)
    folder = tmp_path / "index"
    first = Region.open(small.snapshot, whole=False, index_folder=folder)
    monkeypatch.setattr("three_hundred_maps.simulation.stored.scan", None)  # not a second time
    again = Region.open(small.snapshot, whole=False, index_folder=folder)
    centre = small.centres[1] * small.header.time / small.header.cosmology.h
    same(first.cutout(centre, 2000.0), again.cutout(centre, 2000.0))


def test_the_index_is_of_the_origin_too(tmp_path):
    """A black hole is found though its chunk was indexed before the first one, and with it another origin."""
    small = small_snapshot(tmp_path, format="arepo", particles=500)
    hole = {name: np.asarray(values[:1]) for name, values in small.particles[1].items()}
    hole |= {"position": small.centres[:1].astype(np.float32), "mass": np.ones(1, np.float32)}
    particles = {**small.particles, 5: hole}
    tng = write_tng(tmp_path / "tng", small.header, particles, small.centres, small.R200c)
    options = {"whole": False, "offsets": tng.offsets, "index_folder": tmp_path / "index"}
    first = tng.snapshot.rename(tmp_path / "away")
    Region.open(tng.snapshot.with_name("snap_099.1.hdf5"), **options)
    first.rename(tng.snapshot)
    centre = small.centres[0] * small.header.time / small.header.cosmology.h
    assert len(Region.open(tng.snapshot, **options).cutout(centre, 50.0)["black_holes"]) == 1


def test_a_position_that_is_not_finite_is_named(tmp_path):
    small = small_snapshot(tmp_path, particles=300)
    with h5py.File(small.snapshot, "r+") as file:
        file["PartType1/Coordinates"][5] = np.nan
    with pytest.raises(InputError, match="dark_matter: the position of row 5 is .nan"):
        Region.open(small.snapshot, whole=False)


@pytest.mark.parametrize("extent", [True, False])
@pytest.mark.parametrize("part", [False, True])
def test_cells_of_swift(tmp_path, monkeypatch, extent, part):
    """Nothing is scanned; a missing part matters to the halos in it alone."""
    small = small_snapshot(tmp_path / "plain", format="swift", particles=1500)
    master = write_swift(tmp_path / "snap_0077.hdf5", small.header, small.particles, extent=extent)
    path = master.with_name("snap_0077.1.hdf5") if part else master
    whole = Region.open(path, whole=True)
    monkeypatch.setattr("three_hundred_maps.simulation.stored.scan", None)
    ranged = Region.open(path, whole=False)
    around = list(spheres(small, whole))[:-1]
    for sphere in around:
        same(whole.cutout(*sphere), ranged.cutout(*sphere))
    before = [ranged.cutout(*sphere) for sphere in around]
    for lost in range(4):
        gone = master.with_name(f"snap_0077.{lost}.hdf5")
        gone.rename(tmp_path / "away")
        if part:
            with pytest.raises(InputError, match="get the missing files|1.hdf5"):
                Region.open(path)
        else:
            assert open_source(master).info.counts == whole.info.counts
            left = Region.open(master)  # by ranges, as a file is missing
            said = [left.absent(*sphere) for sphere in around]
            for sphere, cutout, missing in zip(around, before, said, strict=True):
                if missing is None:
                    same(cutout, left.cutout(*sphere))
                else:
                    assert f"in files that are not here: {gone.name}" in missing
                    assert left.refusal(*sphere) == missing
                    with pytest.raises(InputError, match="not here"):
                        left.cutout(*sphere)
            assert any(m is None for m in said) or not extent
            assert any(said)
        (tmp_path / "away").rename(gone)


@pytest.mark.parametrize("where", ["a file of the set", "a file that there is not"])
def test_cells_that_do_not_add_up_are_not_used(tmp_path, small_blocks, where):
    small = small_snapshot(tmp_path / "plain", format="swift", particles=600)
    master = write_swift(tmp_path / "snap_0077.hdf5", small.header, small.particles, files=1)
    with h5py.File(master, "r+") as file:
        cell = int(np.argmin(file["Cells/Counts/PartType0"]))  # an empty one
        file["Cells/Counts/PartType0"][cell] += 1
        if where == "a file that there is not":
            file["Cells/Files/PartType0"][cell] = 99
    centre, radius = next(spheres(small, Region.open(master)))
    same(
        Region.open(master, whole=True).cutout(centre, radius),
        Region.open(master, whole=False).cutout(centre, radius),
    )


def test_chunks_of_tng(tmp_path, small_blocks):
    """Groups spread over chunks; with the offsets, chunks may be missing where no halo needs them."""
    small = small_snapshot(tmp_path / "plain", format="arepo", particles=1500)
    tng = write_tng(tmp_path / "tng", small.header, small.particles, small.centres, small.R200c)
    whole = Region.open(tng.snapshot, whole=True)
    ranged = Region.open(tng.snapshot, whole=False, offsets=tng.offsets)
    for sphere in spheres(small, whole):
        same(whole.cutout(*sphere), ranged.cutout(*sphere))
    # the particles of the second group end before those of none begin
    last = tng.snapshot.with_name("snap_099.7.hdf5")
    last.unlink()
    with pytest.raises(InputError, match="get the missing files"):
        Region.open(tng.snapshot)
    left = Region.open(tng.snapshot, offsets=tng.offsets)
    scale = small.header.time / small.header.cosmology.h
    inner = small.centres[0] * scale, small.R200c[0] * scale
    same(whole.cutout(*inner), left.cutout(*inner))
    # what groups have in it is known from their table
    table = write_catalogue(
        "subfind",
        tmp_path / "fof_subhalo_tab_099.hdf5",
        groups_of(small),
        cosmology=small.header.cosmology,
        redshift=small.header.redshift,
        box_kpc=small.header.box_size * scale,
        lengths=tng.lengths,
    )
    for lost in (0, 2, 5):
        last.with_name(f"snap_099.{lost}.hdf5").unlink()
    left = Region.open(last.with_name("snap_099.1.hdf5"), offsets=tng.offsets)
    info = left.info
    halos = read_catalogue("subfind", table, cosmology=info.cosmology, redshift=info.redshift)
    assert halos.members is not None
    assert halos.members.length.tolist() == tng.lengths.tolist()
    left.expect(halos.members)
    ends = np.cumsum(tng.lengths, axis=0)
    total = np.array([len(small.particles[k]["position"]) if k in small.particles else 0 for k in range(6)])
    for group in range(2):
        chunks = {
            int(row * 8 // total[k])
            for k in (0, 1, 4)
            for row in range(ends[group, k] - tng.lengths[group, k], ends[group, k])
        }
        missing = left.absent(halos.centre_kpc[group], halos.R200c_kpc[group])
        expected = sorted(f"snap_099.{n}.hdf5" for n in chunks & {0, 2, 5, 7})
        assert expected
        assert missing is not None
        assert missing.endswith(": " + ", ".join(expected))
    with pytest.raises(InputError, match="not a file of a set"):
        Region.open(small.snapshot, offsets=tng.offsets)


def groups_of(small):
    """The halos of a small snapshot as a catalogue."""
    info = open_source(small.snapshot).info
    return read_catalogue("ahf", small.catalogue, cosmology=info.cosmology, redshift=info.redshift)


def test_neutrinos_count(tmp_path):
    small = small_snapshot(tmp_path, format="swift", particles=300)
    scale = small.header.time / small.header.cosmology.h
    sphere = small.centres[1] * scale, 3000.0 * scale
    before = Region.open(small.snapshot).cutout(*sphere)["dark_matter"]
    with h5py.File(small.snapshot, "r+") as file:
        group = file.create_group("PartType6")
        for name in ("Coordinates", "Masses"):
            group[name] = file[f"PartType4/{name}"][()]
        n = len(group["Masses"])
        set_count(file, 6, n)
    region = Region.open(small.snapshot)
    assert "type 6" in region.info.assumptions["neutrinos"]
    assert region.info.counts["dark_matter"] == len(small.particles[1]["position"]) + n
    after = region.cutout(*sphere)
    stars = after["stars"].mass.sum()
    assert after["dark_matter"].mass.sum() == pytest.approx(before.mass.sum() + stars, rel=1e-5)


def test_ranges():
    some = np.array([[10, 20], [0, 5], [18, 30], [40, 41]])
    assert merged(some).tolist() == [[0, 5], [10, 30], [40, 41]]
    assert merged(some, 5).tolist() == [[0, 30], [40, 41]]
    assert rows_of(merged(some)).tolist() == [*range(5), *range(10, 30), 40]
    assert within_rows(merged(some), 3, 12) == [(3, 5), (10, 12)]
    assert within_rows(None, 3, 12) == [(3, 12)]
    assert len(rows_of(merged(np.zeros((0, 2), np.int64)))) == 0


@pytest.fixture
def swift(tmp_path):
    small = small_snapshot(tmp_path, format="swift", files=3, particles=300)
    parts = sorted(small.snapshot.parent.glob("*.hdf5"))
    assert len(parts) == 3
    return small, parts


@pytest.mark.parametrize("folder", ["./", "", "/data/where/it/was/written/"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_master_stands_for_its_parts(swift, tmp_path, folder, reverse):
    small, parts = swift
    stem = parts[0].name.removesuffix(".0.hdf5")
    master = write_master(parts, tmp_path / f"{stem}.hdf5", folder=folder, reverse=reverse)
    assert parts_of(master) == parts and parts_of(parts[0]) is None
    factor = small.header.time / small.header.cosmology.h
    around = small.centres[0] * factor, 4000.0 * factor
    direct, through = Region.open(small.snapshot).cutout(*around), Region.open(master).cutout(*around)
    for species in ("gas", "dark_matter", "stars"):
        assert len(direct[species]) > 0
        np.testing.assert_array_equal(direct[species].position, through[species].position)
        np.testing.assert_array_equal(direct[species].mass, through[species].mass)


def test_a_folder_with_a_master_holds_one_snapshot(tmp_path):
    small = small_snapshot(tmp_path / "set", format="swift", files=2, particles=300)
    small.catalogue.rename(tmp_path / small.catalogue.name)
    parts = sorted((tmp_path / "set").glob("*.hdf5"))
    write_master(parts, tmp_path / "set" / parts[0].name.replace(".0.hdf5", ".hdf5"))
    assert open_source(tmp_path / "set").info == open_source(small.snapshot).info


def test_what_a_master_may_not_do(swift, tmp_path):
    _, parts = swift
    stem = parts[0].name.removesuffix(".0.hdf5")
    master = write_master(parts, tmp_path / f"{stem}.hdf5")
    parts[1].unlink()
    with pytest.raises(InputError, match=f"{parts[1].name} is not beside it"):
        open_source(master)
    for name, source, message in (
        ("own.hdf5", "own.hdf5", "names itself"),
        ("away.hdf5", "/etc/hostname", "hostname is not beside it"),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            layout = h5py.VirtualLayout((4, 3), "f4")
            layout[:] = h5py.VirtualSource(source, "x", (4, 3))
            file.create_virtual_dataset("PartType0/Coordinates", layout)
        with pytest.raises(InputError, match=message):
            open_source(tmp_path / name)
