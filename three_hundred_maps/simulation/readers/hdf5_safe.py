"""Opening HDF5 files of unknown origin: every link, type, shape and size is checked before it is used.

A damaged or hostile file may name other files, claim terabytes or hold objects. Here links must be hard ones
within the file, data sets must be numbers that are really stored in it, and attributes must be small.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.simulation.readers.snapshot_files import is_hdf5

_LARGEST_CHUNK_BYTES = 1 << 28
_CACHE_BYTES = 1 << 26
"""Of unpacked chunks: each is unpacked once, not for every run of rows in it. 2^20 positions are 24 MiB."""
_LARGEST_COMPRESSION = 4200
"""No real column is packed tighter than this: a data set that claims more is not believed. SWIFT's filters
take 64 bits to 16, zlib makes a number that is the same everywhere 1032 times smaller."""

# What h5py raises on damaged files, apart from InputError itself (a ValueError, and passed on).
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, AttributeError)


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file open for reading; whatever h5py finds wrong with it becomes one clear line."""
    if not is_hdf5(path):
        raise InputError(f"{path}: a file in HDF5 was expected")
    try:
        with h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES) as file:
            yield file
    except InputError:
        raise
    except PermissionError:
        raise
    except _DAMAGE as error:
        reason = str(error).split("\n")[0].strip("'\"") or type(error).__name__
        raise InputError(f"{path}: this HDF5 file is truncated or damaged: {reason}") from error


def optional_group(parent: h5py.Group, name: str, path: Path) -> h5py.Group | None:
    """A group (A/B/C) by hard links, None where there is none of this name; ``parent`` where it is empty."""
    for part in filter(None, name.split("/")):
        link = parent.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{path}: {name} is a link elsewhere: give the files that hold the particles")
        parent = parent[part]
        if not isinstance(parent, h5py.Group):
            raise InputError(f"{path}: {name} is not a group")
    return parent


def groups(parent: h5py.Group, names: Iterable[str], path: Path) -> list[h5py.Group]:
    """Those of several groups that are there."""
    return [found for name in names if (found := optional_group(parent, name, path)) is not None]


def group(parent: h5py.Group, name: str, path: Path) -> h5py.Group:
    """A group that must be there."""
    found = optional_group(parent, name, path)
    if found is None:
        raise InputError(
            f"{path}: no group {name}: not a snapshot or catalogue of a known kind, {holds(parent)}"
        )
    return found


def holds(group: h5py.Group) -> str:
    """What is there instead of what was looked for, in words."""
    return f"{group.name} holds {', '.join(sorted(group)[:8]) or 'nothing'}"


def array(
    where: h5py.Group, path: Path, name: str, *, longest: int, default: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """A numeric attribute as a float64 array of at most ``longest`` entries."""
    if name not in where.attrs:
        if default is not None:
            return default
        raise InputError(f"{path}: {where.name} has no attribute {name}")
    attribute = where.attrs.get_id(name)
    size = int(np.prod(attribute.shape, dtype=np.float64))
    if attribute.dtype.kind not in "iufb" or not 1 <= size <= longest:
        raise InputError(
            f"{path}: attribute {name} is {attribute.dtype} of shape {attribute.shape}, expected numbers"
        )
    return np.atleast_1d(np.asarray(where.attrs[name], np.float64)).ravel()


def number(where: h5py.Group, path: Path, name: str, *, default: float | None = None) -> float:
    """A numeric attribute, scalar or of one entry."""
    if default is not None and name not in where.attrs:
        return default
    return float(array(where, path, name, longest=1)[0])


def first_number(
    places: Iterable[h5py.Group], path: Path, names: Iterable[str], *, default: float | None = None
) -> float:
    """The first of several attributes that one of several groups has."""
    names = list(names)
    for where in places:
        for name in names:
            if name in where.attrs:
                return number(where, path, name)
    if default is None:
        raise InputError(f"{path}: the header does not give {names[0]}")
    return default


def text(where: h5py.Group, name: str) -> str:
    """A short text attribute; empty where there is none."""
    if name not in where.attrs:
        return ""
    attribute = where.attrs.get_id(name)
    if attribute.dtype.kind == "S" and attribute.dtype.itemsize <= 4096 and attribute.shape in ((), (1,)):
        return bytes(np.asarray(where.attrs[name]).ravel()[0]).decode("utf-8", "replace").strip("\0 ")
    if attribute.dtype.kind == "O" and attribute.shape == ():
        value = where.attrs[name]
        return value[:4096] if isinstance(value, str) else ""
    return ""


def dataset(parent: h5py.Group, name: str, path: Path, rows: int) -> h5py.Dataset:
    """A numeric data set with ``rows`` rows whose bytes are in this file."""
    link = parent.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise InputError(
            f"{path}: {parent.name}/{name} is a link elsewhere: give the files that hold the particles"
        )
    found = parent[name]
    where = f"{path}: {parent.name}/{name}"
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{where} is not a data set")
    if found.dtype.kind not in "fiu" or found.dtype.itemsize > 8:
        raise InputError(f"{where} holds {found.dtype}, expected numbers")
    if not 1 <= found.ndim <= 2 or found.shape[0] != rows or (found.ndim == 2 and found.shape[1] > 64):
        raise InputError(f"{where} has shape {found.shape}, but the header counts {rows} rows")
    if found.is_virtual or found.external:
        raise InputError(f"{where} keeps its data in other files: give the files that hold the particles")
    stored = found.id.get_storage_size()
    claimed = rows * (found.shape[1] if found.ndim == 2 else 1) * found.dtype.itemsize
    if found.chunks is None:
        offset = found.id.get_offset()
        if stored < claimed or (offset is not None and offset + claimed > path.stat().st_size):
            raise InputError(f"{where} claims {claimed} bytes, more than the file holds: truncated")
    else:
        chunk = int(np.prod(found.chunks, dtype=np.float64)) * found.dtype.itemsize
        if chunk > _LARGEST_CHUNK_BYTES or claimed > _LARGEST_COMPRESSION * stored:
            raise InputError(f"{where} claims {claimed} bytes but stores {stored}: truncated or damaged")
        _check_filters(found, where)
    return found


def shape(parent: h5py.Group, name: str) -> tuple[int, ...]:
    """Shape of a data set by a hard link; empty where there is none."""
    found = parent[name] if isinstance(parent.get(name, getlink=True), h5py.HardLink) else None
    return tuple(found.shape or ()) if isinstance(found, h5py.Dataset) else ()


def _check_filters(found: h5py.Dataset, where: str) -> None:
    properties = found.id.get_create_plist()
    for position in range(properties.get_nfilters()):
        code, _, _, label = properties.get_filter(position)
        if not h5py.h5z.filter_avail(code):
            shown = label.decode("ascii", "replace") or str(code)
            raise InputError(f"{where} is compressed with {shown!r}, which this HDF5 library cannot unpack")
