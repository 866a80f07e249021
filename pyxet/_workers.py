"""Worker threads that coroutines hand work to. They do not keep the interpreter alive.

`ThreadPoolExecutor` joins its threads at exit, so a Ctrl-C during a slow read of a pipe would hang there. And what
`concurrent.futures` does for each job takes twice the time; a gibibyte is some thousand jobs.
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
    """Work for a worker thread, and the future in which the loop that asked for it waits."""

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
        except (StopIteration, SystemExit, KeyboardInterrupt) as ending:
            # They would end the coroutine that waits, or its loop, and with that all calls of everybody else.
            error = RuntimeError(f"work in a thread raised {ending!r}")
            error.__cause__ = ending
        except BaseException as raised:  # noqa: BLE001  # handed to whoever waits
            error = raised
        # A loop that is closed has nobody who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_deliver, self.future, result, error)


class Post:
    """Work for a worker thread that nobody waits for. It must not raise."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments

    def run(self) -> None:
        """In a worker: do it."""
        self._function(*self._arguments)


def _deliver(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Workers:
    """A few worker threads; they are started as work comes.

    Parameters
    ----------
    count:
        How many there are at the most.
    name:
        How their names begin.
    """

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self._name = name
        self._started = 0
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Job[Any] | Post] = SimpleQueue()

    @property
    def is_wanted(self) -> bool:
        """Whether work waits for a thread, so that what goes on for long should let it have its turn."""
        return not self._queue.empty()

    def submit(self, function: Callable[..., T], *arguments: Any) -> Job[T]:
        """Have work done; on an event loop, of any thread."""
        job = Job(function, arguments)
        self._put(job)
        return job

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have work done that nobody waits for, and that does not raise; from any thread."""
        self._put(Post(function, arguments))

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of work; what has begun goes on by itself if the caller is cancelled, other work is left."""
        job = self.submit(function, *arguments)
        try:
            return await job.future
        except asyncio.CancelledError:
            job.claim()
            raise

    def _put(self, work: Job[Any] | Post) -> None:
        if self._started < self.count:
            with self._lock:
                if self._started < self.count:
                    self._start()
        if self._started:
            self._queue.put(work)
        else:
            work.run()

    def _start(self) -> None:
        """Start one more thread. Where the system gives none, those that are there do its work, if there are any.

        From Python 3.12 on none is given to what runs at the end of the process, a file closed by `atexit` for example:
        there whoever has work does it.
        """
        name = f"{self._name}-{self._started + 1}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:
            if not self._started and threading.main_thread().is_alive():
                raise
        else:
            self._started += 1

    def _work(self) -> None:
        while True:
            # Nothing of a job may stay in memory while the thread waits for another.
            self._queue.get().run()
