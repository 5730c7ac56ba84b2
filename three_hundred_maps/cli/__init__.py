"""The command ``three-hundred-maps``; what a command needs is imported when it is called."""

from __future__ import annotations

from typing import Any

import typer

from three_hundred_maps._version import __version__
from three_hundred_maps.cli.app import lazy_app, run_app

_CLI = "three_hundred_maps.cli"
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (f"{_CLI}.project:demo", "Build `mini`, train four U-Nets, write a report; about ten minutes."),
    "build": (f"{_CLI}.stores:build", "Build a store of maps from a recipe; resume a stopped build."),
    "finalise": (f"{_CLI}.stores:finalise", "Finish a store whose parts are all built."),
    "inspect": (f"{_CLI}.stores:inspect", "Show a store, in any state, on one screen."),
    "verify": (f"{_CLI}.stores:verify", "Check a store: checksums, schema, splits."),
    "preview": (f"{_CLI}.stores:preview", "Draw one halo."),
    "explore": (f"{_CLI}.stores:explore", "Look at a store's clusters in the browser."),
    "subset": (f"{_CLI}.stores:subset", "Write a smaller store."),
    "merge": (f"{_CLI}.stores:merge", "Join stores into one."),
    "observe": (f"{_CLI}.stores:observe", "Write what telescopes would see of a wide store."),
    "export-fits": (f"{_CLI}.stores:export_fits", "Write a halo's maps as FITS images."),
    "recipe": (f"{_CLI}.stores:recipe", "Write out a shipped recipe to edit."),
    "doctor": (f"{_CLI}.project:doctor", "Show what is installed, and how to install what is missing."),
    "simulate": (f"{_CLI}.project:simulate", "Run the embedded simulation; --check its calibration."),
    "export": (f"{_CLI}.hub:export", "Write the layout of a Hub repository from stores."),
    "publish": (f"{_CLI}.hub:publish", "Send an export to the Hub, only what changed."),
    "download": (f"{_CLI}.hub:download", "Fetch a store from the Hub, or a part of it."),
    "sample": (f"{_CLI}.hub:sample", "Check that the shipped sample is current; --refresh it."),
}
"""Command name -> (``module:function``, one-line help)."""


app = lazy_app(COMMANDS)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Maps of galaxy clusters in SZ, X-rays, stars and total mass: build, look at, load and publish them."""
    if version:
        print(__version__)
        raise typer.Exit


def main(args: list[str] | None = None) -> Any:
    """Run the command line; exits with 0, or 2 after one clear line for bad input."""
    run_app(app, args, program="three-hundred-maps")
