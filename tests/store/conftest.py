"""Stores that the tests of this folder share; each is made once and never written to."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from three_hundred_maps.testing import tiny_store

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("tiny") / "store", halos=(7, 3, 4), pixels=40, shard_halos=3)


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_disks():
    """A killed process loses nothing that it wrote: only a power cut would, and none is staged here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))
