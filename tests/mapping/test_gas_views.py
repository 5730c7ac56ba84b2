"""Entropy and metallicity of hot gas, by analytic truth."""

from __future__ import annotations

import numpy as np
import pytest

from three_hundred_maps.mapping import HaloGrid, get_view, lines_of_sight, render
from three_hundred_maps.testing import analytic_cluster
from three_hundred_maps.units import KPC_CM, PROTON_MASS_G, SUN_G


def mapped(cluster, *names):
    made = render(
        cluster.cutout,
        [get_view(name) for name in names],
        HaloGrid(cluster.R200c_kpc),
        *lines_of_sight(2),
    )
    return [made[name][0] for name in names]


def test_entropy_of_a_uniform_gas():
    """5 keV and one density everywhere: K = kT n_e^(-2/3) in every pixel with gas."""
    cluster = analytic_cluster(n_gas=3000, temperature_keV=5.0)
    gas = cluster.cutout["gas"].fields
    density = 3e4  # Msun kpc-3
    gas["density"][:] = density
    electrons = density * SUN_G / KPC_CM**3 / PROTON_MASS_G
    electrons *= float(gas["hydrogen_fraction"][0]) * float(gas["electron_abundance"][0])
    (entropy,) = mapped(cluster, "entropy")
    assert (entropy > 0).mean() > 0.5
    np.testing.assert_allclose(entropy[entropy > 0], 5.0 * electrons ** (-2.0 / 3.0), rtol=1e-3)


def test_metallicity_is_the_gas_s_own():
    cluster = analytic_cluster(n_gas=3000, metallicity=0.007)
    (metals,) = mapped(cluster, "metallicity")
    np.testing.assert_allclose(metals[metals > 0], 0.007, rtol=1e-4)


def test_neutral_gas_has_no_entropy():
    cluster = analytic_cluster(n_gas=1000)
    gas = cluster.cutout["gas"].fields
    gas["electron_abundance"][:] = 0.0
    (entropy,) = mapped(cluster, "entropy")
    assert np.isfinite(entropy).all()
    assert entropy.max() == pytest.approx(0.0)
