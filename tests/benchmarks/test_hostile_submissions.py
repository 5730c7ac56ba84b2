"""Submissions meant to do harm: nothing runs, nothing is overwritten, memory is bounded, and why is said."""

from __future__ import annotations

import copy
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr

from benchmarks import predictions
from benchmarks.leaderboard import render
from benchmarks.leaderboard.boards import slug_of
from benchmarks.manifest import MAX_MANIFEST_BYTES
from benchmarks.predictions import MAX_CHUNK_BYTES, Predictions
from benchmarks.scoring import score_submission
from benchmarks.texts import shown, text_problem
from benchmarks.truth import Truth
from benchmarks.validation import find_problems
from tests.helpers import restated
from three_hundred_maps.errors import InputError

LARGE = f"at most {MAX_CHUNK_BYTES:,}"


def told(folder: Path, store: Path | None = None) -> str:
    """All problems of a submission, which must have some."""
    problems, _, _ = find_problems(folder, None if store is None else Truth(store))
    assert problems
    text = "; ".join(problems)
    assert text.isprintable(), "untrusted text reaches the terminal as it is"
    return text


def edit(folder: Path, name: str, **fields: object) -> Path:
    path = folder / "predictions.zarr" / name / "zarr.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return restated(folder)


def grid(*chunks: int) -> dict:
    return {"name": "regular", "configuration": {"chunk_shape": chunks}}


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
    edit(folder, "mass", codecs=[{"name": "bytes"}, {"name": codec}])
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
        edit(folder, "mass", codecs=[{"name": "bytes"}, {"name": codec}])
        for halo in range(12):
            chunk_file(folder, halo).write_bytes(encoders[codec].encode(bytes(size)))
        assert "cannot be decoded" in told(folder, store)


CODECS = (
    {"name": "numcodecs.pickle", "configuration": {}},
    {"name": "vlen-utf8"},
    {"name": "numcodecs.json2", "configuration": {}},
    {"name": "os.system", "configuration": {"id": "rm"}},
    {"name": "sharding_indexed", "configuration": {}},
    {"name": ["bytes"]},
    "zstd",
)
TYPES = ("object", "variable_length_bytes", "string", "|O", {"name": "struct"}, None)
SIZES = (
    ("mass", {"chunk_grid": grid(1, 29, 100_000, 100_000)}, "larger than the array's shape"),
    ("mass", {"chunk_grid": grid(13, 2, 80, 80)}, "larger than the array's shape"),
    ("halo_id", {"chunk_grid": grid(10**6)}, "larger than the array's shape"),
    ("mass", {"shape": [12, 29, 10**5, 10**5], "chunk_grid": grid(1, 29, 10**5, 10**5)}, LARGE),
    ("mass", {"shape": [10**6] * 4}, LARGE),
    ("mass", {"shape": [12, 2, 10**6, 10**6]}, LARGE),
    ("mass", {"shape": [900_000, 2, 80, 80]}, "900,000 chunks; at most"),
    ("mass", {"shape": [900_000, 2, 80, 80], "chunk_grid": grid(300, 2, 80, 80)}, "decoded bytes"),
    ("halo_id", {"shape": [900_000], "chunk_grid": grid(1)}, "900,000 chunks; at most"),
    ("halo_id", {"shape": [10**12]}, "shape"),
    ("halo_id", {"shape": [0]}, "'shape.0' input should be greater"),
)
SHAPES = ([-1, 2, 80, 80], [1e9, 2, 80, 80], "12", [True, 2, 80, 80], [10**30, 2, 80, 80])
LAYOUTS = (
    {"zarr_format": 2},
    {"node_type": "group"},
    {"chunk_grid": {"name": "rectilinear"}},
    {"chunk_key_encoding": {"name": "../../"}},
    {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../"}}},
    {"storage_transformers": [{"name": "x"}]},
    {"dimension_names": ["x", "y", "los", "halo"]},
    {"codecs": [{"name": "bytes"}, {"name": "zstd"}, {"name": "gzip"}]},
    {"codecs": [{"name": "bytes", "configuration": {"endian": "middle"}}]},
    {"codecs": []},
)


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        *(("mass", {"codecs": [codec]}, "codec") for codec in CODECS),
        *((name, {"data_type": kind}, "data type") for kind in TYPES for name in ("mass", "halo_id")),
        *SIZES,
        *(("mass", {"shape": shape}, "shape") for shape in SHAPES),
        *(("mass", fields, "predictions.zarr/mass") for fields in LAYOUTS),
    ],
)
def test_metadata_that_are_not_accepted(
    submit: Callable[..., Path], name: str, fields: dict, words: str
) -> None:
    """Before memory is taken, and with no store to compare with: by the metadata alone."""
    folder = edit(submit(), name, **fields)
    start = time.process_time()
    assert words in told(folder)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("budget", ["MAX_SECONDS", "MAX_DECODED_BYTES"])
def test_reading_has_a_budget(
    submit: Callable[..., Path], store: Path, monkeypatch: pytest.MonkeyPatch, budget: str
) -> None:
    folder = submit()
    decoded = 12 * (2 * 80 * 80 * 4 + 4 * 8)
    if budget == "MAX_SECONDS":
        monkeypatch.setattr(predictions, budget, 0.0)
        with pytest.raises(InputError, match="more than 0 s"):
            Predictions(folder)
        return
    monkeypatch.setattr(predictions, budget, decoded)
    found = Predictions(folder)
    found.read("mass", np.arange(12))
    with pytest.raises(InputError, match=f"{decoded:,} decoded bytes; write one halo a chunk") as caught:
        found.read("mass", np.arange(1))
    # Through zarr it would leave tasks behind, of which asyncio complains on the terminal.
    assert not any("zarr" in Path(entry.path).parts for entry in caught.traceback)
    monkeypatch.setattr(predictions, budget, decoded - 1)
    with pytest.raises(InputError, match="decoded bytes"):
        Predictions(folder)


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
    for number in range(240):
        with open(folder / "predictions.zarr" / f"x{number}", "wb") as stream:
            stream.truncate(MAX_CHUNK_BYTES + 2**20 * 12)
    chunk_file(folder).unlink()
    assert "its files have 35," in told(folder)


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
    for field, value in (("data", "not base64 <script>"), ("shape", [10**6, 10**6])):
        changed = copy.deepcopy(result)
        changed["cases"]["best"]["truth"][field] = value
        with pytest.raises(InputError, match=f"cases.best.truth.*{'base64' if field == 'data' else field}"):
            render([changed], tmp_path / "site")
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


def test_what_is_no_submission(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        Predictions(tmp_path)
    with pytest.raises(InputError, match="no submission"):
        find_problems(tmp_path / "nothing")


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
        ("\u3000", "must not be empty"),
        ("\ue000", "private use"),
        ("\u0301\u0301", "nothing that can be seen"),
    ],
)
def test_texts_that_are_more_than_they_look(submit: Callable[..., Path], text: str, word: str) -> None:
    assert word in told(restated(submit(), name=text))
    assert word in told(restated(submit("b"), authors=["A", text]))


def test_a_manifest_of_a_million_mistakes_is_told_in_a_line(submit: Callable[..., Path]) -> None:
    message = told(restated(submit(), views=[1] * 100_000))
    assert "100,000 fields are missing, unknown or of another type" in message and len(message) < 200


def test_names_of_all_scripts_are_welcome() -> None:
    for name in ("Zoë O’Neill", "山田太郎", "می‌خواهم", "नाम", "U-Net 👩‍🔬", "مريم"):
        assert text_problem(name) is None, name
    assert text_problem("two\nlines", lines=True) is None
    assert shown("a\x1b[2Jb\n\ud800", 20) == "a\\x1b[2Jb\\n\\ud800" and shown("x" * 9, 4) == "xxxx…"


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
    folder = edit(submit(), "region", data_type="uint64")
    zarr.open_group(folder / "predictions.zarr", mode="a")["region"][:] = np.full(12, 2**64 - 1, np.uint64)
    assert "18446744073709551615, which is not a key" in told(folder)


@pytest.mark.parametrize("value", [0, 1e8, "NaN", 10**400, [1], {"x": 1}, True, None])
def test_nothing_is_filled_in(submit: Callable[..., Path], store: Path, value: object) -> None:
    """A missing chunk costs nothing to send: it is an error, whatever the array's fill value says."""
    folder = edit(submit(), "mass", fill_value=value)
    assert not find_problems(folder, Truth(store))[0]
    chunk_file(folder, 3).unlink()
    assert "mass/c/3/0/0/0: is missing" in told(folder, store)
    edit(folder, "region", fill_value=value)
    (folder / "predictions.zarr" / "region" / "c" / "0").unlink()
    assert "region/c/0: is missing" in told(folder)


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
