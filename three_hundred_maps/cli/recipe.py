"""``three-hundred-maps recipe``: write out a shipped recipe to edit."""

from __future__ import annotations

from pathlib import Path

import typer

from three_hundred_maps.errors import InputError


def recipe(
    name: str | None = typer.Argument(None, help="A shipped recipe; without it, their names."),
    out: Path | None = typer.Option(None, "--out", "-o", help="File to write; it must not exist."),
    full: bool = typer.Option(False, "--full", help="With every default written out."),
) -> None:
    """Print a shipped recipe, or write it to a file."""
    from three_hundred_maps.builder.recipe import load_recipe, recipe_text, shipped_recipes

    if name is None:
        print("\n".join(shipped_recipes()))
        return
    if name not in shipped_recipes():
        raise InputError(f"no shipped recipe {name!r}; there are {', '.join(shipped_recipes())}")
    text = load_recipe(name).canonical() if full else recipe_text(name)[0]
    if out is None:
        print(text, end="")
        return
    try:
        with open(out, "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(f"{out} exists already; give another file name") from None
    print(out)
