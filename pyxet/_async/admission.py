"""Who may send now: the pace of each origin and the bandwidth, for the whole process; see `pacing` for the decisions."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from pyxet._async.fanout import REQUESTS, Budget
from pyxet._async.pacing import Meter, Pace

Origin = tuple[str, str]
# Origins that are remembered when nothing is asked of them.
_MAX_ORIGINS: Final = 256


class Pacer:
    """Lets requests to one origin begin, of any loop, thread and instance."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Reentrant, like that of a budget.
        self._lock = threading.RLock()
        self.pace = Pace()
        self.slots = Budget()
        self.slots.limit = self.pace.allowed

    async def enter(self, cap: int) -> float:
        """Wait until a request may be sent; the time at which that is. Pair it with `leave`.

        Parameters
        ----------
        cap:
            Requests at once in the whole process.
        """
        await self.slots.acquire(1, cap)
        try:
            await self._pause()
            await REQUESTS.acquire(1, cap)
        except BaseException:
            self.slots.release(1)
            raise
        return self._clock()

    def leave(self) -> None:
        """The request has ended, however it did."""
        REQUESTS.release(1)
        self.slots.release(1)

    def answered(self, sent: float, first_byte: float, *, kind: str, size: int, cap: int) -> None:
        """Note, before `leave`, that an answer has come; see `Pace.answered`."""
        with self._lock:
            self.pace.answered(
                sent, first_byte, self._clock(), kind=kind, size=size, in_flight=self.slots.in_use, cap=cap
            )
            self.slots.limit = self.pace.allowed

    def refused(self, sent: float, pause: float = 0.0) -> None:
        """Note, before `leave`, that the endpoint is busy; see `Pace.refused`."""
        with self._lock:
            self.pace.refused(sent, self._clock(), in_flight=self.slots.in_use, pause=pause)
            self.slots.limit = self.pace.allowed

    def now(self) -> float:
        """The time by the pacer's clock, in seconds."""
        return self._clock()

    async def _pause(self) -> None:
        """Wait out what the endpoint asked for, and what it asks for meanwhile."""
        until = 0.0
        while self.pace.paused_until > until:
            until = self.pace.paused_until
            if (delay := until - self._clock()) > 0:
                await asyncio.sleep(delay)


class _Shared:
    """What belongs to the process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pacers: dict[Origin, Pacer] = {}
        self.meter = Meter()


_shared = _Shared()


def _after_fork() -> None:
    # The parent's requests do not exist here, and another of its threads may have held the lock.
    global _shared
    _shared = _Shared()


os.register_at_fork(after_in_child=_after_fork)


def pacer_of(origin: Origin) -> Pacer:
    """The process's pacer for an origin."""
    found = _shared.pacers.get(origin)
    if found is not None:
        return found
    with _shared.lock:
        if len(_shared.pacers) >= _MAX_ORIGINS:
            for other in [key for key, pacer in _shared.pacers.items() if not pacer.slots.in_use]:
                del _shared.pacers[other]
        return _shared.pacers.setdefault(origin, Pacer())


async def metered(amount: int, rate: int, *, spent: bool, clock: Callable[[], float] = time.monotonic) -> None:
    """Wait until the bandwidth allows for so many bytes, at a rate of bytes per second.

    Parameters
    ----------
    spent:
        Whether they have been moved already, so that they count even if the caller is cancelled.
    """
    shared = _shared
    with shared.lock:
        delay = shared.meter.charge(amount, rate, clock())
    if delay > 0:
        try:
            await asyncio.sleep(delay)
        except BaseException:
            if not spent:
                with shared.lock:
                    shared.meter.refund(amount, rate)
            raise
