"""The table of a store's halos, as CSV and as Parquet."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.helpers import command
from three_hundred_maps import open_store
from three_hundred_maps.cli import main
from three_hundred_maps.errors import InputError
from three_hundred_maps.store import schema
from three_hundred_maps.store.halo_table import halo_table, write_halo_table
from three_hundred_maps.testing import tiny_store


def test_table(tmp_path):
    store = tiny_store(tmp_path / "store", halos=(3, 1, 2), n_los=2, pixels=8)
    table = halo_table(store)
    assert table["split"] == ["train"] * 3 + ["validation"] + ["test"] * 2
    assert set(schema.HALO_VARIABLES) < set(table)
    opened = open_store(store)
    np.testing.assert_array_equal(table["M200c"][:3], opened["train"]["M200c"].values)
    np.testing.assert_allclose(table["total_sz"][4:], opened["test"]["total_sz"].values.mean(1))
    assert write_halo_table(store, tmp_path / "halos.parquet") == 6
    assert pq.read_table(tmp_path / "halos.parquet").to_pydict() == table
    assert command(main, "inspect", store, "--halos", tmp_path / "halos.csv").returncode == 0
    with open(tmp_path / "halos.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["R200c"]) for row in rows] == table["R200c"]
    assert {row["simulation"] for row in rows} == set(table["simulation"]) == {"blobs"}
    with pytest.raises(InputError, match=r"written as .csv or .parquet"):
        write_halo_table(store, tmp_path / "halos.txt")
