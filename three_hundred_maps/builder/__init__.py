"""From a recipe to a finished store."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from three_hundred_maps.builder.recipe import Recipe, load_recipe
    from three_hundred_maps.builder.run import build

__all__ = ["Recipe", "build", "load_recipe"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{'run' if name == 'build' else 'recipe'}"), name)
