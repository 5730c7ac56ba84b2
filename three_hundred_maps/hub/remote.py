"""Reading a Hub repository: files fetched, checked and retried; the true reason where that does not help."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import HfFileSystem, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.manifests import MANIFEST, parse_manifest
from three_hundred_maps.io import sha256_file

ATTEMPTS = 4
"""How often something is tried in all where the server or the line fails for a while."""

FIRST_WAIT_S = 0.5
PATIENCE_S = 5.0
"""A call that took longer has been tried again and again by huggingface_hub itself."""

_TEMPORARY = (408, 429, 500, 502, 503, 504)
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_FAILURES = (HTTPError, HfHubHTTPError, EntryNotFoundError, ConnectionError)
T = TypeVar("T")


def checked_repository(repository: str) -> str:
    """``ORG/NAME``; InputError for anything else."""
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or repository.endswith(".git"):
        raise InputError(f"{repository!r} does not name a Hub repository: write ORG/NAME")
    return repository


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status behind an error, also where the library wrapped it."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return int(response.status_code)
        error = error.__cause__ or error.__context__
    return None


def explain(error: Exception, repository: str, path: str = "") -> InputError:
    """The true reason of a failure to reach the Hub, and what to do about it."""
    what = f"{repository}/{path}" if path else repository
    status = status_of(error)
    offline = isinstance(error, OfflineModeIsEnabled) or isinstance(error.__cause__, OfflineModeIsEnabled)
    if isinstance(error, GatedRepoError):
        reason = "its owner asks for a request of access first: make one on its page, then: hf auth login"
    elif isinstance(error, RepositoryNotFoundError) or status == 401:
        reason = (
            "no such data set, or a private one, or a token that is not valid: check the name, or log in by: "
            "hf auth login"
        )
    elif isinstance(error, RevisionNotFoundError):
        reason = "it has no such revision"
    elif offline:
        reason = "HF_HUB_OFFLINE is set and no copy is in the cache"
    elif isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        reason = "the repository holds no such file"
    elif status == 403:
        reason = "your token does not allow this (403): log in with one that does: hf auth login"
    elif status == 429:
        reason = "the server asks for fewer requests (429): run it again in some minutes to go on"
    elif status is not None and status >= 500:
        reason = f"the server is in trouble ({status}), also after waiting: run it again later to go on"
    elif status is not None:
        reason = f"the server answered {status}"
    else:
        cause = error.__cause__ or error
        reason = f"the Hub cannot be reached ({type(cause).__name__}: {cause}): run it again to go on"
    return InputError(f"{what}: {reason}")


def bad_token() -> InputError:
    """The error for a token that no header can carry; it is not shown."""
    return InputError(
        "your token of the Hub holds characters that no token has: log in again by: hf auth login, or set "
        "HF_TOKEN anew"
    )


def may_pass(error: Exception) -> bool:
    """Whether a failure may be over a moment later: trouble of the server or of the line."""
    if isinstance(error, OfflineModeIsEnabled) or isinstance(error.__cause__, OfflineModeIsEnabled):
        return False
    status = status_of(error)
    if status is not None:
        return status in _TEMPORARY
    return isinstance(error, LocalEntryNotFoundError) or not isinstance(error, EntryNotFoundError)


def patiently(call: Callable[[], T], repository: str, path: str = "") -> T:
    """Run ``call``, again after a pause where the failure may pass; else raise what `explain` makes of it.

    The waits a server asks for (``Retry-After``) are kept by huggingface_hub itself.
    """
    wait = FIRST_WAIT_S
    for attempt in range(ATTEMPTS):
        begun = time.monotonic()
        try:
            return call()
        except _FAILURES as error:
            last = attempt == ATTEMPTS - 1 or time.monotonic() - begun > PATIENCE_S
            if last or not may_pass(error):
                raise explain(error, repository, path) from None
        except UnicodeEncodeError:
            raise bad_token() from None
        except OSError as error:
            # huggingface_hub: a file shorter than announced, "Consistency check failed".
            if "Consistency check" not in str(error) or attempt == ATTEMPTS - 1:
                raise
        time.sleep(wait)
        wait *= 2
    raise AssertionError("unreachable")


def fetch(repository: str, path: str, *, revision: str | None = None, sha256: str | None = None) -> Path:
    """A file of a data set repository in the Hub's cache, fetched where it is not there yet.

    Parameters
    ----------
    sha256
        What the file must hash to. A file that does not is fetched once more and, if that does not help,
        removed and refused.
    """

    def get(force: bool) -> Path:
        found = hf_hub_download(
            repository, path, repo_type="dataset", revision=revision, force_download=force
        )
        return Path(found)

    file = patiently(lambda: get(False), repository, path)
    if sha256 is None or sha256_file(file) == sha256:
        return file
    file = patiently(lambda: get(True), repository, path)
    found = sha256_file(file)
    if found != sha256:
        file.resolve().unlink()
        file.unlink(missing_ok=True)
        raise damaged(repository, path, found, sha256)
    return file


def damaged(repository: str, path: str, found: str, wanted: str) -> InputError:
    """What to say of a file whose bytes are not those of the manifest, however often it is fetched."""
    return InputError(
        f"{repository}/{path}: the bytes do not match the manifest, twice (sha256 {found[:12]}..., not "
        f"{wanted[:12]}...): the copy on the server is damaged; tell its owner. Nothing of it was kept"
    )


def fetch_manifest(repository: str, *, revision: str | None = None) -> tuple[dict[str, Any], str]:
    """The manifest of an exported repository, and the commit it is of."""
    checked_repository(repository)
    try:
        file = fetch(repository, MANIFEST, revision=revision)
    except InputError as error:
        if "holds no such file" in str(error):
            raise InputError(
                f"{repository} has no {MANIFEST}: it was not made by three-hundred-maps publish; "
                f"try datasets.load_dataset({repository!r})"
            ) from None
        raise
    return parse_manifest(file.read_bytes(), repository), file.parent.name


def open_file(repository: str, path: str, *, revision: str | None = None) -> Any:
    """A file of a repository opened for reading by ranges."""
    at = f"@{revision}" if revision else ""
    return patiently(lambda: HfFileSystem().open(f"datasets/{repository}{at}/{path}", "rb"), repository, path)
