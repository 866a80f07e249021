"""Calls that come together share one request: those of one turn of the event loop, and those that come while others go on.

Tools that read many objects at once ask for each of them on its own: zarr for ten chunks at a time, whether they are there
or not, and for as many ranges of a shard; DuckDB asks of its files one by one, from several threads. A call that is alone
waits for one turn and no longer, and going together only ever saves requests.
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

# As many as the endpoint takes in one request.
_MAX_ITEMS: Final = 500

Place = tuple[asyncio.AbstractEventLoop, K]


class Batch(Generic[V, T]):
    """What was asked for together, in order: each item once, and by how many."""

    def __init__(self, job: Callable[[list[V]], Coroutine[Any, Any, T]] | None = None) -> None:
        self.items: dict[V, int] = {}
        self.weight = 0
        self.job = job
        self.context: Context | None = copy_context() if job is not None else None
        self.task: asyncio.Task[T] | None = None
        # One for each of those who wait, as who is cancelled cancels what they wait for.
        self.waiters: list[asyncio.Future[None]] = []
        # What was made of all items together, see `Batches.join`.
        self.made: list[T] = []


class _Queue(Generic[V, T]):
    """Batches under one key that wait, and how many of them are under way."""

    def __init__(self) -> None:
        self.waiting: deque[Batch[V, T]] = deque()
        # In which of those an item is.
        self.places: dict[V, Batch[V, T]] = {}
        self.running = 0
        self.scheduled = False


class Batches(Generic[K, V, T]):
    """Gathers what is asked for under one key, and has one job carried out for all of a batch.

    Parameters
    ----------
    most:
        Items of a batch; what comes after them begins another one.
    at_once:
        Batches of one key and event loop that are under way; what is asked for meanwhile gathers.
    weigh, most_weight:
        What an item weighs, and the weight of a batch; one item may be heavier.
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
        # Queues and batches refer to their loop, so they must not outlive those who wait.
        self._open: dict[Place[K], Batch[V, T]] = {}
        self._queues: dict[Place[K], _Queue[V, T]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being gathered, and nothing under way."""
        return not self._open and not self._queues

    async def join(self, key: K, item: V, together: Callable[[list[V]], T]) -> T:
        """Add an item and wait for the end of this turn: what ``together`` makes of all items that came in it, made once."""
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
        """Add an item and wait for the job of its batch: what that returns, or raises.

        The job is that of whoever began the batch. It is cancelled, and waited for, when everybody who waited for it was
        cancelled.
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
        """One of those who wait was cancelled."""
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
            # All who wait may just have been cancelled, and then nobody else is to hear of it.
            task.exception()
        for waiter in batch.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._schedule(place, queue)
        self._forget_idle(place, queue)

    def _forget_idle(self, place: Place[K], queue: _Queue[V, T]) -> None:
        if not queue.waiting and not queue.running and self._queues.get(place) is queue:
            del self._queues[place]
