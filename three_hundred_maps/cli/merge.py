"""``three-hundred-maps merge``: stores joined into one."""

from __future__ import annotations

from pathlib import Path

import typer


def merge(
    stores: list[Path] = typer.Argument(help="Two or more finished stores of one kind."),
    out: Path = typer.Option(..., "--out", help="A new folder."),
    name: str | None = typer.Option(None, "--name", help="Name of the new store."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bar."),
) -> None:
    """Join stores; halos keep their splits, and a region may not come to lie in two."""
    from three_hundred_maps.progress import set_quiet
    from three_hundred_maps.store.derive import merge as join

    if quiet:
        set_quiet(True)
    made = join(stores, out, name=name)
    if not quiet:
        print(made)
