"""Fetching a file into a folder of ours, byte by byte: a killed transfer goes on at the byte it had reached.

huggingface_hub fills a new file of its own in every process, so what a killed one had of a file is lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import hf_hub_url
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

from three_hundred_maps.hub.remote import damaged, patiently
from three_hundred_maps.io import sha256_file

BLOCK_BYTES = 1 << 20
"""What a kill may lose of each file."""

_OK, _NOT_SATISFIABLE = 200, 416


def partial_path(target: Path, sha256: str) -> Path:
    """Where a file grows: named by the content it is to have, so that what has changed since starts anew."""
    return target.with_name(f".{target.name}.{sha256[:16]}.partial")


def fetch_into(
    folder: Path,
    repository: str,
    path: str,
    *,
    sha256: str,
    revision: str | None = None,
    arrived: Callable[[int], object] = lambda size: None,
) -> Path:
    """Fetch a file of a data set repository to its path below ``folder``; there already, nothing is done.

    Parameters
    ----------
    folder
        Of one process at a time.
    repository, path, revision
        Which file.
    sha256
        What it must hash to. Where it does not it is fetched once more, from its first byte.
    arrived
        Called with numbers of bytes as they arrive, or are found to be there; less than 0 where bytes that
        were counted are fetched again.

    Raises
    ------
    InputError
        The true reason why it cannot be had; where the bytes never match, nothing of them is kept.
    """
    target = folder / path
    if target.is_file() and sha256_file(target) == sha256:
        arrived(target.stat().st_size)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(target, sha256)
    url = hf_hub_url(repository, path, repo_type="dataset", revision=revision)
    arrived(partial.stat().st_size if partial.exists() else 0)
    found = ""
    for _ in range(2):
        patiently(lambda: _receive(url, partial, arrived), repository, path)
        found = sha256_file(partial)
        if found == sha256:
            os.replace(partial, target)
            return target
        arrived(-partial.stat().st_size)
        partial.unlink()
    raise damaged(repository, path, found, sha256)


def _receive(url: str, partial: Path, arrived: Callable[[int], object]) -> None:
    """Append to a file what it lacks of what is at ``url``."""
    # A killed process leaves what it wrote: nothing waits in a buffer.
    with open(partial, "ab", buffering=0) as stream:
        there = stream.tell()
        # Packed on the way, bytes could not be counted.
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        if there:
            headers["Range"] = f"bytes={there}-"
        # A broken line is tried again by `patiently`: with what has come until then the range is another.
        with http_stream_backoff(
            "GET", url, headers=headers, retry_on_exceptions=(), retry_on_status_codes=(408, 429)
        ) as response:
            if there and response.status_code == _NOT_SATISFIABLE:
                return  # All had arrived; its checksum tells whether it is the right file.
            hf_raise_for_status(response)
            if there and response.status_code == _OK:
                # A server that knows no ranges sends the whole file.
                stream.truncate(0)
                arrived(-there)
            for block in response.iter_bytes(BLOCK_BYTES):
                stream.write(block)
                arrived(len(block))
