"""Worker threads, for work that blocks or that computes over file content."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from pyxet._async.runtime.budget import GUESTS
from pyxet._async.runtime.tasks import outlast
from pyxet._platform import after_fork
from pyxet._workers import Job, Workers
from pyxet.config import usable_cores

T = TypeVar("T")
# Most threads that run code of callers at the same time.
_MOST_GUESTS: Final = 64

_workers: Workers | None = None
# Reentrant: the garbage collector may end a coroutine, which posts work, while this thread has the lock.
_lock = threading.RLock()


def _pool() -> Workers:
    """The process's worker threads."""
    global _workers
    found = _workers
    if found is None:
        # One more than there are cores, because some of the work waits for a disk.
        made = Workers(usable_cores() + 1, "pyxet")
        with _lock:
            found = _workers = _workers or made
    return found


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run blocking or computing work in one of the process's worker threads.

    A caller that is cancelled does not wait for work that has begun; see `to_end`.
    """
    return await _pool().run(function, *arguments)


async def in_own_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Like `in_thread`, but in a new thread: for callers' code, which may block on anything, even on worker threads."""
    async with GUESTS.hold(1, _MOST_GUESTS):
        job = Job(function, arguments)
        threading.Thread(target=job.run, name="pyxet-guest", daemon=True).start()
        return await job.future


async def to_end(
    function: Callable[..., T], *arguments: Any, undo: Callable[[T], object] = lambda result: None
) -> T:  # fmt: skip
    """Like `in_thread`, but even a caller that is cancelled waits for work that has begun.

    For work on descriptors that the caller closes, and on memory that it accounts for. If the caller was cancelled, the
    result of the work is passed to ``undo``.
    """
    job = _pool().submit(function, *arguments)
    try:
        await asyncio.wait([job.future])
    except asyncio.CancelledError:
        if not job.claim():
            try:
                await outlast(job.future)
            finally:
                if job.future.exception() is None:
                    undo(job.future.result())
        raise
    return job.future.result()


async def surely(function: Callable[..., T], *arguments: Any) -> T:
    """Like `to_end`, but the work is always done, even if the caller is cancelled before the work has begun.

    For closing and removing: a cancelled anyio scope cancels each wait in it, also the wait for this work.
    """
    job = _pool().submit(function, *arguments)
    await outlast(job.future)
    return job.future.result()


class Stage(Generic[T]):
    """Processes items one after the other, in any free worker thread; no thread waits for the next item.

    Stages form a pipeline: the work of one stage puts items into the next one. The work must not raise.
    """

    def __init__(self) -> None:
        # Reentrant, like that of the workers.
        self._lock = threading.RLock()
        self._waiting: deque[T] = deque()
        self._running = False

    def put(self, item: T, work: Callable[[T], object], *, first: bool = False) -> None:
        """Queue an item behind the waiting ones, or in front of them (``first``). Callable from any thread.

        ``work`` is the function that processes an item, the same for all items. The stage does not store it: it is often a
        method of the object that owns the stage, and would form a reference cycle.
        """
        with self._lock:
            if first:
                self._waiting.appendleft(item)
            else:
                self._waiting.append(item)
            if self._running:
                return
            self._running = True
        _pool().post(self._run, work)

    def _run(self, work: Callable[[T], object]) -> None:
        pool = _pool()
        while True:
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return
                item = self._waiting.popleft()
            work(item)
            del item
            if pool.is_wanted:
                # Queue behind the other jobs: no upload keeps a thread to itself while another job waits for one.
                pool.post(self._run, work)
                return


def post(function: Callable[..., object], *arguments: Any) -> None:
    """Queue work for a worker thread. Callable from any thread. Nobody waits for the work, and it must not raise."""
    _pool().post(function, *arguments)


def processors() -> int:
    """The number of processors that the worker threads can use."""
    return _pool().count - 1


def is_wanted() -> bool:
    """Whether another job waits for a worker thread, see `Stage`."""
    return _pool().is_wanted


def _after_fork() -> None:
    # The threads exist only in the parent.
    global _workers, _lock
    _workers, _lock = None, threading.RLock()


after_fork(_after_fork)
