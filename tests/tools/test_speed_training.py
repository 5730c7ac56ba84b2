"""The benchmark of training measures what it says; how fast is for the benchmark to tell, not for a test."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from tests.helpers import command
from tools.speed import training

CPU = torch.device("cpu")


def test_steps_are_taken_in_turn():
    calls = []
    steps = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    times = training.alternate(training.Clock(CPU), steps, rounds=2, repeats=2)
    assert calls == list("aabb") * 3
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}


def test_the_clock_counts_the_time_of_this_process_per_call():
    def work():
        return sum(range(200_000))

    clock = training.Clock(CPU)
    assert 0 < clock.seconds(work, 3) < 1


def test_flop_of_the_papers_network():
    # 7.05 GFLOP a sample forward and backward for one view; two views more are 2 % of the first layer's.
    assert training.count_flop(32, 1, CPU) == pytest.approx(7.06e9, rel=0.01)


def test_a_report_is_written(tmp_path, monkeypatch):
    # Without the peer's package the comparison is left out, and said so.
    monkeypatch.setitem(sys.modules, "fastmri", None)
    monkeypatch.setitem(sys.modules, "fastmri.models.unet", None)
    words = ["--device", "cpu", "--channels", "2", "--batch", "4", "--rounds", "1", "--seconds", "0.01"]
    done = command(training.main, *words, "--out", tmp_path / "speed.json")
    assert done.returncode == 0
    report = json.loads((tmp_path / "speed.json").read_text())
    assert report["clock"] == "CPU time" and set(report["loop"]) == {"fp32", "bf16"}
    for entry in report["loop"].values():
        assert entry["samples_per_s"] == pytest.approx(4 / entry["step_s"])
    best = max(entry["samples_per_s"] for entry in report["loop"].values())
    assert report["paper_epoch_s_extrapolated"] == pytest.approx(131_570 / best)
    text = done.stdout
    assert "is not installed" in text and "extrapolated" in text
    assert ("only mimics" in text) is (not report["multiplies_in_bf16"])


def test_ratios_to_a_peer(monkeypatch):
    from baselines.networks import UNet

    monkeypatch.setattr(
        training, "peer_network", lambda channels: UNet(3, 1, channels=channels, norm="instance")
    )
    result = training.compare_networks(training.Clock(CPU), 2, 2, rounds=2, seconds=0.01)
    assert result["fastMRI"]["time_over_fastmri"] == 1.0
    assert all("time_over_fastmri" in entry for name, entry in result.items() if name != "parameters")
