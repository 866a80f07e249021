"""Reads ahead in an open file: not at all while access is sparse, and more and more while it is sequential."""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import accumulate
from typing import Any, Final

from pyxet._async.download.windows import WINDOW
from pyxet._async.files.parquet_ahead import ColumnsAhead
from pyxet._async.runtime.bridge import is_alive
from pyxet._async.runtime.memory import STRETCHES
from pyxet._async.runtime.tasks import stopped
from pyxet._platform import after_fork
from pyxet.errors import IntegrityError
from pyxet.protocol.hashing import Buffer
from pyxet.protocol.kernels import joined
from pyxet.watching import COUNTS

KIB: Final = 1024
MIB: Final = 1024 * KIB
# About a chunk: a smaller fetch would transfer the same bytes.
_FIRST_WINDOW: Final = 128 * KIB
# A window of the downloader: what crosses a border of those takes the requests of two. While one is being read the next
# is on its way, and the plan of the one behind it. Smaller ones grow, as nobody knows how far the reader will go.
_MAX_WINDOW: Final = WINDOW
# About a chunk: a reader who skips no more than that is still sequential, as the bytes between would be fetched anyway. The same
# number of bytes is kept of what was read, for readers who go back a little.
_NEAR: Final = 64 * KIB
# Bytes that were read of a window of that size for which they are let go while the rest of it is being read.
_READ: Final = 4 * MIB

Fetch = Callable[[int, int], Awaitable[bytes]]


class Content:
    """Fetches bytes ``start`` to before ``end`` of a content: joined if it is called, or in the pieces that arrived.

    ``plan`` asks beforehand for what such a range takes besides its bytes.
    """

    def __init__(
        self,
        whole: Fetch,
        pieces: Callable[[int, int], Awaitable[Sequence[Buffer]]],
        plan: Callable[[int, int], Coroutine[Any, Any, object]],
    ) -> None:
        self._whole = whole
        self.pieces = pieces
        self.plan = plan

    def __call__(self, start: int, end: int) -> Awaitable[bytes]:
        return self._whole(start, end)


class Allowance:
    """The bytes that all open files of the process together may hold beyond what was asked for. Nobody waits for free bytes."""

    def __init__(self) -> None:
        self.in_use = 0
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock after a fork: a thread of the parent may hold it. The amounts that files hold stay."""
        # Reentrant: the garbage collector may end a file, which releases its amount, while this thread holds the lock.
        self._lock = threading.RLock()

    def take(self, amount: int, cap: int) -> bool:
        """Take an amount if the sum stays within ``cap``."""
        with self._lock:
            if self.in_use + amount > cap:
                return False
            self.in_use += amount
            return True

    def release(self, amount: int) -> None:
        """Return an amount."""
        with self._lock:
            self.in_use -= amount
            last = not self.in_use
        if last:
            STRETCHES.rest()


ALLOWANCE: Final = Allowance()
# Between two windows of a file that is being read there often is a moment in which nothing is on its way.
STRETCHES.is_wanted = lambda: ALLOWANCE.in_use > 0
after_fork(ALLOWANCE.renew_lock)


class _Stretch:
    """Consecutive bytes in the pieces in which they arrived. Joining them would be one more copy before that of each read."""

    def __init__(self, start: int, pieces: Sequence[Buffer] = ()) -> None:
        self.start = start
        self.pieces = pieces
        # Offsets after each piece.
        self._ends = list(accumulate(map(len, pieces), initial=start))[1:]
        self.end = self._ends[-1] if pieces else start

    def cut(self, start: int, end: int) -> list[Buffer]:
        """The part between two offsets, the first of which is in this run."""
        found: list[Buffer] = []
        for number in range(bisect_right(self._ends, start), len(self.pieces)):
            piece, last = self.pieces[number], self._ends[number]
            first = last - len(piece)
            if first >= end:
                break
            inside = start <= first and last <= end
            found.append(piece if inside else memoryview(piece)[max(0, start - first) : end - first])
        return found

    def without(self, before: int) -> _Stretch:
        """What is left where pieces are let go that end before an offset in it."""
        number = bisect_right(self._ends, before)
        return _Stretch(self._ends[number - 1], self.pieces[number:]) if number else self


class _Here:
    """What is here of a content. A reader that lets go of a part changes it in its place.

    The loop puts another one there for the next window, so a reader on another thread changes the one that it has read from.
    """

    __slots__ = ("stretch",)

    def __init__(self, stretch: _Stretch) -> None:
        self.stretch = stretch


class ReadAhead:
    """The content of one open file, as its reader asks for it.

    Parameters
    ----------
    fetch:
        Fetches bytes ``start`` to before ``end`` of the content; a `Content` avoids a copy of them.
    size:
        Bytes of the content.
    cap:
        Bytes that the process may hold in read-ahead windows.
    content:
        Identifies the content, so that what is known of it from another open file is used.
    """

    def __init__(self, fetch: Fetch, size: int, cap: int, content: str | None = None) -> None:
        self._fetch = fetch
        self._size = size
        self._cap = cap
        self._here = _Here(_Stretch(0))
        self._position = -1
        self._window = _FIRST_WINDOW
        self._held = 0
        # Reads that were answered from memory, and their bytes, since they were last counted: counting each one would
        # cost more than the read.
        self._hits = self._hit_bytes = 0
        # In order, each with its start; the first one begins at the end of the buffer.
        self._ahead: deque[tuple[int, int, asyncio.Task[_Stretch]]] = deque()
        # What asks for plans of windows behind them.
        self._planning: set[asyncio.Task[object]] = set()
        self._columns = ColumnsAhead(fetch, size, cap, ALLOWANCE, content)

    def held(self, start: int, end: int) -> bytes | None:
        """Return the bytes if they are here and nothing else is to be done; without waiting."""
        end = min(end, self._size)
        # The loop's thread may put the next window there meanwhile, for another reader of the file.
        here = self._here
        buffer = here.stretch
        if not buffer.start <= start <= end <= buffer.end or self._wants_more(start, end):
            return None
        self._position = end
        self._hits += 1
        self._hit_bytes += end - start
        found = joined(buffer.cut(start, end))
        if self._is_at_full_speed() and end - buffer.start >= _READ:
            # Its memory is what comes next is received into.
            here.stretch = buffer.without(end - _NEAR)
        return found

    @property
    def _buffer(self) -> _Stretch:
        """What is here now. Look once: a reader on another thread may let go of a part of it at any time."""
        return self._here.stretch

    async def read(self, start: int, end: int) -> bytes:
        """Read bytes ``start`` to before ``end``, cut at the end of the content."""
        return joined(await self.pieces(start, end))

    async def pieces(self, start: int, end: int) -> list[Buffer]:
        """Like `read`, in pieces. The caller joins them on its own thread, which spares the event loop the copy."""
        end = min(end, self._size)
        if start >= end:
            return []
        sequential = self._goes_on(start) and not self._columns.has(start, end)
        buffer = self._buffer
        if not sequential and not (buffer.start <= start and end <= buffer.end):
            await self._discard_ahead()
            if self._size > _FIRST_WINDOW:
                self._window = _FIRST_WINDOW
                self._let_go()
                found = await self._columns.read(start, end)
                if len(found) <= _NEAR:
                    self._here = _Here(_Stretch(start, [found]))
                self._position = end
                return [found]
        pieces: list[Buffer] = []
        at = start
        if buffer.start <= at < buffer.end:
            self._hits += 1
            self._hit_bytes += min(end, buffer.end) - at
        while at < end:
            buffer = self._buffer
            if buffer.start <= at < buffer.end:
                pieces += buffer.cut(at, end)
                at = min(end, buffer.end)
                continue
            try:
                await self._refill(at, end)
            except IntegrityError:
                # The bytes that are here may be wrong as well.
                self._let_go()
                raise
        if self._wants_more(start, end):
            self._start_ahead()
        # Set only now: a read that failed or was cancelled is not part of the sequence.
        self._position = end
        return pieces

    async def aclose(self) -> None:
        """Release everything."""
        # A cancelled scope cancels each of these waits.
        try:
            await self._columns.aclose()
        finally:
            try:
                await self._discard_ahead()
            finally:
                self._let_go()

    def close(self) -> None:
        """Release everything for which nobody has to wait; from any thread."""
        self._columns.close()
        self._let_go()
        for task in self._taken_off():
            if is_alive(task.get_loop()):
                task.get_loop().call_soon_threadsafe(task.cancel)

    def _goes_on(self, start: int) -> bool:
        """Whether a read begins where the last one ended, soon after, or a little before in what is still here.

        Readers of columns skip bytes that they do not need, even if there are few of them.
        """
        skipped = start - self._position
        if skipped == 0 or self._position < 0 or self._columns.knows_layout:
            return skipped == 0
        return 0 < skipped <= _NEAR or (-_NEAR <= skipped < 0 and self._buffer.start <= start < self._buffer.end)

    def _wants_more(self, start: int, end: int) -> bool:
        """Whether a read belongs to a sequence and more should be fetched: at first only past the middle of what is here."""
        if not self._goes_on(start) or self._last() >= self._size:
            return False
        if self._ahead:
            return False
        return self._is_at_full_speed() or 2 * (end - self._buffer.start) > self._buffer.end - self._buffer.start

    def _is_at_full_speed(self) -> bool:
        """Whether windows are as long as they get."""
        return self._held >= 2 * _MAX_WINDOW

    def _last(self) -> int:
        """Offset after the last byte that is here or being fetched."""
        return self._ahead[-1][1] if self._ahead else self._buffer.end

    async def _refill(self, at: int, end: int) -> None:
        """Make the buffer begin at ``at``: with the window that was read ahead if it starts there, else by a fetch."""
        self._tell_hits()
        if self._ahead and self._ahead[0][0] <= at < self._ahead[0][1]:
            task = self._ahead[0][2]
            if task.get_loop() is asyncio.get_running_loop():
                self._ahead.popleft()
                self._go_on_with(await task)
                return
        await self._discard_ahead()
        wanted = self._grown()
        if self._size <= _FIRST_WINDOW:
            at, end = 0, self._size
        self._go_on_with(await self._get(at, max(end, self._end_of_window(at, wanted))))

    def _go_on_with(self, window: _Stretch) -> None:
        """Take the next window, and keep the end of the one before it, so that going back a little needs no request."""
        before = self._buffer
        start = max(before.start, before.end - _NEAR)
        if start < before.end == window.start:
            window = _Stretch(start, [b"".join(before.cut(start, before.end)), *window.pieces])
        self._here = _Here(window)

    def _start_ahead(self) -> None:
        wanted = self._grown()
        if not wanted:
            return
        start = self._last()
        end = self._end_of_window(start, wanted)
        task = asyncio.create_task(self._get(start, end))
        # Perhaps nobody reads on, so an error must not be reported as one that nobody looked at.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._ahead.append((start, end, task))
        if end < self._size and self._is_at_full_speed() and isinstance(self._fetch, Content):
            planning = asyncio.create_task(self._fetch.plan(end, self._end_of_window(end, _MAX_WINDOW)))
            self._planning.add(planning)
            planning.add_done_callback(self._end_planning)

    def _end_planning(self, task: asyncio.Task[object]) -> None:
        self._planning.discard(task)
        # Its window asks again, and says what is wrong.
        _ = task.cancelled() or task.exception()

    def _end_of_window(self, start: int, wanted: int) -> int:
        """The end of a window: at a border of the downloader's windows if there is one within it."""
        end = min(self._size, start + wanted)
        border = end // WINDOW * WINDOW
        return border if start < border else end

    async def _get(self, start: int, end: int) -> _Stretch:
        if isinstance(self._fetch, Content):
            return _Stretch(start, await self._fetch.pieces(start, end))
        return _Stretch(start, [await self._fetch(start, end)])

    def _grown(self) -> int:
        """The size of the next window: twice the last one; 0 if the process holds enough already."""
        wanted = min(2 * self._window, _MAX_WINDOW)
        # The buffer and the window ahead of it.
        more = 2 * wanted - self._held
        if more <= 0 or ALLOWANCE.take(more, self._cap):
            self._held += max(0, more)
            self._window = wanted
            return wanted
        return self._held // 2

    def _tell_hits(self) -> None:
        hits, size, self._hits, self._hit_bytes = self._hits, self._hit_bytes, 0, 0
        if hits:
            COUNTS.add(cache_hits=hits, cache_hit_bytes=size)

    def _let_go(self) -> None:
        self._tell_hits()
        self._here = _Here(_Stretch(0))
        held, self._held = self._held, 0
        if held:
            ALLOWANCE.release(held)

    def _taken_off(self) -> list[asyncio.Task[Any]]:
        tasks: list[asyncio.Task[Any]] = [task for _, _, task in self._ahead]
        tasks += self._planning.copy()
        self._ahead.clear()
        return tasks

    async def _discard_ahead(self) -> None:
        """Cancel running fetches. Those on another loop end by themselves; those of a parent process are not ours."""
        tasks = self._taken_off()
        here = [task for task in tasks if task.get_loop() is asyncio.get_running_loop()]
        for task in tasks:
            if task not in here and is_alive(task.get_loop()):
                task.get_loop().call_soon_threadsafe(task.cancel)
        if here:
            await stopped(*here)
