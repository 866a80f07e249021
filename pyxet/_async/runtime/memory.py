"""Memory for content, which is reused once nobody refers to it.

New memory costs the time that the system needs to find and clear its pages: for a gibibyte of pieces that are each used
once, as much time as computing its BLAKE3. So stretches of memory are kept and handed out again.

Nobody returns a stretch explicitly, so nobody can do it too early. Any code may hold a view of a stretch for any time. The
interpreter counts the views of a `bytearray` and refuses to change its length while there is one. A stretch is handed out
again only if its length can be changed.
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
# Requests for less are left to the allocator, which reuses small memory by itself.
_LEAST: Final = 512 * 1024
# Free stretches that are kept even if fewer are in use: the memory of one window of a file.
_MOST_FREE: Final = 8


class Stretches:
    """The stretches of memory of the process."""

    def __init__(self) -> None:
        self.renew_lock()
        self._known: list[bytearray] = []
        # Whether a reader is about to read more, although nothing is in flight.
        self.is_wanted: Callable[[], bool] = lambda: False

    def renew_lock(self) -> None:
        """Make a new lock: after a fork, a thread that exists only in the parent may hold the old one."""
        # Reentrant, like that of a budget.
        self._lock = threading.RLock()

    def take(self, size: int = STRETCH) -> memoryview:
        """Up to a stretch of memory with undefined content. It belongs to the caller as long as there is a view of it."""
        if size < _LEAST:
            return memoryview(unwritten(size))
        with self._lock:
            free = self._free()
            if not free:
                self._known.append(unwritten(STRETCH))
                return memoryview(self._known[-1])[:size]
            view = memoryview(self._known[free[0]])[:size]
            # Keep as many free ones as are in use: a window that was written frees more than the next ones take at first.
            self._forget(free[max(_MOST_FREE, len(self._known) - len(free)) :])
            return view

    def trim(self) -> None:
        """Keep only a few free stretches: those who hold the others may do nothing for a long time."""
        with self._lock:
            self._forget(self._free()[_MOST_FREE:])

    def let_go(self) -> None:
        """Keep no stretches, because nobody reads any more."""
        with self._lock:
            # A stretch that is in use is freed with its last view.
            self._known.clear()

    def rest(self) -> None:
        """Keep few stretches while nothing is in flight, and none if nobody will read on."""
        if READ_MEMORY.in_use or self.is_wanted():
            # What is in use was read ahead, and its readers will come back for it.
            self.trim()
        else:
            self.let_go()

    def _free(self) -> list[int]:
        return [number for number, stretch in enumerate(self._known) if _is_free(stretch)]

    def _forget(self, numbers: list[int]) -> None:
        for number in reversed(numbers):
            del self._known[number]


def _is_free(stretch: bytearray) -> bool:
    """Whether there is no view of a stretch. Changing its length is the only way to find out."""
    try:
        stretch.pop()
    except BufferError:
        return False
    # The capacity did not shrink, so this does not reallocate.
    stretch.append(0)
    return True


STRETCHES: Final = Stretches()


def _begin() -> None:
    STRETCHES.renew_lock()
    READ_MEMORY.when_quiet = STRETCHES.rest


_begin()
after_fork(_begin)
