"""``three-hundred-maps simulate``: the embedded simulation as files, and its calibration table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from three_hundred_maps.errors import InputError

if TYPE_CHECKING:
    from three_hundred_maps.simulation.synthetic.setup import Flavour


class _Bar:
    """A progress bar that appears with the first step, so that bad input shows nothing but its line."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._bar: Any = None

    def update(self, steps: int) -> None:
        if self._bar is None:
            from three_hundred_maps.progress import progress

            self._bar = progress(total=self._total, desc=self._label, unit="region")
        self._bar.update(steps)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()


def simulate(
    out: Path | None = typer.Option(None, "--out", help="A new or empty folder for the files."),
    regions: int | None = typer.Option(
        None, "--regions", help="How many regions; with --check how many are measured in each flavour."
    ),
    seed: int | None = typer.Option(None, "--seed", help="Base seed, 300 by default."),
    flavour: str = typer.Option("gadgetx", "--flavour", help="gadgetx or gizmo."),
    format: str | None = typer.Option(
        None, "--format", help="hdf5 or gadget2; by default the flavour's own (gizmo hdf5, gadgetx gadget2)."
    ),
    resolution: str = typer.Option("light", "--resolution", help="light or full."),
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
    from three_hundred_maps.progress import set_quiet

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

    with _Bar("simulate", regions) as bar:
        files = simulate_regions(
            out,
            regions,
            seed=300 if seed is None else seed,
            flavour=cast("Flavour", flavour),
            format=format,
            resolution=resolution,
            workers=workers,
            progress=bar.update,
        )
    print(f"{len(files)} regions in {out}")


def _check(regions: int | None, seed: int | None, workers: int, as_json: bool, report: Path | None) -> None:
    from tools.realism.check import (
        CHECK_REGIONS,
        CHECK_SEED,
        format_json,
        format_lines,
        run_check,
    )

    number = CHECK_REGIONS if regions is None else regions
    with _Bar("check", 2 * number) as bar:
        base = CHECK_SEED if seed is None else seed
        if report is None:
            lines = run_check(base, number, workers, bar.update)
        else:
            from tools.realism.report import make_report

            lines = make_report(report, base, number, workers, bar.update)
    print(format_json(lines) if as_json else format_lines(lines))
    missed = sum(not line.ok for line in lines)
    if not as_json:
        print(f"{len(lines) - missed} of {len(lines)} in range")
    raise typer.Exit(1 if missed else 0)
