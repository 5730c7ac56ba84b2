"""The command ``three-hundred-maps``: one module a command, imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click
import typer
from typer.core import TyperGroup

from three_hundred_maps.cli.running import run_app

COMMANDS: dict[str, tuple[str, str]] = {}
"""Command name -> (``module:function``, one-line help). A command that does not work is not listed."""


class LazyGroup(TyperGroup):
    """A command group that imports a command's module only when that command is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, function = COMMANDS[name][0].split(":")
        app = typer.Typer(add_completion=False)
        app.command(name=name)(getattr(importlib.import_module(module), function))
        return typer.main.get_command(app)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Maps of galaxy clusters in SZ, X-rays, stars and total mass: build, look at, load and publish them."""
    if version:
        from three_hundred_maps import __version__

        print(__version__)
        raise typer.Exit


def main(args: list[str] | None = None) -> Any:
    """Run the command line; exits with 0, or 2 after one clear line for bad input."""
    run_app(app, args, program="three-hundred-maps")
