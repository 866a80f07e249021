"""Helpers for tasks: bounded gathers, single flights, results in order, and cancellation that waits for the end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Generic, TypeVar

import anyio

from pyxet._traces import unwrap

T = TypeVar("T")
X = TypeVar("X")
K = TypeVar("K", bound=Hashable)


class SingleFlight(Generic[K, T]):
    """At most one run of a job for each key and event loop. Callers that ask meanwhile get its result.

    When all callers that wait for the run are cancelled, it is cancelled too, and the last caller waits for its end.
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
        if not task.cancelled():
            # Mark the exception as retrieved: if all who waited were cancelled, asyncio would report it otherwise.
            task.exception()


class _Flight(Generic[T]):
    """A task that several callers wait for."""

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


async def outlast(*futures: asyncio.Future[Any]) -> None:
    """Wait until futures are done, even if the caller is cancelled meanwhile; the cancellation is raised at the end.

    A cancelled anyio scope cancels its task again in each turn of the loop until the task has left the scope. So waiting
    on needs a shielded scope: without it, the repeated cancellation would keep a core busy.
    """
    if all(future.done() for future in futures):
        return
    try:
        await asyncio.wait(futures)
        return
    except asyncio.CancelledError as error:
        cancelled = error
    try:
        with anyio.CancelScope(shield=True):
            while not all(future.done() for future in futures):
                try:
                    await asyncio.wait(futures)
                except asyncio.CancelledError as error:
                    cancelled = error
        raise cancelled
    finally:
        # Breaks the reference cycle: the traceback of the exception refers to this frame.
        del cancelled


async def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, even if the caller is cancelled meanwhile; the cancellation is raised at the end.

    For closing and discarding, which a cancellation of the caller must not leave half done.
    """
    task = asyncio.create_task(coroutine)
    await outlast(task)
    return task.result()


async def stopped(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended, however they end."""
    for task in tasks:
        task.cancel()
    try:
        await outlast(*tasks)
    finally:
        for task in tasks:
            if not task.cancelled():
                task.exception()


async def run_all(worker: Callable[[X], Awaitable[T]], items: Iterable[X], *, limit: int) -> list[T]:
    """Await ``worker`` for each item, at most ``limit`` at once, and return the results in the order of the items.

    An item is taken from the iterable only when it can begin. The first error cancels the others and is raised unchanged.
    """
    results: dict[int, T] = {}
    waiting = enumerate(items)
    begun = list(islice(waiting, limit))
    first: BaseException | None = None

    async def work(number: int, item: X) -> None:
        results[number] = await worker(item)
        for number, item in waiting:  # the next one, from the same source
            results[number] = await worker(item)

    try:
        if len(begun) == 1:
            # Only one item at a time, which needs no task: most reads are of one range, from one xorb.
            await work(*begun[0])
        else:
            async with asyncio.TaskGroup() as group:
                for number, item in begun:
                    group.create_task(work(number, item))
    except BaseExceptionGroup as error:
        first = unwrap(error)
    if first is not None:
        # Raised outside of the handler, so that it keeps its own cause and context.
        try:
            raise first
        finally:
            del first
    return [results[number] for number in sorted(results)]


async def run_each(worker: Callable[[X], Awaitable[T]], items: Iterable[X], *, limit: int) -> list[T | Exception]:
    """Like `run_all`, but an error becomes the result of its item and does not stop the others."""

    async def guarded(item: X) -> T | Exception:
        try:
            return await worker(item)
        except Exception as error:  # noqa: BLE001  # handed to the caller
            return error

    return await run_all(guarded, items, limit=limit)


async def run_together(*jobs: Callable[[], Awaitable[object]]) -> None:
    """Like `run_all`, for a few different functions; their results are dropped."""

    async def call(job: Callable[[], Awaitable[object]]) -> None:
        await job()

    await run_all(call, jobs, limit=len(jobs))


@asynccontextmanager
async def ordered_window(
    items: Iterable[X],
    worker: Callable[[X], Coroutine[Any, Any, T]],
    *,
    limit: int | Callable[[], int],
    on_discard: Callable[[T], None] = lambda result: None,
    ahead: Callable[[X], bool] = lambda item: True,
) -> AsyncIterator[AsyncIterator[T]]:
    """Results of ``worker`` in the order of the items, at most ``limit`` of them running or waiting to be taken.

    Parameters
    ----------
    limit:
        The number, or a function that returns it and is called again whenever a result is taken.
    on_discard:
        Called with each result that nobody takes because the block is left early.
    ahead:
        Tells whether an item may begin before its result is the next one to be taken.
    """
    tasks: deque[asyncio.Task[T]] = deque()
    source = iter(items)
    waiting: list[X] = []

    def fill() -> None:
        most = limit() if callable(limit) else limit
        while len(tasks) < most:
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
