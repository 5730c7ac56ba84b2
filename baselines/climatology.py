"""``python -m baselines.climatology``: the no-input baseline, the train split's mean profile for every map.

The zero of the skill score: a map framed by R200c tells something even before it is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from baselines.predict import Predicted
from baselines.reference import Baseline, Fitted, sharpen
from three_hundred_maps.torch_transforms import Transforms


def fit(store: Path, views: tuple[str, ...], predicted: Predicted) -> Fitted:
    """Learn from the split train."""
    # As the maps are: the zero of the skill is brought to no redshift.
    transforms = Transforms.from_store(store, (), scaling="none", target=predicted.target)
    mass = sharpen(transforms.climatology_map().double().numpy(), transforms.grid.pixel).astype(np.float32)

    def blocks() -> Iterator[np.ndarray]:
        for arrays in predicted.shards([]):
            yield np.broadcast_to(mass, (len(arrays), len(arrays.los_vector), *mass.shape))

    return Fitted(blocks(), len(transforms.climatology))


BASELINE = Baseline("climatology", "climatology", __doc__, fit, default_views=None)
main, write = BASELINE.main, BASELINE.write

if __name__ == "__main__":
    main()
