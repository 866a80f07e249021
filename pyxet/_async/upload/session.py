"""Uploading content: read once → chunk and hash → deduplicate → xorbs → shards.

An `Uploader` is one session. All its files share the places of stored chunks and the xorb that is being filled, so
that thousands of small files need few xorbs. After `Uploader.flush`, a commit may refer to the content.

Content counts as memory in flight from `ContentWriter.write` until its xorb is stored. Content in open files and in the
open xorb may stay there for any time, so it is sent early when other uploads need the memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import nullcontext, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final
from weakref import WeakSet, finalize

from pyxet._async.endpoint.cas import Cas
from pyxet._async.http.watched import Part, Transfer, is_watched
from pyxet._async.runtime.budget import WRITE_MEMORY
from pyxet._async.runtime.tasks import run_all, stopped
from pyxet._async.runtime.threads import in_own_thread, in_thread, processors, to_end
from pyxet._async.upload.buffers import Buffers
from pyxet._async.upload.content import READ, RUN, ContentWriter
from pyxet._async.upload.flow import Flow
from pyxet._async.upload.local_content import LocalContent
from pyxet._async.upload.packing import Chunk, Encoded, Packer, Run, UploadStats, encode
from pyxet._async.upload.reservation import Reservation
from pyxet.config import Limits
from pyxet.protocol.chunking import chunk_ends
from pyxet.protocol.constants import MAX_SHARD_BYTES, MAX_XORB_BYTES, MIB
from pyxet.protocol.dedup import FileAssembler
from pyxet.protocol.hashing import Hash, chunk_hashes, hash_to_hex
from pyxet.protocol.shard import (
    EMPTY_SHARD_SIZE,
    FileEntry,
    XorbEntry,
    file_entry_size,
    write_upload_shard,
    xorb_entry_size,
)
from pyxet.types import UploadedContent
from pyxet.watching import COUNTS

_SHARDS_AT_ONCE: Final = 4
# Small files of a group whose first chunks the endpoint is asked for at the same time.
_SMALL_QUERIES: Final = 8
# Groups in a row for which the endpoint is not asked, after it has repeatedly known none of the chunks.
_MOST_UNASKED: Final = 3
Source = bytes | bytearray | memoryview | Path


@dataclass(slots=True)
class _Finished:
    """A file whose chunks all have a place, and which is not registered yet."""

    assembler: FileAssembler
    sha256: str


class Uploader:
    """One session of uploading content to a repository's CAS. It belongs to the event loop that uses it.

    Parameters
    ----------
    cas:
        The CAS that receives the content.
    limits:
        Content in flight takes at most half of ``memory``.
    """

    def __init__(self, cas: Cas, limits: Limits) -> None:
        self._cas = cas
        self.reservation = Reservation(limits.memory // 2)
        self.stats = UploadStats()
        # Bytes of `stats.deduplicated` that were already added to the counts of the process.
        self._counted = 0
        # Small enough that one xorb can be filled while others are being sent.
        xorb_size = min(MAX_XORB_BYTES, max(4 * MIB, limits.memory // 8))
        self.packer = Packer(cas, self.reservation, xorb_size, self.stats)
        self._finished: list[_Finished] = []
        self._asking = _SMALL_QUERIES
        # Groups of small files for which the endpoint is not asked after an unknown one, and how many of them are left.
        self._pause = self._unasked = 0
        self._flushing = asyncio.Lock()
        self._writers: WeakSet[ContentWriter] = WeakSet()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._giving_way: asyncio.Task[None] | None = None
        self._flushing_beside: asyncio.Task[None] | None = None
        # One file per processor is read at a time: more would need more memory and not be faster. This limits only the
        # reading; content that was read may still be on its way to a distant endpoint.
        self._reading = asyncio.Semaphore(processors())
        self._buffers = Buffers(READ)
        finalize(self, self.reservation.close).atexit = False
        WRITE_MEMORY.on_pressure(self._pressed)

    async def add(
        self,
        source: Source | IO[bytes],
        *,
        progress: Callable[[int], object] = lambda _: None,
        sha256: str | None = None,
        name: str | None = None,
    ) -> UploadedContent:
        """Upload the content of bytes, of a local file, or of a file object from its current position.

        Parameters
        ----------
        source:
            The bytes, the path of the local file, or the file object.
        progress:
            Called with the number of bytes after each read.
        sha256:
            SHA-256 of the content in hex, if the caller knows it; computed otherwise.
        name:
            Name under which the upload is reported to those who watch transfers. ``None`` reports nothing.

        Raises
        ------
        ConflictError
            A local file changed while it was read.
        """
        if isinstance(source, Path):
            return await self._add_path(source, progress, sha256, name)
        writer = self.writer(sha256, name)
        try:
            if isinstance(source, (bytes, bytearray, memoryview)):
                view = memoryview(source).cast("B")
                for at in range(0, len(view), RUN):
                    piece = view[at : at + RUN]
                    await writer.write(piece)
                    progress(len(piece))
            else:
                # The caller's file may be a pipe that never gets data, so a cancellation does not wait for the read.
                await _copy(lambda: in_own_thread(source.read, RUN), writer, progress)
            return await writer.close()
        except BaseException:
            await writer.discard()
            raise

    async def _add_path(
        self, source: Path, progress: Callable[[int], object], sha256: str | None, name: str | None
    ) -> UploadedContent:
        self.check()
        transfer = Transfer("upload", Part(name, 0, 0)) if name is not None and is_watched() else None
        with transfer if transfer is not None else nullcontext():
            flow = Flow(self, sha256)
            local = LocalContent(source, flow, self.reservation, self._buffers, progress)
            try:
                with self._buffers.used(), self.packer.buffers.used():
                    async with self._reading:
                        await local.read()
                    await flow.settle()
                return self.finish(flow)
            except BaseException:
                await flow.stop()
                raise
            finally:
                if transfer is not None:
                    transfer.came(local.size)

    async def add_small(self, contents: Sequence[bytes]) -> list[UploadedContent]:
        """Upload many small contents, in groups of a few mebibytes.

        Asking the endpoint for each content would cost more than sending most of them. So it is asked for a few of each
        group, and for more as long as it knows some. While it knows none, it is asked for one content of every fourth
        group. An answer for one file also names the chunks of files that were uploaded together with it.
        """
        results: list[UploadedContent] = []
        for group in _runs_of(contents):
            size = sum(map(len, group))
            self.check()
            await self.reservation.take(size)
            try:
                prepared = await in_thread(_prepare, group)
                await self._ask_for_some([chunks[0] for chunks, _ in prepared if chunks])
                runs = [Run(chunks, FileAssembler()) for chunks, _ in prepared]
                await to_end(self._store, runs, copy_context())
            finally:
                self.reservation.release(size)
            for run, (_, sha256) in zip(runs, prepared, strict=True):
                results.append(self._finish(run.assembler, sha256))
        return results

    def _store(self, runs: Sequence[Run], context: Context) -> None:
        """Compress and place the chunks of small files; in a worker thread."""
        encoded: Encoded = {}
        for run in runs:
            new = [chunk for chunk in self.packer.unknown(run.chunks) if chunk.hash not in encoded]
            if new:
                encoded |= encode(new)
        self.packer.place(runs, encoded, context)

    async def _ask_for_some(self, firsts: Sequence[Chunk]) -> None:
        if self._unasked:
            self._unasked -= 1
            return
        while firsts := await in_thread(self.packer.unknown, firsts):
            step = -(-len(firsts) // self._asking) or 1
            asked = firsts[::step]
            if not await self.packer.ask([chunk.hash for chunk in asked]):
                # None is known, so probably few of the next group are: ask for half as many there, but at least one.
                if self._asking == 1:
                    self._pause = min(2 * self._pause + 1, _MOST_UNASKED)
                self._asking = max(1, self._asking // 2)
                self._unasked = self._pause
                return
            self._asking = _SMALL_QUERIES
            self._pause = 0
            values = {chunk.hash for chunk in asked}
            firsts = [chunk for chunk in firsts if chunk.hash not in values]

    def writer(self, sha256: str | None = None, name: str | None = None) -> ContentWriter:
        """A writer for content that arrives in pieces. The parameters are those of `add`."""
        writer = ContentWriter(self, sha256, name)
        self._writers.add(writer)
        return writer

    async def flush(self) -> None:
        """Store and register all content added so far. If that fails, raises the first error."""
        async with self._flushing:
            finished, self._finished = self._finished, []
            xorbs: list[XorbEntry] = []
            try:
                await self.packer.seal()
                xorbs = await self.packer.sent()
                self._count()
                shards = await in_thread(self._shards, finished, xorbs)
                await run_all(self._cas.upload_shard, shards, limit=_SHARDS_AT_ONCE)
            except BaseException:
                # So that the next `flush` tries again.
                self._finished = finished + self._finished
                self.packer.put_back(xorbs)
                raise

    def flush_beside(self) -> None:
        """Start a `flush` in the background, unless one that was started here is still running.

        Raises
        ------
        XetError
            The previous background flush failed. The next `flush` registers what that one did not.
        """
        self.check()
        last = self._flushing_beside
        if last is not None:
            if not last.done():
                return
            self._flushing_beside = None
            last.result()
        self._flushing_beside = asyncio.create_task(self.flush())
        # Marks the exception as retrieved; the next `flush` raises the same failure.
        self._flushing_beside.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def aclose(self) -> None:
        """End the session. Everything that is still being sent is cancelled."""
        try:
            await stopped(*(task for task in (self._giving_way, self._flushing_beside) if task is not None))
        finally:
            self._finished = []
            await self.packer.aclose()

    @property
    def unregistered(self) -> int:
        """Number of files that the next `flush` registers."""
        return len(self._finished)

    def check(self) -> None:
        """Raise if the session has ended or a part of it failed."""
        self._loop = asyncio.get_running_loop()
        self.packer.work_on(self._loop)
        self.packer.check()

    def finish(self, flow: Flow) -> UploadedContent:
        """Note that a file is complete; `flush` registers it."""
        return self._finish(flow.assembler, flow.sha256)

    def _finish(self, assembler: FileAssembler, sha256: str) -> UploadedContent:
        self._finished.append(_Finished(assembler, sha256))
        self.stats.files += 1
        self.stats.content += assembler.size
        self.stats.deduplicated += assembler.deduplicated
        self._count(assembler.size)
        return UploadedContent(assembler.size, sha256, hash_to_hex(assembler.file_hash()), assembler.stored)

    def _count(self, size: int = 0) -> None:
        """Add complete content and the bytes deduplicated since the last call to the counts of the process."""
        known, self._counted = self.stats.deduplicated - self._counted, self.stats.deduplicated
        COUNTS.add(uploaded_bytes=size, deduplicated_bytes=known)

    def _shards(self, finished: Sequence[_Finished], xorbs: Sequence[XorbEntry]) -> list[bytes]:
        entries: dict[tuple[Hash, str | None], FileEntry] = {}
        for item in finished:
            entry = item.assembler.entry(self.packer.places, item.sha256)
            entries[entry.file_hash, entry.sha256] = entry
        return _shards(list(entries.values()), xorbs)

    def _pressed(self) -> None:
        """Called from any thread when other uploads wait for memory."""
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
            # Marks the exception as retrieved; the next call on this session raises the same failure.
            task.exception()

    async def _give_way(self) -> None:
        for writer in list(self._writers):
            await writer.push()
        await self.packer.seal()


async def _copy(
    read: Callable[[], Coroutine[Any, Any, bytes]], writer: ContentWriter, progress: Callable[[int], object]
) -> None:
    """Read to the end and write what was read. The next run is read while the last one is hashed."""
    reading = asyncio.create_task(read())
    try:
        while data := await reading:
            reading = asyncio.create_task(read())
            await writer.write(data)
            progress(len(data))
    finally:
        await stopped(reading)


def _runs_of(contents: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Contents in groups of a few megabytes; a larger content is a group of its own."""
    group: list[bytes] = []
    size = 0
    for content in contents:
        if group and size + len(content) > READ:
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
    """Upload shards of at most 64 MiB. No file is split between two shards."""
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
