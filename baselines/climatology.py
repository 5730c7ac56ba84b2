"""``python -m baselines.climatology``: the no-input baseline, the train split's mean profile for every map.

The zero of the skill score: a map framed by R200c tells something even before it is looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from baselines.predict import submit
from baselines.reference import run_baseline, sharpen
from three_hundred_maps.store.arrays import iter_shards
from three_hundred_maps.torch_transforms import Transforms

NAME = "climatology"


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_baseline(
        "climatology", __doc__ or "", lambda store, out, _: write(store, out), args, default_views=None
    )


def write(store: Path, out: Path) -> Path:
    """Write the submission ``out/submission``."""
    transforms = Transforms.from_store(store, ())
    mass = sharpen(transforms.climatology_map().double().numpy(), transforms.grid.pixel).astype(np.float32)

    def blocks() -> Iterator[np.ndarray]:
        for arrays in iter_shards(store, "test", []):
            yield np.broadcast_to(mass, (len(arrays), len(arrays.los_vector), *mass.shape))

    return submit(
        out / "submission",
        store,
        name=NAME,
        track="none",
        maps=blocks(),
        parameters=len(transforms.climatology),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
