"""The benchmark of training measures what it says; how fast is for the benchmark to tell, not for a test."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tools.speed import training
from tools.speed.report import run

BENCH = training.Bench(torch.device("cpu"), channels=2, batch=2, seconds=0.01, store=Path("none"))


def test_the_clock_counts_the_time_of_this_process_per_call():
    def work():
        return sum(range(200_000))

    assert 0 < BENCH.clock(work, 3) < 1


def test_flop_of_the_papers_network():
    # 7.05 GFLOP a sample forward and backward for one view; two views more are 2 % of the first layer's.
    assert training.count_flop(replace(BENCH, channels=32, batch=1)) == pytest.approx(7.06e9, rel=0.01)


def test_a_report_is_written(tmp_path, monkeypatch, capsys):
    # Without the peer's package the comparison is left out, and said so.
    monkeypatch.setitem(sys.modules, "fastmri", None)
    monkeypatch.setitem(sys.modules, "fastmri.models.unet", None)
    words = ["--device", "cpu", "--channels", "2", "--batch", "4", "--rounds", "1", "--seconds", "0.01"]
    run(training.measure, [*words, "--json", str(tmp_path / "speed.json")])
    report = json.loads((tmp_path / "speed.json").read_text())
    assert report["clock"] == "CPU time" and set(report["loop"]) == {"fp32", "bf16"}
    for entry in report["loop"].values():
        assert entry["samples_per_s"] == pytest.approx(4 / entry["step_s"])
    best = max(entry["samples_per_s"] for entry in report["loop"].values())
    assert report["paper_epoch_s_extrapolated"] == pytest.approx(131_570 / best)
    text = capsys.readouterr().out
    assert "is not installed" in text and "extrapolated" in text
    assert ("only mimics" in text) is (not report["multiplies_in_bf16"])


def test_ratios_to_a_peer(monkeypatch):
    from baselines.networks import UNet

    monkeypatch.setattr(
        training, "peer_network", lambda channels: UNet(3, 1, channels=channels, norm="instance")
    )
    result = training.compare_networks(BENCH, rounds=2)
    assert result["fastMRI"]["time_over_fastmri"] == 1.0
    assert all("time_over_fastmri" in entry for name, entry in result.items() if name != "parameters")
