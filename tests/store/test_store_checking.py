"""Reading, checking and deriving stores: what is found, and what is said."""

from __future__ import annotations

import csv
import multiprocessing
import re
import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest_store import rewritten, set_value

from tests.helpers import command, hashes
from three_hundred_maps import open_store
from three_hundred_maps.cli import main
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import halo_keys
from three_hundred_maps.plot import colour_bar, draw_map, new_figure, plot_halo, plot_prediction, plot_profile
from three_hundred_maps.store import schema
from three_hundred_maps.store.arrays import iter_shards, read_split, root_attrs, store_digest
from three_hundred_maps.store.derive import merge, subset
from three_hundred_maps.store.duplicates import find_duplicates, symmetries
from three_hundred_maps.store.halo_table import halo_table, write_halo_table
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.notes import EMPTY_TRAIN, subset_attrs
from three_hundred_maps.store.overview import describe, overview
from three_hundred_maps.store.preview import preview
from three_hundred_maps.store.statistics import read_statistics
from three_hundred_maps.store.verify import verify
from three_hundred_maps.store.writer import create_store
from three_hundred_maps.testing import tiny_store
from three_hundred_maps.testing.stores import write_store

# -- reading -----------------------------------------------------------------------------------------------


def test_arrays_are_what_xarray_reads(tiny):
    store = open_store(tiny)
    for split in schema.SPLITS:
        data = store[split]
        found = read_split(tiny, split)
        for view in store.attrs["views"]:
            np.testing.assert_array_equal(found.maps[view], data[view].values)
        for name, values in found.halos.items():
            there = data[name]
            wanted = there.values
            if name == "simulation":
                assert there.dtype == np.int32 and there.attrs["flag_values"] == [0]
                wanted = np.array(there.attrs["flag_meanings"].split())[wanted]
            np.testing.assert_array_equal(values, wanted)
    part = read_split(tiny, "train", ["mass"], slice(2, 6))
    np.testing.assert_array_equal(part.maps["mass"], store["train"]["mass"].values[2:6])
    assert list(part.maps) == ["mass"] and len(part) == 4
    assert len(read_split(tiny, "train", ["sz"], slice(6, 2))) == 0


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_streaming_gives_every_halo_once_in_seeded_order(tiny, seed):
    whole = read_split(tiny, "train")
    parts = list(iter_shards(tiny, "train", ["sz"], seed=seed))
    ids = [int(i) for part in parts for i in part.halos["halo_id"]]
    assert sorted(ids) == sorted(whole.halos["halo_id"].tolist())
    assert (ids == whole.halos["halo_id"].tolist()) == (seed is None)
    row_of = {int(i): row for row, i in enumerate(whole.halos["halo_id"])}
    for part in parts:
        for place, i in enumerate(part.halos["halo_id"]):
            np.testing.assert_array_equal(part.maps["sz"][place], whole.maps["sz"][row_of[int(i)]])
    again = [int(i) for part in iter_shards(tiny, "train", ["sz"], seed=seed) for i in part.halos["halo_id"]]
    assert again == ids


def test_reading_through_fsspec_is_the_same(tiny, tmp_path, monkeypatch):
    import fsspec

    monkeypatch.setenv("THREE_HUNDRED_MAPS_HOME", str(tmp_path))
    memory = fsspec.filesystem("memory")
    memory.put(str(tiny), "/a-store", recursive=True)
    try:
        np.testing.assert_array_equal(
            read_split("memory://a-store", "train", ["mass"], slice(1, 5)).maps["mass"],
            read_split(tiny, "train", ["mass"], slice(1, 5)).maps["mass"],
        )
        assert store_digest("memory://a-store") == store_digest(tiny)
        assert overview("memory://a-store")["halos"] == 14
        assert open_store("memory://a-store").statistics["mass"].mean == read_statistics(tiny)["mass"].mean
        assert verify("memory://a-store").good
        copied = find_store("memory://a-store")
        assert copied.parent == tmp_path / "urls" and verify(copied).good
        memory.pipe("/a-store/train/mass/c/0/0/0/0", b"damaged")
        memory.rm("/a-store/train/sz/c/0/0/0/0")
        assert find_store("memory://a-store") == copied
        damaged, missing = verify("memory://a-store").problems
        assert damaged.startswith("train/mass/c/0/0/0/0 has 7 bytes") and "train/sz/c/0/0/0/0 is m" in missing
        shutil.rmtree(copied)
        with pytest.raises(InputError, match="memory://a-store/train/mass.* does not match its checksum"):
            find_store("memory://a-store")
    finally:
        memory.rm("/a-store", recursive=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: read_split(p, "train", ["optical"]), "has no view 'optical'.*it has sz, xray, star, mass"),
        (lambda p: read_split(p, "train", ["mass_half"]), "has no view 'mass_half' in this split"),
        (lambda p: read_split(p, "validate"), "no split 'validate': a store has train, validation, test"),
        (lambda p: read_split(p, "train", "mass"), "must be a list of names, not the text 'mass'"),
        (lambda p: read_split(p, "train", None, slice(0, 4, 2)), "slice of step 1"),
        (lambda p: open_store(p / "nothing"), "no store at .*nothing"),
        (lambda p: overview(p / "nothing"), "does not exist"),
    ],
)
def test_what_is_not_there_is_said(tiny, call, message):
    with pytest.raises(InputError, match=message):
        call(tiny)


def _sum(path: str) -> float:
    return float(
        sum(part.maps["mass"].sum(dtype=np.float64) for part in iter_shards(path, "train", ["mass"]))
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_reading_in_child_processes(tiny, method):
    wanted = _sum(str(tiny))  # the parent has read (and started its threads) before it forks
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(_sum, [str(tiny)] * 3).get(timeout=120) == [wanted] * 3


def test_the_array_readers_need_numpy_and_zarr_alone(tiny):
    code = (
        "import sys\n"
        "for name in ('xarray', 'pandas', 'torch', 'pydantic', 'numba', 'scipy', 'matplotlib', 'datasets'):\n"
        "    sys.modules[name] = None\n"
        "from three_hundred_maps.store.arrays import iter_shards, read_split\n"
        "from three_hundred_maps.store.statistics import read_statistics\n"
        f"print(len(read_split({str(tiny)!r}, 'train')), len(list(iter_shards({str(tiny)!r}, 'test'))),\n"
        f"      len(read_statistics({str(tiny)!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["7", "2", "4"], done.stderr


# -- verify ------------------------------------------------------------------------------------------------


def test_a_good_store_is_good(tiny):
    report = verify(tiny, deep=True, against=tiny)
    assert report.problems == [] and report.good
    assert report.checks["totals"] == 14 * 3 * 4 and report.checks["duplicates"] == 14


def test_one_flipped_byte_in_any_file_is_named(copy):
    generator = np.random.default_rng(8)
    files = sorted(p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file())
    signed = ["manifest.json", "provenance.json"]
    others = [name for name in files if name not in signed]
    assert len(others) > 200
    for names in ([signed[0]], [signed[1]], others[:1], others):
        whole = {name: (copy / name).read_bytes() for name in names}
        for name, data in whole.items():
            flipped = bytearray(data)
            flipped[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
            (copy / name).write_bytes(flipped)
        problems = verify(copy).problems
        assert sorted(problem.split(" ")[0] for problem in problems) == names, problems
        for name, data in whole.items():
            (copy / name).write_bytes(data)
    assert verify(copy).good


def test_missing_cut_and_extra_files_are_named(copy):
    (copy / "train/sz/c/1/0/0/0").unlink()
    with open(copy / "test/mass/c/0/0/0/0", "r+b") as stream:
        stream.truncate(100)
    (copy / "train/extra.txt").write_text("?")
    problems = verify(copy).problems
    assert (
        "train/sz/c/1/0/0/0 is missing" in problems and "train/extra.txt is not in the manifest" in problems
    )
    assert any(p.startswith("test/mass/c/0/0/0/0 has 100 bytes") for p in problems)


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("test/region", 0, 1, "region 1 is in train and in test"),
        ("train/total_sz", (2, 1), 1e-3, "train/total_sz of row 2, line of sight 1 is 0.001"),
        ("statistics/mean", 1, -3.0, "statistics/xray: mean is -3"),
        ("statistics/climatology", 3, 5.0, None),
        ("train/los_up", (0, 0), 3.0, "train/los_up holds vectors that are not of length 1"),
        ("statistics/ring_sum", 3, 5.0, "statistics/climatology does not match"),
    ],
)
def test_wrong_content_with_right_checksums_is_found(copy, name, index, value, message):
    rewritten(copy, lambda: set_value(copy, name, index, value))
    problems = verify(copy, deep=True).problems
    assert (message is None) == (problems == []) or any(message in p for p in problems), problems
    if message is not None:
        assert any(message in p for p in problems), problems


@pytest.mark.parametrize("pixels", [40, 64])
def test_planted_copies_are_found_turned_and_mirrored(tmp_path, pixels):
    """Each halo of the test split is a copy of one of train, under other ids, turned in its own way."""
    source = tiny_store(tmp_path / "few", halos=(8, 1, 8), pixels=pixels)
    layout, train, generator = Layout.of_store(source), read_split(source, "train"), np.random.default_rng(1)

    def content(split: str):
        data = read_split(source, split, [v.name for v in layout.map_variables(split)])
        if split == "test":
            for view in layout.views:
                for k, values in enumerate(data.maps[view]):
                    noise = np.exp(0.02 * generator.normal(size=values.shape))
                    values[:] = list(symmetries(train.maps[view][k]))[k] * noise
            data.maps["mass_half"][:] = data.maps["mass"]
        return data.maps, data.halos

    store = write_store(tmp_path / "planted", layout, content)
    found = find_duplicates(store)
    assert sorted((d.key_a.region, d.key_b.region) for d in found) == [(1 + k, 10 + k) for k in range(8)]
    assert {(d.split_a, d.split_b) for d in found} == {("train", "test")}
    assert min(d.correlation for d in found) > 0.98
    assert sum("look the same" in problem for problem in verify(store, deep=True).problems) == 8


def test_strangers_do_not_look_alike(tmp_path):
    store = tiny_store(tmp_path / "s", halos=(30, 10, 12), pixels=40, n_los=2)
    assert find_duplicates(store) == []


def test_a_region_that_leaks_between_stores_is_found(tmp_path, tiny):
    other = tiny_store(tmp_path / "other", halos=(2, 2, 2), pixels=40, first_region=9)
    problems = verify(tiny, against=other).problems
    assert problems and all("is in train of" in p or "is in validation of" in p for p in problems)
    apart = tiny_store(tmp_path / "apart", halos=(2, 2, 2), pixels=40, first_region=100)
    assert verify(tiny, against=apart).good


# -- subset, merge -----------------------------------------------------------------------------------------


def test_subset_is_a_store_of_its_own(tiny, tmp_path):
    made = subset(tiny, tmp_path / "small", views=["sz", "mass"], halos=2, los=2)
    assert verify(made, deep=True).problems == []
    found = read_split(made, "train")
    whole = read_split(tiny, "train")
    np.testing.assert_array_equal(found.maps["mass"], whole.maps["mass"][:2, :2])
    assert read_statistics(made)["mass"].count == found.maps["mass"].size
    assert open_store(made).attrs["derived"]["subset_of"] == store_digest(tiny)
    digest = store_digest(made)
    assert store_digest(subset(tiny, tmp_path / "small", views=["sz", "mass"], halos=2, los=2)) == digest
    # The benchmark tells data sets by name and recipe: another part has another name.
    names = {str(root_attrs(subset(tiny, tmp_path / f"of-{n}", halos=n))["name"]) for n in (1, 2)}
    assert len(names) == 2 and all(re.fullmatch(r".+-subset-[0-9a-f]{8}", name) for name in names)
    with pytest.raises(InputError, match="another finished store"):
        subset(tiny, tmp_path / "small", views=["sz"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": ["optical"]}, "has no optical; it has views sz"),
        ({"splits": ["dev"]}, "has no dev"),
        ({"los": 4}, "has 3 lines of sight"),
        ({"halos": 0}, "at least 1"),
        ({"regions": [999]}, "would hold no halo"),
    ],
)
def test_subset_of_nothing_is_refused(tiny, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        subset(tiny, tmp_path / "small", **options)
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("name", ["../x", "a b", "x" * 65])
def test_a_store_has_a_name_that_it_can_be_exported_by(tiny, tmp_path, name):
    with pytest.raises(InputError, match="--name: .* is not a plain name"):
        subset(tiny, tmp_path / "small", name=name)
    assert not (tmp_path / "small").exists()
    long = subset(tiny, tmp_path / "long", name="x" * 60, halos=1)
    again = str(root_attrs(subset(long, tmp_path / "small"))["name"])
    assert len(again) == 64 and again.startswith("x" * 55 + "-")


def test_a_store_is_not_written_into_another(tiny, tmp_path):
    copy = shutil.copytree(tiny, tmp_path / "copy")
    with pytest.raises(InputError, match="lies in the store"):
        subset(tiny, copy / "train" / "part", halos=1)
    assert verify(copy).good


def test_a_subset_says_nothing_of_views_that_it_has_not():
    attrs = {
        "name": "x",
        "warnings": ["view star: dim", "view sz: odd", "views sz, xray: no density", EMPTY_TRAIN],
        "ten_brightest_share": {"star": {"median": 1.0}, "sz": {"median": 0.1}},
    }
    assert subset_attrs(attrs, ["sz"], whole=True) == {
        "name": "x",
        "warnings": attrs["warnings"][1:],
        "ten_brightest_share": {"sz": {"median": 0.1}},
    }
    # Shares of all halos are not those of some.
    assert "ten_brightest_share" not in subset_attrs(attrs, ["sz"], whole=False)
    assert "warnings" not in subset_attrs({"warnings": attrs["warnings"][:1]}, ["sz"], whole=True)
    # Nor are the numbers of halos in warnings; and a part of a part says so once, of the views that it has.
    part = subset_attrs(attrs, ["star", "sz"], whole=False)
    assert subset_attrs(part, ["sz"], whole=False)["warnings"] == [
        "of a store that this is part of, view sz: odd",
        "of a store that this is part of, views sz, xray: no density",
    ]


def test_stores_are_not_made_of_unfinished_ones(tiny, tmp_path):
    layout = Layout.of_store(tiny)
    create_store(tmp_path / "begun", layout)
    for call in (
        lambda: subset(tmp_path / "begun", tmp_path / "small"),
        lambda: merge([tiny, tmp_path / "begun"], tmp_path / "small"),
    ):
        with pytest.raises(InputError, match="is not finished: re-run its build to resume"):
            call()
    assert not (tmp_path / "small").exists()


def test_merge_joins_what_a_split_by_regions_took_apart(tiny, tmp_path):
    regions = sorted({r for s in schema.SPLITS for r in read_split(tiny, s, []).halos["region"].tolist()})
    a = subset(tiny, tmp_path / "a", regions=regions[::2])
    b = subset(tiny, tmp_path / "b", regions=regions[1::2])
    joined = merge([a, b], tmp_path / "joined")
    assert verify(joined, deep=True).problems == []
    for split in schema.SPLITS:
        whole, found = read_split(tiny, split), read_split(joined, split)
        assert halo_keys(whole.halos) == halo_keys(found.halos)
        np.testing.assert_array_equal(whole.maps["mass"], found.maps["mass"])
    np.testing.assert_array_equal(
        read_statistics(joined)["mass"].histogram, read_statistics(tiny)["mass"].histogram
    )
    assert read_statistics(joined)["mass"].std == pytest.approx(read_statistics(tiny)["mass"].std, rel=1e-9)
    with pytest.raises(InputError, match="is in .* and in"):
        merge([tiny, a], tmp_path / "twice")


def test_merge_refuses_leaks_and_other_kinds(tiny, tmp_path):
    other = tiny_store(tmp_path / "other", halos=(2, 1, 1), pixels=40, first_region=9, halos_per_region=2)
    with pytest.raises(InputError, match="joined, they would leak|and in"):
        merge([tiny, other], tmp_path / "joined")
    coarse = tiny_store(tmp_path / "coarse", halos=(1, 1, 1), pixels=20, first_region=50)
    with pytest.raises(InputError, match="differ in pixels"):
        merge([tiny, coarse], tmp_path / "joined")


# -- looking -----------------------------------------------------------------------------------------------


def test_overview_fits_a_screen(tiny):
    text = describe(overview(tiny))
    assert len(text.splitlines()) <= 24 and max(map(len, text.splitlines())) <= 110
    for word in ("finished: 14 of 14 halos", "train", "1e44 erg s-1 kpc-2", "tiny"):
        assert word in text


def test_preview_draws_and_says_what_is_wrong(tiny, tmp_path):
    _, region, _, halo = halo_keys(read_split(tiny, "test", []).halos)[0]
    picture = preview(tiny, f"{region}:{halo}", 1, tmp_path / "halo.png")
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20_000
    for halo_text, los, name, message in (
        ("1", 0, "a.png", "write REGION:ID"),
        ("999:1", 0, "a.png", "holds no halo 999:1; it holds for instance 1:1000"),
        (f"{region}:{halo}", 3, "a.png", "lines of sight 0 to 2"),
        (f"{region}:{halo}", 0, "a.doc", "suffix must be one of"),
    ):
        with pytest.raises(InputError, match=message):
            preview(tiny, halo_text, los, tmp_path / name)


def test_preview_of_an_observed_store_has_no_bar_of_kpc(tmp_path, monkeypatch):
    bars = []

    def recorded(*args, R200c_kpc, **options):
        bars.append(R200c_kpc)
        return draw_map(*args, R200c_kpc=R200c_kpc, **options)

    monkeypatch.setattr("three_hundred_maps.store.preview.draw_map", recorded)
    given = {"halos": (0, 0, 1), "n_los": 1, "pixels": 8, "views": ("mass",), "half": False}
    for name, attrs in (("ideal", {}), ("seen", {"observed": {"level": "deep"}})):
        preview(tiny_store(tmp_path / name, **given, **attrs), "1:1000", 0, tmp_path / "halo.png")
    assert bars[0] > 0 and bars[1] is None


def test_noise_is_pale():
    noise = np.random.default_rng(0).normal(size=(40, 40))
    drawn = draw_map(new_figure(1, 1, (3, 3))[1][0][0], "sz", noise)
    shown = np.abs(np.asarray(drawn.norm(noise)) - 0.5) / 0.5  # 0 is white
    assert np.median(shown) < 0.35 and shown.max() == pytest.approx(1)


def test_table_of_halos(tmp_path):
    store = tiny_store(tmp_path / "store", halos=(3, 1, 2), n_los=2, pixels=8)
    table = halo_table(store)
    assert list(table)[:6] == ["split", "simulation", "region", "snapshot", "halo_id", "redshift"]
    assert table["split"] == ["train"] * 3 + ["validation"] + ["test"] * 2
    assert set(schema.HALO_VARIABLES) < set(table)
    opened = open_store(store)
    np.testing.assert_array_equal(table["M200c"][:3], opened["train"]["M200c"].values)
    np.testing.assert_allclose(table["total_sz"][4:], opened["test"]["total_sz"].values.mean(1))
    assert write_halo_table(store, tmp_path / "halos.parquet") == 6
    kept = pq.read_table(tmp_path / "halos.parquet")
    assert kept.to_pydict() == table and kept.schema.field("M200c").metadata[b"unit"] == b"Msun"
    assert kept.schema.field("total_sz").metadata[b"unit"] == b"kpc2"
    assert command(main, "inspect", store, "--halos", tmp_path / "halos.csv").returncode == 0
    with open(tmp_path / "halos.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["R200c"]) for row in rows] == table["R200c"]
    assert {row["simulation"] for row in rows} == set(table["simulation"]) == {"blobs"}
    with pytest.raises(InputError, match=r"written as .csv or .parquet"):
        write_halo_table(store, tmp_path / "halos.txt")


SPANS = [(3e7, 1.5e8), (6e7, 7.4e7), (9e-4, 2e-2), (2.0, 70.0), (1.5, 300.0), (1e8, 1e11)]
SIGNED = [(-4e-5, 4.4e-5), (-0.6, 0.5), (-1.0, 1e-3), (-7.4e7, 7.4e7)]


@pytest.mark.parametrize("span", SPANS + SIGNED)
def test_labels_of_colour_bars_stand_apart(span):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, axes = new_figure(1, 1, (4.1, 4.8))
    canvas = FigureCanvasAgg(figure)
    values = (np.linspace if span[0] < 0 else np.geomspace)(*span, 1600).reshape(40, 40)
    drawn = draw_map(axes[0][0], "temperature", values, span=span, R200c_kpc=1500.0)
    colour_bar(figure, drawn, axes[0][0], "K")
    canvas.draw()
    bar = figure.axes[-1].xaxis
    labels = [
        label for minor in (False, True) for label in bar.get_ticklabels(minor=minor) if label.get_text()
    ]
    boxes = sorted((box.x0, box.x1) for box in (label.get_window_extent() for label in labels))
    assert len(boxes) >= (3 if span[0] < 0 else 2)
    assert all(one[1] < two[0] for one, two in pairwise(boxes))


def test_a_wide_halo_is_drawn_at_its_width():
    # Half of the half width is all but 1000 kpc, the logarithm of which is rounded to 3.
    row = {"mass": np.ones((12, 12)), "R200c": np.nextafter(1000.0, 0.0)}
    (axes, _) = plot_halo(row, width=4.0).axes
    assert axes.images[0].get_extent() == [-2.0, 2.0, -2.0, 2.0]
    assert [text.get_text() for text in axes.texts] == ["500 kpc"]


@pytest.mark.parametrize("kind", [np.array, np.ndarray.tolist, torch.tensor])
def test_maps_are_drawn_of_arrays_lists_and_tensors(kind):
    """Rows of `datasets` hold lists unless a format is set."""
    values = np.full((20, 20), 3e7)
    assert len(plot_halo({"mass": kind(values), "sz": kind(values)}, "mass").axes) == 2
    _, predicted, _, error, *_ = plot_prediction(kind(values), kind(10 * values)).axes
    assert predicted.images[0].get_array().max() == 3e8 and error.images[0].get_array().max() == 1
    for maps in (kind(values), {"truth": kind(values)}):
        upper, lower = plot_profile(maps).axes
        np.testing.assert_allclose(upper.lines[0].get_ydata(), 3e7)
        assert not lower.lines[0].get_ydata().any()


def test_tiny_stores_are_seeded_and_views_inform_on_mass(tiny, tmp_path):
    again = tiny_store(tmp_path / "again", halos=(7, 3, 4), pixels=40, shard_halos=3)
    assert hashes(again) == hashes(tiny)
    shutil.rmtree(again)
    data = read_split(tiny, "train")
    for view in ("sz", "xray", "star"):
        with np.errstate(divide="ignore"):
            logs = np.log10(data.maps[view].ravel())
        keep = np.isfinite(logs)
        assert np.corrcoef(logs[keep], np.log10(data.maps["mass"].ravel()[keep]))[0, 1] > 0.4


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_preview_says_whether_it_is_synthetic(tmp_path, synthetic):
    from three_hundred_maps.store.preview import _title

    store = tiny_store(tmp_path / "s", halos=(1, 0, 0), n_los=1, half=False)
    title = _title(read_split(store, "train"), "train", 0, synthetic=synthetic)
    assert title.startswith("SYNTHETIC: region") == synthetic and "region" in title
