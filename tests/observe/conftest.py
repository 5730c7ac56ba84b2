"""A wide ideal store of analytic clusters, and what levels see of it; made once and never written to."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from three_hundred_maps.observe.build import observe
from three_hundred_maps.testing import tiny_store

PLANCK = {"h": 0.6777, "omega_m": 0.307115, "omega_lambda": 0.692885, "omega_b": 0.048206}


@pytest.fixture(scope="session")
def wide(made_once) -> Path:
    simulation = {"code": "blobs", "redshift": 0.0, "cosmology": PLANCK}
    size = {"halos": (6, 3, 3), "n_los": 2, "pixels": 120, "width": 3.0, "shard_halos": 4}
    return made_once("wide", partial(tiny_store, name="tiny-wide", simulation=simulation, **size))


@pytest.fixture(scope="session")
def deep(wide, made_once) -> Path:
    return made_once("deep", lambda folder: observe(wide, folder, "deep"))
