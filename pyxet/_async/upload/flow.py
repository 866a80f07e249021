"""Takes one content through the worker threads: SHA-256, chunking, dedup queries, compression, placement in xorbs.

Content arrives in pieces of a few mebibytes. SHA-256 and chunking carry state from piece to piece, so each is a `Stage`
that processes one piece at a time. Compression has no such state, so several pieces are compressed in parallel. Chunks
are placed in the order of the content: a thread that finishes a piece places all pieces whose turn has come. No thread
blocks on another one: a piece that cannot continue stays in a queue until the thread or the answer that it depends on
moves it on. Threads call the event loop to ask the endpoint for a chunk, to send a full xorb and to wake waiting tasks.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Protocol

from pyxet._async.runtime.tasks import outlast, stopped
from pyxet._async.runtime.threads import Stage, post
from pyxet._async.upload.packing import Chunk, Encoded, Packer, Run, encode
from pyxet._async.upload.reservation import Reservation
from pyxet.errors import TransactionError
from pyxet.protocol.chunking import Chunker
from pyxet.protocol.constants import MAX_CHUNK
from pyxet.protocol.dedup import FileAssembler
from pyxet.protocol.hashing import Hash, chunk_hash, is_eligible


class Session(Protocol):
    """The part of an upload session that a `Flow` uses."""

    reservation: Reservation
    packer: Packer


class Piece:
    """A piece of the content that is being processed.

    Attributes
    ----------
    data:
        Its bytes. They must not change until all readers have released the piece.
    chunks:
        The chunks that end in this piece.
    encoded:
        The new chunks among them, compressed; ``None`` until the compression has finished.
    """

    __slots__ = ("chunks", "data", "done", "encoded", "is_last", "is_looked_at", "readers")

    def __init__(self, data: memoryview, readers: int, *, is_last: bool, done: Callable[[], object] | None) -> None:
        self.data = data
        self.readers = readers
        self.is_last = is_last
        self.done = done
        self.chunks: list[Chunk] = []
        self.encoded: Encoded | None = None
        # Whether the piece was already searched for an eligible chunk.
        self.is_looked_at = False


class Flow:
    """Processes one content into xorbs. Create it on the event loop of its session.

    Parameters
    ----------
    session:
        The upload session that the content belongs to.
    sha256:
        SHA-256 of the content in hex, if the caller knows it; computed otherwise.
    """

    def __init__(self, session: Session, sha256: str | None = None) -> None:
        self._packer = session.packer
        self._reservation = session.reservation
        self._loop = asyncio.get_running_loop()
        # Requests for this content run in the context in which the flow was created: their retries are counted there.
        self._context = copy_context()
        self._known_sha256 = sha256
        self._sha256 = None if sha256 is not None else hashlib.sha256()
        self.assembler = FileAssembler()
        self._cutter = _Cutter()
        self._hashing: Stage[Piece] = Stage()
        # The item `None` makes the stage try the pieces in `_cut` again.
        self._cutting: Stage[Piece | None] = Stage()
        # Used only by the cutting stage: pieces that may have to wait for an answer of the endpoint.
        self._cut: deque[Piece] = deque()
        self._begun = False
        # The query that the pieces wait for; used only on the event loop.
        self._question: asyncio.Task[None] | None = None
        self._is_asking = False
        # The lock guards everything below.
        # Reentrant: the garbage collector may end a coroutine, which calls `stop`, while this thread has the lock.
        self._lock = threading.RLock()
        self._order: deque[Piece] = deque()
        self._is_placing = False
        self._on_way = 0
        self._failure: BaseException | None = None
        self._stopped = False
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def is_over(self) -> bool:
        """Whether the flow failed or was stopped, so that it processes nothing more."""
        return self._stopped or self._failure is not None

    @property
    def sha256(self) -> str:
        """SHA-256 in hex: the given one, or that of all pieces processed so far."""
        return self._known_sha256 if self._sha256 is None else self._sha256.hexdigest()  # type: ignore[return-value]  # one of them is there

    # -- from any thread -----------------------------------------------------------------------------------------------

    def feed(
        self,
        data: memoryview,
        done: Callable[[], object] | None = None,
        *,
        is_last: bool = False,
        hash_here: bool = False,
    ) -> None:  # fmt: skip
        """Start to process a piece. The caller took its memory from the reservation; the flow releases it.

        Parameters
        ----------
        data:
            The bytes of the piece.
        done:
            Called, from any thread, once nobody reads ``data`` any more.
        is_last:
            Whether this is the last piece of the content.
        hash_here:
            Compute SHA-256 in the calling thread. Then two threads must never call this method at the same time.
        """
        hashed = self._sha256 is not None
        piece = Piece(data, 2 if hashed else 1, is_last=is_last, done=done)
        with self._lock:
            self._on_way += 1
        self._cutting.put(piece, self._cut_piece)
        if hashed and hash_here:
            self._hash(piece)
        elif hashed:
            self._hashing.put(piece, self._hash)

    def fail(self, error: BaseException) -> None:
        """Record an error, stop processing and wake the waiting tasks."""
        with self._lock:
            self._failure = self._failure or error
            if self._stopped:
                # `stop` must still wait until the threads are done, so it is not woken here.
                return
            waiting, self._waiting = self._waiting, []
        self._wake(future for _, future in waiting)

    # -- on the loop ---------------------------------------------------------------------------------------------------

    async def settle(self, at_most: int = 0) -> None:
        """Wait until at most ``at_most`` pieces are being processed. If the content failed, raises its error."""
        future: asyncio.Future[None] | None = None
        with self._lock:
            if not self.is_over and self._on_way > at_most:
                future = self._loop.create_future()
                self._waiting.append((at_most, future))
        if future is not None:
            await future
        if self._failure is not None:
            raise self._failure
        if self._stopped:
            raise TransactionError("this upload has ended")

    async def stop(self) -> None:
        """Stop processing and wait until no thread works on the content. Its memory is released by then."""
        idle = self._loop.create_future()
        with self._lock:
            self._stopped = True
            waiting = self._waiting
            is_idle = not self._on_way
            self._waiting = [] if is_idle else [(0, idle)]
        if is_idle:
            _set(idle)
        for _, future in waiting:
            _set(future)
        try:
            if self._question is not None:
                await stopped(self._question)
        finally:
            self._cutting.put(None, self._cut_piece, first=True)
            await outlast(idle)

    # -- the stages ----------------------------------------------------------------------------------------------------

    def _hash(self, piece: Piece) -> None:
        try:
            if not self.is_over and self._sha256 is not None:
                self._sha256.update(piece.data)
        except BaseException as error:  # noqa: BLE001  # raised by `settle`
            self.fail(error)
        self._let_go(piece)

    def _cut_piece(self, piece: Piece | None) -> None:
        try:
            if piece is not None:
                self._cut.append(piece)
                if not self.is_over:
                    piece.chunks = self._cutter.cut(piece.data, piece.is_last)
            self._go_on()
        except BaseException as error:  # noqa: BLE001  # as above
            self.fail(error)
            self._drop_cut()

    def _go_on(self) -> None:
        """Pass cut pieces on to compression, unless the endpoint must be asked first: its chunks are not sent again."""
        while self._cut and not self.is_over:
            if self._is_asking:
                return
            piece = self._cut[0]
            value = self._wanted(piece)
            if value is not None:
                self._is_asking = True
                self._tell(self._start_asking, value)
                return
            new = self._packer.unknown(piece.chunks)
            with self._lock:
                self._order.append(self._cut.popleft())
            if new:
                post(self._encode, piece, new)
            else:
                piece.encoded = {}
                self._place()
        self._drop_cut()

    def _drop_cut(self) -> None:
        while self._cut and self.is_over:
            self._let_go(self._cut.popleft())

    def _wanted(self, piece: Piece) -> Hash | None:
        """The chunk to ask the endpoint for, if any: the first of the content, and one eligible chunk of each piece.

        Asking for more chunks rarely finds another shard. Chunks that an earlier answer contained are not asked for.
        """
        if not self._begun and piece.chunks:
            self._begun = True
            if self._packer.unknown(piece.chunks[:1]):
                return piece.chunks[0].hash
        if not piece.is_looked_at:
            piece.is_looked_at = True
            eligible = next((chunk for chunk in piece.chunks if is_eligible(chunk.hash)), None)
            if eligible is not None and self._packer.unknown([eligible]):
                return eligible.hash
        return None

    def _start_asking(self, value: Hash) -> None:
        if self.is_over:
            self._answered()
        else:
            self._question = asyncio.create_task(self._ask(value))

    async def _ask(self, value: Hash) -> None:
        try:
            await self._packer.ask([value])
        except Exception as error:  # noqa: BLE001  # as above
            self.fail(error)
        finally:
            self._answered()

    def _answered(self) -> None:
        self._is_asking = False
        self._cutting.put(None, self._cut_piece, first=True)

    def _encode(self, piece: Piece, new: Sequence[Chunk]) -> None:
        encoded: Encoded = {}
        try:
            if not self.is_over:
                encoded = encode(new, self._packer.buffers)
        except BaseException as error:  # noqa: BLE001  # as above
            self.fail(error)
        piece.encoded = encoded
        self._place()

    def _place(self) -> None:
        """Place the chunks of all pieces whose turn has come.

        Only one thread places at a time. If another thread calls this meanwhile, it returns at once, and the first thread
        places its piece too.
        """
        mine = False
        while True:
            with self._lock:
                if self._is_placing and not mine:
                    return
                self._is_placing = mine = bool(self._order) and self._order[0].encoded is not None
                if not mine:
                    return
                piece = self._order.popleft()
            try:
                if not self.is_over:
                    self._packer.place([Run(piece.chunks, self.assembler)], piece.encoded or {}, self._context)
            except BaseException as error:  # noqa: BLE001  # as above
                self.fail(error)
            self._let_go(piece)

    def _let_go(self, piece: Piece) -> None:
        """Note that one reader of a piece is done; the last one releases the memory of the piece."""
        with self._lock:
            piece.readers -= 1
            if piece.readers:
                return
        size, done = len(piece.data), piece.done
        piece.data, piece.chunks, piece.encoded, piece.done = memoryview(b""), [], {}, None
        self._reservation.release(size)
        if done is not None:
            done()
        with self._lock:
            self._on_way -= 1
            ready = [future for at_most, future in self._waiting if self._on_way <= at_most]
            self._waiting = [item for item in self._waiting if self._on_way > item[0]]
        self._wake(ready)

    def _wake(self, futures: Any) -> None:
        for future in futures:
            self._tell(_set, future)

    def _tell(self, function: Callable[..., object], *arguments: Any) -> None:
        # If the loop is closed, nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments, context=self._context)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Cutter:
    """Cuts content that arrives in pieces into chunks."""

    def __init__(self) -> None:
        self._chunker = Chunker()
        # The bytes of the chunk that is not complete yet, and its offset in the content.
        self._tail = b""
        self._tail_offset = 0

    def cut(self, data: memoryview, is_last: bool) -> list[Chunk]:
        """The chunks that end in a piece. They are views of it, except a first one that began in an earlier piece."""
        ends = self._chunker.feed(data)
        end = self._chunker.finish() if is_last else None
        if end is not None:
            ends = [*ends, end]
        chunks = []
        start, begins = 0, self._tail_offset + len(self._tail)
        for end in ends:
            piece = data[start : end - begins]
            if self._tail:
                piece, self._tail = memoryview(self._tail + piece), b""
            chunks.append(Chunk(chunk_hash(piece), piece))
            start = end - begins
        self._tail += data[start:]
        self._tail_offset = begins + len(data) - len(self._tail)
        assert len(self._tail) < MAX_CHUNK
        return chunks
