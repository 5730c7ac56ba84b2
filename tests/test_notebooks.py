"""The notebooks of the site: every cell runs, and what it makes is right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from baselines import flow, unet
from tests.helpers import command
from three_hundred_maps import cli
from three_hundred_maps.store.verify import verify

NOTEBOOKS = Path(__file__).resolve().parent.parent / "docs" / "notebooks"
CELL = re.compile(r"^```\{code-cell\}\n(?::tags:[^\n]*\n\n)?(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run a notebook's cells in one name space, in a folder of its own; what they define."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("THREE_HUNDRED_MAPS_QUIET", "1")  # as commands set it: to restore it
    # Commands as they are, in this process: torch and the compiled kernels are here already.
    mains = {"three_hundred_maps": cli.main, "baselines.unet": unet.main, "baselines.flow": flow.main}

    def here(words: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        assert words[:2] == [sys.executable, "-m"] and how["check"]
        # Workers of a build take longer to start than its maps.
        more = ("--workers", "1") if words[3] == "build" else ()
        done = command(mains[words[2]], *words[3:], *more)
        assert done.returncode == 0, done.stderr
        return done

    monkeypatch.setattr("subprocess.run", here)

    def run(name: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        blocks = CELL.findall((NOTEBOOKS / name).read_text("utf-8"))
        assert len(blocks) > 4
        for block in blocks:
            exec(compile(block, name, "exec"), names)
        return names

    return run


def test_meet_the_clusters(cells: Any) -> None:
    names = cells("meet-the-clusters.md")
    row = names["row"]
    # A notebook shows what this gives; without it, a line of text.
    assert names["plot"].plot_halo(row)._repr_png_().startswith(b"\x89PNG")
    # A cylinder 4 R200c deep holds more than the sphere of R200c, and not twice as much.
    assert 1.0 < names["mass_in_map"] / row["M200c"] < 2.0
    assert 0.1 < float(((names["logs"] - names["mean"]) ** 2).mean() ** 0.5) < 0.5
    assert len(names["masses"]) == 14


def test_train_and_submit(cells: Any) -> None:
    scores = cells("train-and-submit.md")["result"]["scores"]
    assert scores["skill"]["value"] > 0.2


def test_build_from_a_snapshot(cells: Any, capfd: pytest.CaptureFixture[str]) -> None:
    names = cells("build-from-a-snapshot.md")
    assert verify(names["folder"] / "own.zarr").good
    assert names["store"][names["split"]]["sz"].attrs["units"] == "1"


def test_posterior_and_observed(cells: Any) -> None:
    # What the page says of its own figures, its hidden cells assert.
    names = cells("posterior-and-observed.md")
    assert names["samples"].shape == (12, 2, 8, 80, 80)
