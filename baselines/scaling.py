"""``python -m baselines.scaling --views sz``: a mass from the scaling relation, then an NFW map.

M200c from a power law in the views' totals (Y, L, stellar mass), c200c from a power law in that mass, both
fitted on the train split; then the surface density of a sphere of NFW density (Navarro, Frenk & White 1997)
inside a box of the store's depth. What a survey does that has one number a cluster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from baselines.mean_profile import fit_line, observables
from baselines.predict import Predicted
from baselines.reference import Baseline, Fitted, Floats
from three_hundred_maps.climatology import column_scale
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid, radius_grid
from three_hundred_maps.nfw import enclosed_mass
from three_hundred_maps.store.arrays import iter_shards, root_attrs
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.torch_transforms import Transforms

DEPTH_STEPS = 400
SUB_PIXELS = 4
CONCENTRATIONS = np.linspace(1.0, 20.0, 77)


def nfw_shape(concentration: float, radius: Floats, half_depth: float) -> Floats:
    """Surface density of an NFW sphere in units of M200c / R200c^2.

    Parameters
    ----------
    concentration
        c200c.
    radius
        Projected, in R200c, above 0.
    half_depth
        In R200c: the line of sight is integrated from -half_depth to half_depth.
    """
    c = concentration
    norm = c**3 / (4.0 * math.pi * enclosed_mass(c))
    # In sinh(t) steps along the line of sight, so that the cusp is resolved at every radius.
    top = np.arcsinh(half_depth / radius)
    t = (np.arange(DEPTH_STEPS) + 0.5) / DEPTH_STEPS
    angle = t * top[..., None]
    r = radius[..., None] * np.cosh(angle)
    density = norm / (c * r * (1.0 + c * r) ** 2)
    return 2.0 * np.sum(density * r, axis=-1) * top / DEPTH_STEPS


def nfw_maps(grid: MapGrid, half_depth: float) -> Floats:
    """(concentration, y, x): pixel means of `nfw_shape` on the grid, for `CONCENTRATIONS`."""
    fine = grid.pixels * SUB_PIXELS
    distance = radius_grid(fine, grid.pixel / SUB_PIXELS)
    table = np.geomspace(distance.min(), distance.max(), 256)
    maps = []
    for c in CONCENTRATIONS:
        values = np.interp(np.log(distance), np.log(table), np.log(nfw_shape(float(c), table, half_depth)))
        blocks = np.exp(values).reshape(grid.pixels, SUB_PIXELS, grid.pixels, SUB_PIXELS)
        maps.append(blocks.mean(axis=(1, 3)))
    return np.stack(maps)


def fit(store: Path, views: tuple[str, ...], predicted: Predicted) -> Fitted:
    """Learn from the split train."""
    # The relation is one in mass: at another redshift, the totals of a halo of the same mass.
    transforms = Transforms.from_store(store, views, scaling="fixed_mass")
    xs, masses, concentrations, redshifts, scales = [], [], [], [], []
    for arrays in iter_shards(store, "train", [*views, TARGET]):
        x = observables(arrays, transforms)
        xs.append(x.reshape(-1, len(views)))
        masses.append(np.repeat(np.log10(arrays.halos["M200c"]), x.shape[1]))
        concentrations.append(np.repeat(arrays.halos["c200c"], x.shape[1]))
        redshifts.append(arrays.halos["redshift"])
        # rho_crit from the halos themselves: M200c / R200c^3 is 800/3 pi of it.
        scales.append(
            [
                column_scale(m, r) / r
                for m, r in zip(arrays.halos["M200c"], arrays.halos["R200c"], strict=True)
            ]
        )
    log_mass, concentration = np.concatenate(masses), np.concatenate(concentrations)
    if not (np.isfinite(concentration) & (concentration > 0)).any():
        raise InputError(f"{store}: c200c of its split train is not known, and an NFW map needs it")
    slopes, constant = fit_line(np.concatenate(xs), log_mass)
    known = np.isfinite(concentration) & (concentration > 0)
    c_slope, c_constant = fit_line(log_mass[known, None], np.log10(concentration[known]))

    def growth(redshift: Floats) -> Floats:
        # Of rho_crit: E^2, or 1 where nothing evolves with the redshift.
        return transforms.mass_factor(redshift) ** -1.5

    z = np.concatenate(redshifts)
    rho_crit = np.concatenate(scales) / growth(z)
    order = np.argsort(z)
    shapes = nfw_maps(transforms.grid, float(root_attrs(store)["half_depth_R200c"]))

    def blocks() -> Iterator[np.ndarray]:
        for arrays in predicted.shards(views):
            mass = 10.0 ** (observables(arrays, transforms) @ slopes + constant)
            redshift = arrays.halos["redshift"]
            here = (np.interp(redshift, z[order], rho_crit[order]) * growth(redshift))[:, None]
            radius = (3.0 * mass / (800.0 * math.pi * here)) ** (1.0 / 3.0)
            c = 10.0 ** (np.log10(mass) * c_slope[0] + c_constant)
            nearest = np.abs(c[..., None] - CONCENTRATIONS).argmin(-1)
            yield (mass / radius**2)[..., None, None] * shapes[nearest]

    return Fitted(
        blocks(),
        len(slopes) + 3,
        "M200c by a power law in the totals of " + ", ".join(views) + ", then an NFW map",
    )


BASELINE = Baseline("scaling", "scaling relation + NFW", __doc__, fit, default_views="sz", targets=False)
main, write = BASELINE.main, BASELINE.write

if __name__ == "__main__":
    main()
