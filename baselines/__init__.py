"""Baselines: the paper's U-Nets and what needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baselines.model import from_pretrained

__all__ = ["from_pretrained"]


def __getattr__(name: str) -> Any:
    if name == "from_pretrained":
        from baselines.model import from_pretrained

        return from_pretrained
    raise AttributeError(f"module 'baselines' has no attribute {name!r}")
