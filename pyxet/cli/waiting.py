"""Messages while requests wait, so that the command does not seem to hang."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

# The minimum time between two lines in seconds, however many requests wait.
_EVERY: Final = 5.0


class _Teller(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self._say(record.getMessage())


def tell(say: Callable[[str], None]) -> None:
    """From now on, report that requests wait: for a retry, a quota, or a pause that the endpoint asked for.

    Parameters
    ----------
    say:
        Called with each line, in any thread.
    """
    log = logging.getLogger("pyxet.requests")
    log.addHandler(_Teller(say))
    log.setLevel(logging.INFO)
