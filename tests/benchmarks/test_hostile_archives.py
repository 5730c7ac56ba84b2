"""Submissions as one file: .tar, .zip and .npz are read, and hold nothing but plain files within limits."""

from __future__ import annotations

import io
import json
import os
import resource
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import packing
from benchmarks.manifest import MAX_MANIFEST_BYTES
from benchmarks.packing import opened, pack
from benchmarks.predictions import MAX_FILES, Predictions
from benchmarks.validation import validate
from three_hundred_maps.errors import InputError
from three_hundred_maps.store.arrays import SplitArrays


def refused(path: Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught, opened(path):
        pass
    assert str(caught.value).isprintable()


def tar(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, data in entries:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/tmp/evil-of-a-submission",
        "predictions.zarr/../../evil",
        "run.py",
        "submission/run.py",
        "submission/submission/submission.json",
        "submission/../../evil",
        "predictions.zarr\\..\\evil",
        "predictions.zarr/a\nb",
        "predictions.zarr/a\x1b[31mb",
        "predictions.zarr/" + "a/" * 20 + "b",
    ],
)
def test_archives_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    refused(tar(tmp_path / "a", (entry(name), b"x")), "does not belong")
    refused(zipped(tmp_path / "b", (name, b"x")), "does not belong")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    assert not Path("/tmp/evil-of-a-submission").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_archives_hold_plain_files_alone(tmp_path: Path, kind: bytes) -> None:
    refused(tar(tmp_path / "a", (entry("submission.json", kind, "/etc/passwd"), b"")), "plain files only")


def test_a_submission_may_be_packed_with_its_folder(tmp_path: Path) -> None:
    files = [(f"mine/{name}", b"{}") for name in ("submission.json", "predictions.zarr/zarr.json")]
    folder = [(entry("mine", tarfile.DIRTYPE), b""), *((entry(name), data) for name, data in files)]
    for path in (tar(tmp_path / "a", *folder), zipped(tmp_path / "b", *files)):
        with opened(path) as found:
            assert sorted(p.name for p in found.iterdir()) == ["predictions.zarr", "submission.json"]
    mixed = ("submission.json", b"{}")
    refused(zipped(tmp_path / "c", files[0], mixed), "does not belong")
    refused(zipped(tmp_path / "d", mixed, files[0]), "does not belong")


def test_names_that_collide(tmp_path: Path) -> None:
    refused(tar(tmp_path / "a", *[(entry("submission.json"), b"{}")] * 2), "twice")
    nested = ("predictions.zarr", "predictions.zarr/x")
    refused(tar(tmp_path / "b", *((entry(name), b"") for name in nested)), "collide")
    refused(zipped(tmp_path / "c", *((name, b"") for name in nested)), "collide")


def test_what_is_no_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w:gz") as archive:
        archive.addfile(entry("submission.json"), io.BytesIO(b""))
    (tmp_path / "b").write_bytes(os.urandom(3000))
    (tmp_path / "c").write_bytes(b"")
    (tmp_path / "d").write_bytes(b"PK\3\4" + os.urandom(3000))
    for name in "abcd":
        refused(tmp_path / name, "not an archive.*give the submission as a folder")
    refused(tar(tmp_path / "e"), "e holds no submission.json and no predictions.zarr")
    refused(zipped(tmp_path / "f", ("mine/submission.json", b"{}")), "f holds no predictions.zarr")


def member(name: str = "submission.json", data: bytes = b"{}", kind: bytes = b"0", claim: int = -1) -> bytes:
    """A header that may claim any size, and its content."""
    info = entry(name, kind)
    info.size = len(data) if claim < 0 else claim
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


END = bytes(1024)


@pytest.mark.parametrize(
    "content",
    [
        member(data=b"x" * 600)[:700],
        member()[:300],
        member(claim=2**32 - 1),
        member(kind=b"x", data=bytes(2**21)) + member(),
        member("././@LongLink", kind=b"L", data=b"../evil".ljust(512, b"\0")) + member(),
        member()[:124] + b"\xff" * 12 + member()[136:] + END,
        member() + member("predictions.zarr/x")[:140] + b"\xff" * 20 + member()[160:] + END,
        member(kind=b"x", data=b"20 path=../../evil\n") + member() + END,
        member(kind=b"x", data=b"20 size=-1000000000\n") + member() + END,
        member(kind=b"x", data=b"23 GNU.sparse.map=1,x,\n") + member() + END,
        member(kind=b"x", data=b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n") + member() + END,
        member(kind=b"x", data=b"99999999999999999999 a=b\n") + member() + END,
        member(kind=b"x", data=b"12 abc") * 3000 + member() + END,
    ],
)
def test_damaged_and_lying_headers(tmp_path: Path, content: bytes) -> None:
    """Refused in one line, soon, and nothing is written beside the archive."""
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    refused(path, "not an archive made by pack|does not belong|plain files only")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("record", [b"30 mtime=1700000000.123456789\n", b"24 linkpath=/etc/passwd\n"])
def test_other_headers_change_nothing(tmp_path: Path, record: bytes) -> None:
    path = tmp_path / "a.tar"
    files = member("./submission.json") + member("predictions.zarr/zarr.json")
    path.write_bytes(member(kind=b"x", data=record) + files + END)
    with opened(path) as folder:
        assert sorted(p.name for p in folder.iterdir()) == ["predictions.zarr", "submission.json"]
        assert not any(p.is_symlink() for p in folder.rglob("*"))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_headers_of_gigabytes_are_not_read(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    with open(path, "wb") as stream:
        stream.write(member("header", b"", kind, claim=2**31))
        stream.truncate(2**31 + 512)
        stream.seek(2**31 + 512)
        stream.write(member() + END)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "claims more bytes")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_too_many_files_are_told_by_their_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty files are cheap to send and slow to write: they are counted first, and no further than needed."""
    limit = MAX_FILES // 10
    monkeypatch.setattr(packing, "MAX_FILES", limit)
    path = tmp_path / "a.tar"
    path.write_bytes(b"".join(member(f"predictions.zarr/{i:06d}", b"") for i in range(limit + 10)))
    start = time.process_time()
    refused(path, f"more than {limit:,} files")
    assert time.process_time() - start < 1.5
    names = [(f"predictions.zarr/{i}", b"") for i in range(limit + 1)]
    refused(zipped(tmp_path / "b.zip", *names), f"more than {limit:,} files")
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)  # from where on a list is of the larger form
    refused(zipped(tmp_path / "c.zip", *names[:2]), f"more than {limit:,} files or 4 GB")


def test_zip_bombs_and_encrypted_files(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a", ("predictions.zarr/x", bytes(10**8))), "unpacks to 100,000,000 bytes")
    with zipfile.ZipFile(tmp_path / "b", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("submission.json", b"{}")
    refused(tmp_path / "b", "not deflated")
    honest = zipped(tmp_path / "c", ("submission.json", os.urandom(1000))).read_bytes()
    at = honest.index(b"PK\1\2") + 24
    # The list says less than the file holds: no more than it says comes out, which the checksum tells.
    (tmp_path / "c").write_bytes(honest[:at] + (10).to_bytes(4, "little") + honest[at + 4 :])
    refused(tmp_path / "c", "not an archive")


@pytest.mark.parametrize(
    "form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, "zip", "pack"]
)
def test_honest_archives_are_read(
    submit: Callable[..., Path], store: Path, tmp_path: Path, form: int | str
) -> None:
    """What pack, zip, GNU tar and Python write, with the list of the command's own files."""
    folder, path = submit(), tmp_path / "a"
    if form == "pack":
        path = pack(folder, path)
    elif form == "zip":
        files = [p for p in folder.rglob("*") if p.is_file()]
        zipped(path, *((p.relative_to(folder).as_posix(), p.read_bytes()) for p in files))
    else:
        with tarfile.open(path, "w", format=form) as archive:
            archive.add(folder, arcname=".")
    with opened(path) as unpacked:
        assert validate(unpacked, store).name == "Blurred" and unpacked != folder
    assert not unpacked.exists()


def npz(path: Path, test_split: SplitArrays, **changes: object) -> Path:
    text = {"name": "n", "authors": ["a"], "task": "mass-map", "track": "sz"}
    keys = {name: test_split.halos[name] for name in ("region", "snapshot", "halo_id")}
    fields = {"mass": test_split.maps["mass"], **keys, "submission": json.dumps(text)}
    np.savez(path, **{name: value for name, value in {**fields, **changes}.items() if value is not None})
    return path


def test_an_npz_is_a_submission(tmp_path: Path, store: Path, test_split: SplitArrays) -> None:
    with opened(npz(tmp_path / "s.npz", test_split)) as folder:
        assert validate(folder, store).name == "n"
        assert np.array_equal(Predictions(folder).read("mass", np.arange(12)), test_split.maps["mass"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"submission": None}, "an .npz submission holds"),
        ({"submission": "[" * 10**5}, "not valid JSON"),
        ({"submission": np.array({"a": 1}, object)}, "Python objects"),
        ({"submission": np.array(["a", "b"])}, "not an archive"),
        ({"mass": np.array([None])}, "Python objects"),
        ({"mass": np.zeros((3, 2, 8, 8), "c8")}, "mass holds complex64"),
        ({"mass": np.zeros((3, 2, 8, 8), "f4,f4")}, "mass holds void64"),
        ({"mass": np.zeros(3)}, "dimensions halo, los, y, x"),
        ({"region": np.zeros(12, "f4,f4")}, "not an archive"),
        ({"mass": np.full((3, 2, 8, 8), np.nan)}, "is NaN"),
        ({"region": np.arange(3)}, "lengths"),
        ({"region": None}, "lack region"),
        ({"halo_id": np.array(["a"] * 12)}, "not an archive|keys"),
        ({"halo_id": np.zeros((12, 1), np.int8)}, "expected one key a halo"),
        ({"mass_std": np.zeros(3)}, "'mass_std' is none of these"),
        ({"mass": np.zeros((3, 2, 8, 8), order="F")}, "in Fortran order"),
        ({"mass": np.zeros((12, 0, 8, 8))}, "mass.npy has 0 bytes"),
        ({"submission": "x" * (MAX_MANIFEST_BYTES + 1)}, "submission.npy has 4,000,004 bytes"),
    ],
)
def test_npz_that_are_none(tmp_path: Path, test_split: SplitArrays, changes: dict, words: str) -> None:
    refused(npz(tmp_path / "s.npz", test_split, **changes), words)


@pytest.mark.parametrize(
    ("name", "words"), [("mass.npy/..", "none of these"), ("../mass.npy", "none of these"), ("mass", "twice")]
)
def test_no_two_members_of_an_npz_are_one_file(
    tmp_path: Path, test_split: SplitArrays, name: str, words: str
) -> None:
    """The second would cut the first short while it is mapped, of which the process dies."""
    path, small = npz(tmp_path / "s.npz", test_split), io.BytesIO()
    np.save(small, np.arange(1))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, small.getvalue())
    refused(path, words)


def test_the_maps_of_a_halo_have_a_limit(
    tmp_path: Path, test_split: SplitArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, size = npz(tmp_path / "s.npz", test_split), test_split.maps["mass"][0].nbytes
    for limit in (size, size - 1):
        monkeypatch.setattr(packing, "MAX_CHUNK_BYTES", limit)
        if limit == size:
            with opened(path) as folder:
                validate(folder)
        else:
            refused(path, f"mass.npy has {12 * size:,} bytes")


def test_an_npz_whose_header_claims_more(tmp_path: Path) -> None:
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        data, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 29, 80, 80)}
    )
    text = io.BytesIO()
    manifest = {"name": "n", "authors": ["a"], "task": "mass-map", "track": "sz"}
    np.save(text, json.dumps(manifest))
    path = zipped(tmp_path / "s.npz", ("mass.npy", data.getvalue()), ("submission.npy", text.getvalue()))
    refused(path, "not an archive")
    keys = io.BytesIO()
    np.lib.format.write_array_header_1_0(keys, {"descr": "<U0", "fortran_order": False, "shape": (10**12,)})
    path = zipped(tmp_path / "t.npz", ("region.npy", keys.getvalue()), ("submission.npy", text.getvalue()))
    refused(path, "region.npy has 0 bytes")
