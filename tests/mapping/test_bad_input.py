"""What cannot be mapped says so in one line."""

from __future__ import annotations

import numpy as np
import pytest
from mapping_helpers import DARK, GAS, cutout, frame, gas, particles

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.mapping import (
    HaloGrid,
    MapContext,
    View,
    cutout_radius,
    get_view,
    lines_of_sight,
    render,
)
from three_hundred_maps.mapping.kernels import check_kernel

SIGHT = lines_of_sight(1)


@pytest.mark.parametrize("bad", (np.nan, -1.0, np.inf))
def test_smoothing_lengths(bad):
    box = cutout(gas=gas([[0, 0, 0], [1, 1, 1]], [1.0, bad]))
    with pytest.raises(InputError, match="1 smoothing lengths are negative or not finite"):
        render(box, [GAS], frame(), *SIGHT)


def test_positions_and_contributions():
    with pytest.raises(InputError, match="dark_matter: some positions are not finite"):
        render(cutout(dark_matter=particles([[np.nan, 0, 0]])), [DARK], frame(), *SIGHT)
    lost = cutout(stars=particles([[np.nan, 0, 0], *np.eye(3)]))
    with pytest.raises(InputError, match="stars: some positions are not finite"):
        render(lost, [get_view("star")], frame(), *SIGHT)
    with pytest.raises(InputError, match="view gas_only: 1 particles of gas contribute"):
        render(cutout(gas=gas([[0, 0, 0]] * 2, 1.0, mass=[1.0, np.nan])), [GAS], frame(), *SIGHT)
    wrong = View("wrong", "1", "of another shape", ("gas",), lambda p, c: np.zeros(len(p) + 1))
    with pytest.raises(InputError, match="view wrong: the contribution of 1 particles"):
        render(cutout(gas=gas([[0, 0, 0]], 1.0)), [wrong], frame(), *SIGHT)


def test_map_grids():
    for bad in (
        {"R200c_kpc": 0.0},
        {"R200c_kpc": np.nan},
        {"width": -1.0},
        {"half_depth": np.inf},
        {"pixels": 0},
        {"smoothing_fwhm": -0.1},
    ):
        with pytest.raises(InputError, match="map grid: "):
            HaloGrid(**bad) if "R200c_kpc" in bad else MapGrid(**bad)


def test_a_cutout_that_is_too_small():
    shape = frame()
    box = cutout(gas=gas([[0, 0, 0]], 1.0), radius=0.9 * cutout_radius(shape))
    with pytest.raises(InputError, match="too small for these maps"):
        render(box, [GAS], shape, *SIGHT)


def test_other_arguments():
    box = cutout(gas=gas([[0, 0, 0]], 1.0))
    with pytest.raises(InputError, match="at least one"):
        render(box, [], frame(), *SIGHT)
    with pytest.raises(InputError, match="different names"):
        render(box, [GAS, GAS], frame(), *SIGHT)
    with pytest.raises(InputError, match="use reference, fast, torch"):
        render(box, [GAS], frame(), *SIGHT, backend="magic")
    with pytest.raises(InputError, match="dm_smoothing must be one of gaussian, adaptive"):
        render(box, [GAS], frame(), *SIGHT, dm_smoothing="median")
    with pytest.raises(InputError, match="threads"):
        render(box, [GAS], frame(), *SIGHT, threads=0)
    with pytest.raises(InputError, match="kernel 'top_hat'"):
        check_kernel("top_hat")
    with pytest.raises(InputError, match="kernel 'gauss'"):
        render(
            cutout(kernel="gauss", gas=gas([[0, 0, 0]], 1.0)), [GAS], frame(), *SIGHT, context=MapContext()
        )
