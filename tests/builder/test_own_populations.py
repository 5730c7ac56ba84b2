"""Starlight of the user's own populations: the page's snippet, the maps of its table, and bad tables."""

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
from three_hundred_maps.display import SOLAR_MAGNITUDE
from three_hundred_maps.errors import InputError
from three_hundred_maps.mapping.star_light import BANDS, table
from three_hundred_maps.simulation.cosmology import MDPL2
from three_hundred_maps.testing import small_snapshot

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
