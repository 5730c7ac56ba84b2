"""From a recipe to a finished store.

The package is itself the function: ``from three_hundred_maps import build`` gives something to call,
``build(recipe, out)``, whether or not its modules were imported before.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from three_hundred_maps.build.recipe import Recipe, load_recipe

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
    """Build a store from a recipe; see `three_hundred_maps.build.run.build_store`."""
    from three_hundred_maps.build.run import build_store

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
        return getattr(importlib.import_module("three_hundred_maps.build.recipe"), name)
    raise AttributeError(f"module 'three_hundred_maps.build' has no attribute {name!r}")


class _CallableModule(ModuleType):
    """A module that is called as its function of the same name.

    Importing this package binds its name in the parent to the module, whatever was bound there before;
    so the module answers to the call.
    """

    __call__ = staticmethod(build)


sys.modules[__name__].__class__ = _CallableModule
