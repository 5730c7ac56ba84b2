"""Who does the work: this process, a pool of spawned ones, or the workers of a Dask scheduler.

All are used through `run_tasks`: results come in any order, and the work of a lost worker is done again.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from three_hundred_maps.errors import InputError
from three_hundred_maps.progress import progress

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
) -> Iterator[tuple[Task, Any]]:
    """Run ``function`` on every task; yield (task, result) as each is done.

    Parameters
    ----------
    function
        Importable by name; safe to be run again on a task that was begun and lost.
    tasks
        Picklable.
    workers
        Local processes; with 1 the work is done in this one.
    scheduler
        Address of a Dask scheduler (``tcp://host:port``); then ``workers`` is not used.

    Raises
    ------
    InputError
        Where the scheduler cannot be reached, or workers keep dying.
    """
    if scheduler is not None:
        yield from _on_dask(function, tasks, scheduler)
    elif workers <= 1 or len(tasks) <= 1:
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
    import signal
    import threading

    # Ctrl-C reaches the whole process group: the parent alone decides, so that workers print nothing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    from multiprocessing.connection import wait

    wait([sentinel])
    os._exit(1)


def _on_pool(
    function: Callable[[Task], Any], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Any]]:
    left = dict(enumerate(tasks))
    failures = 0
    while left:
        # spawn: a fork after a threaded codec deadlocks
        context = multiprocessing.get_context("spawn")
        pool = concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_start_worker)
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
                    f"workers die again and again ({LOST_WORKER_TRIES} times): out of memory?"
                    " run with fewer --workers"
                ) from None
        finally:
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            if left:
                # An error or Ctrl-C: what runs is abandoned, its shards are done again by the next build.
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
                    f"the Dask worker {error.last_worker} died again and again: out of memory?"
                    " give its job more"
                ) from None
            yield futures.pop(future), result
    finally:
        for future in futures:
            future.cancel()
        client.close()


def halo_bar(total: int, done: int, name: str) -> Any:
    """The one progress bar of a build, over halos."""
    bar = progress(total=total, desc=name, unit="halo")
    # What an earlier run did says nothing about this one's rate.
    bar.initial = bar.n = done
    bar.refresh()
    return bar
