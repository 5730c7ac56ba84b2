"""Reading a store with numpy and zarr alone: a split into memory, or shard by shard.

Zarr is never read at random: whole shards are decoded, once each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from three_hundred_maps.errors import InputError
from three_hundred_maps.keys import SEALED_KEY, require_list
from three_hundred_maps.simulation.tables import take
from three_hundred_maps.store import schema
from three_hundred_maps.store.manifest import check_schema_version, read_manifest, unfinished_message
from three_hundred_maps.store.names import is_url, resolve_store, unreachable, zarr_place
from three_hundred_maps.store.shards import decode_shard, decode_small

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError)
"""What zarr and its codecs raise on damaged metadata or chunks."""


@dataclass(frozen=True)
class SplitArrays:
    """Maps and halo values of a split, or of a part of it.

    Parameters
    ----------
    maps
        (halo, los, y, x) float32 by view.
    halos
        (halo,) arrays of `schema.halo_variables`; ``simulation`` as text. Of sealed inputs, the opaque
        ``key`` and the redshift alone.
    los_vector, los_up
        (los, 3) float64.
    """

    maps: dict[str, NDArray[np.float32]]
    halos: dict[str, NDArray[Any]]
    los_vector: NDArray[np.float64]
    los_up: NDArray[np.float64]

    def __len__(self) -> int:
        return len(next(iter(self.halos.values())))


def open_group(path: str | Path) -> Any:
    """The root ``zarr.Group`` of a store at a path or any fsspec URL (``hf://...``), read-only.

    Raises
    ------
    InputError
        Where there is no store, or one of a schema that this code does not know.
    """
    path = resolve_store(path)
    try:
        if is_url(path):
            root = _zarr_group(str(path))
        else:
            # Parsing the metadata of all arrays takes 20 ms, and most calls open the same store again.
            root = _zarr_group_of(str(path), (Path(path) / "zarr.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"no store at {path}: there is no zarr.json") from None
    except InputError:
        raise
    except unreachable() as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    except DAMAGE as error:
        raise InputError(f"{path}: zarr.json cannot be read ({error}): the store is damaged") from None
    if root.attrs.get("sealed"):
        # The inputs of a test whose truth is kept elsewhere: views, redshift and opaque keys.
        return root
    if "schema_version" not in root.attrs:
        raise InputError(f"{path} is a Zarr group but no store of this package: it has no schema_version")
    check_schema_version(path, root.attrs["schema_version"])
    return root


def _zarr_group(path: str) -> Any:
    import zarr

    return zarr.open_group(zarr_place(path), mode="r", zarr_format=3)


@lru_cache(maxsize=8)
def _zarr_group_of(path: str, metadata: bytes) -> Any:
    """The group whose ``zarr.json`` holds ``metadata``."""
    return _zarr_group(path)


def read_array(path: str | Path, group: Any, name: str) -> NDArray[Any]:
    """The whole of a small array of a store's group.

    Raises
    ------
    InputError
        Where it is missing or damaged, naming it.
    """
    path, full = resolve_store(path), f"{group.path}/{name}"
    try:
        array = group[name]
        chunk = Path(path) / full / "c" / "/".join("0" * array.ndim)
        if array.size and not is_url(path):
            if not chunk.exists():
                raise InputError(f"{chunk} is missing: the store is not whole; build or download it again")
            # zarr's way through its event loop takes twenty times as long, and a split has thirty of these.
            if [codec.to_dict()["name"] for codec in array.metadata.codecs] == ["bytes", "zstd", "crc32c"]:
                return decode_small(chunk, array.shape, array.dtype)
        return np.asarray(array[...])
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{path}/{full} is damaged ({error}); build or download the store again") from None


def root_attrs(path: str | Path) -> dict[str, Any]:
    """The root attributes of a store."""
    return dict(open_group(path).attrs)


def store_digest(path: str | Path) -> str:
    """The digest of a finished store: equal for equal content."""
    attrs = root_attrs(path)
    if attrs.get("sealed"):
        return str(attrs["dataset_digest"])
    return str(read_manifest(path)["digest"])


def split_group(path: str | Path, split: str) -> tuple[Any, list[str]]:
    """The Zarr group of a split and the views of its store; InputError where it cannot be read."""
    if split not in schema.SPLITS:
        raise InputError(f"no split {split!r}: a store has {', '.join(schema.SPLITS)}")
    root = open_group(path)
    if split not in root:
        raise InputError(f"{path} has no split {split}: it is the sealed inputs of another")
    if "region" not in root[split] and SEALED_KEY not in root[split]:
        raise InputError(unfinished_message(path))
    return root[split], list(root.attrs["views"])


def _chosen(path: str | Path, group: Any, views: Sequence[str] | None, default: list[str]) -> list[str]:
    if views is None:
        return default
    require_list(views)
    have = [*default, *([schema.HALF] if schema.HALF in group else [])]
    unknown = [view for view in views if view not in have]
    if unknown:
        raise InputError(
            f"{path} has no view {', '.join(map(repr, unknown))} in this split; it has {', '.join(have)}"
        )
    return list(views)


def split_length(path: str | Path, split: str) -> int:
    """Number of halos of a split."""
    return int(split_group(path, split)[0]["redshift"].shape[0])


def read_split(
    path: str | Path,
    split: str,
    views: Sequence[str] | None = None,
    halos: slice | None = None,
) -> SplitArrays:
    """Read a split (or a range of its halos) into memory.

    Parameters
    ----------
    path
        A store, or the URL of one.
    split
        ``train``, ``validation`` or ``test``.
    views
        Names of views, by default all of the store's; ``mass_half`` of the test split only where named.
    halos
        Rows, as a slice of step 1; all by default.

    Raises
    ------
    InputError
        Where the store, the split or a view is not there.
    """
    opened = _Opened(path, split, views)
    wanted = slice(None) if halos is None else halos
    if not isinstance(wanted, slice):
        raise InputError(f"halos must be a slice, as slice(0, 10), not {wanted!r}")
    start, stop, step = wanted.indices(len(opened.values))
    if step != 1:
        raise InputError(f"halos must be a slice of step 1, not of {step}")
    return opened.rows(start, max(stop, start))


class _Opened:
    """A split whose halo values are read, ready to be read by rows."""

    def __init__(self, path: str | Path, split: str, views: Sequence[str] | None) -> None:
        self._path = path = resolve_store(path)
        self.group, self.views = split_group(path, split)
        self._names = _chosen(path, self.group, views, self.views)
        axes = (read_array(path, self.group, name) for name in ("los_vector", "los_up"))
        self.values = SplitArrays({}, halo_columns(path, self.group), *axes)

    def rows(self, start: int, stop: int) -> SplitArrays:
        """Maps and values of some halos."""
        where = self.group.path
        maps = {n: _read_rows(self._path, self.group, f"{where}/{n}", start, stop) for n in self._names}
        return replace(self.values, maps=maps, halos=take(self.values.halos, slice(start, stop)))


def iter_shards(
    path: str | Path,
    split: str,
    views: Sequence[str] | None = None,
    *,
    seed: int | None = None,
) -> Iterator[SplitArrays]:
    """Yield a split shard by shard, each shard decoded once.

    Parameters
    ----------
    path, split, views
        As `read_split`.
    seed
        Shuffle the shards' order, and the halos within each, by this seed; None keeps the order.
    """
    opened = _Opened(path, split, views)
    length, size = len(opened.values), shard_size(opened.group[opened.views[0]])
    starts = np.arange(0, length, size)
    generator = None if seed is None else np.random.default_rng(seed)
    if generator is not None:
        generator.shuffle(starts)
    for start in starts.tolist():
        part = opened.rows(start, min(start + size, length))
        if generator is not None:
            order = generator.permutation(len(part))
            part = replace(part, maps=take(part.maps, order), halos=take(part.halos, order))
        yield part


def shard_file(name: str, shard: int) -> str:
    """Name of a shard's file within the store, of the map array ``split/view``."""
    return f"{name}/c/{shard}/0/0/0"


def shard_size(array: Any) -> int:
    """Halos a shard of a map array."""
    shards = array.shards or array.chunks
    return int(shards[0])


def halo_columns(path: str | Path, group: Any, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """(halo,) arrays of a split's variables by name, by default all; codes of ``simulation`` become ids."""
    names = schema.halo_variables(group) if names is None else names
    if SEALED_KEY in group:
        names = (SEALED_KEY, "redshift")
    columns = {name: read_array(path, group, name) for name in names}
    if "simulation" in columns:
        ids = schema.simulation_ids(group["simulation"].attrs, "simulation")
        columns["simulation"] = schema.decode_ids(columns["simulation"], ids)
    return columns


def _read_rows(path: str | Path, group: Any, name: str, start: int, stop: int) -> NDArray[np.float32]:
    """Rows ``start`` to ``stop`` of a map array, shard by shard into one array."""
    array = group[name.partition("/")[2]]
    out = np.empty((stop - start, *array.shape[1:]), np.float32)
    size, local = shard_size(array), not is_url(path)
    for first in range(start - start % size, stop, size):
        low, high = max(start, first), min(stop, first + size)
        target = out[low - start : high - start]
        if local and array.shards:
            decode_shard(Path(path) / shard_file(name, first // size), target, low - first, size)
        else:
            try:
                target[...] = array[low:high]
            except InputError:
                raise
            except DAMAGE as error:
                shard = f"{path}/{shard_file(name, first // size)}"
                raise InputError(f"{shard} is damaged ({error}); download the store again") from None
        if np.isnan(target[:, 0, 0, 0]).any():
            # A halo that its shard's index does not list reads as NaN, which no map of a store holds.
            raise InputError(f"{path}/{shard_file(name, first // size)} lacks a halo: the store is not whole")
    return out


def read_shard_file(path: Path, shape: tuple[int, int, int, int], shard_halos: int) -> NDArray[np.float32]:
    """A shard file as (rows, los, y, x) of ``shape``; rows that were never written are NaN."""
    out = np.empty(shape, np.float32)
    decode_shard(path, out, 0, shard_halos)
    return out
