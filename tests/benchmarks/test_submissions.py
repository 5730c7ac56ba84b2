"""Submissions: written, read back, and all that can be wrong with one told at once."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.leaderboard import render
from benchmarks.manifest import Manifest, canonical_track, parse_manifest, read_manifest
from benchmarks.packing import pack
from benchmarks.predictions import Predictions
from benchmarks.rows import dataset_identity, find_rows, read_halos
from benchmarks.scoring import score_submission
from benchmarks.submissions import tree_digest
from benchmarks.truth import Truth
from benchmarks.validation import find_problems, order_of
from tests.helpers import restated, submitted
from three_hundred_maps import load_dataset
from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import KEY
from three_hundred_maps.store.arrays import SplitArrays
from three_hundred_maps.torch_data import MapDataset

KEYS = {name: np.arange(3) for name in ("region", "snapshot", "halo_id")}
MAPS = np.random.default_rng(0).random((3, 2, 16, 16)).astype(np.float32)


def minimal(folder: Path, **changes: object) -> Path:
    return submitted(folder, **{"maps": MAPS, "rows": KEYS, **changes})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    sigma = np.full_like(MAPS, 0.1)
    folder = minimal(
        tmp_path / "s", mass_sigma=sigma, parameters=12, date="2026-01-31", code="https://x.org/y"
    )
    manifest, predictions = read_manifest(folder), Predictions(folder)
    assert (manifest.name, manifest.track, manifest.parameters) == ("n", "sz", 12)
    assert (manifest.date, manifest.code, manifest.paper) == ("2026-01-31", "https://x.org/y", None)
    assert manifest.predictions_sha256 == tree_digest(folder / "predictions.zarr")
    assert np.array_equal(predictions.read("mass", np.array([2, 0])), MAPS[[2, 0]])
    assert np.array_equal(predictions.read("mass_sigma", np.arange(3)), sigma)
    assert predictions.keys["halo_id"].tolist() == [0, 1, 2]


def test_blocks_and_whole_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    whole, blocks = minimal(tmp_path / "a"), minimal(tmp_path / "b", maps=iter([MAPS[:2], MAPS[2:]]))
    assert tree_digest(whole / "predictions.zarr") == tree_digest(blocks / "predictions.zarr")


def test_plain_xarray_opens_it(tmp_path: Path) -> None:
    with xarray.open_zarr(minimal(tmp_path / "s") / "predictions.zarr", consolidated=False) as data:
        assert data["mass"].dims == ("halo", "los", "y", "x")
        assert data["mass"].attrs["units"] == "Msun kpc-2"


def test_writing_needs_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, benchmarks\n"
        "assert benchmarks.write_submission\n"
        "heavy = {'torch', 'scipy', 'xarray', 'datasets', 'pandas', 'matplotlib', 'numba'}\n"
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
    try:
        assert parse_manifest(content).name.strip()
    except InputError as error:
        assert all(line.startswith("submission.json: ") for line in re.split("; (?=submission)", str(error)))


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
        ({"rows": {"region": np.arange(3)}}, "snapshot, halo_id"),
        ({"rows": 3}, "rows must be"),
        ({"maps": np.log10(MAPS + 1e7)}, "log10"),
        ({"maps": np.ma.masked_less(MAPS, 0.5)}, "masked"),
        ({"maps": MAPS.astype("U5")}, "mass holds str160; give real numbers"),
        ({"maps": MAPS > 0}, "mass holds bool"),
        ({"maps": MAPS + 0j}, "mass holds complex64"),
        ({"maps": xarray.DataArray(MAPS, dims=("halo", "los", "x", "row"))}, "dimensions halo, los, x, row"),
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "at most 80 characters"),
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


def test_overwriting_removes_only_what_was_written(tmp_path: Path) -> None:
    folder = minimal(tmp_path / "s")
    (folder / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds something"):
        minimal(folder)
    assert read_manifest(minimal(folder, name="second", overwrite=True)).name == "second"
    assert (folder / "thesis.tex").read_text() == "x" and not list(tmp_path.glob(".*"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "submission.json").write_text("{}")
    (other / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="other things"):
        minimal(other, overwrite=True)
    assert sorted(p.name for p in other.iterdir()) == ["submission.json", "thesis.tex"]


def test_a_device_that_fails_names_the_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(zarr.storage.LocalStore, "set", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        minimal(tmp_path / "s")
    assert caught.value.filename == str(tmp_path / "s" / "predictions.zarr")
    assert not list(tmp_path.iterdir())


def test_dimensions_are_told_by_their_names(tmp_path: Path) -> None:
    turned = xarray.DataArray(MAPS, dims=("halo", "los", "y", "x")).transpose("x", "halo", "y", "los")
    for name, maps in (("whole", turned), ("blocks", [turned[:, :2], turned[:, 2:]])):
        folder = minimal(tmp_path / name, maps=maps)
        assert np.array_equal(Predictions(folder).read("mass", np.arange(3)), MAPS)


@pytest.mark.parametrize("kind", ["store", "torch", "datasets", "shuffled"])
def test_rows_fill_in_keys_and_identity(
    tmp_path: Path, store: Path, test_split: SplitArrays, kind: str, own_cache: Path
) -> None:
    truth = Truth(store)
    maps = test_split.maps["mass"]
    if kind == "store":
        rows: object = (store, "test")
    elif kind == "torch":
        rows = MapDataset(store, "test", ["sz"])
        maps = maps.reshape(-1, 1, 80, 80)
    else:
        rows = load_dataset(data_dir=store, split="test", cache_dir=str(own_cache / "arrow"))
        if kind == "shuffled":
            rows = rows.shuffle(seed=1)
        maps = np.stack(rows.with_format("numpy")["mass"][:])
    folder = submitted(tmp_path / "s", maps, rows=rows)
    problems, manifest, predictions = find_problems(folder, truth)
    assert not problems and manifest and predictions and manifest.dataset.name == "tiny"
    assert manifest.dataset.model_dump(exclude_none=True) == dataset_identity(store)
    assert np.array_equal(predictions.read("mass", order_of(predictions, truth)[0]), test_split.maps["mass"])


def test_simulations_go_by_their_names(
    submit: Callable[..., Path], store: Path, test_split: SplitArrays
) -> None:
    """Other codes of the same names are the same halos; of one simulation, nobody needs to name it."""
    keys = {name: test_split.halos[name] for name in KEY}
    assert not find_problems(submit("plain", rows={k: keys[k] for k in KEY[1:]}), Truth(store))[0]
    folder = submit("codes", rows=keys)
    assert not find_problems(folder, Truth(store))[0]
    array = zarr.open_group(folder / "predictions.zarr", mode="a")["simulation"]
    names = f"another {keys['simulation'][0]}"
    array.attrs.update(flag_values=[0, 1], flag_meanings=names)
    array[:] = 1
    assert predicted_problems(folder, store) == []
    names = f"{keys['simulation'][0]} another"
    array.attrs.update(flag_meanings=names)
    assert "12 of 12 test halos missing" in predicted_problems(folder, store)[0]
    array[:] = 2
    assert "code that flag_values does not name" in predicted_problems(folder, store)[0]
    array.attrs.update(flag_values=[1, 2])
    assert "do not say what its codes" in predicted_problems(folder, store)[0]


def test_cases_of_several_simulations_say_which(
    submit: Callable[..., Path],
    store: Path,
    test_split: SplitArrays,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Region, snapshot and number may be those of a halo under every code."""
    cases = score_submission(submit("one"), store)["cases"]
    assert all("simulation" not in case for case in cases.values())
    codes = np.where(np.arange(len(test_split)) % 2, "gizmo", "gadgetx")

    def read(*place: object) -> tuple[SplitArrays, dict[str, int]]:
        found, counts = read_halos(*place)
        return replace(found, halos={**found.halos, "simulation": codes}), counts

    monkeypatch.setattr("benchmarks.truth.read_halos", read)
    keys = {**{name: test_split.halos[name] for name in KEY}, "simulation": codes}
    result = score_submission(submit("two", rows=keys), store)
    of = {int(halo): str(code) for halo, code in zip(keys["halo_id"], codes, strict=True)}
    assert [of[case["halo_id"]] for case in result["cases"].values()] == [
        case["simulation"] for case in result["cases"].values()
    ]
    index = render([result], tmp_path / "site")
    (page,) = (index.parent / "submissions").glob("*.html")
    assert f"Simulation {result['cases']['best']['simulation']}, region" in page.read_text("utf-8")


def predicted_problems(folder: Path, store: Path) -> list[str]:
    problems, _, _ = find_problems(folder, Truth(store))
    return [problem for problem in problems if "checksum" not in problem]


def test_half_a_halo_is_no_submission(store: Path, own_cache: Path) -> None:
    rows = load_dataset(data_dir=store, split="test", cache_dir=str(own_cache / "arrow"))
    with pytest.raises(InputError, match="along each of its 2 lines of sight"):
        find_rows(rows.select(range(5)))


def test_the_schema_takes_what_is_written(tmp_path: Path) -> None:
    content = json.loads((minimal(tmp_path / "s", date="2026-01-31") / "submission.json").read_text())
    schema = Manifest.model_json_schema()
    jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "authors": []}, schema)


def test_a_map_without_views_depends_on_the_redshift_alone(
    submit: Callable[..., Path], store: Path, fair: np.ndarray
) -> None:
    mean = np.broadcast_to(fair.mean(axis=(0, 1)), fair.shape).copy()
    assert not find_problems(submit("same", maps=mean, track="none"), Truth(store))[0]
    mean[7, 1] *= 1.01
    for folder in (submit("one", maps=mean, track="none"), submit("all", track="none")):
        assert any("depend on the redshift alone" in p for p in find_problems(folder, Truth(store))[0])


def test_logarithms_are_told_when_checked_and_scored(
    submit: Callable[..., Path], store: Path, fair: np.ndarray
) -> None:
    folder = submit()
    zarr.open_group(folder / "predictions.zarr", mode="a")["mass"][...] = np.log10(fair + 1e4)
    assert any("log10" in p for p in find_problems(restated(folder), Truth(store))[0])
    with pytest.raises(InputError, match="log10"):
        score_submission(folder, store)


def test_all_that_is_wrong_is_told_at_once(
    submit: Callable[..., Path], store: Path, test_split: SplitArrays, fair: np.ndarray
) -> None:
    keys = {k: test_split.halos[k].copy() for k in ("region", "snapshot", "halo_id")}
    keys["halo_id"][3] = 999_999
    for name in keys:
        keys[name][5] = keys[name][4]
    folder = submit(rows=keys, track="sz,radio", dataset={"digest": "ab" * 32}, task="no-such-task")
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


def test_shapes(submit: Callable[..., Path], store: Path, fair: np.ndarray) -> None:
    folder = submit("small", maps=fair[:, :, :40, :40])
    assert any(
        "expected (halo, los, y, x) = (12, 2, 80, 80)" in p for p in find_problems(folder, Truth(store))[0]
    )
    folder = submit("one-los", maps=fair[:, :1])
    assert any("shape (12, 1, 80, 80)" in p for p in find_problems(folder, Truth(store))[0])


def test_track_and_task_must_match_views_and_data(submit: Callable[..., Path], store: Path) -> None:
    folder = submit()
    for fields, message in (
        ({"views": ["sz", "xray"]}, "do not match the track"),
        ({"views": None, "track": "star,sz"}, "'sz,star'"),
        ({"track": "sz", "task": "observed"}, "not an observed data set"),
    ):
        assert message in "; ".join(find_problems(restated(folder, **fields), Truth(store))[0])


def test_packing_is_checked_and_repeatable(
    submit: Callable[..., Path], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = submit()
    archive = pack(folder, store=store)
    again = pack(folder, tmp_path / "again.tar")
    assert archive.name == "submission.thm.tar" and archive.read_bytes() == again.read_bytes()
    with pytest.raises(InputError, match="there already"):
        pack(folder)
    archive.unlink()
    monkeypatch.chdir(folder)
    assert pack(".").samefile(archive) and archive.read_bytes() == again.read_bytes()
    zarr.open_group(folder / "predictions.zarr", mode="a")["mass"][0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        pack(folder, tmp_path / "bad.tar")
    assert not (tmp_path / "bad.tar").exists()
