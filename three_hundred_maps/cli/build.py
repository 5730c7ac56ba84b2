"""``three-hundred-maps build``: a store from a recipe."""

from __future__ import annotations

from pathlib import Path

import typer

from three_hundred_maps.errors import InputError


def build(
    recipe: str = typer.Argument(help="A recipe: a YAML file, or the name of a shipped one."),
    out: Path | None = typer.Option(None, "--out", help="The store: a new folder, or one to go on with."),
    plan: bool = typer.Option(False, "--plan", help="Print what would be done, and stop."),
    root: Path | None = typer.Option(None, "--root", help="Folder that the recipe's paths are relative to."),
    set_: list[str] = typer.Option([], "--set", help="section.key=value, over what the recipe says."),
    workers: int = typer.Option(0, "--workers", min=0, help="Local processes; 0: one a core."),
    scheduler: str | None = typer.Option(None, "--scheduler", help="Dask scheduler, as tcp://host:8786."),
    part: str | None = typer.Option(None, "--part", help="I/N: do one part; run `finalise` after the last."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bar."),
) -> None:
    """Build a store of maps; run again after a stop, it goes on where it was."""
    from three_hundred_maps.builder.plan import describe_plan, make_plan, sources_for
    from three_hundred_maps.builder.recipe import load_recipe
    from three_hundred_maps.builder.run import build_store

    count = workers or cores()
    if plan:
        content = load_recipe(recipe, overrides=tuple(set_))
        print(describe_plan(make_plan(sources_for(content, recipe, root)), count))
        return
    if out is None:
        raise InputError("give the store's folder: --out STORE (or --plan to see what would be done)")
    store = build_store(
        recipe,
        out,
        root=root,
        overrides=tuple(set_),
        workers=count,
        scheduler=scheduler,
        part=None if part is None else parse_part(part),
        quiet=quiet,
    )
    if not quiet:
        from three_hundred_maps.store.overview import describe, overview

        print(describe(overview(store)))


def cores() -> int:
    """Cores that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_part(text: str) -> tuple[int, int]:
    """``3/16`` -> (3, 16)."""
    number, slash, total = text.partition("/")
    if not (slash and number.isdigit() and total.isdigit() and 1 <= int(number) <= int(total)):
        raise InputError(f"--part {text}: write I/N with I from 1 to N, as 3/16")
    return int(number), int(total)
