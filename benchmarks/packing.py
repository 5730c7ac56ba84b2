"""One archive ready to send, and submissions of any form opened with care."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.archives import unpack
from benchmarks.manifest import MANIFEST, PREDICTIONS, load_json
from benchmarks.submissions import tree_digest
from benchmarks.validation import validate
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import canonical_json, renamed_into_place

SUFFIX = ".thm.tar"


def pack(folder: str | Path, out: str | Path | None = None, store: str | Path | None = None) -> Path:
    """Check a submission and make one archive of it: the same bytes for the same submission.

    Parameters
    ----------
    folder
        The submission.
    out
        The archive, by default ``FOLDER.thm.tar`` beside it; never overwritten.
    store
        Check against this store's test split too.

    Raises
    ------
    InputError
        Where something is wrong with the submission, or the archive is there already.
    """
    folder = Path(folder)
    validate(folder, store)
    content = load_json(folder / MANIFEST)
    content["predictions_sha256"] = tree_digest(folder / PREDICTIONS)
    out = Path(out) if out is not None else folder.with_name(folder.name + SUFFIX)
    if out.exists():
        raise InputError(f"{out} is there already; remove it or give another name with --out")
    with (
        renamed_into_place(out) as partial,
        tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, MANIFEST, canonical_json(content))
        for path in sorted((folder / PREDICTIONS).rglob("*")):
            if path.is_file():
                _add(archive, path.relative_to(folder).as_posix(), path.read_bytes())
    return out


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    # No time, owner or mode of this machine: the same submission packs to the same bytes.
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


@contextmanager
def opened(path: str | Path) -> Iterator[Path]:
    """The folder of a submission given as a folder, or as .tar, .zip or .npz, unpacked while it is used."""
    path = Path(path)
    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="submission-") as scratch:
        folder = Path(scratch) / "submission"
        unpack(path, folder)
        yield folder
