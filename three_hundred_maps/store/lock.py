"""One builder at a time on a store, or several that share it by parts; a dead process gives its lock back."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from three_hundred_maps.errors import InputError

WORKERS = ".lock-workers"
WAIT_S = 300.0
"""How long a build waits for the workers of an earlier, killed one to come to their end."""
TRIES, PAUSE_S = 5, 0.05
"""A lock that is taken is asked for again: `lock_owner` holds it for a moment while it looks."""
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


def try_lock(descriptor: int, kind: int, path: Path) -> None:
    """Lock an open file, or BlockingIOError where it is taken.

    On a file system without locks (some cluster file systems are mounted so) nothing is locked, and that
    is said: shards are still written whole, but two builders are not kept apart.
    """
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OSError(error.errno, error.strerror, str(path)) from error
        if path.parent not in _SAID:
            _SAID.add(path.parent)
            print(
                f"note: the file system of {path.parent} has no locks: run one builder at a time on it",
                file=sys.stderr,
            )


_SAID: set[Path] = set()


def lock_owner(store: Path) -> str | None:
    """Who holds a store's lock just now, None where nobody does."""
    path = store / ".lock"
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        try_lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, path)
    except BlockingIOError:
        return _owner(path)
    finally:
        os.close(descriptor)
    return None


def _owner(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "another process"
    except OSError:
        return "another process"


@contextmanager
def hold(path: Path, refusal: str, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock file, alone or with others; InputError with ``refusal`` and the owner where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    taken = 0
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try_lock(descriptor, kind | fcntl.LOCK_NB, path)
        except BlockingIOError:
            os.close(descriptor)
            taken += 1
            if taken == TRIES:
                raise InputError(f"{refusal} ({_owner(path)})") from None
            time.sleep(PAUSE_S)
            continue
        # The last holder removes the file: one opened just before that is locked in vain.
        try:
            same = os.fstat(descriptor).st_ino == os.stat(path).st_ino
        except FileNotFoundError:
            same = False
        if same:
            break
        os.close(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        try:
            # Only a sole holder may take the name away: others still rest on it.
            try_lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, path)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)


@contextmanager
def at_work(store: Path) -> Iterator[None]:
    """Held by a worker while it writes to a store: a worker may outlive the build that started it."""
    descriptor = os.open(store / WORKERS, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try_lock(descriptor, fcntl.LOCK_SH, store / WORKERS)
        yield
    finally:
        os.close(descriptor)


def _wait_for_workers(store: Path) -> None:
    """Wait until no worker of a killed build writes any more."""
    path = store / WORKERS
    if not path.exists():
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        for _ in range(int(WAIT_S / 0.05)):
            try:
                try_lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, path)
            except BlockingIOError:
                time.sleep(0.05)
            else:
                path.unlink(missing_ok=True)
                return
    finally:
        os.close(descriptor)
    raise InputError(f"{store}: workers of an earlier build still write to it; stop them first")


@contextmanager
def store_lock(store: Path, part: tuple[int, int] | None = None) -> Iterator[None]:
    """Hold a store against other builders: alone, or as one of the parts that share it.

    Raises
    ------
    InputError
        Where another builder holds the store (or the same part), naming its process and host.
    """
    refusal = f"{store} is being built by another process; wait for it, or stop it first"
    if part is None:
        with hold(store / ".lock", refusal):
            _wait_for_workers(store)
            try:
                yield
            finally:
                (store / WORKERS).unlink(missing_ok=True)
        return
    with (
        hold(store / ".lock", refusal, fcntl.LOCK_SH),
        hold(
            store / f".lock-part-{part[0]}-of-{part[1]}",
            f"part {part[0]}/{part[1]} of {store} is being built by another process",
        ),
    ):
        yield
