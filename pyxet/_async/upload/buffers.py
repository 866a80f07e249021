"""Memory that is used again and again while content goes up: touching fresh memory costs as much as hashing it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyxet.protocol.kernels import unwritten


class Buffers:
    """Buffers of one size, kept from use to use as long as somebody needs some.

    All but `used` may be called from any thread.

    Parameters
    ----------
    size:
        Bytes of a buffer.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # Reentrant, as the garbage collector may give a buffer back while this thread is in here.
        self._lock = threading.RLock()
        self._users = 0
        self._free: list[bytearray] = []

    @contextmanager
    def used(self) -> Iterator[None]:
        """For the length of a block buffers are kept; no more of them than were needed at once."""
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
        """A buffer, whatever is in it."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return unwritten(self._size)

    def give_back(self, buffer: bytearray) -> None:
        """Have a buffer used again, which nobody reads any more."""
        with self._lock:
            if self._users:
                self._free.append(buffer)

    def give_back_unless_viewed(self, buffer: bytearray) -> None:
        """Have a buffer used again, unless somebody still has a view of it: a connection that may yet send it.

        That an answer has come does not mean that its request has left: it may have been an early one.
        """
        try:
            # A bytearray does not change its size while there are views of it.
            buffer.append(buffer.pop())
        except BufferError:
            return
        self.give_back(buffer)
