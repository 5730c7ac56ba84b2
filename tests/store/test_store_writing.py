"""Writing and finishing a store: whole, once, in any order, after any interruption."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import xarray
import zarr
from conftest_store import shard_content, small_layout, write_all
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import hashes
from tests.processes import Forked
from three_hundred_maps import io as files_io
from three_hundred_maps.errors import InputError
from three_hundred_maps.store import compact, schema
from three_hundred_maps.store.arrays import iter_shards, read_split, root_attrs
from three_hundred_maps.store.derive import subset
from three_hundred_maps.store.finishing import finalise
from three_hundred_maps.store.layout import Layout
from three_hundred_maps.store.manifest import read_manifest
from three_hundred_maps.store.overview import describe, overview
from three_hundred_maps.store.records import read_layout
from three_hundred_maps.store.shards import encode_shard
from three_hundred_maps.store.verify import verify
from three_hundred_maps.store.writer import create_store, write_shard
from three_hundred_maps.testing import tiny_store


def rows_of(store: Path) -> dict[str, list[int]]:
    return {split: read_split(store, split, []).halos["region"].tolist() for split in schema.SPLITS}


@given(
    splits=st.tuples(st.integers(0, 7), st.integers(0, 5), st.integers(0, 5)),
    shard_halos=st.integers(1, 4),
    n_los=st.integers(1, 3),
    refuse=st.sets(st.integers(0, 6)),
    seed=st.integers(0, 10),
)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_is_there_once_whatever_the_sizes(
    tmp_path_factory, splits, shard_halos, n_los, refuse, seed
):
    store = tmp_path_factory.mktemp("any") / "store"
    layout = small_layout(splits, n_los, 4, shard_halos)
    order = layout.all_shards()
    np.random.default_rng(seed).shuffle(order)
    skip = tuple(schema.SPLITS.index(split) * 1000 + row for split in schema.SPLITS for row in refuse)
    write_all(store, layout, skip, order=[(str(s), int(k)) for s, k in order])
    manifest = finalise(store)
    for number, split in enumerate(schema.SPLITS):
        wanted = [number * 1000 + row for row in range(splits[number]) if number * 1000 + row not in skip]
        assert rows_of(store)[split] == wanted
        assert manifest["halos"][split] == len(wanted) and manifest["halos_planned"][split] == splits[number]
        views = [v.name for v in layout.map_variables(split)]
        found = read_split(store, split, views)
        streamed = [
            row for part in iter_shards(store, split, seed=seed) for row in part.halos["region"].tolist()
        ]
        assert sorted(streamed) == wanted
        for place, row in enumerate(wanted):
            maps, *_ = shard_content(layout, split, (row - number * 1000) // shard_halos)
            for view in views:
                np.testing.assert_array_equal(found.maps[view][place], maps[view][(row % 1000) % shard_halos])
    assert len(manifest["refused"]) == sum(splits) - sum(manifest["halos"].values())
    assert verify(store, deep=True).problems == []


def test_any_order_gives_the_same_bytes(tmp_path):
    layout = small_layout()
    write_all(tmp_path / "a", layout, skip=(1, 2001))
    write_all(tmp_path / "b", layout, skip=(1, 2001), order=layout.all_shards()[::-1])
    assert finalise(tmp_path / "a") == finalise(tmp_path / "b")
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_shard_bytes_are_zarrs_own(tmp_path):
    layout = small_layout((5, 0, 0))
    create_store(tmp_path / "plain", layout)
    write_all(tmp_path / "store", layout)
    maps = np.concatenate([shard_content(layout, "train", k)[0]["sz"] for k in range(3)])
    array = zarr.open_group(tmp_path / "plain")["train/sz"]
    array[...] = maps
    for shard in range(3):
        ours, zarrs = (tmp_path / f"{name}/train/sz/c/{shard}/0/0/0" for name in ("store", "plain"))
        assert ours.read_bytes() == zarrs.read_bytes()
    # A shard with rows that were never written: zarr leaves chunks of nothing but NaN out.
    array[0:2] = np.stack([maps[0], np.full_like(maps[0], np.nan)])
    assert encode_shard(maps[:1], 2) == (tmp_path / "plain/train/sz/c/0/0/0/0").read_bytes()


@pytest.mark.parametrize("splits", [(5, 2, 3), (3, 0, 0)])
def test_metadata_and_small_arrays_are_zarrs_own(tmp_path, splits):
    """Parsed by zarr and written again, every document and every chunk has the same bytes."""
    store = tmp_path / "store"
    write_all(store, small_layout(splits))
    finalise(store)
    before = hashes(store)
    with zarr.config.set({"array.write_empty_chunks": True}):
        root = zarr.open_group(store, mode="r+", use_consolidated=False)
        for group in [root, *(root[name] for name in (*schema.SPLITS, "statistics"))]:
            for _, array in group.arrays():
                if array.ndim < 4 and array.size:
                    array[...] = array[...]
                array.update_attributes({})
            group.update_attributes({})
    assert hashes(store) != before  # no longer consolidated
    for name in (*schema.SPLITS, "statistics", None):
        with pytest.warns(UserWarning, match="Consolidated metadata"):
            zarr.consolidate_metadata(store, path=name)
    assert hashes(store) == before


def test_threads_of_the_compressor_do_not_change_the_bytes(monkeypatch):
    """Blosc's threads append a chunk's blocks as they finish: a slow first block often comes later."""
    from numcodecs import blosc

    maps = np.zeros((2, 29, 80, 80), np.float32)
    maps.reshape(2, -1)[:, : 1 << 15] = np.random.default_rng(0).random(1 << 15, np.float32)
    threaded = []
    compress = blosc.compress

    def watched(*args):
        threaded.append(blosc.use_threads)
        return compress(*args)

    monkeypatch.setattr(blosc, "compress", watched)
    monkeypatch.setattr(blosc, "use_threads", False)
    wanted = encode_shard(maps, 2)
    before = blosc.set_nthreads(8)
    try:
        # None: numcodecs' own default, threads in a process's main thread.
        for setting in (True, None):
            monkeypatch.setattr(blosc, "use_threads", setting)
            assert {encode_shard(maps, 2) for _ in range(20)} == {wanted}
            assert blosc.use_threads is setting
    finally:
        blosc.set_nthreads(before)
    assert not any(threaded) and None not in threaded


@pytest.mark.parametrize("consolidated", [True, False, None])
@pytest.mark.parametrize("splits", [(5, 2, 3), (3, 0, 0)])
def test_plain_xarray_opens_it_with_names_dims_and_units(tmp_path, consolidated, splits):
    layout = small_layout(splits)
    write_all(tmp_path / "store", layout)
    finalise(tmp_path / "store")
    for split, n in zip(schema.SPLITS, splits, strict=True):
        with xarray.open_zarr(tmp_path / "store", group=split, consolidated=consolidated) as data:
            assert data["mass"].dims == schema.MAP_DIMS and data.sizes["halo"] == n
            assert data["mass"].dtype == np.float32 and data["region"].dtype == np.int64
            for variable in data.variables.values():
                assert {"units", "long_name"} <= set(variable.attrs)
            assert data["mass"].attrs["width_R200c"] == 2.0
            assert ("mass_half" in data) == (split == "test")
            np.testing.assert_allclose(data["x"], (np.arange(8) + 0.5) * 0.25 - 1.0)
            assert np.isfinite(data["mass"].values).all()
    with xarray.open_zarr(tmp_path / "store", group="statistics", consolidated=consolidated) as data:
        assert data["histogram"].dims == ("view", "bin")


def test_finishing_needs_every_shard_and_is_done_once(tmp_path):
    store, layout = tmp_path / "store", small_layout()
    create_store(store, layout)
    with pytest.raises(InputError, match="0 of 6 shards are done"):
        finalise(store)
    assert not (store / "manifest.json").exists()
    with pytest.raises(InputError, match="is not finished"):
        read_split(store, "train")
    assert "nobody works on it: 0 of 10 halos" in describe(overview(store))
    write_all(store, layout)
    first = finalise(store)
    before = hashes(store)
    assert finalise(store) == first and hashes(store) == before
    create_again = pytest.raises(InputError, match="finished store")
    with create_again:
        create_store(store, layout)
    assert not (store / "progress").exists()


def test_a_store_of_other_settings_is_refused_with_the_difference(tmp_path):
    create_store(tmp_path / "store", small_layout())
    create_store(tmp_path / "store", small_layout())
    with pytest.raises(InputError, match=r"- pixels: 8; \+ pixels: 16"):
        create_store(tmp_path / "store", small_layout(pixels=16))


def test_what_does_not_fit_is_refused(tmp_path):
    store, layout = tmp_path / "store", small_layout()
    create_store(store, layout)

    def refused(match, split="train", shard=0, **changes):
        maps, totals, columns, _ = shard_content(layout, "train", 0)
        content = {"maps": maps, "totals": totals, "halos": columns}
        content.update({k: change(content[k]) for k, change in changes.items()})
        with pytest.raises(InputError, match=match):
            write_shard(store, split, shard, content["maps"], content["totals"], content["halos"])

    refused("no.*number 9", shard=9)
    refused("1 refused, 2 planned|2 halos and 0 refused, 1 planned", shard=2)
    refused("maps given for mass, sz; the store holds mass, mass_half, sz", split="test")
    refused("float64", maps=lambda m: {k: v.astype(np.float64) for k, v in m.items()})
    refused("negative or non-finite", maps=lambda m: {**m, "sz": -m["sz"]})
    refused("negative or non-finite", maps=lambda m: {**m, "sz": m["sz"] * np.float32(np.inf)})
    refused("total_sz is .* or not finite", totals=lambda t: {**t, "sz": t["sz"] * np.nan})
    refused("halo variables given", halos=lambda h: {k: v for k, v in h.items() if k != "R200c"})
    assert not list((store / "train").rglob("c"))


def test_a_halo_in_two_shards_is_found_when_finishing(tmp_path):
    store, layout = tmp_path / "store", small_layout((4, 0, 0))
    create_store(store, layout)
    for shard in (0, 1):
        maps, totals, columns, _ = shard_content(layout, "train", 0)
        write_shard(store, "train", shard, maps, totals, columns)
    with pytest.raises(InputError, match=r"the halo small:0:0:0 is in train and again in train"):
        finalise(store)


@pytest.mark.parametrize(
    ("missing", "said"),
    [*((name, f"has no {name}") for name in ("units", "long_name", "frame")), ("license", "lack license")],
)
def test_what_lacks_an_attribute_is_refused(missing, said):
    texts = {name: "" if name == missing else "1" for name in ("units", "long_name", "frame")}
    variable = schema.Variable(
        "sz", schema.MAP_DIMS, "float32", **{**texts, **({missing: ""} if missing in texts else {})}
    )
    good = small_layout()
    attrs = {name: value for name, value in good.attrs.items() if name != missing}
    with pytest.raises(InputError, match=said):
        Layout(maps=(variable,), splits=good.splits, vectors=good.vectors, ups=good.ups, attrs=attrs)


# -- interruptions -----------------------------------------------------------------------------------------


class DiskFull:
    """`open` for writing fails with ENOSPC at the n-th file, after a part of it is written."""

    def __init__(self, monkeypatch, at: int):
        self.count, self.at = 0, at
        monkeypatch.setattr(files_io, "open", self, raising=False)

    def __call__(self, path, mode="r", *args, **kwargs):
        self.count += "w" in mode
        if "w" in mode and self.count == self.at:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open(path, mode, *args, **kwargs)


def build_small(store: Path) -> None:
    layout = small_layout((3, 1, 2))
    write_all(store, layout, skip=(1,))
    finalise(store)


@pytest.mark.parametrize("stride", [41, pytest.param(1, marks=pytest.mark.long)])
def test_a_full_disk_at_every_write_in_turn(tmp_path, monkeypatch, stride):
    build_small(tmp_path / "whole")
    wanted = hashes(tmp_path / "whole")
    with monkeypatch.context() as counting:
        counter = DiskFull(counting, at=-1)
        build_small(tmp_path / "counted")
    writes = counter.count
    assert writes > 100
    for at in [*range(1, writes + 1, stride), writes]:
        store = tmp_path / "store"
        with monkeypatch.context() as full:
            DiskFull(full, at)
            with pytest.raises(OSError) as caught:
                build_small(store)
        assert caught.value.errno == errno.ENOSPC and str(store) in str(caught.value.filename)
        if at < writes:
            assert not (store / "manifest.json").exists()
        resume_small(store)
        assert hashes(store) == wanted, f"after a full disk at write {at}"
        shutil.rmtree(store)


def resume_small(store: Path) -> None:
    """What a builder does on a store that was begun: shards that are done are left alone."""
    from three_hundred_maps.store.compact import read_compaction
    from three_hundred_maps.store.records import is_done

    layout = small_layout((3, 1, 2))
    if not (store / "manifest.json").exists() and read_compaction(store) is None:
        create_store(store, layout)
        for split, shard in layout.all_shards():
            if not is_done(store, layout, split, shard):
                maps, totals, columns, refused = shard_content(layout, split, shard, (1,))
                write_shard(store, split, shard, maps, totals, columns, refused=refused)
    finalise(store)


KILLED = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from test_store_writing import resume_small
print("begun", flush=True)
resume_small(Path({store!r}))
"""


def kill_and_resume(store: Path, generator: np.random.Generator, span_s: float) -> int:
    """Kill the builder at a random moment until one gets through; return the number of kills."""
    kills = 0
    script = KILLED.format(tests=str(Path(__file__).parent), store=str(store))
    while not (store / "manifest.json").exists() or (store / "progress").exists():
        process = Forked("-c", script)
        process.says("begun")
        # The first at once: on a fast machine a later moment may be after the end.
        if process.ended(float(generator.uniform(0, span_s)) if kills else 0.0):
            assert process.result.returncode == 0, process.printed
        else:
            process.kill()
            kills += 1
        span_s *= 1.3
    return kills


def test_killed_at_random_moments_the_bytes_are_the_same(tmp_path):
    build_small(tmp_path / "whole")
    kills = kill_and_resume(tmp_path / "store", np.random.default_rng(5), 0.2)
    assert kills >= 1
    resume_small(tmp_path / "store")
    assert hashes(tmp_path / "store") == hashes(tmp_path / "whole")
    assert verify(tmp_path / "store", deep=True).problems == []


def test_every_step_of_closing_gaps_may_be_the_last(tmp_path, monkeypatch):
    """A stop between any two writes, renames or deletions of the compaction leaves a store that goes on."""
    layout = small_layout((3, 1, 2), n_los=1, pixels=4)
    write_all(tmp_path / "whole", layout, skip=(1,))
    shutil.copytree(tmp_path / "whole", tmp_path / "gaps")
    wanted_layout, *_ = compact.close_gaps(tmp_path / "whole", layout)
    wanted = hashes(tmp_path / "whole")
    for step in range(1, 60):
        store = shutil.copytree(tmp_path / "gaps", tmp_path / f"crash{step}")
        calls = 0

        def crashing(real, step=step):
            def wrapped(*args, **kwargs):
                nonlocal calls
                calls += 1
                if calls == step:
                    raise KeyboardInterrupt
                return real(*args, **kwargs)

            return wrapped

        with monkeypatch.context() as broken:
            broken.setattr(compact.os, "replace", crashing(os.replace))
            broken.setattr(compact.shutil, "rmtree", crashing(shutil.rmtree))
            for name in ("write_json", "write_shard", "fsync_folder"):
                broken.setattr(compact, name, crashing(getattr(compact, name)))
            try:
                compact.close_gaps(store, layout)
                break
            except KeyboardInterrupt:
                pass
        staged = store / compact.STAGING / "progress"
        if step % 2 and compact.read_compaction(store) and staged.exists():
            # As an earlier version left them, which moved a record only after its files, too.
            for record in staged.iterdir():
                record.rename(staged.parent / record.name)
            staged.rmdir()
        (store / "train" / "mass" / "c" / "mine.txt").write_text("a user's")
        resumed, planned, refused = compact.close_gaps(store, read_layout(store))
        (store / "train" / "mass" / "c" / "mine.txt").unlink()
        assert resumed.splits == wanted_layout.splits and planned == layout.splits and len(refused) == 1
        assert hashes(store) == wanted, f"after a stop at step {step}"
    assert 10 < step < 59


def test_what_a_builder_killed_at_its_very_end_leaves_is_tidied(tmp_path):
    """The manifest is there; progress and lock files are still to be removed."""
    source = tiny_store(tmp_path / "source", halos=(2, 1, 1), n_los=1, pixels=8)
    store = subset(source, tmp_path / "store", los=1)
    wanted = hashes(store)
    for leftover in ("progress/layout.json", ".lock", ".lock.owner"):
        (store / leftover).parent.mkdir(exist_ok=True)
        (store / leftover).write_text("")
        assert subset(source, store, los=1) == store
        assert hashes(store) == wanted and verify(store).problems == []


def test_leftovers_of_killed_writers_are_swept(tmp_path):
    store = tmp_path / "store"
    write_all(store, small_layout((2, 0, 0)))
    (store / "train" / ".zarr.json.123.partial").write_bytes(b"half")
    finalise(store)
    assert not list(store.rglob("*.partial"))
    assert verify(store).problems == []


def test_a_write_that_fails_says_why_though_its_cleaning_up_fails_too(tmp_path, monkeypatch):
    """A read-only file system refuses to remove even what is not there."""

    def refuse(path, *args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError) as caught, files_io.renamed_into_place(tmp_path / "file") as partial:
        refuse(partial)
    assert caught.value.filename == str(tmp_path / "file")


@pytest.mark.parametrize("read", [root_attrs, read_manifest])
def test_a_url_of_no_known_kind_is_refused(read):
    with pytest.raises(InputError, match="foo://store.* cannot be read: Protocol not known"):
        read("foo://store")


@pytest.mark.parametrize("wrong", [ConnectionRefusedError, aiohttp.ClientPayloadError, TimeoutError])
@pytest.mark.parametrize("read", [root_attrs, read_manifest])
def test_a_url_where_nothing_answers_is_named(read, wrong, monkeypatch):
    def refuse(*args, **kwargs):
        raise wrong("Connect call failed")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", refuse)
    with pytest.raises(InputError, match=r"^memory://store\S* cannot be read: Connect call failed"):
        read("memory://store")


def test_the_redshift_of_one_snapshot_is_not_given_for_all(tmp_path):
    content = overview(tiny_store(tmp_path / "tiny", halos=(1, 0, 0), n_los=1))
    assert "snapshots" not in describe(content)
    content["simulation"] = {**content["simulation"], "snapshots": [128, 110]}
    assert "z = 0 in the first of 2 snapshots" in describe(content)


# -- locks -------------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from three_hundred_maps.store.lock import store_lock, worker_lock
part = {part}
with (worker_lock(Path({store!r})) if part == "worker" else store_lock(Path({store!r}), part)):
    print("held", flush=True)
    time.sleep({seconds})
"""


def holder(store: Path, part=None, seconds: float = 60.0) -> Forked:
    process = Forked("-c", HOLDER.format(store=str(store), part=repr(part), seconds=seconds))
    process.says("held")
    return process


def test_a_second_builder_is_refused_by_name_and_a_dead_one_forgotten(tmp_path):
    from three_hundred_maps.store.lock import lock_owner, store_lock

    first = holder(tmp_path)
    with (
        pytest.raises(InputError, match=f"being built by another process.*process {first.pid} on"),
        store_lock(tmp_path),
    ):
        pass
    assert f"process {first.pid}" in (lock_owner(tmp_path) or "")
    first.kill()
    with store_lock(tmp_path):
        assert lock_owner(tmp_path) is not None
    assert list(tmp_path.iterdir()) == []


def test_parts_share_a_store_and_exclude_a_whole_build(tmp_path):
    from three_hundred_maps.store.lock import store_lock

    first = holder(tmp_path, (1, 2))
    with store_lock(tmp_path, (2, 2)), pytest.raises(InputError), store_lock(tmp_path):
        pass
    with pytest.raises(InputError, match="part 1/2"), store_lock(tmp_path, (1, 2)):
        pass
    first.kill()
    with store_lock(tmp_path):
        pass
    assert not [p for p in tmp_path.iterdir() if p.name == ".lock"]


def test_a_look_at_the_lock_does_not_refuse_a_builder(tmp_path):
    """`inspect` holds the lock for a moment while it looks."""
    import fcntl
    import threading

    from three_hundred_maps.store.lock import TRY_S, store_lock

    descriptor = os.open(tmp_path / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    threading.Timer(0.4 * TRY_S, os.close, (descriptor,)).start()
    with store_lock(tmp_path):
        pass


def test_a_store_is_written_where_folders_cannot_be_opened(tmp_path, monkeypatch):
    """As on Windows."""
    opened = os.open

    def refuse(path, *args, **kwargs):
        # shutil removes folders another way on Windows; here it opens them with dir_fd.
        if not kwargs and os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.delattr("os.O_DIRECTORY")
    monkeypatch.setattr("os.open", refuse)
    assert verify(tiny_store(tmp_path / "store")).good


def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch, capsys):
    from three_hundred_maps.store import lock

    def refuse(error):
        def flock(descriptor, kind):
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr("fcntl.flock", flock)

    refuse(errno.ENOSYS)
    with lock.store_lock(tmp_path, (1, 2)), lock.worker_lock(tmp_path):
        assert lock.lock_owner(tmp_path) is None
    with lock.store_lock(tmp_path):
        pass
    assert capsys.readouterr().err.count("has no locks: run one builder at a time") == 1
    assert list(tmp_path.iterdir()) == []
    refuse(errno.EIO)
    with pytest.raises(OSError, match="/.lock") as caught, lock.store_lock(tmp_path):
        pass
    assert caught.value.errno == errno.EIO


def test_a_build_waits_for_the_workers_of_a_killed_one(tmp_path):
    from three_hundred_maps.store.lock import store_lock

    worker = holder(tmp_path, "worker", 0.7)
    start = time.monotonic()
    with store_lock(tmp_path):
        assert worker.ended(0) or time.monotonic() - start >= 0.5
    assert worker.ended(60)
    assert list(tmp_path.iterdir()) == []


def test_manifest_lists_everything_and_names_damage(tmp_path):
    store = tmp_path / "store"
    write_all(store, small_layout())
    manifest = finalise(store)
    present = {p.relative_to(store).as_posix() for p in store.rglob("*") if p.is_file()}
    assert set(manifest["files"]) == present - {"manifest.json", "provenance.json"}
    content = json.loads((store / "manifest.json").read_bytes())
    content["schema_version"] = 3
    from three_hundred_maps.store.manifest import write_manifest

    write_manifest(store, content)
    with pytest.raises(InputError, match="schema version 3, this package reads 2: update three_hundred_maps"):
        read_manifest(store)
