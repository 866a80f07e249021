"""Bounded concurrency: budgets for the whole process, bounded gathers, single flights, and worker threads.

Budgets count across event loops and threads, which loop-bound limiters cannot: a notebook's loop, fsspec's I/O thread
and a service's loop share one process, and its memory.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Any, Generic, TypeVar
from weakref import WeakMethod

from pyxet.config import usable_cores

T = TypeVar("T")
X = TypeVar("X")
K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Waiter:
    amount: int
    cap: int
    loop: asyncio.AbstractEventLoop
    granted: asyncio.Future[None]


class Budget:
    """An amount of something that the whole process shares, handed out in order of asking.

    Whoever asks brings a cap: an amount is granted when what is in use would stay within it. What is in use *rests*
    where its holder may keep it for ever (an open file of a user who does something else), and *moves* where it will be
    given back by itself. When nothing moves, an amount is granted all the same, so that nobody waits for ever and a
    request larger than its cap proceeds alone; holders of what rests are then asked, through `on_pressure`, to give up.
    """

    def __init__(self) -> None:
        # Reentrant, as a coroutine that the garbage collector ends may release while this thread is in here.
        self._lock = threading.RLock()
        self._waiting: deque[_Waiter] = deque()
        self._pressed: set[WeakMethod[Callable[[], None]]] = set()
        self._limit = sys.maxsize
        self.in_use = 0
        self.resting = 0

    @property
    def limit(self) -> int:
        """A bound beside those of the askers, which may change at any time."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        more = limit > self._limit
        self._limit = limit
        if more:
            self._grant()

    def on_pressure(self, method: Callable[[], None]) -> None:
        """Call a bound method, from any thread, when others need what rests. It is held weakly."""
        reference = WeakMethod(method, self._pressed.discard)
        self._pressed.add(reference)

    async def acquire(self, amount: int, cap: int) -> None:
        """Wait for an amount; pair it with `release`."""
        with self._lock:
            if not self._waiting and self.in_use + amount <= min(cap, self._limit):
                self.in_use += amount
                return
            loop = asyncio.get_running_loop()
            waiter = _Waiter(amount, cap, loop, loop.create_future())
            self._waiting.append(waiter)
        self._grant()
        try:
            await waiter.granted
        except BaseException:
            with self._lock:
                waiting = waiter in self._waiting
                if waiting:
                    self._waiting.remove(waiter)
            if waiting:
                self._grant()
            else:
                # It was granted while the cancellation was on its way.
                self._take_back(waiter)
            raise

    def release(self, amount: int) -> None:
        """Give an amount back; from any thread."""
        with self._lock:
            self.in_use -= amount
            if not self._waiting:
                return
        self._grant()

    def rest(self, amount: int) -> None:
        """Say that an amount in use rests from now on; a negative one, that it moves again or is about to be released."""
        with self._lock:
            self.resting += amount
        if amount > 0:
            self._grant()

    def has_room(self, amount: int, cap: int) -> bool:
        """Whether an amount would be granted at once."""
        return not self._waiting and self.in_use + amount <= min(cap, self._limit)

    @asynccontextmanager
    async def hold(self, amount: int, cap: int) -> AsyncIterator[None]:
        """Have an amount for the length of a block."""
        await self.acquire(amount, cap)
        try:
            yield
        finally:
            self.release(amount)

    def _grant(self) -> None:
        granted: list[_Waiter] = []
        pressing = False
        with self._lock:
            while self._waiting:
                waiter = self._waiting[0]
                if self.in_use + waiter.amount > min(waiter.cap, self._limit):
                    if self.in_use > self.resting:
                        break
                    pressing = pressing or self.resting > 0
                self._waiting.popleft()
                self.in_use += waiter.amount
                granted.append(waiter)
        for waiter in granted:
            try:
                waiter.loop.call_soon_threadsafe(_wake, waiter.granted)
            except RuntimeError:
                # Its loop is closed, so nobody waits any more.
                self._take_back(waiter)
        if pressing:
            for reference in list(self._pressed):
                method = reference()
                if method is not None:
                    method()

    def _take_back(self, waiter: _Waiter) -> None:
        """Release what was granted to a waiter that has no use for it; once, as its coroutine may end later on."""
        with self._lock:
            amount, waiter.amount = waiter.amount, 0
        self.release(amount)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# Bytes of content in flight. Reads and writes have half of `Limits.memory` each: content that is copied from one to
# the other would otherwise wait for room that it occupies itself.
READ_MEMORY = Budget()
WRITE_MEMORY = Budget()
# Requests in flight.
REQUESTS = Budget()


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
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            result = await asyncio.shield(job.future)
        except asyncio.CancelledError as error:
            cancelled = error
            if job.claim():
                raise
        except BaseException:
            if cancelled is not None:
                raise cancelled from None
            raise
        else:
            if cancelled is not None:
                undo(result)
                raise cancelled
            return result


def _after_fork() -> None:
    global _workers, _workers_lock
    _workers, _workers_lock = None, threading.Lock()
    for budget in (READ_MEMORY, WRITE_MEMORY, REQUESTS):
        budget.__init__()  # type: ignore[misc]  # the parent's holders and waiters do not exist here


os.register_at_fork(after_in_child=_after_fork)


class SingleFlight(Generic[K, T]):
    """At most one run of a job for each key and event loop; whoever asks meanwhile gets its result.

    The run is cancelled, and waited for, when everybody who waited for it was cancelled.
    """

    def __init__(self) -> None:
        self._flights: dict[tuple[asyncio.AbstractEventLoop, K], _Flight[T]] = {}

    async def run(self, key: K, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the job for this key."""
        place = (asyncio.get_running_loop(), key)
        flight = self._flights.get(place)
        if flight is None or flight.task.cancelling():
            flight = self._flights[place] = _Flight(asyncio.create_task(job()))
            flight.task.add_done_callback(lambda task: self._landed(place, task))
        return await flight.join()

    def _landed(self, place: tuple[asyncio.AbstractEventLoop, K], task: asyncio.Task[T]) -> None:
        flight = self._flights.get(place)
        if flight is not None and flight.task is task:
            del self._flights[place]


class _Flight(Generic[T]):
    """A task that several wait for."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self._waiting = 0

    async def join(self) -> T:
        self._waiting += 1
        try:
            await asyncio.wait([self.task])
        finally:
            self._waiting -= 1
            if not self._waiting and not self.task.done():
                await stopped(self.task)
        return self.task.result()


async def stopped(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended, however they end."""
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while any(not task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if cancelled is not None:
        raise cancelled


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
    first: BaseException | None = None

    async def work(number: int, job: Callable[[], Awaitable[T]]) -> None:
        results[number] = await job()
        for number, job in waiting:  # the next one, from the same source
            results[number] = await job()

    try:
        async with asyncio.TaskGroup() as group:
            for number, job in islice(waiting, limit):
                group.create_task(work(number, job))
    except BaseExceptionGroup as error:
        first = unwrap(error)
    if first is not None:
        # Outside of the handler, so that it keeps its own cause and context.
        try:
            raise first
        finally:
            del first
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
    on_discard: Callable[[T], None] = lambda result: None,
    ahead: Callable[[X], bool] = lambda item: True,
) -> AsyncIterator[AsyncIterator[T]]:
    """Results of ``worker`` in the order of the items, at most ``limit`` of them running or waiting to be taken.

    Parameters
    ----------
    on_discard:
        Gets the results that nobody takes because the block is left early.
    ahead:
        Whether there is room to begin an item before it is its turn.
    """
    tasks: deque[asyncio.Task[T]] = deque()
    source = iter(items)
    waiting: list[X] = []

    def fill() -> None:
        while len(tasks) < limit:
            if not waiting:
                try:
                    waiting.append(next(source))
                except StopIteration:
                    return
            if tasks and not ahead(waiting[0]):
                return
            tasks.append(asyncio.create_task(worker(waiting.pop())))

    async def results() -> AsyncGenerator[T, None]:
        fill()
        while tasks:
            # The task stays in the window until it is done, so that leaving early cancels it too.
            await asyncio.wait([tasks[0]])
            result = tasks.popleft().result()
            fill()
            yield result

    taking = results()
    try:
        yield taking
    finally:
        try:
            await taking.aclose()
            await stopped(*tasks)
        finally:
            for task in tasks:
                if not task.cancelled() and task.exception() is None:
                    on_discard(task.result())
