"""A model is saved, loaded and used: from a folder, shipped, from the Hub; wrong ones are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from baselines import from_pretrained
from baselines.card import write_card
from baselines.model import Architecture, MassModel
from baselines.run_files import default_name
from baselines.unet import train
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.side_files import render_eval
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.torch_data import Transforms, apply_symmetry

KEPT = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def raw_maps(store, views, halo=0):
    arrays = read_split(store, "test", list(views))
    return torch.from_numpy(np.stack([arrays.maps[view][halo] for view in views], axis=1))


@pytest.fixture(params=["unet", "residual"])
def model(store, request):
    torch.manual_seed(0)
    architecture = Architecture(network=request.param, channels=4, poolings=2, sigma=True)
    model = MassModel(architecture, Transforms.from_store(store, ("sz", "star")))
    torch.nn.init.normal_(model.network.head.weight, std=0.1)
    return model.eval()


def test_the_first_prediction_is_the_climatology(store):
    model = MassModel(Architecture(channels=4, poolings=2), Transforms.from_store(store, ("sz",)))
    mass, sigma = model.predict(raw_maps(store, ("sz",)))
    assert sigma is None
    torch.testing.assert_close(mass.log10(), model.climatology.expand_as(mass), rtol=0, atol=1e-5)


def test_a_model_is_saved_and_loaded(tmp_path, store, model):
    maps = raw_maps(store, ("sz", "star"))
    model.save(tmp_path / "model")
    again = from_pretrained(tmp_path / "model")
    for ours, theirs in zip(model.predict(maps), again.predict(maps), strict=True):
        assert torch.equal(ours, theirs)
    assert again.transforms == model.transforms and not again.training


def test_an_averaged_prediction_turns_with_the_maps(store, model):
    maps = raw_maps(store, ("sz", "star"))
    mass, sigma = model.predict(maps, symmetries=8)
    for number in range(8):
        turned, turned_sigma = model.predict(apply_symmetry(maps, number), symmetries=8)
        torch.testing.assert_close(turned, apply_symmetry(mass, number), rtol=1e-4, atol=0)
        torch.testing.assert_close(turned_sigma, apply_symmetry(sigma, number), rtol=1e-4, atol=0)
    alone, _ = model.predict(maps, symmetries=1)
    assert not torch.allclose(alone, mass, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "said"), [({"poolings": 9}, "give at most"), ({"shuffle": 3}, "--shuffle 1")]
)
def test_a_network_that_does_not_fit_the_maps_is_refused(store, size, said):
    with pytest.raises(InputError, match=said):
        MassModel(Architecture(**size), Transforms.from_store(store, ("sz",)))


def test_maps_that_are_no_maps_are_refused(store, model):
    maps = raw_maps(store, ("sz", "star"))
    with pytest.raises(InputError, match="1 channels of maps for the views sz, star"):
        model.predict(maps[:, :1])
    with pytest.raises(InputError, match=r"of the shape .*, 2, 16, 16\); the model takes \(N, 2, 32, 32\)"):
        model.predict(maps[..., :16, :16])
    with pytest.raises(InputError, match="symmetries is 1 or 8, not 3"):
        model.predict(maps, symmetries=3)
    for redshift in ([0.1] * (len(maps) + 1), np.nan):
        with pytest.raises(InputError, match=f"are not one, or one of each of {len(maps)} maps"):
            model.predict(maps, redshift)
    maps[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        model.predict(maps)


def test_what_is_no_model_is_refused(tmp_path, model):
    with pytest.raises(InputError, match="no model 'nothing': neither a folder nor one of the shipped"):
        from_pretrained("nothing")
    with pytest.raises(InputError, match=r"config.json is missing or not JSON"):
        from_pretrained(tmp_path)
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "format_version": 99}))
    with pytest.raises(InputError, match="not of format version 1"):
        from_pretrained(tmp_path / "model")
    other = {**config, "architecture": {**config["architecture"], "channels": 8}}
    path.write_text(json.dumps(other))
    with pytest.raises(InputError, match="weights of another network"):
        from_pretrained(tmp_path / "model")
    path.write_text(json.dumps({**config, "transforms": {**config["transforms"], "version": 7}}))
    with pytest.raises(InputError, match="transforms are of version 7"):
        from_pretrained(tmp_path / "model")
    for inputs in ("sz", None, {"sz": 5}, {"sz": {}}, {"sz": {"units": 7}}):
        path.write_text(json.dumps({**config, "inputs": inputs}))
        with pytest.raises(InputError, match="inputs are not views with their units"):
            from_pretrained(tmp_path / "model")
    path.write_text(json.dumps(config))
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("architecture", {"network": "encoder", "encoder": "hf-hub:x/y"}, "--encoder hf-hub:x/y"),
        ("architecture", {"network": "encoder", "encoder": "local-dir:/etc"}, "--encoder local-dir:/etc"),
        ("architecture", {"network": "encoder", "encoder": "regnety_2560"}, "weights of another network"),
        ("architecture", {"channels": 100_000}, "weights of another network"),
        ("architecture", {"poolings": 60}, "does not describe a model: 60 poolings"),
        ("architecture", {"channels": True}, "channels is True"),
        ("architecture", {"drop": float("nan")}, "does not describe a model"),
        ("architecture", {"norm": "layer"}, "does not describe a model: no norm 'layer' among batch, "),
        ("architecture", {"network": "mine"}, "does not describe a model: no network 'mine' among unet, "),
        ("transforms", {"pixels": 200_000}, "for 200000 pixels"),
        ("transforms", {"climatology": [7.0]}, "hold numbers that no statistics give"),
    ],
)
def test_a_config_of_a_stranger_builds_nothing_larger_than_its_file(
    tmp_path, model, no_network, part, values, message
):
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, part: {**config[part], **values}}))
    with pytest.raises(InputError, match=message):
        from_pretrained(tmp_path / "model")


def test_a_config_that_is_deep_or_large_and_weights_that_are_not_finite_are_refused(tmp_path, model):
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = path.read_text()
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="missing or not JSON"):
        from_pretrained(tmp_path / "model")
    path.write_text(config + " " * 2**20)
    with pytest.raises(InputError, match="not of format version 1"):
        from_pretrained(tmp_path / "model")
    path.write_text(config)
    with torch.no_grad():
        model.network.head.weight[0, 0] = torch.nan
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match=r"network\.head\.weight are not finite"):
        from_pretrained(tmp_path / "model")


def test_a_model_comes_from_the_hub(tmp_path, store, model, monkeypatch):
    import huggingface_hub

    model.save(tmp_path / "model")

    def snapshot_download(name, allow_patterns):
        assert name == "someone/unet" and set(allow_patterns) == {"config.json", "model.safetensors"}
        return str(tmp_path / "model")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    again = from_pretrained("someone/unet")
    assert torch.equal(again.network.head.weight, model.network.head.weight)


def test_the_card_tells_of_the_run_and_its_scores(tmp_path, settings, trained):
    run = shutil.copytree(trained, tmp_path / "run")
    assert "the paper's U-Net, 4 channels" in (run / "README.md").read_text()
    other = replace(settings, network="residual", loss="l1", calibrate=True)
    assert default_name(other) == "residual-unet 4ch l1 calibrated, seed 0"
    assert (
        "residual blocks"
        in (train(other, tmp_path / "other", submission=False).folder / "README.md").read_text()
    )
    result = json.loads((KEPT / "mini-all.json").read_text(encoding="utf-8"))
    rms = result["scores"]["residual_rms_dex"]["value"]
    result["scores"] |= {
        "residual_rms_dex": {"value": rms, "low": None, "high": None},
        "ssim": {"value": None, "low": None, "high": None},
    }
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    card = write_card(run, path).read_text()
    assert f"| residual_rms_dex | {rms:.4f} | - |" in card and "| ssim | - | - |" in card
    header = yaml.safe_load(card.split("---")[1])
    assert header["tags"][-2:] == ["sz", "star"]
    entries = yaml.safe_load((run / ".eval_results" / "three_hundred_maps.yaml").read_text())
    assert entries[0]["value"] == result["scores"]["skill"]["value"]
    assert entries[0]["notes"].startswith(f"residual_rms_dex {rms:.4f}; ")
    assert entries[0]["dataset"]["task_id"] == "mini-mass-map-sz-xray-star"
    path.write_text("{}")
    with pytest.raises(InputError, match="is not a result"):
        write_card(run, path)


def test_the_cards_results_are_what_the_hub_reads(tmp_path, trained, monkeypatch):
    """And they name the data set's repository and a task of its eval.yaml."""
    import huggingface_hub

    monkeypatch.setenv("THREE_HUNDRED_MAPS_REPO", "org/maps")

    run = shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "result.json"
    kept = json.loads((KEPT / "mini-all.json").read_text(encoding="utf-8"))
    path.write_text(json.dumps(kept), encoding="utf-8")
    write_card(run, path)
    entries = yaml.safe_load((run / ".eval_results" / "three_hundred_maps.yaml").read_text())
    parsed = huggingface_hub.parse_eval_result_entries(entries)
    assert parsed[0].value == kept["scores"]["skill"]["value"]
    assert parsed[0].dataset_id == "org/maps"
    split = {"test": {"rows": 1}}
    tasks = render_eval({"configs": {"mini": {"views": ["sz", "xray", "star", "mass"], "splits": split}}})
    assert parsed[0].task_id in {task["id"] for task in yaml.safe_load(tasks)["tasks"]}
