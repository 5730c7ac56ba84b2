"""Stores of views that may be below 0 and see the line of sight, and of light by a user's own populations."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import yaml

from tests.recipes import of_files, write_recipe
from tests.snippets import snippets
from three_hundred_maps import open_store
from three_hundred_maps.builder import build, load_recipe
from three_hundred_maps.builder.plan import make_plan, sources_for
from three_hundred_maps.display import SOLAR_MAGNITUDE
from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping import MapContext, View
from three_hundred_maps.mapping.star_light import BANDS, table
from three_hundred_maps.mapping.views import VIEWS, particle_mass
from three_hundred_maps.simulation.cosmology import MDPL2
from three_hundred_maps.store.halo_table import halo_table
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.preview import preview
from three_hundred_maps.store.statistics import read_statistics
from three_hundred_maps.store.verify import verify
from three_hundred_maps.testing.small import small_snapshot
from three_hundred_maps.units import COMPTON_KPC2_PER_MSUN_K, KEV_K

MOTION = ("ksz", "velocity", "velocity_dispersion")


def energy(particles, context):
    """Of the motion along the line of sight: never below 0, so that it is a view like any other."""
    return 0.5 * particles.mass * (particles.fields["velocity"].astype(np.float64) @ context.sight) ** 2


@pytest.fixture
def moving(tmp_path, write_recipe, monkeypatch):
    """A recipe on a small box of three halos with views of motion, one a user's own, and its snapshot."""
    own = View("energy", "Msun km2 s-2 kpc-2", "energy", ("gas",), energy, needs=("velocity",), sight=True)
    monkeypatch.setitem(VIEWS, own.name, own)
    written = small_snapshot(tmp_path / "small", particles=3000, halos=3)
    recipe = write_recipe(
        "moving",
        simulation=of_files(written.snapshot, written.catalogue),
        maps={"views": [*MOTION, "energy", "mass"], "pixels": 8, "lines_of_sight": 2},
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


@pytest.mark.parametrize(
    ("function", "given", "said"),
    [
        (lambda p, c: np.abs(p.fields["velocity"][:, 0]), {}, r"KeyError.*; say needs=\(\"velocity\",\)$"),
        (lambda p, c: p.position @ c.sight, {"signed": True}, "it reads context.sight; say sight=True$"),
        (lambda p, c: c.sight * p.mass, {"signed": True}, "ValueError"),
    ],
)
def test_what_a_view_reads_it_must_ask_for(function, given, said):
    # Another view of the recipe may have the field read: the first recipe without that one would fail.
    from three_hundred_maps.builder.probe import check_views

    moving = VIEWS["velocity"]
    with pytest.raises(InputError, match=said):
        check_views([moving, View("mine", "1", "text", ("gas",), function, **given)], MapContext())


PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-view.md"
BORN, METALS, SUN = 0.5, 0.01, 0.0142


def analytic(band: str, age_gyr: float, logzsol: float) -> float:
    """Magnitudes that a table interpolates exactly."""
    return 5.0 + BANDS.index(band) / 3.0 + 2.0 * np.log10(age_gyr) + 0.4 * logzsol


class StellarPopulation:
    """The part of python-fsps that the page uses, as it is documented."""

    def __init__(self, compute_vega_mags=False, vactoair_flag=False, zcontinuous=0, **kwargs):
        assert zcontinuous == 1 and kwargs == {"imf_type": 1}
        self.params = {"logzsol": 0.0, "tage": 0.0}

    def get_mags(self, zmet=None, tage=0.0, redshift=None, bands=None):
        self.params["tage"] = tage
        return np.array([analytic(b.removeprefix("sdss_"), tage, self.params["logzsol"]) for b in bands])

    @property
    def stellar_mass(self):
        return 0.7 - 0.1 * np.log10(self.params["tage"])


def test_the_snippet_for_fsps_and_the_maps_of_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "fsps", SimpleNamespace(StellarPopulation=StellarPopulation))
    (snippet,) = (block.text for block in snippets(PAGE, "python") if "import fsps" in block.text)
    exec(compile(snippet, str(PAGE), "exec"), {})
    maps = yaml.safe_load(capsys.readouterr().out)
    written = small_snapshot(tmp_path / "small", halos=1)
    with h5py.File(written.snapshot, "r+") as file:
        file["PartType4/StellarFormationTime"][...] = BORN
    views = [f"lum_{band}" for band in BANDS]
    maps |= {"pixels": 8, "lines_of_sight": 1, "views": ["star", *views]}
    simulation = of_files(written.snapshot, written.catalogue)
    recipe = write_recipe(tmp_path, simulation=simulation, maps=maps)
    store = open_store(build(recipe, tmp_path / "store", quiet=True))
    (split,) = (store[name] for name in store if len(store[name]["halo_id"]))
    age = float(MDPL2.age_gyr(1.0 / 1.1) - MDPL2.age_gyr(BORN))
    for band, view in zip(BANDS, views, strict=True):
        above = analytic(band, age, np.log10(METALS / SUN)) - SOLAR_MAGNITUDE[view]
        light = 10.0 ** (-0.4 * above) / (0.7 - 0.1 * np.log10(age))
        np.testing.assert_allclose(split[f"total_{view}"], light * split["total_star"], rtol=2e-4)
        np.testing.assert_allclose(split[view], light * split["star"], rtol=2e-4)

    before = load_recipe(recipe).sha256()
    table.cache_clear()  # as in another process
    with Path("star_light.csv").open("a", encoding="utf-8") as file:
        file.write("# other bytes\n")
    with pytest.raises(InputError, match=r"star_light.csv has the sha256 \w{64}, .*sha256 is \w{64}$"):
        build(recipe, tmp_path / "other", quiet=True)
    digest = hashlib.sha256(Path("star_light.csv").read_bytes()).hexdigest()
    assert load_recipe(recipe, overrides=(f"maps.star_light.sha256={digest}",)).sha256() != before


GOOD = "# c\nage_gyr,metals,g,r,i,z\n1,0.01,6,6,6,6\n1,0.02,6,6,6,6\n2,0.01,6,6,6,6\n2,0.02,6,6,6,6\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", None),
        (",i,", ",", "its header is age_gyr,metals,g,r,z, not age_gyr,metals,g,r,i,z"),
        ("age_gyr", "age_yr", "its header is age_yr"),
        (GOOD, "", "its header is , not"),
        ("2,0.02,6,6,6,6\n", "", "each age is needed with each metals, both rising"),
        ("1,0.01", "3,0.01", "both rising"),
        ("2,0.02,6", "2,0.02,nan", "every value must be a finite number"),
        ("2,0.02,6", "2,0.02,bright", "not a table of numbers"),
        ("2,0.02,6,", "2,0.02,", "not a table of numbers"),
        ("1,0.02,6,6,6,6\n2,0.01,6,6,6,6\n", "", "each age"),
        ("1,0.01,6,6,6,6\n1,0.02,6,6,6,6\n", "", "at least two ages"),
        ("\n2,", "\n2e9,", "ages must be in Gyr"),
        ("0.02,", "1.4,", "metals must be mass fractions"),
        ("0.02,6", "0.02,-60", "magnitudes must be absolute"),
    ],
)
def test_a_bad_table_is_one_line(old, new, message, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    own = (path, hashlib.sha256(path.read_bytes()).hexdigest())
    if message is None:
        assert set(table(own)[2]) == set(BANDS)
        return
    with pytest.raises(InputError, match=message) as caught:
        table(own)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_table_that_is_not_there_or_not_named_whole(tmp_path):
    with pytest.raises(InputError, match="maps.star_light: .*absent.csv cannot be read"):
        table((tmp_path / "absent.csv", ""))
    (tmp_path / "own.csv").write_text(GOOD, encoding="utf-8")
    with pytest.raises(InputError, match="maps.star_light.sha256 is not given"):
        table((tmp_path / "own.csv", ""))
