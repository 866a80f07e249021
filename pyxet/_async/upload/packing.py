"""Puts chunks into xorbs and sends them, for all files of one upload session."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Final, NamedTuple

from pyxet._async.endpoint.cas import Cas
from pyxet._async.runtime.tasks import run_all, stopped
from pyxet._async.runtime.threads import in_thread, to_end
from pyxet._async.upload.buffers import Buffers
from pyxet._async.upload.reservation import Reservation
from pyxet.errors import TransactionError
from pyxet.protocol.constants import MAX_CHUNK, MIB
from pyxet.protocol.dedup import FileAssembler, Place, Places
from pyxet.protocol.hashing import Hash
from pyxet.protocol.shard import Shard, ShardChunk, XorbEntry
from pyxet.protocol.xorb import Block, EncodedChunk, XorbBuilder, encode_chunk, encode_chunks

_QUERIES_AT_ONCE: Final = 8
# Bytes of a block: a run of `READ` bytes, the chunk that began before it, and the headers of the chunks.
_BLOCK: Final = 4 * MIB + MAX_CHUNK + 8192
Encoded = dict[Hash, EncodedChunk]


@dataclass(slots=True)
class UploadStats:
    """Totals of a session: counts of files and xorbs, otherwise bytes.

    ``sent`` is the size of the serialized xorbs that were new to the endpoint.
    """

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
    """Consecutive chunks of one file. The first ``placed`` of them have a place already."""

    chunks: Sequence[Chunk]
    assembler: FileAssembler
    placed: int = 0


class Packer:
    """Gives chunks their places in xorbs, and sends the xorbs that are full.

    Worker threads look up and place chunks, one thread at a time: the one that holds the lock.
    """

    def __init__(self, cas: Cas, reservation: Reservation, xorb_size: int, stats: UploadStats) -> None:
        # Memory for compressed chunks until they are sent.
        self.buffers = Buffers(_BLOCK)
        self._cas = cas
        self._reservation = reservation
        self._xorb_size = xorb_size
        self._stats = stats
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._builder = XorbBuilder()
        # Bytes of the open xorb that the reservation already counts.
        self._noted = 0
        self._sending: set[asyncio.Task[None]] = set()
        self._stored: list[XorbEntry] = []
        self._failure: BaseException | None = None
        self._closed = False
        self.places = Places()
        self._number = self.places.open_xorb()

    def check(self) -> None:
        """Raise if the session has ended or a part of it failed."""
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise TransactionError("this upload has ended")

    def work_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop on which xorbs are sent."""
        self._loop = loop

    # -- on the loop ---------------------------------------------------------------------------------------------------

    async def ask(self, values: Sequence[Hash]) -> bool:
        """Ask the endpoint for chunks that have no place. Returns whether it knows any of them."""
        answers = await run_all(self._cas.query_chunk, values, limit=_QUERIES_AT_ONCE)
        shards = [shard for shard in answers if shard is not None]
        if shards:
            await to_end(self._learn, shards)
        return bool(shards)

    async def seal(self) -> None:
        """Send the open xorb even if it is not full."""
        self.check()
        await to_end(self._seal_open, copy_context())

    async def sent(self) -> list[XorbEntry]:
        """Wait until all xorbs sealed so far are stored. Returns the xorbs stored since the last call."""
        waiting = set(self._sending)
        if waiting:
            await asyncio.wait(waiting)
        self.check()
        stored, self._stored = self._stored, []
        return stored

    def put_back(self, stored: list[XorbEntry]) -> None:
        """Make `sent` return these xorbs again, because they could not be registered."""
        self._stored = stored + self._stored

    async def aclose(self) -> None:
        """End the session. Xorbs that are still being sent are cancelled."""
        self._closed = True
        try:
            await stopped(*self._sending)
        finally:
            self._reservation.close()
            self.places = Places()
            self._builder = XorbBuilder()
            self._stored = []

    # -- in worker threads ---------------------------------------------------------------------------------------------

    def unknown(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The chunks among these that have no place yet, each only once."""
        with self._lock:
            find = self.places.find
            new = {chunk.hash: chunk for chunk in chunks if find(chunk.hash) is None}
        return list(new.values())

    def place(self, runs: Sequence[Run], encoded: Encoded, context: Context) -> None:
        """Give each chunk of some runs its place: a known one, or one in the open xorb.

        Parameters
        ----------
        encoded:
            Compressed chunks: those that had no place when they were compressed. Some may have got one since.
        context:
            Context in which a xorb that gets full is sent.
        """
        with self._lock:
            for run in runs:
                self.check()
                try:
                    while not self._fill_from(run, encoded):
                        self._seal(context)
                finally:
                    self._note()

    def _seal_open(self, context: Context) -> None:
        with self._lock:
            self._seal(context)

    def _learn(self, shards: Sequence[Shard]) -> None:
        with self._lock:
            for shard in shards:
                self.places.add_shard(shard)

    def _fill_from(self, run: Run, encoded: Encoded) -> bool:
        """Place chunks of a run. Returns whether all of them have a place now; if not, the open xorb is full."""
        places, builder, assembler = self.places, self._builder, run.assembler
        values = [chunk.hash for chunk in run.chunks]
        while run.placed < len(run.chunks):
            value, data = run.chunks[run.placed]
            found = places.find_run(values, run.placed) if places.find(value) else []
            if found and assembler.takes(found):
                for place in found:
                    size = len(run.chunks[run.placed].data)
                    assembler.add(values[run.placed], size, place)
                    assembler.deduplicated += size
                    run.placed += 1
                continue
            ready = encoded.get(value) or encode_chunk(data, value)
            if len(builder) and not (builder.fits(ready.size) and builder.size + ready.size <= self._xorb_size):
                return False
            place = Place(self._number, builder.add(ready))
            places.add(value, place)
            assembler.add(value, len(data), place)
            assembler.stored += ready.size
            run.placed += 1
        return True

    def _note(self) -> None:
        more = self._builder.size - self._noted
        self._noted += more
        self._reservation.add(more)
        self._reservation.mark_idle(more)

    def _seal(self, context: Context) -> None:
        """Close the open xorb and have it sent."""
        if not len(self._builder):
            return
        self._note()
        builder, number, amount = self._builder, self._number, self._noted
        self._builder, self._number, self._noted = XorbBuilder(), self.places.open_xorb(), 0
        self._reservation.mark_idle(-amount)
        assert self._loop is not None
        # If the loop is closed, nothing can be sent and nobody waits for it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._start, builder, number, amount, context=context)

    # -- on the loop again ---------------------------------------------------------------------------------------------

    def _start(self, builder: XorbBuilder, number: int, amount: int) -> None:
        if self._closed:
            return
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
            # The views must go before the blocks: a block returns its buffer to the pool only if no view of it is left.
            blocks = xorb.blocks
            del xorb
            del blocks
        except Exception as error:  # noqa: BLE001  # raised by `check`
            self._failure = self._failure or error


def encode(chunks: Sequence[Chunk], buffers: Buffers | None = None) -> Encoded:
    """Compress consecutive chunks; into a buffer of the pool if their raw size is more than half of it."""
    room = None
    if buffers is not None and 2 * sum(len(chunk.data) for chunk in chunks) > _BLOCK:
        room = Block(buffers.take(), buffers.give_back_unless_viewed)
    return {chunk.hash: chunk for chunk in encode_chunks(chunks, room)}
