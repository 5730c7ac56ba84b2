"""A small store for the tests of the maintainers' programs, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def store(small_store: Path) -> Path:
    """The shared small store."""
    return small_store


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREE_HUNDRED_MAPS_QUIET", "1")
    torch.set_num_threads(1)
