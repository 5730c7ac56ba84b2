"""``three-hundred-maps explore``: a store in the browser."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from pathlib import Path

import typer


def explore(
    store: str = typer.Argument(help="A finished store: a name, a folder, or a URL (https:// or hf://)."),
    predictions: str = typer.Option(None, "--predictions", help="A submission's folder, beside the truth."),
    port: int = typer.Option(
        0, "--port", min=0, max=65535, help="Port on this machine; any free one by default."
    ),
    out: Path = typer.Option(None, "--out", "-o", help="Write a static folder for a web host instead."),
    no_browser: bool = typer.Option(False, "--no-browser", help="Print the address; open no browser."),
) -> None:
    """Turn clusters through their lines of sight in the browser: maps, read-out, profiles, predictions.

    The page reads the store's own Zarr and nothing else. Ctrl-C ends it.
    """
    from three_hundred_maps.explore import explorer_server, write_page

    if out is not None:
        print(write_page(out, store, predictions))
        return
    with explorer_server(store, predictions, port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if not no_browser:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):  # the way to end it, so no failure
            server.serve_forever()
