"""Worker threads, for what blocks or computes over file bytes."""

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
# Threads at once for code of others.
_MOST_GUESTS: Final = 64

_workers: Workers | None = None
_lock = threading.Lock()


def _pool() -> Workers:
    """The process's worker threads."""
    global _workers
    if _workers is None:
        with _lock:
            if _workers is None:
                # One more than there are cores: some of the work waits for a disk.
                _workers = Workers(usable_cores() + 1, "pyxet")
    return _workers


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run blocking or computing work in one of the process's worker threads.

    A caller that is cancelled does not wait for work that has begun; see `to_end`.
    """
    return await _pool().run(function, *arguments)


async def in_own_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Like `in_thread`, for code of others, which may wait for anything: also for work that needs the worker threads."""
    async with GUESTS.hold(1, _MOST_GUESTS):
        job = Job(function, arguments)
        threading.Thread(target=job.run, name="pyxet-guest", daemon=True).start()
        return await job.future


async def to_end(
    function: Callable[..., T], *arguments: Any, undo: Callable[[T], object] = lambda result: None
) -> T:  # fmt: skip
    """Like `in_thread`, but work that has begun is waited for even by a caller that is cancelled.

    For work on descriptors that the caller closes, and on memory that it accounts for. What it returned to a cancelled
    caller goes to ``undo``.
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
    """Like `to_end`, but the work is also begun for a caller that is being cancelled.

    For what closes and removes: a cancelled anyio scope cancels each wait in it, the one for this work, too.
    """
    job = _pool().submit(function, *arguments)
    await outlast(job.future)
    return job.future.result()


class Stage(Generic[T]):
    """Work on items one after the other, in whichever worker threads are free; no thread waits for the next item.

    A part of a pipeline: one stage puts into another from its worker thread. The work must not raise.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[T] = deque()
        self._running = False

    def put(self, item: T, work: Callable[[T], object], *, first: bool = False) -> None:
        """Have an item worked on, after those that wait, or before them (``first``); from any thread.

        ``work`` is the same for all items. It is not kept: whose method it is may have this stage.
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
                # Behind the others: no upload keeps a thread to itself while somebody waits for one.
                pool.post(self._run, work)
                return


def post(function: Callable[..., object], *arguments: Any) -> None:
    """Have work done by a worker thread that nobody waits for, and that does not raise; from any thread."""
    _pool().post(function, *arguments)


def processors() -> int:
    """How many processors there are for the worker threads."""
    return _pool().count - 1


def is_wanted() -> bool:
    """Whether work waits for a worker thread, see `Stage`."""
    return _pool().is_wanted


def _after_fork() -> None:
    # The threads stayed with the parent.
    global _workers, _lock
    _workers, _lock = None, threading.Lock()


after_fork(_after_fork)
