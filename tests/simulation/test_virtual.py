"""Snapshots whose first file only points to its parts by virtual data sets, as SWIFT writes them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.readers.hdf5_index import parts_of
from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.testing.layouts import write_master
from three_hundred_maps.testing.small import small_snapshot


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
