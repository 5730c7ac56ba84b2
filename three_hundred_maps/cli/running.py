"""How the command lines that typer makes are run."""

from __future__ import annotations

from typing import Any, NoReturn

import typer

from three_hundred_maps.exits import clear_endings, fail

# Typer carries a click of its own in newer releases and uses the installed one in older ones; its public
# exceptions lead to the base class that it really raises.
_ClickException: Any = typer.BadParameter.__mro__[2]


def run_app(app: typer.Typer, args: list[str] | None, program: str) -> NoReturn:
    """Run a typer application, ending as `three_hundred_maps.exits` says; wrong options end with 2 too."""
    command = typer.main.get_command(app)
    with clear_endings():
        try:
            status = command.main(args=args, prog_name=program, standalone_mode=False)
        except _ClickException as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                print(error.ctx.get_help())
                raise SystemExit(2) from None
            fail(error.format_message())
        except typer.Abort:
            # What typer makes of Ctrl-C.
            raise KeyboardInterrupt from None
    raise SystemExit(status if isinstance(status, int) else 0)
