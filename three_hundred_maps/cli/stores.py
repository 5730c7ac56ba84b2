"""Commands on recipes and stores."""

from __future__ import annotations

import json as json_module
import webbrowser
from contextlib import suppress
from pathlib import Path

import typer

from three_hundred_maps.cli.app import listed, ranges
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import cores
from three_hundred_maps.progress import set_quiet

QUIET = typer.Option(False, "--quiet", help="No progress bars and no report.")
STORE = typer.Argument(help="A finished store: a name, a folder or a URL.")
ROOT = typer.Option(None, "--root", help="Folder that the recipe's paths are relative to.")
OUT = typer.Option(..., "--out", help="A new folder.")
NAME = typer.Option(None, "--name", help="Name of the new store.")
SAMPLE = 8


def build(
    recipe: str = typer.Argument(help="A recipe: a YAML file, or the name of a shipped one."),
    out: Path | None = typer.Option(None, "--out", help="The store: a new folder, or one to resume."),
    plan: bool = typer.Option(False, "--plan", help="Print what would be done, and stop."),
    root: Path | None = ROOT,
    set_: list[str] = typer.Option([], "--set", help="section.key=value, over what the recipe says."),
    workers: int = typer.Option(0, "--workers", min=0, help="Local processes; 0: one a core."),
    scheduler: str | None = typer.Option(None, "--scheduler", help="Dask scheduler, as tcp://host:8786."),
    part: str | None = typer.Option(None, "--part", help="I/N: do one part; run `finalise` after the last."),
    quiet: bool = QUIET,
) -> None:
    """Build a store of maps; re-run to resume a stopped build."""
    from three_hundred_maps.builder.plan import describe_plan, make_plan, sources_for
    from three_hundred_maps.builder.recipe import load_recipe
    from three_hundred_maps.builder.run import build as build_store
    from three_hundred_maps.store.overview import describe, overview

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
        print(describe(overview(store)))


def parse_part(text: str) -> tuple[int, int]:
    """``3/16`` -> (3, 16)."""
    number, slash, total = text.partition("/")
    if not (slash and number.isdigit() and total.isdigit() and 1 <= int(number) <= int(total)):
        raise InputError(f"--part {text}: write I/N with I from 1 to N, as 3/16")
    return int(number), int(total)


def finalise(
    store: Path = typer.Argument(help="A store whose shards are all done."), quiet: bool = QUIET
) -> None:
    """Write halo arrays, statistics, consolidated metadata and the manifest."""
    from three_hundred_maps.store.arrays import root_attrs
    from three_hundred_maps.store.finishing import finalise as finish
    from three_hundred_maps.store.layout import LAYOUT_FILE
    from three_hundred_maps.store.notes import say_warnings

    if (store / LAYOUT_FILE).exists() and "derived" in root_attrs(store):
        # What the stores that it is made of excluded is known to that command alone.
        raise InputError(f"{store} is made of other stores: re-run the command that began it, to resume")
    manifest = finish(store)
    say_warnings(root_attrs(store))
    if not quiet:
        print(f"{store}: {sum(manifest['halos'].values())} halos, digest {manifest['digest']}")


def inspect(
    store: str = typer.Argument(help="A store, finished or not: a name, a folder or a URL."),
    halos: Path | None = typer.Option(
        None, "--halos", help="Write a table of the halos to FILE.csv or FILE.parquet."
    ),
    json: bool = typer.Option(False, "--json", help="Print JSON."),
    quiet: bool = typer.Option(False, "--quiet", help="Print nothing but errors."),
) -> None:
    """Show state, sizes, splits and statistics of each view."""
    from three_hundred_maps.store.overview import describe, overview

    if halos is not None:
        from three_hundred_maps.store.halo_table import write_halo_table

        number = write_halo_table(store, halos)
        if not quiet:
            print(f"{halos}: {number} halos")
        return
    content = overview(store)
    if not quiet:
        print(json_module.dumps(content, indent=1, sort_keys=True) if json else describe(content))


def verify(
    store: str = STORE,
    deep: bool = typer.Option(False, "--deep", help="Recompute totals and statistics; look for duplicates."),
    against: str | None = typer.Option(None, "--against", help="Another store: no region may leak."),
    snapshots: str | None = typer.Option(
        None, "--snapshots", help="The recipe it was built with: measure a sample of halos again."
    ),
    root: Path | None = ROOT,
    set_: list[str] = typer.Option([], "--set", help="section.key=value, as `build` was given them."),
    sample: int = typer.Option(SAMPLE, "--sample", min=1, help="Halos that --snapshots measures."),
    seed: int = typer.Option(0, "--seed", help="Which halos --snapshots measures."),
    json: bool = typer.Option(False, "--json", help="Print JSON."),
    quiet: bool = QUIET,
) -> None:
    """Check checksums, schema and splits; exit status 2 where something is wrong."""
    from three_hundred_maps.store.verify import verify as check

    if snapshots is None and (root is not None or set_ or sample != SAMPLE or seed):
        raise InputError("--root, --set, --sample and --seed belong to --snapshots: add it")
    if quiet or json:
        set_quiet(True)
    report = check(store, deep=deep, against=against)
    if snapshots is not None and report.good:
        from three_hundred_maps.builder.remeasure import remeasure  # alone needs the extra [build]

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


def preview(
    store: str = STORE,
    halo: str = typer.Option(..., "--halo", help="REGION:ID, as 1:128000000000001."),
    los: int = typer.Option(0, "--los", help="Number of the line of sight, from 0."),
    out: Path = typer.Option(..., "--out", "-o", help="The picture, as halo.png."),
    quiet: bool = QUIET,
) -> None:
    """Draw a halo's views with colour bars, units and a scale."""
    from three_hundred_maps.store.preview import preview as draw

    written = draw(store, halo, los, out)
    if not quiet:
        print(written)


def subset(
    store: str = STORE,
    out: Path = OUT,
    views: str | None = typer.Option(None, "--views", help="Views to keep, as sz,mass."),
    splits: str | None = typer.Option(None, "--splits", help="Splits to keep, as train,test."),
    halos: int | None = typer.Option(None, "--halos", help="At most so many halos a split."),
    regions: str | None = typer.Option(None, "--regions", help="Regions to keep, as 1-10,12."),
    los: int | None = typer.Option(None, "--los", help="Keep the first so many lines of sight."),
    name: str | None = NAME,
    quiet: bool = QUIET,
) -> None:
    """Write a store of some views, splits, halos or lines of sight, with its own statistics and manifest."""
    from three_hundred_maps.store.derive import subset as make

    if quiet:
        set_quiet(True)
    made = make(
        store,
        out,
        views=listed(views),
        splits=listed(splits),
        halos=halos,
        regions=ranges("--regions", regions),
        los=los,
        name=name,
    )
    if not quiet:
        print(made)


def merge(
    stores: list[str] = typer.Argument(help="Two or more finished stores of one kind."),
    out: Path = OUT,
    name: str | None = NAME,
    quiet: bool = QUIET,
) -> None:
    """Join stores; halos keep their splits, and no region may lie in two of them."""
    from three_hundred_maps.store.derive import merge as join

    if quiet:
        set_quiet(True)
    made = join(stores, out, name=name)
    if not quiet:
        print(made)


def observe(
    store: str = typer.Argument(..., help="A wide ideal store: a name as mini-wide, a folder or a URL."),
    out: Path = typer.Option(..., "--out", help="The observed store: a new folder, or one to resume."),
    level: str = typer.Option(..., "--level", help="The instruments, as deep; another name lists them."),
    name: str | None = NAME,
    workers: int = typer.Option(0, "--workers", min=0, help="Local processes; 0: one a core."),
    quiet: bool = QUIET,
) -> None:
    """Write what a level's telescopes would see of an ideal store; re-run to resume."""
    from three_hundred_maps.observe.build import observe as make

    if quiet:
        set_quiet(True)
    made = make(store, out, level, name=name, workers=workers or cores())
    if not quiet:
        print(made)


def export_fits(
    store: str = STORE,
    halo: str = typer.Option(..., "--halo", help="REGION:ID, as 1:128000000000001."),
    los: int = typer.Option(0, "--los", help="Number of the line of sight, from 0."),
    out: Path = typer.Option(..., "--out", help="Folder of the images, VIEW.fits each."),
    redshift: float | None = typer.Option(None, "--redshift", help="Where an ideal halo is placed."),
    quiet: bool = QUIET,
) -> None:
    """Write every view of a halo along a line of sight as a FITS image on the sky."""
    from three_hundred_maps.observe.fits import export_fits as export

    for path in export(store, halo, los, out, redshift=redshift):
        if not quiet:
            print(path)


def explore(
    store: str = typer.Argument(help="A finished store: a name, a folder or a URL (https:// or hf://)."),
    predictions: str = typer.Option(None, "--predictions", help="A submission's folder, beside the truth."),
    port: int = typer.Option(
        0, "--port", min=0, max=65535, help="Port on this machine; any free one by default."
    ),
    out: Path = typer.Option(None, "--out", "-o", help="Write a static folder for a web host instead."),
    no_browser: bool = typer.Option(False, "--no-browser", help="Print the address; open no browser."),
) -> None:
    """Show clusters along their lines of sight in the browser: maps, read-out, profiles, predictions.

    The page reads the store's own Zarr and nothing else. Ctrl-C ends it.
    """
    from three_hundred_maps.explore import explorer_server, write_page

    if out is not None:
        print(write_page(out, store, predictions))
        return
    with explorer_server(store, predictions, port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if not no_browser:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):  # the way to end it, so no failure
            server.serve_forever()


def recipe(
    name: str | None = typer.Argument(None, help="A shipped recipe; without it, their names."),
    out: Path | None = typer.Option(None, "--out", "-o", help="File to write; it must not exist."),
    full: bool = typer.Option(False, "--full", help="With every default written out."),
) -> None:
    """Print a shipped recipe, or write it to a file."""
    from three_hundred_maps.builder.recipe import load_recipe, recipe_text, shipped_recipes

    if name is None:
        if full or out is not None:
            raise InputError(f"name the recipe; there are {', '.join(shipped_recipes())}")
        print("\n".join(shipped_recipes()))
        return
    if name not in shipped_recipes():
        raise InputError(f"no shipped recipe {name!r}; there are {', '.join(shipped_recipes())}")
    text = load_recipe(name).full() if full else recipe_text(name)[0]
    if out is None:
        print(text, end="")
        return
    try:
        with open(out, "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(f"{out} exists already; give another file name") from None
    print(out)
