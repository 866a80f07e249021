"""Threads for work that blocks: local folders, and the file systems of others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """A few threads that do not keep the process alive: a read that hangs must not hold up Ctrl-C.

    Parameters
    ----------
    count:
        How many there are at the most; they are started as they are needed.
    """

    def __init__(self, count: int) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._count = count
        self._started = self._busy = 0

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a function, which goes on by itself if the caller is cancelled."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def deliver(result: T | None, error: BaseException | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(result)  # type: ignore[arg-type]  # without an error there is a result
            else:
                done.set_exception(error)

        def job() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = function(*arguments)
            except StopIteration as stop:
                error = RuntimeError("work in a thread raised StopIteration")
                error.__cause__ = stop
            except BaseException as raised:  # noqa: BLE001  # handed to whoever waits
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(deliver, result, error)

        self._busy += 1
        if self._busy > self._started < self._count:
            self._started += 1
            threading.Thread(target=self._work, name=f"xet-{self._started}", daemon=True).start()
        self._queue.put(job)
        try:
            return await done
        finally:
            self._busy -= 1

    async def each(self, items: Iterator[T]) -> AsyncIterator[T]:
        """The items of an iterator that blocks."""
        while (found := await self.run(_next, items)) is not None:
            yield found[0]

    def _work(self) -> None:
        while True:
            self._queue.get()()


def _next(items: Iterator[T]) -> tuple[T] | None:
    for item in items:
        return (item,)
    return None
