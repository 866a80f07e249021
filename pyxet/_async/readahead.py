"""Reading ahead in an open file: nothing on sparse access, more and more while access is sequential."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from pyxet._async.bridge import is_alive
from pyxet._async.columns import ColumnsAhead
from pyxet._async.fanout import stopped

KIB: Final = 1024
MIB: Final = 1024 * KIB
# About a chunk: a smaller fetch moves the same bytes.
_FIRST_WINDOW: Final = 128 * KIB
_MAX_WINDOW: Final = 8 * MIB

Fetch = Callable[[int, int], Awaitable[bytes]]


class Allowance:
    """Bytes that all open files of the process together may hold beyond what was asked for. Nobody waits for it."""

    def __init__(self) -> None:
        self.in_use = 0
        self.renew_lock()

    def renew_lock(self) -> None:
        """Forget who holds the lock: after a fork, a thread that is not here. What files hold, they hold here as well."""
        # Reentrant, as a file that the garbage collector ends may give back while this thread is in here.
        self._lock = threading.RLock()

    def take(self, amount: int, cap: int) -> bool:
        """Take an amount if the sum stays within ``cap``."""
        with self._lock:
            if self.in_use + amount > cap:
                return False
            self.in_use += amount
            return True

    def give_back(self, amount: int) -> None:
        """Return an amount."""
        with self._lock:
            self.in_use -= amount


ALLOWANCE: Final = Allowance()
os.register_at_fork(after_in_child=ALLOWANCE.renew_lock)


class ReadAhead:
    """The content of one open file, as its reader asks for it.

    Parameters
    ----------
    fetch:
        Gets bytes ``start`` to before ``end`` of the content.
    size:
        Bytes of the content.
    cap:
        Bytes that the process may hold in read-ahead windows.
    content:
        Names the content, for what is known of it from another open file.
    """

    def __init__(self, fetch: Fetch, size: int, cap: int, content: str | None = None) -> None:
        self._fetch = fetch
        self._size = size
        self._cap = cap
        self._buffer = b""
        self._at = 0
        self._position = -1
        self._window = _FIRST_WINDOW
        self._held = 0
        self._ahead: asyncio.Task[bytes] | None = None
        self._ahead_at = 0
        self._columns = ColumnsAhead(fetch, size, cap, ALLOWANCE, content)

    def held(self, start: int, end: int) -> bytes | None:
        """The bytes, if they are here and there is nothing else to do; no waiting."""
        end = min(end, self._size)
        last = self._at + len(self._buffer)
        if not self._at <= start <= end <= last or self._wants_more(start, end):
            return None
        self._position = end
        return self._buffer[start - self._at : end - self._at]

    async def read(self, start: int, end: int) -> bytes:
        """Bytes ``start`` to before ``end``, cut at the end of the content."""
        end = min(end, self._size)
        if start >= end:
            return b""
        sequential = start == self._position and not self._columns.has(start, end)
        if not sequential and not (self._at <= start and end <= self._at + len(self._buffer)):
            await self._drop_ahead()
            if self._size > _FIRST_WINDOW:
                self._window = _FIRST_WINDOW
                self._keep(b"", 0)
                found = await self._columns.read(start, end)
                self._position = end
                return found
        pieces: list[bytes] = []
        at = start
        while at < end:
            piece = self._buffer[at - self._at : end - self._at] if self._at <= at else b""
            if not piece:
                await self._refill(at, end)
                piece = self._buffer[at - self._at : end - self._at]
            pieces.append(piece)
            at += len(piece)
        if self._wants_more(start, end):
            self._start_ahead()
        # Only now: a read that failed, or was cancelled, is not one to go on from.
        self._position = end
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def aclose(self) -> None:
        """Let go of everything."""
        await self._columns.drop()
        await self._drop_ahead()
        self._keep(b"", 0)

    def abandon(self) -> None:
        """Let go of what needs no waiting; on any thread."""
        self._columns.abandon()
        self._keep(b"", 0)
        task, self._ahead = self._ahead, None
        if task is not None and is_alive(task.get_loop()):
            task.get_loop().call_soon_threadsafe(task.cancel)

    def _wants_more(self, start: int, end: int) -> bool:
        """Whether a read is one of a sequence and past the middle of what is here, and nothing is on its way yet."""
        return (
            start == self._position
            and self._ahead is None
            and end - self._at > len(self._buffer) // 2
            and self._at + len(self._buffer) < self._size
        )

    async def _refill(self, at: int, end: int) -> None:
        """Have the buffer begin at ``at``: from the read-ahead if it starts there, else by a fetch with a larger window."""
        if self._ahead is not None and self._ahead_at == at and self._ahead.get_loop() is asyncio.get_running_loop():
            task, self._ahead = self._ahead, None
            self._keep(await task, at)
            return
        await self._drop_ahead()
        wanted = self._grown()
        if self._size <= _FIRST_WINDOW:
            at, end = 0, self._size
        self._keep(await self._fetch(at, min(self._size, max(end, at + wanted))), at)

    def _start_ahead(self) -> None:
        following = self._at + len(self._buffer)
        wanted = self._grown()
        if wanted:
            self._ahead_at = following
            self._ahead = asyncio.create_task(self._get(following, min(self._size, following + wanted)))
            # Perhaps nobody reads on; an error of what was not asked for is nobody's.
            self._ahead.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _get(self, start: int, end: int) -> bytes:
        return await self._fetch(start, end)

    def _grown(self) -> int:
        """The next window: twice the last one, nothing where the process holds enough."""
        wanted = min(2 * self._window, _MAX_WINDOW)
        # The buffer and the window ahead of it.
        if 2 * wanted > self._held:
            if not ALLOWANCE.take(2 * wanted - self._held, self._cap):
                return self._held // 2
            self._held = 2 * wanted
        self._window = wanted
        return wanted

    def _keep(self, data: bytes, at: int) -> None:
        self._buffer, self._at = data, at
        if not data and self._held:
            held, self._held = self._held, 0
            ALLOWANCE.give_back(held)

    async def _drop_ahead(self) -> None:
        """Cancel what is on its way. On another loop it ends by itself; in the parent of a fork it is not ours."""
        task, self._ahead = self._ahead, None
        if task is None:
            return
        if task.get_loop() is asyncio.get_running_loop():
            await stopped(task)
        elif is_alive(task.get_loop()):
            task.get_loop().call_soon_threadsafe(task.cancel)
