"""``three-hundred-maps demo``: everything once, from nothing to a report."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import typer

from three_hundred_maps.errors import InputError


def demo(
    out: Path = typer.Option(Path("demo"), "--out", help="Where data, runs, results and report go."),
    workers: int = typer.Option(0, "--workers", min=0, help="Processes for the build; 0: one a core."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bars."),
) -> None:
    """Build the data set `mini`, train four U-Nets, score them, write one HTML report.

    Takes about ten minutes on two cores and needs no GPU. Stopped or killed, the same command goes on where
    it was. The last line printed is the report's path.
    """
    if importlib.util.find_spec("benchmarks") is None or importlib.util.find_spec("baselines") is None:
        raise InputError("the demo needs the packages baselines and benchmarks, which come with this project")
    # A process of its own: this package imports neither baselines nor benchmarks.
    command = [sys.executable, "-m", "benchmarks", "demo", "--out", str(out), "--workers", str(workers)]
    raise typer.Exit(subprocess.run([*command, *(["--quiet"] if quiet else [])], check=False).returncode)
