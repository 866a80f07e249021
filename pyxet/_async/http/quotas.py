"""How an endpoint's quota of requests is used: decisions only, with the time as an argument.

What answers tell of a quota, so many requests in so many seconds, is used ahead of time. Requests go as they come while
much of a window's quota is left. What is left then is spread over the rest of the window, and when nothing is left, requests
wait for the next one.
"""

from __future__ import annotations

from typing import Final

from pyxet.protocol.rate_limit import RateLimit

# The share of a quota that is spread over the rest of its window; before, requests go as they come.
_SPREAD: Final = 0.25
# Requests that go at once where they are spread, if none was sent for a while: what a single call needs.
_AT_ONCE: Final = 4
# At the end of a window so many of its requests, as a share, ask what the next one allows; and again after so many seconds.
_PROBES: Final = 0.01
_PROBE_AGAIN: Final = 1.0
# Seconds of the shortest wait for a window: endpoints tell whole ones.
_SHORTEST: Final = 1.0
# Seconds after which a quota is looked at again by those who wait for it: answers that come meanwhile may tell more.
LOOK_AGAIN: Final = 0.25


class Quota:
    """What is known of one quota. Not safe for several threads.

    Attributes
    ----------
    limit:
        What was told last; ``None`` while nothing was.
    """

    def __init__(self) -> None:
        self.limit: RateLimit | None = None
        # Sent, and nothing told with an answer yet.
        self._flying = 0
        # In this window: the least that was told to remain, how many may still be sent, and when it ends.
        self._least = 0
        self._left = 0
        self._ends = float("-inf")
        self._most = 0
        self._next = float("-inf")
        self._probes = 0
        self._probed = float("-inf")
        self._warned = float("-inf")

    def delay(self, now: float) -> float:
        """Seconds until a request may be sent; nothing is promised for then."""
        if self.limit is None:
            return 0.0
        if now >= self._ends:
            enough = self._probes >= max(1, int(self._most * _PROBES))
            return max(0.0, self._probed + _PROBE_AGAIN - now) if enough else 0.0
        if self._left <= 0:
            return self._ends - now
        return max(0.0, self._next - now) if self._is_spread else 0.0

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left in this window."""
        return self._left <= 0

    @property
    def _is_spread(self) -> bool:
        return self._left <= self._most * _SPREAD

    def sent(self, now: float) -> None:
        """Note that a request is being sent."""
        self._flying += 1
        if self.limit is None:
            return
        if now >= self._ends:
            self._probes += 1
            self._probed = now
            return
        if self._is_spread:
            interval = (self._ends - now) / max(1, self._left)
            self._next = max(self._next, now - _AT_ONCE * interval) + interval
        self._left -= 1

    def answered(self, now: float, limit: RateLimit | None) -> None:
        """Note that a request has its answer, and what that tells of the quota, if anything; or that it will have none."""
        self._flying -= 1
        if limit is None:
            return
        self.limit = limit
        # Those refused at the very end of a window are told to wait for no time at all.
        ends = now + (limit.reset if limit.remaining else max(limit.reset, _SHORTEST))
        # Seconds are rounded by the endpoint, and answers take their time.
        slack = 1.5 if limit.window is None else min(1.5, limit.window / 2)
        if ends > self._ends + slack or now >= self._ends:
            self._least, self._ends = limit.remaining, ends
            self._probes, self._next = 0, float("-inf")
            self._most = max(limit.allowed or 0, limit.remaining)
        else:
            # Answers overtake each other; the smallest number is the newest.
            self._least, self._ends = min(self._least, limit.remaining), min(self._ends, ends)
        # Those under way may be counted already, or not.
        self._left = self._least - self._flying

    def is_news(self) -> bool:
        """Whether this is asked for the first time in this window: for those who tell people why they wait."""
        news = self._ends > self._warned + _SHORTEST
        if news:
            self._warned = self._ends
        return news
