"""From a recipe to a finished store."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from three_hundred_maps.builder.recipe import Recipe, load_recipe

__all__ = ["Recipe", "build", "load_recipe"]


def build(
    recipe: str | Path,
    out: str | Path,
    *,
    root: str | Path | None = None,
    overrides: Sequence[str] = (),
    workers: int = 1,
    scheduler: str | None = None,
    part: tuple[int, int] | None = None,
    quiet: bool = False,
) -> Path:
    """Build a store from a recipe; on one that was begun, go on; on a finished one, do nothing.

    Every shard is written whole and atomically, so that a build may be stopped at any moment, and run again
    or by others; however it is run, the bytes are the same.

    Parameters
    ----------
    recipe
        A YAML file, or the name of a shipped recipe (``mini``, ``gadgetx``, ...).
    out
        The store: a new folder, or one that this recipe was begun in.
    root
        Folder that the recipe's paths are relative to; the recipe's own by default.
    overrides
        ``section.key=value`` strings, which stand above the recipe.
    workers
        Local processes, of one thread each.
    scheduler
        Address of a Dask scheduler (``tcp://host:8786``) whose workers do the work instead.
    part
        (i, n): do only the i-th of n parts of the shards, i from 1 to n, and leave the store unfinished
        (`three_hundred_maps.store.finalise` finishes it when all parts are done).
    quiet
        Show no progress bar.

    Returns
    -------
    pathlib.Path
        The store, for `three_hundred_maps.open_store`.

    Raises
    ------
    InputError
        One line for whatever is wrong with the recipe, the files or the folder.

    Examples
    --------
    >>> from three_hundred_maps import build, open_store
    >>> store = build("mini", "stores/mini", overrides=["simulation.regions=1-6"], workers=2)
    >>> open_store(store)["test"]["mass"].dims
    ('halo', 'los', 'y', 'x')
    """
    from three_hundred_maps.builder.run import build_store

    return build_store(
        recipe,
        out,
        root=root,
        overrides=overrides,
        workers=workers,
        scheduler=scheduler,
        part=part,
        quiet=quiet,
    )


def __getattr__(name: str) -> Any:
    if name in ("Recipe", "load_recipe"):
        return getattr(importlib.import_module("three_hundred_maps.builder.recipe"), name)
    raise AttributeError(f"module 'three_hundred_maps.builder' has no attribute {name!r}")
