"""``python -m baselines.profile_regression --views sz,xray,star``: the mass profile from the views' profiles.

Ridge regression in closed form of log10 of the surface density, averaged in 12 rings, on log10 (asinh where a
view's noise makes it signed) of each view averaged in the same rings, and on the squares of those; its
strength is chosen on the split validation. The map is the mean profile's, raised or lowered ring by ring: it
has the right mass, and no structure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from baselines.mass_regression import CLIP, RING_EDGES_R200C
from baselines.predict import Predicted
from baselines.reference import Baseline, Fitted, Floats, sharpen
from baselines.ridge import Normal, choose_strength
from three_hundred_maps.geometry import ring_fractions
from three_hundred_maps.store.arrays import SplitArrays, iter_shards, split_length
from three_hundred_maps.torch_transforms import Transforms


@dataclass(frozen=True)
class Profiles:
    """Ring means of maps, and maps of ring means."""

    transforms: Transforms

    @cached_property
    def shares(self) -> Floats:
        """(ring, y, x): each pixel's share of a ring's mean."""
        grid = self.transforms.grid
        shares = ring_fractions(grid.pixels, np.array(RING_EDGES_R200C), grid.pixel)
        return np.asarray(shares / shares.sum(axis=(1, 2), keepdims=True), np.float64)

    @cached_property
    def base(self) -> Floats:
        """(y, x) Msun kpc-2: the map of the mean profile."""
        return sharpen(self.transforms.climatology_map().double().numpy(), self.transforms.grid.pixel)

    @cached_property
    def weights(self) -> Floats:
        """(ring, y, x): linear interpolation in radius between the rings' mean radii, constant beyond."""
        radius = self.transforms.grid.radius
        centres = np.tensordot(self.shares, radius)
        return np.stack([np.interp(radius, centres, row) for row in np.eye(len(centres))])

    def means(self, maps: np.ndarray) -> Floats:
        """(..., ring): the mean in each ring of maps (..., y, x)."""
        return np.tensordot(np.asarray(maps, np.float64), self.shares, axes=([-2, -1], [1, 2]))

    def inputs(self, arrays: SplitArrays) -> Floats:
        """(halo x los, view x ring): the views' means, as at redshift 0, standardised as its pixels are."""
        factors = self.transforms.factors(arrays.halos["redshift"])
        columns = [
            item.of(self.means(arrays.maps[item.view]) * factors[:, channel, None, None])
            for channel, item in enumerate(self.transforms.inputs)
        ]
        return np.concatenate(columns, axis=-1).reshape(-1, len(columns) * len(self.shares))

    def excess(self, arrays: SplitArrays) -> Floats:
        """(row, ring): log10 of the surface density's means, as at redshift 0, over those of `base`."""
        factors = self.transforms.mass_factor(arrays.halos["redshift"])
        means = self.means(arrays.maps[self.transforms.target_view]) * factors[:, None, None]
        return np.log10(means.reshape(-1, len(self.shares))) - np.log10(self.means(self.base))

    def maps(self, excess: Floats) -> Floats:
        """(row, y, x) Msun kpc-2: `base` with means in the rings that are higher by ``excess`` dex."""
        wanted, logs = np.log10(self.means(self.base)) + excess, excess
        for _ in range(INTERPOLATION_STEPS):
            maps = self.base * 10.0 ** np.tensordot(logs, self.weights, axes=1)
            logs = logs + wanted - np.log10(self.means(maps))
        return maps


INTERPOLATION_STEPS = 4
"""Interpolation shifts the rings' means by a few per cent, which so many corrections bring below 1e-3."""


@dataclass(frozen=True)
class Design:
    """Standardised features, their squares and a constant; a feature counts at most `CLIP` deviations."""

    mean: Floats
    scale: Floats

    def __call__(self, x: Floats) -> Floats:
        """(row, 2 F + 1) of features (row, F)."""
        standard = np.clip((x - self.mean) / self.scale, -CLIP, CLIP)
        return np.concatenate([standard, standard**2, np.ones((len(x), 1))], axis=1)


def fit(store: Path, views: tuple[str, ...], predicted: Predicted) -> Fitted:
    """Learn from the split train."""
    profiles = Profiles(Transforms.from_store(store, views, target=predicted.target))

    def rows(split: str) -> tuple[Floats, Floats]:
        parts = [
            (profiles.inputs(arrays), profiles.excess(arrays))
            for arrays in iter_shards(store, split, [*views, predicted.target])
        ]
        return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])

    x, y = rows("train")
    design = Design(x.mean(0), np.maximum(x.std(0), 1e-6))

    def summed(x: Floats, y: Floats) -> Normal:
        normal = Normal(2 * x.shape[1] + 1, y.shape[1])
        normal.add(design(x), y)
        return normal

    normal = summed(x, y)
    validation = summed(*rows("validation")) if split_length(store, "validation") else None
    strength = choose_strength(normal, validation)
    weights = normal.solve(strength)

    def blocks() -> Iterator[np.ndarray]:
        for arrays in predicted.shards(views):
            maps = profiles.maps(design(profiles.inputs(arrays)) @ weights)
            factors = profiles.transforms.mass_factor(arrays.halos["redshift"])
            yield maps.reshape(len(arrays), -1, *maps.shape[1:]) / factors[:, None, None, None]

    return Fitted(
        blocks(),
        weights.size + len(profiles.transforms.climatology),
        f"The profile of {predicted.target} by ridge regression on the views' profiles; "
        f"strength {strength:g}",
    )


BASELINE = Baseline("profile_regression", "profile regression", __doc__, fit)
main, write = BASELINE.main, BASELINE.write

if __name__ == "__main__":
    main()
