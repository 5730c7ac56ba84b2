"""Commands on observed stores and FITS images."""

from __future__ import annotations

from pathlib import Path

import typer

from three_hundred_maps.cli.stores import NAME, QUIET, STORE
from three_hundred_maps.io import cores
from three_hundred_maps.progress import set_quiet


def observe(
    store: str = typer.Argument(..., help="A wide ideal store: a folder, or a config as mini-wide."),
    out: Path = typer.Option(..., "--out", help="The observed store: a new folder, or one to resume."),
    level: str = typer.Option(..., "--level", help="The instruments: pointed, deep, wide or rosat."),
    name: str | None = NAME,
    workers: int = typer.Option(0, "--workers", min=0, help="Local processes; 0: one a core."),
    quiet: bool = QUIET,
) -> None:
    """Write what a level's telescopes would see of an ideal store; re-run to resume."""
    from three_hundred_maps.observe.build import observe as make

    if quiet:
        set_quiet(True)
    made = make(store, out, level, name=name, workers=workers or cores())
    if not quiet:
        print(made)


def export_fits(
    store: str = STORE,
    halo: str = typer.Option(..., "--halo", help="REGION:ID, as 1:128000000000001."),
    los: int = typer.Option(0, "--los", help="Number of the line of sight, from 0."),
    out: Path = typer.Option(..., "--out", help="Folder of the images, VIEW.fits each."),
    redshift: float | None = typer.Option(None, "--redshift", help="Where an ideal halo is placed."),
    quiet: bool = QUIET,
) -> None:
    """Write every view of a halo along a line of sight as a FITS image on the sky."""
    from three_hundred_maps.observe.fits import export_fits as export

    for path in export(store, halo, los, out, redshift=redshift):
        if not quiet:
            print(path)
