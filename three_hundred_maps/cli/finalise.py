"""``three-hundred-maps finalise``: finish a store whose parts are all built."""

from __future__ import annotations

from pathlib import Path

import typer


def finalise(
    store: Path = typer.Argument(help="A store whose shards are all done."),
    quiet: bool = typer.Option(False, "--quiet", help="Print nothing."),
) -> None:
    """Write halo arrays, statistics, consolidated metadata and the manifest."""
    from three_hundred_maps.store.finishing import finalise as finish

    manifest = finish(store)
    if not quiet:
        print(f"{store}: {sum(manifest['halos'].values())} halos, digest {manifest['digest']}")
