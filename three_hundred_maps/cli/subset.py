"""``three-hundred-maps subset``: a smaller store."""

from __future__ import annotations

from pathlib import Path

import typer

from three_hundred_maps.errors import InputError


def subset(
    store: Path = typer.Argument(help="A finished store."),
    out: Path = typer.Option(..., "--out", help="A new folder."),
    views: str | None = typer.Option(None, "--views", help="Views to keep, as sz,mass."),
    splits: str | None = typer.Option(None, "--splits", help="Splits to keep, as train,test."),
    halos: int | None = typer.Option(None, "--halos", help="At most so many halos a split."),
    regions: str | None = typer.Option(None, "--regions", help="Regions to keep, as 1-10,12."),
    los: int | None = typer.Option(None, "--los", help="Keep the first so many lines of sight."),
    name: str | None = typer.Option(None, "--name", help="Name of the new store."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bar."),
) -> None:
    """Write a store of some views, splits, halos or lines of sight; statistics and manifest are made anew."""
    from three_hundred_maps.builder.recipe import parse_ranges
    from three_hundred_maps.progress import set_quiet
    from three_hundred_maps.store.derive import subset as make

    if quiet:
        set_quiet(True)
    try:
        numbers = None if regions is None else parse_ranges(regions)
    except ValueError as error:
        raise InputError(f"--regions: {error}") from None
    made = make(
        store,
        out,
        views=_names(views),
        splits=_names(splits),
        halos=halos,
        regions=numbers,
        los=los,
        name=name,
    )
    if not quiet:
        print(made)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
