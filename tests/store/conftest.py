"""Stores that the tests of this folder share; each is made once and never written to."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

import pytest

from three_hundred_maps.testing import tiny_store

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny(made_once) -> Path:
    return made_once("tiny", partial(tiny_store, halos=(7, 3, 4), pixels=40, shard_halos=3))


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))
