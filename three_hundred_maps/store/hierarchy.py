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
        texts = {path: _dumps(document) for path, document in self._documents.items()}
        if consolidated:
            groups = [path for path, document in self._documents.items() if document["node_type"] == "group"]
            bare = {path: _dumps(_with_members(self._documents[path])) for path in groups}
            for path in groups:
                texts[path] = _filled(bare[path], self._below(path, {**texts, **bare}))
        paths = sorted(texts, key=lambda path: (-len(Path(path).parts), path))
        written = {f"{path}/{METADATA}".lstrip("/"): texts[path].encode() for path in paths}
        return dict(sorted(self._chunks.items(), key=lambda item: (-item[0].count("/"), item[0]))) | written

    def _below(self, path: str, texts: Mapping[str, str]) -> dict[str, str]:
        """Texts of all below a group by their path within it, as zarr orders them."""
        start = f"{path}/" if path else ""
        inner = {p.removeprefix(start): text for p, text in texts.items() if p and p.startswith(start)}
        return {
            name: inner[name] for name in sorted(inner, key=lambda name: (name.count("/"), name.casefold()))
        }


def _bytes_codec(dtype: np.dtype[Any]) -> dict[str, Any]:
    if dtype.itemsize == 1:
        return {"name": "bytes"}
    return {"name": "bytes", "configuration": {"endian": "little"}}


_NO_MEMBERS = '"metadata": {}'


def _with_members(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group's document with consolidated metadata of no members yet."""
    inline = {"kind": "inline", "must_understand": False, "metadata": {}}
    return {
        "attributes": group["attributes"],
        "zarr_format": 3,
        "consolidated_metadata": inline,
        "node_type": "group",
    }


def _filled(group: str, members: Mapping[str, str]) -> str:
    """The text of such a document with its members' texts: each is formed once, not once a group above it."""
    before, _, after = group.rpartition(_NO_MEMBERS)
    inner = [f"{json.dumps(name)}: {text}".replace("\n", "\n      ") for name, text in members.items()]
    filled = "{\n      " + ",\n      ".join(inner) + "\n    }" if inner else "{}"
    return f'{before}"metadata": {filled}{after}'


def _dumps(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2)
