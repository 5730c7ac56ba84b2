"""Maps of clusters whose projections are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import constants

from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.mapping import (
    GasCuts,
    HaloGrid,
    MapContext,
    emissivity_source,
    get_view,
    lines_of_sight,
)
from three_hundred_maps.mapping import render as draw
from three_hundred_maps.testing import analytic_cluster
from three_hundred_maps.units import COMPTON_KPC2_PER_MSUN_K, KPC_CM, PROTON_MASS_G, SUN_G

RINGS = np.array([0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0])  # R200c


def ring_means(image, frame, truth):
    """Means over rings of a map and of the closed form at its pixels' centres."""
    axis = (np.arange(frame.pixels) + 0.5 - frame.pixels / 2) * frame.pixel_kpc
    radius = np.hypot(axis[:, None], axis[None, :])
    expected = truth(radius)
    for low, high in zip(RINGS[:-1] * frame.R200c_kpc, RINGS[1:] * frame.R200c_kpc, strict=True):
        ring = (radius >= low) & (radius < high)
        yield image[ring].mean(dtype="f8"), expected[ring].mean()


@pytest.mark.parametrize("redshift", (0.0, 0.6))
def test_isothermal_beta_model(redshift):
    cluster = analytic_cluster(
        n_gas=150_000, n_dark=10, n_stars=10, core=0.35, neighbours=32, redshift=redshift
    )
    frame = HaloGrid(cluster.R200c_kpc)
    depth = frame.half_depth_kpc
    vectors, ups = lines_of_sight(4)
    maps = draw(cluster.cutout, [get_view(v) for v in ("gas", "sz", "xray")], frame, vectors, ups)

    def column(radius):
        return cluster.gas_column(radius, depth)

    hydrogen, electrons = cluster.hydrogen_fraction, cluster.electron_abundance
    y_per_mass = COMPTON_KPC2_PER_MSUN_K * hydrogen * electrons * cluster.temperature_K
    rate = emissivity_source("cie").cooling_rate(
        np.array([cluster.temperature_K]), np.array([cluster.metallicity])
    )[0]
    per_density_squared = rate * (hydrogen / PROTON_MASS_G * SUN_G) ** 2 / KPC_CM**3 / 1e44

    for got, expected in ring_means(maps["gas"][0].mean(axis=0), frame, column):
        assert got == pytest.approx(expected, rel=0.01)
    for got, expected in ring_means(maps["sz"][0].mean(axis=0), frame, lambda r: y_per_mass * column(r)):
        assert got == pytest.approx(expected, rel=0.01)
    for got, expected in ring_means(
        maps["xray"][0].mean(axis=0),
        frame,
        lambda r: per_density_squared * cluster.gas_density_squared(r, depth),
    ):
        assert got == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("redshift", (0.0, 1.0))
def test_nfw_surface_density(redshift):
    """Wright & Brainerd 2000: the whole halo, so a cut-out and a depth of many R200c."""
    cluster = analytic_cluster(n_gas=10, n_dark=300_000, n_stars=10, extent=40.0, redshift=redshift)
    frame = HaloGrid(cluster.R200c_kpc, MapGrid(half_depth=39.0))
    vectors, ups = lines_of_sight(4)
    maps, _ = draw(cluster.cutout, [get_view("dark_matter")], frame, vectors, ups)["dark_matter"]
    for got, expected in ring_means(maps.mean(axis=0), frame, cluster.nfw_column):
        assert got == pytest.approx(expected, rel=0.02)


def test_the_map_holds_the_compton_y_of_the_particles():
    """A map so wide and deep that every kernel ends inside."""
    cluster = analytic_cluster(n_gas=20_000, n_dark=10, n_stars=10)
    whole = replace(cluster.cutout, radius_kpc=1e9)
    gas = whole["gas"]
    frame = HaloGrid(cluster.R200c_kpc, MapGrid(width=7.0, half_depth=3.5))
    reach = np.linalg.norm(gas.position, axis=1) + gas.fields["smoothing_length"]
    assert reach.max() < 3.5 * cluster.R200c_kpc
    maps, totals = draw(whole, [get_view("sz")], frame, *lines_of_sight(3))["sz"]
    # the constant in kpc^2 per Msun and kelvin, from another table of constants (SI)
    msun, kpc2 = 1.3271244e20 / constants.G, (1e3 * constants.parsec) ** 2
    thomson = constants.value("Thomson cross section") * constants.k / (constants.m_e * constants.c**2)
    each = (
        thomson
        / constants.m_p
        * msun
        / kpc2
        * gas.mass.astype("f8")
        * 0.76
        * 1.158
        * gas.fields["temperature"].astype("f8")
    )
    assert totals == pytest.approx(each.sum(), rel=3e-5)  # G itself is known to 2e-5
    assert maps.sum(axis=(1, 2), dtype="f8") * frame.pixel_area_kpc2 == pytest.approx(totals, rel=1e-5)


def test_the_temperature_of_an_isothermal_cluster_is_its_temperature():
    cluster = analytic_cluster(temperature_keV=6.5)
    context = MapContext(GasCuts(), emissivity_source("bremsstrahlung"))
    maps, totals = draw(
        cluster.cutout,
        [get_view("temperature")],
        HaloGrid(cluster.R200c_kpc),
        *lines_of_sight(1),
        context=context,
    )["temperature"]
    assert maps == pytest.approx(6.5, rel=1e-4)
    assert totals == pytest.approx(6.5 * (2 * cluster.R200c_kpc) ** 2, rel=1e-4)


def test_orientation_on_an_asymmetric_cluster():
    """Up is +y, u x n is +x, and what is nearer to the observer does not matter."""
    cluster = analytic_cluster(n_gas=10, n_dark=2000, n_stars=10)
    cutout = cluster.cutout
    dark = cutout["dark_matter"]
    vectors, ups = lines_of_sight(5)
    for n, u in zip(vectors, ups, strict=True):
        right = np.cross(u, n)
        clump = (0.6 * right + 0.3 * u + 1.0 * n) * cluster.R200c_kpc
        moved = type(dark)((dark.position * 0.01 + clump).astype("f4"), dark.mass, dark.index)
        box = type(cutout)(
            {**cutout.particles, "dark_matter": moved}, cutout.radius_kpc, 0.0, cutout.cosmology
        )
        maps, _ = draw(box, [get_view("dark_matter")], HaloGrid(cluster.R200c_kpc), n[None], u[None])[
            "dark_matter"
        ]
        y, x = np.unravel_index(np.argmax(maps[0]), maps[0].shape)
        # 0.6 R200c right of the centre: pixel 40 + 24, on the edge; 0.3 up: 40 + 12
        assert x in (63, 64) and y in (51, 52)
