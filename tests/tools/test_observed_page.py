"""What an instrument costs: what is observed, trained, predicted and scored, and the page of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import command, refused
from three_hundred_maps.observe.levels import BENCHMARK_LEVELS, PERFECT
from three_hundred_maps.testing import tiny_store
from tools import observed
from tools.observed_page import FIGURE, PAGE, SUMMARY, draw_scales, lost_share, render
from tools.steps import Work

PLANCK = {"h": 0.6777, "omega_m": 0.307115, "omega_lambda": 0.692885, "omega_b": 0.048206}
LEVELS = (PERFECT, *BENCHMARK_LEVELS)
K = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]


def test_every_track_is_trained_and_scored_at_every_level(tmp_path: Path) -> None:
    stores = {level: tmp_path / level for level in LEVELS}
    stages = observed.make_stages(stores, tmp_path / "wide", Work(tmp_path, steps=7))
    training, predicting, scoring = stages
    assert len(training) == 4 * 5 and len(predicting) == len(scoring) == 4 * (5 + 2) + 3 * 2
    commands = {step.name: step.command for stage in stages for step in stage}
    deep = commands["train deep-unet-all-shear"]
    assert "--views sz,xray,star,shear1,shear2" in deep and "--shuffle 2 --noise fresh" in deep
    assert f"--ideal {tmp_path}/wide --steps 7" in deep
    assert "--noise" not in commands["train perfect-unet-sz"]
    assert f"--method nfw --data {tmp_path}/wide" in commands["predict wide-nfw-shear"]
    assert "predict perfect-nfw-shear" not in commands
    assert f"--data {tmp_path}/pointed" in commands["score pointed-ridge-all"]


def test_mistakes_are_told(tmp_path: Path) -> None:
    for args, message in (
        ([], "--out"),
        (["--levels", "deep,shallow", "--out", tmp_path / "c"], "deep,shallow: some of pointed"),
        (["--render", "--page", tmp_path], "run python -m tools.observed"),
    ):
        refused(observed.main, *args, said=message)


def made_up() -> dict[str, Any]:
    """Results in which a level's error is that of perfect instruments, and so much for each step down."""

    def one(level: str, model: str, track: str, rms: float) -> dict[str, Any]:
        score = {"value": rms, "low": rms - 0.01, "high": rms + 0.01}
        scores = dict.fromkeys(("residual_rms_dex", "mass_bias", "mass_scatter"), score)
        scores["k_0.5"] = {"value": 1 / rms, "low": None, "high": None}
        curve = [max(1.0 - rms * k, 0.0) for k in K]
        return {
            "level": level, "model": model, "track": track, "parameters": 4321, "scores": scores,
            "views": observed.TRACKS.get(track, "shear1,shear2"), "noise_floor": {"residual_rms_dex": 0.05},
            "dataset": {"name": level, "halos": 20, "regions": 13, "lines_of_sight": 29},
            "references": {"climatology": scores | {"residual_rms_dex": {**score, "value": 0.21}}},
            "curves": {name: {"k": K, "value": curve} for name in ("power_ratio", "cross_correlation")},
        }  # fmt: skip

    loss = {level: 0.02 * place for place, level in enumerate(LEVELS)}
    runs = [
        one(level, "unet", track, 0.1 + loss[level] * (2 if track == "xray" else 1))
        for level in LEVELS
        for track in observed.TRACKS
    ]
    runs += [one(level, "nfw", "shear", 0.2) for level in BENCHMARK_LEVELS]
    differences = [
        {"kind": "instrument", "level": level, "track": track, "low": 0.01, "high": 0.03,
         "value": loss[level] * (2 if track == "xray" else 1)}
        for level in BENCHMARK_LEVELS for track in observed.TRACKS
    ]  # fmt: skip
    differences += [
        {"kind": "shear", "level": level, "track": "all-shear", "value": -0.002, "low": low, "high": -0.001}
        for level, low in zip(BENCHMARK_LEVELS, (-0.003, None, -0.003), strict=True)
    ]
    differences[-1] |= {"high": 0.001}
    instruments = [
        {
            "level": level,
            "view": view,
            "beam_R200c": 0.0 if view == "star" else 0.25,
            "k_noise": 0.5 if (level, view) == ("wide", "shear1") else k,
        }
        for level, k in zip(BENCHMARK_LEVELS, (None, 3.0, 1.5), strict=True)
        for view in ("sz", "xray", "star", "shear1")
    ]
    command = "python -m tools.observed --data mini-wide --steps 7 --out DIR --page docs"
    return {"command": command, "runs": runs, "differences": differences, "instruments": instruments}


def test_the_page_says_what_the_numbers_say() -> None:
    summary = made_up()
    page = render(summary)
    assert "| X-ray | 0.1000 | 0.1400 | 0.1800 | 0.2200 |" in page
    assert "| X-ray | +0.0400 (+0.0100 to +0.0300) |" in page
    assert "from most to least: X-ray +0.1200, SZ +0.0600, stars +0.0600." in page
    assert (
        "`pointed`: all views with shear differ from all without by -0.0020 (-0.0030 to -0.0010) dex;" in page
    )
    # 0.12 * 0.2 / hypot(0.12, 0.2)
    assert "alone has 0.200: were its errors independent, both together would have 0.103." in page
    assert "by -0.0020 (-0.0030 to +0.0010) dex, a tie;" in page and "by -0.0020 dex;" in page
    assert "| pointed | stars | - | above 20 |" in page and "| deep | shear | 0.250 | 3.0 |" in page
    assert "| wide | shear | 0.250 | below 0.5 |" in page
    assert "- SZ: perfect 10.00; pointed above 20 and 8.33; deep 3.0 and 7.14; wide 1.5 and 6.25." in page
    assert "| wide | NFW fit to the tangential shear | shear | 0.2000 |" in page
    assert summary["command"] in page and "- No better than the climatology: X-ray at `wide`.\n" in page
    k, lost = lost_share(summary["runs"][0])
    # A prediction that is a c-th of the truth's power and c-correlated: 1 + c - 2 c^1.5; none: 1.
    np.testing.assert_allclose(lost[[1, 5]], [1 + 0.9 - 2 * 0.9**1.5, 1.0])
    assert k.tolist() == K
    lines = [len(axis.lines) for axis in draw_scales(summary["runs"]).axes]
    assert lines == [*[5] * 5, *[4] * 5, *[5] * 5]


@pytest.mark.long
def test_a_whole_comparison(tmp_path: Path) -> None:
    simulation = {"code": "blobs", "redshift": 0.0, "cosmology": PLANCK}
    wide = tiny_store(
        tmp_path / "wide", halos=(8, 4, 11), n_los=2, pixels=120, width=3.0, name="tiny-wide",
        simulation=simulation,
    )  # fmt: skip
    words = ("--data", wide, "--out", tmp_path / "c", "--levels", "deep", "--steps", "2", "--device", "cpu")
    assert command(observed.main, *words).returncode == 0
    page = tmp_path / "c" / "page"
    text = (page / PAGE).read_text()
    for words in (PERFECT, "deep", "Kaiser-Squires", "ridge regression", "oracle R200c"):
        assert words in text
    assert all((page / name).stat().st_size > 10_000 for name in (SUMMARY, FIGURE))
