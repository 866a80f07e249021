"""What is said and shown on a terminal while requests wait: a command that says nothing seems to hang."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

# Seconds from one line to the next, however many requests wait.
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


class Waits(logging.Handler):
    """Knows how long requests wait, from entry to exit of a block: until a quota is renewed, or to be tried again."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._until = 0.0

    @property
    def seconds(self) -> float:
        """How long some of them still wait."""
        return max(0.0, self._until - time.monotonic())

    def emit(self, record: logging.LogRecord) -> None:
        wait = getattr(record, "wait", None)
        if isinstance(wait, float):
            self._until = max(self._until, time.monotonic() + wait)

    def start(self) -> None:
        """From now on."""
        logging.getLogger("pyxet.requests").addHandler(self)

    def stop(self) -> None:
        """No longer."""
        logging.getLogger("pyxet.requests").removeHandler(self)


def tell(say: Callable[[str], None]) -> None:
    """From now on, say it when a request failed and will be tried again.

    Parameters
    ----------
    say:
        Gets the line; it may be called in any thread.
    """
    log = logging.getLogger("pyxet.requests")
    log.addHandler(_Teller(say))
    log.setLevel(logging.INFO)
