"""Commands on the Hugging Face Hub and on the shipped sample."""

from __future__ import annotations

from pathlib import Path

import typer

from three_hundred_maps.cli.app import listed, ranges
from three_hundred_maps.errors import InputError
from three_hundred_maps.progress import set_quiet
from three_hundred_maps.store.schema import SPLITS

QUIET = typer.Option(False, "--quiet", help="No progress bars.")


def export(
    stores: list[str] = typer.Argument(
        ..., metavar="STORE...", help="Finished stores; each becomes a config."
    ),
    out: Path = typer.Option(..., "--out", help="A new folder, or one exported before."),
    repo: str = typer.Option("ORG/three_hundred_maps", "--repo", help="ORG/NAME for the card's snippets."),
    quiet: bool = QUIET,
) -> None:
    """Write the layout of a Hub repository: card, Parquet, Zarr, Croissant; one folder a config."""
    from three_hundred_maps.hub.exporting import export as write

    if quiet:
        set_quiet(True)
    manifest = write(stores, out, repository=repo)
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    for name, record in manifest["configs"].items():
        counts = ", ".join(f"{split} {record['splits'][split]['rows']:,}" for split in SPLITS)
        print(f"{name}: rows {counts}")
    print(f"{len(manifest['files']):,} files, {size / 1e6:,.1f} MB in {out}")


def publish(
    folder: Path = typer.Argument(..., metavar="DIR", help="What export wrote."),
    repository: str = typer.Argument(..., metavar="ORG/NAME", help="A data set repository of the Hub."),
    go: bool = typer.Option(False, "--go", help="Do it; without this only the plan is shown."),
    public: bool = typer.Option(False, "--public", help="Make a new repository public (default: private)."),
    pull_request: bool = typer.Option(
        False, "--pull-request", help="Open a pull request, for a repository of someone else."
    ),
    tag: str | None = typer.Option(None, "--tag", help="Tag the commit as this version."),
) -> None:
    """Send an export to the Hub: only what changed. Shows the plan first; --go carries it out."""
    from three_hundred_maps.hub.publishing import publish as send

    plan, address = send(folder, repository, go=go, public=public, pull_request=pull_request, tag=tag)
    print(plan.describe())
    if not go:
        print("nothing was sent; add --go to do it")
    else:
        print(f"done: {address}" if address else "nothing had changed")


def download(
    repository: str = typer.Argument(..., metavar="ORG/NAME", help="A data set repository of the Hub."),
    out: Path = typer.Option(..., "--out", help="A new folder for the store, or one to resume."),
    config: str | None = typer.Option(None, "--config", help="By default the repository's first."),
    split: str | None = typer.Option(None, "--split", help="One or more of train,validation,test."),
    views: str | None = typer.Option(None, "--views", help="One or more views, as sz,mass."),
    shards: str | None = typer.Option(None, "--shards", help="Numbers of shards of each split, as 0-3,7."),
    revision: str | None = typer.Option(None, "--revision", help="A tag, branch or commit."),
    quiet: bool = QUIET,
) -> None:
    """Fetch a store from the Hub, whole or in part; resumable, every file checked by its sha256."""
    from three_hundred_maps.hub.downloading import download as fetch

    if quiet:
        set_quiet(True)
    store = fetch(
        repository,
        out,
        config=config,
        splits=listed(split),
        views=listed(views),
        shards=ranges("--shards", shards),
        revision=revision,
    )
    print(f"{store}: whole and checked; look at it with: three-hundred-maps inspect {store}")


def sample(
    refresh: bool = typer.Option(False, "--refresh", help="Make a new sample and card."),
    data: Path | None = typer.Option(
        None, "--data", help="A finished store of mini (default: the cached one)."
    ),
) -> None:
    """Check that the 24 maps shipped with the package are current, or --refresh them."""
    from three_hundred_maps.hub.configs import DEFAULT, find_source, sample_folder
    from three_hundred_maps.hub.sample import refresh_sample, why_stale
    from three_hundred_maps.hub.sources import StoreSource

    if refresh:
        source = find_source(DEFAULT, data_dir=data)
        if not isinstance(source, StoreSource):
            raise InputError("the sample is made from a store: give one by --data")
        refresh_sample(Path(source.path))
    reason = why_stale()
    if reason is not None:
        raise InputError(f"the sample in {sample_folder()} is stale: {reason}; run it with --refresh")
    print(f"{sample_folder()} is current")
