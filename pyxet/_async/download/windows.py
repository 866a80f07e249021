"""Shares windows of files between readers: a reader that needs bytes which are already being fetched waits for them.

However many readers need a window, or a part of it, it is read once. Its memory counts as in flight until the last of its
readers has released it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

from pyxet._async.runtime.budget import READ_MEMORY
from pyxet._async.runtime.tasks import stopped
from pyxet.errors import XetError
from pyxet.protocol.constants import MAX_CHUNK, MIB
from pyxet.protocol.hashing import Buffer, Hash
from pyxet.types import RepoId
from pyxet.watching import COUNTS

# Bytes of a window.
WINDOW: Final = 16 * MIB
# Only whole chunks can be decoded, so a window holds up to one more chunk at each end.
_EDGES: Final = 2 * MAX_CHUNK
_Key = tuple[RepoId, Hash, bool]


class FileChunk(NamedTuple):
    """A decoded chunk: its offset in the file, its content, and its hash (empty if it is not verified)."""

    offset: int
    data: Buffer
    hash: Hash

    @property
    def end(self) -> int:
        """Offset after the chunk."""
        return self.offset + len(self.data)

    def cut(self, start: int, end: int) -> Buffer:
        """The part of its content that lies between two offsets in the file."""
        if self.offset >= start and self.end <= end:
            return self.data
        return memoryview(self.data)[max(0, start - self.offset) : end - self.offset]


def cut(chunks: Iterable[FileChunk], start: int, end: int) -> list[Buffer]:
    """The parts of the contents of some chunks that lie between two offsets in the file."""
    return [chunk.cut(start, end) for chunk in chunks]


class Lease:
    """Chunks of a window, in order, for one reader."""

    def __init__(self, chunks: list[FileChunk], flight: _Flight | None = None) -> None:
        self.chunks = chunks
        self._flight = flight
        self._taken = False

    def take(self) -> None:
        """Move this window's memory from idle to in flight: its reader begins to use it."""
        if self._flight is not None and not self._taken:
            self._taken = True
            self._flight.take()

    def release(self) -> None:
        """Let go of the chunks; a second time does nothing."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.release(taken=self._taken)
        self.chunks = []


class _Flight:
    """One window that is being read, and the readers that wait for it or hold its chunks.

    Its memory counts as idle once the chunks are there and until a reader begins to use them: windows that are read ahead
    must not keep other readers from what they need now.
    """

    def __init__(self, start: int, end: int, read: Callable[[], Awaitable[list[FileChunk]]], memory: int) -> None:
        self.start = start
        self.end = end
        self._read = read
        self._memory = memory
        self._held = 0
        self._idle = False
        self._readers = 0
        self._taken = 0
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> list[FileChunk]:
        amount = self.end - self.start + _EDGES
        await READ_MEMORY.acquire(amount, self._memory)
        self._held = amount
        try:
            found = await self._read()
        except BaseException:
            self._release_memory()
            raise
        if self._readers:
            self._mark_idle(True)
        else:
            self._release_memory()
        return found

    async def join(self) -> list[FileChunk]:
        """Wait for its chunks. A call that succeeds must be followed by `release`; one that fails must not."""
        self._readers += 1
        try:
            await asyncio.wait([self.task])
            return self.task.result()
        except BaseException:
            self._readers -= 1
            if not self._readers:
                try:
                    await stopped(self.task)
                finally:
                    self._release_memory()
            raise

    def take(self) -> None:
        """Note that one more reader begins to use the chunks."""
        self._taken += 1
        self._mark_idle(False)

    def release(self, *, taken: bool = False) -> None:
        """A reader no longer needs the chunks. ``taken`` says whether it had called `take`."""
        self._readers -= 1
        self._taken -= taken
        if self._readers:
            self._mark_idle(not self._taken)
        else:
            self._release_memory()

    def _mark_idle(self, idle: bool) -> None:
        if idle != self._idle and self._held:
            self._idle = idle
            READ_MEMORY.mark_idle(self._held if idle else -self._held)

    def _release_memory(self) -> None:
        self._mark_idle(False)
        amount, self._held = self._held, 0
        if amount:
            READ_MEMORY.release(amount)


class Windows:
    """The windows of one client that are being read, for each event loop."""

    def __init__(self) -> None:
        self._flights: dict[tuple[asyncio.AbstractEventLoop, _Key], list[_Flight]] = {}

    async def get(
        self,
        key: _Key,
        start: int,
        end: int,
        read: Callable[[int, int], Awaitable[list[FileChunk]]],
        memory: int,
    ) -> Lease:
        """Whole chunks that overlap bytes ``start`` to before ``end``.

        Parameters
        ----------
        key:
            The repository through which the content is read, its hash, and whether its chunks are hashed.
        read:
            Reads a range that is not being read yet.
        memory:
            The cap on `READ_MEMORY`.
        """
        place = (asyncio.get_running_loop(), key)
        under_way = self._flights.get(place, [])
        flight = next((item for item in under_way if item.start <= start and end <= item.end), None)
        if flight is not None and not flight.task.cancelling():
            try:
                lease = Lease(_overlapping(await flight.join(), start, end), flight)
                COUNTS.add(cache_hits=1, cache_hit_bytes=end - start)
                return lease
            except XetError:
                # The failure may lie in bytes that this reader does not need.
                if (start, end) == (flight.start, flight.end):
                    raise
            return await self.get(key, start, end, read, memory)
        flight = next((item for item in under_way if item.start < end and start < item.end), None)
        if flight is not None and not flight.task.cancelling():
            return await self._complete(key, start, end, read, memory, flight)
        flight = _Flight(start, end, lambda: read(start, end), memory)
        self._flights.setdefault(place, []).append(flight)
        flight.task.add_done_callback(lambda _: self._landed(place, flight))
        return Lease(await flight.join(), flight)

    async def _complete(
        self,
        key: _Key,
        start: int,
        end: int,
        read: Callable[[int, int], Awaitable[list[FileChunk]]],
        memory: int,
        flight: _Flight,
    ) -> Lease:
        """A window that a flight covers in part: the chunks of that flight, and the rest read separately."""
        try:
            found = _overlapping(await flight.join(), start, end)
        except XetError:
            # The failure may lie in bytes that this reader does not need.
            return await self.get(key, start, end, read, memory)
        # Release before waiting for more: readers that hold memory while they wait for memory could block each other.
        flight.release()
        if not found:
            return await self.get(key, start, end, read, memory)
        COUNTS.add(cache_hits=1, cache_hit_bytes=min(end, found[-1].end) - max(start, found[0].offset))
        chunks = {chunk.offset: chunk for chunk in found}
        for begin, last in ((start, found[0].offset), (found[-1].end, end)):
            if begin < last:
                rest = await self.get(key, begin, last, read, memory)
                chunks.update((chunk.offset, chunk) for chunk in rest.chunks)
                rest.release()
        return Lease([chunks[offset] for offset in sorted(chunks)])

    def _landed(self, place: tuple[asyncio.AbstractEventLoop, _Key], flight: _Flight) -> None:
        under_way = self._flights[place]
        under_way.remove(flight)
        if not under_way:
            del self._flights[place]


def _overlapping(chunks: list[FileChunk], start: int, end: int) -> list[FileChunk]:
    return [chunk for chunk in chunks if chunk.end > start and chunk.offset < end]
