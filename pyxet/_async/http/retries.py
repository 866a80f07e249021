"""Decides how often a request is tried, and how long it waits in between; nothing else decides that.

attempts = Attempts(policy, is_transient)
while True:
    try:
        return await once(attempts.number)
    except XetError as error:
        pause = attempts.failed(error)
        if pause is None:
            raise
    await asyncio.sleep(pause)
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from pyxet.config import RetryPolicy
from pyxet.errors import ConnectionFailedError, RateLimitedError, RemoteError, RequestTimeoutError, XetError
from pyxet.watching import COUNTS, retried

# Bytes that must arrive between two breaks of a body, so that the first break no longer counts. Without this limit, a body that
# breaks off after each byte would be continued for ever.
_HEADWAY: Final = 64 * 1024
# After this many seconds of retries, there is a warning.
_PATIENCE: Final = 2.0

_log: Final = logging.getLogger("pyxet.requests")


class Attempts:
    """The attempts of one request: whether there is another one after an error, and when.

    Parameters
    ----------
    policy:
        The number of attempts, and the pauses between them.
    is_worth:
        Tells which errors are worth another attempt.

    Attributes
    ----------
    number:
        Number of the present attempt, from 1 on.
    """

    def __init__(self, policy: RetryPolicy, is_worth: Callable[[XetError], bool]) -> None:
        self._policy = policy
        self._is_worth = is_worth
        self.number = 1
        self._failures = 0
        self._headway = 0
        self._began = asyncio.get_running_loop().time()

    def note_progress(self, size: int) -> None:
        """Note bytes that arrived and need not be requested again. After enough of them, earlier failures no longer count."""
        self._headway += size
        if self._headway >= _HEADWAY:
            self._failures = self._headway = 0
            self._began = asyncio.get_running_loop().time()

    def failed(self, error: XetError) -> float | None:
        """Note that an attempt has failed; seconds until the next one, which is logged.

        ``None`` if another attempt would not help, if there were enough of them, or if the endpoint asks for a longer pause
        than the policy allows: then the error is that of the request.
        """
        self._failures += 1
        if not self._is_worth(error) or self._is_final(error):
            return None
        return self._wait(error)

    def _is_final(self, error: XetError) -> bool:
        asked = error.retry_after if isinstance(error, RemoteError) else None
        return self._failures >= self._policy.attempts or (asked is not None and asked > self._policy.max_retry_after)

    def _wait(self, error: XetError) -> float:
        """Seconds before the next attempt: those that the endpoint asked for, else a number that doubles each time, with jitter.

        The pause is logged; as a warning if so much time has passed since the first attempt that a user may wonder.
        """
        policy = self._policy
        if isinstance(error, RemoteError) and error.retry_after is not None:
            seconds = error.retry_after
        else:
            longest = min(policy.max_delay, policy.base_delay * 2.0 ** (self._failures - 1))
            seconds = longest * random.uniform(0.5, 1.0)
        patience = asyncio.get_running_loop().time() - self._began + seconds
        level = logging.WARNING if patience > _PATIENCE else logging.INFO
        text = error.message if isinstance(error, (ConnectionFailedError, RequestTimeoutError)) else error
        line = "%s; trying again in %.1f s (%d of %d)"
        reason = "rate limit" if isinstance(error, RateLimitedError) else "retry"
        _log.log(
            level, line, text, seconds, self._failures + 1, policy.attempts, extra={"wait": seconds, "reason": reason}
        )  # fmt: skip
        self.number += 1
        retried()
        COUNTS.wait(seconds)
        return seconds
