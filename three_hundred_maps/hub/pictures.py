"""Small pictures of maps as PNG bytes for the viewer and the card."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEVELS = 64
"""Colours a view: `MOST_VIEWS` views share one palette of 256."""
MOST_VIEWS = 4

_ANCHORS: Mapping[str, tuple[str, ...]] = {
    "sz": ("060814", "12306b", "1f78b4", "7fd0e6", "fbfdff"),
    "xray": ("0a0514", "4b1066", "b5305f", "f58a3c", "fdf6c0"),
    "star": ("0b0a08", "4a3a22", "a07c3f", "e2c681", "fffdf2"),
    "mass": ("06100c", "154d3d", "3a8f5c", "a5cf6b", "fbfde0"),
    "": ("0a0a0a", "444444", "808080", "c0c0c0", "ffffff"),
}


def shown_views(views: Sequence[str]) -> list[str]:
    """The views that a picture shows, in their order: four at most, those with colours of their own first.

    The target is thus among them, and a signed view, which has no logarithm, only where room is left.
    """
    chosen = sorted(views, key=lambda view: view not in _ANCHORS)[:MOST_VIEWS]
    return [view for view in views if view in chosen]


def palette_of(view: str) -> NDArray[np.uint8]:
    """(64, 3): the colours of a view, from dark to bright."""
    anchors = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in _ANCHORS.get(view, _ANCHORS[""])])
    places = np.linspace(0, len(anchors) - 1, LEVELS)
    channels = [np.interp(places, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)


def levels(image: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Colour levels 0 to 63 of a map, linear in log10 from ``low`` to ``high``; pixels of 0 get level 0."""
    logs = np.full(image.shape, low, np.float64)
    np.log10(image, out=logs, where=image > 0)
    scaled = (logs - low) / max(high - low, 1e-6) * LEVELS
    return np.clip(scaled, 0, LEVELS - 1).astype(np.uint8)


def panel(
    maps: Mapping[str, NDArray[np.float32]],
    ranges: Mapping[str, tuple[float, float]],
    views: Sequence[str],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The views of one cluster side by side.

    Parameters
    ----------
    maps
        (y, x) of each view; +y is up in the picture.
    ranges
        The log10 range of each view's colours.
    views
        At most `MOST_VIEWS`.

    Returns
    -------
    indices (y, x of all) and palette (n, 3)
    """
    indices = [levels(maps[v], *ranges[v])[::-1] + np.uint8(LEVELS * i) for i, v in enumerate(views)]
    return np.concatenate(indices, axis=1), np.concatenate([palette_of(view) for view in views])


def png(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A palette picture as PNG: indices (y, x), palette (n <= 256, 3)."""
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette(palette.astype(np.uint8).tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def gallery(rows: Sequence[NDArray[np.uint8]], palette: NDArray[np.uint8]) -> bytes:
    """Panels of several clusters below each other, twice as large, as PNG."""
    return png(np.concatenate(rows, axis=0).repeat(2, axis=0).repeat(2, axis=1), palette)
