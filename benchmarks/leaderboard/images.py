"""Maps of a result as inline SVG: a picture with axes, the circle of R200c and a colour bar."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from benchmarks.cases import unpack_image
from three_hundred_maps.display import COLOUR_MAPS, RESIDUAL_COLOUR_MAP

QUALITY = 50
"""Of WebP: a picture is a kilobyte where PNG takes six; numbers are in the result."""


@functools.cache
def palette(name: str) -> NDArray[np.uint8]:
    """(256, 3): the colours of a matplotlib colour map."""
    return np.round(colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)


def picture(steps: NDArray[np.uint8], colours: str, **options: Any) -> bytes:
    """A WebP of (y, x) steps of a colour map, the first row at the bottom, as the maps' +y points up."""
    stream = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(steps[::-1]))
    image.putpalette(palette(colours).tobytes())
    # The next slower method takes nearly twice the time to save a fiftieth of the bytes.
    image.convert("RGB").save(stream, "WEBP", **{"quality": QUALITY, "method": 0, **options})
    return stream.getvalue()


def data_uri(data: bytes, kind: str) -> str:
    """A picture as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


MAP_COLOURS, RESIDUAL_COLOURS = COLOUR_MAPS["mass"], RESIDUAL_COLOUR_MAP
SIDE, LEFT, TOP = 180, 36, 8
_BAR = LEFT + SIDE + 8


def definitions(width: float) -> Markup:
    """What all maps of a page share: gradients of the colour maps, and axes with the circle of R200c.

    Parameters
    ----------
    width
        Of the maps, R200c.
    """
    middle, below = TOP + SIDE / 2, TOP + SIDE
    ticks = [-1, 0, 1] if width >= 2 else [0]
    places = [(t, SIDE * (0.5 + t / width)) for t in ticks]
    ring = f'cx="{LEFT + SIDE / 2:g}" cy="{middle:g}" r="{SIDE / width:.1f}"'
    across = "".join(f'<text x="{LEFT + p:.0f}" y="{below + 13}">{t:g}</text>' for t, p in places)
    up = "".join(f'<text x="{LEFT - 5}" y="{below - p + 4:.0f}">{t:g}</text>' for t, p in places)
    return Markup(
        '<svg class="defs" role="img" aria-label="colour scales and axes of the maps"><defs>'
        + "".join(map(_gradient, (MAP_COLOURS, RESIDUAL_COLOURS)))
        + f'<g id="axes"><circle class="under" {ring}/><circle class="ring" {ring}/>'
        f'<g text-anchor="middle">{across}<text x="{LEFT + SIDE / 2:g}" y="{below + 27}">x / R200c</text>'
        f'<text transform="translate(11 {middle:g}) rotate(-90)">y / R200c</text></g>'
        f'<g text-anchor="end">{up}</g></g></defs></svg>'
    )


def _gradient(colours: str, stops: int = 12) -> str:
    """A colour map from bottom to top, named ``bar-`` and its name."""
    rows = palette(colours)[np.linspace(0, 255, stops).astype(int)]
    marks = "".join(
        f'<stop offset="{i / (stops - 1):.2g}" stop-color="#{r:02x}{g:02x}{b:02x}"/>'
        for i, (r, g, b) in enumerate(rows.tolist())
    )
    return f'<linearGradient id="bar-{escape(colours)}" x1="0" y1="1" x2="0" y2="0">{marks}</linearGradient>'


def map_figure(image: Mapping[str, Any], colours: str, *, unit: str, alt: str) -> Markup:
    """A packed image of a checked result as a map; the page holds its `definitions`.

    Parameters
    ----------
    image
        As `benchmarks.cases.pack_image` makes it.
    colours
        `MAP_COLOURS` or `RESIDUAL_COLOURS`.
    unit
        Quantity and unit, beside the colour bar.
    alt
        What the picture shows.
    """
    middle, below = TOP + SIDE / 2, TOP + SIDE
    low, high = float(image["low"]), float(image["high"])
    levels = [(low, below), (0.5 * (low + high), middle + 4), (high, TOP + 4)]
    uri = data_uri(picture(unpack_image(dict(image)), colours), "webp")
    bar = "".join(f'<text x="{_BAR + 12}" y="{y:.0f}">{v:.3g}</text>' for v, y in levels)
    return Markup(
        f'<svg class="map" viewBox="0 0 {_BAR + 66} {below + 32}" role="img" aria-label="{escape(alt)}">'
        f'<image href="{uri}" x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"/>'
        f'<use href="#axes"/>{bar}<text transform="translate({_BAR + 60} {middle:g}) rotate(-90)" '
        f'text-anchor="middle">{escape(unit)}</text>'
        f'<rect x="{_BAR}" y="{TOP}" width="9" height="{SIDE}" fill="url(#bar-{escape(colours)})"/></svg>'
    )
