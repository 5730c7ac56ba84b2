"""A small store for the tests of the maintainers' programs, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from three_hundred_maps.testing import tiny_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve halos to train on, four to choose by, four to test on; 32 pixels, three lines of sight."""
    return tiny_store(tmp_path_factory.mktemp("stores") / "small", halos=(12, 4, 4), n_los=3, pixels=32)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREE_HUNDRED_MAPS_QUIET", "1")
    torch.set_num_threads(1)
