"""Puts chunks into xorbs and sends them, for all files of one upload session, and accounts for the session's memory."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pyxet._async.endpoint.cas import Cas
from pyxet._async.runtime.budget import WRITE_MEMORY
from pyxet._async.runtime.tasks import run_all, stopped
from pyxet._async.runtime.threads import in_thread, to_end
from pyxet.errors import TransactionError
from pyxet.protocol.compression import StreamCompressor
from pyxet.protocol.dedup import FileAssembler, Place, Places
from pyxet.protocol.hashing import Hash
from pyxet.protocol.shard import Shard, ShardChunk, XorbEntry
from pyxet.protocol.xorb import EncodedChunk, XorbBuilder, encode_chunk, encode_chunks

_QUERIES_AT_ONCE: Final = 8
Encoded = dict[Hash, EncodedChunk]


@dataclass(slots=True)
class UploadStats:
    """Totals of a session, in bytes and counts. ``sent`` is the bytes of serialized xorbs that were new to the endpoint."""

    files: int = 0
    content: int = 0
    deduplicated: int = 0
    sent: int = 0
    xorbs: int = 0


class Chunk(NamedTuple):
    """A chunk of a file: its hash and raw content."""

    hash: Hash
    data: memoryview


@dataclass(slots=True)
class Run:
    """Consecutive chunks of one file; ``placed`` of them have a place already."""

    chunks: Sequence[Chunk]
    assembler: FileAssembler
    placed: int = 0


class Reservation:
    """A session's share of `WRITE_MEMORY`: the bytes it holds, and how many of them are idle in open files and xorbs."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
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
        self._held += amount
        if self._closed:
            self._held -= amount
            WRITE_MEMORY.release(amount)
            raise TransactionError("this upload has ended")

    def release(self, amount: int) -> None:
        """Return room."""
        if self._is_open:
            self._held -= amount
            WRITE_MEMORY.release(amount)

    def add(self, amount: int) -> None:
        """Take memory without waiting, for content that replaces other content whose memory is released right after."""
        self.release(-amount)

    def mark_idle(self, more: int) -> None:
        """Move bytes of what is held from in flight to idle; a negative number moves them back."""
        if more and self._is_open:
            self._idle += more
            WRITE_MEMORY.mark_idle(more)

    def close(self) -> None:
        """Release everything, for good."""
        if self._is_open:
            self._closed = True
            WRITE_MEMORY.mark_idle(-self._idle)
            WRITE_MEMORY.release(self._held)


class Packer:
    """Gives chunks their places, and sends the xorbs that are full.

    Chunks are looked up in `places`, and added to it, by one thread at a time: that of the task which holds the lock.
    """

    def __init__(self, cas: Cas, reservation: Reservation, xorb_size: int, stats: UploadStats) -> None:
        self._cas = cas
        self._reservation = reservation
        self._xorb_size = xorb_size
        self._stats = stats
        self._lock = asyncio.Lock()
        self._builder = XorbBuilder()
        # Bytes of the open xorb that are accounted for.
        self._noted = 0
        self._sending: set[asyncio.Task[None]] = set()
        self._stored: list[XorbEntry] = []
        self._failure: BaseException | None = None
        self._closed = False
        self.places = Places()
        # Whether shards of the endpoint were added to `places`.
        self._learned = False
        self._number = self.places.open_xorb()

    def check(self) -> None:
        """Raise if the session has ended or a part of it failed."""
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise TransactionError("this upload has ended")

    async def ask(self, values: Sequence[Hash]) -> bool:
        """Ask the endpoint for the chunks that have no place yet. Returns whether it knew any."""
        async with self._lock:
            unknown = [value for value in values if self.places.find(value) is None]
        answers = await run_all(self._cas.query_chunk, unknown, limit=_QUERIES_AT_ONCE)
        shards = [shard for shard in answers if shard is not None]
        if shards:
            async with self._lock:
                await to_end(self._learn, shards)
        return bool(shards)

    async def known(self, values: Sequence[Hash]) -> set[Hash]:
        """The given chunks that have a place."""
        async with self._lock:
            return {value for value in values if self.places.find(value) is not None}

    async def encode(self, runs: Sequence[Run]) -> Encoded:
        """Compress the chunks that have no place yet; most of them still have none when `place` comes to them."""
        self.check()
        async with self._lock:
            # A chunk is looked up in less time than a thread takes to begin, unless each look-up computes keyed hashes.
            new = await to_end(self._unknown, runs) if self._learned else self._unknown(runs)
        return await in_thread(_encode, new) if any(new) else {}

    async def place(self, runs: Sequence[Run], encoded: Encoded) -> None:
        """Give each chunk of some runs its place: a known one, or one in the open xorb."""
        waiting = deque(runs)
        async with self._lock:
            while waiting:
                self.check()
                try:
                    await to_end(self._fill, waiting, encoded)
                finally:
                    self._note()
                if waiting:
                    self._seal()

    async def seal(self) -> None:
        """Send the open xorb as it is."""
        async with self._lock:
            self.check()
            self._seal()

    async def sent(self) -> list[XorbEntry]:
        """Wait until all xorbs that are sealed now are stored. Returns stored xorbs, each only once."""
        waiting = set(self._sending)
        if waiting:
            await asyncio.wait(waiting)
        self.check()
        stored, self._stored = self._stored, []
        return stored

    def put_back(self, stored: list[XorbEntry]) -> None:
        """Have `sent` return xorbs again, as they could not be registered."""
        self._stored = stored + self._stored

    async def aclose(self) -> None:
        """End the session: what is still being sent is cancelled."""
        self._closed = True
        try:
            await stopped(*self._sending)
        finally:
            self._reservation.close()
            self.places = Places()
            self._builder = XorbBuilder()
            self._stored = []

    def _learn(self, shards: Sequence[Shard]) -> None:
        self._learned = True
        for shard in shards:
            self.places.add_shard(shard)

    def _unknown(self, runs: Sequence[Run]) -> list[list[Chunk]]:
        return [[chunk for chunk in run.chunks if self.places.find(chunk.hash) is None] for run in runs]

    def _fill(self, waiting: deque[Run], encoded: Encoded) -> None:
        """Place chunks until the open xorb is full; runs that are done leave the queue."""
        while waiting and self._fill_from(waiting[0], encoded):
            waiting.popleft()

    def _fill_from(self, run: Run, encoded: Encoded) -> bool:
        """Place chunks of a run. Returns whether all of them have a place now."""
        places, builder, assembler = self.places, self._builder, run.assembler
        values = [chunk.hash for chunk in run.chunks]
        while run.placed < len(run.chunks):
            chunk = run.chunks[run.placed]
            found = places.find_run(values, run.placed) if places.find(chunk.hash) else []
            if found and assembler.takes(found):
                for place in found:
                    size = len(run.chunks[run.placed].data)
                    assembler.add(values[run.placed], size, place)
                    self._stats.deduplicated += size
                    run.placed += 1
                continue
            ready = encoded.get(chunk.hash) or encode_chunk(chunk.data, chunk.hash)
            if len(builder) and not (builder.fits(ready.size) and builder.size + ready.size <= self._xorb_size):
                return False
            place = Place(self._number, builder.add(ready))
            places.add(chunk.hash, place)
            assembler.add(chunk.hash, len(chunk.data), place)
            assembler.stored += ready.size
            run.placed += 1
        return True

    def _note(self) -> None:
        more = self._builder.size - self._noted
        self._noted += more
        self._reservation.add(more)
        self._reservation.mark_idle(more)

    def _seal(self) -> None:
        """Close the open xorb and start sending it."""
        if not len(self._builder):
            return
        builder, number, amount = self._builder, self._number, self._noted
        self._builder, self._number, self._noted = XorbBuilder(), self.places.open_xorb(), 0
        self._reservation.mark_idle(-amount)
        task = asyncio.create_task(self._send(builder, number))
        self._sending.add(task)
        task.add_done_callback(lambda _: self._reservation.release(amount))
        task.add_done_callback(self._sending.discard)

    async def _send(self, builder: XorbBuilder, number: int) -> None:
        try:
            xorb = await in_thread(builder.build)
            del builder
            self.places.seal(number, xorb.info.hash)
            if await self._cas.upload_xorb(xorb):
                self._stats.sent += xorb.info.size
            else:
                # An earlier upload had stored this xorb but was interrupted before it registered the chunks.
                self._stats.deduplicated += sum(chunk.raw_length for chunk in xorb.info.chunks)
            self._stats.xorbs += 1
            chunks = tuple(ShardChunk(chunk.hash, chunk.raw_length) for chunk in xorb.info.chunks)
            self._stored.append(XorbEntry(xorb.info.hash, chunks))
        except Exception as error:  # noqa: BLE001  # raised by whoever depends on the xorb
            self._failure = self._failure or error


def _encode(runs: Sequence[Sequence[Chunk]]) -> Encoded:
    """The new chunks of some runs, each only once."""
    encoded: Encoded = {}
    seen: set[Hash] = set()
    for chunks in runs:
        new = []
        for chunk in chunks:
            if chunk.hash not in seen:
                seen.add(chunk.hash)
                new.append(chunk)
        encoded.update((chunk.hash, chunk) for chunk in encode_chunks(new, StreamCompressor().compress))
    return encoded
