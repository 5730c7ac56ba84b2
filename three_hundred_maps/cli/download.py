"""``three-hundred-maps download``."""

from __future__ import annotations

from pathlib import Path

import typer

from three_hundred_maps.errors import InputError
from three_hundred_maps.progress import set_quiet


def download(
    repository: str = typer.Argument(..., metavar="ORG/NAME", help="A data set repository of the Hub."),
    out: Path = typer.Option(..., "--out", help="A new folder for the store, or one to go on with."),
    config: str | None = typer.Option(None, "--config", help="By default the repository's first."),
    split: str | None = typer.Option(None, "--split", help="One or more of train,validation,test."),
    views: str | None = typer.Option(None, "--views", help="One or more views, as sz,mass."),
    shards: str | None = typer.Option(None, "--shards", help="Numbers of shards of each split, as 0-3,7."),
    revision: str | None = typer.Option(None, "--revision", help="A tag, branch or commit."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
) -> None:
    """Fetch a store from the Hub, whole or in part; resumable, every file checked by its sha256."""
    from three_hundred_maps.builder.recipe import parse_ranges
    from three_hundred_maps.hub import download as run

    set_quiet(quiet)
    try:
        numbers = None if shards is None else parse_ranges(shards)
    except ValueError as error:
        raise InputError(f"--shards: {error}") from None
    store = run(
        repository,
        out,
        config=config,
        splits=_names(split),
        views=_names(views),
        shards=numbers,
        revision=revision,
    )
    print(f"{store}: whole and checked; look at it with: three-hundred-maps inspect {store}")


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
