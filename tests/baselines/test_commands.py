"""The command lines: settings from their sources, what they write, and one clear line for a mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import yaml
import zarr

from baselines import predict, unet
from baselines.settings import PRESETS, Settings, merge
from tests.helpers import command, refused
from three_hundred_maps.errors import InputError
from three_hundred_maps.testing import tiny_store

SMALL = ["--channels", "4", "--poolings", "2", "--steps", "6", "--batch", "8", "--validate-every", "3"]


def test_the_command_line_stands_above_a_file_above_the_preset_above_the_defaults(tmp_path):
    assert PRESETS["cpu"]["channels"] != Settings.channels and "norm" not in PRESETS["cpu"]
    file = tmp_path / "c.yaml"
    file.write_text("channels: 12\nbatch: 24\n")
    settings = merge({"batch": "48"}, config=file, preset="cpu")
    assert (settings.batch, settings.channels) == (48, 12)
    assert settings.steps == PRESETS["cpu"]["steps"] and settings.norm == Settings.norm


def test_saved_settings_are_a_file_of_settings(tmp_path):
    settings = merge({"encoder": "resnet10t", "lr": "1e-4"}, config=None, preset="gpu")
    assert settings.network == "encoder"
    (tmp_path / "c.yaml").write_text(settings.to_yaml())
    assert merge({}, config=tmp_path / "c.yaml", preset="cpu") == settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": "many"}, "--channels is a whole number, not 'many'"),
        ({"lr": "-1"}, "--lr must be at least 0"),
        ({"lr": "nan"}, "--lr must be finite"),
        ({"clip": "inf"}, "--clip must be finite"),
        ({"warmup": "5"}, "--warmup must be below 1"),
        ({"encoder": "resnet10t", "network": "residual"}, "is another network than residual"),
        ({"views": ["sz", "xray"]}, r"--views is a text, as sz,xray,star, not \['sz', 'xray'\]"),
        ({"ideal": "mini-wide"}, "--ideal is of --noise fresh"),
        ({"encoder": False}, "--encoder is a text, as NAME, not False"),
        ({"norm": "layer"}, "--norm is one of batch, group, instance, none"),
        ({"test_symmetries": "3"}, "--test-symmetries is one of 1, 8, not '3'"),
        ({"ema": "1"}, "--ema must be below 1"),
        ({"network": "encoder"}, "needs --encoder"),
        ({"drop": "1.5"}, "--drop must be below 1"),
        ({"seed": "99999999999999999999999"}, "--seed must be below"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        merge(options, config=None, preset="cpu")


def test_a_file_with_an_unknown_setting_is_refused(tmp_path):
    (tmp_path / "c.yaml").write_text("chanels: 8\n")
    with pytest.raises(InputError, match="unknown setting chanels"):
        merge({}, config=tmp_path / "c.yaml", preset="cpu")
    (tmp_path / "c.yaml").write_text("- 8\n")
    with pytest.raises(InputError, match="not a YAML of settings"):
        merge({}, config=tmp_path / "c.yaml", preset="cpu")


def test_train_then_predict_the_same_again(tmp_path, store):
    words = ["--views", "sz,star", "--data", store, "--out", tmp_path / "run", *SMALL]
    assert command(unet.main, *words).returncode == 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["channels"] == 4
    assert command(unet.main, *words).returncode == 0  # nothing left to do
    assert (
        command(predict.main, tmp_path / "run", "--data", store, "--out", tmp_path / "again").returncode == 0
    )
    ours, theirs = (
        zarr.open_group(folder / "predictions.zarr", mode="r")["mass"][...]
        for folder in (tmp_path / "run" / "submission", tmp_path / "again")
    )
    assert np.array_equal(ours, theirs)


def test_a_gaussian_loss_gives_sigma(tmp_path, store):
    words = ["--views", "sz", "--data", store, "--out", tmp_path / "run", "--loss", "gaussian", *SMALL]
    assert command(unet.main, *words).returncode == 0
    sigma = zarr.open_group(tmp_path / "run" / "submission" / "predictions.zarr", mode="r")["mass_sigma"][...]
    assert sigma.shape == (4, 3, 32, 32) and (sigma > 0).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--views", "sz,kinetic"], "has no view 'kinetic' in its split train; it has sz, xray, star, mass"),
        (["--views", "mass"], "cannot be an input view"),
        (["--views", "sz,,mass"], "a view without a name in 'sz,,mass': write views as sz,xray,star"),
        (["--poolings", "5", "--shuffle", "2"], "of maps of 16 pixels (of 32, by --shuffle): give at most 4"),
        (["--poolings", "5", "--shuffle", "1", "--batch", "1"], "leaves one pixel, which --norm batch"),
        (["--channels", "100000"], "the memory of cpu ran out"),
        (["--views", "star_grainy"], "cannot be an input view: one particle's pixels tell R200c"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--name", "x" * 300], "--name: 'name' string should have at most 80 characters"),
        (["--nonsense", "1"], "unrecognized arguments: --nonsense 1"),
        (["--config", "nowhere.yaml"], "no file nowhere.yaml"),
        (["--device", "tpu"], "--device is auto, cpu, cuda or cuda:N, not 'tpu'"),
        (["--data", "no/such/store"], "no store at no/such/store"),
        (["--data", "nosuchconfig"], "no config 'nosuchconfig'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path, store, words, message):
    refused(unet.main, "--data", store, "--out", tmp_path / "run", *SMALL, *words, said=message)


def test_a_run_that_never_began_leaves_its_folder_free(tmp_path, store):
    words = ["--data", store, "--out", tmp_path / "run", *SMALL, "--no-submission", "--steps", "1"]
    for more, said in (
        (["--target", "sz", "--views", "xray"], "what is predicted is a surface density"),
        (["--lr", "1e30", "--steps", "6", "--clip", "0"], "there was no checkpoint yet"),
    ):
        refused(unet.main, *words, *more, said=said)
        assert not list((tmp_path / "run").iterdir())
    assert command(unet.main, *words).returncode == 0
    refused(unet.main, *words, "--seed", "1", said="holds a run with other settings (seed 0 there, 1 here)")


def test_options_that_say_nothing_here_are_refused(tmp_path, store, trained):
    words = [trained, "--data", store, "--out", tmp_path / "p"]
    for more, said in (
        (["--seed", "1"], "predicts one map"),
        (["--samples", "0"], "predicts one map"),
        (["--redshift", "0.5"], "with --data a store says all of it"),
        (["--fits", "sz=a.fits"], "with --data a store says all of it"),
        (["--task", "foo"], "no task 'foo'"),
    ):
        refused(predict.main, *words, *more, said=said)


def test_a_place_that_cannot_be_written_to_is_told_first(tmp_path, store, trained, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    monkeypatch.setattr(predict, "predict_split", None)
    words = [trained, "--data", store, "--out", tmp_path / "new" / "p"]
    refused(predict.main, *words, said=f"{tmp_path} cannot be written to; name another folder")


def test_maps_in_other_units_than_trained_on_are_refused(tmp_path, store, trained):
    config = json.loads((trained / "config.json").read_text())
    config["inputs"]["star"]["units"] = "Msun pc-2"
    other = shutil.copytree(trained, tmp_path / "other")
    (other / "config.json").write_text(json.dumps(config))
    words = [other, "--data", store, "--out", tmp_path / "p"]
    refused(predict.main, *words, said="is in Msun kpc-2, and trained on is Msun pc-2")


def test_a_folder_that_holds_other_things_is_refused(tmp_path, store):
    (tmp_path / "thesis.tex").write_text("text")
    refused(unet.main, "--data", store, "--out", tmp_path, *SMALL, said="holds other things")


def test_a_model_refuses_a_store_without_its_views_or_on_another_grid(tmp_path, trained):
    few = tiny_store(tmp_path / "few", halos=(2, 0, 2), n_los=2, pixels=32, views=("sz", "mass"))
    fine = tiny_store(tmp_path / "fine", halos=(2, 0, 2), n_los=2, pixels=48)
    for run, data, said in (
        (trained, few, "has no view 'star' in its split test"),
        (trained, fine, "trained on maps of 32 pixels"),
        (tmp_path / "nowhere", fine, "no model"),
        (trained, few, "holds other things than a submission"),
    ):
        if "other things" in said:
            (tmp_path / "p").mkdir()
            (tmp_path / "p" / "thesis.tex").write_text("text")
        refused(predict.main, run, "--data", data, "--out", tmp_path / "p", said=said)


def test_help_names_every_setting():
    text = command(unet.main, "--help").stdout
    for item in fields(Settings):
        assert "--" + item.name.replace("_", "-") in text


def test_a_model_predicts_from_sealed_inputs(tmp_path, store, trained):
    from benchmarks.sealing import seal

    inputs, truth = seal(store, tmp_path / "sealed")
    for data, out in ((store, "plain"), (inputs, "p")):
        assert command(predict.main, trained, "--data", data, "--out", tmp_path / out).returncode == 0
    predicted = zarr.open_group(tmp_path / "p" / "predictions.zarr", mode="r")
    assert "key" in predicted and "region" not in predicted
    # The same maps as for the open store, in the order of the opaque keys.
    plain = zarr.open_array(tmp_path / "plain" / "predictions.zarr" / "mass", mode="r")[...]
    sealed = predicted["mass"][...]
    order = [int(np.abs(plain - halo).sum((1, 2, 3)).argmin()) for halo in sealed]
    assert sorted(order) == [0, 1, 2, 3]
    np.testing.assert_allclose(sealed, plain[order], rtol=1e-5)
    words = ("--data", inputs, "--out", tmp_path / "q", "--split", "train")
    refused(predict.main, trained, *words, said="sealed inputs of another")


LIGHT = (
    "click colossus dask datasets distributed h5py jinja2 matplotlib numba pandas pyarrow pydantic pykdtree "
    "rich scipy typer xarray"
)
"""What a machine that is lent for training may lack."""

NO_TIMM = "timm torchvision huggingface_hub fsspec"


def test_training_needs_numpy_torch_zarr_and_at_most_timm(store, tmp_path):
    code = """
import sys
lacking, no_timm, data, out, *small = sys.argv[1:]
sys.modules.update(dict.fromkeys([*lacking.split(), *no_timm.split()]))
from baselines import predict, unet

def call(main, *words):
    try:
        main([*words, "--data", data, "--device", "cpu", "--quiet"])
    except SystemExit as stop:
        assert not stop.code, words

call(unet.main, "--network", "unet", "--out", f"{out}/unet", *small)
for name in no_timm.split():
    del sys.modules[name]
call(unet.main, "--network", "residual", "--out", f"{out}/residual", *small)
del sys.modules["pydantic"]
for name in ("unet", "residual"):
    call(predict.main, f"{out}/{name}", "--out", f"{out}/{name}-again")
"""
    words = [LIGHT, NO_TIMM, str(store), str(tmp_path), *SMALL]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("curve.png is left out, as matplotlib is not installed") == 2
    assert done.stdout.count("submission/ is left out, as pydantic is not installed") == 2
    for name in ("unet", "residual"):
        run = tmp_path / name
        assert (run / "README.md").is_file() and not (run / "curve.png").exists()
        assert not (run / "submission").exists()
        assert (tmp_path / f"{name}-again" / "submission.json").is_file()
