"""Parts of the synthetic simulation, its stars too, against what physics and geometry say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import refused
from three_hundred_maps.cli import main
from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.stellar_mass import mass_left
from three_hundred_maps.simulation.synthetic.campaign import simulate_regions
from three_hundred_maps.simulation.synthetic.dark_matter import DarkMatter, Halo, make_dark_matter, make_halo
from three_hundred_maps.simulation.synthetic.feedback import feedback_of
from three_hundred_maps.simulation.synthetic.fields import (
    Shape,
    add_wells,
    random_field,
    refined,
    rotation,
    stratified_radii,
)
from three_hundred_maps.simulation.synthetic.gas import _host_part, draw_halo_gas
from three_hundred_maps.simulation.synthetic.gas_profiles import Core, gas_profile
from three_hundred_maps.simulation.synthetic.kernels import drift_stripped
from three_hundred_maps.simulation.synthetic.profiles import LOG_X, X, at, halo_profile, lengths
from three_hundred_maps.simulation.synthetic.satellites import (
    _STREAM_STRIDE,
    _TURN,
    DT,
    _pull_table,
    draw_satellites,
)
from three_hundred_maps.simulation.synthetic.setup import (
    FLAVOURS,
    RESOLUTIONS,
    STAR_BIRTH_MASS,
    TODAY,
    Flavour,
    Resolution,
    check_flavour,
    generators,
)
from three_hundred_maps.simulation.synthetic.stars import Stars, make_stars, stellar_mass
from three_hundred_maps.simulation.synthetic.universe import draw_plan
from three_hundred_maps.units import BOLTZMANN_ERG_PER_K, KM_CM, PROTON_MASS_G


def test_halo_profile_is_closed_and_steepens() -> None:
    profile = halo_profile(5e14, 4.5)
    assert at(1.0, profile.mass) == pytest.approx(1.0, rel=1e-6)
    assert profile.m500 / profile.r500**3 == pytest.approx(2.5, rel=1e-3)
    slope = np.gradient(np.log(profile.density), LOG_X)
    assert np.interp(0.0, LOG_X, slope) < -2.3  # at R200c
    assert np.interp(np.log(0.02), LOG_X, slope) == pytest.approx(-1.0 - 2 * 0.09 / 1.09, abs=0.1)


def test_directions_leave_the_radii_alone_and_make_the_ellipsoid() -> None:
    """Radii are exact whatever the shape; an ellipsoid without irregularities has its axis ratios."""
    rng = np.random.default_rng(1)
    radii = stratified_radii(rng, 60000, halo_profile(5e14, 4.5).mass, 0.0, 1.0)
    middle, short, none, slope = (np.full(len(LOG_X), value) for value in (0.7, 0.5, 0.0, 3.0))
    shape = Shape(rotation(rng), middle, short, none, random_field(rng))
    found = shape.placed(rng, radii, slope)
    position, ratio = found.position, found.ratio
    np.testing.assert_allclose(lengths(position), radii, rtol=1e-9)
    own = position @ shape.axes.T / radii[:, None]
    # for densities of slope 3 directions are those of a stretched sphere
    sphere = rng.standard_normal((60000, 3)) * np.array([1.0, 0.7, 0.5])
    sphere /= lengths(sphere)[:, None]
    np.testing.assert_allclose((own**2).mean(0), (sphere**2).mean(0), rtol=0.03)
    # the ratio averages to one over each shell: 1/<1/rho> over a mass-weighted sample
    shell = (radii > 0.5) & (radii < 0.6)
    assert 1.0 / np.mean(1.0 / ratio[shell]) == pytest.approx(1.0, rel=0.05)


def test_random_field_has_unit_variance_and_no_grid() -> None:
    field = random_field(np.random.default_rng(3))
    assert field.std() == pytest.approx(1.0, rel=1e-3)
    power = np.abs(np.fft.rfft(field.astype(np.float64), axis=2)) ** 2
    assert power[:, :, -1].mean() < 1e-3 * power[:, :, 3].mean()


def test_streams_conserve_energy() -> None:
    """Stripped particles keep their orbital energy to a few per cent."""
    profile = halo_profile(5e14, 4.5)
    rng = np.random.default_rng(5)
    n = 200
    position = rng.standard_normal((n, 3))
    position *= (rng.uniform(0.2, 1.5, n) / lengths(position))[:, None]
    velocity = 0.6 * rng.standard_normal((n, 3))
    table = _pull_table(profile)
    share = np.linspace(0.0, 1.0, len(table))[:-1]
    r = _TURN * share / (1.0 - share)
    pull = table[:-1] * r
    steps = 0.5 * (pull[1:] + pull[:-1]) * np.diff(r)
    potential = np.concatenate([[0.0], np.cumsum(steps)])

    def energy() -> np.ndarray:
        return 0.5 * lengths(velocity) ** 2 + np.interp(lengths(position), r, potential)

    before = energy()
    drift_stripped(table, _TURN, position, velocity, np.full(n, 300), _STREAM_STRIDE * DT)
    drift = np.abs(energy() - before) / np.abs(before - potential[np.searchsorted(r, 3.0)])
    assert np.median(drift) < 0.02
    assert np.percentile(drift, 95) < 0.2


def test_satellites_lose_mass_and_never_gain_it() -> None:
    profile = halo_profile(1e15, 4.0)
    directions = np.eye(3)
    sat = draw_satellites(
        np.random.default_rng(7), profile, 1e15, 0.5, directions, 2e11, RESOLUTIONS["light"].dark_matter
    )
    assert len(sat) > 30
    assert (sat.mass <= sat.mass_acc * (1 + 1e-12)).all()
    assert sat.mass_acc.sum() < 0.75
    inside = sat.since > 3.0
    assert inside.sum() > 5
    # those accreted long ago have lost most of their mass, new ones hardly any
    old, new = (
        np.median((sat.mass / sat.mass_acc)[inside]),
        np.median((sat.mass / sat.mass_acc)[sat.since == 0]),
    )
    assert old < 0.5 < 0.99 < new
    assert len(sat.stream_position) > 1000


def test_gas_is_in_hydrostatic_balance() -> None:
    """dP_total/dr = -rho g inside R500c, the masses are those asked for, and groups are cooler."""
    temperatures = []
    for mass in (5e13, 1e15):
        profile = halo_profile(mass, 4.5)
        speed = TODAY.velocity_200c(mass)
        gas = gas_profile(profile, speed, Core(0.5, 0.12, 0.62), profile.r500, 0.12 * profile.m500, 0.13, 0.9)
        assert at(profile.r500, gas.mass) == pytest.approx(0.12 * profile.m500, rel=0.01)
        assert at(1.0, gas.mass) == pytest.approx(0.13, rel=0.01)
        unit = 0.59 * PROTON_MASS_G / BOLTZMANN_ERG_PER_K * (speed * KM_CM) ** 2
        pressure = gas.density * gas.temperature / unit / (1.0 - gas.nonthermal)
        force = -np.gradient(pressure, LOG_X) / X
        gravity = gas.density * profile.mass / X**2
        rows = (X > 0.02) & (0.7 * profile.r500 > X)
        np.testing.assert_allclose(force[rows], gravity[rows], rtol=0.03)
        temperatures.append(float(at(0.3, gas.temperature)))
    assert temperatures[1] / temperatures[0] == pytest.approx(20 ** (2 / 3), rel=0.1)


def test_stellar_masses_peak_in_efficiency_near_1e12() -> None:
    halos = np.geomspace(1e11, 1e15, 60)
    share = stellar_mass(halos) / halos
    assert 5e11 < halos[np.argmax(share)] < 2e12
    assert 0.02 < share.max() < 0.06
    assert np.log10(stellar_mass(1e14)) == pytest.approx(11.8, abs=0.1)


def test_campaign_resumes_and_refuses_other_data(tmp_path: Path) -> None:
    out = tmp_path / "simulation"
    (files,) = simulate_regions(out, 1, seed=4)
    stamp = files.snapshot.stat().st_mtime_ns
    steps: list[int] = []
    simulate_regions(out, 1, seed=4, progress=steps.append)
    assert files.snapshot.stat().st_mtime_ns == stamp
    assert steps == [1]
    with pytest.raises(InputError, match="other settings"):
        simulate_regions(out, 1, seed=5)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.tex").write_text("precious")
    with pytest.raises(InputError, match="never overwritten"):
        simulate_regions(other, 1, seed=4)
    assert (other / "chapter1.tex").read_text() == "precious"
    with pytest.raises(InputError, match="is a file"):
        simulate_regions(other / "chapter1.tex", 1, seed=4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--regions", "0"], "regions: 0"),
        (["--regions", "1", "--seed", "-3"], "seed"),
        (["--regions", "1", "--flavour", "enzo"], "flavour 'enzo'"),
        (["--regions", "1", "--workers", "0"], "workers: 0"),
        (["--regions", "1", "--format", "csv"], "format 'csv'"),
        (["--regions", "1", "--resolution", "huge"], "resolution 'huge'"),
        ([], "--regions"),
        (["--regions", "1", "--seed", str(2**64)], "2^64"),
        (["--regions", "1", "--report", "page.md"], "--check"),
        (["--regions", "1", "--json"], "--check"),
        (["--regions", "1", "--check"], "--out"),
    ],
)
def test_command_names_bad_input_in_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    refused(main, "simulate", "--out", tmp_path / "new", *arguments, said=words)
    assert not (tmp_path / "new").exists()


def test_wells_and_a_finer_grid_leave_a_field_where_it_was() -> None:
    """A refined field has the coarse one's values at its points; a bump its height, across the edge too."""
    field = random_field(np.random.default_rng(3), 24)
    finer = refined(field, 48)
    assert np.corrcoef(finer[::2, ::2, ::2].ravel(), field.ravel())[0, 1] > 0.9999
    empty = np.zeros((40, 40, 40), np.float32)
    # x = -side/2 lies on the periodic box's edge
    add_wells(empty, 4.0, np.array([[-2.0, 0.0, 1.0]]), np.array([0.2]), np.array([3.0]))
    assert empty[0, 20, 30] == pytest.approx(3.0)
    assert empty[2, 20, 30] == pytest.approx(3.0 * np.exp(-0.5), rel=1e-4)
    np.testing.assert_allclose(empty[-2], empty[2], rtol=1e-4)


@pytest.fixture(scope="module")
def round_halo() -> Halo:
    """A halo without satellites."""
    plan = draw_plan(4, 1)
    streams = generators(4, 1, 1, 6)
    halo = make_halo(plan, 0, RESOLUTIONS["light"], streams)
    return replace(halo, satellites=halo.satellites.select(np.zeros(len(halo.satellites), bool)))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_fluctuations_keep_pressure_or_entropy(round_halo: Halo, flavour: Flavour) -> None:
    """At one radius P does not follow the isobaric field's density, and goes as rho^(5/3) with the other."""
    halo = replace(round_halo, feedback=feedback_of(flavour, 4, 1))
    shared, rng = np.random.default_rng(1), np.random.default_rng(2)
    drawn = draw_halo_gas(halo, flavour, shared, rng)
    budget = halo.budget[flavour]
    gas_500 = budget.f_gas * budget.m500
    table = gas_profile(halo.profile, halo.speed, drawn.core, budget.r500, gas_500, 1.4 * gas_500, 0.5)
    none = np.zeros(len(X))
    ball = replace(
        drawn.shape, middle=none + 1.0, short=none + 1.0, spiral=(0.0, 1.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0)
    )
    radii = stratified_radii(rng, 40000, table.mass, 0.2, 0.8)
    for kept, field, other in (
        (0.0, ball.second, none),
        (5.0 / 3.0, replace(ball.second, amplitude=none), ball.amplitude),
    ):
        shape = replace(ball, second=field, amplitude=other)
        part = _host_part(halo, replace(drawn, shape=shape), table, rng, flavour, radii)
        density = np.log(part.density / at(radii, table.density))
        heat = np.log(part.temperature / at(radii, table.temperature))
        assert density.std() > 0.1
        assert np.polyfit(density, heat + density, 1)[0] == pytest.approx(kept, abs=0.02)
        # the mean over mass, which SZ sees, stays: the scatter of single particles adds 0.2 %
        assert np.exp(heat).mean() == pytest.approx(1.002, abs=0.004)


def test_gas_meets_its_accretion_shock(round_halo: Halo) -> None:
    """Pressure falls by its factor across the shock, and by little as far inside it."""
    drawn = draw_halo_gas(round_halo, "gadgetx", np.random.default_rng(1), np.random.default_rng(2))
    assert 1.3 <= drawn.shock <= 1.6
    budget = round_halo.budget["gadgetx"]
    gas_500 = budget.f_gas * budget.m500
    table = gas_profile(
        round_halo.profile, round_halo.speed, drawn.core, budget.r500, gas_500, 1.4 * gas_500, 0.5
    )
    rng = np.random.default_rng(3)

    def heat(x: float) -> float:
        radii = drawn.shock * x * np.exp(0.005 * rng.standard_normal(4000))
        part = _host_part(round_halo, drawn, table, rng, "gadgetx", radii)
        return float(np.mean(part.temperature / at(radii, table.temperature)))

    assert heat(1.4) / heat(0.7) < 0.4
    assert heat(0.6) / heat(0.5) > 0.9


SEED, REGION = 4, 6
LIGHT = RESOLUTIONS["light"]


def _stars(dark: DarkMatter, resolution: Resolution = LIGHT) -> Stars:
    number = check_flavour("gadgetx")
    own = [generators(SEED, REGION, i + 1, 6, number)[4] for i in range(len(dark.halos))]
    shared = [generators(SEED, REGION, i + 1, 8)[6] for i in range(len(dark.halos))]
    return make_stars(dark.halos, "gadgetx", resolution, own, shared)


@pytest.fixture(scope="module")
def dark() -> DarkMatter:
    return make_dark_matter(draw_plan(SEED, REGION), LIGHT)


@pytest.fixture(scope="module")
def stars(dark: DarkMatter) -> Stars:
    return _stars(dark)


def test_a_chabrier_population_keeps_half_of_its_mass() -> None:
    assert mass_left(0.0) == 1.0
    np.testing.assert_allclose(mass_left([1.0, 10.0]), [0.623, 0.517], atol=0.005)


def test_star_particles_have_a_spread_of_masses_and_keep_their_sum(stars: Stars, dark: DarkMatter) -> None:
    assert len(np.unique(stars.mass)) > 0.99 * len(stars.mass)
    assert 0.1 < np.log(stars.mass).std() < 0.25
    assert stars.mass.mean() == pytest.approx(LIGHT.star, rel=1e-6)
    # light has twice The Three Hundred's masses; at birth 4e7 Msun/h
    age = 13.82 * (1.0 - stars.formation.astype(float) ** 1.5)
    assert np.median(stars.mass / mass_left(age)) == pytest.approx(2 * STAR_BIRTH_MASS, rel=0.05)
    for halo in dark.halos:
        budget = halo.budget["gadgetx"]
        r = lengths(stars.particles.position - halo.centre) / halo.radius
        total = stars.mass[r < budget.r500].sum() / halo.mass
        assert total == pytest.approx(budget.f_star * budget.m500, rel=0.01)


def test_the_brightest_galaxy_is_compact(stars: Stars, dark: DarkMatter) -> None:
    halo = dark.halos[0]
    r = lengths(stars.particles.position - halo.centre)
    assert 20.0 < np.median(r[r < 0.1 * halo.radius]) < 50.0  # kpc
    satellites = stars.galaxies[0].stellar_mass[1:]
    assert stars.galaxies[0].stellar_mass[0] > satellites.max()


def test_diffuse_light_is_steeper_than_dark_matter_and_follows_streams(
    stars: Stars, dark: DarkMatter
) -> None:
    halo = dark.halos[0]
    first = sum(int(c.sum()) for c in stars.satellite_counts) + sum(stars.debris_counts)
    place = (stars.particles.position[first:] - halo.centre) / halo.radius
    r = lengths(place)
    counts = np.histogram(r, [0.1, 0.2, 0.5, 1.0])[0]
    mass = np.diff(at(np.array([0.1, 0.2, 0.5, 1.0]), halo.profile.mass))
    assert (np.diff(np.log(counts)) < np.diff(np.log(mass)) - 0.2).all()
    # nearer to stripped dark matter than the same light turned around the centre is
    from scipy.spatial import cKDTree

    shell = (r > 0.3) & (r < 0.8)
    tree = cKDTree(halo.satellites.stream_position)
    light, turned = (tree.query(sign * place[shell])[0] for sign in (1.0, -1.0))
    assert np.median(light) < 0.9 * np.median(turned)


def test_particle_mass_changes_no_total(stars: Stars, dark: DarkMatter) -> None:
    few = _stars(dark, Resolution("few", LIGHT.dark_matter, LIGHT.gas, 4.0 * LIGHT.star))
    assert len(few.mass) == pytest.approx(len(stars.mass) / 4.0, rel=0.03)
    assert few.mass.sum() == pytest.approx(stars.mass.sum(), rel=0.03)
