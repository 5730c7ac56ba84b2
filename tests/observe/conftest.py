"""A wide ideal store of analytic clusters, and what levels see of it; made once and never written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from three_hundred_maps.observe.build import observe
from three_hundred_maps.testing import tiny_store

PLANCK = {"h": 0.6777, "omega_m": 0.307115, "omega_lambda": 0.692885, "omega_b": 0.048206}


@pytest.fixture(scope="session")
def wide(tmp_path_factory) -> Path:
    return tiny_store(
        tmp_path_factory.mktemp("wide") / "store",
        halos=(6, 3, 3),
        n_los=2,
        pixels=120,
        width=3.0,
        shard_halos=4,
        name="tiny-wide",
        simulation={"code": "blobs", "redshift": 0.0, "cosmology": PLANCK},
    )


@pytest.fixture(scope="session")
def deep(wide, tmp_path_factory) -> Path:
    return observe(wide, tmp_path_factory.mktemp("deep") / "store", "deep", workers=2)
