"""Who does the work: this process, a pool of spawned ones, or the workers of a Dask scheduler.

All are used through `run_tasks`: results come in any order, and the work of a lost worker is done again.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import spawn_pool

Task = TypeVar("Task")
LOST_WORKER_TRIES = 5
"""How often a pool is made anew after a worker died, with no task finished in between."""

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""Workers are single-threaded: the cores are theirs to share."""


def run_tasks(
    function: Callable[[Task], Any],
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    own_process: bool = False,
) -> Iterator[tuple[Task, Any]]:
    """Run ``function`` on every task; yield (task, result) as each is done.

    Parameters
    ----------
    function
        Importable by name; safe to be run again on a task that was begun and lost.
    tasks
        Picklable.
    workers
        Local processes; with 1 the work is done in this one, unless ``own_process``.
    scheduler
        Address of a Dask scheduler (``tcp://host:port``); then ``workers`` is not used.

    Raises
    ------
    InputError
        Where the scheduler cannot be reached, or workers keep dying.
    """
    if scheduler is not None:
        yield from _on_dask(function, tasks, scheduler)
    elif (workers <= 1 or len(tasks) <= 1) and not own_process:
        for task in tasks:
            yield task, function(task)
    else:
        yield from _on_pool(function, tasks, min(workers, len(tasks)))


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables that processes started meanwhile inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start_worker() -> None:
    """Make a pool's worker end with its parent, however that ends."""
    # Ctrl-C reaches the whole process group: the parent alone decides, so that workers print nothing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The lock that numcodecs makes then has no name, which a worker stopped by an error would leave behind:
    # Python says so in lines of its own below the error.
    if "fork" in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method("fork", force=True)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _on_pool(
    function: Callable[[Task], Any], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Any]]:
    left = dict(enumerate(tasks))
    failures = 0
    while left:
        others = set(multiprocessing.active_children())
        pool = spawn_pool(workers, _start_worker)
        try:
            with environment(ONE_THREAD):
                futures = {pool.submit(function, task): number for number, task in left.items()}
            for future in concurrent.futures.as_completed(futures):
                result = future.result()
                number = futures[future]
                failures = 0
                yield left.pop(number), result
        except BrokenProcessPool:
            failures += 1
            if failures >= LOST_WORKER_TRIES:
                raise InputError(
                    f"workers died {LOST_WORKER_TRIES} times with nothing finished: out of memory? run with"
                    ' fewer workers; in a script of your own, call this below `if __name__ == "__main__":`'
                ) from None
        finally:
            processes = set(multiprocessing.active_children()) - others
            pool.shutdown(wait=False, cancel_futures=True)
            if left:
                # After an error or Ctrl-C what runs is abandoned: its shards are made by the next build.
                for process in processes:
                    process.terminate()
            for process in processes:
                process.join()


def _on_dask(
    function: Callable[[Task], Any], tasks: Sequence[Task], scheduler: str
) -> Iterator[tuple[Task, Any]]:
    from distributed import Client, as_completed
    from distributed.scheduler import KilledWorker

    try:
        client = Client(scheduler, timeout="15s")
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from None
    try:
        # pure=False: a shard is written, not computed; a key may not stand for an earlier run.
        futures = {client.submit(function, task, pure=False): task for task in tasks}
        for future in as_completed(list(futures)):
            try:
                result = future.result()
            except KilledWorker as error:
                raise InputError(
                    f"the Dask worker {error.last_worker} died repeatedly: out of memory? give its job more"
                ) from None
            yield futures.pop(future), result
    finally:
        for future in futures:
            future.cancel()
        client.close()
