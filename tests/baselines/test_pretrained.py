"""The shipped model: small, whole, loaded offline by its name, and better than no model."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

import baselines
from baselines import from_pretrained
from baselines.model import read_model_config
from three_hundred_maps.errors import InputError
from tools import package_model

SHIPPED = Path(baselines.__file__).parent / "pretrained"


def test_the_shipped_model_is_small_and_loads_offline(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a shipped model must not need the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = from_pretrained("unet-mini")
    assert (SHIPPED / "unet-mini" / "model.safetensors").stat().st_size < 1_000_000
    assert model.transforms.views == ("sz", "xray", "star") and model.architecture.channels == 8
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_the_shipped_card_has_scores():
    card = (SHIPPED / "unet-mini" / "README.md").read_text(encoding="utf-8")
    assert "/" not in (SHIPPED / "unet-mini" / "config.yaml").read_text(
        encoding="utf-8"
    )  # no path of a machine
    assert "| residual_rms_dex |" in card and 'from_pretrained("unet-mini")' in card


def test_a_run_is_shipped(tmp_path, trained):
    target = package_model.ship(trained, tmp_path / "shipped" / "tiny-model")
    assert read_model_config(target)["name"] == "tiny-model"
    ours, theirs = from_pretrained(trained), from_pretrained(target)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_model_too_large_to_ship_is_halved_or_refused(tmp_path, trained, monkeypatch):
    size = (trained / "model.safetensors").stat().st_size
    monkeypatch.setattr(package_model, "LIMIT_BYTES", int(0.8 * size))
    half = package_model.ship(trained, tmp_path / "half")
    assert (half / "model.safetensors").stat().st_size < 0.8 * size
    ours, theirs = from_pretrained(trained), from_pretrained(half)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-6)
        assert b.dtype == torch.float32
    monkeypatch.setattr(package_model, "LIMIT_BYTES", int(0.2 * size))
    with pytest.raises(InputError, match="at most"):
        package_model.ship(trained, tmp_path / "none")
