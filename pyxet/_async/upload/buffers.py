"""Reuses buffers during uploads, because writing to freshly allocated memory costs as much as hashing the content."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyxet.protocol.kernels import unwritten


class Buffers:
    """A pool of buffers of one size. Free buffers are kept while at least one `used` block is active.

    All methods except `used` may be called from any thread.

    Parameters
    ----------
    size:
        Bytes of a buffer.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # Reentrant: the garbage collector may return a buffer in a thread that already holds the lock.
        self._lock = threading.RLock()
        self._users = 0
        self._free: list[bytearray] = []

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep returned buffers for reuse until the block ends; never more than were in use at the same time."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._free.clear()

    def take(self) -> bytearray:
        """Take a free or a new buffer. Its content is undefined."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return unwritten(self._size)

    def give_back(self, buffer: bytearray) -> None:
        """Return a buffer that nobody reads any more."""
        with self._lock:
            if self._users:
                self._free.append(buffer)

    def give_back_unless_viewed(self, buffer: bytearray) -> None:
        """Return a buffer, unless a view of it still exists: a connection may not have sent all of it yet.

        A response does not prove that the request was sent completely, because a server may respond early.
        """
        try:
            # A bytearray does not change its size while there are views of it.
            buffer.append(buffer.pop())
        except BufferError:
            return
        self.give_back(buffer)
