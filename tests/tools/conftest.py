"""How the tests of the maintainers' programs run."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREE_HUNDRED_MAPS_QUIET", "1")
    torch.set_num_threads(1)
