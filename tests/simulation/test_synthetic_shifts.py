"""Other redshifts, other physics, other particle masses of the synthetic simulation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.catalogues.catalogue import read_catalogue
from three_hundred_maps.simulation.measure import measure
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.synthetic.calibration import F_GAS, LOG_M500, gas_fraction
from three_hundred_maps.simulation.synthetic.feedback import (
    RANGES,
    STRATA,
    STRENGTHS,
    feedback_of,
    hypercube,
)
from three_hundred_maps.simulation.synthetic.region import make_region, write_region
from three_hundred_maps.simulation.synthetic.setup import (
    COSMOLOGY,
    FLAVOURS,
    RESOLUTIONS,
    TODAY,
    Epoch,
    cosmic_time_gyr,
)
from three_hundred_maps.simulation.synthetic.universe import draw_halos, draw_plan

SEED, REGION = 4, 21
"""A central cluster of 1.4e14 Msun, and two neighbours."""
RICH_REGION = 25
"""One of 6.5e14 Msun: at redshift 1 it still has stars enough to measure their fraction."""


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


@pytest.mark.parametrize("flavour", ["simba-strong", "hypercube"])
def test_other_flavours_hold_what_they_should(flavour: str, tmp_path: Path) -> None:
    data = make_region(SEED, REGION, flavour)  # type: ignore[arg-type]
    files = write_region(tmp_path, data)
    region = Region.open(files.snapshot)
    intended = draw_halos(SEED, REGION, flavour)  # type: ignore[arg-type]
    for i, halo in enumerate(data.halos):
        measured = measure(region.cutout(intended.centre_kpc[i], 1.4 * intended.R200c_kpc[i]))
        assert measured["M200c"] == pytest.approx(intended.M200c_msun[i], rel=0.02)
        assert measured["f_gas_500"] == pytest.approx(halo.budget[flavour].f_gas, rel=0.12)  # type: ignore[index]


def test_coarse_is_the_same_cluster_in_fewer_particles() -> None:
    light, coarse = (make_region(SEED, REGION, "gadgetx", name) for name in ("light", "coarse"))
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
