"""What a model applies to maps: transforms from a store's statistics.

Needs numpy, torch and zarr alone. Nothing here changes what a store holds: maps are raw physical values,
and everything a model applies to them is a `Transforms`, made from the store's ``statistics`` (those of the
split ``train`` alone), explicit, invertible and saved with the checkpoint.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from three_hundred_maps.climatology import RINGS
from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import (
    FLOOR_MSUN_KPC2,
    FWHM_PER_SIGMA,
    SCORE_FWHM,
    MapGrid,
    ring_map,
    smoothing_matrix,
)
from three_hundred_maps.keys import require_list
from three_hundred_maps.store.arrays import open_group, read_array, root_attrs
from three_hundred_maps.store.schema import TARGET
from three_hundred_maps.store.statistics import (
    Statistics,
    climatology_of,
    read_statistics,
)
from three_hundred_maps.torch_inputs import SATURATION_DEX, LogTransform, Robust, log_transform, median_3x3

MAX_PIXELS = 1024
"""Pixels along a side of the largest maps that saved transforms may be for."""

TRANSFORMS_VERSION = 2
"""Version of how statistics become transforms: a checkpoint of another one is refused."""

SCALINGS = ("fixed_mass", "equal_sigma", "none")
"""How maps are brought to redshift 0; see `Transforms`."""

SELF_SIMILAR: Mapping[str, tuple[float, float]] = {
    "sz": (1.0, 2.0),
    "xray": (2.0 / 3.0, 11.0 / 3.0),
    "xray_soft": (1.0 / 3.0, 10.0 / 3.0),
    "ksz": (2.0 / 3.0, 5.0 / 3.0),
    "temperature": (2.0 / 3.0, 2.0 / 3.0),
    "velocity": (1.0 / 3.0, 1.0 / 3.0),
    "velocity_dispersion": (1.0 / 3.0, 1.0 / 3.0),
    **dict.fromkeys(("star", "star_grainy", "gas", "dark_matter", TARGET), (1.0 / 3.0, 4.0 / 3.0)),
}
"""a and b of the self-similar value of a view at fixed R / R200c, M200c^a E^b (Kaiser 1986): density goes as
E^2, the radius as M^(1/3) E^(-2/3), temperature as (M E)^(2/3); X-ray brightness is per proper area, and
bolometric (with T^(1/2)) but for ``xray_soft``. A view that is not named is used as it is."""

PAPER_COSMOLOGY = {"omega_m": 0.307, "omega_lambda": 0.693}
"""Of The Three Hundred (Cui et al. 2018), for a store that does not say its own."""


@dataclass(frozen=True)
class Training:
    """What is known of the data that transforms were made from, to say what lies outside of it.

    Parameters
    ----------
    redshift
        Lowest and highest of ``train``.
    half_depth, smoothing_fwhm
        Of its maps, in R200c.
    omega_m, omega_lambda
        Of its cosmology at redshift 0.
    """

    redshift: tuple[float, float]
    half_depth: float
    smoothing_fwhm: float
    omega_m: float
    omega_lambda: float


@dataclass(frozen=True)
class Transforms:
    """All that a model applies to maps, and where it came from.

    Views at redshift z are brought to redshift 0 by powers of E(z) = H(z) / H_0, by self-similar evolution:
    ``fixed_mass`` to the halo of the same M200c (y over E^2, X-ray over E^(11/3), stars and mass over
    E^(4/3)), ``equal_sigma`` to that whose surface density is the same (y times E^2, X-ray over E, stars and
    mass as they are). Both are exact and invertible, and change nothing at redshift 0.

    Parameters
    ----------
    inputs
        One `LogTransform` a view, in the order of the model's channels.
    ring_edges
        (41,) in R200c, and ``climatology`` (40,): the mean over ``train`` of l(mass) in each ring, on the
        benchmark's score grid, in dex of Msun kpc-2. A model predicts the residual to it.
    pixels, width
        The grid of the maps; the width in R200c.
    statistics_digest
        sha256 of the statistics that these numbers came from.
    training
        The redshifts, cosmology and mapping of ``train``.
    scaling
        One of `SCALINGS`.
    robust
        What else is applied to the inputs.
    target_view
        The surface density that is predicted: "mass" in the names here.
    """

    inputs: tuple[LogTransform, ...]
    ring_edges: tuple[float, ...]
    climatology: tuple[float, ...]
    pixels: int
    width: float
    statistics_digest: str
    training: Training
    scaling: str = "fixed_mass"
    robust: Robust = Robust()
    target_view: str = TARGET

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the input views, in the order of the channels."""
        return tuple(item.view for item in self.inputs)

    @functools.cached_property
    def grid(self) -> MapGrid:
        """The grid of the maps that the transforms were made for."""
        return MapGrid(self.pixels, self.width, self.training.half_depth, self.training.smoothing_fwhm)

    @staticmethod
    def from_store(
        store: str | Path,
        views: Sequence[str],
        *,
        scaling: str = "fixed_mass",
        robust: Robust = Robust(),
        target: str = TARGET,
    ) -> Transforms:
        """The transforms of ``views`` from a store's statistics, and of the surface density ``target``.

        Raises
        ------
        InputError
            Where the store lacks a view or its statistics: a missing statistic never means "no transform".
        """
        require_list(views)
        if scaling not in SCALINGS:
            raise InputError(f"scaling is one of {', '.join(SCALINGS)}, not {scaling!r}")
        statistics = read_statistics(store)
        missing = [view for view in views if view not in statistics]
        if missing:
            raise InputError(
                f"{store} has no statistics of {', '.join(missing)}; it has those of {', '.join(statistics)}"
            )
        climatology = climatology_of(store, target)
        attrs = root_attrs(store)
        grid = MapGrid.from_attrs(attrs, store)
        redshift = read_array(store, open_group(store)["train"], "redshift")
        cosmology = attrs.get("simulation", {}).get("cosmology", PAPER_COSMOLOGY)
        if "observed" in attrs:
            # Halos of one snapshot, placed at redshifts: nothing evolves; and noise is no outlier.
            scaling, robust = "none", Robust()
        transforms = Transforms(
            inputs=tuple(log_transform(view, statistics[view], store) for view in views),
            ring_edges=tuple(float(v) for v in climatology.ring_edges),
            climatology=tuple(float(v) for v in climatology.climatology),
            pixels=grid.pixels,
            width=grid.width,
            statistics_digest=statistics_digest(statistics),
            training=Training(
                redshift=(float(redshift.min()), float(redshift.max())),
                half_depth=grid.half_depth,
                smoothing_fwhm=grid.smoothing_fwhm,
                omega_m=float(cosmology["omega_m"]),
                omega_lambda=float(cosmology["omega_lambda"]),
            ),
            scaling=scaling,
            robust=robust,
            target_view=target,
        )
        return transforms.brought(float(np.median(redshift)))

    def brought(self, redshift: float) -> Transforms:
        """These of maps at a redshift, as those of the same maps brought to redshift 0.

        What is standardised is at redshift 0: so must be the statistics that it is standardised by. Exact
        where all of ``train`` is at one redshift, and for surface densities above S0.
        """
        factors, mass_factor = self.factors(redshift).tolist(), float(self.mass_factor(redshift))
        return replace(
            self,
            inputs=tuple(i.brought(factor) for i, factor in zip(self.inputs, factors, strict=True)),
            climatology=tuple(value + math.log10(mass_factor) for value in self.climatology),
        )

    def check_grid(self, store: str | Path) -> None:
        """InputError where a store's maps have other pixels, or another width, than these are for."""
        grid = MapGrid.from_attrs(root_attrs(store), store)
        if (grid.pixels, grid.width) != (self.pixels, self.width):
            raise InputError(
                f"the model was trained on maps of {self.pixels} pixels over {self.width:g} "
                f"R200c; those of {store} have {grid.pixels} over {grid.width:g}"
            )

    def check_maps(self, maps: torch.Tensor, redshift: NDArray[np.floating] | float | None) -> None:
        """InputError unless maps are (N, C, H, W) of the pixels that these are for, and redshifts theirs."""
        if maps.ndim != 4 or maps.shape[2:] != (self.pixels, self.pixels):
            raise InputError(
                f"maps of the shape {tuple(maps.shape)}; the model takes (N, {len(self.inputs)}, "
                f"{self.pixels}, {self.pixels})"
            )
        if redshift is not None and not (np.size(redshift) in (1, len(maps)) and np.isfinite(redshift).all()):
            raise InputError(f"the redshifts {redshift} are not one, or one of each of {len(maps)} maps")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, with the version of this format."""
        content = {"version": TRANSFORMS_VERSION, **asdict(self)}
        if self.target_view == TARGET:
            del content["target_view"]  # as models said it before there were others
        return content

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Transforms:
        """The inverse of `to_dict`; InputError for another version and for what no statistics give."""
        values = dict(content)
        version = values.pop("version", None)
        if version != TRANSFORMS_VERSION:
            raise InputError(
                f"these transforms are of version {version}, this package applies "
                f"version {TRANSFORMS_VERSION}: train again, or install the version that wrote them"
            )
        try:
            values["inputs"] = tuple(LogTransform(**item) for item in values["inputs"])
            values["ring_edges"] = tuple(values["ring_edges"])
            values["climatology"] = tuple(values["climatology"])
            training = dict(values["training"])
            low, high = training["redshift"]
            values["training"] = Training(**{**training, "redshift": (low, high)})
            values["robust"] = Robust(**values["robust"])
            transforms = Transforms(**values)
            numbers = [*transforms.ring_edges, *transforms.climatology, transforms.width, low, high]
            numbers += [v for item in transforms.inputs for v in astuple(item)[1:]]
            numbers += [*astuple(transforms.training)[1:], transforms.robust.smooth_stars]
            finite = all(math.isfinite(number) for number in numbers)
            pixels = transforms.pixels
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the saved transforms are not complete: {error}") from None
        named = all(
            isinstance(item.view, str) and item.std > 0 and item.offset > 0 for item in transforms.inputs
        )
        rings = len(transforms.ring_edges), len(transforms.climatology)
        if not (finite and named and rings == (RINGS + 1, RINGS) and isinstance(transforms.target_view, str)):
            raise InputError("the saved transforms hold numbers that no statistics give")
        if not (type(pixels) is int and 1 <= pixels <= MAX_PIXELS):
            raise InputError(f"the saved transforms are for {pixels!r} pixels, not for 1 to {MAX_PIXELS}")
        if transforms.scaling not in SCALINGS or not 0 <= transforms.robust.smooth_stars < transforms.width:
            raise InputError("the saved transforms scale or smooth maps as this package never does")
        return transforms

    # -- redshift -----------------------------------------------------------------------------------

    def expansion(self, redshift: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """E(z) = H(z) / H_0 of the training set's cosmology; exactly 1 at redshift 0."""
        z, m, vacuum = np.asarray(redshift, np.float64), self.training.omega_m, self.training.omega_lambda
        curvature = 1.0 - m - vacuum
        return np.sqrt(1.0 + m * ((1.0 + z) ** 3 - 1.0) + curvature * ((1.0 + z) ** 2 - 1.0))

    def _power(self, view: str) -> float:
        """The power of E(z) that brings a view to redshift 0."""
        mass, expansion = SELF_SIMILAR.get(view, (0.0, 0.0))
        return {"none": 0.0, "fixed_mass": -expansion, "equal_sigma": 4.0 * mass - expansion}[self.scaling]

    def factors(self, redshift: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """(..., C): what the maps of each view are multiplied by, for redshifts (...)."""
        powers = np.array([self._power(view) for view in self.views])
        return self.expansion(redshift)[..., None] ** powers

    def mass_factor(self, redshift: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """(...): what mass maps are multiplied by; a prediction is divided by it."""
        return self.expansion(redshift) ** self._power(self.target_view)

    def scale(self, maps: torch.Tensor, redshift: NDArray[np.floating] | float | None) -> torch.Tensor:
        """(N, C, H, W) raw maps brought to redshift 0; ``redshift`` is (N,) or one number."""
        if redshift is None or self.scaling == "none" or not np.any(redshift):
            return maps
        return maps * torch.from_numpy(self.factors(redshift)[..., None, None]).to(maps)

    def scale_mass(self, maps: torch.Tensor, redshift: NDArray[np.floating] | float | None) -> torch.Tensor:
        """Mass maps (..., H, W) brought to redshift 0; ``redshift`` is (...) or one number."""
        if redshift is None or self._power(self.target_view) == 0.0 or not np.any(redshift):
            return maps
        return maps * torch.from_numpy(self.mass_factor(redshift)[..., None, None]).to(maps)

    def unscale_mass(self, maps: torch.Tensor, redshift: NDArray[np.floating] | float | None) -> torch.Tensor:
        """The inverse of `scale_mass`: predicted maps, as at redshift 0, brought to theirs."""
        if redshift is None or self._power(self.target_view) == 0.0 or not np.any(redshift):
            return maps
        return maps / torch.from_numpy(self.mass_factor(redshift)[..., None, None]).to(maps)

    # -- inputs -------------------------------------------------------------------------------------

    def standardise(
        self, maps: torch.Tensor, redshift: NDArray[np.floating] | float | None = None
    ) -> torch.Tensor:
        """(N, C, H, W) raw maps, channels in the order of ``inputs``, to standardised ones.

        Parameters
        ----------
        redshift
            (N,), or one for all; none: the maps are as at redshift 0 already.
        """
        if maps.shape[1] != len(self.inputs):
            raise InputError(f"{maps.shape[1]} channels of maps for the views {', '.join(self.views)}")
        maps = self.scale(maps, redshift)
        offset, mean, std, low, high = self._constant("_scales", maps)
        robust = self.robust
        for channel, view in enumerate(self.views):
            replaced = maps[:, channel]
            if view == "star" and robust.smooth_stars:
                matrix = self._constant("_star_smoothing", maps)
                replaced = matrix @ replaced @ matrix.T
            elif view == "xray" and robust.median_xray:
                replaced = median_3x3(replaced)
            else:
                continue
            maps = torch.cat([maps[:, :channel], replaced[:, None], maps[:, channel + 1 :]], dim=1)
        values = (maps + offset).log10_()
        signed = [channel for channel, item in enumerate(self.inputs) if item.signed]
        if signed:
            values[:, signed] = torch.asinh(maps[:, signed] / offset[signed])
        values = values.sub_(mean).div_(std)
        if robust.saturate:
            knee = SATURATION_DEX / std
            values = torch.where(values > high, high + knee * torch.log1p((values - high) / knee), values)
            values = torch.where(values < low, low - knee * torch.log1p((low - values) / knee), values)
        return values

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """The inverse of `standardise` at redshift 0 where nothing of `Robust` is applied."""
        return torch.stack([item.inverse(values[:, i]) for i, item in enumerate(self.inputs)], dim=1)

    def outside(self, maps: NDArray[np.floating], redshift: NDArray[np.floating]) -> dict[str, float]:
        """The share of what lies outside the training range: of redshifts, and of each view's pixels.

        Parameters
        ----------
        maps
            (halo, los, C, H, W) raw maps.
        redshift
            (halo,).

        Returns
        -------
        ``redshift`` and, by view, the shares of the positive pixels below and above the 0.1-99.9 % range, as
        ``VIEW faint`` and ``VIEW bright``; within ``train`` these are 0.001.
        """
        first, last = self.training.redshift
        shares = {"redshift": float(np.mean((redshift < first) | (redshift > last)))}
        scaled = maps * self.factors(redshift)[:, None, :, None, None]
        for channel, item in enumerate(self.inputs):
            values = scaled[:, :, channel]
            positive = values if item.signed else values[values > 0]
            shares[f"{item.view} faint"] = float(np.mean(positive < item.low)) if positive.size else 0.0
            shares[f"{item.view} bright"] = float(np.mean(positive > item.high)) if positive.size else 0.0
        return shares

    # -- target -------------------------------------------------------------------------------------

    def climatology_map(self) -> torch.Tensor:
        """(H, W) dex of Msun kpc-2: the climatology, linear between rings, constant beyond the last."""
        return self._target.climatology.clone()

    def target(
        self, mass: torch.Tensor, redshift: NDArray[np.floating] | float | None = None
    ) -> torch.Tensor:
        """(..., H, W) Msun kpc-2 to what is learnt: l on the score grid less the climatology, in dex."""
        return self._target.target(mass, redshift)

    def mass(
        self, residual: torch.Tensor, redshift: NDArray[np.floating] | float | None = None
    ) -> torch.Tensor:
        """What a predicted target (N, H, W) stands for: mass maps in Msun kpc-2, on the score grid."""
        return self.unscale_mass(10.0 ** (self._target.climatology.to(residual) + residual), redshift)

    def _constant(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """A tensor of this object, as ``like`` is: kept there, since each copy to a GPU waits for it."""
        key = name, like.device, like.dtype
        if key not in self._constants:
            self._constants[key] = getattr(self, name).to(like)
        return self._constants[key]

    def __getstate__(self) -> dict[str, Any]:
        """Without what is cached: that may lie on a GPU, where another process has no place."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @functools.cached_property
    def _constants(self) -> dict[tuple[str, torch.device, torch.dtype], torch.Tensor]:
        return {}

    @functools.cached_property
    def _scales(self) -> torch.Tensor:
        """(5, C, 1, 1) float64: offset, mean and std of each view; its training range, standardised."""
        values = [[getattr(item, name) for item in self.inputs] for name in ("offset", "mean", "std")]
        for name in ("low", "high"):
            values.append([float(i.of(np.asarray(getattr(i, name), np.float64))) for i in self.inputs])
        return torch.tensor(values, dtype=torch.float64)[:, :, None, None]

    @functools.cached_property
    def _star_smoothing(self) -> torch.Tensor:
        sigma = self.robust.smooth_stars / FWHM_PER_SIGMA / self.grid.pixel
        return torch.from_numpy(smoothing_matrix(self.pixels, sigma))

    @functools.cached_property
    def _target(self) -> ScoreGrid:
        return ScoreGrid(self)


class ScoreGrid:
    """l(m) = log10(max(m, S0)) of mass maps on the benchmark's score grid, and its residual: the target.

    The smoothing is the benchmark's own function, taken as a matrix: it acts on rows and columns alike,
    so that ``matrix @ map @ matrix.T`` is the smoothed map, on any device and with a gradient.

    Parameters
    ----------
    transforms
        Of which the grid and the climatology are taken.
    grid
        ``score``, or ``raw`` for l of the pixels as they are.
    device
        Where maps will lie.
    """

    def __init__(
        self, transforms: Transforms, grid: str = "score", device: torch.device | str = "cpu"
    ) -> None:
        pixels, maps = transforms.pixels, transforms.grid
        matrix = smoothing_matrix(pixels, SCORE_FWHM / FWHM_PER_SIGMA / maps.pixel)
        self.matrix = torch.from_numpy(matrix).float().to(device) if grid == "score" else None
        self.transforms = transforms
        self.inside = torch.from_numpy(maps.inside).to(device)
        rings = ring_map(np.asarray(transforms.climatology), maps.radius)
        self.climatology = torch.from_numpy(rings).float().to(device)

    def logarithm(self, mass: torch.Tensor) -> torch.Tensor:
        """(..., H, W) Msun kpc-2 to l, dex."""
        return self.of_scaled(mass / FLOOR_MSUN_KPC2)

    def of_scaled(self, scaled: torch.Tensor) -> torch.Tensor:
        """The same of maps in units of S0."""
        if self.matrix is not None:
            scaled = self.matrix @ scaled @ self.matrix.T
        return scaled.clamp_min(1.0).log10() + float(np.log10(FLOOR_MSUN_KPC2))

    def target(
        self, mass: torch.Tensor, redshift: NDArray[np.floating] | float | None = None
    ) -> torch.Tensor:
        """(..., H, W) Msun kpc-2 to l, as at redshift 0, less the climatology, dex."""
        return self.logarithm(self.transforms.scale_mass(mass, redshift)) - self.climatology


def statistics_digest(statistics: Statistics) -> str:
    """sha256 of a store's statistics: which numbers a checkpoint's transforms came from."""
    return hashlib.sha256(json.dumps(statistics.to_json(), sort_keys=True).encode()).hexdigest()


def fainter_or_brighter(name: str, share: str) -> str:
    """What ``VIEW faint`` or ``VIEW bright`` of `Transforms.outside` says, in words."""
    view, _, side = name.rpartition(" ")
    return f"{share} of the pixels of {view} {side}er than 99.9 % of those trained on"
