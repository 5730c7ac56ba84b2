"""The script for a GPU: its order, its time limit, and the files that it leaves."""

from __future__ import annotations

import json
import tarfile
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file

from baselines.settings import Parser, add_settings, merge
from tools import gpu, steps


def test_the_steps_are_in_order_of_value(tmp_path: Path) -> None:
    size = gpu.full_size(16)
    _, made = gpu.make_steps(size, "synthetic-gadgetx", tmp_path)
    names = [step.name for step in made]
    assert names == [
        "training", "build data", "sz-xray-star-0", "sz-0", "xray-0", "star-0", "flagship", "projection"
    ]  # fmt: skip
    assert set(size.recipe) <= set(made[1].words)
    assert 1000 < int(size.recipe[0].removeprefix("simulation.regions=1-")) < 1600
    for step in made[2:6]:
        batch = int(step.words[step.words.index("--batch") + 1])
        assert batch * int(step.words[step.words.index("--steps") + 1]) == pytest.approx(0.7e6, rel=1e-3)


def test_the_small_size_has_the_same_steps_for_any_machine(tmp_path: Path, store: Path) -> None:
    full, small = (
        gpu.make_steps(size(2), str(store), tmp_path)[1] for size in (gpu.full_size, gpu.small_size)
    )
    assert [step.name for step in small] == [step.name for step in full]
    for step in (step for step in small if step.words[0] == "baselines.unet"):
        parser = Parser()
        for option in ("--out", "--preset", "--name"):
            parser.add_argument(option)
        parser.add_argument("--quiet", action="store_true")
        add_settings(parser)
        options = vars(parser.parse_args(step.words[1:]))
        preset = options["preset"]
        for name in ("out", "preset", "name", "quiet"):
            options.pop(name)
        settings = merge(options, config=None, preset=preset)
        assert settings.device == "cpu" and settings.steps <= 20 and not settings.compile


def test_a_step_is_stopped_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    (tmp_path / "sleeper.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    step = steps.Step("sleep", ("sleeper",), tmp_path / "x", tmp_path / "log.txt")
    began = time.monotonic()
    steps.run_step(step, 1, timeout=2.0)
    assert time.monotonic() - began < 30
    listed = Path("/proc")
    if listed.is_dir():
        running = [p.read_bytes() for p in listed.glob("[0-9]*/cmdline") if p.exists()]
        assert not any(b"time.sleep(60)" in words for words in running)


def test_a_step_that_fails_does_not_hold_up_the_others(tmp_path: Path) -> None:
    failing = steps.Step(
        "bad", ("baselines.ridge", "--nonsense"), tmp_path / "a" / "b" / "c", tmp_path / "1.txt"
    )
    late = steps.Step("late", ("baselines.ridge",), tmp_path / "a" / "b" / "d", tmp_path / "2.txt")
    errors = gpu.run_until(time.monotonic() + 60, [failing], tmp_path, tmp_path, 1)
    assert "ended with status 2" in errors["bad"]
    assert gpu.run_until(time.monotonic() - 1, [late], tmp_path, tmp_path, 1) == {}
    assert not late.log.exists()


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
def test_the_whole_script_runs_small_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(out: str, minutes: float) -> int:
        words = ["--small", "--work", str(tmp_path / "work"), "--out", str(tmp_path / out)]
        with pytest.raises(SystemExit) as stop:
            gpu.main([*words, "--minutes", str(minutes)])
        return int(stop.value.code or 0)

    assert call("first", 0.1) == 0
    assert "left for the next call" in capsys.readouterr().out
    assert (tmp_path / "first" / "results.json").is_file()
    assert call("second", 30) == 0
    assert "left for" not in capsys.readouterr().out
    out = tmp_path / "second"
    summary = json.loads((out / "results.json").read_text())
    assert set(summary["models"]) == {*gpu.MODELS, gpu.FLAGSHIP} and summary["errors"] == {}
    assert summary["training"]["loop"]["bf16"]["samples_per_s"] > 0 and summary["projection"]["whole_cluster"]
    files = sorted(out.iterdir())
    assert len(files) <= gpu.FILES and all(file.stat().st_size <= gpu.FILE_BYTES for file in files)
    names = {file.name for file in files}
    assert {"flagship.safetensors", "sz-xray-star-0.safetensors", "predictions.png", "logs.tar.gz"} <= names
    assert torch.bfloat16 in {value.dtype for value in load_file(out / "flagship.safetensors").values()}
    with tarfile.open(out / "logs.tar.gz") as tar:
        assert {"runs/flagship/config.json", "runs/flagship/log.csv", "log/flagship.txt"} <= set(
            tar.getnames()
        )
