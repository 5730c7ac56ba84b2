"""Projection: the fast and torch back ends against the exact one, and what must hold for any of them."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mapping_helpers import DARK, GAS, cutout, frame, gas, particles, point_response

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.mapping import HaloGrid, cutout_radius, get_view, lines_of_sight, render
from three_hundred_maps.mapping.kernels import KERNELS, column

ALONG_Z = (np.array([[0.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 0.0]]))  # +x, +y of the box are the map's
BACKENDS = ("fast", "torch")


def relative_errors(maps, truth, floor=1e-3):
    floor = floor * truth.max()
    return np.abs(maps - truth)[truth > floor] / truth[truth > floor]


def scattered_gas(n, low, high, seed=1, spread=12.0, **more):
    rng = np.random.default_rng(seed)
    radius = np.exp(rng.uniform(np.log(low), np.log(high), n))
    return gas(rng.normal(0.0, spread, (n, 3)), radius, mass=1.0 + rng.random(n), **more)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_kernels_of_every_size_match_the_reference(backend, kernel):
    box = cutout(kernel=kernel, gas=scattered_gas(60, 0.05, 14.0))
    vectors, ups = lines_of_sight(2)
    truth, _ = render(box, [GAS], frame(), vectors, ups, backend="reference")["gas_only"]
    maps, _ = render(box, [GAS], frame(), vectors, ups, backend=backend)["gas_only"]
    errors = relative_errors(maps, truth)
    # few particles: nothing averages out, so this is how well one kernel is drawn
    assert np.median(errors) < 6e-3 and np.quantile(errors, 0.99) < 5e-2
    assert maps.sum(dtype="f8") == pytest.approx(truth.sum(dtype="f8"), rel=1e-4)


@functools.cache
def huge_kernels(radius):
    """Three kernels about as large as a map of 24 pixels or larger, and their exact map."""
    box = cutout(gas=gas([[3.3, -5.2, 1.0], [14.0, 2.0, 0.0], [0.2 * radius, -0.4 * radius, 0]], radius))
    return box, render(box, [GAS], frame(24), *ALONG_Z, backend="reference")["gas_only"]


@pytest.mark.parametrize("radius", (17.0, 33.0, 50.0))
@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_larger_than_the_map_match_the_reference(backend, radius):
    box, (truth, inside) = huge_kernels(radius)
    maps, total = render(box, [GAS], frame(24), *ALONG_Z, backend=backend)["gas_only"]
    assert relative_errors(maps, truth, floor=0.05).max() < 0.03
    assert np.abs(maps - truth).max() < 1e-2 * truth.max()
    assert total == pytest.approx(inside, rel=5e-3)


def test_the_reference_makes_no_more_of_a_kernel_than_its_map_holds():
    """A kernel of 10^6 pixels: by its whole grid it would take petabytes, and its map is all but uniform."""
    radius = 1e6
    box = cutout(gas=gas([[0.0, 0.0, 0.0]], radius))
    maps, _ = render(box, [GAS], frame(24), *ALONG_Z, backend="reference")["gas_only"]
    expected = box["gas"].mass[0] * column("cubic_spline", np.zeros(1))[0] / radius**2
    np.testing.assert_allclose(maps, expected, rtol=1e-5)


@pytest.fixture(scope="module")
def crowded():
    """A small cluster of 15,000 particles and its exact map."""
    rng = np.random.default_rng(5)
    n = 15_000
    distance = 8.0 * rng.random(n) ** 0.7
    direction = rng.normal(size=(n, 3))
    position = direction / np.linalg.norm(direction, axis=1, keepdims=True) * distance[:, None]
    radius = 0.3 + 0.2 * distance
    box = cutout(gas=gas(position, radius, mass=radius**-1.5))
    return box, render(box, [GAS], frame(24), *ALONG_Z, backend="reference")["gas_only"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_particles_reach_the_promised_accuracy(backend, crowded):
    box, (truth, inside) = crowded
    maps, total = render(box, [GAS], frame(24), *ALONG_Z, backend=backend)["gas_only"]
    errors = relative_errors(maps, truth)
    assert np.median(errors) < 5e-4 and np.quantile(errors, 0.99) < 4e-3 and errors.max() < 0.03
    assert total == pytest.approx(inside, rel=1e-5)


@pytest.mark.parametrize("backend", ("reference", *BACKENDS))
@pytest.mark.parametrize("species", ("gas", "dark"))
def test_a_single_particle_is_registered_to_a_hundredth_of_a_pixel(backend, species):
    pixels, sigma = 20, 1.6
    shape = HaloGrid(10.0, MapGrid(pixels, smoothing_fwhm=sigma * 2.354820045 / 10.0))
    rng = np.random.default_rng(3)
    for x, y in rng.uniform(-3.0, 3.0, (4 if backend == "reference" else 25, 2)):
        if species == "gas":
            box, view = cutout(gas=gas([[x, y, 0.0]], 1.5)), GAS
        else:
            box, view = cutout(dark_matter=particles([[x, y, 0.0]])), DARK
        maps, total = render(box, [view], shape, *ALONG_Z, backend=backend)[view.name]
        axis = np.arange(pixels) + 0.5 - pixels / 2
        assert np.sum(maps[0] * axis[None, :]) == pytest.approx(x, abs=0.01)
        assert np.sum(maps[0] * axis[:, None]) == pytest.approx(y, abs=0.01)
        assert total[0] == pytest.approx(1.0, abs=2e-4)  # whatever the place


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_point_at_default_smoothing_is_the_error_function(backend):
    shape = HaloGrid(40.0)
    rng = np.random.default_rng(4)
    axis = np.arange(80) + 0.5
    for x, y in rng.uniform(-20.0, 20.0, (40, 2)):
        box = cutout(dark_matter=particles([[x, y, 0.0]]))
        (maps,), total = render(box, [DARK], shape, *ALONG_Z, backend=backend)["dark_only"]
        row, column = (point_response(c + 40.0, 80, shape.grid.sigma_px) for c in (x, y))
        assert np.abs(maps - np.outer(column, row)).max() < 5e-3
        assert np.sum(maps.sum(axis=0) * axis) == pytest.approx(np.sum(row * axis), abs=0.01)
        assert np.sum(maps.sum(axis=1) * axis) == pytest.approx(np.sum(column * axis), abs=0.01)
        assert total[0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("backend", ("reference", *BACKENDS))
def test_the_depth_cut_goes_by_the_centre_and_is_exact(backend):
    shape = frame(20, half_depth=0.5)  # 5 kpc
    kept = gas([[1.0, 2.0, 4.9999], [0.0, 0.0, -4.9999]], 3.0)
    cut = gas([[1.0, 2.0, 5.0001], [0.0, 0.0, -5.0001]], 3.0)
    maps, total = render(cutout(gas=kept), [GAS], shape, *ALONG_Z, backend=backend)["gas_only"]
    assert total[0] == pytest.approx(2.0, rel=1e-5)
    maps, total = render(cutout(gas=cut), [GAS], shape, *ALONG_Z, backend=backend)["gas_only"]
    assert total[0] == 0.0 and not maps.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_across_the_edge_bring_only_their_share(backend):
    half = frame(20).pixels / 2
    edge = gas(
        [[half, 0, 0], [-half, half, 0], [0, half + 1.0, 0], [half + 2.9, 0, 0], [half + 4, 0, 0]], 3.0
    )
    truth, inside = render(cutout(gas=edge), [GAS], frame(20), *ALONG_Z, backend="reference")["gas_only"]
    maps, total = render(cutout(gas=edge), [GAS], frame(20), *ALONG_Z, backend=backend)["gas_only"]
    assert total == pytest.approx(inside, rel=2e-3)
    assert np.abs(maps - truth).max() < 5e-3 * truth.max()
    assert maps.sum(dtype="f8") == pytest.approx(total[0], rel=1e-5)


def test_totals_come_from_the_particles_and_equal_the_maps():
    box = cutout(
        gas=scattered_gas(5000, 0.1, 30.0, spread=9.0),
        dark_matter=particles(np.random.default_rng(2).normal(0, 9.0, (5000, 3)), 3.0),
    )
    vectors, ups = lines_of_sight(3)
    maps, totals = render(box, [get_view("mass")], frame(), vectors, ups)["mass"]
    assert maps.sum(axis=(1, 2), dtype="f8") == pytest.approx(totals, rel=1e-5)
    inside = cutout(gas=gas(np.random.default_rng(2).normal(0, 2.0, (5000, 3)).clip(-6, 6), 2.0, mass=1.7))
    _, totals = render(inside, [GAS], frame(), vectors, ups)["gas_only"]
    assert totals == pytest.approx(5000 * 1.7, rel=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_turning_the_particles_is_turning_the_line_of_sight(backend):
    rng = np.random.default_rng(8)
    position = rng.normal(0, 5.0, (300, 3))
    vectors, ups = lines_of_sight([[0.3, -0.5, 0.8]])
    turned = position @ np.stack([np.cross(ups[0], vectors[0]), ups[0], vectors[0]]).T
    radius = rng.uniform(0.5, 4.0, 300)
    one, _ = render(cutout(gas=gas(position, radius)), [GAS], frame(), vectors, ups, backend=backend)[
        "gas_only"
    ]
    two, _ = render(cutout(gas=gas(turned, radius)), [GAS], frame(), *ALONG_Z, backend=backend)["gas_only"]
    assert np.abs(one - two).max() < 2e-4 * two.max()


def test_any_number_of_threads_gives_the_same_bytes():
    box = cutout(gas=scattered_gas(3000, 0.1, 30.0), stars=particles(np.zeros((500, 3)) + 0.3))
    views = [get_view(name) for name in ("sz", "xray", "mass", "star", "temperature")]
    vectors, ups = lines_of_sight(7)
    one = render(box, views, frame(), vectors, ups, threads=1)
    for threads in (2, 5):
        several = render(box, views, frame(), vectors, ups, threads=threads)
        for name in one:
            assert one[name][0].tobytes() == several[name][0].tobytes()
            assert one[name][1].tobytes() == several[name][1].tobytes()


def test_particles_beyond_a_chunk_are_all_there(monkeypatch):
    box = cutout(gas=scattered_gas(1000, 0.1, 30.0), dark_matter=particles(np.ones((777, 3))))
    whole = render(box, [get_view("mass")], frame(), *ALONG_Z, half_seed=3)["mass"]
    module = importlib.import_module(
        "three_hundred_maps.mapping.render"
    )  # the package's `render` is a function
    monkeypatch.setattr(module, "CHUNK", 100)
    parts = render(box, [get_view("mass")], frame(), *ALONG_Z, half_seed=3)["mass"]
    assert np.allclose(whole[0], parts[0], rtol=1e-5)
    assert whole[1] == pytest.approx(parts[1], rel=1e-6)


def test_bright_and_faint_images_keep_their_digits():
    """Emptying the float32 images in time: 3e5 equal particles in a few pixels add up to 1e-5."""
    n = 300_000
    place = np.random.default_rng(0).normal(0.0, 1.0, (n, 3))
    maps, total = render(cutout(dark_matter=particles(place, 1.1)), [DARK], frame(16), *ALONG_Z)["dark_only"]
    assert total[0] == pytest.approx(n * np.float64(np.float32(1.1)), rel=1e-6)
    assert maps.sum(dtype="f8") == pytest.approx(total[0], rel=1e-5)


@pytest.mark.parametrize("fwhm", (0.0, 0.3, 1.2))
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gaussian_of_any_width(backend, fwhm):
    """None at all; wide enough to be applied to the map instead of the stamps."""
    box = cutout(gas=scattered_gas(200, 0.8, 10.0, spread=6.0))
    shape = frame(20, smoothing_fwhm=fwhm)
    truth, inside = render(box, [GAS], shape, *ALONG_Z, backend="reference")["gas_only"]
    maps, total = render(box, [GAS], shape, *ALONG_Z, backend=backend)["gas_only"]
    errors = relative_errors(maps, truth)
    assert np.median(errors) < 4e-3 and np.quantile(errors, 0.99) < 3e-2
    assert total == pytest.approx(inside, rel=1e-3)


def test_adaptive_smoothing_spreads_sparse_dark_matter():
    rng = np.random.default_rng(6)
    position = rng.normal(0, 5.0, (400, 3))
    box = cutout(dark_matter=particles(position))
    plain, total = render(box, [DARK], frame(), *ALONG_Z)["dark_only"]
    smooth, same = render(box, [DARK], frame(), *ALONG_Z, dm_smoothing="adaptive")["dark_only"]
    assert same == pytest.approx(total, rel=0.02)
    assert np.mean(plain == 0.0) > 0.7 and np.mean(smooth == 0.0) < 0.2


@example(pixels=31, width=0.3, half_depth=1.0, radius=16.0, seed=0)  # wide kernels end within the map
@settings(max_examples=6, deadline=None)
@given(
    pixels=st.sampled_from([1, 2, 31, 60]),  # few values: each new scale makes a table of stamps
    width=st.sampled_from([0.3, 2.0]),
    half_depth=st.floats(0.1, 5.0),
    radius=st.floats(0.0, 1e4),
    seed=st.integers(0, 1000),
)
def test_maps_are_finite_and_never_hold_more_than_there_is(pixels, width, half_depth, radius, seed):
    shape = HaloGrid(100.0, MapGrid(pixels, width, half_depth))
    position = np.random.default_rng(seed).normal(0, 60.0, (50, 3))
    box = cutout(gas=gas(position, radius), stars=particles(position))
    vectors, ups = lines_of_sight(2)
    for maps, totals in render(box, [get_view("mass"), GAS], shape, vectors, ups).values():
        assert np.isfinite(maps).all() and (maps >= -1e-9 * max(maps.max(), 0)).all()
        assert (totals <= 100 * (1 + 1e-5)).all()
        area = shape.pixel_area_kpc2
        assert maps.sum(axis=(1, 2), dtype="f8") * area == pytest.approx(totals, rel=1e-5, abs=1e-4)


def test_the_sphere_holds_the_box():
    shape = HaloGrid(1000.0)
    assert cutout_radius(shape) == pytest.approx(1000.0 * np.sqrt(2.0 + 4.0), rel=0.01)
    assert cutout_radius(shape) >= 1000.0 * np.sqrt(2.0 + 4.0)
    # What is measured inside R200c needs it whole, however small the map.
    assert cutout_radius(HaloGrid(1000.0, MapGrid(width=0.2, half_depth=0.1))) == 1000.0


def test_particles_are_not_copied_whole(monkeypatch):
    """1e8 particles go through in chunks; here 2e6 in chunks of 65,536 need a fraction of their memory."""
    n = 2_000_000
    position = np.random.default_rng(0).normal(0, 9.0, (n, 3)).astype(np.float32)
    box = cutout(dark_matter=particles(position))
    module = importlib.import_module("three_hundred_maps.mapping.render")
    monkeypatch.setattr(module, "CHUNK", 1 << 16)
    render(box, [DARK], frame(), *ALONG_Z)
    tracemalloc.start()
    render(box, [DARK], frame(), *ALONG_Z)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * position.nbytes


def test_back_ends_are_imported_when_they_are_asked_for():
    code = (
        "import sys; import three_hundred_maps.mapping as m; "
        "assert not {'numba', 'torch', 'scipy', 'pydantic', 'matplotlib'} & set(sys.modules), sys.modules; "
        "import importlib; importlib.import_module('three_hundred_maps.mapping.gpu'); "
        "assert not {'numba', 'scipy', 'pandas', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_back_end_that_is_not_installed_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in ("compiled", "mapping.fast"):
        monkeypatch.delitem(sys.modules, f"three_hundred_maps.{name}", raising=False)
    with pytest.raises(InputError, match=r"'fast' needs numba: pip install 'three_hundred_maps\[build\]'"):
        render(cutout(), [GAS], frame(), *ALONG_Z)
