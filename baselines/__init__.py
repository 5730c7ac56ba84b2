"""Baselines: the paper's U-Nets and what needs no network."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from three_hundred_maps.errors import naming_the_extra

if TYPE_CHECKING:
    from baselines.model import from_pretrained

__all__ = ["from_pretrained"]

if find_spec("torch") is None:  # said here, as every command's module imports it first of all
    with naming_the_extra():
        raise ModuleNotFoundError(name="torch")


def __getattr__(name: str) -> Any:
    if name == "from_pretrained":
        with naming_the_extra():
            from baselines.model import from_pretrained

        return from_pretrained
    raise AttributeError(f"module 'baselines' has no attribute {name!r}")
