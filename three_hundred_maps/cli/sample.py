"""``three-hundred-maps sample``."""

from __future__ import annotations

from pathlib import Path

import typer

from three_hundred_maps.errors import InputError


def sample(
    refresh: bool = typer.Option(False, "--refresh", help="Make the sample and its card anew."),
    data: Path | None = typer.Option(
        None, "--data", help="A finished store of mini (default: the cached one)."
    ),
) -> None:
    """The 24 maps that come with the package: say whether they are current, or --refresh them."""
    from three_hundred_maps.hub.configs import DEFAULT, find_source, sample_folder
    from three_hundred_maps.hub.sample import refresh_sample, why_stale
    from three_hundred_maps.hub.sources import StoreSource

    if refresh:
        source = find_source(DEFAULT, data_dir=data)
        if not isinstance(source, StoreSource):
            raise InputError("the sample is made from a store: give one by --data")
        refresh_sample(source.path)
    reason = why_stale()
    if reason is not None:
        raise InputError(f"the sample in {sample_folder()} is stale: {reason}; run it with --refresh")
    print(f"{sample_folder()} is current")
