"""Who may send now: the pace of each origin and the bandwidth, for the whole process; see `pacing` for the decisions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

from pyxet._async.http.concurrency import Meter, Pace
from pyxet._async.runtime.budget import REQUESTS, Budget
from pyxet._platform import after_fork

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

    async def enter(self, kind: str, cap: int) -> Visit:
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
        return Visit(self, kind, cap, self._clock())

    async def _pause(self) -> None:
        """Wait out what the endpoint asked for, and what it asks for meanwhile."""
        until = 0.0
        while self.pace.paused_until > until:
            until = self.pace.paused_until
            if (delay := until - self._clock()) > 0:
                await asyncio.sleep(delay)


class Visit:
    """One request's place among those to an origin, to be left; what is noted of it first is what its pacer learns.

    Attributes
    ----------
    size:
        Bytes of content that were moved in either direction.
    """

    __slots__ = ("_cap", "_first_byte", "_kind", "_pacer", "_sent", "size")

    def __init__(self, pacer: Pacer, kind: str, cap: int, now: float) -> None:
        self._pacer = pacer
        self._kind = kind
        self._cap = cap
        self._sent = self._first_byte = now
        self.size = 0

    def first_byte(self) -> None:
        """The answer begins."""
        self._first_byte = self._pacer._clock()

    def answered(self, error: int | None = None) -> None:
        """The whole answer has come; an error's status makes it one of another kind."""
        pacer = self._pacer
        kind = self._kind if error is None else f"{self._kind} {error}"
        with pacer._lock:
            pacer.pace.answered(
                self._sent,
                self._first_byte,
                pacer._clock(),
                kind=kind,
                size=self.size,
                in_flight=pacer.slots.in_use,
                cap=self._cap,
            )
            pacer.slots.limit = pacer.pace.allowed

    def refused(self, pause: float = 0.0) -> None:
        """The endpoint had too many requests, or did not answer in time.

        Parameters
        ----------
        pause:
            Seconds in which it wants no request at all.
        """
        pacer = self._pacer
        with pacer._lock:
            pacer.pace.refused(self._sent, pacer._clock(), in_flight=pacer.slots.in_use, pause=pause)
            pacer.slots.limit = pacer.pace.allowed

    def leave(self) -> None:
        """The request is over."""
        REQUESTS.release(1)
        self._pacer.slots.release(1)


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


after_fork(_after_fork)


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
