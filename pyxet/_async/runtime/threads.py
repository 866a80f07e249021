"""Worker threads, for what blocks or computes over file bytes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from pyxet._async.runtime.tasks import outlast
from pyxet._platform import after_fork
from pyxet.config import usable_cores

T = TypeVar("T")


class _Job(Generic[T]):
    """Work for a worker thread, and the future in which the loop that asked for it waits.

    What `concurrent.futures` would do takes twice the time, and a gibibyte is some thousand jobs.
    """

    __slots__ = ("_arguments", "_claim", "_function", "_loop", "future")

    def __init__(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments
        self._claim = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()

    def claim(self) -> bool:
        """Whether the caller is the first: a worker that will run the job, or a cancelled caller, so that none will."""
        return self._claim.acquire(blocking=False)

    def run(self) -> None:
        """In a worker: do it, and tell the loop."""
        if not self.claim():
            return
        result: T | None = None
        error: BaseException | None = None
        try:
            result = self._function(*self._arguments)
        except StopIteration as stop:
            # It would end the coroutine that waits.
            error = RuntimeError("work in a thread raised StopIteration")
            error.__cause__ = stop
        except BaseException as raised:  # noqa: BLE001  # handed to whoever waits
            error = raised
        # A loop that is closed has nobody who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_deliver, self.future, result, error)


def _deliver(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class _Workers:
    """Worker threads that do not keep the interpreter alive.

    `ThreadPoolExecutor` joins its threads at exit, so a Ctrl-C during a slow read of a pipe would hang there.
    """

    def __init__(self, count: int) -> None:
        self._queue: SimpleQueue[_Job[Any]] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._work, name=f"pyxet-{number}", daemon=True).start()

    def submit(self, job: _Job[Any]) -> None:
        self._queue.put(job)

    def _work(self) -> None:
        while True:
            # Nothing of a job may stay in memory while the thread waits for another.
            self._queue.get().run()


_workers: _Workers | None = None
_workers_lock = threading.Lock()


def _submit(function: Callable[..., T], arguments: tuple[Any, ...]) -> _Job[T]:
    global _workers
    job = _Job(function, arguments)
    with _workers_lock:
        if _workers is None:
            # One more than there are cores: some of the work waits for a disk.
            _workers = _Workers(usable_cores() + 1)
        _workers.submit(job)
    return job


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run blocking or computing work in one of the process's worker threads.

    A caller that is cancelled does not wait for work that has begun; see `to_end`.
    """
    job = _submit(function, arguments)
    try:
        return await job.future
    except asyncio.CancelledError:
        job.claim()
        raise


async def to_end(
    function: Callable[..., T], *arguments: Any, undo: Callable[[T], object] = lambda result: None
) -> T:  # fmt: skip
    """Like `in_thread`, but work that has begun is waited for even by a caller that is cancelled.

    For work on descriptors that the caller closes, and on memory that it accounts for. What it returned to a cancelled
    caller goes to ``undo``.
    """
    job = _submit(function, arguments)
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


def _after_fork() -> None:
    global _workers, _workers_lock
    _workers, _workers_lock = None, threading.Lock()


after_fork(_after_fork)
