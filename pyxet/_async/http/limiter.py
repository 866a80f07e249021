"""Who may send now: how many requests each origin gets, and the bandwidth, for the whole process; `concurrency` decides."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from pyxet._async.http.concurrency import ConcurrencyController, Meter
from pyxet._async.http.quotas import LOOK_AGAIN, Quota
from pyxet._async.runtime.budget import REQUESTS, Budget, claim, give_back
from pyxet._async.runtime.turns import Turns
from pyxet._platform import after_fork
from pyxet.protocol.rate_limit import RateLimit
from pyxet.watching import COUNTS

Origin = tuple[str, str]
# Origins that are remembered when nothing is asked of them.
_MAX_ORIGINS: Final = 256
# Seconds of a wait that people are told of.
_PATIENCE: Final = 2.0

_log: Final = logging.getLogger("pyxet.requests")


class Limiter:
    """Lets requests to one origin begin, of any loop, thread and instance.

    Parameters
    ----------
    host:
        What it is called in messages.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, host: str = "the endpoint") -> None:
        self._host = host
        self._clock = clock
        # Reentrant, like that of a budget.
        self._lock = threading.RLock()
        self.controller = ConcurrencyController()
        self.slots = Budget()
        self.slots.limit = self.controller.allowed
        self._lines: dict[str | None, _Line] = {}
        # The end of the pause that was told last.
        self._told_until = 0.0

    async def enter(
        self, kind: str, cap: int, *, route: str | None = None, longest: float = float("inf")
    ) -> Permit:  # fmt: skip
        """Wait until a request may be sent.

        Parameters
        ----------
        kind:
            What it asks for: it is expected to take as long as others of its kind.
        cap:
            Requests at once in the whole process.
        route:
            The class of routes it belongs to; each has a quota of its own.
        longest:
            Seconds to wait for a quota at most; where more are needed, the endpoint may say so itself.
        """
        line = self._line(route)
        if line.quota.limit is None:
            await self._enter_slot(cap)
            if self._sends(line.quota, longest):
                return Permit(self, kind, cap, self._clock(), line.quota)
            # Answers have told of a quota while this waited.
            self._leave_slot()
        async with line.turns.here():
            while True:
                await self._wait(line.quota, route, longest)
                await self._enter_slot(cap)
                if self._sends(line.quota, longest):
                    return Permit(self, kind, cap, self._clock(), line.quota)
                self._leave_slot()

    def _line(self, route: str | None) -> _Line:
        found = self._lines.get(route)
        return found if found is not None else self._lines.setdefault(route, _Line())

    def _sends(self, quota: Quota, longest: float) -> bool:
        """Take note that a request is sent, if that is right now."""
        with self._lock:
            if quota.limit is None:
                quota.flying += 1
                return True
            now = self._clock()
            if 0.0 < quota.delay(now) <= longest:
                return False
            quota.sent(now)
            return True

    async def _wait(self, quota: Quota, route: str | None, longest: float) -> None:
        """Wait until the quota lets a request be sent."""
        waits = 1
        while True:
            with self._lock:
                delay = quota.delay(self._clock())
                told = delay > _PATIENCE and quota.is_news()
            if not 0.0 < delay <= longest:
                return
            if told:
                self._tell(quota, route, delay)
            # Not longer: those that were under way may bring news.
            pause = min(delay, LOOK_AGAIN)
            COUNTS.add(waits=waits, seconds_waited=pause)
            waits = 0
            await asyncio.sleep(pause)

    def _tell(self, quota: Quota, route: str | None, delay: float) -> None:
        limit = quota.limit
        allowed = f" of {limit.allowed:,} requests" if limit is not None and limit.allowed else ""
        state = "is used up" if quota.is_used_up else "is nearly used up, and the rest is spread over its window"
        text = "the quota%s for %s routes of %s %s; waiting %.0f s"
        _log.warning(
            text, allowed, route or "other", self._host, state, delay, extra={"wait": delay, "reason": "quota"}
        )  # fmt: skip

    async def _enter_slot(self, cap: int) -> None:
        if self.controller.paused_until <= self._clock() and claim(1, cap, self.slots, REQUESTS):
            return
        await self.slots.acquire(1, cap)
        try:
            await self._pause()
            await REQUESTS.acquire(1, cap)
        except BaseException:
            self.slots.release(1)
            raise

    def _leave_slot(self) -> None:
        give_back(1, REQUESTS, self.slots)

    async def _pause(self) -> None:
        """Wait out what the endpoint asked for, and what it asks for meanwhile."""
        until = 0.0
        while self.controller.paused_until > until:
            until = self.controller.paused_until
            if (delay := until - self._clock()) > 0:
                self._tell_pause(until, delay)
                COUNTS.wait(delay)
                await asyncio.sleep(delay)

    def _tell_pause(self, until: float, delay: float) -> None:
        """Log once for each pause that requests wait which the endpoint has not refused itself."""
        with self._lock:
            told = delay > _PATIENCE and until > self._told_until + _PATIENCE
            if told:
                self._told_until = until
        if told:
            text = "%s received too many requests; pausing all requests to it for %.0f s"
            _log.warning(text, self._host, delay, extra={"wait": delay, "reason": "rate limit"})


class _Line:
    """Requests of one class of routes, and their quota: those that wait for it do so one behind the other."""

    def __init__(self) -> None:
        self.quota = Quota()
        self.turns = Turns()


class Permit:
    """One request's place among those to an origin, until `end`; its limiter learns from what is noted before.

    Attributes
    ----------
    began:
        When it might be sent.
    sent, received:
        Bytes of its body that have left, and of the answer's body that have come.
    """

    __slots__ = ("_cap", "_first_byte", "_kind", "_limiter", "_quota", "began", "received", "sent")

    def __init__(self, limiter: Limiter, kind: str, cap: int, now: float, quota: Quota) -> None:
        self._limiter = limiter
        self._quota: Quota | None = quota
        self._kind = kind
        self._cap = cap
        self.began = self._first_byte = now
        self.sent = self.received = 0

    def answering(self, limit: RateLimit | None) -> None:
        """The answer begins; its head tells of the quota, if anything. Once at the most."""
        limiter, quota = self._limiter, self._quota
        self._quota = None
        assert quota is not None
        self._first_byte = limiter._clock()
        with limiter._lock:
            if limit is None and quota.limit is None:
                quota.flying -= 1
            else:
                quota.answered(self._first_byte, limit)

    def refused(self, pause: float = 0.0) -> None:
        """The endpoint had too many requests, or did not answer in time.

        Parameters
        ----------
        pause:
            Seconds in which it wants no request at all.
        """
        limiter = self._limiter
        with limiter._lock:
            limiter.controller.refused(self.began, limiter._clock(), in_flight=limiter.slots.in_use, pause=pause)
            limiter.slots.limit = limiter.controller.allowed

    def end(self, status: int | None = None) -> float:
        """The request is over. Returns the seconds it took.

        Parameters
        ----------
        status:
            Of an answer of which all has come; the limiter learns from it.
        """
        limiter, now = self._limiter, self._limiter._clock()
        if self._quota is not None:
            with limiter._lock:
                self._quota.lost()
        if status is not None:
            # An error is an answer of another kind.
            kind = self._kind if status < 300 else f"{self._kind} {status}"
            controller = limiter.controller
            with limiter._lock:
                if controller.answered(
                    self.began,
                    self._first_byte,
                    now,
                    kind=kind,
                    size=self.sent + self.received,
                    in_flight=limiter.slots.in_use,
                    cap=self._cap,
                ):
                    limiter.slots.limit = controller.allowed
        limiter._leave_slot()
        return now - self.began


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
        return _shared.limiters.setdefault(origin, Limiter(host=origin[1]))


async def metered(amount: int, rate: int, *, spent: bool, clock: Callable[[], float] = time.monotonic) -> None:
    """Wait until the bandwidth allows for a number of bytes, at a rate of bytes per second.

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
