"""`load_dataset` over a store: rows, splits, views, formats, streaming, the cache, and what is refused."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pytest

import three_hundred_maps
from three_hundred_maps import open_store
from three_hundred_maps.builder.recipe import load_recipe
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub import cache
from three_hundred_maps.hub.configs import config_names
from three_hundred_maps.hub.loading import load_dataset
from three_hundred_maps.hub.rows import COLUMN_VARIABLES, COLUMNS
from three_hundred_maps.progress import set_quiet
from three_hundred_maps.simulation.synthetic.setup import GENERATOR_VERSION
from three_hundred_maps.store.arrays import read_split, root_attrs, store_digest
from three_hundred_maps.store.schema import SPLITS
from three_hundred_maps.testing import tiny_store

VIEWS = ("sz", "xray", "star", "mass")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def warm(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that tests of what is loaded share."""
    monkeypatch.setenv("THREE_HUNDRED_MAPS_HOME", str(filled))
    monkeypatch.delenv("THREE_HUNDRED_MAPS_REPO", raising=False)
    return filled


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_the_stores_bit_by_bit(store: Path, warm: Path, split: str) -> None:
    loaded = load_dataset(data_dir=store, split=split)
    # The numpy format of datasets makes every float single; the Arrow table is what is stored.
    rows, exact = loaded.with_format("numpy"), loaded.with_format("arrow")[:]
    truth = read_split(store, split)
    n_halos, n_los = len(truth), len(truth.los_vector)
    assert rows.column_names == [*VIEWS, *COLUMNS]
    assert len(rows) == n_halos * n_los
    for view in VIEWS:
        maps = rows[view][:]
        assert maps.dtype == np.float32
        assert maps.tobytes() == truth.maps[view].tobytes()
    for name in COLUMNS:
        values = COLUMN_VARIABLES[name].column(exact[name].to_pylist())
        if name == "los":
            assert np.array_equal(values, np.tile(np.arange(n_los), n_halos))
        elif name == "los_vector":
            assert np.array_equal(values, np.tile(truth.los_vector, (n_halos, 1)))
        else:
            assert np.array_equal(
                values, np.repeat(truth.halos[name], n_los), equal_nan=values.dtype.kind == "f"
            )
            assert loaded.features[name].dtype == COLUMN_VARIABLES[name].dtype


def test_all_splits_of_a_config_named_after_the_store(store: Path, warm: Path) -> None:
    kept = ["mass", "los"]
    found = datasets.load_dataset("three_hundred_maps", data_dir=str(store), columns=kept)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 30, "validation": 6, "test": 9}
    assert found["train"].info.config_name == "tiny" and found["train"].column_names == kept


@pytest.mark.parametrize(
    ("split", "rows"),
    [("train[:10%]", 3), ("train[5:7]", 2), ("train+test", 39), ("test[-1:]", 1), ("validation", 6)],
)
def test_slices(store: Path, warm: Path, split: str, rows: int) -> None:
    found = load_dataset(data_dir=store, split=[split, "test"])
    assert [len(part) for part in found] == [rows, 9]


@pytest.mark.parametrize(
    ("views", "kept"),
    [
        (["mass", "sz"], ("sz", "mass")),
        ("star,mass", ("star", "mass")),
        ("mass", ("mass",)),
        (None, VIEWS),
        (("xray", "xray"), ("xray",)),
    ],
)
def test_views_in_the_order_of_the_store(store: Path, warm: Path, views: object, kept: tuple[str]) -> None:
    rows = load_dataset(data_dir=store, split="test", views=views)
    assert rows.column_names == [*kept, *COLUMNS]
    truth = read_split(store, "test", list(kept))
    for view in kept:
        assert rows.with_format("numpy")[view][:].tobytes() == truth.maps[view].tobytes()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", ["store", "export"])
@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        (["M200c", "mass", "sz"], ["sz", "mass", "M200c"]),
        ("los_vector,los", ["los", "los_vector"]),
        (["region"], ["region"]),
    ],
)
def test_columns_are_all_that_a_row_holds(
    store: Path, exported: Path, warm: Path, form: str, streaming: bool, columns: object, kept: list[str]
) -> None:
    folder = store if form == "store" else exported
    whole = load_dataset(data_dir=store, split="test").with_format("arrow")[:]
    rows = load_dataset(data_dir=folder, split="test", columns=columns, streaming=streaming)
    assert list(rows.features) == kept
    found = datasets.Dataset.from_list(list(rows), features=rows.features) if streaming else rows
    assert found.with_format("arrow")[:].equals(whole.select(kept))


def test_streaming_yields_the_same_rows_and_caches_nothing(store: Path, home: Path) -> None:
    stream = load_dataset(data_dir=store, split="train", views="mass", streaming=True)
    found = np.stack([row["mass"] for row in stream.with_format("numpy")])
    assert found.dtype == np.float32
    assert found.tobytes() == read_split(store, "train", ["mass"]).maps["mass"].tobytes()
    assert stream.num_shards == 3
    assert not list(home.rglob("*.arrow"))


def test_processes_fill_the_same_cache(store: Path, home: Path) -> None:
    rows = load_dataset(data_dir=store, split="train", num_proc=2).with_format("numpy")
    truth = read_split(store, "train")
    assert rows["mass"][:].tobytes() == truth.maps["mass"].tobytes()
    assert rows["region"][:].tolist() == np.repeat(truth.halos["region"], 3).tolist()


def test_names_folders_and_what_is_loaded(store: Path, home: Path, capfd) -> None:
    """A config, a folder, a path: each by the first argument alone; a line says what no name gives."""
    assert len(load_dataset(store, split="test")) == len(load_dataset(str(store), split="test")) == 9
    for folder in (store, str(store)):
        assert len(datasets.load_dataset(folder, split="test", views="sz")) == 9
    assert len(load_dataset("sample", split="train")) == 14
    info = load_dataset(store, split="test").info
    assert (info.license, info.homepage) == ("CC0-1.0", "https://the300-project.org")
    assert "deandres2024maps" in info.citation
    attrs = root_attrs(store)
    identity = [
        f"name: {attrs['name']}",
        f"recipe_sha256: {attrs['recipe_sha256']}",
        f"digest: {store_digest(store)}",
    ]
    assert info.description.splitlines()[1:] == identity
    sample = load_dataset("sample", split="test").info.description.splitlines()
    assert sample[2:4] == [
        f"recipe_sha256: {load_recipe('mini').sha256()}",
        f"generator: synthetic {GENERATOR_VERSION}",
    ]
    set_quiet(False)
    shutil.copytree(store, cache.store_path(load_recipe("mini")))
    capfd.readouterr()
    rows = datasets.load_dataset("three_hundred_maps", split="test")
    assert "config 'tiny' (none was named), 45 rows; the 24 rows of the package are config 'sample'" in (
        capfd.readouterr().err
    )
    assert rows.info.config_name == "tiny"


def test_what_with_format_gives(store: Path, warm: Path) -> None:
    """As the card says: arrays single, scalars of one row double."""
    rows = load_dataset(store, split="test").with_format("numpy")
    assert rows[0]["M200c"].dtype == np.float64
    assert rows[:2]["M200c"].dtype == rows[0]["los_vector"].dtype == rows[0]["mass"].dtype == np.float32


def test_torch_tensors(store: Path, warm: Path) -> None:
    batch = load_dataset(data_dir=store, split="train", views="sz").with_format("torch")[:4]
    assert tuple(batch["sz"].shape) == (4, 80, 80)
    assert str(batch["sz"].dtype) == "torch.float32"


def test_the_second_load_reads_the_cache(store: Path, home: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(store, tmp_path / "own"))
    first = load_dataset(data_dir=own, split="train")
    files = [entry["filename"] for entry in first.cache_files]
    assert all(Path(name).is_relative_to(home) for name in files)
    before = {name: Path(name).stat().st_mtime_ns for name in files}
    again = load_dataset(data_dir=own, split="train")
    assert {e["filename"]: Path(e["filename"]).stat().st_mtime_ns for e in again.cache_files} == before


def test_a_rebuilt_store_is_never_served_stale(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "store"
    for seed in (1, 2):
        shutil.rmtree(path, ignore_errors=True)
        tiny_store(path, halos=(2, 1, 1), n_los=1, seed=seed, pixels=16)
        rows = load_dataset(data_dir=path, split="train", views="mass").with_format("numpy")
        assert rows["mass"][:].tobytes() == read_split(path, "train", ["mass"]).maps["mass"].tobytes()
    first, second = (p.parent.name for p in sorted(home.rglob("*-train.arrow")))
    assert first != second


def test_an_empty_split_is_left_out_and_said_so(home: Path, tmp_path: Path) -> None:
    path = tiny_store(tmp_path / "store", halos=(2, 0, 1), n_los=1, pixels=16)
    assert sorted(load_dataset(data_dir=path)) == ["test", "train"]
    for split in ("validation", "train[:10"):
        with pytest.raises(ValueError, match=re.escape(split)):
            load_dataset(data_dir=path, split=split)


def test_another_grid(home: Path, tmp_path: Path) -> None:
    path = tiny_store(tmp_path / "store", halos=(2, 1, 1), n_los=2, pixels=24, views=("sz", "mass"))
    row = load_dataset(data_dir=path, split="train").with_format("numpy")[1]
    assert row["mass"].shape == (24, 24)


def test_features_carry_the_stores_units(store: Path, exported: Path, home: Path) -> None:
    """In every way that a row can be had, plain `datasets` on an exported folder included."""
    train = open_store(store)["train"]
    wanted = {view: train[view].attrs["units"] for view in VIEWS}
    wanted |= {name: variable.units for name, variable in COLUMN_VARIABLES.items()}
    assert wanted["mass"] == "Msun kpc-2" and wanted["R200c"] == "kpc"
    ways = [
        load_dataset(store, split="train"),
        load_dataset(store, split="train"),  # from the cache
        load_dataset(store, split="train", streaming=True),
        load_dataset(exported, split="train"),
        datasets.load_dataset(str(exported), split="train", cache_dir=str(home)),
    ]
    for rows in ways:
        features = dict(rows.features)
        features["los_vector"] = features["los_vector"].feature
        assert {name: feature.id for name, feature in features.items()} == wanted
    assert len(datasets.concatenate_datasets([ways[0], ways[3]])) == 60


little = partial(tiny_store, halos=(1, 1, 1), n_los=1)


def unfinished(store: Path, out: Path) -> Path:
    shutil.copytree(store, out)
    (out / "manifest.json").unlink()
    return out


class TestRefused:
    """Each ends in one line that says what and what to do."""

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"name": "maxi"}, "no config 'maxi'; there are sample, "),
            ({"name": "../../etc"}, "no config"),
            ({"views": ["mass", "lensing"]}, "no view lensing; it holds sz, xray, star, mass"),
            ({"views": []}, "none was named"),
            ({"split": "holdout"}, "no split 'holdout'; there are train, validation, test"),
            ({"split": "train+dev"}, "no split 'dev'"),
            ({"split": ["train", "dev[:3]"]}, "no split 'dev'"),
            ({"data_files": "x.parquet"}, "data_dir="),
            ({"columns": ["mass", "m200"]}, "no column m200; it holds sz, xray, star, mass, simulation"),
            ({"columns": "mass", "views": "mass"}, "give one"),
            ({"view": "mass"}, "no argument view; .* views, columns"),
            ({"path": "maxi", "data_dir": None}, "no such config or folder; write a config"),
            ({"path": "mini", "name": "sample", "data_dir": None}, "give one config"),
            ({"path": "../org/maps", "data_dir": None}, "does not exist"),
            ({"path": "."}, "give one folder"),
            ({"revision": "v1"}, "revision='v1' is of a Hub repository, and .* is none"),
            ({"revision": "v1", "data_dir": None}, "THREE_HUNDRED_MAPS_REPO"),
        ],
    )
    def test_arguments(self, store: Path, home: Path, arguments: dict[str, object], says: str) -> None:
        given: dict[str, object] = {"data_dir": store, **arguments}
        if "name" in arguments:
            del given["data_dir"]
        with pytest.raises(InputError, match=says):
            load_dataset(**given)

    def test_another_config_than_the_stores(self, store: Path, home: Path) -> None:
        with pytest.raises(InputError, match="holds no config 'mini'; it is a store of 'tiny'"):
            load_dataset(store, "mini")
        assert load_dataset(store, "tiny", split="test").num_rows == 9

    def test_data_files_by_way_of_datasets(self, home: Path) -> None:
        with pytest.raises(InputError, match="data_dir="):
            datasets.load_dataset("three_hundred_maps", data_files="x.parquet")

    @pytest.mark.parametrize("config", ["gadgetx", "gizmo-simba"])
    def test_the_real_simulations_say_how_to_get_them(self, home: Path, config: str) -> None:
        with pytest.raises(InputError, match=rf"the300-project.org.*build {config} --root DIR"):
            load_dataset(name=config)

    @pytest.mark.parametrize(
        ("prepare", "says"),
        [
            (lambda p, store: p / "nowhere", "does not exist"),
            (lambda p, store: (p / "notes.txt").write_text("not maps") and p, "neither a store"),
            (lambda p, store: unfinished(store, p / "own"), "not finished|manifest.json"),
            (lambda p, store: little(p / "store", name="../../escape", pixels=16), "not a plain name"),
        ],
    )
    def test_folders(self, store: Path, home: Path, tmp_path: Path, prepare, says: str) -> None:
        with pytest.raises(InputError, match=says):
            load_dataset(data_dir=prepare(tmp_path, store))
        assert not list(tmp_path.glob("escape*"))

    def test_a_damaged_shard(self, home: Path, tmp_path: Path) -> None:
        path = tiny_store(tmp_path / "store", halos=(2, 1, 1), n_los=1)
        shard = path / "train" / "mass" / "c" / "0" / "0" / "0" / "0"
        shard.write_bytes(shard.read_bytes()[:100])
        with pytest.raises(InputError):
            load_dataset(data_dir=path, split="train")

    def test_a_cache_that_cannot_be_written(
        self, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("THREE_HUNDRED_MAPS_HOME", str(tmp_path / "file"))
        with pytest.raises(InputError, match="cannot be written.*HF_HOME"):
            load_dataset(data_dir=store)
        with pytest.raises(InputError, match="cannot be written.*HF_HOME"):
            load_dataset(name="mini")


def test_public_names_are_imported_on_use() -> None:
    assert three_hundred_maps.load_dataset is load_dataset
    names = datasets.get_dataset_config_names("three_hundred_maps")
    assert names == list(config_names()) and names[0] == "sample"
    synthetic = {"mini", "mini-gizmo", "synthetic-gadgetx", "synthetic-gizmo"}
    assert synthetic | {"gadgetx", "gizmo-simba"} <= set(names)
