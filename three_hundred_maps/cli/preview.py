"""``three-hundred-maps preview``: a picture of one halo."""

from __future__ import annotations

from pathlib import Path

import typer


def preview(
    store: str = typer.Argument(help="A finished store."),
    halo: str = typer.Option(..., "--halo", help="REGION:ID, as 1:128000000000001."),
    los: int = typer.Option(0, "--los", help="Number of the line of sight, from 0."),
    out: Path = typer.Option(..., "--out", "-o", help="The picture, as halo.png."),
    quiet: bool = typer.Option(False, "--quiet", help="Print nothing."),
) -> None:
    """Draw a halo's views with colour bars, units and a scale."""
    from three_hundred_maps.store.preview import preview as draw

    written = draw(store, halo, los, out)
    if not quiet:
        print(written)
