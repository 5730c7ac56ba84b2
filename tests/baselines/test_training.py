"""Training: it learns, a killed run goes on to the same result, bad numbers stop it."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from baselines.checkpoint import CHECKPOINT_FILE, read_checkpoint
from baselines.data import ResidentBatches, Rows, StreamBatches, apply_symmetries, load_rows
from baselines.losses import MassLoss, residual_rms_dex
from baselines.machine import Machine, best_precision, choose_place, find_machine, free_memory
from baselines.model import Architecture, MassModel
from baselines.settings import read_config
from baselines.training import learning_rate, make_optimiser, update_average
from baselines.unet import make_trainer, train
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import radius_grid, smooth_score_grid
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.lock import hold
from three_hundred_maps.torch_data import ScoreGrid, StreamDataset, Transforms

CPU = torch.device("cpu")


def rows_of(n: int) -> Rows:
    """Rows that hold their own number."""
    values = torch.arange(float(n))
    return Rows(
        values.reshape(n, 1, 1, 1).expand(n, 1, 4, 4).clone(),
        values.reshape(n, 1, 1).expand(n, 4, 4).clone(),
        np.arange(n),
        np.arange(n),
    )


# -- batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "batch"), [(10, 4), (7, 7), (3, 8), (16, 4)])
def test_every_epoch_goes_once_through_every_row(rows, batch):
    batches = ResidentBatches(rows_of(rows), batch=batch, seed=1, symmetries=False, device=CPU)
    seen = torch.cat([batches.places(step) for step in range(rows)])  # batch epochs in all
    for epoch in range(batch):
        assert sorted(seen[epoch * rows : (epoch + 1) * rows].tolist()) == list(range(rows))


def test_a_batch_depends_on_seed_and_step_alone():
    def take(seed: int, step: int) -> torch.Tensor:
        batches = ResidentBatches(rows_of(20), batch=8, seed=seed, symmetries=True, device=CPU)
        return next(batches.from_step(step))[0]

    stream = ResidentBatches(rows_of(20), batch=8, seed=0, symmetries=True, device=CPU).from_step(0)
    for step in range(7):
        assert torch.equal(next(stream)[0], take(0, step))
    assert not torch.equal(take(0, 0), take(1, 0))


def test_processes_share_out_a_batch():
    whole = next(ResidentBatches(rows_of(20), batch=16, seed=0, symmetries=True, device=CPU).from_step(3))
    parts = [
        next(
            ResidentBatches(
                rows_of(20), batch=16, seed=0, symmetries=True, device=CPU, rank=r, ranks=4
            ).from_step(3)
        )
        for r in range(4)
    ]
    for i in range(2):
        assert torch.equal(torch.cat([part[i] for part in parts]), whole[i])
    with pytest.raises(InputError, match="cannot be dealt out"):
        ResidentBatches(rows_of(20), batch=15, seed=0, symmetries=True, device=CPU, ranks=4)


def test_a_batch_holds_each_symmetry_equally_often_and_turns_both_alike():
    maps = torch.arange(16.0).reshape(1, 4, 4).repeat(16, 1, 1)
    inputs, target = apply_symmetries(maps[:, None], maps)
    assert torch.equal(inputs[:, 0], target)
    kinds = [tuple(m.flatten().tolist()) for m in target]
    assert sorted(kinds.count(kind) for kind in set(kinds)) == [2] * 8


def test_streamed_batches_are_the_rows_of_the_store(store):
    transforms = Transforms.from_store(store, ("sz",))
    grid = ScoreGrid(transforms, "score", CPU)
    rows = load_rows(store, "train", transforms, grid, device=CPU)

    def batches() -> StreamBatches:
        dataset = StreamDataset(store, views=("sz",), block=4)
        return StreamBatches(dataset, transforms, grid, batch=12, symmetries=False, device=CPU)

    stream = batches().from_step(0)
    epoch = [next(stream) for _ in range(3)]
    got = sorted(float(target.sum()) for _, targets in epoch for target in targets)
    assert got == pytest.approx(sorted(float(target.sum()) for target in rows.target), rel=1e-4)
    after = batches().from_step(2)
    assert torch.equal(next(after)[0], epoch[2][0])
    assert torch.equal(next(after)[0], next(stream)[0])


def test_rows_of_some_lines_of_sight(store):
    transforms = Transforms.from_store(store, ("sz",))
    grid = ScoreGrid(transforms, "raw", CPU)
    whole = load_rows(store, "train", transforms, grid, device=CPU)
    assert len(whole) == 36 and set(whole.halo) == set(range(12))
    few = load_rows(store, "train", transforms, grid, device=CPU, lines=2)
    assert len(few) == 24


# -- loss and score ---------------------------------------------------------------------------------


def model_of(store: Path, **changes: object) -> MassModel:
    return MassModel(
        Architecture(channels=4, poolings=2, **changes),
        Transforms.from_store(store, ("sz",)),  # type: ignore[arg-type]
    )


def test_the_score_grid_is_the_benchmarks(store):
    transforms = Transforms.from_store(store, ("sz",))
    mass = read_split(store, "test", ["mass"]).maps["mass"][0]
    expected = np.log10(np.maximum(smooth_score_grid(mass, transforms.grid.pixel), 1e6))
    got = ScoreGrid(transforms, "score", CPU).logarithm(torch.from_numpy(mass))
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-6)
    raw = ScoreGrid(transforms, "raw", CPU).logarithm(torch.from_numpy(mass))
    np.testing.assert_allclose(raw.numpy(), np.log10(np.maximum(mass, 1e6)), atol=2e-6)


def test_the_validation_score_is_the_benchmarks_definition(store, settings):
    model = model_of(store)
    grid = ScoreGrid(model.transforms, "score", CPU)
    rows = load_rows(store, "test", model.transforms, grid, device=CPU)
    loss = MassLoss(grid, "l2", 0.1)
    arrays = read_split(store, "test", ["mass"])
    # An untrained model predicts the climatology.
    prediction = 10.0 ** model.transforms.climatology_map().double().numpy()
    inside = radius_grid(32, model.transforms.grid.pixel) < 1
    squares = [
        np.mean(
            (
                np.log10(smooth_score_grid(prediction, model.transforms.grid.pixel))
                - np.log10(np.maximum(smooth_score_grid(mass, model.transforms.grid.pixel), 1e6))
            )[..., inside]
            ** 2
        )
        for mass in arrays.maps["mass"]
    ]
    regions = arrays.halos["region"]
    expected = np.sqrt(np.mean([np.mean(np.array(squares)[regions == r]) for r in np.unique(regions)]))
    assert residual_rms_dex(model, rows, loss, settings) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["l2", "l1", "huber", "gaussian"])
def test_each_loss_is_least_at_the_truth(store, kind):
    torch.manual_seed(0)
    model = model_of(store, sigma=True)
    grid = ScoreGrid(model.transforms, "score", CPU)
    loss = MassLoss(grid, kind, 0.1)
    output = torch.zeros(2, 2, 32, 32)
    output[:, 1] = np.log(0.1)
    truth = loss.residual(output, torch.zeros(2, 32, 32))  # what the climatology is on the score grid
    at_truth = loss(output, truth)
    for offset in (-0.2, -0.01, 0.01, 0.2):
        moved = output.clone()
        moved[:, 0] += offset
        assert loss(moved, truth) > at_truth


def test_the_mass_term_is_the_cylinder_mass_in_dex(store):
    model = model_of(store)
    grid = ScoreGrid(model.transforms, "score", CPU)
    plain, weighted = MassLoss(grid, "l2", 0.1), MassLoss(grid, "l2", 0.1, 0.7)
    rows = load_rows(store, "test", model.transforms, grid, device=CPU)
    output = 0.1 * torch.randn(len(rows), 1, 32, 32, generator=torch.Generator().manual_seed(3))
    r = plain.residual(output, rows.target)
    inside = grid.inside.numpy()
    true = 10.0 ** (rows.target + model.climatology).double().numpy()
    predicted = true * 10.0 ** r.double().numpy()
    expected = np.log10(predicted[:, inside].sum(1) / true[:, inside].sum(1))
    np.testing.assert_allclose(weighted.cylinder_residual(r, rows.target).numpy(), expected, atol=1e-5)
    more = weighted(output, rows.target) - plain(output, rows.target)
    assert float(more) == pytest.approx(0.7 * np.mean(expected**2), rel=1e-4)


def test_a_calibrated_run_is_calibrated_once_however_often_it_ends(store, settings, tmp_path):
    settings = replace(settings, calibrate=True, steps=8)
    train(settings, tmp_path / "run", submission=False)
    first = (tmp_path / "run" / "model.safetensors").read_bytes()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["architecture"]["mass_regression"] is True
    assert config["calibration"]["maps"] == 36 and config["calibration"]["after_dex"] > 0
    assert "fitted on 36 maps of `train`" in (tmp_path / "run" / "README.md").read_text()
    # As after a kill between the last checkpoint and the model.
    (tmp_path / "run" / "model.safetensors").unlink()
    train(settings, tmp_path / "run", submission=False)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == first
    plain = train(replace(settings, calibrate=False), tmp_path / "plain", submission=False)
    calibrated = load_file(tmp_path / "run" / "model.safetensors")
    for name, value in plain.model.state_dict().items():
        assert torch.equal(calibrated.pop(name), value)
    assert all(name.startswith("regression.") for name in calibrated)


def test_the_gaussian_loss_finds_the_scatter(store):
    model = model_of(store, sigma=True)
    loss = MassLoss(ScoreGrid(model.transforms, "raw", CPU), "gaussian", 1.0)
    torch.manual_seed(0)
    target = 0.2 * torch.randn(64, 32, 32)
    log_sigma = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.Adam([log_sigma], lr=0.05)
    for _ in range(200):
        output = torch.zeros(64, 2, 32, 32)
        output[:, 1] = log_sigma
        optimiser.zero_grad()
        loss(output, target).backward()
        optimiser.step()
    assert float(log_sigma.detach().exp()) == pytest.approx(0.2, rel=0.02)


# -- schedule, optimiser, averages --------------------------------------------------------------------


def test_the_learning_rate_warms_up_and_falls(settings):
    settings = replace(settings, steps=100, warmup=0.1, lr=1.0)
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[-1] == pytest.approx(0.01, abs=2e-3)


def test_weight_decay_spares_norms_and_biases(store, settings):
    optimiser = make_optimiser(model_of(store), settings, CPU)
    for group in optimiser.param_groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}


def test_an_optimiser_of_timm_and_one_that_is_none(store, settings):
    name = type(make_optimiser(model_of(store), replace(settings, optimiser="nadamw"), CPU)).__name__
    assert name.lower().startswith("nadamw")
    with pytest.raises(InputError, match="--optimiser nosuch"):
        make_optimiser(model_of(store), replace(settings, optimiser="nosuch"), CPU)


def test_the_average_follows_the_weights():
    model, average = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 1.0)
    torch.nn.init.constant_(average.weight, 0.0)
    update_average(average, model, 0.9, step=10**6)
    assert float(average.weight.detach()) == pytest.approx(0.1)
    update_average(average, model, 0.0, step=10**6)
    assert float(average.weight.detach()) == 1.0


# -- runs -------------------------------------------------------------------------------------------


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def log(folder: Path) -> list[dict[str, str]]:
    with open(folder / "log.csv", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def assert_same_checkpoints(one: Path, other: Path) -> None:
    """To the bit, but for the seconds it took."""

    def compare(a: object, b: object, where: str) -> None:
        assert type(a) is type(b), where
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b), where
        elif isinstance(a, dict):
            assert a.keys() == b.keys(), where
            for name in a.keys() - {"seconds"}:
                compare(a[name], b[name], f"{where}.{name}")
        elif isinstance(a, (list, tuple)):
            for place, pair in enumerate(zip(a, b, strict=True)):
                compare(*pair, f"{where}.{place}")
        else:
            assert a == b or a != a, where

    compare(*(read_checkpoint(folder / CHECKPOINT_FILE) for folder in (one, other)), "")


@pytest.mark.draws
def test_a_run_learns_and_writes_what_it_should(tmp_path, settings):
    settings = replace(settings, steps=60, validate_every=20, lr=0.01, batch=16)
    run = train(settings, tmp_path / "run")
    rows = log(run.folder)
    assert [int(row["step"]) for row in rows] == [20, 40, 60]
    trainer = make_trainer(settings, Path(settings.data), tmp_path / "none", Machine(CPU))
    start = residual_rms_dex(trainer.model, trainer.validation, trainer.loss, settings)
    assert float(rows[-1]["validation_rms_dex"]) < 0.7 * start
    for name in ("config.yaml", "config.json", "model.safetensors", "log.csv", "curve.png", "README.md"):
        assert (run.folder / name).stat().st_size > 0
    assert (run.folder / "submission" / "submission.json").is_file()


@pytest.mark.parametrize(
    "changes",
    [{"loss": "gaussian"}, {"network": "residual", "mass_weight": 0.1, "optimiser": "lamb"}],
)
def test_a_stopped_run_goes_on_to_the_same_result(tmp_path, settings, changes, capsys, monkeypatch):
    settings = replace(settings, drop=0.1, **changes)
    train(settings, tmp_path / "whole", submission=False)
    train(settings, tmp_path / "parts", submission=False, stop_at=4)
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    left = tmp_path / "parts" / ".submission.a1b2c3d4.partial" / "predictions.zarr"  # as kill -9 leaves it
    left.mkdir(parents=True)
    (others := tmp_path / "parts" / ".notes.partial").mkdir()
    train(settings, tmp_path / "parts", submission=False, stop_at=8)
    assert not left.parent.exists() and others.is_dir()
    monkeypatch.delenv("THREE_HUNDRED_MAPS_QUIET", raising=False)
    train(settings, tmp_path / "parts", submission=False)
    assert f"resumed at step 8 of {settings.steps}, from {tmp_path}" in capsys.readouterr().err
    assert_same_checkpoints(tmp_path / "whole", tmp_path / "parts")
    for a, b in zip(log(tmp_path / "whole"), log(tmp_path / "parts"), strict=True):
        a.pop("seconds"), b.pop("seconds")
        assert a == b


def test_a_killed_run_goes_on_to_the_same_result(tmp_path, settings):
    settings = replace(settings, steps=40, validate_every=5)
    whole = train(settings, tmp_path / "whole", submission=False)
    config = tmp_path / "config.yaml"
    config.write_text(settings.to_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "baselines.unet", "--config", str(config), "--no-submission", "--quiet"]
    command += ["--out", str(tmp_path / "killed")]
    process = subprocess.Popen(command)
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert checkpoint.exists() and not (tmp_path / "killed" / "model.safetensors").exists()
    train(settings, tmp_path / "killed", submission=False)
    assert_same_checkpoints(whole.folder, tmp_path / "killed")


def test_seeds_differ_and_a_seed_is_repeated(tmp_path, settings, trained):
    runs = [train(replace(settings, seed=k), tmp_path / str(k), submission=False) for k in (0, 1)]
    first, again, other = weights(trained), *(weights(run.folder) for run in runs)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good(tmp_path, settings):
    train(settings, tmp_path / "run", submission=False, stop_at=4)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    before = checkpoint.read_bytes()
    trainer = make_trainer(settings, Path(settings.data), checkpoint, Machine(CPU))
    trainer.batches.rows.inputs[:] = torch.nan  # type: ignore[attr-defined]
    rate = learning_rate(4, settings)
    with pytest.raises(InputError, match=rf"not finite at step 5 .*{rate:.3g}.*kept in .*lower --lr"):
        trainer.run()
    assert checkpoint.read_bytes() == before


def test_early_stop(tmp_path, settings):
    settings = replace(settings, lr=0.0, patience=2, ema=0.0, weight_decay=0.0, norm="group", steps=400)
    run = train(settings, tmp_path / "run", submission=False)
    assert run.progress.stopped_early
    assert run.progress.step == 4 + 2 * 4  # no validation is better than the first


@pytest.mark.draws
def test_without_a_validation_split_the_last_averages_stay(tmp_path, settings):
    from three_hundred_maps.testing import tiny_store

    store = tiny_store(tmp_path / "paper", halos=(6, 0, 2), n_los=2, pixels=32)
    run = train(replace(settings, data=str(store)), tmp_path / "run")
    assert run.progress.best_step == settings.steps
    assert (run.folder / "curve.png").is_file()


def test_a_checkpoint_of_other_settings_or_statistics_is_refused(tmp_path, settings):
    from three_hundred_maps.testing import tiny_store

    train(settings, tmp_path / "run", submission=False, stop_at=4)
    with pytest.raises(InputError, match="channels 4 there, 8 here"):
        train(replace(settings, channels=8), tmp_path / "run")
    with pytest.raises(InputError, match="views 'sz,star' there, 'sz' here"):
        train(replace(settings, views="sz"), tmp_path / "run")
    other = tiny_store(tmp_path / "other", halos=(12, 4, 4), n_los=3, pixels=32, seed=5)
    with pytest.raises(InputError, match="other statistics"):
        train(replace(settings, data=str(other)), tmp_path / "run")


def test_one_process_trains_into_a_folder(tmp_path, settings):
    train(settings, tmp_path / "run", submission=False, stop_at=4)
    with (
        hold(tmp_path / "run" / ".lock"),
        pytest.raises(InputError, match="is being trained by another process.*process [0-9]+ on "),
    ):
        train(settings, tmp_path / "run")
    assert train(settings, tmp_path / "run", submission=False).progress.step == settings.steps
    assert not list((tmp_path / "run").glob(".lock*"))


def test_a_torn_checkpoint_is_named(tmp_path, settings):
    train(settings, tmp_path / "run", submission=False, stop_at=4)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"checkpoint.pt is not a whole checkpoint; delete it"):
        train(settings, tmp_path / "run")


def test_streaming_trains_too(tmp_path, settings):
    run = train(replace(settings, place="stream"), tmp_path / "run", submission=False)
    assert run.progress.step == settings.steps
    assert all(torch.isfinite(value).all() for value in weights(run.folder).values())


@pytest.mark.parametrize(
    ("kind", "folder", "limit", "used"),
    [("0:", "", "memory.max", "anon"), ("4:memory", "memory", "memory.limit_in_bytes", "total_rss")],
)
def test_the_memory_of_a_batch_job_is_what_its_limit_leaves(monkeypatch, tmp_path, kind, folder, limit, used):
    group = tmp_path / folder / "slurm" / "job_1" / "step_0"
    group.mkdir(parents=True)
    (group / limit).write_text("max\n")
    (group.parent / limit).write_text("3000000\n")
    (group.parent / "memory.stat").write_text(f"cache 7\n{used} 1000000\nfile 9\n")
    (tmp_path / "groups").write_text(f"9:pids:/\n{kind}:/slurm/job_1/step_0\n")
    monkeypatch.setattr("baselines.machine.GROUPS", tmp_path)
    monkeypatch.setattr("baselines.machine.GROUPS_INFO", tmp_path / "groups")
    assert free_memory(CPU) == 2_000_000


@pytest.mark.parametrize("system_tells", [True, False], ids=["told", "windows"])
def test_a_set_too_large_for_the_memory_is_streamed_or_refused(settings, monkeypatch, tmp_path, system_tells):
    machine = Machine(CPU)
    if not system_tells:
        monkeypatch.setattr("baselines.machine.MEMORY_INFO", tmp_path / "none")
        monkeypatch.delattr("os.sysconf")
    assert choose_place(settings, machine, 10, 80) == "device"
    assert choose_place(settings, machine, 10**9, 80) == "stream"
    with pytest.raises(InputError, match=r"takes 71525.\d GiB and .* are free; --place stream would do"):
        choose_place(replace(settings, place="ram"), machine, 10**9, 80)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="--device is auto, cpu, cuda or cuda:N, not 'tpu'"):
        find_machine("tpu")


@pytest.mark.parametrize(
    ("asked", "local_rank", "found"),
    [("auto", None, "cuda:0"), ("cuda", None, "cuda:0"), ("cuda", "1", "cuda:1"), ("cuda:1", "0", "cuda:1")],
)
def test_a_gpu_has_its_number(monkeypatch, asked, local_rank, found):
    chosen = []
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    for name, value in (("is_available", True), ("device_count", 2), ("current_device", 0)):
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for flag in ("allow_tf32", "benchmark"):
        monkeypatch.setattr(torch.backends.cudnn, flag, getattr(torch.backends.cudnn, flag))
    before = torch.get_float32_matmul_precision()
    try:
        assert find_machine(asked).device == torch.device(found)
    finally:
        torch.set_float32_matmul_precision(before)
    assert chosen == [torch.device(found)]
    with pytest.raises(InputError, match="--device cuda:2: torch finds 2 GPUs here"):
        find_machine("cuda:2")


def test_precision_is_the_devices_and_stays_that_of_the_run(tmp_path, settings, monkeypatch):
    import baselines.unet

    automatic = replace(settings, precision="auto", steps=4)
    for better in ("bf16", "fp32"):
        monkeypatch.setattr(baselines.unet, "best_precision", lambda device, better=better: better)
        train(automatic, tmp_path / better, submission=False, stop_at=2)
        assert read_config(tmp_path / better / "config.yaml")["precision"] == better
    # Taken up where fp32 is better, the run in bf16 stays one.
    assert train(automatic, tmp_path / "bf16", submission=False).progress.step == 4
    assert read_config(tmp_path / "bf16" / "config.yaml")["precision"] == "bf16"


def test_a_processor_says_whether_it_multiplies_in_bfloat16(tmp_path, monkeypatch):
    import baselines.machine

    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(baselines.machine, "CPU_INFO", info)
    assert best_precision(CPU) == "fp32"
    info.write_text("flags\t\t: fpu avx2 avx512f avx512_bf16 sha\n", encoding="utf-8")
    assert best_precision(CPU) == "bf16"
    info.write_text("flags\t\t: fpu avx2 avx512f\n", encoding="utf-8")
    assert best_precision(CPU) == "fp32"


def test_two_processes_train_as_one(tmp_path, settings):
    # Group norm has no statistics over a batch, so two halves of a batch are the batch.
    # Each process draws augmentations of its own.
    settings = replace(
        settings, norm="group", batch=8, thin_stars=False, calibration_error=0.0, view_dropout=0.0
    )
    one = train(settings, tmp_path / "one", submission=False)
    config = tmp_path / "config.yaml"
    config.write_text(settings.to_yaml(), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = f"-m torch.distributed.run --nproc-per-node=2 --master-port={port}"
    command = f"-m baselines.unet --config {config} --out {tmp_path / 'two'} --no-submission"
    done = subprocess.run(
        [sys.executable, *launcher.split(), *command.split()],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ours, theirs = weights(one.folder), weights(tmp_path / "two")
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=2e-3, atol=2e-5)
    losses = [[float(row["train_loss"]) for row in log(folder)] for folder in (one.folder, tmp_path / "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_the_log_of_a_run_is_json_free_csv(trained):
    columns = "step epoch samples learning_rate train_loss validation_rms_dex seconds"
    assert list(log(trained)[0]) == columns.split()
    config = json.loads((trained / "config.json").read_text())
    assert config["views"] == ["sz", "star"] and config["transforms"]["statistics_digest"]


def test_the_log_can_be_read_by_tensorboard(tmp_path, settings, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path / "run" / "tensorboard")

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, step))

        def flush(self) -> None:
            pass

    stand_in = type(sys)("torch.utils.tensorboard")
    stand_in.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    train(replace(settings, tensorboard=True), tmp_path / "run", submission=False)
    assert ("validation_rms_dex", 12) in written and ("train_loss", 4) in written
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        train(replace(settings, tensorboard=True), tmp_path / "other", submission=False)
