"""Holds the small contents of a commit that is being prepared: up to 8 MiB in memory, more in a temporary file."""

from __future__ import annotations

import tempfile
import threading
from bisect import bisect_left, insort
from collections import deque
from typing import Final
from weakref import finalize

_IN_MEMORY: Final = 8 * 1024 * 1024


class Spooled:
    """A content in the spool. When the last reference to this object is gone, its space is reused.

    Attributes
    ----------
    offset, size:
        Position and length in the spool, in bytes.
    """

    __slots__ = ("_freed", "offset", "size")

    def __init__(self, offset: int, size: int, freed: deque[tuple[int, int]]) -> None:
        self.offset = offset
        self.size = size
        self._freed = freed

    def __del__(self) -> None:
        # May run on any thread and while the spool is locked, so it only appends to a deque.
        self._freed.append((self.offset, self.size))


class Spool:
    """Contents, written once and read in any order."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # lives as long as the commit
        self._lock = threading.Lock()
        self._freed: deque[tuple[int, int]] = deque()
        self._room = _Room()
        self.closed = False
        # Closes the file without a ResourceWarning if nobody calls `close`: the loss of the changes is reported elsewhere.
        self._closing = finalize(self, self._file.close)

    @property
    def size(self) -> int:
        """Bytes that the spool occupies."""
        return self._room.end

    def append(self, data: bytes) -> Spooled:
        """Write a content to the spool."""
        with self._lock:
            self._take_back()
            kept = Spooled(self._room.take(len(data)), len(data), self._freed)
            self._file.seek(kept.offset)
            self._file.write(data)
            return kept

    def read(self, kept: Spooled) -> bytes:
        """Read a content back."""
        with self._lock:
            self._file.seek(kept.offset)
            return self._file.read(kept.size)

    def trim(self) -> None:
        """Truncate the file after the last content."""
        with self._lock:
            if not self.closed and self._take_back():
                self._file.truncate(self._room.end)

    def close(self) -> None:
        """Drop all contents."""
        with self._lock:
            self.closed = True
            self._closing()

    def _take_back(self) -> bool:
        """Free the space of contents that are gone. Returns whether the file can be truncated."""
        end = self._room.end
        while self._freed:
            self._room.give_back(*self._freed.popleft())
        return self._room.end < end


class _Room:
    """Manages the free space of a file that grows at its end. All numbers are bytes."""

    def __init__(self) -> None:
        self.end = 0
        # Free stretches: end by start, start by end, and (size, start) in order of size.
        self._ends: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._by_size: list[tuple[int, int]] = []

    def take(self, size: int) -> int:
        """Reserve space and return its offset: in the smallest free stretch that is large enough, or at the end."""
        at = bisect_left(self._by_size, (size, -1))
        if not size or at == len(self._by_size):
            start = self.end
            self.end += size
            return start
        _, start = self._by_size[at]
        end = self._remove(start)
        if start + size < end:
            self._add(start + size, end)
        return start

    def give_back(self, start: int, size: int) -> None:
        """Free a stretch."""
        end = start + size
        if not size:
            return
        if end in self._ends:
            end = self._remove(end)
        if start in self._starts:
            start = self._starts[start]
            self._remove(start)
        if end == self.end:
            self.end = start
        else:
            self._add(start, end)

    def _add(self, start: int, end: int) -> None:
        self._ends[start], self._starts[end] = end, start
        insort(self._by_size, (end - start, start))

    def _remove(self, start: int) -> int:
        end = self._ends.pop(start)
        del self._starts[end]
        del self._by_size[bisect_left(self._by_size, (end - start, start))]
        return end
