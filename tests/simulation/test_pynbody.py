"""Our binary reader block by block against pynbody, which is used for nothing else."""

from __future__ import annotations

import numpy as np
import pynbody
import pytest

from three_hundred_maps.simulation.readers.snapshot import open_source
from three_hundred_maps.testing.small import small_snapshot

FAMILIES = {0: "gas", 1: "dm", 4: "star"}
BLOCKS = {
    "internal_energy": "u",
    "density": "rho",
    "electron_abundance": "ne",
    "smoothing_length": "smooth",
    "star_formation_rate": "sfr",
}
# Format 1 has no names: pynbody calls the second block after the masses "nh", whatever it is.
BY_ORDER = {"internal_energy": "u", "density": "nh"}


def column(source, kind, name):
    out = np.empty((source.count(kind), 3) if name == "position" else source.count(kind), np.float32)
    source.read(kind, name, out, np.zeros(3))
    return out


def compare(path, source, blocks):
    theirs = pynbody.load(str(path))
    for kind, family in FAMILIES.items():
        n = source.count(kind)
        assert len(getattr(theirs, family)) == n
        if not n:
            continue
        for name, block in {"position": "pos", "mass": "mass"}.items():
            if name == "mass" and not source.has(kind, "mass"):
                np.testing.assert_allclose(
                    getattr(theirs, family)["mass"], source.mass_table[kind], rtol=1e-6
                )
                continue
            wanted = np.asarray(getattr(theirs, family)[block])
            np.testing.assert_array_equal(column(source, kind, name), wanted.astype(np.float32))
    for name, block in blocks.items():
        assert source.has(0, name), name
        wanted = np.asarray(theirs.gas[block])
        np.testing.assert_array_equal(column(source, 0, name), wanted.astype(np.float32), err_msg=name)
    return theirs


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_format_2_with_gadgetx_blocks(tmp_path, files, byteorder):
    small = small_snapshot(tmp_path, format="gadget2", particles=266, files=files, byteorder=byteorder)
    source = open_source(small.snapshot)
    path = small.snapshot if files == 1 else small.snapshot.with_suffix("")
    theirs = compare(path, source, BLOCKS)
    # Zs: 11 masses of elements a particle, helium first.
    zs = np.asarray(theirs.gas["zs"]).reshape(source.count(0), 11)
    helium = zs[:, 0] / np.asarray(theirs.gas["mass"])
    np.testing.assert_allclose(column(source, 0, "helium_fraction"), helium, rtol=1e-6)
    np.testing.assert_allclose(helium, 0.24, rtol=1e-6)
    # Its "z" is a coordinate, so the metals are judged by the sum of the elements.
    metals = zs[:, 1:].sum(1) / np.asarray(theirs.gas["mass"])
    np.testing.assert_allclose(column(source, 0, "metallicity"), metals, rtol=1e-5)


def test_format_1(tmp_path):
    small = small_snapshot(tmp_path, format="gadget1", particles=200)
    compare(small.snapshot, open_source(small.snapshot), BY_ORDER)


def test_real_box(real):
    folder = real / "gadget4_lcdm_gas"
    compare(folder / "snap_003.gad2", open_source(folder / "snap_003.gad2"), BLOCKS)
    compare(folder / "snap_003.gad1", open_source(folder / "snap_003.gad1"), BY_ORDER)


def test_real_format_1_with_mass_table(real):
    path = real / "pnbody/gadget_z00.dat"
    compare(path, open_source(path), BY_ORDER)
