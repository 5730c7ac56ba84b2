"""Cases to look at: a few maps of a submission kept small enough to lie in its result."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MAX_SIDE = 200
SHOWN_SAMPLES = 3
"""Of the posterior samples of a case."""


def pack_image(values: Array, low: float, high: float) -> dict[str, Any]:
    """An image as 256 steps between ``low`` and ``high``: deflated, base64. Values beyond are cut."""
    steps = np.clip((values - low) / (high - low) * 255.0, 0, 255).round().astype(np.uint8)
    return {
        "shape": list(steps.shape),
        "low": float(f"{low:.6g}"),
        "high": float(f"{high:.6g}"),
        "data": base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode("ascii"),
    }


def unpack_image(image: dict[str, Any]) -> NDArray[np.uint8]:
    """The steps (y, x) of `pack_image`, with the sizes of an untrusted result checked.

    Raises
    ------
    ValueError
        Where it is not such an image.
    """
    height, width = (int(n) for n in image["shape"])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ValueError(f"an image of {height} x {width} pixels")
    engine = zlib.decompressobj()
    data = engine.decompress(base64.b64decode(image["data"], validate=True), height * width + 1)
    if len(data) != height * width:
        raise ValueError("an image of another size than its shape says")
    return np.frombuffer(data, np.uint8).reshape(height, width)


def pick_cases(mse_map: Array) -> dict[str, tuple[int, int]]:
    """(halo, los) of the best, median and worst map by its own rms."""
    order = np.argsort(mse_map.ravel(), kind="stable")
    places = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    return {name: divmod(int(place), mse_map.shape[1]) for name, place in places.items()}


def make_case(predicted: Array, truth: Array, samples: Array | None = None) -> dict[str, Any]:
    """The images of a case: l of truth and prediction on one scale, and their difference.

    Of ``samples`` (sample, y, x), whose mean is the prediction, the first few are shown too.
    """
    low, high = float(truth.min()), float(truth.max())
    return {
        "truth": pack_image(truth, low, high),
        "prediction": pack_image(predicted, low, high),
        "residual": pack_image(predicted - truth, -0.5, 0.5),
        **(
            {"samples": [pack_image(sample, low, high) for sample in samples[:SHOWN_SAMPLES]]}
            if samples is not None
            else {}
        ),
    }
