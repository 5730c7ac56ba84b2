"""Pictures of a result as data URIs."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from benchmarks.cases import unpack_image

QUALITY = 60
"""Of WebP: a picture is a kilobyte where PNG takes six; numbers are in the result."""


@functools.cache
def palette(name: str) -> NDArray[np.uint8]:
    """(256, 3): the colours of a matplotlib colour map."""
    return np.round(colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)


def picture(steps: NDArray[np.uint8], colours: str, **options: Any) -> bytes:
    """A WebP of (y, x) steps of a colour map, the first row at the bottom, as the maps' +y points up."""
    stream = io.BytesIO()
    options = {"quality": QUALITY, "method": 1, **options}
    Image.fromarray(palette(colours)[steps[::-1]]).save(stream, "WEBP", **options)
    return stream.getvalue()


def data_uri(image: Mapping[str, Any], colours: str) -> str:
    """A packed image of a checked result as a data URI."""
    data = picture(unpack_image(dict(image)), colours)
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")
