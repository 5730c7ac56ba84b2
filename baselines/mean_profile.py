"""``python -m baselines.mean_profile --views sz``: the mean profile, scaled by what a view sums to.

The train split's mean profile of the logarithm, raised or lowered as a whole by a line in the logarithms of
the views' totals inside R200c: Y for sz, L for xray, stellar mass for star.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from baselines.predict import Predicted
from baselines.reference import Baseline, Fitted, Floats, log_total, sharpen
from three_hundred_maps.geometry import score_log
from three_hundred_maps.store.arrays import SplitArrays, iter_shards
from three_hundred_maps.torch_transforms import Transforms


def observables(arrays: SplitArrays, transforms: Transforms) -> Floats:
    """(halo, los, view): log10 of each view's total inside R200c, in units times pixels, at redshift 0."""
    factors = transforms.factors(arrays.halos["redshift"]).T[..., None]
    return np.stack(
        [
            log_total(arrays.maps[item.view], transforms.grid, item.offset, factor)
            for item, factor in zip(transforms.inputs, factors, strict=True)
        ],
        axis=-1,
    )


def fit_line(x: Floats, y: Floats) -> tuple[Floats, float]:
    """Least squares: slopes (view,) and constant of y (row,) against x (row, view)."""
    design = np.column_stack([x, np.ones(len(x))])
    solution, *_ = np.linalg.lstsq(design, y, rcond=None)
    return np.asarray(solution[:-1], np.float64), float(solution[-1])


def fit(store: Path, views: tuple[str, ...], predicted: Predicted) -> Fitted:
    """Learn from the split train."""
    transforms = Transforms.from_store(store, views, target=predicted.target)
    grid = transforms.grid
    profile = transforms.climatology_map().double().numpy()
    xs, ys = [], []
    for arrays in iter_shards(store, "train", [*views, predicted.target]):
        xs.append(observables(arrays, transforms).reshape(-1, len(views)))
        mass_factors = transforms.mass_factor(arrays.halos["redshift"])
        for halo in range(len(arrays)):
            mass = arrays.maps[predicted.target][halo] * mass_factors[halo]
            residual = score_log(mass, grid.pixel) - profile
            ys.append(residual[:, grid.inside].mean(-1))
    slopes, constant = fit_line(np.concatenate(xs), np.concatenate(ys))

    def blocks() -> Iterator[np.ndarray]:
        # Raising a map as a whole commutes with the smoothing: one sharpened profile serves all.
        sharp = sharpen(profile, grid.pixel)
        for arrays in predicted.shards(views):
            shift = observables(arrays, transforms) @ slopes + constant
            mass_factors = transforms.mass_factor(arrays.halos["redshift"])[:, None, None, None]
            yield (10.0**shift)[..., None, None] * sharp / mass_factors

    return Fitted(
        blocks(),
        len(transforms.climatology) + len(slopes) + 1,
        f"The mean profile of log {predicted.target}, scaled by the totals of {', '.join(views)}",
    )


BASELINE = Baseline("mean_profile", "mean profile", __doc__, fit, default_views="sz")
main, write = BASELINE.main, BASELINE.write

if __name__ == "__main__":
    main()
