"""The script for a GPU: its order, its time limit, and the files that it leaves."""

from __future__ import annotations

import contextlib
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file

from baselines import flow
from tests.helpers import command, settings_of
from tools import gpu, steps


def make_call(size: gpu.Size, data: str, work: Path, seconds: float = 500.0) -> gpu.Call:
    now = time.monotonic()
    return gpu.Call(size, data, work, 16, now, now + seconds)


def run_without_commands(
    call: gpu.Call, monkeypatch: pytest.MonkeyPatch, rates: dict[str, Any] | None = None
) -> dict[str, steps.Step]:
    """The steps by name in the order of their start; each is done at once."""
    ran: dict[str, steps.Step] = {}

    def done(step: steps.Step, threads: int, timeout: float) -> None:
        ran[step.name] = step
        step.done.parent.mkdir(parents=True, exist_ok=True)
        step.done.write_text(json.dumps(rates or {}) if step.name == "training" else "{}")

    monkeypatch.setattr(gpu, "run_step", done)
    monkeypatch.setattr(gpu, "split_length", lambda store, split: 10)
    call.run()
    return ran


def test_a_package_that_lacks_one_of_its_own_is_told_before_time_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_there.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (said,) = gpu.missing_packages(["json", "half_there"])
    assert said.startswith("half_there") and "what_it_needs" in said


RATES = {
    "loop": {
        "bf16": {"samples_per_s": 1e4, "step_s": 256 / 1e4, "first_steps_s": 1.0},
        "bf16 compiled": {"samples_per_s": 1.6e4, "step_s": 256 / 1.6e4, "first_steps_s": 20.0},
    },
    "residual_samples_per_s": 5000.0,
}


def option(step: steps.Step, name: str) -> str:
    return step.words[step.words.index(name) + 1]


def test_every_step_is_run_within_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = make_call(gpu.full_size(16), "synthetic-gadgetx", tmp_path)
    ran = run_without_commands(call, monkeypatch, RATES)
    runs = [*gpu.MODELS, gpu.FLAGSHIP, gpu.FLOW]
    assert set(ran) == {"training", "projection", "build data", *runs, *(f"score {run}" for run in runs)}
    assert call.errors == {} and call.left == []
    order = list(ran)
    assert max(order.index(name) for name in ("training", "projection", "build data")) < 3
    assert {name for name in order if name in runs} - set(gpu.MODELS) == {gpu.FLAGSHIP, gpu.FLOW}
    assert max(map(order.index, gpu.MODELS)) < min(map(order.index, (gpu.FLAGSHIP, gpu.FLOW)))
    assert (
        set(call.size.recipe) <= set(ran["build data"].words)
        and option(ran["build data"], "--workers") == "14"
    )
    counts = {name: int(option(ran[name], "--steps")) for name in runs[:-1]}
    assert {counts[name] for name in gpu.MODELS} == {2734}  # 0.7 million samples
    # 455 s at four fifths of 5000 samples a second.
    assert counts[gpu.FLAGSHIP] == pytest.approx(455 * 4000 / 256, rel=0.01)
    assert "--compile" in ran["sz-0"].words and "--no-compile" in ran[gpu.FLAGSHIP].words


def test_runs_are_shorter_where_the_time_or_the_rate_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = {"loop": {"bf16": {"samples_per_s": 2000.0, "step_s": 0.128, "first_steps_s": 1.0}}}
    call = make_call(gpu.full_size(16), "synthetic-gadgetx", tmp_path / "slow", 400.0)
    ran = run_without_commands(call, monkeypatch, slow)
    seconds = (0.75 * 400 - 2 * gpu.RUN_SECONDS) / 4
    assert int(option(ran["sz-0"], "--steps")) == pytest.approx(seconds * 1700 / 256, rel=0.02)
    assert "--no-compile" in ran["sz-0"].words
    call = make_call(gpu.full_size(16), "synthetic-gadgetx", tmp_path / "late", 60.0)
    assert set(run_without_commands(call, monkeypatch, RATES)) == {"training", "projection", "build data"}
    assert sorted(call.left) == sorted([*gpu.MODELS, gpu.FLAGSHIP, gpu.FLOW])  # two at once: in any order


def test_where_time_is_short_the_models_at_an_equal_budget_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {**RATES, "loop": {"bf16": {"samples_per_s": 1e4, "step_s": 256 / 1e4, "first_steps_s": 1.0}}}
    call = make_call(gpu.full_size(16), "synthetic-gadgetx", tmp_path, 140.0)
    call.time_left = lambda: 140.0  # type: ignore[method-assign]
    ran = run_without_commands(call, monkeypatch, rates)
    # All of the time, 50 s over four models at .85 of 10,000 samples a second; three quarters are 124 steps.
    assert {int(option(ran[name], "--steps")) for name in gpu.MODELS} == {415}


def test_the_small_size_has_the_same_steps_for_any_machine(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run_without_commands(make_call(gpu.small_size(2), str(store), tmp_path), monkeypatch)
    runs = [*gpu.MODELS, gpu.FLAGSHIP, gpu.FLOW]
    assert set(ran) == {"training", "projection", *runs, *(f"score {run}" for run in runs)}
    for step in (ran[name] for name in runs[:-1]):
        settings = settings_of(step.words)
        assert settings.device == "cpu" and settings.steps == 10 and not settings.compile
    monkeypatch.setattr(flow, "run", lambda *_: None)
    for size in (gpu.full_size(16), gpu.small_size(2)):
        assert command(flow.main, *size.flow).returncode == 0


def test_a_step_is_stopped_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(61.5)'])"
    (tmp_path / "sleeper.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    step = steps.Step("sleep", ("sleeper",), tmp_path / "x", tmp_path / "log.txt")
    began = time.monotonic()
    steps.run_step(step, 1, timeout=2.0)
    assert time.monotonic() - began < 30
    while _is_running(b"time.sleep(61.5)") and time.monotonic() - began < 30:
        time.sleep(0.1)  # what is killed takes a moment to end
    assert not _is_running(b"time.sleep(61.5)")


def _is_running(words: bytes) -> bool:
    """Whether a process has ``words`` in its command line, where the system lists them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if words in path.read_bytes():
                return True
    return False


def test_a_step_that_fails_does_not_hold_up_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = make_call(gpu.small_size(1), "synthetic-gadgetx", tmp_path)
    call.attempt(steps.Step("bad", ("baselines.ridge", "--nonsense"), tmp_path / "c", tmp_path / "1.txt"), 1)
    assert "ended with status 2" in call.errors["bad"]
    shown = capsys.readouterr().out
    assert "bad FAILED:" in shown and "--nonsense" in shown
    call.deadline = time.monotonic() - 1
    late = steps.Step("late", ("baselines.ridge",), tmp_path / "d", tmp_path / "2.txt")
    call.attempt(late, 1)
    assert call.left == ["late"] and not late.log.exists()


def test_a_model_over_the_limit_is_in_parts_that_hold_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "FILE_BYTES", 2**15)
    monkeypatch.setattr(gpu, "HEADER_BYTES", 2**12)
    state = {f"layer{n}": torch.full((5000,), float(n)) for n in range(5)}
    parts = gpu.model_files("m", state)
    assert list(parts) == [f"m-{n:05d}-of-00003.safetensors" for n in (1, 2, 3)]
    assert all(len(data) <= gpu.FILE_BYTES for data in parts.values())
    joined = {name: value for data in parts.values() for name, value in load(data).items()}
    assert joined.keys() == state.keys()
    assert all(torch.equal(joined[name].float(), value) for name, value in state.items())


@pytest.mark.long
def test_the_whole_script_runs_small_and_resumes(tmp_path: Path) -> None:
    for out, minutes in (("first", 0.1), ("second", 30)):
        words = ("--work", tmp_path / "work", "--out", tmp_path / out, "--minutes", minutes)
        done = command(gpu.main, "--small", *words)
        assert done.returncode == 0 and ("left: " in done.stdout) == (out == "first")
        assert (tmp_path / out / "results.json").is_file()
    out = tmp_path / "second"
    summary = json.loads((out / "results.json").read_text())
    assert set(summary["models"]) == {*gpu.MODELS, gpu.FLAGSHIP, gpu.FLOW} and summary["errors"] == {}
    assert (
        summary["training"]["loop"]["bf16"]["samples_per_s"] > 0
        and summary["projection"]["torch"]["maps"] == 116
    )
    files = sorted(out.iterdir())
    assert len(files) <= gpu.FILES and all(file.stat().st_size <= gpu.FILE_BYTES for file in files)
    names = {file.name for file in files}
    assert {"flagship.safetensors", "sz-xray-star-0.safetensors", "predictions.png", "logs.tar.gz"} <= names
    assert torch.bfloat16 in {value.dtype for value in load_file(out / "flagship.safetensors").values()}
    with tarfile.open(out / "logs.tar.gz") as tar:
        assert {"runs/flagship/config.json", "runs/flagship/log.csv", "log/flagship.txt"} <= set(
            tar.getnames()
        )
