"""Reading a Hub repository: bounded in bytes and time, checked, resumed; the true reason where it fails.

Files are fetched here and not by ``hf_hub_download``, because that fills a new file in every process (what a
killed one had is lost), takes as many bytes as a server sends, and waits for ever on one that sends a byte
a second.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from collections.abc import Callable
from json import JSONDecodeError
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote

from filelock import FileLock
from huggingface_hub import hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.manifests import MANIFEST, parse_manifest
from three_hundred_maps.io import cache_home, naming, sha256_file, write_bytes

ATTEMPTS = 4
"""How often something is tried in all where the server or the line fails for a while."""

FIRST_WAIT_S = 0.5
PATIENCE_S = 5.0
"""A call that took longer has been tried again and again by huggingface_hub itself."""

MAX_MANIFEST_BYTES = 64 << 20
"""Twice what a repository of as many files as the Hub takes needs."""

GRACE_S, LEAST_BYTES_PER_S = 60.0, 20_000.0
"""A file of n bytes may take ``GRACE_S + n / LEAST_BYTES_PER_S`` seconds."""

_TEMPORARY = (408, 429, 500, 502, 503, 504)
_OK, _NOT_SATISFIABLE = 200, 416
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FAILURES = (HTTPError, HfHubHTTPError, EntryNotFoundError, ConnectionError)
_MALFORMED = (LookupError, TypeError, AttributeError, JSONDecodeError, RecursionError)
T = TypeVar("T")


class MissingFileError(InputError):
    """The repository is there and does not hold the file."""


class UnreachableError(InputError):
    """The Hub cannot be reached, or may not be (HF_HUB_OFFLINE)."""


def checked_repository(repository: str) -> str:
    """``ORG/NAME``; InputError for anything else."""
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or repository.endswith(".git"):
        raise InputError(f"{repository!r} does not name a Hub repository: write ORG/NAME")
    return repository


def explain(error: Exception, repository: str, path: str = "") -> InputError:
    """The true reason of a failure to reach the Hub, and what to do about it."""
    kind: type[InputError] = InputError
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError):
        reason = "its owner asks for a request of access first: make one on its page, then: hf auth login"
    elif isinstance(error, RepositoryNotFoundError) or status == 401:
        reason = (
            "no such data set, or a private one, or a token that is not valid: check the name, or log in by: "
            "hf auth login"
        )
    elif isinstance(error, RevisionNotFoundError):
        reason = "it has no such revision"
    elif isinstance(error, OfflineModeIsEnabled):
        kind, reason = UnreachableError, "HF_HUB_OFFLINE is set and no copy is in the cache"
    elif isinstance(error, EntryNotFoundError):
        kind, reason = MissingFileError, "the repository holds no such file"
    elif status == 403:
        reason = "your token does not allow this (403): log in with one that does: hf auth login"
    elif status == 429:
        reason = "the server asks for fewer requests (429): re-run in some minutes to resume"
    elif status is not None and status >= 500:
        reason = f"the server is in trouble ({status}), also after waiting: re-run later to resume"
    elif status is not None:
        reason = f"the server answered {status}"
    else:
        kind = UnreachableError
        reason = f"the Hub cannot be reached ({type(error).__name__}: {error}): re-run to resume"
    return kind(f"{repository}/{path}: {reason}" if path else f"{repository}: {reason}")


def is_transient(error: Exception) -> bool:
    """Whether a failure may be over a moment later: trouble of the server or of the line."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return status in _TEMPORARY
    return not isinstance(error, (OfflineModeIsEnabled, EntryNotFoundError))


def with_retries(
    call: Callable[[], T],
    repository: str,
    path: str = "",
    let_through: tuple[type[Exception], ...] = (),
) -> T:
    """Run ``call``, again after a pause where the failure is transient; else raise what `explain` says.

    The waits a server asks for (``Retry-After``) are kept by huggingface_hub itself. ``let_through`` are
    failures that the caller handles.
    """
    for attempt in range(ATTEMPTS):
        begun = time.monotonic()
        try:
            return call()
        except let_through:
            raise
        except LocalTokenNotFoundError:
            raise InputError("you are not logged in to the Hub: hf auth login, or set HF_TOKEN") from None
        except _FAILURES as error:
            last = attempt == ATTEMPTS - 1 or time.monotonic() - begun > PATIENCE_S
            if last or not is_transient(error):
                raise explain(error, repository, path) from None
        except _MALFORMED as error:
            raise InputError(
                f"{repository}: the server's answer cannot be understood ({type(error).__name__}): "
                "is it a Hub?"
            ) from None
        time.sleep(FIRST_WAIT_S * 2**attempt)
    raise AssertionError("unreachable")


def receive(
    url: str,
    stream: IO[bytes],
    limit: int,
    seconds: float,
    arrived: Callable[[int], object],
    what: str,
    *,
    asked: str | None = None,
) -> str:
    """Append to ``stream`` what it lacks of what is at ``url``; return the commit that the answer names.

    With ``asked``, a range of bytes as the header ``Range`` has it, into an empty stream.

    Raises
    ------
    InputError
        More than ``limit`` bytes in all, or more than ``seconds``; a range from a server that knows none.
    """
    there = stream.tell()
    # Packed on the way, bytes could not be counted.
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if there or asked:
        headers["Range"] = asked or f"bytes={there}-"
    deadline = time.monotonic() + seconds
    # A broken line is tried again by `with_retries`: with what has come until then the range is another.
    with http_stream_backoff(
        "GET", url, headers=headers, retry_on_exceptions=(), retry_on_status_codes=(408, 429)
    ) as response:
        if "Range" in headers and response.status_code == _NOT_SATISFIABLE:
            return ""  # All had arrived; its checksum tells whether it is the right file.
        hf_raise_for_status(response)
        if asked and response.status_code == _OK:
            raise InputError(f"{what}: the server knows no ranges of bytes; download it instead of streaming")
        if there and response.status_code == _OK:
            # A server that knows no ranges sends the whole file.
            stream.truncate(0)
            arrived(-there)
            there = 0
        for block in response.iter_raw():
            there += len(block)
            if there > limit:
                raise InputError(f"{what}: the server sends more than {limit:,} bytes; nothing more is taken")
            if time.monotonic() > deadline:
                raise InputError(
                    f"{what}: only {there:,} of at most {limit:,} bytes came in {seconds:.0f} s: the server "
                    "is too slow; re-run later to resume"
                )
            stream.write(block)
            arrived(len(block))
        answers = [*response.history, response]
    return next((a.headers["X-Repo-Commit"] for a in answers if "X-Repo-Commit" in a.headers), "")


def partial_path(target: Path, sha256: str) -> Path:
    """Where a file grows: named by the content it is to have, so that what has changed since starts anew."""
    return target.with_name(f".{target.name}.{sha256[:16]}.partial")


def fetch_into(
    folder: Path,
    repository: str,
    path: str,
    *,
    sha256: str,
    size: int,
    revision: str | None = None,
    arrived: Callable[[int], object] = lambda size: None,
) -> Path:
    """Fetch a file of a data set repository to its path below ``folder``; there already, nothing is done.

    A killed or broken transfer resumes at the byte it had reached.

    Parameters
    ----------
    folder
        Of one process at a time.
    repository, path, revision
        Which file.
    sha256, size
        What it must hash to, and how many bytes it has. Where it hashes to something else it is fetched once
        more, from its first byte; more bytes are never taken.
    arrived
        Called with numbers of bytes as they arrive, or are found to be there; less than 0 where bytes that
        were counted are fetched again.

    Raises
    ------
    InputError
        The true reason why it cannot be had; where the bytes never match, nothing of them is kept.
    """
    target = folder / path
    if target.is_file() and target.stat().st_size == size and sha256_file(target) == sha256:
        arrived(size)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(target, sha256)
    url = hf_hub_url(repository, path, repo_type="dataset", revision=revision)
    what = f"{repository}/{path}"

    def fetch() -> None:
        # A killed process leaves what it wrote: nothing waits in a buffer.
        with naming(partial), open(partial, "ab", buffering=0) as stream:
            receive(url, stream, size, GRACE_S + size / LEAST_BYTES_PER_S, arrived, what)

    arrived(partial.stat().st_size if partial.exists() else 0)
    found = ""
    for _ in range(2):
        with_retries(fetch, repository, path)
        found = sha256_file(partial)
        if found == sha256:
            os.replace(partial, target)
            return target
        arrived(-partial.stat().st_size)
        partial.unlink()
    raise InputError(
        f"{what}: the bytes do not match the manifest, twice (sha256 {found[:12]}..., not {sha256[:12]}...): "
        "the copy on the server is damaged; tell its owner. Nothing of it was kept"
    )


def cache_folder(repository: str) -> Path:
    """Where files of a repository are cached."""
    return cache_home() / "hub" / repository.replace("/", "--")


def fetch_cached(repository: str, path: str, version: str, **about: Any) -> Path:
    """A file of a repository in the cache, fetched where it is not there yet; ``about`` as for `fetch_into`.

    ``version`` names the content that the file is a part of.
    """
    folder = cache_folder(repository) / version
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        return fetch_into(folder, repository, path, **about)


def fetch_manifest(repository: str, *, revision: str | None = None) -> tuple[dict[str, Any], str]:
    """The manifest of an exported repository, and the commit it is of.

    It is kept in the cache, and serves from there where the Hub cannot be reached.
    """
    checked_repository(repository)
    kept = cache_folder(repository) / "refs" / f"{quote(revision or 'main', safe='')}.json"
    url = hf_hub_url(repository, MANIFEST, repo_type="dataset", revision=revision)
    what = f"{repository}/{MANIFEST}"
    stream = io.BytesIO()

    def fetch() -> str:
        # From its first byte at every try: a new commit in between is another file.
        stream.seek(0)
        stream.truncate()
        return receive(url, stream, MAX_MANIFEST_BYTES, 4 * GRACE_S, lambda size: None, what)

    try:
        commit = with_retries(fetch, repository, MANIFEST)
    except MissingFileError:
        raise InputError(
            f"{repository} has no {MANIFEST}: it was not made by three-hundred-maps publish; "
            f"try datasets.load_dataset({repository!r})"
        ) from None
    except UnreachableError:
        if not kept.is_file():
            raise
        commit, _, text = kept.read_bytes().decode("utf-8", "replace").partition("\n")
        return parse_manifest(text.encode(), repository), commit
    if not _COMMIT.fullmatch(commit):
        raise InputError(f"{repository}: the server's answer names no commit: is it a Hub?")
    manifest = parse_manifest(stream.getvalue(), repository)
    # A cache that cannot be written costs the offline copy alone.
    with contextlib.suppress(OSError):
        write_bytes(kept, commit.encode() + b"\n" + stream.getvalue())
    return manifest, commit
