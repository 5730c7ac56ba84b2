"""Files of Hub repositories read by ranges of bytes: Parquet that is streamed, Zarr stores at ``hf://``.

huggingface_hub's own file system takes as many bytes as a server sends for a range, and waits for ever on one
that sends a byte a second; here both are bounded, and what fails is one line.
"""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import unquote

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile
from huggingface_hub import hf_hub_url

from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.remote import (
    GRACE_S,
    LEAST_BYTES_PER_S,
    MissingFileError,
    checked_repository,
    receive,
    with_retries,
)

MAX_READ_BYTES = 1 << 30
"""Of one read: forty times a shard of the default size."""


def read_range(
    repository: str,
    path: str,
    first: int | None = None,
    last: int | None = None,
    *,
    revision: str | None = None,
) -> bytes:
    """Bytes ``first`` to ``last`` of a file, ``last`` left out; to its end without ``last``.

    A negative ``first`` counts from the end of the file.

    Raises
    ------
    MissingFileError
        Where the repository has no such file.
    InputError
        More bytes than were asked for, or than `MAX_READ_BYTES`; too slow; or why the Hub cannot be reached.
    """
    what = f"{repository}/{path}"
    wanted = MAX_READ_BYTES
    if first is not None and first < 0:
        wanted = -first
    elif last is not None:
        wanted = last - (first or 0)
    if wanted > MAX_READ_BYTES:
        raise InputError(f"{what}: it asks for {wanted:,} bytes at once, more than {MAX_READ_BYTES:,}")
    if wanted <= 0:
        return b""
    asked = None
    if first is not None or last is not None:
        end = "" if last is None else last - 1
        asked = f"bytes={first}" if first is not None and first < 0 else f"bytes={first or 0}-{end}"
    url = hf_hub_url(repository, path, repo_type="dataset", revision=revision)
    seconds = GRACE_S + wanted / LEAST_BYTES_PER_S

    def call() -> bytes:
        stream = io.BytesIO()
        receive(url, stream, wanted, seconds, lambda size: None, what, asked=asked)
        return stream.getvalue()

    return with_retries(call, repository, path)


class HubFiles(AbstractFileSystem):
    """What zarr needs of a file system to read a store at ``hf://datasets/ORG/NAME[@REVISION]/STORE``."""

    protocol = "hf"

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """The bytes of a file, or a range of them; FileNotFoundError where there is none."""
        repository, revision, inner = split_url(path)
        try:
            return read_range(repository, inner, start, end, revision=revision)
        except MissingFileError as error:
            raise FileNotFoundError(str(error)) from None

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Name and type; FileNotFoundError where there is no such file."""
        self.cat_file(path, 0, 1)
        return {"name": path, "type": "file", "size": None}


class RemoteFile(AbstractBufferedFile):
    """A file at a URL as of `HubFiles`, of a size that is known, for reading: one request a read."""

    def __init__(self, url: str, size: int) -> None:
        super().__init__(HubFiles(), url, size=size, cache_type="none")

    def _fetch_range(self, start: int, end: int) -> bytes:
        repository, revision, path = split_url(self.path)
        data = read_range(repository, path, start, end, revision=revision)
        if len(data) != end - start:
            raise InputError(f"{repository}/{path}: the file is shorter than its manifest says")
        return data


def split_url(path: str) -> tuple[str, str | None, str]:
    """Repository, revision and file of ``datasets/ORG/NAME[@REVISION]/FILE``, with or without ``hf://``.

    Raises
    ------
    InputError
        For anything else: stores lie in data set repositories.
    """
    parts = path.removeprefix("hf://").split("/", 3)
    if len(parts) < 4 or parts[0] != "datasets":
        raise InputError(f"{path!r} names no store on the Hub: write hf://datasets/ORG/NAME/CONFIG/maps.zarr")
    name, _, revision = parts[2].partition("@")
    return checked_repository(f"{parts[1]}/{name}"), unquote(revision) or None, parts[3]
