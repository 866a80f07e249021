"""Tells whether a request was made before the current call began or since.

That there is nothing at a path is a claim about now, and now begins with the call that makes it. Clocks are too coarse to
order the two, so everything that matters here gets a number.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final, NamedTuple

_numbers = itertools.count(1)
# The number of the call that is going on in this context. Calls that one makes on its way are part of it.
_call: Final[ContextVar[int | None]] = ContextVar("_call", default=None)


class Moment(NamedTuple):
    """When something was asked for.

    Attributes
    ----------
    time:
        Seconds of the monotonic clock.
    number:
        Greater than those of all moments before it.
    """

    time: float
    number: int

    @property
    def is_of_this_call(self) -> bool:
        """Whether this is after the beginning of the current call; false if no call is running."""
        began = _call.get()
        return self.number > (sys.maxsize if began is None else began)


def now() -> Moment:
    """The present moment."""
    return Moment(time.monotonic(), next(_numbers))


@contextmanager
def call() -> Iterator[None]:
    """Begin a call of the file system, unless it is made inside another one."""
    if _call.get() is not None:
        yield
        return
    token = _call.set(next(_numbers))
    try:
        yield
    finally:
        # A coroutine that nobody awaits any more is closed in another context.
        with suppress(ValueError):
            _call.reset(token)
