"""``python -m baselines.climatology``: the no-input baseline, the train split's mean profile for every map.

The zero of the skill score: a map framed by R200c tells something even before it is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from baselines.predict import Predicted, submit
from baselines.reference import run_baseline, sharpen
from three_hundred_maps.store.arrays import root_attrs
from three_hundred_maps.torch_transforms import Transforms

NAME = "climatology"


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_baseline(
        "climatology",
        __doc__ or "",
        lambda store, out, _, predicted: write(store, out, predicted),
        args,
        default_views=None,
    )


def write(store: Path, out: Path, predicted: Predicted | None = None) -> Path:
    """Write the submission ``out/submission``, by default of the store's own test split."""
    predicted = predicted or Predicted(store)
    transforms = Transforms.from_store(store, (), target=predicted.target)
    mass = sharpen(transforms.climatology_map().double().numpy(), transforms.grid.pixel).astype(np.float32)

    def blocks() -> Iterator[np.ndarray]:
        for arrays in predicted.shards([]):
            yield np.broadcast_to(mass, (len(arrays), len(arrays.los_vector), *mass.shape))

    return submit(
        out / "submission",
        predicted,
        trained_on=str(root_attrs(store)["name"]),
        name=NAME,
        track="none",
        maps=blocks(),
        parameters=len(transforms.climatology),
    )


if __name__ == "__main__":
    main()
