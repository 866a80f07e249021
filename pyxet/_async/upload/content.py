"""Uploads one content: cuts it into chunks, hashes and compresses them, and gives them places in xorbs.

Its memory counts as in flight until its xorb is stored, see `Uploader`.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Final, Protocol

from pyxet._async.http.watched import Part, Transfer, is_watched
from pyxet._async.runtime.tasks import stopped
from pyxet._async.runtime.threads import in_thread
from pyxet._async.upload.packing import Chunk, Packer, Reservation, Run
from pyxet.protocol.chunking import Chunker
from pyxet.protocol.constants import MAX_CHUNK, MIB
from pyxet.protocol.dedup import FileAssembler
from pyxet.protocol.hashing import Buffer, Hash, chunk_hash, is_eligible
from pyxet.types import UploadedContent

# Bytes that are handed to a worker thread at once.
RUN: Final = 2 * MIB
# Bytes that are read from a file at once and handled as one run: handing a run to worker threads six times costs as much
# as hashing a few hundred kibibytes.
READ: Final = 4 * MIB
# Runs of one content that are hashed, compressed or placed at the same time; several keep a second core busy.
_PACKED_AT_ONCE: Final = 3
# Runs up to this size are hashed twice in one thread, larger ones in two at once.
_SMALL_RUN: Final = MIB // 4


class Session(Protocol):
    """The upload session that a content belongs to, as far as the content needs it."""

    reservation: Reservation
    packer: Packer

    def check(self) -> None:
        """Raise if the session has ended or a part of it failed."""

    def finish(self, assembler: FileAssembler, sha256: str) -> UploadedContent:
        """Note that a file is complete."""


class ContentWriter:
    """Stores content that comes in pieces, while it comes.

    Runs are cut into chunks one after the other, as each continues the chunker's state. Meanwhile the runs before are
    hashed and compressed, and their chunks get places in order.
    """

    def __init__(self, session: Session, sha256: str | None, name: str | None = None) -> None:
        self._session = session
        # For those who watch.
        self._transfer = Transfer("upload", Part(name, 0, 0)) if name is not None and is_watched() else None
        self._lock = asyncio.Lock()
        self._chunker = Chunker()
        self._assembler = FileAssembler()
        self._known_sha256 = sha256
        self._sha256 = hashlib.sha256()
        self._waiting = bytearray()
        # The bytes of the chunk that is not complete yet, and where it begins in the content.
        self._tail = b""
        self._tail_offset = 0
        # Whether there was a chunk already.
        self._begun = False
        self._packing: deque[asyncio.Task[None]] = deque()
        self.size = 0

    async def write(self, data: Buffer, done: Callable[[], object] | None = None) -> None:
        """Write a piece; waits while earlier ones are on their way.

        Parameters
        ----------
        done:
            Called once the memory of ``data`` may be used again, but not if anything failed. Given for a piece of at most
            4 MiB that is not `bytes`; such a piece is then not copied if it has the length of a run or more.
        """
        view = memoryview(data).cast("B")
        for at in range(0, len(view), READ):
            self._session.check()
            piece = view[at : at + READ]
            # Not under the lock: `push` needs the lock to send what this writer holds when others wait for memory.
            await self._session.reservation.take(len(piece))
            try:
                await self._lock.acquire()
            except BaseException:
                self._session.reservation.release(len(piece))
                raise
            try:
                self.size += len(piece)
                if not self._waiting and len(piece) >= RUN:
                    # `bytes` cannot change, and with `done` the caller leaves the memory alone: no copy is needed.
                    stays = done is not None or isinstance(piece.obj, bytes)
                    await self._run(piece if stays else memoryview(bytes(piece)), done=done)
                    continue
                self._waiting += piece
                if done is not None:
                    done()
                self._session.reservation.mark_idle(len(piece))
                if len(self._waiting) >= RUN:
                    await self._run_waiting()
            finally:
                self._lock.release()

    async def push(self) -> None:
        """Send what was written so far without waiting for a whole run."""
        async with self._lock:
            if self._waiting:
                await self._run_waiting()
            await self._packed()

    async def close(self) -> UploadedContent:
        """End the content. It is safe to commit after the uploader's ``flush``."""
        self._session.check()
        async with self._lock:
            await self._run_waiting(last=True)
            await self._packed()
        if self._transfer is not None:
            self._transfer.came(self.size)
            self._transfer.end(None)
        return self._session.finish(self._assembler, self._known_sha256 or self._sha256.hexdigest())

    async def discard(self) -> None:
        """Discard the content. Chunks that were already sent belong to no file."""
        if self._transfer is not None:
            self._transfer.came(self.size)
            # Whoever discards handles what kept the content from being complete, or does not want it any more.
            self._transfer.end(sys.exception() or asyncio.CancelledError())
        waiting, self._waiting = len(self._waiting), bytearray()
        self._session.reservation.mark_idle(-waiting)
        self._session.reservation.release(waiting)
        await stopped(*self._packing)
        self._packing.clear()

    async def _run_waiting(self, *, last: bool = False) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        self._session.reservation.mark_idle(-len(data))
        await self._run(memoryview(data), last=last)

    async def _run(
        self, data: memoryview, *, last: bool = False, done: Callable[[], object] | None = None
    ) -> None:  # fmt: skip
        """Cut a run into chunks and start packing it. Its memory was reserved by the caller."""
        reservation = self._session.reservation
        try:
            pieces = await self._cut(data, last)
            await self._packed(_PACKED_AT_ONCE - 1)
        except BaseException:
            reservation.release(len(data))
            raise
        before = self._packing[-1] if self._packing else None
        with self._transfer.counting() if self._transfer is not None else nullcontext():
            packing = asyncio.create_task(self._pack(pieces, not self._begun, before))
        self._begun = self._begun or bool(pieces)
        packing.add_done_callback(lambda _: reservation.release(len(data)))
        if done is not None:
            packing.add_done_callback(lambda task: None if task.cancelled() or task.exception() else done())
        self._packing.append(packing)

    async def _pack(self, pieces: Sequence[memoryview], first: bool, before: asyncio.Task[None] | None) -> None:
        packer = self._session.packer
        chunks = await in_thread(_hashed, pieces)
        await packer.ask(_queries(chunks, first))
        runs = [Run(chunks, self._assembler)]
        encoded = await packer.encode(runs)
        if before is not None:
            await asyncio.wait([before])
            before.result()
        await packer.place(runs, encoded)

    async def _cut(self, data: memoryview, last: bool) -> list[memoryview]:
        """The chunks that a run completes. The SHA-256, which is serial too, is computed at the same time."""
        if self._known_sha256 is not None:
            return await in_thread(self._pieces, data, last)
        if len(data) <= _SMALL_RUN:
            return await in_thread(self._both, data, last)
        hashing = asyncio.create_task(in_thread(self._sha256.update, data))
        try:
            pieces = await in_thread(self._pieces, data, last)
            await hashing
        except BaseException:
            await stopped(hashing)
            raise
        return pieces

    def _both(self, data: memoryview, last: bool) -> list[memoryview]:
        self._sha256.update(data)
        return self._pieces(data, last)

    async def _packed(self, at_most: int = 0) -> None:
        """Wait until at most ``at_most`` runs are being packed."""
        while len(self._packing) > at_most:
            await asyncio.wait([self._packing[0]])
            self._packing.popleft().result()

    def _pieces(self, data: memoryview, last: bool) -> list[memoryview]:
        """The chunks that a run completes; runs in a worker thread, one run at a time."""
        ends = self._chunker.feed(data)
        end = self._chunker.finish() if last else None
        if end is not None:
            ends = [*ends, end]
        pieces = []
        start, begins = 0, self._tail_offset + len(self._tail)
        for end in ends:
            piece = data[start : end - begins]
            if self._tail:
                piece, self._tail = memoryview(self._tail + piece), b""
            pieces.append(piece)
            start = end - begins
        self._tail += data[start:]
        self._tail_offset = begins + len(data) - len(self._tail)
        assert len(self._tail) < MAX_CHUNK
        return pieces


def _hashed(pieces: Sequence[memoryview]) -> list[Chunk]:
    return [Chunk(chunk_hash(piece), piece) for piece in pieces]


def _queries(chunks: Sequence[Chunk], first: bool) -> list[Hash]:
    """Chunks of a run to ask the endpoint for: the first one, if the run begins a file (``first``), and an eligible one.

    Asking for more, a few mebibytes apart, rarely finds another shard.
    """
    asked = [chunk.hash for chunk in chunks[:1] if first]
    eligible = next((chunk.hash for chunk in chunks[len(asked) :] if is_eligible(chunk.hash)), None)
    return asked if eligible is None else [*asked, eligible]
