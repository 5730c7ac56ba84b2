"""Publishing, downloading and loading over HTTP, on a loopback Hub, also when it is in trouble."""

from __future__ import annotations

import hashlib
import json
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_hub import TOKEN, FakeHub, Run, Trouble, files_of

from tests.snippets import snippets
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.publishing import publish
from three_hundred_maps.hub.remote import checked_repository, partial_path
from three_hundred_maps.store.arrays import read_split

COMMAND = ("-m", "three_hundred_maps")


class TestPublish:
    """The command, from a plan to a tag."""

    def test_the_plan_comes_first_and_sends_nothing(self, run: Run, hub: FakeHub, own_export: Path) -> None:
        out = run(*COMMAND, "publish", str(own_export), "org/maps", hub=hub, token=True).stdout
        assert "org/maps (new, private)" in out
        assert f"to send     {len(files_of(own_export))} files" in out
        assert "--go" in out
        assert not hub.repos
        assert not [line for line in hub.log if not line.startswith(("GET", "HEAD"))]

    def test_it_sends_all_once_then_only_what_changed(
        self, run: Run, hub: FakeHub, own_export: Path, tmp_path: Path
    ) -> None:
        command = (*COMMAND, "publish", str(own_export), "org/maps", "--go")
        first = run(*command, "--tag", "v1", hub=hub, token=True)
        assert "done: " in first.stdout
        repo = hub.repos["org/maps"]
        assert repo.private
        sent = dict(repo.find("main")[1])
        assert sent.pop(".gitattributes")
        assert sent == files_of(own_export)
        assert repo.find("v1")[0] == repo.refs["main"]
        # Nothing changed: nothing is sent.
        commit, received = repo.refs["main"], hub.received
        again = run(*command, hub=hub, token=True)
        assert "nothing had changed" in again.stdout
        assert repo.refs["main"] == commit
        assert hub.received - received < 1000
        # One file is another: that one and the manifest go, the one that is no more is removed.
        manifest = json.loads((own_export / "manifest.json").read_text())
        gone = "tiny/images/clusters.png"
        del manifest["files"][gone]
        (own_export / gone).unlink()
        (own_export / "manifest.json").write_text(json.dumps(manifest))
        plan = run(*command[:-1], hub=hub, token=True).stdout
        assert "to send     1 files" in plan
        # A tag stays on what it was given to: that is said before anything is sent.
        taken = run(*command, "--tag", "v1", hub=hub, token=True, status=2)
        assert "has a tag 'v1' already" in taken.stderr
        assert repo.refs["main"] == commit
        assert f"- {gone}" in plan
        run(*command, "--tag", "v2", hub=hub, token=True)
        run(*command, "--tag", "v2", hub=hub, token=True)
        assert (repo.find("v1")[0], repo.find("v2")[0]) == (commit, repo.refs["main"])
        assert gone not in repo.find("main")[1]
        assert len(repo.commits) == 3
        for result in (first, again):
            assert TOKEN not in result.stdout + result.stderr

    def test_an_interrupted_upload_goes_on(self, run: Run, hub: FakeHub, own_export: Path) -> None:
        """The line breaks at the commit, after the data: the next run sends no data again."""
        command = (*COMMAND, "publish", str(own_export), "org/maps", "--go")
        hub.troubles = [Trouble("/commit/", 403, times=1, method="POST")]
        broken = run(*command, hub=hub, token=True, status=2)
        assert "403" in broken.stderr
        stored = set(hub.blobs)
        uploads = [line for line in hub.log if line.startswith("PUT /lfs")]
        assert len(set(uploads)) == len(stored) > 5
        run(*command, hub=hub, token=True)
        assert [line for line in hub.log if line.startswith("PUT /lfs")] == uploads
        assert set(files_of(own_export)) <= set(hub.repos["org/maps"].find("main")[1])

    def test_a_pull_request_to_someone_else(self, run: Run, hub: FakeHub, own_export: Path) -> None:
        hub.add("them/maps", {"README.md": b"theirs"})
        command = (*COMMAND, "publish", str(own_export), "them/maps", "--go")
        refused = run(*command, hub=hub, token=True, status=2)
        assert "does not allow this (403)" in refused.stderr
        out = run(*command, "--pull-request", hub=hub, token=True).stdout
        assert "/discussions/1" in out
        theirs = hub.repos["them/maps"]
        assert theirs.find("main")[1] == {"README.md": b"theirs"}
        assert set(files_of(own_export)) <= set(theirs.find("refs/pr/1")[1])

    def test_public_only_where_asked(self, run: Run, hub: FakeHub, own_export: Path) -> None:
        run(*COMMAND, "publish", str(own_export), "org/open", "--go", "--public", hub=hub, token=True)
        assert not hub.repos["org/open"].private
        card = hub.repos["org/open"].find("main")[1]["README.md"].decode()
        assert 'load_dataset("org/open"' in card
        assert "org/maps" not in card

    @pytest.mark.parametrize(
        ("repository", "options", "says"),
        [
            ("../../x", {}, "write ORG/NAME"),
            ("org/maps", {"tag": "a b"}, "not a tag's name"),
            ("org/maps", {"pull_request": True, "tag": "v1"}, "cannot be tagged"),
        ],
    )
    def test_bad_arguments(self, own_export: Path, repository: str, options: dict, says: str) -> None:
        with pytest.raises(InputError, match=says):
            publish(own_export, repository, **options)

    def test_without_a_token_and_with_a_changed_file(
        self, run: Run, hub: FakeHub, own_export: Path, store: Path, tmp_path: Path
    ) -> None:
        command = (*COMMAND, "publish", str(own_export), "org/maps", "--go")
        no_token = run(*command, hub=hub, status=2)
        assert "hf auth login" in no_token.stderr
        assert no_token.stderr.count("\n") == 1
        to_nothing = run(*command, "--pull-request", hub=hub, token=True, status=2)
        assert "does not exist: a pull request needs" in to_nothing.stderr
        with open(own_export / "README.md", "a") as stream:
            stream.write("edited by hand\n")
        assert "was changed after the export" in run(*command, hub=hub, token=True, status=2).stderr
        for folder, says in ((tmp_path, "is not an export (no manifest.json)"), (store, "(but a store)")):
            other = run(*COMMAND, "publish", str(folder), "org/maps", hub=hub, token=True, status=2)
            assert says in other.stderr
        assert not hub.repos


class TestDownload:
    """A store from the Hub: whole, in part, resumed."""

    def test_the_whole_store_is_the_store(
        self, run: Run, published: FakeHub, store: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        run(*COMMAND, "download", "org/maps", "--out", str(out), "--quiet", hub=published)
        assert files_of(out) == {n: d for n, d in files_of(store).items() if not n.startswith(".lock")}
        requests = len(published.log)
        run(*COMMAND, "download", "org/maps", "--out", str(out), "--quiet", hub=published)
        assert not [line for line in published.log[requests:] if "maps.zarr" in line]

    def test_a_part_is_a_store_of_its_own(
        self, run: Run, published: FakeHub, store: Path, tmp_path: Path
    ) -> None:
        code = f"""
import numpy as np, sys
from pathlib import Path
from three_hundred_maps.hub.downloading import download
from three_hundred_maps.hub.loading import load_dataset
from three_hundred_maps.store.arrays import read_split, root_attrs
from three_hundred_maps.store.manifest import read_manifest
from three_hundred_maps.io import OWN_LIST, sha256_file, write_json
from three_hundred_maps.store.statistics import read_statistics
from three_hundred_maps.store.verify import verify
from three_hundred_maps import open_store
whole = {str(store)!r}
out = Path("part")
download("org/maps", out, splits=["train"], views=["sz", "mass"], shards=[1, 2])
truth, found = read_split(whole, "train", ["sz", "mass"]), read_split(out, "train")
assert list(found.maps) == ["sz", "mass"] and len(found) == 6
for view in found.maps:
    assert found.maps[view].tobytes() == truth.maps[view][4:].tobytes()
assert found.halos["halo_id"].tolist() == truth.halos["halo_id"][4:].tolist()
assert len(read_split(out, "test")) == 0
assert read_statistics(out)["mass"].mean == read_statistics(whole)["mass"].mean
manifest = read_manifest(out)
assert all(sha256_file(out / n) == e["sha256"] for n, e in manifest["files"].items())
assert manifest["part_of"]["shards"] == [1, 2]
assert verify(out, deep=True).good
assert open_store(out)["train"]["mass"].shape == (6, 3, 80, 80)
assert load_dataset(data_dir=out, split="train").num_rows == 18
download("org/maps", out, splits=["train"], views=["sz", "mass"], shards=[1, 2])   # there already
left, mine = (out / ".download" / "a" / name for name in ("left.by.a.kill", "notes.txt"))
write_json(out / ".download" / OWN_LIST, {{"kind": ".download", "files": ["a/left.by.a.kill"]}})
left.parent.mkdir()
left.touch(), mine.touch()
download("org/maps", out, splits=["train"], views=["sz", "mass"], shards=[1, 2])
assert mine.exists() and not left.exists()   # a user's file stays
mine.unlink()
download("org/maps", out, splits=["train"], views=["sz", "mass"], shards=[1, 2])
assert verify(out).good
last = Path("last")
download("org/maps", last, shards=[0, 2])
assert len(read_split(last, "train")) == 6 and len(read_split(last, "test")) == 3
rows = truth.maps["mass"][[0, 1, 2, 3, 8, 9]]
assert read_split(last, "train", ["mass"]).maps["mass"].tobytes() == rows.tobytes()
half = read_split(whole, "test", ["mass_half"]).maps["mass_half"]
assert read_split(last, "test", ["mass_half"]).maps["mass_half"].tobytes() == half.tobytes()
"""
        run("-c", code, hub=published, THREE_HUNDRED_MAPS_QUIET="1")
        fetched = [line for line in published.log if "/resolve/" in line and "/star/c/" in line]
        assert len(set(fetched)) <= 2 * 4  # only the second part holds stars

    def test_it_goes_on_where_it_stopped(self, run: Run, published: FakeHub, tmp_path: Path) -> None:
        out = tmp_path / "out"
        download = (*COMMAND, "download", "org/maps", "--out", str(out), "--quiet")
        published.troubles = [Trouble("test/mass/c/0/0/0/0", 403, times=99)]
        assert "403" in run(*download, hub=published, status=2).stderr
        assert not (out / "manifest.json").exists()
        fetched = {line for line in published.log if line.startswith("GET") and "/resolve/" in line}
        published.troubles, published.log[:] = [], []
        run(*download, hub=published)
        again = {line for line in published.log if line.startswith("GET") and "/resolve/" in line}
        assert (out / "manifest.json").is_file()
        kept = {line for line in fetched & again if "maps.zarr" in line and "test/mass/c/" not in line}
        assert not kept

    def test_bad_arguments(self, run: Run, published: FakeHub, tmp_path: Path) -> None:
        cases = (
            (["--config", "mini"], "no config 'mini'; it holds tiny"),
            (["--split", "dev"], "no split dev"),
            (["--views", "sz,lensing"], "no view lensing"),
            (["--views", ""], "none was named"),
            (["--shards", "x"], "--shards: cannot read"),
            (["--shards", "7"], "no shard 7"),
            (["--revision", "v9"], "no such revision"),
        )
        code = """
import json, sys
from three_hundred_maps.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(["download", "org/maps", "--out", "out", "--quiet", *arguments])
    except SystemExit as end:
        assert end.code == 2
"""
        result = run("-c", code, json.dumps([arguments for arguments, _ in cases]), hub=published)
        lines = result.stderr.splitlines()
        assert len(lines) == len(cases)
        for line, (_, says) in zip(lines, cases, strict=True):
            assert line.startswith("error: ")
            assert says in line
        assert not (tmp_path / "out").exists()

    def test_a_folder_of_other_things(self, run: Run, published: FakeHub, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        result = run(*COMMAND, "download", "org/maps", "--out", str(tmp_path), hub=published, status=2)
        assert "holds other things" in result.stderr

    def test_paths_out_of_the_folder_are_refused(self, run: Run, published: FakeHub, tmp_path: Path) -> None:
        files = published.repos["org/maps"].find("main")[1]
        manifest = json.loads(files["manifest.json"])
        manifest["files"]["tiny/maps.zarr/../../../escape"] = {"bytes": 1, "sha256": "0" * 64}
        published.add("org/maps", {**files, "manifest.json": json.dumps(manifest).encode()})
        result = run(
            *COMMAND, "download", "org/maps", "--out", str(tmp_path / "out"), hub=published, status=2
        )
        assert "leaves its folder" in result.stderr
        assert not list(tmp_path.rglob("escape"))


LOAD = """
import numpy as np
from three_hundred_maps import load_dataset
from three_hundred_maps.store.arrays import read_split
rows = load_dataset("org/maps", "tiny", split="train", views="mass"{more}).with_format("numpy")
found = np.stack([row["mass"] for row in rows])
assert found.tobytes() == read_split({store!r}, "train", ["mass"]).maps["mass"].tobytes()
"""


def load(store: Path, more: str = "") -> str:
    return LOAD.format(store=str(store), more=more)


class TestLoadingFromTheHub:
    """`load_dataset("ORG/NAME")` and the configured repository."""

    def test_rows_from_the_hub_streamed_and_at_a_revision(
        self, run: Run, published: FakeHub, store: Path
    ) -> None:
        repo = published.repos["org/maps"]
        repo.tags["v1"] = repo.refs["main"]
        repo.commit({"README.md": b"nothing is left"})
        code = load(store, ", revision='v1'") + load(store, ", revision='v1', streaming=True")
        run("-c", code, hub=published)

    def test_a_store_at_a_url(self, run: Run, published: FakeHub, store: Path) -> None:
        code = (
            load(store).replace('"org/maps", "tiny"', '"hf://datasets/org/maps/tiny/maps.zarr"')
            + load(store).replace('"org/maps", "tiny"', '"hf://datasets/org/maps@%6Dain"')
            + """
from three_hundred_maps import open_store
from three_hundred_maps.store.verify import verify
assert verify("hf://datasets/org/maps/tiny/maps.zarr").good
there = open_store("hf://datasets/org/maps@main/tiny/maps.zarr")
mass = there["train"]["mass"]
assert mass.dims == ("halo", "los", "y", "x") and there.manifest["files"]
assert mass.values.tobytes() == found.tobytes()
for place in ("datasets/org/maps/nowhere", "datasets/org/nobody/maps.zarr", "org/model/maps.zarr"):
    try:
        open_store(f"hf://{place}")
    except ValueError as error:
        print(str(error))
"""
        )
        lines = run("-c", code, hub=published).stdout.splitlines()
        assert "no store at hf://datasets/org/maps/nowhere: there is no zarr.json" in lines[0]
        assert lines[1].startswith("org/nobody/maps.zarr/zarr.json: no such data set, or a private one")
        assert "names no store on the Hub: write hf://datasets/ORG/NAME" in lines[2] and len(lines) == 3

    def test_a_stream_takes_no_more_than_it_asks_for(self, run: Run, published: FakeHub) -> None:
        """A server that sends without end, one that knows no ranges, and one that is cut half way."""
        places = {"org/maps": "parquet$", "hf://datasets/org/maps/tiny/maps.zarr": "train/mass/c/"}
        endless = {"length": str(10**12)}
        published.troubles = [
            trouble
            for what in places.values()
            for trouble in (Trouble(what, "endless", headers=endless), Trouble(what, "no-ranges"))
        ] + [Trouble(what, "cut") for what in places.values()]
        code = f"""
from three_hundred_maps import load_dataset
for place in 3 * {list(places)}:
    try:
        rows = load_dataset(place, split="train", views="mass", streaming=True)
        print(len(next(iter(rows))["mass"]))
    except ValueError as error:
        print(str(error))
"""
        lines = run("-c", code, hub=published).stdout.splitlines()
        assert all("the server sends more than" in line for line in lines[:2])
        assert all("the server knows no ranges of bytes" in line or line == "80" for line in lines[2:4])
        assert lines[4:] == ["80", "80"]

    def test_the_configured_repository_serves_our_name(
        self, run: Run, published: FakeHub, store: Path
    ) -> None:
        code = """
import datasets, three_hundred_maps
print(datasets.load_dataset("three_hundred_maps", "tiny", split="test").num_rows)
import os; os.environ["HF_HUB_OFFLINE"] = "1"
"""
        result = run("-c", code, hub=published, THREE_HUNDRED_MAPS_REPO="org/maps")
        assert result.stdout.split() == ["9"]
        offline = run("-c", code, THREE_HUNDRED_MAPS_REPO="org/maps")  # the same caches, no Hub
        assert offline.stdout.split() == ["9"]

    def test_a_stream_that_is_left_midway_ends_cleanly(self, run: Run, published: FakeHub) -> None:
        code = """
from three_hundred_maps import load_dataset
rows = iter(load_dataset("org/maps", split="train", views="mass", streaming=True))
print(len(next(rows)["mass"]))
"""
        result = run("-c", code, hub=published, fresh=True)
        assert result.stdout.split() == ["80"]
        assert "Fatal" not in result.stderr

    def test_a_new_commit_is_seen(self, run: Run, published: FakeHub, tmp_path: Path, exported: Path) -> None:
        from three_hundred_maps.hub.exporting import export
        from three_hundred_maps.testing import tiny_store

        other = tiny_store(tmp_path / "other", halos=(2, 1, 1), n_los=1, seed=9)
        folder = tmp_path / "other-export"
        export([other], folder, repository="org/maps")
        code = (
            "from three_hundred_maps import load_dataset as l; print(l('org/maps', split='train').num_rows)"
        )
        assert run("-c", code, hub=published).stdout.split() == ["30"]
        published.repos["org/maps"].commit(files_of(folder))
        assert run("-c", code, hub=published).stdout.split() == ["2"]


NO_WAITING = "import time; time.sleep = lambda seconds: None\n"
"""The clock is not what these tests are about: waits between tries are passed over."""

PASSES = {
    "500": Trouble("500", 500, times=2),
    "429": Trouble("429", 429, headers={"Retry-After": "1"}),
    "503": Trouble("503", 503, times=3),
    "cut": Trouble("cut", "cut"),
    "corrupt": Trouble("corrupt", "corrupt"),
    "redirect": Trouble("redirect", "redirect"),
}
LASTS = {
    "always-corrupt": (Trouble("always-corrupt", "corrupt", times=99), "do not match the manifest, twice"),
    "always-500": (Trouble("always-500", 500, times=99), "the server is in trouble (500)"),
    "always-502": (Trouble("always-502", 502, times=99), "the server is in trouble (502)"),
    "always-429": (Trouble("always-429", 429, times=99), "asks for fewer requests (429)"),
    "always-403": (Trouble("always-403", 403, times=99), "your token does not allow this (403)"),
    "always-404": (Trouble("always-404", 404, times=99), "404"),
    "missing": (Trouble("nothing-matches", 500), "the repository holds no such file"),
}
FETCH = (
    NO_WAITING
    + """
import hashlib, json, sys
from pathlib import Path
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub import remote
from three_hundred_maps.hub.remote import fetch_into
for name, (sha256, size) in json.loads(sys.argv[1]).items():
    try:
        file = fetch_into(Path(sys.argv[2]), "org/files", name, sha256=sha256, size=size)
        print(name, "ok", hashlib.sha256(file.read_bytes()).hexdigest() == sha256, sep="\\t")
    except InputError as error:
        print(name, "failed", error, sep="\\t")
"""
)
KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
def watch(wanted=int(sys.argv[3])):
    while not any(file.stat().st_size >= wanted for file in Path(sys.argv[2]).rglob("*.partial")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
""" + FETCH.replace(NO_WAITING, "")
"""As soon as a file has grown to a given size the process is killed."""

MIB = 1 << 20
HURRY = """
from three_hundred_maps.hub import remote
remote.GRACE_S, remote.LEAST_BYTES_PER_S = 0.5, 1e6
"""


def wanted_of(files: dict[str, bytes]) -> str:
    """Checksum and size of each file, as JSON."""
    return json.dumps({name: [hashlib.sha256(data).hexdigest(), len(data)] for name, data in files.items()})


class TestTrouble:
    """What passes is tried again; what does not is told as it is."""

    def fetch(self, run: Run, hub: FakeHub, names: list[str], folder: Path) -> dict[str, tuple[str, str]]:
        files = {f"{name}.bin": f"content of {name} ".encode() * 999 for name in names}
        hub.add("org/files", {n: d for n, d in files.items() if n != "missing.bin"})
        out = run("-c", FETCH, wanted_of(files), str(folder), hub=hub).stdout
        rows = [line.split("\t") for line in out.splitlines()]
        return {name: (state, text) for name, state, text in rows}

    def test_what_passes(self, run: Run, hub: FakeHub, tmp_path: Path) -> None:
        hub.troubles = [replace(trouble) for trouble in PASSES.values()]
        found = self.fetch(run, hub, list(PASSES), tmp_path)
        assert found == {f"{name}.bin": ("ok", "True") for name in PASSES}
        assert [trouble.times for trouble in hub.troubles] == [0] * len(PASSES)

    def test_what_does_not_pass(self, run: Run, hub: FakeHub, tmp_path: Path) -> None:
        hub.troubles = [replace(trouble) for trouble, _ in LASTS.values()]
        found = self.fetch(run, hub, list(LASTS), tmp_path)
        for name, (_, says) in LASTS.items():
            state, text = found[f"{name}.bin"]
            assert state == "failed"
            assert says in text, text
            assert f"org/files/{name}.bin" in text
        assert not list(tmp_path.glob("*.bin"))
        assert not list(tmp_path.glob(".always-corrupt*"))

    @pytest.mark.parametrize("chunked", [True, False])
    def test_more_bytes_than_announced_are_not_taken(
        self, run: Run, hub: FakeHub, tmp_path: Path, chunked: bool
    ) -> None:
        """A server that sends without end, with and without a length that it announces."""
        hub.add("org/files", {"shard.bin": b"x" * 250_000})
        hub.troubles = [Trouble("shard", "endless", headers={} if chunked else {"length": str(10**12)})]
        wanted = json.dumps({"shard.bin": ["0" * 64, 250_000]})
        out = run("-c", FETCH, wanted, str(tmp_path), hub=hub).stdout
        assert "sends more than 250,000 bytes" in out
        assert sum(file.stat().st_size for file in tmp_path.glob(".*.partial")) <= 250_000

    def test_a_dripping_server_is_left(self, run: Run, hub: FakeHub, tmp_path: Path) -> None:
        hub.add("org/files", {"shard.bin": b"x" * 250_000})
        hub.troubles = [Trouble("shard", "drip", times=9)]
        wanted = json.dumps({"shard.bin": ["0" * 64, 250_000]})
        hurry = FETCH.replace("from three_hundred_maps.hub import remote\n", HURRY)
        began = time.monotonic()
        assert "too slow" in run("-c", hurry, wanted, str(tmp_path), hub=hub).stdout
        assert time.monotonic() - began < 200  # its 250,000 bytes would take 5,000 s

    def test_a_cut_connection_goes_on_where_it_was(self, run: Run, hub: FakeHub, tmp_path: Path) -> None:
        data = random.Random(0).randbytes(24 * MIB)
        hub.add("org/files", {"large.bin": data})
        hub.troubles = [Trouble("large", "cut", times=2)]
        assert "True" in run("-c", FETCH, wanted_of({"large.bin": data}), str(tmp_path), hub=hub).stdout
        assert hub.ranges == [f"bytes={12 * MIB}-", f"bytes={18 * MIB}-"]

    def test_a_killed_process_goes_on_at_its_byte(self, run: Run, hub: FakeHub, tmp_path: Path) -> None:
        data = random.Random(1).randbytes(6 * MIB)
        hub.add("org/files", {"large.bin": data})
        hub.troubles, wanted = [Trouble("large", "stall")], wanted_of({"large.bin": data})
        run("-c", KILLED, wanted, str(tmp_path), str(3 * MIB), hub=hub, status=-9)
        assert not (tmp_path / "large.bin").exists() and not hub.ranges
        assert "True" in run("-c", FETCH, wanted, str(tmp_path), hub=hub).stdout
        assert hub.ranges == [f"bytes={3 * MIB}-"]
        assert not list(tmp_path.glob("*.partial"))

    @pytest.mark.parametrize(
        ("there", "of_another", "kinds", "first"),
        [
            (2, False, (), 2),  # all had come: answered by 416
            (1, False, ("no-ranges",), 1),  # all of it is sent
            (1, True, (), 1),  # found by the checksum, and fetched from its first byte
        ],
    )
    def test_what_an_earlier_process_left(
        self, run: Run, hub: FakeHub, tmp_path: Path, there: int, of_another: bool, kinds, first: int
    ) -> None:
        data, other = (random.Random(seed).randbytes(2 * MIB) for seed in (2, 3))
        hub.add("org/files", {"large.bin": data})
        hub.troubles = [Trouble("large", kind) for kind in kinds]
        partial = partial_path(tmp_path / "large.bin", hashlib.sha256(data).hexdigest())
        partial.write_bytes((other if of_another else data)[: there * MIB])
        # A half of what the manifest named before is not built upon.
        partial_path(tmp_path / "large.bin", "0" * 64).write_bytes(other[:MIB])
        assert "True" in run("-c", FETCH, wanted_of({"large.bin": data}), str(tmp_path), hub=hub).stdout
        assert hub.ranges == [f"bytes={first * MIB}-"]

    def test_one_download_at_a_time(self, run: Run, published: FakeHub, tmp_path: Path) -> None:
        code = """
from pathlib import Path
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.downloading import download
from three_hundred_maps.io import OWN_LIST, write_json
from three_hundred_maps.store.lock import hold
write_json(Path("out/.download") / OWN_LIST, {"kind": ".download", "files": []})
with hold(Path("out/.download/.lock"), "held"):
    try:
        download("org/maps", "out")
    except InputError as error:
        print(error)
download("org/maps", "out")
"""
        said = run("-c", code, hub=published, THREE_HUNDRED_MAPS_QUIET="1").stdout
        assert "out is being downloaded by another process" in said
        assert (tmp_path / "out" / "manifest.json").is_file()
        assert not (tmp_path / "out" / ".download").exists()

    def test_rows_arrive_whole_in_spite_of_it(self, run: Run, published: FakeHub, store: Path) -> None:
        published.troubles = [
            Trouble("manifest.json", 503),
            Trouble("parquet/train", "corrupt"),
            Trouble("parquet/test", 500),
        ]
        run("-c", NO_WAITING + load(store), hub=published)
        assert [trouble.times for trouble in published.troubles] == [0, 0, 0]

    @pytest.mark.parametrize("command", ["download", "load"])
    def test_malformed_manifests_are_one_line(self, run: Run, published: FakeHub, command: str) -> None:
        files = published.repos["org/maps"].find("main")[1]
        whole = json.loads(files["manifest.json"])
        shard = next(path for path in whole["files"] if path.endswith("train/mass/c/0/0/0/0"))
        bad: dict[str, bytes] = {
            "deep": b"[" * 100_000,
            "list": b"[1]",
            "null": b"null",
            "text": b"\xff\xfe\x00",
            "huge": b" " * 1000 + b"1" * 100_000,
        }
        for name, place, value in (
            ("number", ["configs", "tiny"], 3),
            ("none", ["configs"], None),
            ("splits", ["configs", "tiny", "splits"], []),
            ("split", ["configs", "tiny", "splits", "test"], None),
            ("paths", ["configs", "tiny", "splits", "test", "parquet"], [None]),
            ("views", ["configs", "tiny", "views"], [["mass"]]),
            ("digest", ["configs", "tiny", "digest"], None),
            ("zarr", ["configs", "tiny", "zarr"], 7),
            ("entry", ["files", shard], None),
            ("bytes", ["files", shard, "bytes"], "many"),
            ("negative", ["files", shard, "bytes"], -1),
            ("sha", ["files", shard, "sha256"], "abc"),
            ("no sha", ["files", shard], {"bytes": 3}),
            ("pixels", ["configs", "tiny", "pixels"], [80, "80"]),
        ):
            content = json.loads(files["manifest.json"])
            at = content
            for key in place[:-1]:
                at = at[key]
            at[place[-1]] = value
            bad[name] = json.dumps(content).encode()
        for i, data in enumerate(bad.values()):
            published.add(f"org/bad{i}", {**files, "manifest.json": data})
        out = run("-c", MALFORMED, command, str(len(bad)), hub=published).stdout.splitlines()
        assert len(out) == len(bad), out
        assert all("manifest.json" in line or "org/bad" in line for line in out)

    def test_an_answer_without_a_commit(self, run: Run, published: FakeHub) -> None:
        published.troubles = [Trouble("manifest.json", "nameless")]
        assert "names no commit" in run("-c", REASONS, "org/maps", hub=published).stdout

    def test_a_manifest_cut_midway_is_fetched_anew(self, run: Run, published: FakeHub) -> None:
        for server in ([], [Trouble("manifest.json", "no-ranges")]):
            published.troubles = [Trouble("manifest.json", "cut"), *server]
            assert run("-c", REASONS, "org/maps", hub=published).stdout == ""
        assert not published.ranges

    def test_answers_of_the_interface_that_are_none(self, run: Run, hub: FakeHub, own_export: Path) -> None:
        command = (*COMMAND, "publish", str(own_export), "org/maps")
        hub.add("org/maps", {"README.md": b""})
        for body in (b"[]", b"not json", b"null", b"3", b'{"id": 3}'):
            hub.troubles = [Trouble("/api/datasets/", "body", times=9, headers={"body": body.decode()})]
            said = run(*command, hub=hub, token=True, status=2).stderr
            assert said.startswith("error: ") and said.count("\n") == 1, said

    def test_the_true_reason(self, run: Run, published: FakeHub) -> None:
        published.add("org/private", {"manifest.json": b"{}"}, private=True)
        published.add("org/other", {"README.md": b"someone's data"})
        cases = {
            "org/nothing": "no such data set, or a private one",
            "org/private": "no such data set, or a private one",
            "org/other": "was not made by three-hundred-maps publish",
        }
        out = run("-c", REASONS, *cases, hub=published).stdout.splitlines()
        for line, (name, says) in zip(out, cases.items(), strict=True):
            assert name in line
            assert says in line

    def test_no_server_and_offline(self, run: Run, hub: FakeHub) -> None:
        hub.close()
        assert "cannot be reached" in run("-c", REASONS, "org/maps", hub=hub).stdout
        assert "HF_HUB_OFFLINE is set" in run("-c", REASONS, "org/maps").stdout


MALFORMED = """
import sys
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.downloading import download
from three_hundred_maps.hub.loading import load_dataset
for i in range(int(sys.argv[2])):
    try:
        if sys.argv[1] == "load":
            load_dataset(f"org/bad{i}", split="test")
        else:
            download(f"org/bad{i}", f"out{i}")
    except InputError as error:
        print(error)
"""

REASONS = (
    NO_WAITING
    + """
import sys
from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.remote import fetch_manifest
for name in sys.argv[1:]:
    try:
        fetch_manifest(name)
    except InputError as error:
        print(error)
"""
)


def test_the_page_on_the_hub_is_true(run: Run, hub: FakeHub, store: Path, tmp_path: Path) -> None:
    """docs/hub.md, as it is typed, against the stand-in."""
    (block,) = snippets(Path(__file__).resolve().parents[2] / "docs" / "hub.md", "bash")
    code = """
import shlex, sys
from three_hundred_maps.cli import main
for line in sys.argv[1].splitlines():
    command, *arguments = shlex.split(line, comments=True)
    assert command == "three-hundred-maps"
    try:
        main(arguments)
    except SystemExit as end:
        assert not end.code, line
"""
    text = block.text.replace("STORE", str(store)).replace("ORG/NAME", "org/page")
    out = run("-c", code, text, hub=hub, token=True, THREE_HUNDRED_MAPS_QUIET="1").stdout
    assert "nothing was sent" in out
    assert "v1" in hub.repos["org/page"].tags
    assert len(read_split(tmp_path / "part.zarr", "test", ["sz", "mass"])) == 3
    assert len(read_split(tmp_path / "part.zarr", "train")) == 0


@pytest.mark.parametrize(
    "name", ["maps", "a/b/c", "../x", "/x/y", "org/..", "org/ma ps", "", "org/x.git", "ö/x"]
)
def test_names_that_are_no_repository(name: str) -> None:
    with pytest.raises(InputError, match="ORG/NAME"):
        checked_repository(name)
