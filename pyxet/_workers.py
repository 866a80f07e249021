"""Worker threads that coroutines hand work to. They do not keep the interpreter alive.

`ThreadPoolExecutor` joins its threads at exit, so after a Ctrl-C during a slow read of a pipe the exit would hang. And the
overhead of `concurrent.futures` for each job is twice as high; a gibibyte takes some thousand jobs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Job(Generic[T]):
    """Work for a worker thread, and a future for the loop that waits for the result."""

    __slots__ = ("_arguments", "_claim", "_function", "_loop", "future")

    def __init__(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments
        self._claim = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()

    def claim(self) -> bool:
        """Claim the job; ``True`` for the first call only. A worker claims it to run it, a cancelled caller to prevent that."""
        return self._claim.acquire(blocking=False)

    def run(self) -> None:
        """In a worker thread: run the job and deliver the result to the loop."""
        if not self.claim():
            return
        result: T | None = None
        error: BaseException | None = None
        try:
            result = self._function(*self._arguments)
        except (StopIteration, SystemExit, KeyboardInterrupt) as ending:
            # In the waiting coroutine these would end it or its event loop, and with the loop all other calls there.
            error = RuntimeError(f"work in a thread raised {ending!r}")
            error.__cause__ = ending
        except BaseException as raised:  # noqa: BLE001  # delivered to the waiting coroutine
            error = raised
        # If the loop is closed, nothing waits for the result.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_deliver, self.future, result, error)


class Post:
    """Work for a worker thread that nobody waits for. It must not raise."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments

    def run(self) -> None:
        """In a worker thread: do the work."""
        self._function(*self._arguments)


def _deliver(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Workers:
    """A few worker threads, started as work arrives.

    Parameters
    ----------
    count:
        Maximum number of threads.
    name:
        Prefix of the threads' names.
    """

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self._name = name
        # Threads that were begun, and those of them that certainly run.
        self._begun = self._started = 0
        # Reentrant: the garbage collector may end a coroutine, which posts work, while this thread has the lock.
        self._lock = threading.RLock()
        self._queue: SimpleQueue[Job[Any] | Post] = SimpleQueue()

    @property
    def is_wanted(self) -> bool:
        """Whether work waits for a thread, so that a long job should give way to it."""
        return not self._queue.empty()

    def submit(self, function: Callable[..., T], *arguments: Any) -> Job[T]:
        """Queue work and return its `Job`. Must be called on an event loop, in any thread."""
        job = Job(function, arguments)
        self._put(job)
        return job

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Queue work that nobody waits for and that does not raise. Any thread may call this."""
        self._put(Post(function, arguments))

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run work in a thread and return its result. Cancelling the caller drops work that has not begun; other work goes on."""
        job = self.submit(function, *arguments)
        try:
            return await job.future
        except asyncio.CancelledError:
            job.claim()
            raise

    def _put(self, work: Job[Any] | Post) -> None:
        if self._begun < self.count or not self._started:
            self._start()
        if self._started:
            self._queue.put(work)
        else:
            work.run()

    def _start(self) -> None:
        """Start one more thread. If that fails, the threads that run already do the work.

        From Python 3.12 on, no thread can be started while the process ends, for example when `atexit` closes a file. If no
        thread runs then, the caller does the work itself.
        """
        with self._lock:
            if self._started and self._begun >= self.count:
                return
            self._begun += 1
            name = f"{self._name}-{self._begun}"
        # Not under the lock: `start` waits until the thread runs, and a garbage collection on the new thread may end a
        # coroutine before that, which posts work and so needs the lock.
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._begun -= 1
            if not self._started and threading.main_thread().is_alive():
                raise
        else:
            with self._lock:
                self._started += 1

    def _work(self) -> None:
        while True:
            # No variable refers to the job, so that nothing of it stays in memory while the thread waits for the next one.
            self._queue.get().run()
