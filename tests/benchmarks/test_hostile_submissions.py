"""Submissions meant to do harm: nothing runs, nothing is overwritten, memory is bounded, and why is said."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numcodecs
import pytest

from benchmarks.array_metadata import MAX_CHUNK_BYTES
from benchmarks.leaderboard import render
from benchmarks.leaderboard.boards import slug_of
from benchmarks.manifest import MAX_MANIFEST_BYTES
from benchmarks.packing import opened, pack
from benchmarks.predictions import Predictions
from benchmarks.scoring import score_submission
from benchmarks.truth import Truth
from benchmarks.validation import find_problems
from three_hundred_maps.errors import InputError


def told(folder: Path, store: Path | None = None) -> str:
    """All problems of a submission, which must have some."""
    problems, _, _ = find_problems(folder, None if store is None else Truth(store))
    assert problems
    return "; ".join(problems)


def edit(folder: Path, name: str, change: Callable[[dict], None]) -> None:
    path = folder / "predictions.zarr" / name / "zarr.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def chunk_file(folder: Path, halo: int = 0) -> Path:
    return folder / "predictions.zarr" / "mass" / "c" / str(halo) / "0" / "0" / "0"


@pytest.mark.parametrize("place", ["mass", "mass/c/0/0/0/0", "zarr.json"])
def test_links_are_refused(submit: Callable[..., Path], store: Path, tmp_path: Path, place: str) -> None:
    folder = submit()
    path = folder / "predictions.zarr" / place
    target = tmp_path / "secret"
    os.rename(path, target)
    path.symlink_to(target)
    assert "is a link" in told(folder, store)
    with pytest.raises(InputError, match="is a link"):
        score_submission(folder, store)


def test_a_linked_manifest_and_a_pipe_are_refused(submit: Callable[..., Path], tmp_path: Path) -> None:
    folder = submit()
    os.rename(folder / "submission.json", tmp_path / "x")
    (folder / "submission.json").symlink_to("/etc/passwd")
    message = told(folder)
    assert "is a link" in message and "root:" not in message
    folder = submit("pipe")
    chunk_file(folder).unlink()
    os.mkfifo(chunk_file(folder))
    assert "neither a file nor a folder" in told(folder)


@pytest.mark.parametrize(
    "codec",
    [
        {"name": "numcodecs.pickle", "configuration": {}},
        {"name": "vlen-utf8"},
        {"name": "numcodecs.json2", "configuration": {}},
        {"name": "os.system", "configuration": {"id": "rm"}},
        {"name": "sharding_indexed", "configuration": {}},
        {"name": ["bytes"]},
        "zstd",
    ],
)
def test_codecs_are_an_allow_list(submit: Callable[..., Path], store: Path, codec: object) -> None:
    folder = submit()
    edit(folder, "mass", lambda c: c.update(codecs=[codec]))
    assert "codec" in told(folder, store)


@pytest.mark.parametrize(
    "kind", ["object", "variable_length_bytes", "string", "|O", {"name": "struct"}, None]
)
def test_types_are_an_allow_list(submit: Callable[..., Path], store: Path, kind: object) -> None:
    folder = submit()
    edit(folder, "mass", lambda c: c.update(data_type=kind))
    assert "data type" in told(folder, store)
    folder = submit("key")
    edit(folder, "halo_id", lambda c: c.update(data_type=kind))
    assert "data type" in told(folder, store)


def test_a_pickle_is_never_opened(submit: Callable[..., Path], store: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch {tmp_path / 'harmed'}",)

    folder = submit()
    chunk_file(folder).write_bytes(pickle.dumps(Harm()))
    assert "cannot be decoded" in told(folder, store)
    (folder / "predictions.zarr" / ".zarray").write_bytes(pickle.dumps(Harm()))
    (folder / "submission.json").write_bytes(pickle.dumps(Harm()))
    assert "not valid JSON" in told(folder, store)
    assert not (tmp_path / "harmed").exists()


BOMB_BYTES = 100 * 2**20


def gzip_bomb() -> bytes:
    engine = zlib.compressobj(9, wbits=31)
    block = bytes(2**20)
    return b"".join(engine.compress(block) for _ in range(BOMB_BYTES // 2**20)) + engine.flush()


def zstd_bomb() -> bytes:
    # One frame that says it holds a terabyte, with a block of repeated zeros behind it.
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**40) + b"\x02\x00\x10\x00" * 1000


def blosc_bomb() -> bytes:
    data = bytearray(numcodecs.Blosc("zstd").encode(bytes(2**16)))
    data[4:8] = struct.pack("<I", 2**31 - 1)
    return bytes(data)


BOMBS = {"gzip": gzip_bomb, "zstd": zstd_bomb, "blosc": blosc_bomb}


@pytest.mark.parametrize("codec", BOMBS)
def test_bombs_do_not_go_off(submit: Callable[..., Path], store: Path, codec: str) -> None:
    folder = submit()
    edit(folder, "mass", lambda c: c.update(codecs=[{"name": "bytes"}, {"name": codec}]))
    for halo in range(12):
        chunk_file(folder, halo).write_bytes(BOMBS[codec]() if halo == 0 else b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "cannot be decoded" in told(folder, store)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 60_000, f"{grown} kB more than before"


@pytest.mark.parametrize("codec", ["zstd", "blosc", "gzip"])
def test_a_chunk_that_decodes_to_less_or_more_is_refused(
    submit: Callable[..., Path], store: Path, codec: str
) -> None:
    encoders = {"zstd": numcodecs.Zstd(), "blosc": numcodecs.Blosc(), "gzip": numcodecs.GZip()}
    for size in (100, 2 * 80 * 80 * 4 - 4, 2 * 80 * 80 * 4 + 4, 10**6):
        folder = submit(f"s{size}")
        edit(folder, "mass", lambda c: c.update(codecs=[{"name": "bytes"}, {"name": codec}]))
        for halo in range(12):
            chunk_file(folder, halo).write_bytes(encoders[codec].encode(bytes(size)))
        assert "cannot be decoded" in told(folder, store)


def test_huge_claims_of_size_are_refused_before_memory_is_taken(
    submit: Callable[..., Path], store: Path
) -> None:
    folder = submit("chunk")
    edit(
        folder,
        "mass",
        lambda c: c["chunk_grid"]["configuration"].update(chunk_shape=[1, 29, 100_000, 100_000]),
    )
    assert f"at most {MAX_CHUNK_BYTES:,}" in told(folder, store)
    folder = submit("shape")
    edit(folder, "mass", lambda c: c.update(shape=[10**6, 10**6, 10**6, 10**6]))
    assert "expected (halo, los, y, x)" in told(folder, store)
    for shape in ([-1, 2, 80, 80], [1e9, 2, 80, 80], "12", [True, 2, 80, 80], [10**30, 2, 80, 80]):
        folder = submit(f"n{abs(hash(str(shape)))}")
        edit(folder, "mass", lambda c, shape=shape: c.update(shape=shape))
        assert "shape" in told(folder, store)
    folder = submit("keys")
    edit(folder, "halo_id", lambda c: c.update(shape=[10**12]))
    assert "shape" in told(folder, store)


def test_a_hundred_megabytes_of_metadata_are_not_read(submit: Callable[..., Path], store: Path) -> None:
    folder = submit()
    with open(folder / "predictions.zarr" / "mass" / "zarr.json", "wb") as stream:
        stream.truncate(100_000_000)
    with open(folder / "submission.json", "wb") as stream:
        stream.truncate(100_000_000)
    message = told(folder, store)
    assert message.count("100,000,000 bytes") == 2 and f"{MAX_MANIFEST_BYTES:,}" in message
    deep = submit("deep")
    (deep / "submission.json").write_text("[" * 200_000)
    assert "not valid JSON" in told(deep, store)


def test_a_chunk_file_larger_than_its_content_can_be_is_not_read(
    submit: Callable[..., Path], store: Path
) -> None:
    folder = submit()
    with open(chunk_file(folder), "wb") as stream:
        stream.truncate(10**10)
    message = told(folder)
    assert "10,000,000,000 bytes" in message


def tar(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, data in entries:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/tmp/evil-of-a-submission",
        "predictions.zarr/../../evil",
        "run.py",
        "predictions.zarr\\..\\evil",
    ],
)
def test_archives_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    path = tar(tmp_path / "a.tar", [(entry(name), b"x")])
    with pytest.raises(InputError, match="does not belong"), opened(path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]
    assert not Path("/tmp/evil-of-a-submission").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_archives_hold_plain_files_alone(tmp_path: Path, kind: bytes) -> None:
    path = tar(tmp_path / "a.tar", [(entry("submission.json", kind, "/etc/passwd"), b"")])
    with pytest.raises(InputError, match="plain files only"), opened(path):
        pass


def test_archives_cannot_name_a_file_twice_or_be_compressed(tmp_path: Path) -> None:
    twice = tar(tmp_path / "a.tar", [(entry("submission.json"), b"{}"), (entry("submission.json"), b"{}")])
    with pytest.raises(InputError, match="twice"), opened(twice):
        pass
    nested = [(entry("predictions.zarr"), b""), (entry("predictions.zarr/x"), b"")]
    with pytest.raises(InputError, match="collide"), opened(tar(tmp_path / "b.tar", nested)):
        pass
    with tarfile.open(tmp_path / "c.tar", "w:gz") as archive:
        archive.addfile(entry("submission.json"), io.BytesIO(b""))
    with pytest.raises(InputError, match="not an archive"), opened(tmp_path / "c.tar"):
        pass
    (tmp_path / "d.tar").write_bytes(os.urandom(3000))
    with pytest.raises(InputError, match="not an archive"), opened(tmp_path / "d.tar"):
        pass


def test_an_honest_archive_is_scored(submit: Callable[..., Path], store: Path) -> None:
    folder = submit()
    with opened(pack(folder)) as unpacked:
        there = score_submission(unpacked, store)
        assert unpacked != folder
    assert there["scores"] == score_submission(folder, store)["scores"]
    assert not unpacked.exists()


SCRIPT = "<script>document.title='harm'</script><img src=x onerror=alert(1)>{{ 7*7 }}\" onload=\"x"


def test_script_in_every_text_field_is_shown_and_not_run(
    submit: Callable[..., Path], store: Path, tmp_path: Path
) -> None:
    texts = ("description", "license", "trained_on", "training_data", "framework")
    folder = submit(
        name=SCRIPT[:78], authors=[SCRIPT, "</table></script>"],
        code="https://x.org/" + SCRIPT.replace(" ", ""),
        **dict.fromkeys(texts, SCRIPT),
    )  # fmt: skip
    result = score_submission(folder, store)
    result["flags"] = [SCRIPT]
    result["cases"]["best"]["truth"]["data"] = "not base64 <script>"
    result["cases"]["worst"]["truth"]["shape"] = [10**6, 10**6]
    index = render([result], tmp_path / "site")
    pages = list(index.parent.rglob("*.html"))
    assert len(pages) == 3
    for page in pages:
        text = page.read_text()
        for harm in ("<script>document", "<img src=x", "</table></script>", '" onload="x'):
            assert harm not in text, (page.name, harm)
        assert "{{ 7*7 }}" in text or "\\u007b" in text or page.name == "compare.html"
        assert text.count("<script") == {"index.html": 1, "compare.html": 2}.get(page.name, 0)


def test_names_that_collide_keep_their_pages(
    submit: Callable[..., Path], store: Path, tmp_path: Path
) -> None:
    base = score_submission(submit(name="../../index"), store)
    other = {**base, "authors": ["someone else"]}
    names = {slug_of(r) for r in (base, other)}
    assert len(names) == 2 and all(set(n) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for n in names)
    index = render([base, other, base], tmp_path / "site")
    assert len(list((index.parent / "submissions").iterdir())) == 2
    assert index.read_text().count('<tr><td class="pick"><input') == 2


def test_a_site_replaces_nothing_else(submit: Callable[..., Path], store: Path, tmp_path: Path) -> None:
    result = score_submission(submit(), store)
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds other things"):
        render([result], home)
    assert (home / "thesis.tex").read_text() == "x"


def test_predictions_for_another_dataset_are_refused(submit: Callable[..., Path], store: Path) -> None:
    with pytest.raises(InputError, match="predictions for the dataset of digest 0123456789abcdef"):
        score_submission(submit(dataset_digest="0123456789abcdef" * 4), store)


def test_scoring_strangers_data_stays_in_bounds(submit: Callable[..., Path], store: Path) -> None:
    """A whole process that scores under a hard limit of memory and may not start another one."""
    folder = submit()
    code = (
        "import sys\n"
        "from benchmarks.scoring import score_submission\n"
        "refused = ('subprocess.Popen', 'os.system', 'os.exec', 'pickle.find_class', 'socket.connect')\n"
        "sys.addaudithook(lambda name, args: sys.exit('ran ' + name) if name in refused else None)\n"
        "score_submission(sys.argv[1], sys.argv[2], workers=1)\n"
        # Not getrusage: its maximum begins with that of the process that forked this one.
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(store)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) < 600_000


def test_other_broken_layouts_are_told(submit: Callable[..., Path], store: Path, tmp_path: Path) -> None:
    changes = {
        "format": lambda c: c.update(zarr_format=2),
        "node": lambda c: c.update(node_type="group"),
        "grid": lambda c: c.update(chunk_grid={"name": "rectilinear"}),
        "keys": lambda c: c.update(chunk_key_encoding={"name": "../../"}),
        "separator": lambda c: c["chunk_key_encoding"]["configuration"].update(separator="/../"),
        "transformers": lambda c: c.update(storage_transformers=[{"name": "x"}]),
        "dims": lambda c: c.update(dimension_names=["x", "y", "los", "halo"]),
        "two": lambda c: c.update(codecs=[{"name": "bytes"}, {"name": "zstd"}, {"name": "gzip"}]),
        "endian": lambda c: c.update(codecs=[{"name": "bytes", "configuration": {"endian": "middle"}}]),
        "none": lambda c: c.update(codecs=[]),
    }
    for name, change in changes.items():
        folder = submit(name)
        edit(folder, "mass", change)
        assert "predictions.zarr/mass" in told(folder, store), name
    with pytest.raises(InputError, match="missing"):
        Predictions(tmp_path)
    with pytest.raises(InputError, match="no submission"):
        find_problems(tmp_path / "nothing")
