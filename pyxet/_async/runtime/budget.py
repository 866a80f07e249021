"""Budgets of memory and requests that the whole process shares.

They count across event loops and threads, which limiters bound to one loop cannot: a notebook's loop, fsspec's I/O thread
and a service's loop share one process and its memory.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakMethod

from pyxet._platform import after_fork


@dataclass(slots=True)
class _Waiter:
    amount: int
    cap: int
    loop: asyncio.AbstractEventLoop
    granted: asyncio.Future[None]


class Budget:
    """A resource that the whole process shares, granted in the order of the requests.

    Each request has a cap: its amount is granted when the total in use would stay within the cap. An amount in use is
    *idle* if its holder may keep it for ever (such as a file that a user leaves open), and *in flight* if it will be
    released without anybody's help. When nothing is in flight, the next request is granted even beyond its cap, so that
    nobody waits for ever and a request larger than its cap proceeds alone; the holders of idle amounts are then asked,
    through `on_pressure`, to release them.
    """

    def __init__(self) -> None:
        # Reentrant: the garbage collector may end a coroutine, which then calls `release` while this thread has the lock.
        self._lock = threading.RLock()
        self._waiting: deque[_Waiter] = deque()
        self._pressed: set[WeakMethod[Callable[[], None]]] = set()
        self._limit = sys.maxsize
        self.in_use = 0
        self.idle = 0
        # Called, from any thread, when nothing is in flight any more.
        self.when_quiet: Callable[[], object] = lambda: None

    @property
    def limit(self) -> int:
        """A bound in addition to the caps of the requests. It may change at any time."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        more = limit > self._limit
        self._limit = limit
        if more:
            self._grant()

    def on_pressure(self, method: Callable[[], None]) -> None:
        """Register a bound method, to be called from any thread when others need idle amounts. It is held weakly."""
        reference = WeakMethod(method, self._pressed.discard)
        self._pressed.add(reference)

    async def acquire(self, amount: int, cap: int) -> None:
        """Wait for an amount; pair it with `release`."""
        with self._lock:
            if self.try_acquire(amount, cap):
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
                # The amount was granted at the same time as the caller was cancelled.
                self._take_back(waiter)
            raise

    def try_acquire(self, amount: int, cap: int) -> bool:
        """Take an amount if it can be granted at once. Callable from any thread. Pair it with `release`."""
        with self._lock:
            granted = self.has_room(amount, cap)
            if granted:
                self.in_use += amount
            return granted

    def release(self, amount: int) -> None:
        """Return an amount. Callable from any thread."""
        with self._lock:
            self.in_use -= amount
            quiet, alone = self.in_use <= self.idle, not self._waiting
        if quiet:
            self.when_quiet()
        if not alone:
            self._grant()

    def mark_idle(self, amount: int) -> None:
        """Move an amount from in flight to idle. A negative amount moves back, which is necessary before `release`."""
        with self._lock:
            self.idle += amount
            quiet = self.in_use <= self.idle
        if amount > 0:
            if quiet:
                self.when_quiet()
            self._grant()

    def has_room(self, amount: int, cap: int) -> bool:
        """Whether an amount would be granted at once."""
        return not self._waiting and self.in_use + amount <= min(cap, self._limit)

    @asynccontextmanager
    async def hold(self, amount: int, cap: int) -> AsyncIterator[None]:
        """Hold an amount until the block ends."""
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
                    if self.in_use > self.idle:
                        break
                    pressing = pressing or self.idle > 0
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
        """Release what was granted to a waiter that does not need it. Only the first call does: its coroutine may call again."""
        with self._lock:
            amount, waiter.amount = waiter.amount, 0
        self.release(amount)


def claim(amount: int, cap: int, *budgets: Budget) -> bool:
    """Take an amount from each of these budgets, if all of them grant it at once. Pair it with `give_back`."""
    for number, budget in enumerate(budgets):
        if not budget.try_acquire(amount, cap):
            give_back(amount, *budgets[:number])
            return False
    return True


def give_back(amount: int, *budgets: Budget) -> None:
    """Return an amount to each of these budgets."""
    for budget in budgets:
        budget.release(amount)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# Bytes of content in flight. Reads and writes have half of `Limits.memory` each: content that is copied from one to
# the other would otherwise wait for room that it occupies itself.
READ_MEMORY = Budget()
WRITE_MEMORY = Budget()
# Requests in flight.
REQUESTS = Budget()
# Threads that run code of callers, which may block.
GUESTS = Budget()


def _after_fork() -> None:
    for budget in (READ_MEMORY, WRITE_MEMORY, REQUESTS, GUESTS):
        budget.__init__()  # type: ignore[misc]  # the parent's holders and waiters do not exist here


after_fork(_after_fork)
