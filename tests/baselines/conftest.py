"""A small store for the baselines' tests, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines import run_files
from baselines.settings import Settings, merge
from baselines.unet import train


@pytest.fixture(scope="session")
def settings(store: Path) -> Settings:
    """A run of seconds."""
    base = merge({}, config=None, preset="cpu")
    return replace(
        base,
        data=str(store),
        views="sz,star",
        channels=4,
        poolings=2,
        steps=12,
        batch=8,
        validate_every=4,
        validation_lines=3,
        precision="fp32",
        threads=1,
        test_symmetries=1,
    )


@pytest.fixture(scope="session")
def trained(settings: Settings, made_once: Callable[..., Path]) -> Path:
    """A finished run of these settings without a submission; not to be changed."""
    return made_once("trained", lambda folder: train(settings, folder, submission=False))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be fetched."""

    def refuse(*_: object) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("THREE_HUNDRED_MAPS_QUIET", "1")
    torch.set_num_threads(1)
    if request.node.get_closest_marker("draws") is None:
        # A learning curve takes longer to draw than these networks to train.
        monkeypatch.setattr(run_files, "draw_curve", lambda rows, path, *, title: path.touch())
