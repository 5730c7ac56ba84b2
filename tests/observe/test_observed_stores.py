"""Observed stores: bytes, resuming, what they say of themselves, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import xarray as xr

from three_hundred_maps.errors import InputError
from three_hundred_maps.geometry import MapGrid
from three_hundred_maps.hub.configs import config_names, observed_configs
from three_hundred_maps.hub.exporting import export
from three_hundred_maps.keys import halo_keys
from three_hundred_maps.observe.build import observe
from three_hundred_maps.observe.frame import Frame, cosmology_of, draw_redshift, place
from three_hundred_maps.observe.levels import LEVELS
from three_hundred_maps.observe.operators import beam_matrix, separable
from three_hundred_maps.store.arrays import read_split, root_attrs, store_digest
from three_hundred_maps.store.derive import merge, subset
from three_hundred_maps.store.manifest import read_manifest, write_manifest
from three_hundred_maps.store.overview import describe, overview
from three_hundred_maps.store.statistics import ViewStatistics, read_statistics
from three_hundred_maps.store.verify import verify
from three_hundred_maps.testing import tiny_store


def test_an_observed_store_is_whole(deep):
    report = verify(deep, deep=True)
    assert report.good, report.problems
    attrs = root_attrs(deep)
    assert attrs["name"] == "tiny-observed-deep" and attrs["views"] == list(LEVELS["deep"].views)
    with xr.open_zarr(deep, group="test") as data:
        assert data["sz"].attrs["beam_fwhm_arcsec"] == 72.0 and data["sz"].attrs["signed"]
        assert data["xray"].attrs["exposure_s"] == 1000.0 and data["xray"].attrs["units"] == "ct s-1 arcmin-2"
        assert data["star"].attrs["limit_mag"] == 28.0
        assert float(data["redshift"].min()) > 0.1
        assert float(data["sz"].min()) < 0
    assert any("no temperature" in warning for warning in attrs["warnings"])
    shown = describe(overview(deep))
    assert "beam_fwhm_arcsec 72" in shown and "redshifts 0.1 to 0.6" in shown


def test_card_and_croissant_say_the_instruments(deep, wide, tmp_path):
    export([deep, wide], tmp_path / "hub")
    card = (tmp_path / "hub" / "README.md").read_text("utf-8")
    title = LEVELS["deep"].title
    assert f"Seen as by: {title}. Redshifts 0.1 to 0.6" in card
    assert r"| `sz` | beam\_fwhm\_arcsec 72, depth\_y\_arcmin 1.2e-06 |" in card
    assert "| `mass` | none: as simulated |" in card
    assert "no foreground in the maps of `tiny-wide`." in card
    croissant = json.loads((tmp_path / "hub" / "croissant.json").read_text("utf-8"))
    assert f"tiny-observed-deep: seen as by {title}" in croissant["rai:dataPreprocessingProtocol"][-1]
    fields = [field for records in croissant["recordSet"] for field in records["field"]]
    said = {field["@id"]: field.get("description", "") for field in fields}
    assert said["tiny-observed-deep/xray"].endswith("exposure_s 1000, solar_metallicity 0.3")
    assert "instrument" not in said["tiny-wide/xray"]


def test_truth_is_the_ideal_map_in_the_observers_frame(wide, deep):
    ideal, seen = (read_split(store, "test", ["mass", "mass_half"]) for store in (wide, deep))
    assert halo_keys(ideal.halos) == halo_keys(seen.halos)
    np.testing.assert_array_equal(ideal.halos["M200c"], seen.halos["M200c"])
    grid = MapGrid(120, 3.0)
    for row, key in enumerate(halo_keys(ideal.halos)):
        rows, columns = Frame.draw(key, 1).matrices(grid)
        for view in ("mass", "mass_half"):
            wanted = rows @ ideal.maps[view][row, 1] @ columns.T
            np.testing.assert_allclose(seen.maps[view][row, 1], wanted, rtol=1e-4)


def test_sz_is_the_ideal_map_through_the_beam(wide, deep):
    """The residual is the stated noise."""
    ideal, seen = (read_split(store, "train", ["sz"]) for store in (wide, deep))
    cosmology, grid, units = cosmology_of(root_attrs(wide)), MapGrid(120, 3.0), []
    for row, key in enumerate(halo_keys(ideal.halos)):
        sky = place(cosmology, draw_redshift(key, (0.1, 0.6)))
        assert seen.halos["redshift"][row] == sky.redshift
        side = grid.pixel * ideal.halos["R200c"][row] * sky.arcmin_per_kpc
        beam = beam_matrix(120, 1.2 / side)
        frame = Frame.draw(key, 0)
        rows, columns = frame.matrices(grid)
        smooth = separable(ideal.maps["sz"][row, 0], rows @ beam, columns @ beam)
        units.append((seen.maps["sz"][row, 0] - smooth) * frame.radius * side / 1.2e-6)
    assert np.std(units) == pytest.approx(1.0, rel=0.02)


def test_bytes_do_not_depend_on_workers_or_a_stop(wide, deep, tmp_path, monkeypatch):
    """As a run that was killed after its first shard, and goes on with two workers: `deep` is of one."""
    from three_hundred_maps.observe import build

    stopped, run_tasks = tmp_path / "stopped", build.run_tasks

    def some(function, tasks, **options):
        yield from run_tasks(function, tasks[:1], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "run_tasks", some)
    with pytest.raises(KeyboardInterrupt):
        observe(wide, stopped, "deep")
    monkeypatch.undo()
    assert "not finished" in overview(stopped)["state"]
    assert store_digest(observe(wide, stopped, "deep", workers=2)) == store_digest(deep)


def test_statistics_of_signed_views(deep):
    found = read_statistics(deep)
    maps = read_split(deep, "train", ["sz", "shear1"]).maps
    for view, values in maps.items():
        assert found[view].negative.sum() == (values < 0).sum()
        assert found[view].positive == (values > 0).sum()
        for q in (0.16, 0.5, 0.84):
            # Bins of 0.02 dex; next to zero that is next to nothing.
            assert found[view].linear_quantile(q) == pytest.approx(
                float(np.quantile(values, q)), rel=0.05, abs=0.02 * float(values.std())
            )
        again = ViewStatistics.from_json(found[view].to_json())
        np.testing.assert_array_equal(again.negative, found[view].negative)


def few(folder, wide=None, **more):
    """A store of three halos, with the cosmology of ``wide``."""
    simulation = {"simulation": root_attrs(wide)["simulation"]} if wide else {}
    return tiny_store(folder, halos=(1, 1, 1), n_los=1, **simulation, **more)


@pytest.mark.parametrize(
    ("make", "level", "said"),
    [
        (lambda tmp, wide, deep: wide, "shallow", "--level shallow: there are pointed"),
        (lambda tmp, wide, deep: deep, "deep", "observed store already"),
        (lambda tmp, wide, deep: few(tmp), "deep", "cosmology"),
        (lambda tmp, wide, deep: few(tmp, wide), "deep", "need maps of 3"),
        (lambda tmp, wide, deep: few(tmp, wide, pixels=110, width=2.75), "deep", "is 2.75 R200c wide"),
        (lambda tmp, wide, deep: few(tmp, wide, views=("sz", "mass")), "deep", "no view xray"),
    ],
)
def test_what_cannot_be_observed_is_one_line(make, level, said, tmp_path, wide, deep):
    with pytest.raises(InputError, match=said):
        observe(make(tmp_path / "few", wide, deep), tmp_path / "out", level)
    assert not (tmp_path / "out").exists()


def test_halos_that_the_ideal_store_excluded_stay_listed(wide, tmp_path):
    copy = subset(wide, tmp_path / "copy", halos=1, los=1)
    manifest = read_manifest(copy)
    gone = [{"simulation": "blobs", "region": 99, "snapshot": 0, "halo_id": 1, "reason": "for a test"}]
    planned = {split: number + (split == "train") for split, number in manifest["halos_planned"].items()}
    del manifest["digest"]
    write_manifest(copy, {**manifest, "refused": gone, "halos_planned": planned})
    seen = read_manifest(observe(copy, tmp_path / "out", "rosat"))
    assert seen["refused"] == gone and seen["halos_planned"] == planned
    views = read_manifest(subset(copy, tmp_path / "views", views=["mass"]))
    assert views["refused"] == gone and views["halos_planned"] == planned
    assert read_manifest(subset(copy, tmp_path / "part", splits=["train"]))["refused"] == []


def test_another_level_is_not_written_over(wide, deep, tmp_path):
    copy = shutil.copytree(deep, tmp_path / "copy")
    with pytest.raises(InputError, match="another finished store"):
        observe(wide, copy, "wide")


def test_levels_are_not_joined(wide, deep, tmp_path):
    other = observe(wide, tmp_path / "other", "wide")
    with pytest.raises(InputError, match="they differ in instruments"):
        merge([deep, other], tmp_path / "joined")
    halves = [subset(deep, tmp_path / split, splits=[split]) for split in ("train", "test")]
    assert len(read_split(merge(halves, tmp_path / "whole"), "train", []).halos["region"]) == 6


def test_observed_configs_are_known():
    assert {f"mini-observed-{name}" for name in LEVELS} <= set(config_names())
    assert observed_configs()["mini-observed-deep"] == ("mini-wide", LEVELS["deep"])
