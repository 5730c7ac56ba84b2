"""Checkpoint files: whole or absent, read as plain tensors and numbers alone."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes

CHECKPOINT_FILE = "checkpoint.pt"


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write tensors, numbers and text; the file is whole or not there."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote, on the CPU; InputError where the file is not whole."""
    try:
        # weights_only: nothing of the file is run.
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        # Without torch's reason, which advises to load it unsafely.
        raise InputError(f"{path} is not a whole checkpoint; delete it to start anew") from None
    return content
