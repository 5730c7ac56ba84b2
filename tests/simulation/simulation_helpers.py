"""Particles for the writers, where it does not matter what they are; and a change that several tests make."""

from __future__ import annotations

import numpy as np


def content(position, **fields):
    """Particles of a type at rest, numbered, each with the values given."""
    n = len(position)
    values = {name: np.full(n, value) for name, value in fields.items()}
    return {
        "position": position,
        "velocity": np.zeros((n, 3)),
        "id": np.arange(n, dtype=np.uint32),
        **values,
    }


def gas_content(position, **fields):
    """The same of gas, with the columns that it needs."""
    usual = {"mass": 0.1, "internal_energy": 1e5, "density": 1e-6, "smoothing_length": 50.0}
    return content(position, **{**usual, **fields})


def set_count(file, kind, number):
    """Let the header of an HDF5 snapshot count other particles of a type."""
    for name in ("NumPart_ThisFile", "NumPart_Total"):
        numbers = file["Header"].attrs[name]
        numbers[kind] = number
        file["Header"].attrs[name] = numbers
