"""A Zarr v3 hierarchy as files in memory: groups, sharded map arrays, and small arrays of one chunk each.

The documents and chunks are those that zarr itself writes, byte for byte, at a tenth of its processor time: a
store has a hundred small arrays, and each costs zarr several calls into its event loop.
Specification: https://zarr-specs.readthedocs.io/en/latest/v3/core/
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CRC32C = {"name": "crc32c"}
METADATA = "zarr.json"


class Hierarchy:
    """Groups and arrays by path (``""`` is the root), to be written as `files`."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, Any]] = {}
        self._chunks: dict[str, bytes] = {}

    def add_group(self, path: str, attrs: Mapping[str, Any]) -> None:
        """A group with its attributes."""
        self._documents[path] = {"attributes": dict(attrs), "zarr_format": 3, "node_type": "group"}

    def add_array(
        self, path: str, values: NDArray[Any], dims: Sequence[str], attrs: Mapping[str, Any]
    ) -> None:
        """A small array: one chunk of zstd with its checksum; nothing is written of an empty one."""
        from google_crc32c import value as crc32c
        from numcodecs import zstd

        codecs = [
            _bytes_codec(values.dtype),
            {"name": "zstd", "configuration": {"level": 0, "checksum": False}},
            _CRC32C,
        ]
        chunk = [max(n, 1) for n in values.shape]
        self._add(path, values.shape, values.dtype, chunk, codecs, dims, attrs)
        if values.size:
            data = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
            packed = zstd.compress(data, 0, False)
            place = "/".join(["c", *["0"] * values.ndim])
            self._chunks[f"{path}/{place}"] = packed + crc32c(packed).to_bytes(4, "little")

    def add_maps(
        self, path: str, shape: tuple[int, ...], shard: int, dims: Sequence[str], attrs: Mapping[str, Any]
    ) -> None:
        """A float32 map array (halo, los, y, x) without data: a chunk a halo, ``shard`` of them a file."""
        dtype = np.dtype(np.float32)
        blosc = {"typesize": 4, "cname": "zstd", "clevel": 3, "shuffle": "bitshuffle", "blocksize": 0}
        sharding = {
            "chunk_shape": [1, *shape[1:]],
            "codecs": [_bytes_codec(dtype), {"name": "blosc", "configuration": blosc}, _CRC32C],
            "index_codecs": [_bytes_codec(dtype), _CRC32C],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
        self._add(path, shape, dtype, [shard, *shape[1:]], codecs, dims, attrs)

    def _add(
        self,
        path: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunk: list[int],
        codecs: list[dict[str, Any]],
        dims: Sequence[str],
        attrs: Mapping[str, Any],
    ) -> None:
        self._documents[path] = {
            "shape": list(shape),
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN" if dtype.kind == "f" else 0,
            "codecs": codecs,
            "attributes": dict(attrs),
            "dimension_names": list(dims),
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }

    def files(self, *, consolidated: bool) -> dict[str, bytes]:
        """Bytes by name: chunks, then metadata, the root's last of all, so that it marks the whole.

        With ``consolidated`` each group repeats the metadata of all below it, so that it is opened at once.
        """
        documents = dict(self._documents)
        if consolidated:
            groups = [path for path, document in documents.items() if document["node_type"] == "group"]
            documents |= {path: _consolidated(documents[path], {}) for path in groups}
            whole = {path: _consolidated(documents[path], self._below(path, documents)) for path in groups}
            documents |= whole
        paths = sorted(documents, key=lambda path: (-len(Path(path).parts), path))
        written = {
            f"{path}/{METADATA}".lstrip("/"): json.dumps(documents[path], indent=2).encode() for path in paths
        }
        return dict(sorted(self._chunks.items(), key=lambda item: (-item[0].count("/"), item[0]))) | written

    @staticmethod
    def _below(path: str, documents: Mapping[str, Any]) -> dict[str, Any]:
        """Documents of all below a group by their path within it, as zarr orders them."""
        start = f"{path}/" if path else ""
        inner = {p.removeprefix(start): d for p, d in documents.items() if p and p.startswith(start)}
        return dict(sorted(inner.items(), key=lambda item: (item[0].count("/"), item[0].casefold())))


def _bytes_codec(dtype: np.dtype[Any]) -> dict[str, Any]:
    if dtype.itemsize == 1:
        return {"name": "bytes"}
    return {"name": "bytes", "configuration": {"endian": "little"}}


def _consolidated(group: Mapping[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    """A group's document with those of its members."""
    return {
        "attributes": group["attributes"],
        "zarr_format": 3,
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": members},
        "node_type": "group",
    }
