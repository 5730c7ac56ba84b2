"""The eight symmetries of the square, applied to maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from three_hundred_maps.keys import SHEAR

SYMMETRIES = 8
"""The square's symmetries: four quarter turns, and the same of the mirror image."""


def apply_symmetry(maps: torch.Tensor, number: int, views: Sequence[str] = ()) -> torch.Tensor:
    """Symmetry ``number`` (0-7) of the square applied to ``maps`` (..., y, x); 0 is the identity.

    Where ``views`` name the channels of (..., C, y, x), those of shear change sign, a field of spin 2: a
    quarter turn takes both to their negatives, a mirror the second.
    """
    if not 0 <= number < SYMMETRIES:
        raise ValueError(f"a symmetry of the square is 0 to {SYMMETRIES - 1}, not {number}")
    if number == 0:
        return maps
    if number >= 4:
        maps = maps.flip(-1)
    turned = torch.rot90(maps, number % 4, (-2, -1))
    if not set(SHEAR) & set(views):
        return turned
    turn, mirror = (-1.0) ** (number % 4), -1.0 if number >= 4 else 1.0
    signs = [{"shear1": turn, "shear2": turn * mirror}.get(view, 1.0) for view in views]
    return turned * turned.new_tensor(signs)[:, None, None]


def undo_symmetry(maps: torch.Tensor, number: int) -> torch.Tensor:
    """The inverse of `apply_symmetry`: ``undo_symmetry(apply_symmetry(m, k), k)`` is ``m``."""
    if not 0 <= number < SYMMETRIES:
        raise ValueError(f"a symmetry of the square is 0 to {SYMMETRIES - 1}, not {number}")
    maps = torch.rot90(maps, -(number % 4), (-2, -1))
    return maps.flip(-1) if number >= 4 else maps
