"""Views: what particles contribute, which gas counts, views of a user's own, what the star view hides."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_helpers import GAS, cutout, frame, gas, particles
from scipy import ndimage

from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import (
    VIEWS,
    GasCuts,
    HaloGrid,
    MapContext,
    View,
    get_view,
    lines_of_sight,
    register_view,
    render,
)
from three_hundred_maps.mapping.emissivity import soft_share
from three_hundred_maps.mapping.render import in_random_half, splitmix64
from three_hundred_maps.mapping.views import (
    brightest_share,
    compton_area,
    particle_mass,
    spectroscopic_weight,
    with_xray_limit,
    xray_luminosity,
    xray_soft_luminosity,
)
from three_hundred_maps.testing import analytic_cluster

CONTEXT = MapContext()


def test_luminosity_of_one_particle_by_hand():
    """1e8 Msun at 1e5 Msun/kpc^3 and 1e8 K: n_H = 0.76 * 4.0482e-8 * 1e5 cm^-3 and so on."""
    one = gas([[0, 0, 0]], 1.0, mass=1e8, density=1e5, temperature=1e8, metallicity=0.0)
    hydrogen_cm3 = 0.76 * 1e5 * 1.98841e33 / 1.67262e-24 / 3.08568e21**3
    nuclei = 0.76 * 1e8 * 1.98841e33 / 1.67262e-24
    rate = CONTEXT.emissivity.cooling_rate(np.array([1e8]), np.array([0.0]))[0]
    assert rate == pytest.approx(2.7e-23, rel=0.1)
    assert xray_luminosity(one, CONTEXT)[0] * 1e44 == pytest.approx(rate * hydrogen_cm3 * nuclei, rel=1e-4)


def test_gas_rules():
    two = gas(np.zeros((6, 3)), 1.0, mass=1e8)
    fields = two.fields
    fields["temperature"][:] = [5e7, 5e5, 5e7, 5e7, 5e7, 1e6]
    fields["star_formation_rate"][2] = 1.0
    fields["wind"][3] = 1.0
    fields["density"][4] = 1e8  # n_H of about 3 per cm^3
    assert (xray_luminosity(two, CONTEXT) > 0).tolist() == [True, False, False, False, True, False]
    assert (compton_area(two, CONTEXT) > 0).tolist() == [True, True, True, False, True, True]
    assert ((spectroscopic_weight(two, CONTEXT) > 0) == (xray_luminosity(two, CONTEXT) > 0)).all()
    other = MapContext(
        GasCuts(
            drop_winds=False,
            xray_min_temperature_K=1e5,
            xray_star_forming=True,
            xray_max_hydrogen_density_cm3=0.1,
            sz_star_forming=False,
        )
    )
    assert (xray_luminosity(two, other) > 0).tolist() == [True, True, True, True, False, True]
    assert (compton_area(two, other) > 0).tolist() == [True, True, False, True, True, True]


def test_a_particle_above_the_largest_share_of_the_light_emits_none():
    """One particle gives nearly all; another as bright lies beyond R200c and does not count in the total."""
    some = gas([[1, 0, 0]] * 99 + [[30, 0, 0]], 1.0, mass=1e8)
    some.fields["density"][[0, 99]] = 1e6
    bright = xray_luminosity(some, CONTEXT)
    view = get_view("xray")
    expected = bright[:10].sum() / bright[:99].sum()
    assert brightest_share(view, {"gas": some}, 20.0, CONTEXT) == pytest.approx(expected)
    assert brightest_share(view, {"gas": some.select(np.arange(0))}, 20.0, CONTEXT) == 0.0
    limited = with_xray_limit(MapContext(GasCuts(xray_max_share=0.05)), some, 20.0)
    assert limited.xray_limit == pytest.approx(0.05 * bright[:99].sum())
    assert (xray_luminosity(some, limited) == np.where(bright > 10 * bright[1], 0.0, bright)).all()
    assert ((spectroscopic_weight(some, limited) > 0) == (xray_luminosity(some, limited) > 0)).all()
    box, shape = cutout(gas=some), frame(40)
    maps = render(box, [view], shape, *lines_of_sight(1), context=MapContext(GasCuts(xray_max_share=0.05)))
    assert maps["xray"][1] == pytest.approx(bright[1:99].sum(), rel=1e-4)
    for bad in ({"xray_max_share": 0.0}, {"xray_max_hydrogen_density_cm3": -1.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            GasCuts(**bad)


def test_an_error_in_a_users_view_is_one_line_with_its_place(tmp_path, monkeypatch):
    """An installed command finds the module in the working directory; spawned workers inherit the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    monkeypatch.setattr("three_hundred_maps.mapping.views.VIEWS", dict(VIEWS))
    declaration = "from three_hundred_maps.mapping import View\ndef f(p, c):\n    return np.sqrt(p.mass)\n"
    (tmp_path / "broken_view.py").write_text(declaration + "v = View('v', '1', 'v', ('gas',), f)\n")
    (tmp_path / "broken_module.py").write_text("import math\nmath.nothing\n")
    (tmp_path / "no_python.py").write_text("def (\n")
    with pytest.raises(InputError, match=r"view v: NameError: .*np.*broken_view\.py, line 3\)$"):
        render(cutout(gas=gas([[0, 0, 0]], 1.0)), [get_view("broken_view:v")], frame(), *lines_of_sight(1))
    with pytest.raises(InputError, match=r"AttributeError: .*broken_module\.py, line 2\)$"):
        get_view("broken_module:v")
    with pytest.raises(InputError, match=r"SyntaxError: .*no_python\.py, line 1\)"):
        get_view("no_python:v")


def test_mass_is_the_sum_over_species():
    rng = np.random.default_rng(0)
    box = cutout(
        gas=gas(rng.normal(0, 3, (50, 3)), 1.5, 2.0),
        **{
            name: particles(rng.normal(0, 3, (50, 3)), k + 3.0)
            for k, name in enumerate(("dark_matter", "low_resolution", "stars", "black_holes"))
        },
    )
    holes = View("holes", "Msun kpc-2", "black holes", ("black_holes",), particle_mass)
    views = [get_view(name) for name in ("mass", "gas", "dark_matter", "star_grainy")] + [holes]
    maps = render(box, views, frame(), *lines_of_sight(2))
    parts = sum(maps[name][0] for name in ("gas", "dark_matter", "star_grainy", "holes"))
    assert np.allclose(maps["mass"][0], parts, rtol=1e-5)
    assert maps["mass"][1] == pytest.approx(50 * (2 + 3 + 4 + 5 + 6), rel=1e-3)


def test_no_particles_is_a_map_of_zeros():
    for name in VIEWS:
        for backend in ("fast", "reference", "torch"):
            maps, totals = render(cutout(), [get_view(name)], frame(8), *lines_of_sight(2), backend=backend)[
                name
            ]
            assert maps.shape == (2, 8, 8) and maps.dtype == np.float32 and not maps.any()
            assert totals.shape == (2,) and not totals.any()


def test_a_weighted_mean_is_what_it_says():
    """Two particles on one pixel: weights 3 and 1."""
    mean = View(
        "mean_z", "1", "mean metallicity", ("gas",), lambda p, c: p.fields["metallicity"], particle_mass
    )
    both = gas([[0.5, 0.5, 0], [0.5, 0.5, 1]], 0.1)
    both.mass[:] = [3.0, 1.0]
    both.fields["metallicity"][:] = [0.2, 0.6]
    maps, totals = render(cutout(gas=both), [mean], frame(4), *lines_of_sight([[0, 0, 1]]))["mean_z"]
    assert maps[0, 2, 2] == pytest.approx(0.3, rel=1e-5)
    assert maps[0, 0, 0] == 0.0


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(-(2**63), 2**63), first=st.integers(0, 2**40))
def test_halves_are_halves(seed, first):
    index = np.arange(first, first + 4000)
    half = in_random_half("gas", index, seed)
    assert abs(half.mean() - 0.5) < 0.05
    assert (in_random_half("gas", index[::-1], seed) == half[::-1]).all()
    other = in_random_half("stars", index, seed)
    assert 0.4 < np.mean(half == other) < 0.6  # species are drawn apart
    assert 0.4 < np.mean(half == in_random_half("gas", index, seed + 1)) < 0.6


def test_splitmix64_is_the_published_generator():
    """First outputs for state 0 and for 1234567 (Steele, Lea & Flood 2014; Vigna's reference code)."""
    assert splitmix64(np.array([0], np.uint64))[0] == 0xE220A8397B1DCDAF
    assert splitmix64(np.array([1234567], np.uint64))[0] == 6457827717110365317


def test_a_half_and_its_complement_are_the_whole():
    rng = np.random.default_rng(1)
    box = cutout(gas=gas(rng.normal(0, 3, (4000, 3)), 2.0), stars=particles(rng.normal(0, 2, (4000, 3))))
    view = get_view("mass")
    vectors, ups = lines_of_sight(2)
    whole, all_of_it = render(box, [view], frame(), vectors, ups)["mass"]
    half, twice = render(box, [view], frame(), vectors, ups, half_seed=11)["mass"]
    kept = {name: box[name].select(~in_random_half(name, box[name].index, 11)) for name in ("gas", "stars")}
    rest, _ = render(cutout(**kept), [view], frame(), vectors, ups)["mass"]
    assert np.allclose(half / 2 + rest, whole, atol=1e-5 * whole.max())
    assert twice == pytest.approx(all_of_it, rel=0.05)
    # the same particles in another cut-out, in another order
    order = rng.permutation(4000)
    shuffled = cutout(gas=box["gas"].select(order), stars=box["stars"])
    again, _ = render(shuffled, [view], frame(), vectors, ups, half_seed=11)["mass"]
    assert np.allclose(again, half, atol=1e-5 * half.max())


def test_a_user_s_view_by_module_and_attribute(monkeypatch):
    module = types.ModuleType("my_views")
    module.metals = View(  # type: ignore[attr-defined]
        "metals", "Msun kpc-2", "metals in gas", ("gas",), lambda p, c: p.mass * p.fields["metallicity"]
    )
    module.other = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_views", module)
    monkeypatch.setattr("three_hundred_maps.mapping.views.VIEWS", dict(VIEWS))
    view = get_view("my_views:metals")
    assert get_view("metals") is view and get_view("my_views:metals") is view
    box = cutout(gas=gas([[0.5, 0.5, 0]], 1.0, mass=10.0, metallicity=0.02))
    assert render(box, [view], frame(8), *lines_of_sight(1))["metals"][1] == pytest.approx(0.2, rel=1e-4)
    for bad in ("nothing", "my_views:absent", "no.such.module:view", "my_views:other", ":x"):
        with pytest.raises(InputError):
            get_view(bad)


def test_views_that_cannot_be():
    with pytest.raises(InputError, match="already a view 'sz'"):
        register_view(View("sz", "1", "another", ("gas",), particle_mass))
    assert register_view(get_view("sz")) is get_view("sz")
    with pytest.raises(InputError, match="species plasma not known"):
        View("x", "1", "x", ("plasma",), particle_mass)
    with pytest.raises(InputError, match="letters, digits"):
        View("a b", "1", "x", ("gas",), particle_mass)


def test_luminosities_fit_float32():
    """A cluster's core of 1e41 erg/s/kpc^2 is beyond float32 in erg/s/kpc^2; in the view's unit it is not."""
    core = gas([[0, 0, 0]], 1.0, mass=1e11, density=1e10, temperature=1e8)
    maps, totals = render(cutout(gas=core), [get_view("xray"), GAS], frame(4), *lines_of_sight(1))["xray"]
    assert np.isfinite(maps).all() and totals[0] > 1e3
    assert maps.sum(dtype="f8") == pytest.approx(totals[0], rel=1e-5)


def test_the_soft_band_is_part_of_the_light():
    cluster = analytic_cluster(n_gas=2000, temperature_keV=4.0)
    views = [get_view("xray"), get_view("xray_soft")]
    made = render(cluster.cutout, views, HaloGrid(cluster.R200c_kpc), *lines_of_sight(2))
    whole, soft = made["xray"][0], made["xray_soft"][0]
    gas = cluster.cutout["gas"]
    share = soft_share(CONTEXT.emissivity, gas.fields["temperature"][:1], gas.fields["metallicity"][:1])
    np.testing.assert_allclose(soft[whole > 0], share * whole[whole > 0], rtol=1e-4)
    limited = MapContext(GasCuts(), CONTEXT.emissivity, xray_limit=0.0)
    assert not xray_soft_luminosity(gas, limited).any()


ALONG_Z = (np.array([[0.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 0.0]]))
STAR, GRAINY, MASS = (get_view(name) for name in ("star", "star_grainy", "mass"))


def smallest_blob(stars: np.ndarray) -> float:
    """The least sum of connected pixels that hold anything: of a map of grains, a star particle's mass."""
    labels, number = ndimage.label(stars > 0)
    return float(np.min(ndimage.sum_labels(stars, labels, np.arange(1, number + 1))))


def cluster(seed: int, stars: int):
    """A concentrated cluster of equal particles; its size is the grid's."""
    rng = np.random.default_rng(seed)
    radius = 15.0 * rng.random(stars) ** 2
    direction = rng.normal(size=(stars, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    return cutout(stars=particles(radius[:, None] * direction))


def test_grains_give_the_particles_mass_away_and_the_star_view_does_not() -> None:
    shape = frame()
    recovered: dict[str, list[float]] = {"star": [], "star_grainy": []}
    for seed in range(8):
        made = render(cluster(seed, 300), [STAR, GRAINY], shape, *ALONG_Z)
        for name, found in recovered.items():
            found.append(smallest_blob(made[name][0][0]) * shape.pixel_area_kpc2)
    # the test's particles weigh 1: the attack succeeds on grains to a few parts in a thousand
    assert np.median(recovered["star_grainy"]) == pytest.approx(1.0, rel=0.02)
    assert np.min(recovered["star"]) > 100.0


@pytest.mark.parametrize("stars", [1, 5, 32, 33])
def test_few_stars_are_spread_too(stars: int) -> None:
    shape = frame()
    maps, total = render(cluster(3, stars), [STAR], shape, *ALONG_Z)["star"]
    assert maps.sum() * shape.pixel_area_kpc2 == pytest.approx(total[0], rel=1e-6)
    if stars < 33:
        assert np.mean(maps > 0) > 0.5


def test_spread_is_for_what_has_no_kernel() -> None:
    """Gas keeps its own kernel, of its own length, in a view that spreads its stars."""
    box = cutout(gas=gas([[0.0, 0.0, 0.0]], 8.0))
    plain, spread = (
        View(name, "Msun kpc-2", "baryons", ("gas", "stars"), particle_mass, spread=name == "spread")
        for name in ("plain", "spread")
    )
    made = render(box, [plain, spread], frame(), *ALONG_Z)
    assert np.array_equal(made["spread"][0], made["plain"][0])


def test_the_kernels_are_exact_and_other_views_stay_as_they_were() -> None:
    box, shape = cluster(5, 200), frame()
    together = render(box, [STAR, MASS, GRAINY], shape, *ALONG_Z)
    alone = render(box, [MASS], shape, *ALONG_Z)["mass"]
    assert np.array_equal(together["mass"][0], alone[0])
    assert np.array_equal(together["mass"][0], together["star_grainy"][0])
    truth, _ = render(box, [STAR], shape, *ALONG_Z, backend="reference")["star"]
    lit = truth > 1e-3 * truth.max()
    errors = np.abs(together["star"][0] - truth)[lit] / truth[lit]
    assert np.median(errors) < 4e-3 and np.quantile(errors, 0.99) < 3e-2
