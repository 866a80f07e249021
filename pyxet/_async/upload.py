"""Writing content: read once → chunk and hash → deduplicate → xorbs → shards.

An `Uploader` is one session. All its files share what is known of stored chunks and the xorb that is being filled, so
that thousands of small files travel in few xorbs. Content is safe to name in a commit after `Uploader.flush`.

Content counts as memory in flight from `ContentWriter.write` until its xorb is stored. What waits in open files and in
the open xorb may wait for ever, so it is sent early when others have no room left.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final
from weakref import WeakSet, finalize

from pyxet._async.cas import Cas
from pyxet._async.fanout import WRITE_MEMORY, in_thread, run_all, stopped, to_end
from pyxet._async.packing import Account, Chunk, Packer, Run, UploadStats
from pyxet.config import Limits
from pyxet.errors import ConflictError
from pyxet.protocol.chunking import Chunker, chunk_ends
from pyxet.protocol.constants import MAX_CHUNK, MAX_SHARD_BYTES, MAX_XORB_BYTES, MIB
from pyxet.protocol.dedup import FileAssembler
from pyxet.protocol.hashing import Buffer, Hash, chunk_hash, chunk_hashes, hash_to_hex, is_eligible
from pyxet.protocol.shard import (
    EMPTY_SHARD_SIZE,
    FileEntry,
    XorbEntry,
    file_entry_size,
    write_upload_shard,
    xorb_entry_size,
)
from pyxet.types import UploadedContent

__all__ = ["RUN", "ContentWriter", "Source", "UploadStats", "Uploader"]

# Bytes that are handed to a worker thread at once.
RUN: Final = 2 * MIB
# Bytes that are read from a file at once, and go on as one run: each run passes through threads six times, which costs
# as much as hashing a few hundred kibibytes.
_READ: Final = 4 * MIB
# Runs of one content that are compressed at once: one more than is being placed keeps a second core busy.
_PACKED_AT_ONCE: Final = 3
# Runs up to this size are hashed twice in one thread, larger ones in two at once.
_SMALL_RUN: Final = MIB // 4
_SHARDS_AT_ONCE: Final = 4
# How many small files of a run the endpoint is asked for at a time.
_SMALL_QUERIES: Final = 8
Source = bytes | bytearray | memoryview | Path


@dataclass(slots=True)
class _Finished:
    """A file whose chunks all have a place, waiting to be registered."""

    assembler: FileAssembler
    sha256: str


class Uploader:
    """One session of storing content through a repository's CAS. It belongs to the event loop that uses it.

    Parameters
    ----------
    cas:
        Where the content goes.
    limits:
        Half of ``memory`` bounds the content on its way.
    """

    def __init__(self, cas: Cas, limits: Limits) -> None:
        self._cas = cas
        self.account = Account(limits.memory // 2)
        self.stats = UploadStats()
        # Small enough for one xorb to be filled while others are being sent.
        xorb_size = min(MAX_XORB_BYTES, max(4 * MIB, limits.memory // 8))
        self.packer = Packer(cas, self.account, xorb_size, self.stats)
        self._finished: list[_Finished] = []
        self._asking = _SMALL_QUERIES
        self._flushing = asyncio.Lock()
        self._writers: WeakSet[ContentWriter] = WeakSet()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._giving_way: asyncio.Task[None] | None = None
        finalize(self, self.account.close).atexit = False
        WRITE_MEMORY.on_pressure(self._pressed)

    async def add(
        self,
        source: Source | IO[bytes],
        *,
        progress: Callable[[int], object] = lambda _: None,
        sha256: str | None = None,
    ) -> UploadedContent:
        """Store the content of bytes, of a local file, or of a file object from where it stands.

        Parameters
        ----------
        progress:
            Called with the number of bytes each time some are read.
        sha256:
            SHA-256 of the content in hex, if the caller has it; computed otherwise.

        Raises
        ------
        ConflictError
            A local file changed while it was read.
        """
        writer = self.writer(sha256)
        try:
            if isinstance(source, (bytes, bytearray, memoryview)):
                view = memoryview(source).cast("B")
                for at in range(0, len(view), RUN):
                    piece = view[at : at + RUN]
                    await writer.write(piece)
                    progress(len(piece))
            elif isinstance(source, Path):
                await self._add_path(writer, source, progress)
            else:
                # Somebody else's file, perhaps a pipe that nothing comes from: a read is not waited for when cancelled.
                await _copy(lambda: in_thread(source.read, RUN), writer, progress)
            return await writer.close()
        except BaseException:
            await writer.discard()
            raise

    async def add_small(self, contents: Sequence[bytes]) -> list[UploadedContent]:
        """Store many small contents, as many at a time as fit into a run.

        The endpoint is not asked for each of them, which would cost more than most of them do: a few of a run are asked
        for, and more of it as long as that finds any. The answer for one file tells of all that came with it.
        """
        results: list[UploadedContent] = []
        for group in _runs_of(contents):
            size = sum(map(len, group))
            self.check()
            await self.account.take(size)
            try:
                prepared = await in_thread(_prepare, group)
                await self._ask_for_some([chunks[0].hash for chunks, _ in prepared if chunks])
                runs = [Run(chunks, FileAssembler()) for chunks, _ in prepared]
                await self.packer.place(runs, await self.packer.encode(runs))
            finally:
                self.account.give(size)
            results += [self.finish(run.assembler, sha256) for run, (_, sha256) in zip(runs, prepared, strict=True)]
        return results

    async def _ask_for_some(self, firsts: Sequence[Hash]) -> None:
        while firsts:
            known = await self.packer.known(firsts)
            firsts = [value for value in firsts if value not in known]
            step = -(-len(firsts) // self._asking) or 1
            asked = firsts[::step]
            if not await self.packer.ask(asked):
                # A run without any says that there are few: the next one is asked for less, down to a single file.
                self._asking = max(1, self._asking // 2)
                return
            self._asking = _SMALL_QUERIES
            firsts = [value for value in firsts if value not in asked]

    async def _add_path(self, writer: ContentWriter, source: Path, progress: Callable[[int], object]) -> None:
        # Read without a buffer of its own: it would be filled, and copied from, for each run.
        file: IO[bytes] = await to_end(lambda: source.open("rb", buffering=0), undo=lambda opened: opened.close())
        try:
            before = os.fstat(file.fileno())
            await _copy_file(file, writer, progress)
            after = os.fstat(file.fileno())
        finally:
            file.close()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or writer.size != after.st_size:
            raise ConflictError(
                f"{source} changed while it was uploaded: {writer.size:,} bytes read, {after.st_size:,} there"
            )

    def writer(self, sha256: str | None = None) -> ContentWriter:
        """A writer for content that comes in pieces."""
        writer = ContentWriter(self, sha256)
        self._writers.add(writer)
        return writer

    async def flush(self) -> None:
        """Store and register all content that was added so far. Raises what kept any of it from being stored."""
        async with self._flushing:
            finished, self._finished = self._finished, []
            xorbs: list[XorbEntry] = []
            try:
                await self.packer.seal()
                xorbs = await self.packer.sent()
                shards = await in_thread(self._shards, finished, xorbs)
                await run_all((partial(self._cas.upload_shard, data) for data in shards), limit=_SHARDS_AT_ONCE)
            except BaseException:
                # Whoever tries again must not find that there is nothing left to do.
                self._finished = finished + self._finished
                self.packer.give_back(xorbs)
                raise

    async def aclose(self) -> None:
        """End the session: what is still being sent is cancelled."""
        try:
            if self._giving_way is not None:
                await stopped(self._giving_way)
        finally:
            self._finished = []
            await self.packer.aclose()

    @property
    def unregistered(self) -> int:
        """Files that `flush` would register."""
        return len(self._finished)

    def check(self) -> None:
        """Raise if the session has ended or a part of it failed."""
        self._loop = asyncio.get_running_loop()
        self.packer.check()

    def finish(self, assembler: FileAssembler, sha256: str) -> UploadedContent:
        """Note that a file is complete; `flush` registers it."""
        self._finished.append(_Finished(assembler, sha256))
        self.stats.files += 1
        self.stats.content += assembler.size
        return UploadedContent(assembler.size, sha256, hash_to_hex(assembler.file_hash()), assembler.stored)

    def _shards(self, finished: Sequence[_Finished], xorbs: Sequence[XorbEntry]) -> list[bytes]:
        entries: dict[tuple[Hash, str | None], FileEntry] = {}
        for item in finished:
            entry = item.assembler.entry(self.packer.places, item.sha256)
            entries[entry.file_hash, entry.sha256] = entry
        return _shards(list(entries.values()), xorbs)

    def _pressed(self) -> None:
        """Others need memory, says any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._start_giving_way)

    def _start_giving_way(self) -> None:
        if self._giving_way is None:
            self._giving_way = asyncio.create_task(self._give_way())
            self._giving_way.add_done_callback(self._gave_way)

    def _gave_way(self, task: asyncio.Task[None]) -> None:
        self._giving_way = None
        if not task.cancelled():
            # Whoever goes on with this session will meet the same failure.
            task.exception()

    async def _give_way(self) -> None:
        for writer in list(self._writers):
            await writer.push()
        await self.packer.seal()


class ContentWriter:
    """Stores content that comes in pieces, while it comes: runs are cut into chunks one after the other, as each continues
    the state of the last; those before are hashed and compressed meanwhile, and get their places in order.
    """

    def __init__(self, uploader: Uploader, sha256: str | None) -> None:
        self._uploader = uploader
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
        """Take a piece; waits while earlier ones are on their way.

        Parameters
        ----------
        done:
            For a piece of at most 4 MiB that is not `bytes`: it is not copied if it is as long as a run, and this is called
            once its memory may be used again. It is not where anything failed.
        """
        view = memoryview(data).cast("B")
        for at in range(0, len(view), _READ):
            self._uploader.check()
            piece = view[at : at + _READ]
            # Not under the lock: those who need the memory may be waiting for what this writer holds already.
            await self._uploader.account.take(len(piece))
            try:
                await self._lock.acquire()
            except BaseException:
                self._uploader.account.give(len(piece))
                raise
            try:
                self.size += len(piece)
                if not self._waiting and len(piece) >= RUN:
                    # Bytes do not change, so they need no copy.
                    stays = done is not None or isinstance(piece.obj, bytes)
                    await self._run(piece if stays else memoryview(bytes(piece)), done=done)
                    continue
                self._waiting += piece
                if done is not None:
                    done()
                self._uploader.account.rest(len(piece))
                if len(self._waiting) >= RUN:
                    await self._run_waiting()
            finally:
                self._lock.release()

    async def push(self) -> None:
        """Do not wait for more before what was written is on its way."""
        async with self._lock:
            if self._waiting:
                await self._run_waiting()
            await self._packed()

    async def close(self) -> UploadedContent:
        """End the content. It is safe to commit after the uploader's ``flush``."""
        self._uploader.check()
        async with self._lock:
            await self._run_waiting(last=True)
            await self._packed()
        return self._uploader.finish(self._assembler, self._known_sha256 or self._sha256.hexdigest())

    async def discard(self) -> None:
        """Forget the content; chunks of it that were sent are not part of any file."""
        waiting, self._waiting = len(self._waiting), bytearray()
        self._uploader.account.rest(-waiting)
        self._uploader.account.give(waiting)
        await stopped(*self._packing)
        self._packing.clear()

    async def _run_waiting(self, *, last: bool = False) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        self._uploader.account.rest(-len(data))
        await self._run(memoryview(data), last=last)

    async def _run(
        self, data: memoryview, *, last: bool = False, done: Callable[[], object] | None = None
    ) -> None:  # fmt: skip
        """Cut a run into chunks, and start packing it; its memory was taken."""
        account = self._uploader.account
        try:
            pieces = await self._cut(data, last)
            await self._packed(_PACKED_AT_ONCE - 1)
        except BaseException:
            account.give(len(data))
            raise
        before = self._packing[-1] if self._packing else None
        packing = asyncio.create_task(self._pack(pieces, not self._begun, before))
        self._begun = self._begun or bool(pieces)
        packing.add_done_callback(lambda _: account.give(len(data)))
        if done is not None:
            packing.add_done_callback(lambda task: None if task.cancelled() or task.exception() else done())
        self._packing.append(packing)

    async def _pack(self, pieces: Sequence[memoryview], first: bool, before: asyncio.Task[None] | None) -> None:
        packer = self._uploader.packer
        chunks = await in_thread(_hashed, pieces)
        await packer.ask(_queries(chunks, first))
        runs = [Run(chunks, self._assembler)]
        encoded = await packer.encode(runs)
        if before is not None:
            await asyncio.wait([before])
            before.result()
        await packer.place(runs, encoded)

    async def _cut(self, data: memoryview, last: bool) -> list[memoryview]:
        """The chunks that a run completes; the SHA-256, which is serial as well, is computed beside that."""
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
        """Wait until no more than some runs are being packed."""
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
    """Chunks of a run to ask the endpoint for: the ``first`` one of a file, and one that is eligible.

    Asking for more of them, a few mebibytes from each other, rarely finds another shard.
    """
    asked = [chunk.hash for chunk in chunks[:1] if first]
    eligible = next((chunk.hash for chunk in chunks[len(asked) :] if is_eligible(chunk.hash)), None)
    return asked if eligible is None else [*asked, eligible]


async def _copy(
    read: Callable[[], Coroutine[Any, Any, bytes]], writer: ContentWriter, progress: Callable[[int], object]
) -> None:
    """Write what is read until its end; the next run is read while the last one is hashed."""
    reading = asyncio.create_task(read())
    try:
        while data := await reading:
            reading = asyncio.create_task(read())
            await writer.write(data)
            progress(len(data))
    finally:
        await stopped(reading)


async def _copy_file(file: IO[bytes], writer: ContentWriter, progress: Callable[[int], object]) -> None:
    """Write a local file, read by turns into a few buffers: the first touch of fresh memory costs more than the reading."""
    free: list[bytearray] = []

    def fill(buffer: bytearray) -> tuple[bytearray, int]:
        size: int = file.readinto(buffer)  # type: ignore[attr-defined]  # an unbuffered file has it
        return buffer, size

    def read() -> asyncio.Task[tuple[bytearray, int]]:
        # A file may not be closed while it is read, as another one could get its descriptor.
        return asyncio.create_task(to_end(fill, free.pop() if free else bytearray(_READ)))

    reading = read()
    try:
        while (filled := await reading)[1]:
            buffer, size = filled
            reading = read()
            await writer.write(memoryview(buffer)[:size], partial(free.append, buffer))
            progress(size)
    finally:
        await stopped(reading)


def _runs_of(contents: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Contents in groups of about a run; a larger content is a group of its own."""
    group: list[bytes] = []
    size = 0
    for content in contents:
        if group and size + len(content) > RUN:
            yield group
            group, size = [], 0
        group.append(content)
        size += len(content)
    if group:
        yield group


def _prepare(contents: Sequence[bytes]) -> list[tuple[list[Chunk], str]]:
    """The chunks and the sha256 of whole contents."""
    prepared = []
    for content in contents:
        view = memoryview(content)
        ends = chunk_ends(content)
        pieces = [view[start:end] for start, end in pairwise([0, *ends])]
        chunks = list(map(Chunk, chunk_hashes(view, ends), pieces))
        prepared.append((chunks, hashlib.sha256(content).hexdigest()))
    return prepared


def _shards(files: Sequence[FileEntry], xorbs: Sequence[XorbEntry]) -> list[bytes]:
    """Upload shards of at most 64 MiB; each file is whole in one of them."""
    shards: list[bytes] = []
    some_files: list[FileEntry] = []
    some_xorbs: list[XorbEntry] = []
    size = EMPTY_SHARD_SIZE

    def full(more: int) -> bool:
        return size + more > MAX_SHARD_BYTES and bool(some_files or some_xorbs)

    def close() -> None:
        nonlocal size
        shards.append(write_upload_shard(some_files, some_xorbs))
        some_files.clear()
        some_xorbs.clear()
        size = EMPTY_SHARD_SIZE

    for xorb in xorbs:
        if full(xorb_entry_size(len(xorb.chunks))):
            close()
        some_xorbs.append(xorb)
        size += xorb_entry_size(len(xorb.chunks))
    for file in files:
        if full(file_entry_size(len(file.terms))):
            close()
        some_files.append(file)
        size += file_entry_size(len(file.terms))
    if some_files or some_xorbs:
        close()
    return shards
