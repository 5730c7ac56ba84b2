"""The command ``three-hundred-maps``: one module a command, imported when it is called."""

from __future__ import annotations

from typing import Any

import typer

from three_hundred_maps.cli.lazy import lazy_app
from three_hundred_maps.cli.running import run_app

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("three_hundred_maps.cli.demo:demo", "From nothing to a report of scored U-Nets, in minutes."),
    "build": (
        "three_hundred_maps.cli.build:build",
        "A store of maps from a recipe; goes on after a stop.",
    ),
    "finalise": ("three_hundred_maps.cli.finalise:finalise", "Finish a store whose parts are all built."),
    "inspect": ("three_hundred_maps.cli.inspect:inspect", "One screen on a store in any state."),
    "verify": ("three_hundred_maps.cli.verify:verify", "Whether a store is what it says."),
    "preview": ("three_hundred_maps.cli.preview:preview", "A picture of one halo."),
    "subset": ("three_hundred_maps.cli.subset:subset", "A smaller store."),
    "merge": ("three_hundred_maps.cli.merge:merge", "Stores joined into one."),
    "recipe": ("three_hundred_maps.cli.recipe:recipe", "Write out a shipped recipe to edit."),
    "doctor": (
        "three_hundred_maps.cli.doctor:doctor",
        "What is installed, and how to get what is missing.",
    ),
    "simulate": (
        "three_hundred_maps.cli.simulate:simulate",
        "The embedded simulation as files; --check its calibration.",
    ),
    "export": ("three_hundred_maps.cli.export:export", "The layout of a Hub repository from stores."),
    "publish": ("three_hundred_maps.cli.publish:publish", "Send an export to the Hub, only what changed."),
    "download": ("three_hundred_maps.cli.download:download", "Fetch a store from the Hub, or a part of it."),
    "sample": ("three_hundred_maps.cli.sample:sample", "The shipped sample: is it current? --refresh it."),
}
"""Command name -> (``module:function``, one-line help). A command that does not work is not listed."""


app = lazy_app(COMMANDS)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Maps of galaxy clusters in SZ, X-rays, stars and total mass: build, look at, load and publish them."""
    if version:
        from three_hundred_maps._version import __version__

        print(__version__)
        raise typer.Exit


def main(args: list[str] | None = None) -> Any:
    """Run the command line; exits with 0, or 2 after one clear line for bad input."""
    run_app(app, args, program="three-hundred-maps")
