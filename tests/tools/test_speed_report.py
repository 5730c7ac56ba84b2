"""The form of the speed benchmarks: turns, goals, tables, options and what is kept."""

from __future__ import annotations

import json
import os

import pytest

from tools.speed.report import Goal, Report, installed, run, spent, take_turns


def test_works_are_taken_in_turn():
    calls = []
    works = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    times = take_turns(works, 2, warm_up=True)
    assert calls == list("ab") * 3
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}


def test_cpu_time_is_not_the_clocks():
    took = spent(lambda: sum(range(500_000)))
    assert 0 < took.cpu_s <= took.wall_s + 0.05 and took.value == 124_999_750_000


def test_goals_are_judged():
    assert Goal("a", 2.0, 1.0, at_least=True).met
    assert not Goal("a", 2.0, 1.0).met
    assert "MISSED" in str(Goal("a", 2.0, 1.0))
    assert "busy" in str(Goal("a", 2.0, 1.0, judged=False))


@pytest.mark.parametrize(("load", "cores", "judged"), [(0.1, 2, True), (0.1, 1, False), (0.9, 2, False)])
def test_the_wall_clock_is_judged_on_an_idle_machine_alone(tmp_path, monkeypatch, load, cores, judged):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    report = Report(tmp_path, load=load)
    report.goal("cpu", 1.0, 2.0)
    report.goal("wall", 1.0, 2.0, wall=True)
    assert [goal.judged for goal in report.goals] == [True, judged]


def test_a_missing_peer_is_said(capsys):
    def absent():
        raise ImportError

    assert installed({"here": lambda: 1, "there": absent}) == ({"here": 1}, ["there"])
    assert capsys.readouterr().out == "there: not installed\n"


def test_options_tables_and_json(tmp_path, capsys):
    def measure(report, sizes=(1, 2), times: int = 3, quick=False, data=None):
        report.table("work", {"s": ".1f", "ratio": ".0%"}, {"ours": [times, 0.5], "theirs": [sizes[0], None]})
        report.goal("times", times, 4)
        report.numbers["given"] = [list(sizes), quick, str(data), report.folder.parent == tmp_path / "disk"]

    words = ["--sizes", "5", "6", "--quick", "--data", "d", "--scratch", str(tmp_path / "disk")]
    run(measure, [*words, "--json", str(tmp_path / "kept.json")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["ours", "3.0", "50%"] in lines and ["theirs", "5.0", "-"] in lines
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert kept["given"] == [[5, 6], True, "d", True] and kept["goals"][0]["met"] is True
    assert list((tmp_path / "disk").iterdir()) == []
