"""``three-hundred-maps inspect``: one screen on a store in any state."""

from __future__ import annotations

import typer


def inspect(
    store: str = typer.Argument(help="A store, finished or not, or the URL of one."),
    json: bool = typer.Option(False, "--json", help="Print JSON."),
    quiet: bool = typer.Option(False, "--quiet", help="Print nothing but errors."),
) -> None:
    """Show state, sizes, splits and per-view statistics."""
    from three_hundred_maps.store.overview import describe, overview, to_json

    content = overview(store)
    if not quiet:
        print(to_json(content) if json else describe(content))
