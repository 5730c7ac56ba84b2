"""Submissions: written, read back, and all that can be wrong with one told at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.manifest import canonical_track, check_manifest, read_manifest
from benchmarks.packing import pack
from benchmarks.predictions import Predictions
from benchmarks.submissions import tree_digest, write_submission
from benchmarks.truth import Truth
from benchmarks.validation import find_problems, validate
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import SplitArrays

KEYS = {name: np.arange(3) for name in ("region", "snapshot", "halo_id")}
MAPS = np.random.default_rng(0).random((3, 2, 16, 16)).astype(np.float32)


def minimal(folder: Path, **changes: object) -> Path:
    fields = {"name": "n", "authors": ["a"], "task": "mass-map", "track": "sz", "maps": MAPS, "split": KEYS}
    return write_submission(folder, **{**fields, **changes})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    sigma = np.full_like(MAPS, 0.1)
    folder = minimal(
        tmp_path / "s", mass_sigma=sigma, parameters=12, date="2026-01-31", code="https://x.org/y"
    )
    manifest, predictions = read_manifest(folder), Predictions(folder)
    assert (manifest.name, manifest.track, manifest.parameters) == ("n", "sz", 12)
    assert manifest.extra == {"date": "2026-01-31", "code": "https://x.org/y"}
    assert manifest.predictions_sha256 == tree_digest(folder / "predictions.zarr")
    assert np.array_equal(predictions.read("mass", np.array([2, 0])), MAPS[[2, 0]])
    assert np.array_equal(predictions.read("mass_sigma", np.arange(3)), sigma)
    assert predictions.keys["halo_id"].tolist() == [0, 1, 2]


def test_blocks_and_whole_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    whole, blocks = minimal(tmp_path / "a"), minimal(tmp_path / "b", maps=iter([MAPS[:2], MAPS[2:]]))
    assert tree_digest(whole / "predictions.zarr") == tree_digest(blocks / "predictions.zarr")


def test_plain_xarray_opens_it(tmp_path: Path) -> None:
    import xarray

    with xarray.open_zarr(minimal(tmp_path / "s") / "predictions.zarr", consolidated=False) as data:
        assert data["mass"].dims == ("halo", "los", "y", "x")
        assert data["mass"].attrs["units"] == "Msun kpc-2"


def test_writing_needs_neither_torch_nor_pydantic_nor_scipy() -> None:
    code = (
        "import sys, benchmarks.submissions as s\n"
        "assert s.write_submission\n"
        "heavy = {'torch', 'pydantic', 'scipy', 'xarray', 'datasets', 'pandas', 'matplotlib', 'numba'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compressor", ["zstd", "blosc", "gzip", "none"])
@pytest.mark.parametrize("chunks", [(1, 2, 16, 16), (2, 1, 5, 16), (3, 2, 16, 16)])
def test_files_of_other_writers_are_read(tmp_path: Path, dtype: str, compressor: str, chunks: tuple) -> None:
    folder = minimal(tmp_path / "s")
    shutil.rmtree(folder / "predictions.zarr" / "mass")
    chosen = {
        "zstd": zarr.codecs.ZstdCodec(level=1),
        "blosc": zarr.codecs.BloscCodec(cname="lz4"),
        "gzip": zarr.codecs.GzipCodec(level=1),
        "none": None,
    }[compressor]
    group = zarr.open_group(folder / "predictions.zarr", mode="a")
    array = group.create_array(
        "mass",
        shape=MAPS.shape,
        dtype=dtype,
        chunks=chunks,
        compressors=chosen,
        chunk_key_encoding={"name": "v2"},
    )
    array[...] = MAPS
    assert np.array_equal(Predictions(folder).read("mass", np.arange(3)), MAPS)


@pytest.mark.parametrize("extra", [zarr.codecs.Crc32cCodec(), zarr.codecs.BytesCodec(endian="big")])
def test_checksums_and_byte_orders_are_read(tmp_path: Path, extra: object) -> None:
    folder = minimal(tmp_path / "s")
    shutil.rmtree(folder / "predictions.zarr" / "mass")
    group = zarr.open_group(folder / "predictions.zarr", mode="a")
    options = (
        {"serializer": extra}
        if isinstance(extra, zarr.codecs.BytesCodec)
        else {"compressors": [zarr.codecs.ZstdCodec(), extra]}
    )
    array = group.create_array("mass", shape=MAPS.shape, dtype="float32", chunks=(1, 2, 16, 16), **options)
    array[...] = MAPS
    assert np.array_equal(Predictions(folder).read("mass", np.arange(3)), MAPS)


def test_tracks_have_one_name() -> None:
    assert canonical_track("star, sz") == canonical_track(["sz", "star", "star"]) == "sz,star"
    assert canonical_track("temperature,xray") == "xray,temperature"
    assert canonical_track("") == canonical_track(["none"]) == "none"


@given(st.lists(st.sampled_from(["sz", "xray", "star", "a", "b"])))
def test_the_name_of_a_track_does_not_hang_on_the_order(views: list[str]) -> None:
    assert canonical_track(views) == canonical_track(reversed(views))
    assert canonical_track(canonical_track(views)) == canonical_track(views)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["name", "authors", "task", "track", "views", "kind", "dataset", "parameters", "date", "code", "license"]
)


@given(st.dictionaries(fields, json_values) | json_values)
def test_any_json_is_either_a_manifest_or_told_why_not(content: object) -> None:
    problems = check_manifest(content)
    assert all(isinstance(p, str) and p.startswith("submission.json") for p in problems)
    if not problems:
        assert isinstance(content, dict) and content["name"].strip()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": MAPS * np.nan}, "NaN"),
        ({"maps": MAPS * np.inf}, "NaN|infinite"),
        ({"maps": -MAPS - 1}, "negative"),
        ({"maps": MAPS[:2]}, "2 halos, the keys 3"),
        ({"maps": np.concatenate([MAPS, MAPS])}, "more halos"),
        ({"maps": MAPS[0]}, "dimensions"),
        ({"maps": MAPS.astype(float) * 1e300}, "infinite"),
        ({"mass_sigma": MAPS * 0}, "not above 0"),
        ({"split": {"region": np.arange(3)}}, "snapshot, halo_id"),
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "81 characters"),
        ({"authors": []}, "authors"),
        ({"code": "javascript:alert(1)"}, "http"),
        ({"task": "Mass Map"}, "task"),
        ({"date": "yesterday"}, "date"),
        ({"colour": "red"}, "unknown fields"),
        ({"parameters": -1}, "parameters"),
    ],
)
def test_what_may_not_be_written(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        minimal(tmp_path / "s", **change)
    assert not (tmp_path / "s").exists() and not list(tmp_path.iterdir())


def test_nothing_but_a_submission_is_replaced(tmp_path: Path) -> None:
    folder = minimal(tmp_path / "s")
    with pytest.raises(InputError, match="holds something"):
        minimal(folder)
    assert read_manifest(minimal(folder, name="second", overwrite=True)).name == "second"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds something"):
        minimal(other, overwrite=True)
    assert (other / "thesis.tex").exists()


def test_a_valid_submission(submit: Callable[..., Path], store: Path) -> None:
    assert validate(submit(), store).name == "Blurred"
    assert validate(submit("b")).name == "Blurred"


def test_all_that_is_wrong_is_told_at_once(
    submit: Callable[..., Path], store: Path, test_split: SplitArrays, blurred: np.ndarray
) -> None:
    keys = {k: test_split.halos[k].copy() for k in ("region", "snapshot", "halo_id")}
    keys["halo_id"][3] = 999_999
    for name in keys:
        keys[name][5] = keys[name][4]
    folder = submit(split=keys, track="sz,radio", dataset_digest="ab" * 32, task="no-such-task")
    array = zarr.open_group(folder / "predictions.zarr", mode="a")["mass"]
    array[2, 0, 0, 0] = np.nan
    problems, _, _ = find_problems(folder, Truth(store))
    for words in (
        "no task 'no-such-task'; the tasks are mass-map",
        "of 12 test halos missing",
        "not in the test split",
        "more than once",
        "abababab",
        "radio; the dataset's views are sz, xray, star",
        "is NaN in 1 pixels, first at halo row 2",
        "has the checksum",
    ):
        assert sum(words in problem for problem in problems) == 1, (words, problems)
    assert len(problems) == 8


@pytest.mark.parametrize(("value", "word"), [(np.inf, "infinite"), (-1.0, "negative")])
def test_values_are_looked_at(submit: Callable[..., Path], store: Path, value: float, word: str) -> None:
    folder = submit()
    zarr.open_group(folder / "predictions.zarr", mode="a")["mass"][7, 1, 3, 3] = value
    problems, _, _ = find_problems(folder, Truth(store))
    assert any(word in p and "row 7" in p for p in problems)


def test_shapes_and_missing_chunks(submit: Callable[..., Path], store: Path, blurred: np.ndarray) -> None:
    folder = submit("small", maps=blurred[:, :, :40, :40])
    assert any(
        "expected (halo, los, y, x) = (12, 2, 80, 80)" in p for p in find_problems(folder, Truth(store))[0]
    )
    folder = submit("one-los", maps=blurred[:, :1])
    assert any("shape (12, 1, 80, 80)" in p for p in find_problems(folder, Truth(store))[0])
    folder = submit("hole")
    (folder / "predictions.zarr" / "mass" / "c" / "3" / "0" / "0" / "0").unlink()
    problems = find_problems(folder, Truth(store))[0]
    assert any("NaN" in p and "row 3" in p for p in problems) and any("checksum" in p for p in problems)


def test_a_track_must_match_the_declared_views(submit: Callable[..., Path], store: Path) -> None:
    folder = submit()
    path = folder / "submission.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "views": ["sz", "xray"]}))
    assert any("do not match the track" in p for p in find_problems(folder, Truth(store))[0])
    path.write_text(json.dumps({**content, "track": "star,sz"}))
    assert any("'sz,star'" in p for p in find_problems(folder, Truth(store))[0])


def test_packing_is_checked_and_repeatable(submit: Callable[..., Path], store: Path, tmp_path: Path) -> None:
    folder = submit()
    archive = pack(folder, store=store)
    again = pack(folder, tmp_path / "again.tar")
    assert archive.name == "submission.thm.tar" and archive.read_bytes() == again.read_bytes()
    with pytest.raises(InputError, match="there already"):
        pack(folder)
    zarr.open_group(folder / "predictions.zarr", mode="a")["mass"][0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        pack(folder, tmp_path / "bad.tar")
    assert not (tmp_path / "bad.tar").exists()
