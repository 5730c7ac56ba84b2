"""``three-hundred-maps verify``: whether a store is what it says."""

from __future__ import annotations

import json as json_module
from pathlib import Path

import typer

from three_hundred_maps.errors import InputError


def verify(
    store: Path = typer.Argument(help="A finished store."),
    deep: bool = typer.Option(False, "--deep", help="Recompute totals and statistics; look for duplicates."),
    against: Path | None = typer.Option(None, "--against", help="Another store: no region may leak."),
    snapshots: str | None = typer.Option(
        None, "--snapshots", help="The recipe it was built with: measure a sample of halos again."
    ),
    root: Path | None = typer.Option(None, "--root", help="Folder that the recipe's paths are relative to."),
    set_: list[str] = typer.Option([], "--set", help="section.key=value, as `build` was given them."),
    sample: int = typer.Option(8, "--sample", min=1, help="Halos that --snapshots measures."),
    seed: int = typer.Option(0, "--seed", help="Which halos --snapshots measures."),
    json: bool = typer.Option(False, "--json", help="Print JSON."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress bars."),
) -> None:
    """Check checksums, schema and splits; exit status 2 where something is wrong."""
    from three_hundred_maps.progress import set_quiet
    from three_hundred_maps.store.verify import verify as check

    if quiet or json:
        set_quiet(True)
    report = check(store, deep=deep, against=against)
    if snapshots is not None and report.good:
        from three_hundred_maps.builder.remeasure import remeasure

        report.checks["snapshots"], problems = remeasure(
            store, snapshots, root=root, overrides=tuple(set_), sample=sample, seed=seed
        )
        report.problems += problems
    if json:
        print(json_module.dumps(report.to_json(), indent=1, sort_keys=True))
    elif report.good and not quiet:
        done = ", ".join(f"{name} {count}" for name, count in report.checks.items())
        print(f"{store} is good ({done})")
    if report.problems:
        for problem in [] if json else report.problems:
            print(problem)
        raise InputError(f"{store}: {len(report.problems)} problem{'s' * (len(report.problems) > 1)} found")
