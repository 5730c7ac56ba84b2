"""A group of commands whose modules are imported only when they are called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


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
