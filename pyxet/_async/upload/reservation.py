"""The share of an upload session in the memory budget for all writes of the process."""

from __future__ import annotations

import os
import threading

from pyxet._async.runtime.budget import WRITE_MEMORY
from pyxet.errors import TransactionError


class Reservation:
    """A session's share of `WRITE_MEMORY`: the bytes it holds, and how many of them are idle in open files and xorbs.

    All methods except `take` may be called from any thread.
    """

    def __init__(self, cap: int) -> None:
        self._cap = cap
        # Reentrant: the garbage collector may call `close` in a thread that already holds the lock.
        self._lock = threading.RLock()
        self._held = 0
        self._idle = 0
        self._closed = False
        self._pid = os.getpid()

    @property
    def _is_open(self) -> bool:
        """Whether there is memory to release. A forked process's budget does not count what its parent reserved."""
        return not self._closed and self._pid == os.getpid()

    async def take(self, amount: int) -> None:
        """Reserve bytes for more content, when there is room. Raises `TransactionError` if the session has ended."""
        await WRITE_MEMORY.acquire(amount, self._cap)
        if not self._hold(amount):
            WRITE_MEMORY.release(amount)
            raise TransactionError("this upload has ended")

    def try_take(self, amount: int) -> bool:
        """Reserve bytes for more content if there is room now. Returns whether they were reserved."""
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
        """Return bytes to the budget."""
        with self._lock:
            if not self._is_open:
                return
            self._held -= amount
        WRITE_MEMORY.release(amount)

    def add(self, amount: int) -> None:
        """Reserve bytes without waiting, for content that replaces other content whose memory is released right after."""
        self.release(-amount)

    def mark_idle(self, more: int) -> None:
        """Move held bytes from in flight to idle; a negative number moves them back."""
        with self._lock:
            if not more or not self._is_open:
                return
            self._idle += more
        WRITE_MEMORY.mark_idle(more)

    def close(self) -> None:
        """Release everything. Nothing can be reserved afterwards."""
        with self._lock:
            if not self._is_open:
                return
            self._closed = True
            idle, held = self._idle, self._held
        WRITE_MEMORY.mark_idle(-idle)
        WRITE_MEMORY.release(held)
