"""Measurements against analytic halos, and the state of the gas against its formulas."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.gas import (
    compton_y_mpc2,
    full_ionisation,
    gas_fields,
    temperature_kelvin,
)
from three_hundred_maps.simulation.measure import measure, spherical_overdensity
from three_hundred_maps.simulation.particles import GAS_FIELDS, Cutout, Particles
from three_hundred_maps.units import COMPTON_KPC2_PER_MSUN_K

COSMOLOGY = Cosmology(0.7, 0.3, 0.7)


def nfw_cutout(mass, c, redshift, *, n=200_000, outer=3.0, gas_share=0.1, star_share=0.02, shift=0.0, seed=0):
    """An NFW halo of M200c ``mass`` whose gas and stars follow the dark matter, gas at 1e7 K."""
    rng = np.random.default_rng(seed)
    radius = (mass / (4 / 3 * math.pi * 200 * COSMOLOGY.critical_density_msun_kpc3(redshift))) ** (1 / 3)
    grid = np.geomspace(1e-4, outer, 4000)

    def shape(x):
        return np.log1p(c * x) - c * x / (1 + c * x)

    whole = mass * shape(outer) / shape(1.0)
    particles = {}
    for name, share in (
        ("dark_matter", 1 - gas_share - star_share),
        ("gas", gas_share),
        ("stars", star_share),
    ):
        m = max(int(n * share), 1)
        x = np.interp((np.arange(m) + 0.5) / m, shape(grid) / shape(outer), grid)
        direction = rng.normal(size=(m, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        position = (direction * (x * radius)[:, None] + [shift * radius, 0, 0]).astype(np.float32)
        fields = {}
        if name == "gas":
            fields = {field: np.ones(m, np.float32) for field in GAS_FIELDS}
            fields |= {
                "temperature": np.full(m, 1e7, np.float32),
                "hydrogen_fraction": np.full(m, 0.76, np.float32),
                "electron_abundance": np.full(m, 1.1579, np.float32),
                "wind": np.zeros(m, np.float32),
            }
        particles[name] = Particles(
            position, np.full(m, share * whole / m, np.float32), np.arange(m, dtype=np.int64), fields
        )
    for name in ("low_resolution", "black_holes"):
        particles[name] = Particles.empty()
    return Cutout(particles, outer * radius, redshift, COSMOLOGY), radius


@settings(max_examples=12, deadline=None)
@given(log_mass=st.floats(13.0, 15.5), c=st.floats(2.0, 12.0), redshift=st.floats(0.0, 2.0))
def test_nfw(log_mass, c, redshift):
    mass = 10**log_mass
    cutout, radius = nfw_cutout(mass, c, redshift)
    found = measure(cutout)
    assert found["M200c"] == pytest.approx(mass, rel=2e-3)
    assert found["R200c"] == pytest.approx(radius, rel=1e-3)
    density = found["M500c"] / (4 / 3 * math.pi * found["R500c"] ** 3)
    assert density == pytest.approx(500 * COSMOLOGY.critical_density_msun_kpc3(redshift), rel=1e-9)
    x = found["R500c"] / radius
    shape = (np.log1p(c * x) - c * x / (1 + c * x)) / (np.log1p(c) - c / (1 + c))
    assert found["M500c"] == pytest.approx(mass * shape, rel=5e-3)
    assert found["c200c"] == pytest.approx(c, rel=0.03)
    assert found["f_gas_500"] == pytest.approx(0.1, rel=0.01)
    assert found["f_star_500"] == pytest.approx(0.02, rel=0.01)
    assert found["T_mw_500_keV"] == pytest.approx(1e7 * 8.617333e-8, rel=1e-5)
    wanted = 1.4007e-20 * 1e-6 * found["f_gas_500"] * found["M500c"] * 0.76 * 1.1579 * 1e7
    assert found["Y_500_mpc2"] == pytest.approx(wanted, rel=1e-4)
    assert found["com_offset"] < 0.01


def test_centre_offset():
    cutout, _ = nfw_cutout(1e14, 4.0, 0.0, shift=0.1)
    # Within R200c of a point 0.1 R away the NFW halo's own centre of mass is a little nearer.
    assert 0.05 < measure(cutout)["com_offset"] < 0.1


def test_winds_have_no_pressure():
    cutout, _ = nfw_cutout(1e14, 4.0, 0.0)
    before = measure(cutout)
    cutout["gas"].fields["wind"][::2] = 1
    after = measure(cutout)
    assert after["Y_500_mpc2"] == pytest.approx(0.5 * before["Y_500_mpc2"], rel=0.01)
    assert after["f_gas_500"] == before["f_gas_500"]


def test_no_halo_and_too_small_a_cutout():
    cutout, radius = nfw_cutout(1e14, 4.0, 0.0, n=5000)
    near = {
        name: p.select(np.linalg.norm(p.position, axis=1) < 0.8 * radius)
        for name, p in cutout.particles.items()
    }
    with pytest.raises(InputError, match="too small"):
        measure(Cutout(near, 0.8 * radius, 0.0, COSMOLOGY))
    far = {
        name: Particles(p.position + np.float32(2.5 * radius), p.mass, p.index, p.fields)
        for name, p in cutout.particles.items()
    }
    with pytest.raises(InputError, match="no halo"):
        measure(Cutout(far, radius, 0.0, COSMOLOGY))
    nothing = {name: p.select(np.zeros(len(p), bool)) for name, p in cutout.particles.items()}
    with pytest.raises(InputError, match="no halo"):
        measure(Cutout(nothing, radius, 0.0, COSMOLOGY))


def test_spherical_overdensity_of_a_step():
    """Constant density to radius 1, nothing beyond: the radius follows from the mass alone."""
    r = np.append(np.cbrt((np.arange(1000) + 1) / 1000), 10.0)
    enclosed = np.append(np.arange(1, 1001), 1000.0)
    mass, radius = spherical_overdensity(r, enclosed, 1000 / (4 / 3 * math.pi * 8))
    assert mass == 1000
    assert radius == pytest.approx(2.0)


def test_temperature_and_compton():
    # 1 keV per (mu m_p): fully ionised primordial gas, mu = 0.588.
    x = np.array([0.76])
    ne = full_ionisation(x)
    assert ne[0] == pytest.approx(1.157894, rel=1e-5)
    mu = 4 / (3 + 5 * 0.76)
    u = 1.5 * 1.602176634e-9 / (mu * 1.67262192369e-24) / 1e10
    assert temperature_kelvin(np.array([u]), x, ne)[0] == pytest.approx(1.16045e7, rel=1e-4)
    neutral = temperature_kelvin(np.array([u]), x, np.zeros(1))
    assert neutral[0] / 1.16045e7 == pytest.approx((4 / (1 + 3 * 0.76)) / mu, rel=1e-4)
    assert pytest.approx(1.4007e-20, rel=1e-4) == COMPTON_KPC2_PER_MSUN_K
    # float32 masses of a whole cluster must not overflow on the way.
    gas = {
        "hydrogen_fraction": np.full(1, 0.76, np.float32),
        "electron_abundance": np.full(1, 1.16, np.float32),
        "temperature": np.full(1, 1e8, np.float32),
    }
    y = compton_y_mpc2(np.full(1, 1e15, np.float32), gas)
    assert y[0] == pytest.approx(1.4007e-26 * 1e15 * 0.76 * 1.16 * 1e8, rel=1e-4)


def test_gas_fields_hydrogen_from_what_there_is():
    n = 5
    base = {
        "internal_energy": np.full(n, 1e6, np.float32),
        "density": np.ones(n, np.float32),
        "smoothing_length": np.ones(n, np.float32),
        "metallicity": np.full(n, 0.01, np.float32),
    }
    mass, position = np.ones(n, np.float32), np.zeros((n, 3), np.float32)

    def hydrogen(**more):
        columns = {**base, **{k: np.full(n, v, np.float32) for k, v in more.items()}}
        made = gas_fields(columns, mass, position, arepo=False, kernel="cubic_spline", drop_winds=True)
        assert set(made) == set(GAS_FIELDS)
        assert all(values.dtype == np.float32 for values in made.values())
        return float(made["hydrogen_fraction"][0])

    assert hydrogen() == pytest.approx(0.76)
    assert hydrogen(helium_fraction=0.25) == pytest.approx(0.74)
    assert hydrogen(hydrogen_fraction=0.71) == pytest.approx(0.71)


MANY = """
import numpy as np
from three_hundred_maps.mapping.views import VIEWS, MapContext, context_of_halo
from three_hundred_maps.simulation.cosmology import MDPL2
from three_hundred_maps.simulation.measure import measure
from three_hundred_maps.simulation.particles import GAS_FIELDS, SPECIES, Cutout, Particles

n = 500_000
position = np.random.default_rng(1).normal(size=(n, 3)).astype("f4") * 500
every = {name: Particles.empty(GAS_FIELDS if name == "gas" else None) for name in SPECIES}
every["dark_matter"] = Particles(position, np.full(n, 1e9, "f4"), np.arange(n), {"velocity": position})
cutout = Cutout(every, 3e3, 0.0, MDPL2)
velocity = context_of_halo(MapContext(), cutout, 2e3, [VIEWS["velocity"]]).halo_velocity
print(measure(cutout)["com_offset"].hex(), velocity.tobytes().hex())
"""


def test_threads_of_linear_algebra_change_no_bit():
    """A build in one process has as many of them as there are cores, the workers of a pool one."""
    said = [
        subprocess.run(
            [sys.executable, "-c", MANY],
            env={**os.environ, "OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n},
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for n in "12"
    ]
    assert said[0] and said[0] == said[1]
