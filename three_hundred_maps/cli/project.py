"""Commands on the project itself: the demo, the doctor, and the embedded simulation."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from three_hundred_maps._version import __version__
from three_hundred_maps.errors import InputError, declared_packages, installed_version
from three_hundred_maps.io import cache_home, cores
from three_hundred_maps.progress import progress, set_quiet

if TYPE_CHECKING:
    from three_hundred_maps.simulation.synthetic.setup import Flavour


def demo(
    out: Path = typer.Option(Path("demo"), "--out", help="Where data, runs, results and report go."),
    workers: int = typer.Option(0, "--workers", min=0, help="Processes for the build; 0: one a core."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bars."),
) -> None:
    """Build the data set `mini`, train four U-Nets, score them, write one HTML report.

    Takes about ten minutes on two cores and needs no GPU. Re-run to resume after a stop. The last line is the
    report's path.
    """
    if importlib.util.find_spec("benchmarks") is None or importlib.util.find_spec("baselines") is None:
        raise InputError("the demo needs the packages baselines and benchmarks, which come with this project")
    # A process of its own: this package imports neither baselines nor benchmarks.
    command = [sys.executable, "-m", "benchmarks", "demo", "--out", str(out), "--workers", str(workers)]
    raise typer.Exit(subprocess.run([*command, *(["--quiet"] if quiet else [])], check=False).returncode)


def doctor() -> None:
    """Show versions, GPU, cache, disk; and what is missing."""
    print(f"three_hundred_maps {__version__}, Python {sys.version.split()[0]}, {cores()} cores")
    missing = []
    for extra, packages in declared_packages().items():
        versions = {package: installed_version(package) or "MISSING" for package in packages}
        print(f"{extra or 'base':<11}{', '.join(f'{p} {version}' for p, version in versions.items())}")
        if "MISSING" in versions.values():
            missing.append(f"three_hundred_maps[{extra}]" if extra else "three_hundred_maps")
    print(f"GPU        {_gpu()}")
    home = cache_home()
    print(f"cache      {home} ({'there' if home.is_dir() else 'made at the first load'})")
    print(f"disk       {_free(home)} free there, {_free(Path.cwd())} here")
    print(f"compiled   {_compiled()}")
    repository = os.environ.get("THREE_HUNDRED_MAPS_REPO")
    print(
        f"Hub        {repository or 'no repository set (THREE_HUNDRED_MAPS_REPO): data sets are built here'}"
    )
    for wanted in missing:
        print(f"to get what is missing: pip install '{wanted}'")


def _gpu() -> str:
    if importlib.util.find_spec("torch") is None:
        return "unknown: torch is not installed"
    import torch

    if not torch.cuda.is_available():
        return "none that torch can use; training runs on the CPU"
    return f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"


def _compiled() -> str:
    if importlib.util.find_spec("numba") is None:
        return "unknown: numba is not installed"
    from three_hundred_maps.compiled import cache_folder

    nowhere = (
        "nowhere: set NUMBA_CACHE_DIR to a folder that can be written, else every process compiles again"
    )
    return cache_folder() or nowhere


def _free(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 1e9:.0f} GB"


def simulate(
    out: Path | None = typer.Option(None, "--out", help="A new or empty folder for the files."),
    regions: int | None = typer.Option(
        None, "--regions", help="How many regions; with --check how many are measured in each flavour."
    ),
    seed: int | None = typer.Option(None, "--seed", help="Base seed, 300 by default."),
    flavour: str = typer.Option("gadgetx", "--flavour", help="gadgetx, gizmo, simba-strong or hypercube."),
    format: str | None = typer.Option(
        None, "--format", help="hdf5 or gadget2; by default the flavour's own (gadgetx gadget2, others hdf5)."
    ),
    resolution: str = typer.Option("light", "--resolution", help="light, full or coarse."),
    redshift: float = typer.Option(0.0, "--redshift", help="Of the snapshots, 0 to 1."),
    workers: int = typer.Option(1, "--workers", help="Processes."),
    check: bool = typer.Option(
        False, "--check", help="Measure fresh regions of both flavours and print the calibration table."
    ),
    as_json: bool = typer.Option(False, "--json", help="With --check: the table as JSON."),
    report: Path | None = typer.Option(
        None, "--report", help="With --check: write this page with the table, figures and a gallery."
    ),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bars."),
) -> None:
    """Simulate regions of galaxy clusters, written as The Three Hundred's own files."""
    if quiet:
        set_quiet(True)
    if check:
        if out is not None or format is not None:
            raise InputError("--check writes no snapshots: leave --out and --format away")
        _check(regions, seed, workers, as_json, report)
        return
    if report is not None or as_json:
        raise InputError("--report and --json belong to --check: add it")
    if out is None or regions is None:
        raise InputError("give --out DIR and --regions N (or --check)")
    from three_hundred_maps.simulation.synthetic.campaign import simulate_regions

    with progress(total=regions, desc="simulate", unit="region", after_first=True) as bar:
        files = simulate_regions(
            out,
            regions,
            seed=300 if seed is None else seed,
            flavour=cast("Flavour", flavour),
            format=format,
            resolution=resolution,
            redshift=redshift,
            workers=workers,
            progress=bar.update,
        )
    print(f"{len(files)} regions in {out}")


def _check(regions: int | None, seed: int | None, workers: int, as_json: bool, report: Path | None) -> None:
    if importlib.util.find_spec("tools") is None or importlib.util.find_spec("tools.realism") is None:
        raise InputError("--check needs the package tools, which a checkout of the project has: run it there")
    from tools.realism.check import CHECK_REGIONS, CHECK_SEED, format_json, format_lines, run_check
    from tools.realism.report import BESIDE_REGIONS, make_report

    number = CHECK_REGIONS if regions is None else regions
    base = CHECK_SEED if seed is None else seed
    total = 2 * number + (BESIDE_REGIONS if report is not None else 0)
    with progress(total=total, desc="check", unit="region", after_first=True) as bar:
        if report is None:
            lines = run_check(base, number, workers, bar.update)
        else:
            lines = make_report(report, base, number, workers, bar.update)
    print(format_json(lines) if as_json else format_lines(lines))
    missed = sum(not line.ok for line in lines)
    if not as_json:
        print(f"{len(lines) - missed} of {len(lines)} in range")
    raise typer.Exit(1 if missed else 0)
