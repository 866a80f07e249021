"""Combines calls into one request: those of one turn of the event loop, and those that arrive while a request is running.

Tools that read many objects ask for each of them separately: zarr for ten chunks at a time, whether they exist or not, and
for as many ranges of a shard; DuckDB asks about its files one by one, from several threads. A single call waits for one
turn of the event loop and no longer, and combining calls can only save requests.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final, Generic, TypeVar

from pyxet._async.runtime.tasks import stopped

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)
T = TypeVar("T")

# Items that the endpoint accepts in one request.
_MAX_ITEMS: Final = 500

Place = tuple[asyncio.AbstractEventLoop, K]


class Batch(Generic[V, T]):
    """Items requested together, in order: each once, with the number of callers that wait for it."""

    def __init__(self, job: Callable[[list[V]], Coroutine[Any, Any, T]] | None = None) -> None:
        self.items: dict[V, int] = {}
        self.weight = 0
        self.job = job
        self.context: Context | None = copy_context() if job is not None else None
        self.task: asyncio.Task[T] | None = None
        # One for each waiting caller, because a caller that is cancelled cancels the future that it awaits.
        self.waiters: list[asyncio.Future[None]] = []
        # The result for all items together, see `Batches.join`; empty until it is made.
        self.made: list[T] = []


class _Queue(Generic[V, T]):
    """The waiting batches of one key, and the number of its running batches."""

    def __init__(self) -> None:
        self.waiting: deque[Batch[V, T]] = deque()
        # The waiting batch of each item.
        self.places: dict[V, Batch[V, T]] = {}
        self.running = 0
        self.scheduled = False


class Batches(Generic[K, V, T]):
    """Gathers items that are requested under one key, and runs one job for each batch of them.

    Parameters
    ----------
    most:
        Most items of a batch. Further items begin another batch.
    at_once:
        Most batches of one key and event loop that run at once. Items requested meanwhile are gathered.
    weigh, most_weight:
        Returns the weight of an item; most weight of a batch. A single item may be heavier.
    """

    def __init__(
        self,
        most: int = _MAX_ITEMS,
        *,
        at_once: int = sys.maxsize,
        weigh: Callable[[V], int] = lambda item: 0,
        most_weight: int = sys.maxsize,
    ) -> None:
        self._most = most
        self._at_once = at_once
        self._weigh = weigh
        self._most_weight = most_weight
        # Queues and batches refer to their loop, so they must not outlive the callers that wait for them.
        self._open: dict[Place[K], Batch[V, T]] = {}
        self._queues: dict[Place[K], _Queue[V, T]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no items are being gathered and no batch is running."""
        return not self._open and not self._queues

    async def join(self, key: K, item: V, together: Callable[[list[V]], T]) -> T:
        """Add an item, and wait for the other items of this turn of the loop.

        Returns what ``together`` makes of all these items. It is called once for all callers.
        """
        place = (asyncio.get_running_loop(), key)
        batch = self._open.get(place)
        if batch is None or len(batch.items) >= self._most:
            batch = self._open[place] = Batch()
        batch.items[item] = 1
        try:
            await asyncio.sleep(0)
        finally:
            if self._open.get(place) is batch:
                del self._open[place]
        if not batch.made:
            batch.made.append(together(list(batch.items)))
        return batch.made[0]

    async def run(self, key: K, item: V, job: Callable[[list[V]], Coroutine[Any, Any, T]]) -> T:
        """Add an item and wait for the job of its batch. Returns or raises what the job does.

        A batch runs the job of the caller that began it. When all callers that wait for the job are cancelled, it is
        cancelled too, and the last caller waits for its end.
        """
        place = (asyncio.get_running_loop(), key)
        queue = self._queues.get(place)
        if queue is None:
            queue = self._queues[place] = _Queue()
        batch = self._entered(queue, item, job)
        self._schedule(place, queue)
        waiter: asyncio.Future[None] = place[0].create_future()
        batch.waiters.append(waiter)
        try:
            await waiter
        finally:
            if batch.task is None or not batch.task.done():
                await self._left(place, queue, batch, item)
        assert batch.task is not None
        return batch.task.result()

    def _entered(
        self, queue: _Queue[V, T], item: V, job: Callable[[list[V]], Coroutine[Any, Any, T]]
    ) -> Batch[V, T]:  # fmt: skip
        batch = queue.places.get(item)
        if batch is not None:
            batch.items[item] += 1
            return batch
        batch = queue.waiting[-1] if queue.waiting else None
        weight = self._weigh(item)
        if batch is None or len(batch.items) >= self._most or batch.weight + weight > self._most_weight:
            batch = Batch(job)
            queue.waiting.append(batch)
        batch.items[item] = 1
        batch.weight += weight
        queue.places[item] = batch
        return batch

    async def _left(self, place: Place[K], queue: _Queue[V, T], batch: Batch[V, T], item: V) -> None:
        """Handle the cancellation of one waiting caller."""
        batch.items[item] -= 1
        if batch.task is not None:
            if not any(batch.items.values()):
                await stopped(batch.task)
        elif not batch.items[item]:
            del batch.items[item], queue.places[item]
            batch.weight -= self._weigh(item)
            if not batch.items:
                queue.waiting.remove(batch)
                self._forget_idle(place, queue)

    def _schedule(self, place: Place[K], queue: _Queue[V, T]) -> None:
        if queue.waiting and not queue.scheduled and queue.running < self._at_once:
            queue.scheduled = True
            place[0].call_soon(self._launch, place, queue)

    def _launch(self, place: Place[K], queue: _Queue[V, T]) -> None:
        queue.scheduled = False
        while queue.waiting and queue.running < self._at_once:
            batch = queue.waiting.popleft()
            assert batch.job is not None
            for item in batch.items:
                del queue.places[item]
            queue.running += 1
            batch.task = place[0].create_task(batch.job(list(batch.items)), context=batch.context)
            batch.task.add_done_callback(partial(self._finished, place, queue, batch))
        self._forget_idle(place, queue)

    def _finished(self, place: Place[K], queue: _Queue[V, T], batch: Batch[V, T], task: asyncio.Task[T]) -> None:
        queue.running -= 1
        if not task.cancelled():
            # Marks the exception as retrieved: perhaps all waiting callers have just been cancelled.
            task.exception()
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._schedule(place, queue)
        self._forget_idle(place, queue)

    def _forget_idle(self, place: Place[K], queue: _Queue[V, T]) -> None:
        if not queue.waiting and not queue.running and self._queues.get(place) is queue:
            del self._queues[place]
