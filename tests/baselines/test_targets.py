"""What is predicted: the mass, or another surface density of a store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines import from_pretrained, predict, unet
from baselines.unet import train
from benchmarks.scoring import score_submission
from benchmarks.validation import validate
from tests.helpers import refused
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import score_log
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.statistics import climatology_of, read_statistics
from three_hundred_maps.testing import tiny_store
from three_hundred_maps.torch_data import MapDataset, StreamDataset, Transforms

VIEWS = ("sz", "mass")  # the mass may be seen where it is not predicted


def test_a_network_learns_another_surface_density(store, settings, tmp_path, capsys):
    run = train(replace(settings, views=",".join(VIEWS), target="star"), tmp_path / "run")
    transforms = run.model.transforms
    assert transforms.target_view == "star"
    # its zero is the mean of the star maps by radius, not that of the mass
    rows = MapDataset(store, "train", VIEWS, transforms=transforms)
    star = torch.from_numpy(read_split(store, "train", ["star"]).maps["star"].reshape(-1, 32, 32))
    learnt = transforms.target(star, 0.0)
    np.testing.assert_allclose(torch.stack([target[0] for _, target, _ in rows]), learnt, atol=1e-5)
    inside = transforms.grid.inside
    assert abs(float(learnt[:, torch.from_numpy(inside)].mean())) < 0.01
    mass = Transforms.from_store(store, VIEWS[:1])
    assert np.abs(np.subtract(mass.climatology, transforms.climatology)).min() > 0.1
    # what comes out of the run is a map of stars
    seen = read_split(store, "test", VIEWS)
    maps, _ = from_pretrained(tmp_path / "run").predict([[seen.maps[view][0, 0] for view in VIEWS]])
    truth = score_log(read_split(store, "test", ["star"]).maps["star"][0], transforms.grid.pixel)[0]
    assert abs(np.median((np.log10(maps[0]) - truth)[inside])) < 0.5
    assert "Predicts the projected star map" in (tmp_path / "run" / "README.md").read_text()
    assert not (tmp_path / "run" / "submission").exists()
    assert "no task of the benchmark is on the view star" in capsys.readouterr().out
    words = ("--data", store, "--out", tmp_path / "p")
    refused(predict.main, tmp_path / "run", *words, said="no task of the benchmark is on the view star")


def test_a_run_on_gas_writes_a_submission_of_its_task(settings, tmp_path):
    views = ("sz", "star", "mass", "gas")
    data = tiny_store(tmp_path / "store", halos=(8, 2, 3), n_los=2, pixels=32, views=views)
    run = train(replace(settings, data=str(data), target="gas", steps=6), tmp_path / "run")
    assert run.model.transforms.target_view == "gas"
    manifest = validate(tmp_path / "run" / "submission", data)
    assert (manifest.task, manifest.track, manifest.kind) == ("gas-map", "sz,star", "baseline")
    result = score_submission(tmp_path / "run" / "submission", data)
    assert result["dataset"]["target"] == "gas" and abs(result["scores"]["mass_bias"]["value"]) < 1.0
    with pytest.raises(InputError, match="mass cannot be an input view"):
        train(replace(settings, data=str(data), target="gas", views="sz,mass"), tmp_path / "other")


def test_the_kept_climatology_is_the_mass_s(store):
    kept = read_statistics(store).climatology
    np.testing.assert_array_equal(climatology_of(store).sum_l, kept.sum_l)
    star = climatology_of(store, "star")
    assert star.pixels.tolist() == kept.pixels.tolist()
    assert "target_view" not in Transforms.from_store(store, ("sz",)).to_dict()
    content = Transforms.from_store(store, ("sz",), target="star").to_dict()
    assert Transforms.from_dict(content).target_view == "star"


def test_data_sets_take_any_view_as_their_target(store):
    raw = MapDataset(store, "train", ("star", "mass"), target="sz")
    truth = read_split(store, "train", ["sz"]).maps["sz"]
    np.testing.assert_array_equal(raw[1][1][0], truth[0, 1])
    streamed = next(iter(StreamDataset(store, "train", ("mass",), target="sz")))
    assert streamed[1].shape == (1, 32, 32) and float(streamed[1].max()) < 1.0
    with pytest.raises(InputError, match="sz cannot be an input view"):
        MapDataset(store, "train", ("sz",), target="sz")
    with pytest.raises(InputError, match="transforms are for the target mass, not sz"):
        MapDataset(store, "train", ("star",), transforms=Transforms.from_store(store, ("star",)), target="sz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "sz", "--views", "star"), "sz is in 1: what is predicted is a surface density"),
        (("--target", "gas", "--views", "star"), "has no view 'gas' to predict"),
        (("--target", "star", "--views", "star"), "star cannot be an input view"),
        (
            ("--target", "star", "--views", "sz", "--calibrate"),
            "--calibrate and --noise fresh are of the mass",
        ),
    ],
)
def test_targets_that_cannot_be(store, tmp_path, words, message):
    refused(unet.main, *words, "--data", store, "--out", tmp_path / "run", said=message)
