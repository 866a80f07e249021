"""Memory for content, used again once nobody refers to it.

Memory that is new costs the time in which the system finds and empties each of its pages: a gibibyte in pieces that are
each used once takes as long as its BLAKE3. So stretches of memory are kept, and given out again.

Nobody gives one back, so nobody can do so too early. Views of a stretch may be lent to anybody, for any length of time; the
interpreter counts them, and refuses to change the length of a `bytearray` while there is one. That is what is asked before
a stretch is given out again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from pyxet._async.runtime.budget import READ_MEMORY
from pyxet._platform import after_fork
from pyxet.protocol.kernels import unwritten

# Bytes of a stretch.
STRETCH: Final = 2 * 1024 * 1024
# What is smaller comes from what the process has at hand already.
_LEAST: Final = 512 * 1024
# Stretches kept that nobody has, if not more are in use: a window of a file.
_MOST_FREE: Final = 8


class Stretches:
    """Stretches of memory of the process."""

    def __init__(self) -> None:
        self.renew_lock()
        self._known: list[bytearray] = []
        # Whether somebody is about to read more, though nothing is on its way.
        self.is_wanted: Callable[[], bool] = lambda: False

    def renew_lock(self) -> None:
        """Forget who holds the lock: after a fork, a thread that is not here."""
        # Reentrant, like that of a budget.
        self._lock = threading.RLock()

    def take(self, size: int = STRETCH) -> memoryview:
        """Up to a stretch of memory, with anything in it; it is the caller's for as long as there is a view of it."""
        if size < _LEAST:
            return memoryview(unwritten(size))
        with self._lock:
            free = self._free()
            if not free:
                self._known.append(unwritten(STRETCH))
                return memoryview(self._known[-1])[:size]
            view = memoryview(self._known[free[0]])[:size]
            # As many as there are in use: a window that was written leaves more at once than the next ones take at first.
            self._forget(free[max(_MOST_FREE, len(self._known) - len(free)) :])
            return view

    def trim(self) -> None:
        """Keep a few of those that nobody has: others that have one may do nothing for a long time."""
        with self._lock:
            self._forget(self._free()[_MOST_FREE:])

    def let_go(self) -> None:
        """Keep nothing: nobody reads any more."""
        with self._lock:
            # Those which somebody has go when their last view goes.
            self._known.clear()

    def rest(self) -> None:
        """Keep little while nothing is on its way, and nothing if nobody will read on."""
        if READ_MEMORY.in_use or self.is_wanted():
            # What is in use waits for those who read it ahead.
            self.trim()
        else:
            self.let_go()

    def _free(self) -> list[int]:
        return [number for number, stretch in enumerate(self._known) if _is_free(stretch)]

    def _forget(self, numbers: list[int]) -> None:
        for number in reversed(numbers):
            del self._known[number]


def _is_free(stretch: bytearray) -> bool:
    """Whether there is no view of it, asked in the one way that the interpreter answers."""
    try:
        stretch.pop()
    except BufferError:
        return False
    # There is room for it, so this does not move anything.
    stretch.append(0)
    return True


STRETCHES: Final = Stretches()


def _begin() -> None:
    STRETCHES.renew_lock()
    READ_MEMORY.when_quiet = STRETCHES.rest


_begin()
after_fork(_begin)
