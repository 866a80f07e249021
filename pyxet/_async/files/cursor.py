"""The position of an open file, and the logic of all its reads: of whole files, of lines, peeks and small reads.

It does no I/O, so blocking and asynchronous files share it. An operation is a generator: it yields the range that it
needs, is sent the bytes of that range, and returns the result. The position moves only when an operation is complete, so an
operation that failed can be repeated.

Some libraries (DuckDB is one) seek and read on several threads at once, and rely on the interpreter's lock alone to keep a seek
and the read after it together. So `seek` never waits: it makes a new `Place`. The next read of the same thread starts from that
place, and reads of other threads do not move it.
"""

from __future__ import annotations

import io
import operator
import threading
from collections.abc import Callable, Generator
from typing import Final, SupportsIndex, TypeVar

T = TypeVar("T")
Steps = Generator[tuple[int, int], bytes, T]

# Bytes that a search for the end of a line asks for at once. It is about a chunk: a smaller request would fetch the same chunk.
BLOCK: Final = 64 * 1024
# Reads of at most this size are cut from a block as well, as soon as one of them starts where the one before it ended.
_SMALL: Final = 4 * 1024

# A read that goes backwards fetches this many times its size: the next reads will want the bytes before it.
_BEHIND: Final = 4


_NO_LINES: Final = io.BytesIO()


class Place:
    """A position in bytes from the start, and the id of the thread that called ``seek``; the id is 0 after a read from there.

    While lines are read one by one, the lines of the block are in an `io.BytesIO`. It finds and returns each line in one C
    call, so no other thread gets the same line and no lock is needed. The position includes that of the `io.BytesIO`.
    """

    __slots__ = ("_state", "seeker")

    def __init__(self, at: int, seeker: int = 0) -> None:
        self._state = at, _NO_LINES
        self.seeker = seeker

    @property
    def at(self) -> int:
        """The position, in bytes from the start."""
        at, lines = self._state
        return at + lines.tell()

    @at.setter
    def at(self, at: int) -> None:
        self._state = at, _NO_LINES

    @property
    def ready(self) -> io.BytesIO:
        """The lines that stand ready, for who takes one after the other; nobody else takes the same."""
        return self._state[1]

    def next_line(self) -> bytes:
        """Take the next of the lines that are ready; empty if there is none."""
        return self._state[1].readline()

    def next_lines(self, most: int) -> list[bytes]:
        """Take all lines that are ready; if ``most`` is positive, only until they have that many bytes together."""
        return self._state[1].readlines(most)

    def make_ready(self, lines: bytes) -> None:
        """Make whole lines ready, the first of which begins at this position."""
        self._state = self.at, io.BytesIO(lines)

    def settle(self) -> None:
        """Make no lines ready any more, as the next operation reads something else."""
        at, lines = self._state
        if lines is not _NO_LINES:
            # A thread that is about to take one of these lines finds none then.
            left = len(lines.read())
            self._state = at + lines.tell() - left, _NO_LINES


class Cursor:
    """A position in a content, and the block around it from which lines were cut last.

    Parameters
    ----------
    size:
        Bytes of the content.

    Attributes
    ----------
    place:
        The current position. Operations that other threads may disturb read it as soon as they are called, see `begin`.
    """

    def __init__(self, size: int) -> None:
        self.place = Place(0)
        # The place of the operation that is running, or of the last one.
        self._on = self.place
        # By thread: the place that it is about to read from, if another thread has called `seek` meanwhile.
        self._overtaken: dict[int, Place] = {}
        self._size = size
        self._block = b""
        self._start = 0
        # Where the last read began and ended.
        self._began = self._ended = -1

    @property
    def at(self) -> int:
        """The position, in bytes from the start."""
        return self.place.at

    @at.setter
    def at(self, at: int) -> None:
        old, self.place = self.place, Place(at)
        old.settle()

    def begin(self, called_at: Place) -> None:
        """Set where the next operation reads from.

        Parameters
        ----------
        called_at:
            `place` at the moment when the operation was called. If the operation's own thread had sought that place and nobody
            has read from it yet, the operation reads from there, even if `place` has changed since. Otherwise it reads from
            `place`.
        """
        thread = threading.get_ident()
        if self._overtaken:
            called_at = self._overtaken.pop(thread, called_at)
        on = called_at if called_at.seeker == thread else self.place
        on.seeker = 0
        on.settle()
        self._on = on

    def seek(
        self, offset: SupportsIndex, whence: int = 0, *, is_about_to_read: Callable[[int], bool] | None = None
    ) -> int:
        """Go to an offset from the start (0), the position (1) or the end (2); `ValueError` if that is before the start.

        ``is_about_to_read`` tells whether a thread has called an operation that has not looked at `place` yet.
        """
        base = {0: 0, 1: self.at, 2: self._size}.get(whence)
        if base is None:
            raise ValueError(f"whence is {whence!r}; expected 0, 1 or 2")
        at = base + operator.index(offset)
        if at < 0:
            raise ValueError(f"cannot seek to {at}, which is before the start of the file")
        new = Place(at, threading.get_ident())
        while True:
            old = self.place
            if is_about_to_read is not None and old.seeker not in (0, new.seeker) and is_about_to_read(old.seeker):
                self._overtaken[old.seeker] = old
            # Who takes the lines there goes on from the new place. They are for nobody's next operation.
            old.settle()
            # From here to the end the interpreter does not switch threads, as nothing is called. A thread that were stopped
            # after its place is set, and before it calls `read`, would lose that place to another one's `seek`.
            if self.place is old and old._state[1] is _NO_LINES:
                self.place = new
                return at

    def here(self, size: SupportsIndex | None) -> bytes | None:
        """Return ``size`` bytes, if all of them are in the block."""
        on = self._on
        count, begin = _count(size), on.at - self._start
        if begin < 0 or not 0 < count <= len(self._block) - begin:
            return None
        self._began = on.at
        self._ended = on.at = on.at + count
        return self._block[begin : begin + count]

    def line(self) -> bytes:
        """Return the next line if all of it is in the block, else nothing. The lines after it are then ready at `place`."""
        on = self._on
        here = on.at - self._start
        if here < 0:
            return b""
        end = self._block.rfind(b"\n", here) + 1
        if end <= here:
            return b""
        on.make_ready(self._block[here:end])
        return on.next_line()

    def until(self, mark: bytes = b"\n", limit: SupportsIndex | None = -1) -> Steps[bytes]:
        """Up to and including a mark, or to the end, or ``limit`` bytes if that is not negative."""
        on = self._on
        most = _count(limit)
        at = begun = on.at
        last, found = self._size if most < 0 else min(self._size, at + most), bytearray()
        while at < last:
            if not self._is_here(at):
                yield from self._load(at)
                if not self._is_here(at):
                    break
            begin = at - self._start
            searched = max(0, len(found) - len(mark) + 1)
            found += self._block[begin : begin + last - at]
            end = found.find(mark, searched)
            if end >= 0:
                del found[end + len(mark) :]
                break
            at = begun + len(found)
        on.at = begun + len(found)
        return bytes(found)

    def take(self, size: SupportsIndex | None = -1) -> Steps[bytes]:
        """Read ``size`` bytes, fewer at the end of the file; all that is left if ``size`` is negative."""
        on, count = self._on, _count(size)
        at = on.at
        end = self._size if count < 0 else min(self._size, at + count)
        if end <= at:
            return b""
        data = self._held(at, end)
        if at + len(data) < end:
            # Fetch from the end of the block on, however much of it was read: for the read-ahead, that is one sequence.
            start = at + len(data)
            if at == self._ended and 0 <= count <= _SMALL:
                yield from self._load(start)
                rest = self._held(start, end)
            elif not data and end == self._began and 0 <= count <= BLOCK:
                # The reads go backwards: the bytes before this one will be asked for next.
                first = max(0, end - max(BLOCK, _BEHIND * count))
                self._start, self._block = first, (yield first, end)
                rest = self._held(start, end)
            else:
                rest = yield start, end
            data = data + rest if data else rest
        self._began = at
        self._ended = on.at = at + len(data)
        return data

    def some(self, size: SupportsIndex | None = -1) -> Steps[bytes]:
        """Read up to ``size`` bytes: those in the block, or else those of one fetch."""
        at, count = self._on.at, _count(size)
        if count < 0:
            count = BLOCK
        here = self._held(at, at + count)
        return (yield from self.take(len(here) or count))

    def peek(self, size: SupportsIndex | None = 0) -> Steps[bytes]:
        """Return at least ``size`` bytes, or all that is left, without moving the position; more if the block has more."""
        at = self._on.at
        end = min(self._size, at + max(1, _count(size)))
        if at < end and not self._is_here(at):
            yield from self._load(at)
        here = self._held(at, self._size)
        if at + len(here) < end:
            start = at + len(here)
            more = yield start, min(self._size, max(end, start + BLOCK))
            here += more
            self._start, self._block = at, here
        return here

    def release(self) -> None:
        """Release the block."""
        self.place.settle()
        self._block = b""

    def _is_here(self, at: int) -> bool:
        return self._start <= at < self._start + len(self._block)

    def _held(self, start: int, end: int) -> bytes:
        """Return the part of a range that is in the block, from the start of the range on."""
        return self._block[start - self._start : end - self._start] if self._is_here(start) else b""

    def _load(self, at: int) -> Steps[None]:
        self._start, self._block = at, (yield at, min(self._size, at + BLOCK))


def _count(size: SupportsIndex | None) -> int:
    return -1 if size is None else operator.index(size)
