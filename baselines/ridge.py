"""``python -m baselines.ridge --views sz,xray,star``: linear on log views and smoothed copies of them.

What no network is needed for. For every pixel: the standardised logarithm of each view, at its own
resolution and smoothed by Gaussians of 1 to 8 pixels; the mean of those over the map, alone and times the
radius; and powers of the radius. Ridge regression in closed form; its strength is chosen on the split
validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from baselines.predict import Predicted
from baselines.reference import Baseline, Fitted, Floats, sharpen
from three_hundred_maps.geometry import score_log, smoothing_matrix
from three_hundred_maps.store.arrays import SplitArrays, iter_shards, split_length
from three_hundred_maps.torch_transforms import Transforms

SIGMAS_PIXELS = (1.0, 2.0, 4.0, 8.0)
STRENGTHS = tuple(10.0**k for k in range(-6, 1))
"""Ridge strengths that are tried, as shares of the mean square of a feature."""


@dataclass(frozen=True)
class Features:
    """The linear model's view of a map."""

    transforms: Transforms

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.transforms.inputs) * (len(SIGMAS_PIXELS) + 5) + 3

    @cached_property
    def matrices(self) -> list[Floats]:
        """The smoothing of an axis, for every scale."""
        return [smoothing_matrix(self.transforms.pixels, sigma) for sigma in SIGMAS_PIXELS]

    def maps(self, arrays: SplitArrays, halo: int) -> Floats:
        """(los, feature, y, x) of one halo; the last feature is 1."""
        grid, features = self.transforms.grid, []
        radius = np.broadcast_to(grid.radius, (len(arrays.los_vector), *grid.radius.shape))
        factors = self.transforms.factors(arrays.halos["redshift"][halo])
        for item, factor in zip(self.transforms.inputs, factors, strict=True):
            raw = np.asarray(arrays.maps[item.view][halo], np.float64) * factor
            copies = [raw, *(m @ raw @ m.T for m in self.matrices)]
            logs = [item.of(copy) for copy in copies]
            means = [
                np.broadcast_to(log[:, grid.inside].mean(-1)[:, None, None], log.shape)
                for log in (logs[0], logs[-1])
            ]
            features += [*logs, *means, means[0] * radius, means[1] * radius]
        features += [radius, radius**2, np.ones_like(radius)]
        return np.stack(features, axis=1)


class Normal:
    """The sums of a least-squares fit of ``width`` weights a target: X'X, X'y, y'y and the number of rows."""

    def __init__(self, width: int, *targets: int) -> None:
        self.gram, self.moment = np.zeros((width, width)), np.zeros((width, *targets))
        self.square, self.count = 0.0, 0

    def add(self, x: Floats, y: Floats) -> None:
        """Add rows x (row, width) and y (row,) or, of several targets, (row, target)."""
        self.gram += x.T @ x
        self.moment += x.T @ y
        self.square += float(np.vdot(y, y))
        self.count += len(y)

    def error(self, weights: Floats) -> float:
        """Mean square error of ``weights`` on the rows summed, of all targets together."""
        sum_of_squares = self.square + np.vdot(weights, self.gram @ weights - 2 * self.moment)
        return float(sum_of_squares / max(self.count, 1))

    def solve(self, strength: float) -> Floats:
        """Ridge weights; the constant is not shrunk."""
        penalty = np.full(len(self.gram), strength * np.trace(self.gram) / len(self.gram))
        penalty[-1] = 0.0
        return np.asarray(np.linalg.solve(self.gram + np.diag(penalty), self.moment), np.float64)


def choose_strength(train: Normal, validation: Normal | None) -> float:
    """The strength with the least error on ``validation``; without one, the middle of those tried."""
    if validation is None:
        return STRENGTHS[len(STRENGTHS) // 2]
    return min(STRENGTHS, key=lambda strength: validation.error(train.solve(strength)))


def accumulate(blocks: Iterable[SplitArrays], features: Features) -> Normal:
    """The sums over the pixels inside R200c of all maps."""
    grid, total = features.transforms.grid, Normal(features.width)
    profile = features.transforms.climatology_map().double().numpy()
    for arrays in blocks:
        factors = features.transforms.mass_factor(arrays.halos["redshift"])
        for halo in range(len(arrays)):
            x = features.maps(arrays, halo)[:, :, grid.inside].transpose(0, 2, 1).reshape(-1, features.width)
            mass = arrays.maps[features.transforms.target_view][halo] * factors[halo]
            truth = score_log(mass, grid.pixel)
            total.add(x, (truth - profile)[:, grid.inside].ravel())
    return total


def fit(store: Path, views: tuple[str, ...], predicted: Predicted) -> Fitted:
    """Learn from the split train."""
    transforms = Transforms.from_store(store, views, target=predicted.target)
    features = Features(transforms)
    wanted = [*views, predicted.target]
    normal = accumulate(iter_shards(store, "train", wanted), features)
    validation = None
    if split_length(store, "validation"):
        validation = accumulate(iter_shards(store, "validation", wanted), features)
    strength = choose_strength(normal, validation)
    weights = normal.solve(strength)
    profile = transforms.climatology_map().double().numpy()

    def blocks() -> Iterator[np.ndarray]:
        for arrays in predicted.shards(views):
            factors = transforms.mass_factor(arrays.halos["redshift"])
            for halo in range(len(arrays)):
                residual = np.einsum("lfyx,f->lyx", features.maps(arrays, halo), weights)
                yield sharpen(profile + residual, transforms.grid.pixel)[None] / factors[halo]

    return Fitted(
        blocks(),
        len(weights),
        f"Linear on log views and smoothed copies; ridge strength {strength:g}",
    )


BASELINE = Baseline("ridge", "ridge regression", __doc__, fit)
main, write = BASELINE.main, BASELINE.write

if __name__ == "__main__":
    main()
