"""What an upload session holds of the memory that all writes of the process share."""

from __future__ import annotations

import os
import threading

from pyxet._async.runtime.budget import WRITE_MEMORY
from pyxet.errors import TransactionError


class Reservation:
    """A session's share of `WRITE_MEMORY`: the bytes it holds, and how many of them are idle in open files and xorbs.

    All of it but `take` may be called from any thread.
    """

    def __init__(self, cap: int) -> None:
        self._cap = cap
        # Reentrant, as the garbage collector may close it while this thread is in here.
        self._lock = threading.RLock()
        self._held = 0
        self._idle = 0
        self._closed = False
        self._pid = os.getpid()

    @property
    def _is_open(self) -> bool:
        """Whether there is anything to release: in a fork the budget holds nothing of its parent's."""
        return not self._closed and self._pid == os.getpid()

    async def take(self, amount: int) -> None:
        """Wait for room for more content."""
        await WRITE_MEMORY.acquire(amount, self._cap)
        if not self._hold(amount):
            WRITE_MEMORY.release(amount)
            raise TransactionError("this upload has ended")

    def try_take(self, amount: int) -> bool:
        """Take room for more content if there is any."""
        if not WRITE_MEMORY.try_acquire(amount, self._cap):
            return False
        if not self._hold(amount):
            WRITE_MEMORY.release(amount)
            return False
        return True

    def _hold(self, amount: int) -> bool:
        with self._lock:
            if not self._closed:
                self._held += amount
            return not self._closed

    def release(self, amount: int) -> None:
        """Return room."""
        with self._lock:
            if not self._is_open:
                return
            self._held -= amount
        WRITE_MEMORY.release(amount)

    def add(self, amount: int) -> None:
        """Take memory without waiting, for content that replaces other content whose memory is released right after."""
        self.release(-amount)

    def mark_idle(self, more: int) -> None:
        """Move bytes of what is held from in flight to idle; a negative number moves them back."""
        with self._lock:
            if not more or not self._is_open:
                return
            self._idle += more
        WRITE_MEMORY.mark_idle(more)

    def close(self) -> None:
        """Release everything, for good."""
        with self._lock:
            if not self._is_open:
                return
            self._closed = True
            idle, held = self._idle, self._held
        WRITE_MEMORY.mark_idle(-idle)
        WRITE_MEMORY.release(held)
