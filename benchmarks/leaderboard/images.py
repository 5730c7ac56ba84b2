"""Images of a result as PNG data URIs: a palette and one byte a pixel."""

from __future__ import annotations

import base64
import functools
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import unpack_image


@functools.lru_cache(maxsize=4)
def palette(name: str) -> bytes:
    """768 bytes: the 256 colours of a matplotlib colour map."""
    from matplotlib import colormaps

    colours = colormaps[name](np.linspace(0, 1, 256))[:, :3]
    return np.round(colours * 255).astype(np.uint8).tobytes()


def png(steps: NDArray[np.uint8], colours: bytes) -> bytes:
    """A palette PNG of (y, x) bytes, the first row at the bottom, as the maps' +y points up."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = steps.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), steps[::-1]], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", colours)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def data_uri(image: Mapping[str, Any] | None, colours: str) -> str | None:
    """A packed image of a result as a data URI; None where it has none that can be read."""
    if image is None:
        return None
    try:
        steps = unpack_image(dict(image))
    except (ValueError, KeyError, TypeError, zlib.error):
        # A damaged picture must not take the board down: the page says that there is none.
        return None
    return "data:image/png;base64," + base64.b64encode(png(steps, palette(colours))).decode("ascii")
