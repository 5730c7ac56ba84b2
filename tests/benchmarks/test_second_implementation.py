"""The scores again, written from docs/benchmark.md alone with numpy, scipy and xarray: the judge of ours.

Nothing of the package is used but the command that scores; every array is read with plain xarray.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from scipy.ndimage import gaussian_filter

FLOOR, FWHM = 1e6, 0.05
PIXELS, PIXEL = 80, 0.025


def by_region(values: np.ndarray, region: np.ndarray) -> float:
    """Halos of a region, then regions with equal weight."""
    return float(np.mean([values[region == r].mean() for r in np.unique(region)]))


def score_grid(maps: np.ndarray) -> np.ndarray:
    sigma = FWHM / np.sqrt(8 * np.log(2)) / PIXEL
    return gaussian_filter(maps.astype(float), (0, 0, sigma, sigma), mode="reflect", truncate=4.0)


def logs(maps: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(maps, FLOOR))


def radii() -> np.ndarray:
    axis = (np.arange(PIXELS) - 39.5) * PIXEL
    return np.hypot(axis[:, None], axis[None, :])


def circle_areas(radius: float) -> np.ndarray:
    """Area of each pixel inside the circle, by fine strips: the chord's part inside the pixel."""
    strips = 400
    x = (np.arange(PIXELS * strips) + 0.5) * PIXEL / strips - 1.0
    half = np.sqrt(np.maximum(radius**2 - x**2, 0.0))
    edges = np.arange(PIXELS + 1) * PIXEL - 1.0
    low, high = edges[:-1, None], edges[1:, None]
    inside = np.clip(np.minimum(high, half) - np.maximum(low, -half), 0.0, None)
    return inside.reshape(PIXELS, PIXELS, strips).sum(axis=2) * PIXEL / strips


def spread(values: np.ndarray) -> tuple[float, float]:
    low, middle, high = np.quantile(values, [0.16, 0.5, 0.84])
    return float(middle), float(high - low) / 2


def cross_power(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum of Re(F G*) over modes, maps and halos in bins of 0.5 cycles per R200c around 0.5, 1, ... 20."""
    line = np.sin(np.pi * (np.arange(PIXELS) + 0.5) / PIXELS) ** 2
    window = np.outer(line, line)
    window /= np.sqrt((window**2).mean())
    f, g = (np.fft.fft2((m - m.mean(axis=(-2, -1), keepdims=True)) * window) for m in (first, second))
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(PIXELS, PIXEL), np.fft.fftfreq(PIXELS, PIXEL)))
    both = (f * g.conj()).real.sum(axis=(0, 1))
    return np.array([both[(k >= c - 0.25) & (k < c + 0.25)].sum() for c in np.arange(0.5, 20.1, 0.5)])


@pytest.fixture(scope="module")
def data(store: Path, fair: np.ndarray) -> dict[str, np.ndarray]:
    with xarray.open_zarr(store, group="test") as test:
        names = ("mass", "region", "R200c", "R500c")
        loaded = {name: test[name].values for name in names}
    with xarray.open_zarr(store, group="train") as train:
        loaded["train"] = train["mass"].values
    return {**loaded, "predicted": fair}


@pytest.fixture(scope="module")
def value(scored: dict[str, Any]) -> Callable[[str], float]:
    return lambda name: float(scored["scores"][name]["value"])


def test_the_ranking_score_and_the_skill(data: dict[str, np.ndarray], value: Callable[[str], float]) -> None:
    inside = radii() < 1.0
    truth, predicted = (logs(score_grid(data[name]))[..., inside] for name in ("mass", "predicted"))
    mse = by_region(((predicted - truth) ** 2).mean(axis=(1, 2)), data["region"])
    assert value("residual_rms_dex") == pytest.approx(np.sqrt(mse), rel=1e-6)
    # The climatology: the mean of l over train in 40 rings, linear between their centres.
    ring = np.floor(radii() * 40).astype(int)
    train = logs(score_grid(data["train"]))
    rings = np.array([train[..., ring == i].mean() if (ring == i).any() else np.nan for i in range(40)])
    centres = (np.arange(40) + 0.5) / 40
    rings = np.interp(centres, centres[np.isfinite(rings)], rings[np.isfinite(rings)])
    climatology = np.interp(radii()[inside], centres, rings)
    zero = by_region(((climatology - truth) ** 2).mean(axis=(1, 2)), data["region"])
    assert value("skill") == pytest.approx(1 - mse / zero, rel=1e-6)


def test_the_residuals(data: dict[str, np.ndarray], value: Callable[[str], float]) -> None:
    inside = radii() < 1.0
    truth, predicted = (score_grid(data[name])[..., inside] for name in ("mass", "predicted"))
    bias, scatter = spread((logs(predicted) - logs(truth)).ravel())
    assert value("residual_bias") == pytest.approx(bias, abs=1e-4)
    assert value("residual_scatter") == pytest.approx(scatter, abs=1e-4)
    residual = (predicted - truth) / truth.std(axis=-1, keepdims=True)
    assert value("residual_rms") == pytest.approx(
        np.sqrt(by_region((residual**2).mean(axis=(1, 2)), data["region"])), rel=1e-6
    )


@pytest.mark.parametrize(("radius", "ending"), [(0.25, "_0.25"), (0.5, "_0.5"), (1.0, ""), (None, "_r500c")])
def test_the_cylinder_masses(
    data: dict[str, np.ndarray], value: Callable[[str], float], radius: float | None, ending: str
) -> None:
    truth, predicted = (score_grid(data[name]) for name in ("mass", "predicted"))
    ratio = []
    for halo in range(len(truth)):
        r = data["R500c"][halo] / data["R200c"][halo] if radius is None else radius
        areas = circle_areas(float(r))
        ratio += [
            (p * areas).sum() / (t * areas).sum() - 1
            for p, t in zip(predicted[halo], truth[halo], strict=True)
        ]
    bias, scatter = spread(np.array(ratio))
    assert value(f"mass_bias{ending}") == pytest.approx(bias, abs=2e-5)
    assert value(f"mass_scatter{ending}") == pytest.approx(scatter, abs=2e-5)


def test_the_power_and_the_correlation(data: dict[str, np.ndarray], scored: dict[str, Any]) -> None:
    truth, predicted = (logs(score_grid(data[name])) for name in ("mass", "predicted"))
    own, other = cross_power(predicted, predicted), cross_power(truth, truth)
    curves = scored["curves"]
    np.testing.assert_allclose(curves["power_ratio"]["value"], own / other, rtol=2e-5)
    both = cross_power(predicted, truth) / np.sqrt(own * other)
    np.testing.assert_allclose(curves["cross_correlation"]["value"], both, atol=2e-5)
