"""Determines whether a request was made before or after the current call of the file system began.

A call that reports that nothing is at a path must rely on an answer that was requested after the call began. Clocks are
too coarse to order the two, so calls and requests get consecutive numbers.
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
# The number of the call that is running in this context. Calls that are made inside of it belong to it.
_call: Final[ContextVar[int | None]] = ContextVar("_call", default=None)


class Moment(NamedTuple):
    """When a request was made.

    Attributes
    ----------
    time:
        Monotonic time in seconds.
    number:
        Greater than the numbers of all earlier moments.
    """

    time: float
    number: int

    @property
    def is_of_this_call(self) -> bool:
        """Whether this moment is after the beginning of the current call; ``False`` if no call is running."""
        began = _call.get()
        return self.number > (sys.maxsize if began is None else began)


def now() -> Moment:
    """The present moment."""
    return Moment(time.monotonic(), next(_numbers))


@contextmanager
def call() -> Iterator[None]:
    """Run the block as a call of the file system; inside another call, as a part of that."""
    if _call.get() is not None:
        yield
        return
    token = _call.set(next(_numbers))
    try:
        yield
    finally:
        # If a coroutine is abandoned, it is closed in another context, which refuses the token.
        with suppress(ValueError):
            _call.reset(token)
