"""Who may send now: how many requests each origin gets, and the bandwidth, for the whole process; `concurrency` decides."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

from pyxet._async.http.concurrency import ConcurrencyController, Meter
from pyxet._async.runtime.budget import REQUESTS, Budget
from pyxet._platform import after_fork

Origin = tuple[str, str]
# Origins that are remembered when nothing is asked of them.
_MAX_ORIGINS: Final = 256


class Limiter:
    """Lets requests to one origin begin, of any loop, thread and instance."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Reentrant, like that of a budget.
        self._lock = threading.RLock()
        self.controller = ConcurrencyController()
        self.slots = Budget()
        self.slots.limit = self.controller.allowed

    async def enter(self, kind: str, cap: int) -> Permit:
        """Wait until a request may be sent.

        Parameters
        ----------
        kind:
            What it asks for: it is expected to take as long as others of its kind.
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
        return Permit(self, kind, cap, self._clock())

    async def _pause(self) -> None:
        """Wait out what the endpoint asked for, and what it asks for meanwhile."""
        until = 0.0
        while self.controller.paused_until > until:
            until = self.controller.paused_until
            if (delay := until - self._clock()) > 0:
                await asyncio.sleep(delay)


class Permit:
    """One request's place among those to an origin, until `release`; its limiter learns from what is noted before.

    Attributes
    ----------
    size:
        Bytes of content that were moved in either direction.
    """

    __slots__ = ("_cap", "_first_byte", "_kind", "_limiter", "_sent", "size")

    def __init__(self, limiter: Limiter, kind: str, cap: int, now: float) -> None:
        self._limiter = limiter
        self._kind = kind
        self._cap = cap
        self._sent = self._first_byte = now
        self.size = 0

    def first_byte(self) -> None:
        """The answer begins."""
        self._first_byte = self._limiter._clock()

    def answered(self, error: int | None = None) -> None:
        """The whole answer has come; an error's status makes it one of another kind."""
        limiter = self._limiter
        kind = self._kind if error is None else f"{self._kind} {error}"
        with limiter._lock:
            limiter.controller.answered(
                self._sent,
                self._first_byte,
                limiter._clock(),
                kind=kind,
                size=self.size,
                in_flight=limiter.slots.in_use,
                cap=self._cap,
            )
            limiter.slots.limit = limiter.controller.allowed

    def refused(self, pause: float = 0.0) -> None:
        """The endpoint had too many requests, or did not answer in time.

        Parameters
        ----------
        pause:
            Seconds in which it wants no request at all.
        """
        limiter = self._limiter
        with limiter._lock:
            limiter.controller.refused(self._sent, limiter._clock(), in_flight=limiter.slots.in_use, pause=pause)
            limiter.slots.limit = limiter.controller.allowed

    def release(self) -> None:
        """The request is over."""
        REQUESTS.release(1)
        self._limiter.slots.release(1)


class _Shared:
    """What belongs to the process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.limiters: dict[Origin, Limiter] = {}
        self.meter = Meter()


_shared = _Shared()


def _after_fork() -> None:
    # The parent's requests do not exist here, and another of its threads may have held the lock.
    global _shared
    _shared = _Shared()


after_fork(_after_fork)


def limiter_of(origin: Origin) -> Limiter:
    """The process's limiter for an origin."""
    found = _shared.limiters.get(origin)
    if found is not None:
        return found
    with _shared.lock:
        if len(_shared.limiters) >= _MAX_ORIGINS:
            for other in [key for key, limiter in _shared.limiters.items() if not limiter.slots.in_use]:
                del _shared.limiters[other]
        return _shared.limiters.setdefault(origin, Limiter())


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
