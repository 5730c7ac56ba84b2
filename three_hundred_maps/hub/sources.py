"""What rows are read from: a Zarr store, or Parquet files described by a manifest (shipped or exported).

A source says what it holds without reading a map, and yields Arrow tables chunk by chunk. Sources are
small and picklable: workers get a copy and open files of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.manifests import MANIFEST, VIEW, choose_config, parse_manifest
from three_hundred_maps.hub.ranges import RemoteFile
from three_hundred_maps.hub.remote import fetch_cached
from three_hundred_maps.hub.rows import COLUMNS, map_column, map_values, row_features, to_table
from three_hundred_maps.io import full_path
from three_hundred_maps.store.arrays import open_group, read_split, shard_size, store_digest
from three_hundred_maps.store.names import checked_name
from three_hundred_maps.store.schema import SPLITS

Chunk = tuple[Any, ...]

ABOUT = ("license", "citation", "recipe_sha256", "simulation")
"""Of a config's record, what a source says of itself: root attributes of the store that it was made of."""

GROUPS_A_CHUNK = 4
"""Row groups of a local Parquet file that one process reads at a time."""


@dataclass(frozen=True)
class StoreSource:
    """A finished Zarr store at a path or a URL; ``about``: its root attributes."""

    path: Path | str
    name: str
    digest: str
    views: tuple[str, ...]
    pixels: tuple[int, int]
    rows: Mapping[str, int]
    about: Mapping[str, Any]
    view_info: Mapping[str, Mapping[str, str]]
    halos: Mapping[str, int]
    shard_halos: int

    @classmethod
    def open(cls, path: Path | str) -> StoreSource:
        """Look at a store; InputError where it is none, is unfinished or carries bad names."""
        digest = store_digest(path)
        root: Any = open_group(path)
        if root.attrs.get("sealed"):
            raise InputError(f"{path} holds sealed inputs: read_split, open_store and MapDataset read them")
        name = checked_name(root.attrs.get("name"), f"{path}: the name of the store")
        views = tuple(str(view) for view in root.attrs["views"])
        for view in views:
            if not VIEW.fullmatch(view):
                raise InputError(f"{path}: {view!r} cannot be the name of a view")
        train = root["train"]
        shapes = {split: root[f"{split}/{views[0]}"].shape for split in SPLITS}
        return cls(
            path,
            name,
            digest,
            views,
            pixels=tuple(shapes["train"][2:]),
            rows={split: shape[0] * shape[1] for split, shape in shapes.items()},
            about=dict(root.attrs),
            view_info={v: {k: str(train[v].attrs[k]) for k in ("units", "long_name")} for v in views},
            halos={split: shape[0] for split, shape in shapes.items()},
            shard_halos=shard_size(train[views[0]]),
        )

    def chunks(self, split: str, *, remote: bool) -> list[Chunk]:
        """(split, first halo, last halo): the shards of the store, which are read whole."""
        step, n_halos = self.shard_halos, self.halos[split]
        return [(split, first, min(first + step, n_halos)) for first in range(0, n_halos, step)]

    def tables(
        self, chunk: Chunk, views: Sequence[str], columns: Sequence[str] = COLUMNS
    ) -> Iterator[pa.Table]:
        """One table a chunk."""
        split, first, last = chunk
        yield to_table(read_split(self.path, split, list(views), slice(first, last)), views, columns)


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files of one config of an exported folder, here or on the Hub; ``about``: its record."""

    root: Path | None
    repository: str | None
    revision: str | None
    name: str
    digest: str
    views: tuple[str, ...]
    pixels: tuple[int, int]
    rows: Mapping[str, int]
    about: Mapping[str, Any]
    view_info: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, tuple[str, ...]]
    entries: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_manifest(
        cls,
        manifest: dict[str, Any],
        config: str | None,
        *,
        root: Path | None = None,
        repository: str | None = None,
        revision: str | None = None,
    ) -> ParquetSource:
        """The source of one config (None: the only or first one) of a manifest that was checked."""
        name, record = choose_config(manifest, config, repository or str(root))
        splits = record["splits"]
        files = {split: tuple(entry["parquet"]) for split, entry in splits.items()}
        return cls(
            root,
            repository,
            revision,
            name,
            record["digest"],
            tuple(record["views"]),
            (record["pixels"][0], record["pixels"][1]),
            rows={split: entry["rows"] for split, entry in splits.items()},
            about={key: record[key] for key in ABOUT if key in record},
            view_info=record["view_info"],
            files=files,
            entries={path: manifest["files"][path] for paths in files.values() for path in paths},
        )

    def chunks(self, split: str, *, remote: bool) -> list[Chunk]:
        """(file, first row group, last row group): whole files where they are streamed from the Hub."""
        if self.repository is not None and remote:
            return [(path, 0, None) for path in self.files[split]]
        found: list[Chunk] = []
        for path in self.files[split]:
            local = str(self.local_file(path))
            n_groups = pq.ParquetFile(local).metadata.num_row_groups
            found.extend(
                (local, first, min(first + GROUPS_A_CHUNK, n_groups))
                for first in range(0, n_groups, GROUPS_A_CHUNK)
            )
        return found

    def local_file(self, path: str) -> Path:
        """The file on this machine, fetched from the Hub and checked by its sha256 where it must be."""
        if self.root is not None:
            file = self.root / path
            if not file.resolve().is_relative_to(self.root.resolve()):
                raise InputError(f"{self.root}: {path} is a link that leaves its folder; it is not followed")
            if not file.is_file():
                raise InputError(f"{self.root}: {path} is missing; export or download it again")
            return file
        assert self.repository is not None
        entry = self.entries[path]
        return fetch_cached(
            self.repository,
            path,
            self.digest[:16],
            revision=self.revision,
            sha256=entry["sha256"],
            size=entry["bytes"],
        )

    def tables(
        self, chunk: Chunk, views: Sequence[str], columns: Sequence[str] = COLUMNS
    ) -> Iterator[pa.Table]:
        """One table a row group, of the columns that are wanted alone."""
        path, first, last = chunk
        if self.repository is not None and last is None:
            url = f"hf://datasets/{self.repository}@{self.revision}/{path}"
            with RemoteFile(url, self.entries[path]["bytes"]) as stream:
                # pre_buffer: a request for neighbouring columns together, not for each.
                file = pq.ParquetFile(stream, pre_buffer=True)
                yield from self._row_groups(file, first, last, views, columns)
        else:
            with pq.ParquetFile(path) as file:
                yield from self._row_groups(file, first, last, views, columns)

    def _row_groups(
        self,
        file: pq.ParquetFile,
        first: int,
        last: int | None,
        views: Sequence[str],
        columns: Sequence[str],
    ) -> Iterator[pa.Table]:
        schema = row_features(views, self.pixels, columns).arrow_schema
        names = [*views, *columns]
        missing = [name for name in names if name not in file.schema_arrow.names]
        if missing:
            raise InputError(
                f"{self.repository or self.root}: Parquet lacks the columns {', '.join(missing)}"
            )
        for group in range(first, file.num_row_groups if last is None else last):
            table = file.read_row_group(group, columns=names)
            arrays = [
                map_column(map_values(table[name], self.pixels), self.pixels)
                if name in views
                else table[name].combine_chunks().cast(schema.field(name).type)
                for name in names
            ]
            yield pa.Table.from_arrays(arrays, schema=schema)


Source = StoreSource | ParquetSource
"""Where rows come from."""


def open_folder(where: str | Path, config: str | None = None) -> Source:
    """The source of a folder: a store (finished; a URL too), or what `export` or `download` wrote.

    Raises
    ------
    InputError
        Where the folder does not exist, is neither, or holds no such config.
    """
    path = full_path(where)
    is_url = "://" in str(where)
    if not is_url and not path.exists():
        raise InputError(f"data_dir: {path} does not exist")
    if is_url or (path / "zarr.json").exists():
        store = StoreSource.open(str(where) if is_url else path)
        if config not in (None, store.name):
            raise InputError(f"{where} holds no config {config!r}; it is a store of {store.name!r}")
        return store
    if (path / MANIFEST).exists():
        manifest = parse_manifest((path / MANIFEST).read_bytes(), str(path))
        return ParquetSource.from_manifest(manifest, config, root=path)
    raise InputError(
        f"data_dir: {path} is neither a store (three-hundred-maps build) nor an exported folder "
        "(three-hundred-maps export)"
    )
