"""`three-hundred-maps observe`: observed stores."""

from __future__ import annotations

from pathlib import Path

import typer

from three_hundred_maps.cli.stores import NAME, QUIET, cores
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
