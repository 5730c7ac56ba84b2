"""Texts that are more than they look, fill values, chunks without files, and archives made by hand."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.packing import opened
from benchmarks.scoring import score_submission
from benchmarks.texts import shown, text_problem
from benchmarks.truth import Truth
from benchmarks.validation import find_problems
from three_hundred_maps.errors import InputError


def told(folder: Path, store: Path | None = None) -> str:
    problems, _, _ = find_problems(folder, None if store is None else Truth(store))
    assert problems
    text = "; ".join(problems)
    assert text.isprintable(), "what a stranger wrote reaches the terminal as it is"
    return text


def change(folder: Path, **fields: object) -> Path:
    path = folder / "submission.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **fields}))
    return folder


def edit(folder: Path, name: str, **fields: object) -> Path:
    path = folder / "predictions.zarr" / name / "zarr.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return change(folder, predictions_sha256=None)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("\ud800", "surrogate"),
        ("abc\u202egnp.exe", "direction of writing (U+202E)"),
        ("\u200b\u200b", "U+200B"),
        ("\u200d\u200c", "nothing that can be seen"),
        ("\x9b31m red", "control characters (U+009B)"),
        ("\x7f", "U+007F"),
        ("one\nerror: two", "U+000A"),
        ("a\u2028b", "separators of lines"),
        ("\u3000", "must be a text of 1 to"),
        ("\ue000", "private use"),
        ("\u0301\u0301", "nothing that can be seen"),
    ],
)
def test_texts_that_are_more_than_they_look(submit: Callable[..., Path], text: str, word: str) -> None:
    assert word in told(change(submit(), name=text)) and word in told(
        change(submit("b"), authors=["A", text])
    )


def test_names_of_all_scripts_are_welcome() -> None:
    for name in ("Zoë O’Neill", "山田太郎", "می‌خواهم", "नाम", "U-Net 👩‍🔬", "مريم"):
        assert text_problem(name, 80) is None, name
    assert text_problem("two\nlines", 80, lines=True) is None
    assert shown("a\x1b[2Jb\n\ud800", 20) == "a\\x1b[2Jb\\n\\ud800" and shown("x" * 9, 4) == "xxxx…"


def test_a_day_is_a_day(submit: Callable[..., Path]) -> None:
    assert "must be a day" in told(change(submit(), date="2026-02-30"))


def test_file_names_cannot_write_to_the_terminal(submit: Callable[..., Path]) -> None:
    folder = submit()
    (folder / "evil\x1b[31m\nerror: all is well").symlink_to("/")
    os.symlink("/etc/passwd", os.fsencode(folder) + b"/\xff\xfe")
    assert told(folder).count("is a link") == 2


def test_folders_nested_beyond_what_a_path_holds(submit: Callable[..., Path]) -> None:
    folder = submit()
    here = os.open(folder / "predictions.zarr", os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert "nested too deep" in told(folder)


def test_a_key_beyond_int64_is_no_key(submit: Callable[..., Path]) -> None:
    folder = edit(submit(), "region", data_type="uint64", fill_value=2**64 - 1)
    (folder / "predictions.zarr" / "region" / "c" / "0").unlink()
    assert "18446744073709551615, which is no key" in told(folder)


def test_halos_that_are_not_asked_for_are_not_looked_at(submit: Callable[..., Path], store: Path) -> None:
    """A million halos of missing chunks are a few bytes to send: told by their keys, not by their pixels."""
    folder = submit()
    for name in ("region", "snapshot", "halo_id"):
        edit(folder, name, shape=[10**6])
        path = folder / "predictions.zarr" / name / "zarr.json"
        content = json.loads(path.read_text())
        content["chunk_grid"]["configuration"]["chunk_shape"] = [10**6]
        path.write_text(json.dumps(content))
        (folder / "predictions.zarr" / name / "c" / "0").unlink()
    grid = {"name": "regular", "configuration": {"chunk_shape": [10, 2, 80, 80]}}
    edit(folder, "mass", shape=[10**6, 2, 80, 80], chunk_grid=grid, fill_value=1e8)
    start = time.process_time()
    assert "12 of 12 test halos missing" in told(folder, store)
    assert time.process_time() - start < 20, "the pixels alone take minutes"


def test_a_blosc_frame_cannot_lie_of_its_own_size(submit: Callable[..., Path], store: Path) -> None:
    """The decoder reads as far as the header says: in a process of its own, as it may die of it."""
    folder = submit()
    path = folder / "predictions.zarr" / "mass" / "c" / "0" / "0" / "0" / "0"
    frame = path.read_bytes()
    code = (
        "import sys\nfrom benchmarks.validation import find_problems\n"
        "print(*find_problems(sys.argv[1])[0], sep='\\n')"
    )
    for size in (0, 15, len(frame) - 1, len(frame) + 1, 2**31 - 1):
        path.write_bytes(frame[:12] + struct.pack("<I", size) + b"\xff" * (len(frame) - 16))
        done = subprocess.run(
            [sys.executable, "-c", code, folder], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"size {size}: status {done.returncode}"
        assert "cut short or longer than it says" in done.stdout


def extended(body: bytes, kind: bytes = b"x", claim: int | None = None) -> bytes:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, len(body) if claim is None else claim
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


def member(name: str = "submission.json", data: bytes = b"{}") -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


END = bytes(1024)


@pytest.mark.parametrize(
    "record",
    [
        b"20 path=../../evil\n",
        b"20 size=-1000000000\n",
        b"23 GNU.sparse.map=1,x,\n",
        b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n",
        b"21 hdrcharset=BINARY\n",
        b"24 linkpath=/etc/passwd\n",
    ],
)
def test_extended_headers_rename_nothing(tmp_path: Path, record: bytes) -> None:
    path = tmp_path / "a.tar"
    for kind in (b"x", b"g"):
        path.write_bytes(extended(record, kind) + member() + END)
        with pytest.raises(InputError, match="renames or reshapes"), opened(path):
            pass


def test_times_and_owners_of_other_programs_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    for record in (b"30 mtime=1700000000.123456789\n", b"99999999999999999999 a=b\n", b"12 abc"):
        path.write_bytes(extended(record) + member("./submission.json") + END)
        with opened(path) as folder:
            assert [p.name for p in folder.iterdir()] == ["submission.json"]


@pytest.mark.parametrize(
    ("kind", "word"), [(b"x", "extended header of"), (b"L", "names longer"), (b"K", "names")]
)
def test_headers_of_gigabytes_are_not_read(tmp_path: Path, kind: bytes, word: str) -> None:
    path = tmp_path / "a.tar"
    with open(path, "wb") as stream:
        stream.write(extended(b"", kind, claim=2**31))
        stream.truncate(2**31 + 512)
        stream.seek(2**31 + 512)
        stream.write(member() + END)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=word), opened(path):
        pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    good = member(data=b"x" * 600)
    for content, word in (
        (good[:700], "cut short"),
        (good[:300], "cut short"),
        (good[:124] + b"\xff" * 12 + good[136:], "checksum"),
        (member("predictions.zarr/a\nb"), "does not belong"),
        (member("predictions.zarr/" + "a/" * 20 + "b"), "does not belong"),
        (member("submission.json/x") + member(), "collide"),
    ):
        path.write_bytes(content + (END if word != "cut short" else b""))
        with pytest.raises(InputError, match=word), opened(path):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def raw_header(name: str, size: int, kind: bytes = b"0") -> bytes:
    """A ustar header with a right checksum, whatever it claims."""
    header = bytearray(512)
    header[: len(name)] = name.encode()
    header[124:136] = b"%011o\0" % size
    header[156:157], header[257:263] = kind, b"ustar\0"
    header[148:156] = b"%06o\0 " % (sum(header) + 8 * 32)
    return bytes(header)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (raw_header("submission.json", 8 * 2**30), "cut short"),
        (raw_header("submission.json", 10) + b"{}", "cut short"),
        (raw_header("submission.json", 0)[:500], "cut short"),
        (raw_header("././@PaxHeader", 2**20, b"x") + bytes(2**20), "an extended header of 1,048,576 bytes"),
        (raw_header("././@LongLink", 512, b"L") + b"submission.json".ljust(512, b"\0"), "names longer"),
        (raw_header("submission.json", 0, b"S"), "plain files only"),
        (raw_header("predictions.zarr/a\x1b[31mb", 0), "does not belong"),
        (raw_header("/".join(["predictions.zarr", *"abcdefghijkl"]), 0), "does not belong"),
    ],
)
def test_archives_that_claim_more_than_they_hold(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught, opened(path):
        pass
    assert str(caught.value).isprintable()
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_archives_of_other_programs_are_read(
    submit: Callable[..., Path], store: Path, tmp_path: Path
) -> None:
    """GNU tar's and Python's ways of writing names, times and folders."""
    folder = submit()
    expected = score_submission(folder, store)["scores"]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"{form}.tar"
        with tarfile.open(path, "w", format=form) as archive:
            archive.add(folder, arcname=".")
        with opened(path) as unpacked:
            assert score_submission(unpacked, store)["scores"] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(b'"task"', b'"track": "sz", "task"'), "stands twice"),
        (lambda text: text.replace(b'"task"', b'"code\\ud800": 1, "task"'), "not valid JSON"),
        (lambda text: text[:-5], "not valid JSON"),
        (lambda text: text.replace(b"{", b'{"date": "2026-02-31", ', 1), "a day like"),
    ],
)
def test_manifests_that_say_two_things(
    submit: Callable[..., Path], change: Callable[[bytes], bytes], message: str
) -> None:
    folder = submit()
    path = folder / "submission.json"
    path.write_bytes(change(path.read_bytes()))
    assert message in told(folder)


def test_a_byte_order_mark_is_no_fault(submit: Callable[..., Path]) -> None:
    path = submit() / "submission.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert find_problems(path.parent, None)[0] == []


def test_chunks_that_need_no_file_are_counted(submit: Callable[..., Path], store: Path) -> None:
    folder = submit()
    edit(folder, "mass", shape=[900_000, 2, 80, 80])
    assert "chunks; at most" in told(folder)
    folder = submit("key")
    grid = {"name": "regular", "configuration": {"chunk_shape": [1]}}
    edit(folder, "halo_id", shape=[900_000], chunk_grid=grid)
    assert "900,000 chunks" in told(folder, store)


@pytest.mark.parametrize("value", [10**400, [1], {"x": 1}, True, None])
def test_fill_values_are_of_the_array(submit: Callable[..., Path], store: Path, value: object) -> None:
    folder = submit()
    edit(folder, "mass", fill_value=value)
    assert "fill value" in told(folder, store)
