"""Small contents of a commit that is being prepared: in memory while they are few, then in a file without a name."""

from __future__ import annotations

import tempfile
import threading
from bisect import bisect_left, insort
from collections import deque
from typing import Final
from weakref import finalize

_IN_MEMORY: Final = 8 * 1024 * 1024


class Spooled:
    """A content in the spool. When nobody refers to it any more, its room is for others.

    Attributes
    ----------
    offset, size:
        Where it is, in bytes.
    """

    __slots__ = ("_freed", "offset", "size")

    def __init__(self, offset: int, size: int, freed: deque[tuple[int, int]]) -> None:
        self.offset = offset
        self.size = size
        self._freed = freed

    def __del__(self) -> None:
        # On any thread, and perhaps while the spool is locked.
        self._freed.append((self.offset, self.size))


class Spool:
    """Contents, written once and read in any order."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # lives as long as the commit
        self._lock = threading.Lock()
        self._freed: deque[tuple[int, int]] = deque()
        self._room = _Room()
        self.closed = False
        # Without a warning, also where nobody closes it: whoever dropped the last reference was warned already.
        self._closing = finalize(self, self._file.close)

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return self._room.end

    def append(self, data: bytes) -> Spooled:
        """Keep a content."""
        with self._lock:
            self._take_back()
            kept = Spooled(self._room.take(len(data)), len(data), self._freed)
            self._file.seek(kept.offset)
            self._file.write(data)
            return kept

    def read(self, kept: Spooled) -> bytes:
        """The content again."""
        with self._lock:
            self._file.seek(kept.offset)
            return self._file.read(kept.size)

    def trim(self) -> None:
        """Give back the room at the end that nothing is in."""
        with self._lock:
            if not self.closed and self._take_back():
                self._file.truncate(self._room.end)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self.closed = True
            self._closing()

    def _take_back(self) -> bool:
        """Have room again where contents were that are gone; whether the end came nearer."""
        end = self._room.end
        while self._freed:
            self._room.give_back(*self._freed.popleft())
        return self._room.end < end


class _Room:
    """What is free of a file that grows at its end, in bytes."""

    def __init__(self) -> None:
        self.end = 0
        # Free stretches: their ends by their starts, the other way round, and both by size.
        self._ends: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._by_size: list[tuple[int, int]] = []

    def take(self, size: int) -> int:
        """Where there is room: in the smallest stretch that is large enough, or behind the end."""
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
        """A stretch is free."""
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
