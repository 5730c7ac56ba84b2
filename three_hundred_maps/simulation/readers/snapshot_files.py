"""Which files a snapshot (or a table of SUBFIND) consists of."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from three_hundred_maps.errors import InputError

_MEMBER = re.compile(r"^(?P<stem>.+)\.(?P<part>\d{1,4})(?P<suffix>\.hdf5|\.h5)?$")


def part_number(path: Path) -> int | None:
    """The number of a file of a set, 3 of ``snap_099.3.hdf5``; None where its name has none."""
    match = re.search(r"\.(\d+)(\.hdf5|\.h5)?$", path.name)
    return int(match[1]) if match else None


def _begins_as_snapshot(path: Path) -> bool:
    """Whether a file is HDF5 or begins with the length of a Gadget binary's first record."""
    if is_hdf5(path):
        return True
    with open(path, "rb") as stream:
        start = stream.read(4)
    return any(int.from_bytes(start, order) in (8, 256) for order in ("little", "big"))


def is_hdf5(path: Path) -> bool:
    """Whether a file begins with HDF5's signature."""
    try:
        with open(path, "rb") as stream:
            return stream.read(8) == b"\x89HDF\r\n\x1a\n"
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; a file was expected") from None


Paths = str | Path | Sequence[Path]
"""One path, or several: then these files and no others."""


def first_path(paths: Paths) -> Path:
    """The path that a message names."""
    return Path(paths) if isinstance(paths, str | Path) else paths[0]


def snapshot_files(paths: Paths, *, some: bool = False) -> list[Path]:
    """The files of a snapshot given by one file, the prefix of a set, a folder or a pattern.

    A member of a set (``NAME.3`` or ``NAME.3.hdf5``) stands for the whole set. ``some`` says that it is a set
    of which the first file need not be here. Of several paths each is a file.
    """
    if not isinstance(paths, str | Path):
        for part in paths:
            if not part.is_file():
                raise InputError(f"{part}: no such file")
        return list(paths)
    path = Path(paths)
    if some and not path.is_dir():
        stem = _MEMBER.match(path.name)
        pattern = f"{glob.escape(stem['stem'] if stem else path.name)}.*"
        members = [p for p in sorted(path.parent.glob(pattern)) if _MEMBER.match(p.name)]
        if members:
            return _siblings(members[0], some=True)
    if not path.exists() and any(sign in str(path) for sign in "*?["):
        found = sorted(Path(name) for name in glob.glob(str(path)))
        if not found:
            raise InputError(f"{path}: no file matches this pattern")
        sets = {tuple(_siblings(name)) for name in found}
        if len(sets) > 1:
            raise InputError(f"{path}: this pattern matches {len(sets)} snapshots, it must match one")
        return list(sets.pop())
    if path.is_dir():
        # Catalogues and texts lie beside snapshots; hidden files are of a copy that still runs.
        files = [p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith(".")]
        names = [p for p in files if _begins_as_snapshot(p)]
        sets = {tuple(_siblings(name)) for name in names}
        # NAME.hdf5 beside NAME.0.hdf5, ... only points to them: see hdf5_index.
        sets = {parts for parts in sets if len(parts) > 1 or _first_part(parts[0]) not in names}
        if len(sets) != 1:
            raise InputError(f"{path}: this folder holds {len(sets)} snapshots; name the one that is meant")
        return list(sets.pop())
    if path.is_file():
        return _siblings(path)
    for candidate in (f"{path}.hdf5", f"{path}.0.hdf5", f"{path}.0", f"{path}.h5"):
        if Path(candidate).is_file():
            return _siblings(Path(candidate))
    raise InputError(
        f"{path}: no snapshot here (looked for this file, and for a set {path.name}.0[.hdf5], ...)"
    )


def _siblings(path: Path, *, some: bool = False) -> list[Path]:
    """All the files of the set that ``path`` is a member of, in the order of their numbers.

    ``snap_000.0`` is a member of a set; ``snap.099`` without a ``.0`` beside it is a snapshot's number.
    """
    match = _MEMBER.match(path.name)
    if match is None:
        return [path]
    stem, suffix = match["stem"], match["suffix"] or ""
    if not some and not path.with_name(f"{stem}.0{suffix}").is_file():
        return [path]
    numbered = {}
    for other in path.parent.iterdir():
        found = _MEMBER.match(other.name)
        if found and found["stem"] == stem and (found["suffix"] or "") == suffix:
            numbered[int(found["part"])] = other
    return [numbered[part] for part in sorted(numbered)]


def _first_part(path: Path) -> Path:
    """What the first file of a set is called whose joined name is ``path``."""
    return path.with_name(f"{path.stem}.0{path.suffix}")
