"""The checks of the synthetic simulation find what they look for; their page is current."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from three_hundred_maps.errors import InputError
from tools.realism.cavities import cavity_counts, outward_rise
from tools.realism.report import count_plans, fingerprint, render_page
from tools.realism.substructure import significance

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


def test_outward_rise_finds_a_hollow_and_not_its_absence() -> None:
    """Against densities whose rise is known: falling as r^-2, a step of 4, an empty inside."""
    rng = np.random.default_rng(13)
    falling = 1.5 * rng.random(40000)
    assert outward_rise(falling) < 1.05
    ball = 1.5 * np.cbrt(rng.random(400000))
    step = np.concatenate([ball[ball > 0.8], ball[ball <= 0.8][::4]])
    assert outward_rise(step) == pytest.approx(4.0, rel=0.15)
    assert outward_rise(ball[ball > 0.8]) == np.inf
    with pytest.raises(InputError, match="regions: 0"):
        cavity_counts("gizmo", 0)


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
