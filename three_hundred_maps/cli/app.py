"""Command lines whose commands are imported only when they are called, and how they end."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

import typer
from typer.core import TyperGroup

from three_hundred_maps.errors import InputError, error_handling, fail
from three_hundred_maps.io import full_path


class LazyGroup(TyperGroup):
    """Commands by name: ``module:function`` and one line of help."""

    commands_by_name: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands_by_name)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands_by_name:
            return None
        module, function = self.commands_by_name[cmd_name][0].split(":")
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name=cmd_name)(getattr(importlib.import_module(module), function))
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_by_name.items()])


def lazy_app(commands: Mapping[str, tuple[str, str]]) -> typer.Typer:
    """An application of these commands.

    Parameters
    ----------
    commands
        Name -> (``module:function``, one-line help).
    """
    group = type("Group", (LazyGroup,), {"commands_by_name": commands})
    return typer.Typer(cls=group, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def run_app(app: typer.Typer, args: list[str] | None, program: str) -> NoReturn:
    """Run a typer application, ending as `error_handling` says; wrong options end with 2 too."""
    command = typer.main.get_command(app)
    with error_handling():
        given = [with_home(arg) for arg in (sys.argv[1:] if args is None else args)]
        try:
            status = command.main(args=given, prog_name=program, standalone_mode=False)
        except typer.Abort:
            # What typer makes of Ctrl-C.
            raise KeyboardInterrupt from None
        except Exception as error:
            # A mistake in the options, which typer words itself. Its class is that of the click inside typer,
            # or of the installed one, by typer's version.
            if not hasattr(error, "format_message"):
                raise
            if not error.format_message() or type(error).__name__ == "NoArgsIsHelpError":
                print(error.ctx.get_help())  # type: ignore[attr-defined]
                raise SystemExit(2) from None
            fail(error.format_message())
    raise SystemExit(status if isinstance(status, int) else 0)


def with_home(argument: str) -> str:
    """``--out=~/x`` with its ``~`` filled in, which shells do for ``--out ~/x`` alone."""
    option, equals, value = argument.partition("=")
    if option.startswith("--") and value.startswith("~"):
        return f"{option}{equals}{full_path(value)}"
    return argument


def listed(text: str | None) -> list[str] | None:
    """``sz, mass`` -> [sz, mass]; None stays None."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def ranges(option: str, text: str | None) -> list[int] | None:
    """``0-3,7`` -> [0, 1, 2, 3, 7]; InputError that names the option for anything else."""
    from three_hundred_maps.builder.recipe import parse_ranges

    try:
        return None if text is None else list(parse_ranges(text))
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None
