"""The command ``python -m benchmarks`` (``thm-bench``): validate, score, leaderboard, pack, seal, demo."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

from three_hundred_maps.cli import lazy_command
from three_hundred_maps.cli.running import run_app

COMMANDS: dict[str, tuple[str, str]] = {
    "validate": ("benchmarks.commands:validate", "Tell all that is wrong with a submission."),
    "score": ("benchmarks.commands:score", "Score a submission against a store's test split."),
    "leaderboard": ("benchmarks.commands:leaderboard", "Render the leaderboard's site from results."),
    "pack": ("benchmarks.commands:pack", "Check a submission and make one archive of it."),
    "seal": ("benchmarks.commands:seal", "Split a store into inputs to publish and truth to keep."),
    "demo": ("benchmarks.demo:demo", "Build a data set, train four U-Nets, score them, show a report."),
}
"""Command name -> (``module:function``, one-line help)."""


class LazyGroup(TyperGroup):
    """Imports a command's module only when that command is wanted."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name][0].split(":")
        return lazy_command(cmd_name, getattr(importlib.import_module(module), function))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def _root() -> None:
    """Score predictions of mass maps, and show what others reached."""


def main(args: list[str] | None = None) -> Any:
    """Run the command line; exits with 0, or 2 after one clear line for bad input."""
    run_app(app, args, program="python -m benchmarks")
