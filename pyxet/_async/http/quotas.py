"""Decides how an endpoint's quota of requests is used. No I/O: the time is passed as an argument.

Answers tell the quota: a number of requests in a window of seconds. While much of it is left, requests are sent at once.
The last part is spread over the rest of the window. When nothing is left, requests wait for the next window.
"""

from __future__ import annotations

from typing import Final

from pyxet.protocol.rate_limit import RateLimit

# The last share of a quota, which is spread over the rest of its window; before that, requests are sent at once.
_SPREAD: Final = 0.25
# Requests that may be sent at once even while the quota is spread, if none was sent for a while: enough for one call.
_AT_ONCE: Final = 4
# When a window has ended, this share of its requests is sent to learn the next quota, and more after this many seconds.
_PROBES: Final = 0.01
_PROBE_AGAIN: Final = 1.0
# A quota is forgotten when its window has ended and so many answers tell nothing of it: some endpoints tell when they refuse.
_SILENT: Final = 3
# Seconds of the shortest wait for a window: endpoints tell whole ones.
_SHORTEST: Final = 1.0
# Seconds after which a waiting request looks at the quota again, as answers that came meanwhile may have changed it.
LOOK_AGAIN: Final = 0.25


class Quota:
    """What is known of one quota. Not safe for several threads.

    Attributes
    ----------
    limit:
        What was told last; ``None`` while nothing was.
    flying:
        Requests that were sent, and nothing told with an answer yet. Of a quota that nobody has told of, this is all.
    """

    def __init__(self) -> None:
        self.limit: RateLimit | None = None
        self.flying = 0
        # In this window: the least that was told to remain, how many may still be sent, and when it ends.
        self._least = 0
        self._left = 0
        self._ends = float("-inf")
        self._most = 0
        self._next = float("-inf")
        self._probes = 0
        self._probed = float("-inf")
        self._silent = 0
        self._warned = float("-inf")

    def delay(self, now: float) -> float:
        """Seconds until a request may be sent. This reserves nothing: call it again after waiting."""
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
        self.flying += 1
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
        """Note an answer, and what it told of the quota (``None`` if nothing)."""
        self.flying -= 1
        if limit is None:
            if now >= self._ends:
                self._silent += 1
                if self._silent >= _SILENT:
                    self.limit = None
            return
        self.limit, self._silent = limit, 0
        # A request that is refused at the very end of a window is told to wait 0 seconds.
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
        # Requests in flight may not be counted by the endpoint yet, so all of them are subtracted.
        self._left = self._least - self.flying

    def lost(self) -> None:
        """Note that a request has ended without an answer."""
        self.flying -= 1

    def is_news(self) -> bool:
        """Whether this is the first call in this window, so that a caller warns once per window why it waits."""
        news = self._ends > self._warned + _SHORTEST
        if news:
            self._warned = self._ends
        return news
