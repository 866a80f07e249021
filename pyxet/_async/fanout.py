"""Bounded concurrency: budgets for the whole process, bounded gathers, and worker threads.

Budgets count across event loops and threads, which loop-bound limiters cannot: a notebook's loop, fsspec's I/O thread
and a service's loop share one process, and its memory.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
X = TypeVar("X")


@dataclass(slots=True)
class _Waiter:
    amount: int
    cap: int
    loop: asyncio.AbstractEventLoop
    granted: asyncio.Future[None]


class Budget:
    """An amount of something that the whole process shares, handed out in order of asking.

    Whoever asks brings a cap: an amount is granted when what is in use would stay within it, or when nothing is in use,
    so that a request larger than its cap proceeds alone instead of never.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Waiter] = deque()
        self.in_use = 0

    async def acquire(self, amount: int, cap: int) -> None:
        """Wait for an amount; pair it with `release`."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if not self._waiting and self._fits(amount, cap):
                self.in_use += amount
                return
            waiter = _Waiter(amount, cap, loop, loop.create_future())
            self._waiting.append(waiter)
        try:
            await waiter.granted
        except asyncio.CancelledError:
            with self._lock:
                waiting = waiter in self._waiting
                if waiting:
                    self._waiting.remove(waiter)
            if waiting:
                self._grant()
            else:
                # It was granted while the cancellation was on its way.
                self.release(amount)
            raise

    def release(self, amount: int) -> None:
        """Give an amount back; from any thread."""
        with self._lock:
            self.in_use -= amount
        self._grant()

    @asynccontextmanager
    async def hold(self, amount: int, cap: int) -> AsyncIterator[None]:
        """Have an amount for the length of a block."""
        await self.acquire(amount, cap)
        try:
            yield
        finally:
            self.release(amount)

    def _fits(self, amount: int, cap: int) -> bool:
        return self.in_use == 0 or self.in_use + amount <= cap

    def _grant(self) -> None:
        with self._lock:
            while self._waiting and self._fits(self._waiting[0].amount, self._waiting[0].cap):
                waiter = self._waiting.popleft()
                self.in_use += waiter.amount
                try:
                    waiter.loop.call_soon_threadsafe(_wake, waiter.granted)
                except RuntimeError:
                    # Its loop is closed, so nobody waits any more.
                    self.in_use -= waiter.amount


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# Bytes of content in flight. Reads and writes have half of `Limits.memory` each: content that is copied from one to
# the other would otherwise wait for room that it occupies itself.
READ_MEMORY = Budget()
WRITE_MEMORY = Budget()
# Requests in flight.
REQUESTS = Budget()


def usable_cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run blocking or computing work in one of the process's worker threads."""
    global _pool
    with _pool_lock:
        if _pool is None:
            # One more than there are cores: some of the work waits for a disk.
            _pool = ThreadPoolExecutor(usable_cores() + 1, thread_name_prefix="pyxet")
    return await asyncio.get_running_loop().run_in_executor(_pool, function, *arguments)


def _after_fork() -> None:
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()
    for budget in (READ_MEMORY, WRITE_MEMORY, REQUESTS):
        budget.__init__()  # type: ignore[misc]  # the parent's holders and waiters do not exist here


os.register_at_fork(after_in_child=_after_fork)


def unwrap(error: BaseException) -> BaseException:
    """The first error of an exception group, however nested; others as they are."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def run_all(jobs: Iterable[Callable[[], Awaitable[T]]], *, limit: int) -> list[T]:
    """Run jobs, at most ``limit`` at once, and return their results in order.

    Jobs are taken from the iterable as there is room for them. The first error cancels the others and is raised as it is.
    """
    results: dict[int, T] = {}
    waiting = enumerate(jobs)

    async def work() -> None:
        for number, job in waiting:
            results[number] = await job()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(work())
    except BaseExceptionGroup as error:
        raise unwrap(error) from None
    return [results[number] for number in sorted(results)]


async def run_each(jobs: Iterable[Callable[[], Awaitable[T]]], *, limit: int) -> list[T | Exception]:
    """Like `run_all`, but an error is the result of its job and stops no other."""

    def guarded(job: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T | Exception]]:
        async def run() -> T | Exception:
            try:
                return await job()
            except Exception as error:  # noqa: BLE001  # handed to the caller
                return error

        return run

    return await run_all(map(guarded, jobs), limit=limit)


@asynccontextmanager
async def ordered_window(
    items: Iterable[X],
    worker: Callable[[X], Coroutine[Any, Any, T]],
    *,
    limit: int,
    on_discard: Callable[[T, X], None] = lambda result, item: None,
) -> AsyncIterator[AsyncIterator[T]]:
    """Results of ``worker`` in the order of the items, at most ``limit`` of them running or waiting to be taken.

    Results that nobody takes, because the block is left early, go to ``on_discard``.
    """
    tasks: deque[tuple[asyncio.Task[T], X]] = deque()
    source = iter(items)

    def fill() -> None:
        while len(tasks) < limit:
            try:
                item = next(source)
            except StopIteration:
                return
            tasks.append((asyncio.create_task(worker(item)), item))

    async def results() -> AsyncIterator[T]:
        fill()
        while tasks:
            # The task stays in the window until it is done, so that leaving early cancels it too.
            await asyncio.wait([tasks[0][0]])
            task, _ = tasks.popleft()
            result = task.result()
            yield result
            fill()

    try:
        yield results()
    finally:
        for task, _ in tasks:
            task.cancel()
        done = await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        for result, (_, item) in zip(done, tasks, strict=True):
            if not isinstance(result, BaseException):
                on_discard(result, item)
