"""``three-hundred-maps export``."""

from __future__ import annotations

from pathlib import Path

import typer

from three_hundred_maps.progress import set_quiet


def export(
    stores: list[Path] = typer.Argument(
        ..., metavar="STORE...", help="Finished stores; each becomes a config."
    ),
    out: Path = typer.Option(..., "--out", help="A new folder, or one exported before."),
    repo: str = typer.Option("ORG/three_hundred_maps", "--repo", help="ORG/NAME for the card's snippets."),
    zarr: bool = typer.Option(True, "--zarr/--no-zarr", help="Whether the Zarr stores go along."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
) -> None:
    """Write the layout of a Hub repository: card, Parquet, Zarr, Croissant; one folder a config."""
    from three_hundred_maps.hub import export as run

    set_quiet(quiet)
    manifest = run(stores, out, repository=repo, zarr=zarr)
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    for name, record in manifest["configs"].items():
        counts = ", ".join(f"{split} {entry['rows']:,}" for split, entry in record["splits"].items())
        print(f"{name}: rows {counts}")
    print(f"{len(manifest['files']):,} files, {size / 1e6:,.1f} MB in {out}")
