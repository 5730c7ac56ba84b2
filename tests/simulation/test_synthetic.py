"""The synthetic simulation: seeds, closure, files; other redshifts, other physics, other particle masses."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.measure import measure
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.synthetic.calibration import F_GAS, LOG_M500, gas_fraction
from three_hundred_maps.simulation.synthetic.feedback import RANGES, STRATA, STRENGTHS, feedback_of, hypercube
from three_hundred_maps.simulation.synthetic.gas_profiles import Core, gas_profile
from three_hundred_maps.simulation.synthetic.region import (
    RegionData,
    make_region,
    simulate_region,
    write_region,
)
from three_hundred_maps.simulation.synthetic.setup import (
    ALL_FLAVOURS,
    BARYON_FRACTION,
    COSMOLOGY,
    FLAVOURS,
    REGION_KPC,
    RESOLUTIONS,
    TODAY,
    Epoch,
    Flavour,
    H,
    concentration,
    cosmic_time_gyr,
    lookback_gyr,
    peak_height,
)
from three_hundred_maps.simulation.synthetic.universe import draw_halos, draw_plan, halo_budgets

SEED, REGION = 4, 21
"""A cheap region (a central halo of 1.4e14 Msun) with two neighbours."""
RICH_REGION = 25
"""One of 6.5e14 Msun: at redshift 1 it still has stars enough to measure their fraction."""


@pytest.fixture(scope="module")
def data() -> dict[Flavour, RegionData]:
    return {flavour: make_region(SEED, REGION, flavour) for flavour in ALL_FLAVOURS}


def _digest(data: RegionData, kinds: tuple[int, ...]) -> str:
    sha = hashlib.sha256()
    for kind in kinds:
        for name in sorted(data.particles[kind]):
            sha.update(name.encode() + np.ascontiguousarray(data.particles[kind][name]).tobytes())
    return sha.hexdigest()


def test_flavours_share_dark_matter_to_the_byte_and_nothing_else(data: dict[Flavour, RegionData]) -> None:
    first, second = data["gadgetx"], data["gizmo"]
    assert _digest(first, (1, 2, 3)) == _digest(second, (1, 2, 3))
    assert _digest(first, (0,)) != _digest(second, (0,))
    assert _digest(first, (4,)) != _digest(second, (4,))


def test_same_seed_same_bytes_whatever_was_simulated_before(
    data: dict[Flavour, RegionData], tmp_path: Path
) -> None:
    make_region(SEED, REGION + 1, "gizmo")
    again = simulate_region(tmp_path / "a", seed=SEED, region=REGION, flavour="gizmo")
    once = write_region(tmp_path / "b", data["gizmo"])
    assert again.snapshot.read_bytes() == once.snapshot.read_bytes()
    assert again.catalogue.read_bytes() == once.catalogue.read_bytes()
    assert again.snapshot.name == "snap_128.hdf5"
    assert again.catalogue.name == f"GIZMO-NewMDCLUSTER_{REGION:04d}.snap_128.z0.000.AHF_halos"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_catalogue_has_the_intended_halos(
    data: dict[Flavour, RegionData], flavour: Flavour, tmp_path: Path
) -> None:
    """Ids, places and M200c of the written catalogue are those of `draw_halos`, in either format."""
    intended = draw_halos(data[flavour].seed, data[flavour].region, flavour)
    for form in ("hdf5", "gadget2"):
        files = write_region(tmp_path / form, data[flavour], format=form)
        region = Region.open(files.snapshot)
        assert region.info.synthetic
        found = read_catalogue("ahf", files.catalogue, cosmology=COSMOLOGY, redshift=0.0)
        n = len(intended)
        np.testing.assert_array_equal(found.halo_id[:n], intended.halo_id)
        assert (found.host_id[:n] == -1).all()
        np.testing.assert_allclose(found.centre_kpc[:n], intended.centre_kpc, atol=1e-3)
        np.testing.assert_allclose(found.M200c_msun[:n], intended.M200c_msun, rtol=0.01)
        # an independent count of the particles as read back
        for i in range(n):
            cutout = region.cutout(found.centre_kpc[i], 1.4 * found.R200c_kpc[i])
            particle = data[flavour].resolution.dark_matter
            assert abs(measure(cutout)["M200c"] - found.M200c_msun[i]) < 2.0 * particle


@pytest.mark.parametrize("flavour", ALL_FLAVOURS)
def test_halos_hold_what_they_should(
    data: dict[Flavour, RegionData], flavour: Flavour, tmp_path: Path
) -> None:
    """M200c is that of the plan, f_gas and f_star inside R500c are what the latent states ask for."""
    region = Region.open(write_region(tmp_path, data[flavour]).snapshot)
    intended = draw_halos(SEED, REGION, flavour)
    for i, halo in enumerate(data[flavour].halos):
        found = measure(region.cutout(intended.centre_kpc[i], 1.4 * halo.radius))
        budget = halo.budget[flavour]
        assert found["M200c"] == pytest.approx(intended.M200c_msun[i], rel=0.02)
        assert found["f_gas_500"] == pytest.approx(budget.f_gas, rel=0.08 if i == 0 else 0.12)
        if i == 0:  # lumps move R500c, and with it what lies inside
            assert found["M500c"] == pytest.approx(budget.m500 * halo.mass, rel=0.1)
            assert found["f_star_500"] == pytest.approx(budget.f_star, rel=0.12)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_gas_fractions_have_the_published_median_and_spread(flavour: Flavour) -> None:
    feedback = feedback_of(flavour, SEED, REGION)
    for log_m500, median in zip(LOG_M500, F_GAS[flavour], strict=True):
        assert gas_fraction(feedback, float(log_m500), 0.0) == pytest.approx(median, rel=1e-9)
    low, high = (gas_fraction(feedback, 14.1, state) for state in (-1.0, 1.0))
    assert 0.5 * (high - low) == pytest.approx(
        {"gadgetx": 0.9 * 0.011, "gizmo": 0.9 * 0.015}[flavour], rel=1e-9
    )
    values = [gas_fraction(feedback, 13.3, state) for state in np.linspace(-6.0, 6.0, 25)]
    assert values[0] > 0.0 and values[-1] < BARYON_FRACTION
    assert (np.diff(values) > 0.0).all()  # no halos pile up at a limit


@given(region=st.integers(1, 10**6))
@settings(max_examples=15, deadline=None)
def test_a_flavour_that_loses_more_gas_has_smaller_halos(region: int) -> None:
    """The plan's M200c is gadgetx's; gizmo's differs by what its baryons lack, times dlnM200c/dlnM(<R)."""
    plan = draw_plan(SEED, region)
    np.testing.assert_allclose(draw_halos(SEED, region).M200c_msun, plan.mass, rtol=1e-3)
    other = draw_halos(SEED, region, "gizmo")
    np.testing.assert_allclose(TODAY.radius_200c(other.M200c_msun), other.R200c_kpc, rtol=1e-3)
    for i in range(len(plan)):
        budgets = halo_budgets(plan, i, "gizmo")[1]
        lost = budgets["gadgetx"].baryons - budgets["gizmo"].baryons
        assert 1.0 - other.M200c_msun[i] / plan.mass[i] == pytest.approx(
            1.4 * lost, abs=0.2 * abs(lost) + 1e-3
        )


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_no_smooth_gas_is_denser_outside_than_inside(flavour: Flavour) -> None:
    """However little gas feedback has left in a group, its profile falls outwards."""
    for region in range(1, 40):
        plan = draw_plan(SEED, region)
        for i in range(len(plan)):
            profile, budgets = halo_budgets(plan, i, flavour)
            own = budgets[flavour]
            core = Core(0.10, 0.165, 0.62, turn=0.95)
            gas_500 = own.f_gas * own.m500
            shell = own.baryons - (own.f_gas + own.f_star) * own.m500
            gas = gas_profile(profile, 500.0, core, own.r500, gas_500, gas_500 + shell, 0.9)
            assert (np.diff(gas.density) < 0.0).all()


def test_particles_are_sound(data: dict[Flavour, RegionData]) -> None:
    for item in data.values():
        ids = np.concatenate([fields["id"] for fields in item.particles.values()])
        assert len(np.unique(ids)) == len(ids)
        for kind, fields in item.particles.items():
            for name, values in fields.items():
                assert np.isfinite(values).all(), (kind, name)
            assert (fields["mass"] > 0).all()
        for kind in (0, 1, 2, 3):
            assert len(np.unique(item.particles[kind]["mass"])) == 1
        gas = item.particles[0]
        assert (gas["density"] > 0).all() and (gas["smoothing_length"] > 0).all()
        # the kernel holds its number of neighbours at the density given
        neighbours = (
            4.0 / 3.0 * np.pi * gas["smoothing_length"].astype(float) ** 3 * gas["density"] / gas["mass"]
        )
        inside = gas["smoothing_length"] < 2.9e3 * H
        of_gizmo = item.halos[0].feedback.code == "gizmo"
        expected = 64 if of_gizmo else 200
        np.testing.assert_allclose(neighbours[inside], expected, rtol=1e-4)
        assert (gas["star_formation_rate"] > 0).any()
        assert ("delay_time" in gas) == of_gizmo


def test_density_of_the_gas_is_that_of_its_particles(data: dict[Flavour, RegionData]) -> None:
    """The analytic density agrees with a count of particles in shells of the central halo."""
    item = data["gadgetx"]
    halo, gas = item.halos[0], item.particles[0]
    position = (gas["position"].astype(np.float64) - 5e5) / H - halo.centre
    x = np.sqrt((position**2).sum(1)) / halo.radius
    hot = gas["star_formation_rate"] == 0
    mass, density = item.resolution.gas, gas["density"] * 1e10 * H**2
    for low, high in ((0.1, 0.2), (0.2, 0.4), (0.4, 0.7), (0.7, 1.0)):
        shell = hot & (x > low) & (x < high)
        volume = 4.0 / 3.0 * np.pi * (high**3 - low**3) * halo.radius**3
        # sum of m/rho over the particles is the volume they fill
        assert (mass / density[shell].astype(float)).sum() == pytest.approx(volume, rel=0.12)


def test_the_edge_is_low_resolution(data: dict[Flavour, RegionData]) -> None:
    item = data["gadgetx"]
    radius = {
        kind: np.sqrt((((fields["position"].astype(np.float64) - 5e5) / H) ** 2).sum(1))
        for kind, fields in item.particles.items()
    }
    assert radius[1].max() < REGION_KPC + 3000.0
    assert np.percentile(radius[2], 2) > REGION_KPC - 800.0
    assert radius[3].min() > radius[2].min()
    assert item.particles[2]["mass"][0] > 10 * item.particles[1]["mass"][0]


def test_tables_are_those_of_colossus() -> None:
    """The embedded concentrations, peak heights and times, recomputed."""
    from colossus.cosmology import cosmology
    from colossus.halo import concentration as colossus_concentration
    from colossus.lss import peaks

    universe = cosmology.setCosmology(
        "mdpl2-test", flat=True, H0=67.77, Om0=0.307115, Ob0=0.048206, sigma8=0.8228, ns=0.96, persistence=""
    )
    masses = 10.0 ** np.array([12.1, 13.5, 14.3, 15.0])
    for z in (0.0, 1.0):
        expected = colossus_concentration.concentration(masses, "200c", z, model="ishiyama21")
        np.testing.assert_allclose(concentration(masses / H, z), expected, rtol=0.01)
    expected = [float(peaks.peakHeight(m, 0.0)) for m in masses]
    np.testing.assert_allclose([peak_height(m / H) for m in masses], expected, rtol=0.02)
    z = np.array([0.1, 0.5, 1.5])
    np.testing.assert_allclose(lookback_gyr(z), universe.lookbackTime(z), rtol=0.01)


def test_full_resolution_has_the_three_hundreds_masses() -> None:
    assert RESOLUTIONS["full"].dark_matter * H == pytest.approx(1.27e9)
    assert RESOLUTIONS["full"].gas * H == pytest.approx(2.36e8)
    assert RESOLUTIONS["light"].dark_matter == pytest.approx(2 * RESOLUTIONS["full"].dark_matter)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**63), region=st.integers(1, 10**6))
def test_plans_are_pure_and_never_overlap(seed: int, region: int) -> None:
    first, again = draw_halos(seed, region), draw_halos(seed, region)
    np.testing.assert_array_equal(first.M200c_msun, again.M200c_msun)
    np.testing.assert_array_equal(first.centre_kpc, again.centre_kpc)
    assert (np.diff(first.M200c_msun) <= 0).all()
    assert len(set(first.halo_id.tolist())) == len(first)
    for i in range(len(first)):
        gap = np.linalg.norm(first.centre_kpc - first.centre_kpc[i], axis=1)
        touching = gap < first.R200c_kpc + first.R200c_kpc[i]
        assert touching.sum() == 1
    np.testing.assert_allclose(
        first.M200c_msun, 800.0 / 3.0 * np.pi * COSMOLOGY.critical_density_msun_kpc3(0.0) * first.R200c_kpc**3
    )


def test_sample_is_flat_in_log_mass() -> None:
    """The fullest bin of 13.5-15.0 holds at most twice the median one, and a region about 1.4 clusters."""
    masses = np.concatenate([draw_plan(9, region).mass for region in range(1, 1501)])  # gadgetx's M200c
    log_mass = np.log10(masses * H)
    counts = np.histogram(log_mass, np.arange(13.5, 15.01, 0.1))[0]
    assert counts.max() <= 2.0 * np.median(counts)
    assert counts.min() >= 0.5 * np.median(counts)
    assert 1.3 < (log_mass >= 13.5).sum() / 1500 < 1.6


def test_epochs_have_the_three_hundreds_snapshot_numbers() -> None:
    assert [Epoch(z).snapshot for z in (0.0, 0.49, 0.987)] == [128, 110, 97]
    assert TODAY.radius_200c(1e15) == pytest.approx(2107.9, rel=1e-3)  # 277.5 h^2 Msun kpc^-3
    # R200c in proper lengths shrinks as E(z)^(-2/3) at fixed mass
    then = Epoch(1.0)
    ratio = float(TODAY.radius_200c(1e15) / then.radius_200c(1e15))
    assert ratio == pytest.approx((0.307115 * 8 + 0.692885) ** (1 / 3))
    assert float(cosmic_time_gyr(0.0)) == pytest.approx(13.82, abs=0.05)  # of this background


@pytest.mark.parametrize(("redshift", "flavour"), [(0.5, "gadgetx"), (1.0, "gizmo")])
def test_an_early_snapshot_measures_as_intended(redshift: float, flavour: str, tmp_path: Path) -> None:
    """M200c and R200c of particles read back, in proper lengths and the critical density of that time."""
    data = make_region(SEED, RICH_REGION, flavour, redshift=redshift)  # type: ignore[arg-type]
    files = write_region(tmp_path, data)
    region = Region.open(files.snapshot)
    assert region.info.redshift == pytest.approx(redshift)
    intended = draw_halos(SEED, RICH_REGION, flavour, redshift)  # type: ignore[arg-type]
    found = read_catalogue("ahf", files.catalogue, cosmology=COSMOLOGY, redshift=redshift)
    n = len(intended)
    np.testing.assert_array_equal(found.halo_id[:n], intended.halo_id)
    assert intended.halo_id[0] // 10**12 == Epoch(redshift).snapshot
    np.testing.assert_allclose(found.centre_kpc[:n], intended.centre_kpc, atol=0.1)
    for i in range(n):
        measured = measure(region.cutout(intended.centre_kpc[i], 1.4 * intended.R200c_kpc[i]))
        assert measured["M200c"] == pytest.approx(intended.M200c_msun[i], rel=0.01)
        assert measured["R200c"] == pytest.approx(intended.R200c_kpc[i], rel=0.004)
    halo = data.halos[0]
    assert measured["M200c"] == pytest.approx(found.M200c_msun[n - 1], rel=0.003)
    measured = measure(region.cutout(intended.centre_kpc[0], 1.4 * intended.R200c_kpc[0]))
    budget = halo.budget[flavour]  # type: ignore[index]
    assert measured["f_gas_500"] == pytest.approx(budget.f_gas, rel=0.1)
    assert measured["f_star_500"] == pytest.approx(budget.f_star, rel=0.12)
    # self-similar: k T ~ M^(2/3) E^(2/3), about 5 keV at M500c = 5e14 Msun today
    self_similar = 5.0 * (measured["M500c"] * Epoch(redshift).e / 5e14) ** (2 / 3)
    assert 0.65 < measured["T_mw_500_keV"] / self_similar < 1.25
    assert data.particles[4]["formation_time"].max() < 1.0 / (1.0 + redshift)


def test_halos_grow_and_calm_down() -> None:
    plans = {z: [draw_plan(SEED, region, z) for region in range(1, 300)] for z in (0.0, 0.5, 1.0)}
    central = {z: np.array([plan.mass[0] for plan in p]) for z, p in plans.items()}
    growth = {z: float(np.median(central[z] / central[0.0])) for z in plans}
    assert growth[0.5] == pytest.approx(np.exp(-0.425), rel=0.03)
    assert growth[1.0] == pytest.approx(np.exp(-0.85), rel=0.05)
    states = {z: float(np.mean([plan.state.mean() for plan in p])) for z, p in plans.items()}
    assert states[0.0] < states[0.5] < states[1.0]
    for plan in plans[1.0]:
        assert (np.diff(plan.mass) <= 0).all() and not plan.centre[0].any()
        gap = np.linalg.norm(plan.centre[:, None] - plan.centre[None], axis=2)
        gap[np.diag_indices(len(plan))] = np.inf
        assert (gap > plan.radius[:, None] + plan.radius[None]).all()


@pytest.mark.parametrize("redshift", [-0.1, 1.5, float("nan"), True, "1"])
def test_redshifts_outside_are_named(redshift: object) -> None:
    with pytest.raises(InputError, match="redshifts 0 to 1"):
        draw_halos(SEED, REGION, redshift=redshift)  # type: ignore[arg-type]


def test_the_hypercube_has_one_region_a_stratum() -> None:
    for first in (1, STRATA + 1):
        drawn = [hypercube(300, region) for region in range(first, first + STRATA)]
        for name, (low, high) in RANGES.items():
            values = np.array([getattr(item, name) for item in drawn])
            strata = np.floor((values - low) / (high - low) * STRATA)
            np.testing.assert_array_equal(np.sort(strata), np.arange(STRATA))
    assert hypercube(300, 7) == hypercube(300, 7) != hypercube(301, 7)
    assert set(RANGES) == set(STRENGTHS)


def test_the_hypercube_holds_every_fixed_flavour() -> None:
    for flavour in (*FLAVOURS, "simba-strong"):
        for name, value in feedback_of(flavour, 1, 1).values().items():  # type: ignore[arg-type]
            assert RANGES[name][0] < value < RANGES[name][1]


def test_strong_feedback_leaves_groups_a_third_less_gas() -> None:
    strong = feedback_of("simba-strong", 1, 1)
    ratio = [gas_fraction(strong, m, 0.0) for m in LOG_M500] / F_GAS["gizmo"]
    np.testing.assert_allclose(ratio[:2], 0.68, atol=0.03)
    assert (np.diff(ratio[1:]) > 0).all() and ratio[-1] > 0.95


def test_coarse_is_the_same_cluster_in_fewer_particles(data: dict[Flavour, RegionData]) -> None:
    light, coarse = data["gadgetx"], make_region(SEED, REGION, "gadgetx", "coarse")
    for name in light.particles[0]:
        np.testing.assert_array_equal(light.particles[0][name].shape, coarse.particles[0][name].shape)
    np.testing.assert_array_equal(light.particles[0]["density"], coarse.particles[0]["density"])
    for kind in (1, 4):
        many, few = light.particles[kind]["mass"], coarse.particles[kind]["mass"]
        assert few.mean() == pytest.approx(8.0 * many.mean(), rel=1e-3)
        assert few.sum(dtype=float) == pytest.approx(many.sum(dtype=float), rel=1e-3)
    n = len(light.halos)
    np.testing.assert_allclose(coarse.catalogue["Mhalo"][:n], light.catalogue["Mhalo"][:n], rtol=0.01)
    # satellites that are listed in both have the same mass but for the noise of fewer particles
    assert n < len(coarse.catalogue["ID"]) < len(light.catalogue["ID"])
    assert coarse.catalogue["Mhalo"][n] == pytest.approx(light.catalogue["Mhalo"][n], rel=0.1)
    assert coarse.resolution == RESOLUTIONS["coarse"].written()
    assert dataclasses.replace(RESOLUTIONS["coarse"], name="light", merge=1) == RESOLUTIONS["light"]
