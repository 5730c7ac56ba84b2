"""Cut-outs against brute force, wrapping, edges, contamination."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation_helpers import content, gas_content

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.cell_grid import CellGrid
from three_hundred_maps.simulation.cosmology import Cosmology
from three_hundred_maps.simulation.region import Region
from three_hundred_maps.simulation.writers.content import SnapshotHeader
from three_hundred_maps.simulation.writers.gadget_binary import write_gadget
from three_hundred_maps.simulation.writers.hdf5 import write_hdf5
from three_hundred_maps.testing.small import small_snapshot

COSMOLOGY = Cosmology(0.7, 0.3, 0.7)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 400),
    box=st.sampled_from([0.0, 10.0]),
    where=st.tuples(*[st.floats(-1.0, 11.0)] * 3),
    radius=st.floats(0.01, 4.9),
    flat=st.booleans(),
)
def test_grid_against_brute_force(seed, n, box, where, radius, flat):
    rng = np.random.default_rng(seed)
    position = (10.0 * rng.random((n, 3)) ** 2).astype(np.float32)
    if flat:
        position[:, 1] = 3.0
    grid = CellGrid.build(position)
    centre = np.array(where)
    if box:
        centre %= box
    apart = position.astype(np.float64) - centre
    if box:
        apart -= box * np.round(apart / box)
    inside = np.flatnonzero((apart**2).sum(1) <= radius**2)
    found = grid.within(centre, radius, box)
    near = np.abs(np.sqrt((apart**2).sum(1)) - radius) < 1e-9 * radius
    assert set(found) ^ set(inside) <= set(np.flatnonzero(near))
    assert np.all(np.diff(found) > 0)
    np.testing.assert_allclose(grid.relative(found, centre, box, 2.0), 2 * apart[found], atol=1e-5)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_snapshot(tmp_path_factory.mktemp("region"), particles=400)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shift=st.tuples(*[st.integers(-2, 2)] * 3), radius=st.floats(500.0, 20_000.0))
def test_whole_boxes_do_not_matter(small, shift, radius):
    region = Region.open(small.snapshot)
    centre = small.centres[0] * small.header.time / 0.6777
    first = region.cutout(centre, radius)
    other = region.cutout(centre + np.array(shift) * region.info.box_kpc, radius)
    for species in first.particles:
        a, b = first[species], other[species]
        common, rows, others = np.intersect1d(a.index, b.index, return_indices=True)
        assert len(common) >= 0.999 * max(len(a), len(b))  # but for rounding at the sphere's edge
        np.testing.assert_allclose(a.position[rows], b.position[others], atol=0.02)


def test_impossible_cutouts(small):
    region = Region.open(small.snapshot)
    for centre, radius, message in (
        ([0.0, 0.0, np.nan], 10.0, "finite"),
        ([0.0, 0.0], 10.0, "finite"),
        ([0.0, 0.0, 0.0], -1.0, "finite"),
        ([0.0, 0.0, 0.0], np.inf, "finite"),
        ([0.0, 0.0, 0.0], 0.5 * region.info.box_kpc, "does not fit into the box"),
    ):
        with pytest.raises(InputError, match=message):
            region.cutout(centre, radius)
    assert "does not fit" in str(region.refusal([0.0, 0.0, 0.0], 0.6 * region.info.box_kpc))


def region_of(tmp_path, position, box, **types):
    others = {int(kind[1:]): content(where, mass=mass) for kind, (where, mass) in types.items()}
    particles = {0: gas_content(position), **others}
    write_hdf5(tmp_path / "snap.hdf5", SnapshotHeader(0.0, box, COSMOLOGY), particles)
    return Region.open(tmp_path / "snap.hdf5")


def test_a_box_smaller_than_what_it_holds_is_refused(tmp_path):
    position = np.random.default_rng(5).uniform(0.0, 30_000.0, (1000, 3))
    assert region_of(tmp_path, position, 30_000.0).periodic
    with pytest.raises(InputError, match="the header's BoxSize is 21429 kpc"):
        region_of(tmp_path, position, 15_000.0)


def test_edges_of_a_sphere_and_a_cube(tmp_path):
    """A region cut from a larger box ends where its particles end, be it a sphere or a cube."""
    rng = np.random.default_rng(5)
    direction = rng.normal(size=(40_000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    ball = 500_000.0 + 15_000.0 * direction * np.cbrt(rng.random(len(direction)))[:, None]
    cube = 500_000.0 + rng.uniform(-15_000.0, 15_000.0, (40_000, 3))
    middle = np.full(3, 500_000.0)
    corner = middle + 0.8 * 15_000.0
    for position, in_corner in ((ball, "leaves the region"), (cube, None)):
        region = region_of(tmp_path, position, 1_000_000.0)
        assert not region.periodic
        assert region.refusal(middle / 0.7, 10_000 / 0.7) is None
        assert "leaves the region by 2" in str(region.refusal(middle / 0.7, 16_500 / 0.7))
        reason = region.refusal(corner / 0.7, 2_000 / 0.7)
        assert (reason is None) if in_corner is None else (in_corner in str(reason))
    assert "leaves the region" in str(region.refusal([0.0, 0.0, 0.0], 100.0))


def test_contamination(tmp_path):
    rng = np.random.default_rng(6)
    position = rng.uniform(0, 10_000, (20_000, 3))
    coarse = np.array([[5000.0, 5000.0, 5000.0]])
    for mass, refused in ((0.1, False), (1.0, True)):
        region = region_of(tmp_path, position, 10_000.0, t2=(coarse, mass), t3=(coarse + 4000.0, mass))
        cutout = region.cutout(coarse[0] / 0.7, 2500 / 0.7)
        share = mass / (mass + 0.1 * len(cutout["gas"]))
        reason = region.refusal(coarse[0] / 0.7, 2500 / 0.7, cutout)
        assert (reason is not None) == refused == (share > 1e-3)
        assert len(cutout["low_resolution"]) == 1
        both = region.cutout(coarse[0] / 0.7, 4999 / 0.7 * 0.99)
        assert len(both["low_resolution"]) >= 1
    empty = region_of(tmp_path, position[:100] * 0.01, 100.0)
    assert "no particles" in str(empty.refusal([70.0, 70.0, 70.0], 0.01))


def test_low_resolution_is_types_2_and_3_in_order(tmp_path):
    position = np.random.default_rng(7).uniform(0, 100, (50, 3))
    region = region_of(tmp_path, position, 0.0, t2=(position[:5], 3.0), t3=(position[5:9], 30.0))
    low = region.cutout([70.0, 70.0, 70.0], 1e3)["low_resolution"]
    np.testing.assert_array_equal(low.index, np.arange(9))
    np.testing.assert_allclose(low.mass, np.repeat([3e10, 30e10], [5, 4]) / 0.7, rtol=1e-6)


def test_missing_columns_are_made_and_said(tmp_path):
    """Without electrons, densities and smoothing lengths the gas is still usable, and the info says how."""
    rng = np.random.default_rng(8)
    n, side = 20_000, 1000.0
    gas = content(rng.uniform(0, side, (n, 3)), mass=0.1, internal_energy=1e5, density=1.0)
    write_gadget(tmp_path / "bare", SnapshotHeader(0.0, side, COSMOLOGY), {0: gas})
    data = (tmp_path / "bare").read_bytes()
    start = data.index(b"RHO ") - 4
    (tmp_path / "bare").write_bytes(data[:start])  # RHO is the last block
    region = Region.open(tmp_path / "bare")
    said = region.info.assumptions
    assert "neighbours" in said["density"]
    assert "fully ionised" in said["electron_abundance"]
    assert said["hydrogen_fraction"] == "not in the files: 0.76"
    assert "no metals" in said["metallicity"]
    inner = region.cutout(np.full(3, 0.5 * side / 0.7), 0.45 * side / 0.7)["gas"]
    core = np.linalg.norm(inner.position, axis=1) < 0.3 * side / 0.7
    mean = 0.1e10 / 0.7 * n / (side / 0.7) ** 3
    assert np.median(inner.fields["density"][core]) == pytest.approx(mean, rel=0.05)
    held = 4 / 3 * np.pi * inner.fields["smoothing_length"][core] ** 3 * n / (side / 0.7) ** 3
    assert np.median(held) == pytest.approx(48, rel=0.1)
    np.testing.assert_allclose(inner.fields["electron_abundance"], 1 + 0.24 / (2 * 0.76), rtol=1e-6)
