"""One builder at a time on a store, or several that share it by parts; a dead process gives its lock back.

Every lock file is held by one process. A part takes its own while it holds the store's for a moment, and a
builder of the whole takes the store's and finds no part's taken: so each sees the other, whoever comes first.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from three_hundred_maps.errors import InputError

WAIT_S = 300.0
"""How long a build waits for the workers of an earlier, killed one to come to their end."""
TRY_S, PART_S = 0.25, 5.0
"""How long a taken lock is asked for again: `lock_owner` and a part that starts hold it for a moment."""
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
_SAID: set[Path] = set()


def _acquire(path: Path, timeout: float) -> FileLock | None:
    """Lock a file, or `filelock.Timeout`; None on a file system without locks, which is said.

    Some cluster file systems are mounted so: shards are still written whole, but two builders are not kept
    apart.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=timeout)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="flock not supported")
            lock.acquire(poll_interval=0.05)
    except (NotImplementedError, UserWarning):
        pass
    except OSError as error:
        if isinstance(error, Timeout):
            raise
        if error.errno not in _NO_LOCKS:
            raise OSError(error.errno, error.strerror, str(path)) from error
    else:
        return lock
    if path.parent not in _SAID:
        _SAID.add(path.parent)
        print(
            f"note: the file system of {path.parent} has no locks: run one builder at a time on it",
            file=sys.stderr,
        )
    return None


def _owner_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.owner")


def _owner(path: Path) -> str:
    try:
        return _owner_file(path).read_text(encoding="utf-8").strip() or "another process"
    except OSError:
        return "another process"


@contextmanager
def hold(path: Path, refusal: str | None = None, timeout: float = TRY_S) -> Iterator[None]:
    """Hold a lock file.

    Parameters
    ----------
    path
        The file; it is gone afterwards.
    refusal
        Why not, where another process holds it; None to wait for that process.
    timeout
        Seconds to try before refusing.

    Raises
    ------
    InputError
        ``refusal``, with the process and host that hold the lock.
    """
    try:
        lock = _acquire(path, -1 if refusal is None else timeout)
    except Timeout:
        raise InputError(f"{refusal} ({_owner(path)})") from None
    try:
        _owner_file(path).write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        # While it is held: one that another process opened before that is then seen to have no name.
        with suppress(OSError):
            _owner_file(path).unlink()
        with suppress(OSError):
            path.unlink()
        if lock is not None:
            lock.release()


def lock_owner(store: Path) -> str | None:
    """Who builds a store just now, None where nobody does."""
    for path in (store / ".lock", *_parts(store)):
        if path.exists():
            try:
                lock = _acquire(path, 0)
            except (Timeout, OSError):
                return _owner(path)
            if lock is not None:
                lock.release()
    return None


def _parts(store: Path) -> list[Path]:
    return [path for path in sorted(store.glob(".lock-part-*")) if path.suffix != ".owner"]


@contextmanager
def worker_lock(store: Path) -> Iterator[None]:
    """Held by a worker while it writes to a store: a worker may outlive the build that started it."""
    name = f".lock-worker-{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    with hold(store / name):
        yield


def _wait_for_workers(store: Path) -> None:
    """Wait until no worker of a killed build writes any more."""
    refusal = f"{store}: workers of an earlier build still write to it; stop them first"
    for path in store.glob(".lock-worker-*"):
        if path.suffix != ".owner":
            with hold(path, refusal, WAIT_S):
                pass


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
            for path in _parts(store):
                with hold(path, refusal):
                    pass
            _wait_for_workers(store)
            yield
            # A worker killed in this build left its lock file, which a finished store may not hold.
            _wait_for_workers(store)
        return
    own = hold(
        store / f".lock-part-{part[0]}-of-{part[1]}",
        f"part {part[0]}/{part[1]} of {store} is being built by another process",
    )
    with ExitStack() as stack:
        with hold(store / ".lock", refusal, PART_S):
            stack.enter_context(own)
        yield
