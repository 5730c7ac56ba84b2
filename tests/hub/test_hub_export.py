"""The Hub layout: bit-exact Parquet, a store back from it, the card, Croissant, limits, hostile stores."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import mlcroissant
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from fake_hub import FakeHub, Run, files_of

from tests.helpers import flip
from tests.snippets import snippets
from three_hundred_maps.errors import InputError, describe_os_error
from three_hundred_maps.hub import exporting
from three_hundred_maps.hub.exporting import check_limits, export
from three_hundred_maps.hub.loading import load_dataset
from three_hundred_maps.hub.manifests import MANIFEST, checked_path, parse_manifest
from three_hundred_maps.hub.parquet import plan_files
from three_hundred_maps.hub.pictures import LEVELS, levels, shown_views
from three_hundred_maps.hub.rows import ROW_FORMAT
from three_hundred_maps.hub.sources import StoreSource
from three_hundred_maps.io import OWN_LIST, sha256_file
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.manifest import write_manifest
from three_hundred_maps.store.schema import HALO_VARIABLES, SPLITS
from three_hundred_maps.testing import tiny_store
from three_hundred_maps.testing.stores import write_store

VIEWS = ("sz", "xray", "star", "mass")
one_each = partial(tiny_store, halos=(1, 1, 1), n_los=1, pixels=16)


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / MANIFEST).read_text())


def test_parquet_is_bit_exact_small_and_split_into_row_groups(store: Path, exported: Path) -> None:
    raw = packed = 0
    for split in SPLITS:
        truth = read_split(store, split)
        file = exported / "tiny" / "parquet" / f"{split}-00000-of-00001.parquet"
        found = pq.read_table(file)
        for view in VIEWS:
            values = found[view].combine_chunks()
            flat = np.asarray(getattr(values, "storage", values).flatten().flatten())
            assert flat.tobytes() == truth.maps[view].tobytes()
            raw += truth.maps[view].nbytes
        packed += file.stat().st_size
        column = pq.ParquetFile(file).metadata.row_group(0).column(0)
        assert column.compression == "ZSTD"
        assert "BYTE_STREAM_SPLIT" in column.encodings
        assert not column.has_dictionary_page
    assert packed / raw <= 0.72


def test_a_store_comes_back_from_the_hub_layout(
    store: Path, exported: Path, home: Path, tmp_path: Path
) -> None:
    """store -> Hub layout -> datasets -> store: the maps of both stores are the same files, bit by bit."""
    layout = Layout.of_store(store)
    shape = (-1, layout.n_los, layout.grid.pixels, layout.grid.pixels)

    def content(split: str):
        rows = load_dataset(data_dir=exported, split=split).with_format("numpy")
        truth = read_split(store, split)
        maps = {view: np.ascontiguousarray(rows[view][:]).reshape(shape) for view in layout.views}
        assert np.array_equal(rows["halo_id"][:].reshape(-1, layout.n_los)[:, 0], truth.halos["halo_id"])
        if split == "test":
            maps["mass_half"] = read_split(store, split, ["mass_half"]).maps["mass_half"]
        return maps, {name: truth.halos[name] for name in HALO_VARIABLES}

    back = write_store(tmp_path / "back", layout, content)
    shards = {
        name: data for name, data in files_of(store).items() if re.search(r"/[a-z_]+/c/\d+/0/0/0$", name)
    }
    assert len(shards) == 3 * 4 + 4 + 5
    assert {name: files_of(back)[name] for name in shards} == shards


def test_the_manifest_lists_every_file_with_its_checksum(exported: Path) -> None:
    manifest = manifest_of(exported)
    there = {p.relative_to(exported).as_posix(): p for p in exported.rglob("*") if p.is_file()}
    assert set(there) - {MANIFEST} == set(manifest["files"])
    for path, entry in manifest["files"].items():
        assert (there[path].stat().st_size, sha256_file(there[path])) == (entry["bytes"], entry["sha256"])
    splits = manifest["configs"]["tiny"]["splits"]
    assert {s: (e["halos"], e["halos_planned"], e["rows"]) for s, e in splits.items()} == {
        "train": (10, 10, 30),
        "validation": (2, 2, 6),
        "test": (3, 3, 9),
    }


def test_the_zarr_store_goes_along_unchanged(store: Path, exported: Path) -> None:
    assert files_of(exported / "tiny" / "maps.zarr") == {
        name: data for name, data in files_of(store).items() if not name.startswith(".lock")
    }


def test_exporting_again_writes_nothing_and_adds_configs(
    store: Path, own_export: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in own_export.rglob("*") if path.parent != own_export}
    export([store], own_export, repository="org/maps")
    assert {
        path: path.stat().st_mtime_ns for path in own_export.rglob("*") if path.parent != own_export
    } == before
    other = tiny_store(tmp_path / "other", halos=(1, 1, 1), n_los=1, name="other", pixels=16)
    manifest = export([other], own_export, repository="org/maps")
    assert list(manifest["configs"]) == ["tiny", "other"]
    assert set(files_of(own_export)) == {*manifest["files"], MANIFEST}


def test_an_interrupted_export_goes_on(store: Path, exported: Path, tmp_path: Path) -> None:
    """As a kill would leave it: a list of what is to come, no manifest, a file half done."""
    out = tmp_path / "out"
    shutil.copytree(exported / "tiny", out / "tiny")
    source = StoreSource.open(store)
    mark = {"kind": "export", "digest": source.digest, "row_format": ROW_FORMAT}
    (out / "tiny" / OWN_LIST).write_text(json.dumps({**mark, "files": sorted(files_of(out / "tiny"))}))
    (out / "tiny" / "parquet" / "test-00000-of-00001.parquet").unlink()
    (out / "tiny" / "parquet" / ".test-00000-of-00001.parquet.123.partial").write_bytes(b"half")
    kept = out / "tiny" / "parquet" / "train-00000-of-00001.parquet"
    before = kept.stat().st_mtime_ns
    manifest = export([store], out, repository="org/maps")
    assert kept.stat().st_mtime_ns == before
    assert manifest == manifest_of(exported)
    assert set(files_of(out)) == {*manifest["files"], MANIFEST}


def test_every_step_of_an_export_may_be_the_last(tmp_path: Path, monkeypatch) -> None:
    """Between any two of its lists and root files, the first and the last too."""
    store = one_each(tmp_path / "store")
    export([store], tmp_path / "whole")
    wanted, out = files_of(tmp_path / "whole"), tmp_path / "out"
    for step in range(1, 99, 3):
        calls = 0

        def stopping(real, step=step):
            def wrapped(*args):
                nonlocal calls
                calls += 1
                if calls == step:
                    raise KeyboardInterrupt
                return real(*args)

            return wrapped

        with monkeypatch.context() as broken, suppress(KeyboardInterrupt):
            for name in ("write_json", "write_bytes", "remove_own"):
                broken.setattr(exporting, name, stopping(getattr(exporting, name)))
            export([store], out)
        for name in (f".{MANIFEST}.1.partial", f"tiny/.{OWN_LIST}.1.partial"):
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_text("half")
        export([store], out)
        assert files_of(out) == wanted, f"after a stop at step {step}"
        shutil.rmtree(out)
        if calls < step:
            break
    assert 10 < step < 98


def test_exporting_again_keeps_what_others_put_there(tmp_path: Path) -> None:
    """Only files of the export's own list are removed, whatever lies beside them."""
    out = tmp_path / "out"
    first = export([tiny_store(tmp_path / "a", halos=(9, 1, 1), n_los=1, shard_halos=4, pixels=16)], out)
    mine = (out / "tiny" / "notes.txt", out / "tiny" / "parquet" / "own.csv", out / "tiny/maps.zarr/x/y")
    for file in mine:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    other = tiny_store(tmp_path / "b", halos=(2, 1, 1), n_los=1, seed=5, pixels=16)
    second = export([other], out)
    assert [file.read_text() for file in mine] == ["mine"] * 3
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert there == {*second["files"], MANIFEST, *(p.relative_to(out).as_posix() for p in mine)}
    assert set(first["files"]) - set(second["files"])
    # A file of the user's that would have to be overwritten stops the export before it changes anything.
    third = tiny_store(tmp_path / "c", halos=(9, 1, 1), n_los=1, shard_halos=4, pixels=16)
    (out / "tiny/maps.zarr/train/mass/c/2/0/0").mkdir(parents=True)
    (out / "tiny/maps.zarr/train/mass/c/2/0/0/0").write_text("mine")
    with pytest.raises(InputError, match="not this command's own file"):
        export([third], out)
    readme = tmp_path / "repository"
    readme.mkdir()
    (readme / "README.md").write_text("mine")
    with pytest.raises(InputError, match="holds other things"):
        export([other], readme)
    assert (readme / "README.md").read_text() == "mine"


def test_large_splits_become_files_of_bounded_size(store: Path) -> None:
    source = StoreSource.open(store)
    many = {"rows": dict.fromkeys(SPLITS, 5041 * 29), "halos": dict.fromkeys(SPLITS, 5041), "shard_halos": 32}
    big = replace(source, **many)
    files = plan_files(big, "train")
    assert files[0][0] == f"train-00000-of-{len(files):05d}.parquet"
    chunks = [chunk for _, part in files for chunk in part]
    assert chunks == big.chunks("train", remote=False)
    sizes = [sum(b - a for _, a, b in part) * 29 * 4 * 25600 for _, part in files]
    assert max(sizes) <= exporting.MAX_FILE_BYTES / 100
    assert len(files) == 32


def test_fields_carry_unit_and_long_name(exported: Path) -> None:
    for name in ("parquet/train-00000-of-00001.parquet", "halos/train.parquet"):
        schema = pq.read_schema(exported / "tiny" / name)
        for column in ("M200c", *(["mass", "los_vector"] if name.startswith("parquet") else [])):
            metadata = schema.field(column).metadata
            assert metadata[b"long_name"]
            assert metadata[b"unit"] == {"M200c": b"Msun", "mass": b"Msun kpc-2", "los_vector": b"1"}[column]


def test_a_device_that_fails_names_the_file(store: Path, tmp_path: Path, monkeypatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError) as caught:
        export([store], tmp_path / "out")
    assert str(caught.value.filename).endswith(".parquet")
    assert "input/output error" in describe_os_error(caught.value)


class TestCard:
    """What the README.md says."""

    def test_warnings_of_the_store_are_shown(self, tmp_path: Path) -> None:
        one_each(tmp_path / "s", name="warned", warnings=["no <b>stars</b> | in region 3"])
        export([tmp_path / "s"], tmp_path / "out")
        card = (tmp_path / "out" / "README.md").read_text()
        assert "- **Warning:** no &lt;b&gt;stars&lt;/b&gt; | in region 3" in card

    def test_what_was_mended_and_excluded_is_shown(self, tmp_path: Path) -> None:
        one_each(tmp_path / "s", name="mended", corrections={"gas: mass of 0, left out": 3})
        content = json.loads((tmp_path / "s" / "manifest.json").read_text())
        reasons = ["57 particles (selection.min_particles)", "8 particles (selection.min_particles)"]
        content["refused"] = [{"region": 1, "halo_id": k, "reason": r} for k, r in enumerate(reasons)]
        del content["digest"]
        write_manifest(tmp_path / "s", content)
        export([tmp_path / "s"], tmp_path / "out")
        card = (tmp_path / "out" / "README.md").read_text()
        assert "Values mended when the snapshots were read: gas: mass of 0, left out: 3." in card
        assert "- Excluded, 2: 57 particles (selection.min" in card.replace("\\", "")
        read = parse_manifest((tmp_path / "out" / MANIFEST).read_bytes(), "here")
        assert [count for count, _ in read["configs"]["mended"]["exclusions"]] == [2]

    def test_front_matter_names_every_file_of_every_config(self, exported: Path) -> None:
        text = (exported / "README.md").read_text()
        front = yaml.safe_load(text.split("---")[1])
        assert [c["config_name"] for c in front["configs"]] == ["tiny", "tiny-halos"]
        assert front["configs"][0]["default"] is True
        for config in front["configs"]:
            for item in config["data_files"]:
                for path in [item["path"]] if isinstance(item["path"], str) else item["path"]:
                    assert (exported / path).is_file()
        assert front["license"] == "cc0-1.0"
        assert "synthetic" in front["tags"]

    def test_synthetic_is_the_first_line(self, exported: Path, tmp_path: Path) -> None:
        lines = [line for line in (exported / "README.md").read_text().split("---")[2].splitlines() if line]
        assert lines[0].startswith("# ")
        assert lines[1].startswith("**Synthetic.**")
        one_each(tmp_path / "real", name="real", synthetic=False)
        export([tmp_path / "real"], tmp_path / "out")
        assert "ynthetic." not in (tmp_path / "out" / "README.md").read_text()
        export([one_each(tmp_path / "tiny")], tmp_path / "out")
        assert "**Partly synthetic:** `tiny`" in (tmp_path / "out" / "README.md").read_text()

    def test_it_says_what_it_must(self, exported: Path) -> None:
        text = (exported / "README.md").read_text()
        for word in (
            "| way | needs |",
            "columns=",
            "hf://datasets/org/maps/tiny/maps.zarr",
            "## What a row holds",
            "Splits are by region",
            "10 of 10",
            "Msun kpc-2",
            "## Use, limits and biases",
            "No personal or sensitive data",
            "the300-project.org",
            "CC0-1.0",
            "deandres2024maps",
            "HF_HOME",
            "![Config tiny",
        ):
            assert word in text, word

    def test_every_table_is_whole(self, exported: Path) -> None:
        lines = (exported / "README.md").read_text().splitlines()
        for above, below in zip(lines, lines[1:], strict=False):
            if above.startswith("|") and below.startswith("|"):
                columns = [len(re.findall(r"(?<!\\)\|", line)) for line in (above, below)]
                assert columns[0] == columns[1], below

    def test_its_snippets_run_against_a_hub(self, run: Run, published: FakeHub, exported: Path) -> None:
        found = snippets(exported / "README.md", "python")
        assert len(found) == 4
        code = "\n".join(snippet.text for snippet in found)
        out = run("-c", code, hub=published, THREE_HUNDRED_MAPS_REPO="org/maps").stdout
        assert out.count("(80, 80)") == 2
        assert "num_rows: 3" in out
        assert "Msun kpc-2 (10, 3, 80, 80)" in out


class TestHostile:
    """Text and files of strangers: escaped or refused."""

    def test_html_and_markdown_in_metadata_are_escaped(self, tmp_path: Path) -> None:
        evil = "<script>alert(1)</script> [x](javascript:alert(2)) ![y](http://evil/z.png) | `a` \n# head"
        path = tmp_path / "store"
        one_each(
            path,
            name="evil",
            description=evil,
            license=evil,
            attribution=evil,
            citation=f"```\n</details>{evil}\n````",
            recipe=f"```\n{evil}",
            simulation={"code": evil, evil: 1},
        )
        export([path], tmp_path / "out")
        text = (tmp_path / "out" / "README.md").read_text()
        outside = re.sub(r"^(`{3,})[^`\n]*\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
        for bad in ("<script", "javascript:alert(2))", "![y]", "](http://evil", "\n# head"):
            assert bad not in outside, bad
        assert "&lt;script&gt;" in outside
        assert yaml.safe_load(text.split("---")[1])["license"] == "other"
        croissant = mlcroissant.Dataset(jsonld=tmp_path / "out" / "croissant.json")
        assert "<script>" in str(croissant.metadata.license)  # data, not markup, and still valid

    @pytest.mark.parametrize(
        "path", ["../x", "/etc/passwd", "a/../../b", "a\\..\\b", "C:/x", "~/x", "", "a/\nb", ".", 3, None]
    )
    def test_paths_that_leave_are_refused(self, path: object) -> None:
        with pytest.raises(InputError, match="leaves its folder"):
            checked_path(path, "here")

    def test_a_link_out_of_a_store_is_not_followed(self, store: Path, tmp_path: Path) -> None:
        own = Path(shutil.copytree(store, tmp_path / "own"))
        secret = tmp_path / "secret"
        target = own / "train" / "mass" / "zarr.json"
        shutil.move(target, secret)
        target.symlink_to(secret)
        with pytest.raises(InputError, match="link that leaves the store"):
            export([own], tmp_path / "out")

    def test_a_manifest_with_a_path_out_is_refused(self, own_export: Path, home: Path) -> None:
        manifest = manifest_of(own_export)
        manifest["configs"]["tiny"]["splits"]["train"]["parquet"] = ["../../../etc/passwd"]
        (own_export / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(InputError, match="leaves its folder"):
            load_dataset(data_dir=own_export)

    def test_a_link_out_of_an_export_is_not_followed(
        self, own_export: Path, home: Path, tmp_path: Path
    ) -> None:
        file = own_export / "tiny" / "parquet" / "train-00000-of-00001.parquet"
        shutil.move(file, tmp_path / "elsewhere.parquet")
        file.symlink_to(tmp_path / "elsewhere.parquet")
        with pytest.raises(InputError, match="link that leaves its folder"):
            load_dataset(data_dir=own_export)

    def test_a_changed_byte_is_found(self, store: Path, tmp_path: Path) -> None:
        own = Path(shutil.copytree(store, tmp_path / "own"))
        shard = next(p for p in (own / "train" / "sz" / "c").rglob("*") if p.is_file())
        flip(shard, 50)
        with pytest.raises(InputError, match="does not match its checksum"):
            export([own], tmp_path / "out")

    @pytest.mark.parametrize(
        "content",
        [
            "not json",
            "[]",
            "{}",
            '{"format": 99}',
            '{"format": 1, "configs": {}, "files": {}}',
            '{"format": 1, "configs": {"../x": {}}, "files": {}}',
            '{"format": 1, "configs": {"a": {}}, "files": {}}',
        ],
    )
    def test_damaged_manifests(self, tmp_path: Path, home: Path, content: str) -> None:
        (tmp_path / MANIFEST).write_text(content)
        with pytest.raises(InputError):
            load_dataset(data_dir=tmp_path)


def test_croissant_is_valid(exported: Path) -> None:
    dataset = mlcroissant.Dataset(jsonld=exported / "croissant.json")
    assert not dataset.metadata.issues.errors
    assert not dataset.metadata.issues.warnings, dataset.metadata.issues.report()
    jsonld = json.loads((exported / "croissant.json").read_text())
    assert jsonld["conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
    for term in (
        "dataCollection",
        "dataBiases",
        "dataLimitations",
        "dataUseCases",
        "personalSensitiveInformation",
    ):
        assert jsonld[f"rai:{term}"]
    manifest = manifest_of(exported)
    files = {d["@id"]: d for d in jsonld["distribution"] if d["encodingFormat"] == "application/x-parquet"}
    for split in SPLITS:
        for path in manifest["configs"]["tiny"]["splits"][split]["parquet"]:
            assert files[path]["sha256"] == sha256_file(exported / path)
    assert any(d["@type"] == "cr:FileSet" and "maps.zarr" in d["includes"] for d in jsonld["distribution"])
    fields = {f["name"] for r in jsonld["recordSet"] if r["@id"] == "tiny" for f in r["field"]}
    assert {"split", *VIEWS, "M200c", "los_vector"} <= fields
    shapes = {f["name"]: f["arrayShape"] for r in jsonld["recordSet"] for f in r["field"] if "isArray" in f}
    assert shapes == {**dict.fromkeys(VIEWS, "80,80"), "los_vector": "3"}


READ_CROISSANT = """
import json, logging, sys
import mlcroissant, numpy as np

logging.basicConfig(level="WARNING")
data = mlcroissant.Dataset(sys.argv[1] + "/croissant.json", mapping={"repository": sys.argv[1]})
records = list(data.records("tiny"))
assert "datasets" not in sys.modules and "three_hundred_maps" not in sys.modules
np.savez(sys.argv[2], **{k.removeprefix("tiny/"): np.array([r[k] for r in records]) for k in records[0]})
print(json.dumps([{k: v for k, v in r.items()} for r in data.records("tiny-splits")], default=str))
"""


def test_croissant_yields_the_records(run: Run, store: Path, exported: Path, tmp_path: Path) -> None:
    """mlcroissant alone reads every record, and every bit of its maps, from the files that it names."""
    result = run("-c", READ_CROISSANT, str(exported), str(tmp_path / "records.npz"))
    assert "Could not match" not in result.stderr
    counts = {r["tiny-splits/split"]: r["tiny-splits/rows"] for r in json.loads(result.stdout)}
    assert counts == {s: e["rows"] for s, e in manifest_of(exported)["configs"]["tiny"]["splits"].items()}
    with np.load(tmp_path / "records.npz") as records:
        for split in SPLITS:
            truth = read_split(store, split)
            chosen = records["split"] == split.encode()
            assert chosen.sum() == counts[split]
            for view in VIEWS:
                maps = records[view][chosen].astype(np.float32)
                assert maps.tobytes() == truth.maps[view].tobytes()
            assert np.array_equal(records["M200c"][chosen], np.repeat(truth.halos["M200c"], 3))


def test_eval_yaml_and_citation(exported: Path) -> None:
    evaluation = yaml.safe_load((exported / "eval.yaml").read_text())
    # Of the form that the Hub documents; a framework that it does not list would be refused.
    assert set(evaluation) == {"name", "description", "tasks"}
    ids = [task["id"] for task in evaluation["tasks"]]
    assert ids == [f"tiny-mass-map-{track}" for track in ("sz", "xray", "star", "sz-xray-star")]
    assert all(task["split"] == "test" and task["config"] == "tiny" for task in evaluation["tasks"])
    citation = yaml.safe_load((exported / "CITATION.cff").read_text())
    assert citation["type"] == "dataset"
    assert citation["url"].endswith("org/maps")
    from cffconvert import Citation

    Citation((exported / "CITATION.cff").read_text()).validate()


def test_the_catalogue_shows_every_halo(store: Path, exported: Path) -> None:
    import datasets
    from PIL import Image

    rows = datasets.Dataset.from_parquet(
        str(exported / "tiny" / "halos" / "train.parquet"), keep_in_memory=True
    )
    truth = read_split(store, "train")
    assert rows["halo_id"][:] == truth.halos["halo_id"].tolist()
    assert isinstance(rows[0]["preview"], Image.Image)
    assert rows[0]["preview"].size == (320, 80)


def test_limits_of_the_hub() -> None:
    check_limits({f"a/{i // 9000}/{i % 9000}": {"bytes": 1} for i in range(90_000)})
    with pytest.raises(InputError, match="100,001 files"):
        check_limits({f"a/{i // 5000}/{i % 5000}": {"bytes": 1} for i in range(100_001)})
    with pytest.raises(InputError, match="a/b holds 10,001 entries"):
        check_limits({f"a/b/{i}": {"bytes": 1} for i in range(10_001)})
    with pytest.raises(InputError, match="larger than the Hub's limit"):
        check_limits({"a": {"bytes": 201 * 10**9}})


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda p, s: ([s, s], p / "out"), "two stores are named 'tiny'"),
        (lambda p, s: ([p / "nowhere"], p / "out"), "no store at"),
        (lambda p, s: ([s], s.parent), "holds other things"),
    ],
)
def test_what_cannot_be_exported(store: Path, tmp_path: Path, prepare, says: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=says):
        stores, out = prepare(tmp_path, store)
        export(stores, out)


def test_folders_too_deep_to_be_read_are_other_things(store: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    os.chdir("out")
    for _ in range(25):  # by steps: the whole path is longer than a path may be
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    with pytest.raises(InputError, match="holds other things"):
        export([store], tmp_path / "out")


def test_a_name_that_is_no_repositorys_is_refused_before_anything_is_written(store, tmp_path) -> None:
    with pytest.raises(InputError, match="write ORG/NAME"):
        export([store], tmp_path / "out", repository="foo")
    assert not (tmp_path / "out").exists()


def test_levels_rise_with_the_logarithm() -> None:
    image = np.array([[0.0, 1.0, 10.0, 100.0, 1e9]], np.float32)
    assert levels(image, 0.0, 2.0).tolist() == [[0, 0, LEVELS // 2, LEVELS - 1, LEVELS - 1]]


@pytest.mark.parametrize(
    ("views", "shown"),
    [
        ("sz xray star mass gas", "sz xray star mass"),
        ("sz xray star shear1 shear2 mass", "sz xray star mass"),  # an observed store
        ("ksz gas mass", "ksz gas mass"),
    ],
)
def test_small_pictures_show_the_target(views: str, shown: str) -> None:
    assert shown_views(views.split()) == shown.split()
