"""Mass maps from shear without a network: Kaiser-Squires smoothed, or an NFW fit to the tangential shear.

``python -m baselines.lensing --method kaiser-squires|nfw --data STORE --out DIR``, of an observed store. What
is free is chosen on train and validation maps: the smoothing of Kaiser-Squires, the prior of the fit's
amplitude. Only the shear, the redshift and the declared redshift of the sources are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baselines.command import command_line
from baselines.predict import Predicted, submit
from baselines.reference import OUT_MARK
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import score_log, smoothing_matrix
from three_hundred_maps.io import claim_folder
from three_hundred_maps.nfw import projected_mass
from three_hundred_maps.observe.frame import cosmology_of, critical_density_of, place
from three_hundred_maps.observe.operators import convergence_from_shear
from three_hundred_maps.store.arrays import SplitArrays, iter_shards, root_attrs, split_length
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.torch_data import Transforms

Floats = NDArray[np.float64]
VIEWS = ("shear1", "shear2")
SIGMAS_PIXELS = (2.0, 4.0, 8.0, 12.0, 16.0)
"""Gaussians that Kaiser-Squires is tried with."""
CONCENTRATION = 4.0
"""Of the fitted NFW halo: assumed."""
RING_EDGES = np.geomspace(0.1, 1.0, 9)
"""R200c: where the tangential shear is fitted."""
LOG_STEPS = np.linspace(-3.0, 3.0, 121)
"""Amplitudes that are tried, in standard deviations of the prior."""


class Lens:
    """An observed store's shear, and what its train maps say of mass maps.

    Raises
    ------
    InputError
        Where the store has no shear.
    """

    def __init__(self, store: Path) -> None:
        attrs = root_attrs(store)
        if not set(VIEWS) <= set(attrs["views"]):
            raise InputError(f"{store} has no shear: make one by three-hundred-maps observe")
        self.cosmology = cosmology_of(attrs)
        self.source_redshift = float(attrs["view_attrs"]["shear1"]["source_redshift"])
        self.transforms = Transforms.from_store(store, VIEWS)
        self.grid = self.transforms.grid
        self.climatology = 10.0 ** self.transforms.climatology_map().double().numpy()

    def critical(self, redshift: float) -> float:
        """Sigma_crit in Msun kpc-2."""
        return critical_density_of(self.cosmology, place(self.cosmology, redshift), self.source_redshift)

    def halos(
        self, blocks: Iterator[SplitArrays]
    ) -> Iterator[tuple[SplitArrays, int, Floats, Floats, float]]:
        """Each halo's block, row, shear components (los, y, x) and Sigma_crit."""
        for arrays in blocks:
            for row in range(len(arrays)):
                first, second = (np.asarray(arrays.maps[view][row], np.float64) for view in VIEWS)
                yield arrays, row, first, second, self.critical(float(arrays.halos["redshift"][row]))


class KaiserSquires:
    """Sigma_crit times the smoothed convergence, with the climatology's mean, and a floor below it."""

    def __init__(self, lens: Lens, sigma_pixels: float) -> None:
        self.lens, self.matrix = lens, smoothing_matrix(lens.grid.pixels, sigma_pixels)

    def __call__(self, first: Floats, second: Floats, critical: float) -> Floats:
        """(los, y, x) Msun kpc-2."""
        kappa = convergence_from_shear(first, second)
        kappa = self.matrix @ kappa @ self.matrix.T
        mass = critical * (kappa - kappa.mean((-2, -1), keepdims=True)) + self.lens.climatology.mean()
        return np.maximum(mass, 0.1 * self.lens.climatology.min())


class NfwFit:
    """An NFW surface density whose amplitude is the most probable by the tangential shear in rings.

    At a fixed fraction of R200c it has one shape, and its amplitude goes as M^(1/3): the prior is what the
    train maps have, and the noise of a ring is taken from the cross component, which a lens leaves empty.
    """

    def __init__(self, lens: Lens, mean: float, sigma: float) -> None:
        self.lens, grid = lens, lens.grid
        self.amplitudes = np.exp(mean + sigma * LOG_STEPS)
        x, y = np.meshgrid(grid.centres, grid.centres)
        self.angle = 2.0 * np.arctan2(y, x)
        number = np.digitize(grid.radius, RING_EDGES) - 1
        self.rings = [number == ring for ring in range(len(RING_EDGES) - 1)]
        self.shape, inner = nfw_shape(grid.radius)
        self.sheared = np.array([(inner - self.shape)[ring].mean() for ring in self.rings])
        self.level = np.array([self.shape[ring].mean() for ring in self.rings])

    def __call__(self, first: Floats, second: Floats, critical: float) -> Floats:
        """(los, y, x) Msun kpc-2."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        tangential, cross = -first * cos - second * sin, first * sin - second * cos
        measured = np.stack([tangential[:, ring].mean(-1) for ring in self.rings], axis=1)
        counts = np.array([ring.sum() for ring in self.rings])
        noise = cross[:, self.lens.grid.inside].std(-1)[:, None] / np.sqrt(counts)
        scaled = self.amplitudes[:, None] / critical
        model = scaled * self.sheared / np.maximum(1.0 - scaled * self.level, 0.1)
        chi2 = (((measured[:, None] - model) / noise[:, None]) ** 2).sum(-1) + LOG_STEPS**2
        best = self.amplitudes[np.argmin(chi2, axis=1)]
        return best[:, None, None] * self.shape


def nfw_shape(radius: Floats) -> tuple[Floats, Floats]:
    """Sigma of an NFW halo in its mean inside R200c, and the mean of it inside each radius (R200c)."""
    edge = float(projected_mass([CONCENTRATION])[0])

    def inside(r: Floats) -> Floats:
        return np.asarray(projected_mass(CONCENTRATION * r) / edge, np.float64)

    step = 0.01 * radius
    low, high = inside(radius - step), inside(radius + step)
    return (high - low) / ((radius + step) ** 2 - (radius - step) ** 2), inside(radius) / radius**2


def fit_nfw(lens: Lens, store: Path) -> NfwFit:
    """The fit with the prior of the train maps: of ln of the mean surface density inside R200c."""
    logs = []
    for arrays in iter_shards(store, "train", [TARGET]):
        means = np.tensordot(
            np.asarray(arrays.maps[TARGET], np.float64), lens.grid.aperture, ([2, 3], [0, 1])
        )
        logs.append(np.log(means / lens.grid.aperture.sum()).ravel())
    values = np.concatenate(logs)
    return NfwFit(lens, float(values.mean()), float(values.std()))


def best_kaiser_squires(lens: Lens, store: Path) -> KaiserSquires:
    """That of the smoothing with the least error of l on the split validation (else train)."""
    split = "validation" if split_length(store, "validation") else "train"

    def error(method: KaiserSquires) -> float:
        squares = []
        for arrays, row, first, second, critical in lens.halos(iter_shards(store, split, [*VIEWS, TARGET])):
            off = score_log(method(first, second, critical), lens.grid.pixel)
            off -= score_log(arrays.maps[TARGET][row], lens.grid.pixel)
            squares.append((off[:, lens.grid.inside] ** 2).mean())
        return float(np.mean(squares))

    return min((KaiserSquires(lens, sigma) for sigma in SIGMAS_PIXELS), key=error)


METHODS: dict[str, tuple[str, Callable[[Lens, Path], Callable[[Floats, Floats, float], Floats]]]] = {
    "kaiser-squires": ("Kaiser-Squires, smoothed at the best scale on validation", best_kaiser_squires),
    "nfw": ("NFW fit to the tangential shear", fit_nfw),
}


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m baselines.lensing", description=__doc__)
    parser.add_argument("--method", choices=tuple(METHODS), required=True)
    parser.add_argument("--data", required=True, help="an observed store, or the name of a config")
    parser.add_argument("--out", type=Path, required=True, help="folder; the submission is OUT/submission")
    options = parser.parse_args(args)
    store = find_store(options.data)
    claim_folder(
        options.out, OUT_MARK, {"baseline": "lensing", "method": options.method, "data": options.data}
    )
    print(write(store, options.out, options.method))


def write(store: Path, out: Path, method: str, *, task: str = "observed") -> Path:
    """Write the submission ``out/submission``."""
    lens = Lens(store)
    name, make = METHODS[method]
    predict = make(lens, store)
    predicted = Predicted(store)

    def blocks() -> Iterator[np.ndarray]:
        for _, _, first, second, critical in lens.halos(iter(predicted.shards(VIEWS))):
            yield predict(first, second, critical)[None].astype(np.float32)

    return submit(
        out / "submission", predicted, task=task, name=name, track=VIEWS, maps=blocks(), parameters=2
    )


if __name__ == "__main__":
    main()
