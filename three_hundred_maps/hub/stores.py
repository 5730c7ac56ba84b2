"""The store of a config, by the config's name."""

from __future__ import annotations

from pathlib import Path

from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.configs import config_names, find_source


def store_of_config(name: str) -> Path | None:
    """The folder of a config's store, built and cached at its first use; None where no config is so named.

    Raises
    ------
    InputError
        Where the config is here as Parquet alone, or cannot be had.
    """
    if name not in config_names():
        return None
    found = getattr(find_source(name), "path", None)
    if not isinstance(found, Path):
        raise InputError(
            f"the config {name!r} is here as Parquet, and this needs a Zarr store: "
            f"three-hundred-maps build {name} --out STORE, then give STORE"
        )
    return found
