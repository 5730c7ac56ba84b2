"""The shipped model: small, whole, loaded offline by its name, and better than no model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import baselines
from baselines import from_pretrained, predict
from baselines.model import read_model_config
from tests.helpers import command
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import read_split
from tools import package_model

SHIPPED = Path(baselines.__file__).parent / "pretrained"


@pytest.mark.parametrize(
    ("name", "network", "size"),
    [("unet-mini", "unet", 1_000_000), ("residual-varied", "residual", 3_000_000)],
)
def test_a_shipped_model_is_small_and_loads_offline(no_network, name, network, size):
    model = from_pretrained(name)
    assert (SHIPPED / name / "model.safetensors").stat().st_size < size
    assert model.transforms.views == ("sz", "xray", "star") and model.architecture.network == network
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("folder", sorted(SHIPPED.glob("*/README.md")), ids=lambda path: path.parent.name)
def test_a_shipped_card_has_scores(folder):
    card = folder.read_text(encoding="utf-8")
    settings = folder.with_name("config.yaml").read_text(encoding="utf-8")
    assert "/" not in settings  # no path of a machine
    assert "Scored on `mini` (test split): 20 halos x 29 lines" in card
    assert "| residual_rms_dex |" in card and f'from_pretrained("{folder.parent.name}")' in card


def test_regions_of_the_training_are_told_where_they_are_predicted(store, trained, tmp_path):
    config = read_model_config(trained)
    halos = read_split(store, "train", []).halos["region"]
    assert config["regions"] == sorted(set(halos.tolist())) and config["synthetic"] is True
    words = [trained, "--data", store, "--symmetries", 1, "--quiet", "--task", "mass-map"]
    for split, said in (("test", False), ("train", True)):
        done = command(predict.main, *words, "--split", split, "--out", tmp_path / split)
        number = len(config["regions"])
        assert (f"{number} of the {number} regions are among those" in done.stderr) == said
    assert not predict.seen_line({**config, "synthetic": False}, predict.Predicted(store, "train"))
    for name in ("unet-mini", "residual-varied"):
        assert min(read_model_config(SHIPPED / name)["regions"]) >= 1


def test_a_run_is_shipped(tmp_path, trained):
    target = package_model.ship(trained, tmp_path / "shipped" / "tiny-model")
    assert read_model_config(target)["name"] == "tiny-model"
    ours, theirs = from_pretrained(trained), from_pretrained(target)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_model_too_large_to_ship_is_halved_or_refused(tmp_path, trained, monkeypatch):
    size = (trained / "model.safetensors").stat().st_size
    monkeypatch.setattr(package_model, "FLOAT32_BYTES", int(0.8 * size))
    half = package_model.ship(trained, tmp_path / "half")
    assert (half / "model.safetensors").stat().st_size < 0.8 * size
    ours, theirs = from_pretrained(trained), from_pretrained(half)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-6)
        assert b.dtype == torch.float32
    monkeypatch.setattr(package_model, "LIMIT_BYTES", int(0.2 * size))
    with pytest.raises(InputError, match="at most"):
        package_model.ship(trained, tmp_path / "none")
