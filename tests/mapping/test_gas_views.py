"""Maps of the gas's entropy, metals and motion, by analytic truth."""

from __future__ import annotations

import numpy as np
import pytest
from mapping_helpers import cutout, frame, gas, particles

from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import HaloGrid, View, get_view, lines_of_sight, render
from three_hundred_maps.mapping.lines_of_sight import rotations
from three_hundred_maps.mapping.views import particle_mass
from three_hundred_maps.testing import analytic_cluster
from three_hundred_maps.units import KPC_CM, LIGHT_CM_PER_S, PROTON_MASS_G, SUN_G, THOMSON_CM2

RADIUS, STEP, KERNEL = 18.0, 0.7, 1.1  # of a ball of gas on a lattice, kpc; a pixel is 1 kpc
BULK = np.array([300.0, -200.0, 500.0])  # km/s
SPIN = np.array([4.0, 7.0, -3.0])  # km/s per kpc
MOTION = [get_view(name) for name in ("ksz", "velocity", "velocity_dispersion", "gas")]


def ball(velocity, copies=1, **fields):
    """A ball of uniform gas in a halo of dark matter that moves with `BULK`."""
    axis = np.arange(-RADIUS, RADIUS + STEP / 2, STEP)
    position = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    position = np.repeat(position[np.linalg.norm(position, axis=1) <= RADIUS], copies, axis=0)
    moving = gas(position, KERNEL, mass=1e6, **fields)
    moving.fields["velocity"] = velocity(position).astype(np.float32)
    dark = particles(np.array([[1.0, 0, 0], [-1.0, 0, 0]]), mass=1e16)
    dark.fields["velocity"] = np.tile(BULK, (2, 1)).astype(np.float32)
    return cutout(gas=moving, dark_matter=dark)


def test_a_rotating_moving_cluster():
    """Of a solid body's rotation the line of sight sees one number a pixel, linear across the map."""
    halo = frame(40)
    vectors, ups = lines_of_sight(5)
    made = render(ball(lambda r: BULK + np.cross(SPIN, r)), MOTION, halo, vectors, ups)
    axis = np.arange(40) + 0.5 - 20
    x, y = np.meshgrid(axis, axis)
    inside = np.hypot(x, y) < 0.7 * RADIUS
    fastest = np.linalg.norm(SPIN) * RADIUS
    for los, (right, up, towards) in enumerate(rotations(vectors, ups)):
        place = x[..., None] * right + y[..., None] * up
        receding = -(np.cross(SPIN, place) @ towards)
        off = made["velocity"][0][los] - receding
        assert np.abs(off[inside]).max() < 1e-3 * fastest
        # what differs within a kernel is all there is of a dispersion
        assert made["velocity_dispersion"][0][los][inside].max() < np.linalg.norm(SPIN) * KERNEL
    assert (made["velocity"][0][0] < 0).any() and (made["velocity"][0][0] > 0).any()


def test_kinetic_effect_of_a_uniform_moving_sphere():
    """-sigma_T n_e v / c times the chord of the sphere; the halo's own motion counts."""
    halo = frame(40)
    vectors, ups = lines_of_sight(3)
    made = render(ball(lambda r: np.tile(BULK, (len(r), 1))), MOTION, halo, vectors, ups)
    density = 1e6 / STEP**3 * SUN_G / KPC_CM**3 * 0.76 * 1.16 / PROTON_MASS_G  # electrons cm^-3
    axis = np.arange(40) + 0.5 - 20
    radius = np.hypot(*np.meshgrid(axis, axis))
    inside = radius < 0.7 * RADIUS
    chord = 2.0 * np.sqrt(RADIUS**2 - radius[inside] ** 2) * KPC_CM
    for los, towards in enumerate(vectors):
        depth = THOMSON_CM2 * density * chord
        expected = depth * (BULK @ towards) * 1e5 / LIGHT_CM_PER_S  # towards us: hotter
        ksz = made["ksz"][0][los][inside]
        assert np.abs(ksz / expected - 1).max() < 0.03
        assert ksz.mean() == pytest.approx(expected.mean(), rel=5e-3)
        per_msun = THOMSON_CM2 / PROTON_MASS_G * SUN_G / KPC_CM**2 * 0.76 * 1.16
        per_gas = ksz / made["gas"][0][los][inside]
        np.testing.assert_allclose(per_gas, per_msun * (BULK @ towards) * 1e5 / LIGHT_CM_PER_S, rtol=1e-4)
        # relative to the halo it rests
        assert np.abs(made["velocity"][0][los]).max() < 1e-2
    total = made["ksz"][1] / (made["gas"][1] * (vectors @ BULK))
    np.testing.assert_allclose(total, total[0], rtol=1e-5)


def test_dispersion_of_two_streams():
    """Half of the gas goes one way and half the other: the dispersion is the speed, in projection."""
    speed = np.array([0.0, 800.0, 600.0])
    streams = ball(lambda r: BULK + np.where(np.arange(len(r)) % 2, 1, -1)[:, None] * speed, copies=2)
    vectors, ups = lines_of_sight(4)
    made = render(streams, MOTION, frame(40), vectors, ups)
    for los, towards in enumerate(vectors):
        there = made["gas"][0][los] > 0
        dispersion = made["velocity_dispersion"][0][los]
        np.testing.assert_allclose(dispersion[there], abs(speed @ towards), rtol=1e-3)
        assert np.abs(made["velocity"][0][los]).max() < 0.1
        assert (dispersion[~there] == 0).all()


def test_winds_do_not_count_and_other_views_stay_as_they_are():
    still = ball(lambda r: np.tile(BULK, (len(r), 1)))
    vectors, ups = lines_of_sight(2)
    alone = render(still, [MOTION[3]], frame(40), vectors, ups)["gas"]
    beside = render(still, MOTION, frame(40), vectors, ups)["gas"]
    assert alone[0].tobytes() == beside[0].tobytes()
    windy = ball(lambda r: np.tile(BULK, (len(r), 1)), wind=1.0)
    made = render(windy, MOTION, frame(40), vectors, ups)
    assert not any(made[name][0].any() for name in ("ksz", "velocity", "velocity_dispersion"))


def test_any_number_of_threads_gives_the_same_bytes():
    turning = ball(lambda r: BULK + np.cross(SPIN, r))
    vectors, ups = lines_of_sight(3)
    one = render(turning, MOTION, frame(20), vectors, ups)
    two = render(turning, MOTION, frame(20), vectors, ups, threads=2)
    for view in MOTION:
        assert one[view.name][0].tobytes() == two[view.name][0].tobytes()


def test_what_cannot_be():
    bare = cutout(gas=gas([[0.0, 0.0, 0.0]], 1.0))
    with pytest.raises(InputError, match="gas without velocity, which a view is made of"):
        render(bare, MOTION, frame(8), *lines_of_sight(1))
    with pytest.raises(InputError, match="a dispersion needs a weight"):
        View("spread", "1", "text", ("gas",), particle_mass, dispersion=True)


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
