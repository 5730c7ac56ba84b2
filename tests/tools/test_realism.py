"""The checks of the synthetic simulation find what they look for; their page is current."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from three_hundred_maps.errors import InputError
from three_hundred_maps.store.local import find_store
from tools.realism.attack import ATTACKS, attack, least_blob, rank_correlation
from tools.realism.cavities import outward_rise
from tools.realism.report import count_plans, fingerprint, render_page
from tools.realism.substructure import significance
from tools.realism.texture import (
    AIMS,
    VIEWS,
    aimed_medians,
    aims_table,
    halo_figures,
    map_radius,
    ring_residual,
    store_figures,
)

ROOT = Path(__file__).resolve().parents[2]


def test_significance_finds_a_peak_and_not_its_absence() -> None:
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:80, :80]
    r = np.hypot((x - 39.5) * 0.025, (y - 39.5) * 0.025)
    smooth = 1.0 / (0.1 + r) + 0.05 * rng.standard_normal(r.shape)
    assert abs(significance(smooth, 0.4, 0.2, 0.0)) < 4.0
    bright = smooth + 2.0 * np.exp(
        -0.5 * (((x - 39.5) * 0.025 - 0.4) ** 2 + ((y - 39.5) * 0.025 - 0.2) ** 2) / 0.03**2
    )
    assert significance(bright, 0.4, 0.2, 0.0) > 10.0
    assert significance(bright, 0.4, 0.2, 1e3) < 1.0  # the floor counts


def _maps(rng: np.random.Generator, field: np.ndarray) -> dict[str, np.ndarray]:
    """Flat maps, SZ and mass times the same log-normal field, X-rays and stars times others."""
    own = [rng.standard_normal(field.shape) for _ in range(2)]
    noise = {"sz": field, "mass": field, "xray": own[0], "star": own[1]}
    scale = {"sz": 1e-5, "xray": 1e-5, "star": 1e7, "mass": 1e8}
    return {view: scale[view] * np.exp(0.1 * noise[view]) for view in VIEWS}


def test_texture_of_maps_whose_fields_are_known() -> None:
    """White noise of a known strength: its power, its correlations, its kurtosis; rings alone have none."""
    rng = np.random.default_rng(5)
    field = rng.standard_normal((40, 80, 80))
    maps = _maps(rng, field)
    figures = halo_figures(maps)
    assert figures["r sz-mass 3-6"] == pytest.approx(1.0, abs=0.02)
    assert abs(figures["r sz-xray 3-6"]) < 0.1
    assert abs(figures["kurtosis xray"]) < 0.25
    # white noise of 0.1/ln 10 dex a pixel, damped by the Gaussian of FWHM 0.05 = 2 pixels
    sigma = 0.05 / np.sqrt(8.0 * np.log(2.0))
    k = np.sqrt(np.fft.fftfreq(80, 0.025)[:, None] ** 2 + np.fft.fftfreq(80, 0.025) ** 2)
    band = (k >= 3.0) & (k < 6.0)
    expected = (0.1 / np.log(10.0)) ** 2 * np.exp(-((2 * np.pi * k[band] * sigma) ** 2)).mean()
    assert figures["P sz 3-6"] == pytest.approx(expected, rel=0.1)
    round_maps = {view: np.broadcast_to(1e3 * (2.0 + map_radius(80)), (2, 80, 80)) for view in VIEWS}
    assert halo_figures(round_maps)["P sz 3-6"] < 3e-6
    spike = {view: m.copy() for view, m in maps.items()}
    spike["xray"][:, 40, 40:44] = 9.0 * spike["xray"].sum((1, 2))[:, None] / 36.0
    assert figures["brightest xray"] < 0.1 < 0.4 < halo_figures(spike)["brightest xray"]


def test_what_misses_its_aim_is_marked(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    kept = aimed_medians([halo_figures(_maps(rng, rng.standard_normal((2, 80, 80))))] * 3)
    assert kept["halos"] == 3
    kept["P sz 3-6"], kept["P xray 3-6"] = AIMS["P sz 3-6"].low * 1.1, AIMS["P xray 3-6"].high * 2.0
    table = aims_table({"here": kept})
    assert "here (3)" in table
    assert "| 0.0066 |" in table and "| *0.16* |" in table
    with pytest.raises(InputError, match="no store"):
        store_figures(tmp_path)


def test_ring_residual_is_blind_to_rings() -> None:
    rng = np.random.default_rng(7)
    residual = ring_residual(1e-5 * np.exp(rng.standard_normal((1, 80, 80))), "sz")
    ring = (map_radius(80) > 0.3) & (map_radius(80) < 0.35)
    assert residual[0, ring].mean() == pytest.approx(0.0, abs=1e-12)


def test_outward_rise_finds_a_hollow_and_not_its_absence() -> None:
    """Against densities whose rise is known: falling as r^-2, a step of 4, an empty inside."""
    rng = np.random.default_rng(13)
    falling = 1.5 * rng.random(40000)
    assert outward_rise(falling) < 1.05
    ball = 1.5 * np.cbrt(rng.random(400000))
    step = np.concatenate([ball[ball > 0.8], ball[ball <= 0.8][::4]])
    assert outward_rise(step) == pytest.approx(4.0, rel=0.15)
    assert outward_rise(ball[ball > 0.8]) == np.inf


def test_page_is_current() -> None:
    """docs/synthetic.md is what its numbers give, and those are of the generator as it is now."""
    values = json.loads((ROOT / "docs" / "synthetic" / "values.json").read_text(encoding="utf-8"))
    for flavour, now in fingerprint().items():
        kept = values["fingerprint"][flavour]
        assert now.keys() == kept.keys()
        for name, moments in now.items():
            assert moments == pytest.approx(kept[name], rel=1e-4), (
                f"{flavour} {name}: run three-hundred-maps simulate --check --report docs/synthetic.md"
            )
    counted = count_plans(values["seed"])
    assert {name: values[name] for name in counted} == counted
    assert (ROOT / "docs" / "synthetic.md").read_text(encoding="utf-8") == render_page(values)
    for name in ("relations.png", "gallery-gadgetx.png", "gallery-gizmo.png"):
        assert (ROOT / "docs" / "synthetic" / name).stat().st_size > 10_000


def test_the_attack_finds_what_single_particles_show() -> None:
    """Lone particles of one mass in maps scaled by R200c: the ranks follow; spread light tells nothing."""
    rng = np.random.default_rng(5)
    log_mass = rng.uniform(14.0, 15.0, 200)
    radius = 10 ** (log_mass / 3.0)
    image = np.zeros((20, 20))
    image[3, 4], image[10:14, 10:14] = 1.0, 5.0
    found = np.array([least_blob(image / r**2) for r in radius])
    correlation, number = rank_correlation(found, log_mass)
    assert correlation == pytest.approx(-1.0) and number == 200
    assert abs(rank_correlation(rng.random(200), log_mass)[0]) < 0.25
    assert rank_correlation(np.ones(200), log_mass)[0] == 0.0


@pytest.mark.long
@pytest.mark.parametrize("config", ["mini", "mini-gizmo"])
def test_the_star_view_of_shipped_configs_withstands_the_attack(config: str) -> None:
    found = attack(find_store(config))
    assert found["pieces sz"] == found["pieces xray"] == 0.0
    for name in ATTACKS:
        assert abs(found[name]) < 0.3, name
