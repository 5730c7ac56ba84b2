"""Stores of views that may be below 0 and depend on the line of sight."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.recipes import of_files
from three_hundred_maps import open_store
from three_hundred_maps.builder import build, load_recipe
from three_hundred_maps.builder.plan import make_plan, sources_for
from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import MapContext, View
from three_hundred_maps.mapping.views import VIEWS, particle_mass
from three_hundred_maps.store.halo_table import halo_table
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.preview import preview
from three_hundred_maps.store.statistics import read_statistics
from three_hundred_maps.store.verify import verify
from three_hundred_maps.testing.small import small_snapshot
from three_hundred_maps.units import COMPTON_KPC2_PER_MSUN_K, KEV_K

MOTION = ("ksz", "velocity", "velocity_dispersion")


@pytest.fixture
def moving(tmp_path, write_recipe):
    """A recipe on a small box of three halos with views of motion, and its snapshot."""
    written = small_snapshot(tmp_path / "small", particles=3000, halos=3)
    recipe = write_recipe(
        "moving",
        simulation=of_files(written.snapshot, written.catalogue),
        maps={"views": [*MOTION, "mass"], "pixels": 8, "lines_of_sight": 2},
        store={"halo_variables": ["T_mw_500_keV", "Y_500_kpc2"]},
    )
    return recipe, written.snapshot


def test_a_store_of_motion(moving, tmp_path):
    recipe, _ = moving
    store = build(recipe, tmp_path / "store", quiet=True)
    layout = Layout.of_store(store)
    assert layout.signed == {"ksz", "velocity"}
    assert open_store(store)["train"]["ksz"].attrs["signed"]
    assert "signed" not in open_store(store)["train"]["velocity_dispersion"].attrs
    assert verify(store, deep=True).problems == []
    statistics = read_statistics(store)
    for view in ("ksz", "velocity"):
        assert statistics[view].minimum < 0 < statistics[view].maximum
        assert statistics[view].negative.sum() + statistics[view].positive == statistics[view].count
    assert statistics["velocity_dispersion"].minimum >= 0
    # every particle's velocity was drawn with 300 km/s a component
    assert statistics["velocity_dispersion"].median == pytest.approx(300, rel=0.2)
    assert abs(statistics["velocity"].linear_quantile(0.5)) < 100
    halos = open_store(store)["train"]
    assert halos["Y_500_kpc2"].attrs["units"] == "kpc2"
    # the particles' own temperatures: 0.12 of 2e14 Msun at a few keV is some 10 kpc^2
    assert (halos["T_mw_500_keV"] > 0.5).all() and (halos["T_mw_500_keV"] < 10).all()
    compton = halos["Y_500_kpc2"] / (halos["f_gas_500"] * halos["M500c"] * halos["T_mw_500_keV"])
    per_msun_keV = COMPTON_KPC2_PER_MSUN_K * KEV_K * 0.756 * 1.158  # X falls with the metals
    np.testing.assert_allclose(compton, per_msun_keV, rtol=0.02)
    assert {"T_mw_500_keV", "Y_500_kpc2"} <= set(halo_table(store))
    halo = f"{int(halos['region'][0])}:{int(halos['halo_id'][0])}"
    assert preview(store, halo, 0, tmp_path / "halo.png").stat().st_size > 10_000


def test_a_snapshot_without_velocities_is_refused_before_anything_is_read(moving):
    recipe, snapshot = moving
    with h5py.File(snapshot, "r+") as file:
        del file["PartType4/Velocities"]
    with pytest.raises(InputError, match="stars without velocity, which a view is made of"):
        make_plan(sources_for(load_recipe(recipe), recipe, None))


def test_a_sign_must_be_declared():
    from three_hundred_maps.builder.probe import check_views

    def below(particles, context):
        return -particles.mass

    view = View("below", "Msun kpc-2", "text", ("gas",), below)
    with pytest.raises(InputError, match="a view that may be below 0 says signed=True"):
        check_views([view], MapContext())
    check_views([View("below", "Msun kpc-2", "text", ("gas",), below, signed=True)], MapContext())
    with pytest.raises(InputError, match="negative or not finite"):
        check_views([View("mean", "1", "text", ("gas",), particle_mass, below, signed=True)], MapContext())
    check_views([VIEWS[name] for name in MOTION], MapContext())
