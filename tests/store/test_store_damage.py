"""Damage and contradictions: an error where a store is read, a named problem where it is verified."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import xarray
import zarr
from conftest_store import resign, rewritten, set_value, shard_content, small_layout, write_all
from zarr.storage import LocalStore, WrapperStore

from benchmarks.fingerprints import dataset_key
from benchmarks.rows import dataset_identity
from tests.helpers import flip
from three_hundred_maps import open_store
from three_hundred_maps.errors import InputError
from three_hundred_maps.store import names, schema
from three_hundred_maps.store.arrays import iter_shards, open_group, read_array, read_split
from three_hundred_maps.store.derive import merge, subset
from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.manifest import read_manifest
from three_hundred_maps.store.overview import overview
from three_hundred_maps.store.records import is_done
from three_hundred_maps.store.verify import verify
from three_hundred_maps.store.whole import WholeStore
from three_hundred_maps.store.writer import create_store, write_shard
from three_hundred_maps.testing import tiny_store
from three_hundred_maps.testing.stores import write_store

# -- reading -----------------------------------------------------------------------------------------------


def test_no_flipped_bit_of_a_shard_is_read_as_a_map(copy):
    file = copy / "train/sz/c/0/0/0/0"
    whole = file.read_bytes()
    last = len(whole) - 1  # of the index's checksum, of the index, of the first chunk's header, of chunks
    for place in [last, last - 28, 5, *np.random.default_rng(3).integers(last, size=37).tolist()]:
        flip(file, place)
        with pytest.raises(InputError, match="train/sz/c/0/0/0/0 is damaged"):
            read_split(copy, "train", ["sz"])
        file.write_bytes(whole)
    flip(file, len(whole) // 3)
    with pytest.raises(ValueError, match="checksum"):
        xarray.open_zarr(copy, group="train", chunks=None)["sz"].values  # noqa: B018


@pytest.mark.parametrize("name", ["train/sz/c/1/0/0/0", "train/M200c/c/0", "train/los_up/c/0/0"])
def test_a_deleted_file_is_named_wherever_the_store_is_opened(copy, name):
    (copy / name).unlink()
    for call in (open_store, lambda p: read_split(p, "train"), lambda p: list(iter_shards(p, "train"))):
        with pytest.raises(InputError, match=f"{name} is missing: the store is not whole"):
            call(copy)
    with pytest.raises(InputError, match=f"{name} is missing"):
        subset(copy, copy.parent / "part")


def test_an_empty_file_is_no_map_of_nan(copy):
    (copy / "train/sz/c/1/0/0/0").write_bytes(b"")
    with pytest.raises(InputError, match="train/sz/c/1/0/0/0 is missing"):
        open_store(copy)["train"]["sz"].values  # noqa: B018


def test_a_halo_that_a_shard_lacks_is_no_map_of_nan(copy):
    file = copy / "train/sz/c/0/0/0/0"
    data = bytearray(file.read_bytes())
    halos = zarr.open_group(copy, mode="r")["train/sz"].shards[0]
    start = len(data) - 16 * halos - 4
    data[start : start + 16] = b"\xff" * 16  # of the index: the chunk was never written
    data[-4:] = google_crc32c.value(bytes(data[start:-4])).to_bytes(4, "little")
    file.write_bytes(data)
    for read in (lambda p: read_split(p, "train", ["sz"]), lambda p: list(iter_shards(p, "train"))):
        with pytest.raises(InputError, match="train/sz/c/0/0/0/0 lacks a halo"):
            read(copy)


def test_a_shard_that_a_server_lacks_is_no_map_of_nan(copy):
    import fsspec

    (copy / "train/sz/c/1/0/0/0").unlink()
    memory = fsspec.filesystem("memory")
    (copy / "test/M200c/c/0").unlink()
    memory.put(str(copy), "/lacking", recursive=True)
    try:
        for read in (
            lambda url: read_split(url, "train", ["sz"]),
            lambda url: open_store(url)["train"]["sz"].values,
        ):
            with pytest.raises(InputError, match="memory://lacking/train/sz/c/1/0/0/0 is missing"):
                read("memory://lacking")
        with pytest.raises(InputError, match="test/M200c/c/0 is missing"):
            read_split("memory://lacking", "test", ["sz"])
    finally:
        memory.rm("/lacking", recursive=True)


def test_a_server_without_ranges_is_not_taken_for_damage(tiny):
    class Whole(WrapperStore):
        async def get(self, key, prototype, byte_range=None):
            return await super().get(key, prototype)

    place = WholeStore(Whole(LocalStore(tiny, read_only=True)), "http://place")
    with pytest.raises(InputError, match="http://place: its server sends whole files"):
        zarr.open_group(place, mode="r")["train/sz"][:1]


@pytest.mark.parametrize(
    "name", ["train/M200c/c/0", "statistics/mean/c/0", "train/total_sz/c/0/0", "zarr.json"]
)
def test_damaged_small_arrays_give_one_line(copy, name):
    (copy / name).write_bytes(b"\x28\xb5\x2f\xfdnonsense")
    with pytest.raises(InputError, match="damaged"):
        overview(copy)
        subset(copy, copy.parent / "part")


def test_a_store_of_an_older_schema_is_to_be_built_again(copy):
    manifest = json.loads((copy / "manifest.json").read_bytes())
    resign(copy, {**manifest, "schema_version": 1})
    attrs = json.loads((copy / "zarr.json").read_bytes())
    attrs["attributes"]["schema_version"] = 1
    (copy / "zarr.json").write_text(json.dumps(attrs))
    for call in (open_store, overview, verify):
        with pytest.raises(InputError, match="schema version 1, this package reads 2: build or download it"):
            call(copy)


def test_a_store_is_a_tree_for_xarray(tiny):
    with xarray.open_datatree(tiny, engine="zarr", chunks=None) as tree:
        assert tree["train"]["sz"].shape == (7, 3, 40, 40)
        assert tree["statistics"].ds.sizes["view"] == 4
        codes = tree["test"]["simulation"]
        assert codes.attrs["flag_meanings"] == "blobs" and codes.values.tolist() == [0] * 4


def test_names_are_resolved_where_no_such_folder_is(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(names, "_RESOLVERS", [])
    names.register_resolver(lambda name: tiny if name == "little" else None)
    assert len(read_split("little", "train", ["sz"])) == len(open_store("little")["train"].halo) == 7
    assert verify("little").good and overview("little")["halos"] == 14
    root = open_group("little")
    assert read_array("little", root["train"], "redshift").shape == (7,)
    with pytest.raises(InputError, match="no store at unknown"):
        open_store("unknown")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "little").mkdir()
    with pytest.raises(InputError, match="no store at little"):
        open_store("little")


def test_a_config_is_a_name_of_its_store(tiny, monkeypatch, tmp_path):
    from three_hundred_maps.hub import configs

    monkeypatch.chdir(tmp_path)
    source = type("Source", (), {"path": tiny})()
    monkeypatch.setattr(configs, "find_source", lambda name: source if name == "mini" else None)
    assert open_store("mini").attrs["name"] == "tiny" and len(read_split("mini", "test", ["sz"])) == 4
    with pytest.raises(InputError, match="'sample' is here as Parquet, and this needs a Zarr store"):
        open_store("sample")


# -- finishing ---------------------------------------------------------------------------------------------


def test_a_done_shard_damaged_before_the_end_is_made_again(tmp_path, capsys):
    store, layout = tmp_path / "store", small_layout()
    write_all(store, layout)
    flip(store / "train/mass/c/1/0/0/0", 40)
    with pytest.raises(InputError, match=r"5 of 6 shards are done \(missing train 1\)"):
        finalise(store)
    assert "train/mass/c/1/0/0/0 is damaged" in capsys.readouterr().err
    assert not is_done(store, layout, "train", 1)
    write_shard(store, "train", 1, *shard_content(layout, "train", 1)[:3])
    finalise(store)
    assert verify(store).good


# -- manifests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: {**m, "files": {}}, "lists no files"),
        (lambda m: {**m, "files": ["zarr.json"]}, "lists no files"),
        (lambda m: {**m, "files": {"/etc/passwd": {"bytes": 1, "sha256": ""}}}, "not a file of the store"),
        (lambda m: {**m, "files": {"a/../../b": {"bytes": 1, "sha256": ""}}}, "not a file of the store"),
        (lambda m: {**m, "files": {"zarr.json": {"sha256": ""}}}, "no size and checksum of zarr.json"),
        (lambda m: {**m, "files": {"zarr.json": 3}}, "no size and checksum of zarr.json"),
        (lambda m: {**m, "halos": 3}, "does not state its numbers of halos"),
        (lambda m: {**m, "refused": None}, "does not list the halos"),
    ],
)
def test_a_manifest_that_says_less_or_more_is_refused(copy, change, message):
    resign(copy, change(json.loads((copy / "manifest.json").read_bytes())))
    with pytest.raises(InputError, match=message):
        read_manifest(copy)
    assert len(verify(copy).problems) == 1 and message in verify(copy).problems[0]


@pytest.mark.parametrize("text", ["[]", "[" * 10_000, '{"digest": ' * 10_000, "3", "", "\x00"])
def test_a_malformed_manifest_is_one_line(copy, text):
    (copy / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json (is not JSON|carries no digest)"):
        overview(copy)
    assert len(verify(copy).problems) == 1


def test_stray_files_and_links_are_named(copy, tmp_path):
    (copy / ".lock-old").touch()
    (copy / "progress").mkdir()
    (copy / "progress/left.json").touch()
    shutil.move(copy / "train/sz/zarr.json", tmp_path / "zarr.json")
    os.symlink(tmp_path / "zarr.json", copy / "train/sz/zarr.json")
    os.symlink(tmp_path, copy / "elsewhere")
    problems = verify(copy).problems
    for wanted in (
        ".lock-old is not in the manifest",
        "progress/left.json is not in the manifest",
        "train/sz/zarr.json is a link",
        "elsewhere is a link",
    ):
        assert any(wanted in problem for problem in problems), (wanted, problems)


# -- contents with checksums made anew -----------------------------------------------------------------------


def swapped(name: str):
    def change(store: Path) -> None:
        array = zarr.open_group(store, mode="r+")[f"train/{name}"]
        array[:] = array[:][::-1]

    return change


def attribute(place: str, **values):
    def change(store: Path) -> None:
        file = store / place / "zarr.json"
        content = json.loads(file.read_bytes())
        content["attributes"].update(values)
        file.write_text(json.dumps(content))
        # The consolidated copies above follow, as a tool that edits with zarr would have them.
        for above in (store, store / place.split("/")[0]):
            zarr.consolidate_metadata(above)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *((swapped(name), "do not match their row_checksum") for name in ("halo_id", "total_sz")),
        (swapped("R200c"), "M200c and R200c of halo"),
        (
            lambda s: set_value(s, "train/relaxed", slice(None), 1),
            "does not follow from com_offset and f_sub",
        ),
        (lambda s: (s / "train/M200c/c/0").unlink(), "train/M200c lacks its chunk 0"),
        (lambda s: (s / "train/sz/c/1/0/0/0").unlink(), "train/sz lacks its chunk 1/0/0/0"),
        (lambda s: (s / "statistics/mean/c/0").unlink(), "statistics/mean lacks its chunk"),
        (attribute("train/M200c", units="kg"), "train/M200c has units 'kg', not 'Msun'"),
        (attribute("train/total_mass", units="Msun kpc2"), "train/total_mass has units"),
        (attribute("train/mass", units="g cm-2"), "train/mass is in g cm-2"),
        (attribute("test/sz", units="2"), "test/sz has units '2', not '1'"),
        (attribute("", recipe="name: other\n"), "recipe does not match recipe_sha256"),
        (lambda s: set_value(s, "train/los_up", slice(None), [[1.0, 0.0, 0.0]]), "not at right angles"),
    ],
)
def test_contradictions_are_found_whatever_the_checksums_say(copy, change, message):
    with pytest.MonkeyPatch.context() as quiet:
        quiet.setattr("warnings.warn", lambda *args, **kwargs: None)
        rewritten(copy, lambda: change(copy))
    problems = verify(copy, deep=True).problems
    assert any(message in problem for problem in problems), problems


def test_a_row_checksum_is_of_every_value_of_its_halo(tiny):
    data = open_store(tiny)["train"]
    views = open_store(tiny).attrs["views"]
    names = [*schema.halo_variables(data), *(f"total_{view}" for view in views)]
    columns = {name: data[name].values for name in names}
    before = schema.row_checksums(columns, views)
    for name, values in columns.items():
        changed = values.copy()
        changed[2] += 1
        after = schema.row_checksums({**columns, name: changed}, views)
        assert np.flatnonzero(after != before).tolist() == [2], name


def test_a_synthetic_recipe_makes_no_real_store(copy):
    from three_hundred_maps.io import sha256_bytes

    recipe = "simulation: {kind: synthetic}\n"
    change = attribute("", recipe=recipe, recipe_sha256=sha256_bytes(recipe.encode()), synthetic=False)
    rewritten(copy, lambda: change(copy))
    assert any("are not synthetic" in problem for problem in verify(copy).problems)


# -- copies ------------------------------------------------------------------------------------------------


def rebuilt(source: Path, out: Path, turn=lambda split: split, noise: float = 0.0, first_id: int = 0) -> Path:
    """A second build of a store's halos: another simulation id and catalogue, noise, and splits in turn."""
    layout, generator = Layout.of_store(source), np.random.default_rng(4)

    def content(split: str):
        data = read_split(source, turn(split))
        other = {"simulation": np.full(len(data), "again"), "region": data.halos["region"] + 500}
        maps = {
            name: np.float32(10.0 ** (noise * generator.normal(size=values.shape))) * values
            for name, values in data.maps.items()
        }
        if split == "test":
            maps["mass_half"] = maps["mass"]
        return maps, {**data.halos, **other, "halo_id": data.halos["halo_id"] + first_id}

    return write_store(out, layout.with_splits({s: layout.splits[turn(s)] for s in layout.splits}), content)


def test_the_same_cluster_under_another_catalogue_is_found_against_a_store(tmp_path):
    source = tiny_store(tmp_path / "a", halos=(3, 1, 3), n_los=2)
    turn = {"train": "test", "test": "train", "validation": "validation"}
    other = rebuilt(source, tmp_path / "b", turn.__getitem__, noise=0.08)
    problems = verify(source, against=other).problems
    assert len(problems) == 6 and all("look the same" in problem for problem in problems)
    assert verify(source, against=rebuilt(source, tmp_path / "c")).good


def test_two_builds_of_one_simulation_are_not_joined(tmp_path):
    source = tiny_store(tmp_path / "a", halos=(2, 1, 1), n_los=2, pixels=40)
    again = rebuilt(source, tmp_path / "b", first_id=77)
    with pytest.raises(InputError, match="are the same cluster: two builds of one simulation"):
        merge([source, again], tmp_path / "joined")


def test_merging_keeps_the_list_of_excluded_halos(tmp_path):
    for name, skip in (("a", (1,)), ("b", ())):
        layout = small_layout((3, 1, 2))
        create_store(tmp_path / name, layout)
        for split, shard in layout.all_shards():
            maps, totals, columns, refused = shard_content(layout, split, shard, skip)
            columns["simulation"] = np.array([name] * len(columns["region"]), np.str_)
            scale = 1.0 if name == "a" else 5.0
            columns["M200c"], columns["M500c"] = columns["M200c"] * scale, columns["M500c"] * scale
            write_shard(tmp_path / name, split, shard, maps, totals, columns, refused=refused)
        finalise(tmp_path / name)
    joined = read_manifest(merge([tmp_path / "a", tmp_path / "b"], tmp_path / "joined"))
    assert joined["refused"] == read_manifest(tmp_path / "a")["refused"] != []
    # The benchmark tells data sets by name and recipe, which is that of the first.
    identities = [
        dataset_key({**dataset_identity(tmp_path / name), "generator": "1"}) for name in ("a", "joined")
    ]
    assert identities[0][1] == identities[1][1] and identities[0] != identities[1]
    assert sum(joined["halos_planned"].values()) == 12 and sum(joined["halos"].values()) == 11
    assert open_store(tmp_path / "joined")["train"]["simulation"].attrs["flag_meanings"] == "a b"
