"""Writing content: read once → chunk and hash → deduplicate → xorbs → shards.

An `Uploader` is one session. All its files share what is known of stored chunks and the xorb that is being filled, so
that thousands of small files travel in few xorbs. Content is safe to name in a commit after `Uploader.flush`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from pyxet._async.cas import Cas
from pyxet._async.fanout import WRITE_MEMORY, in_thread, run_all
from pyxet.config import Limits
from pyxet.errors import ConflictError, TransactionError
from pyxet.protocol.chunking import Chunker
from pyxet.protocol.constants import MAX_CHUNK, MAX_SHARD_BYTES, MAX_XORB_BYTES, MIB
from pyxet.protocol.dedup import QUERY_SPACING, FileAssembler, Place, Places
from pyxet.protocol.hashing import Buffer, Hash, chunk_hash, hash_to_hex, is_eligible
from pyxet.protocol.shard import (
    EMPTY_SHARD_SIZE,
    FileEntry,
    ShardChunk,
    XorbEntry,
    file_entry_size,
    write_upload_shard,
    xorb_entry_size,
)
from pyxet.protocol.xorb import EncodedChunk, Xorb, XorbBuilder, encode_chunk
from pyxet.types import UploadedContent

# Bytes that are handed to a worker thread at once.
RUN: Final = 2 * MIB
_QUERIES_AT_ONCE: Final = 8
_SHARDS_AT_ONCE: Final = 4
Source = bytes | bytearray | memoryview | Path


@dataclass(slots=True)
class UploadStats:
    """What a session did, in bytes and counts: ``sent`` counts serialized xorbs that were new to the endpoint."""

    files: int = 0
    content: int = 0
    deduplicated: int = 0
    sent: int = 0
    xorbs: int = 0


@dataclass(frozen=True, slots=True)
class _Chunk:
    hash: Hash
    data: memoryview


@dataclass(slots=True)
class _Finished:
    """A file whose chunks all have a place, waiting to be registered."""

    assembler: FileAssembler
    sha256: str


@dataclass(slots=True)
class _Session:
    """State of a session that its files share."""

    places: Places = field(default_factory=Places)
    builder: XorbBuilder = field(default_factory=XorbBuilder)
    number: int = 0
    finished: list[_Finished] = field(default_factory=list)
    xorbs: list[XorbEntry] = field(default_factory=list)


class Uploader:
    """One session of storing content through a repository's CAS.

    Parameters
    ----------
    cas:
        Where the content goes.
    limits:
        Half of ``memory`` bounds the content on its way.
    """

    def __init__(self, cas: Cas, limits: Limits) -> None:
        self._cas = cas
        self._memory = limits.memory // 2
        self._xorb_size = min(MAX_XORB_BYTES, max(4 * MIB, limits.memory // 4))
        self._session = _Session()
        self._session.number = self._session.places.open_xorb()
        self._packing = asyncio.Lock()
        self._flushing = asyncio.Lock()
        self._sending: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._closed = False
        self.stats = UploadStats()

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
        if isinstance(source, (bytes, bytearray, memoryview)):
            view = memoryview(source).cast("B")
            for at in range(0, len(view), RUN):
                piece = view[at : at + RUN]
                await writer.write(piece)
                progress(len(piece))
            return await writer.close()
        file: IO[bytes] = await in_thread(source.open, "rb") if isinstance(source, Path) else source
        try:
            while data := await in_thread(file.read, RUN):
                await writer.write(data)
                progress(len(data))
            if isinstance(source, Path):
                size = (await in_thread(source.stat)).st_size
                if size != writer.size:
                    raise ConflictError(
                        f"{source} changed while it was uploaded: {writer.size:,} bytes read, {size:,} there"
                    )
        except BaseException:
            await writer.discard()
            raise
        finally:
            if isinstance(source, Path):
                await in_thread(file.close)
        return await writer.close()

    def writer(self, sha256: str | None = None) -> ContentWriter:
        """A writer for content that comes in pieces."""
        return ContentWriter(self, sha256)

    async def flush(self) -> None:
        """Store and register all content that was added so far. Raises what kept any of it from being stored."""
        async with self._flushing:
            async with self._packing:
                await self._seal()
                finished, self._session.finished = self._session.finished, []
            await self._sent()
            xorbs, self._session.xorbs = self._session.xorbs, []
            entries: dict[tuple[Hash, str | None], FileEntry] = {}
            for item in finished:
                entry = item.assembler.entry(self._session.places, item.sha256)
                entries[entry.file_hash, entry.sha256] = entry
            shards = list(_shards(list(entries.values()), xorbs))
            await run_all((lambda data=data: self._cas.upload_shard(data) for data in shards), limit=_SHARDS_AT_ONCE)  # type: ignore[misc]

    async def aclose(self) -> None:
        """End the session: what is still being sent is cancelled."""
        self._closed = True
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._session = _Session()

    def check(self) -> None:
        """Raise if the session has ended or a part of it failed."""
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise TransactionError("this upload has ended")

    async def place(self, chunks: Sequence[_Chunk], assembler: FileAssembler, query: Sequence[Hash]) -> None:
        """Give each chunk of a run its place: a known one, or one in the open xorb."""
        self.check()
        places = self._session.places
        unknown = [value for value in query if places.find(value) is None]
        for shard in await run_all(
            (lambda value=value: self._cas.query_chunk(value) for value in unknown),  # type: ignore[misc]
            limit=_QUERIES_AT_ONCE,
        ):
            if shard is not None:
                places.add_shard(shard)
        # Most chunks that are unknown now are new; they are encoded before it is this file's turn to fill the xorb.
        new = [chunk for chunk in chunks if places.find(chunk.hash) is None]
        encoded = dict(zip((chunk.hash for chunk in new), await in_thread(_encode, new), strict=True))
        async with self._packing:
            await self._pack(chunks, assembler, encoded)

    async def _pack(
        self, chunks: Sequence[_Chunk], assembler: FileAssembler, encoded: dict[Hash, EncodedChunk]
    ) -> None:
        places = self._session.places
        values = [chunk.hash for chunk in chunks]
        at = 0
        while at < len(chunks):
            run = places.find_run(values, at)
            if run and assembler.takes(run):
                for place in run:
                    assembler.add(values[at], len(chunks[at].data), place)
                    self.stats.deduplicated += len(chunks[at].data)
                    at += 1
                continue
            chunk = chunks[at]
            ready = encoded.get(chunk.hash) or (await in_thread(_encode, [chunk]))[0]
            if not self._session.builder.fits(ready.size) or self._session.builder.size + ready.size > self._xorb_size:
                await self._seal()
            place = Place(self._session.number, self._session.builder.add(ready))
            places.add(chunk.hash, place)
            assembler.add(chunk.hash, len(chunk.data), place)
            at += 1

    async def _seal(self) -> None:
        """Finish the open xorb and start sending it once there is room in memory for another."""
        self.check()
        if not len(self._session.builder):
            return
        builder, number = self._session.builder, self._session.number
        self._session.builder, self._session.number = XorbBuilder(), self._session.places.open_xorb()
        xorb = await in_thread(builder.build)
        self._session.places.seal(number, xorb.info.hash)
        self._session.xorbs.append(
            XorbEntry(xorb.info.hash, tuple(ShardChunk(chunk.hash, chunk.raw_length) for chunk in xorb.info.chunks))
        )
        await WRITE_MEMORY.acquire(xorb.info.size, self._memory)
        task = asyncio.create_task(self._send(xorb))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, xorb: Xorb) -> None:
        try:
            if await self._cas.upload_xorb(xorb):
                self.stats.sent += xorb.info.size
            self.stats.xorbs += 1
        except Exception as error:  # noqa: BLE001  # raised by whoever depends on the xorb
            self._failure = self._failure or error
        finally:
            WRITE_MEMORY.release(xorb.info.size)

    async def _sent(self) -> None:
        while self._sending:
            await asyncio.wait(self._sending)
        self.check()

    def finish(self, assembler: FileAssembler, sha256: str) -> UploadedContent:
        """Note that a file is complete; `flush` registers it."""
        self._session.finished.append(_Finished(assembler, sha256))
        self.stats.files += 1
        self.stats.content += assembler.size
        return UploadedContent(assembler.size, sha256, hash_to_hex(assembler.file_hash()))


class ContentWriter:
    """Stores content that comes in pieces, while it comes: the next run is hashed while the last one is packed."""

    def __init__(self, uploader: Uploader, sha256: str | None) -> None:
        self._uploader = uploader
        self._chunker = Chunker()
        self._assembler = FileAssembler()
        self._known_sha256 = sha256
        self._sha256 = hashlib.sha256()
        self._waiting = bytearray()
        self._tail = b""
        self._tail_offset = 0
        self._queried = -QUERY_SPACING
        self._packing: asyncio.Task[None] | None = None
        self.size = 0

    async def write(self, data: Buffer) -> None:
        """Take a piece; waits while earlier ones are on their way."""
        self._uploader.check()
        self.size += len(data)
        if not self._waiting and len(data) >= RUN:
            await self._run(bytes(data))
            return
        self._waiting += data
        if len(self._waiting) >= RUN:
            run, self._waiting = bytes(self._waiting), bytearray()
            await self._run(run)

    async def close(self) -> UploadedContent:
        """End the content. It is safe to commit after the uploader's ``flush``."""
        await self._run(bytes(self._waiting), last=True)
        await self._packed()
        return self._uploader.finish(self._assembler, self._known_sha256 or self._sha256.hexdigest())

    async def discard(self) -> None:
        """Forget the content; chunks of it that were sent are not part of any file."""
        if self._packing is not None:
            self._packing.cancel()
            await asyncio.gather(self._packing, return_exceptions=True)

    async def _run(self, data: bytes, *, last: bool = False) -> None:
        hashing = asyncio.create_task(in_thread(self._chunks, data, last))
        try:
            if self._known_sha256 is None and data:
                await in_thread(self._sha256.update, data)
        finally:
            chunks = await hashing
        await self._packed()
        self._packing = asyncio.create_task(self._uploader.place(chunks, self._assembler, self._queries(chunks)))

    async def _packed(self) -> None:
        if self._packing is not None:
            packing, self._packing = self._packing, None
            try:
                await packing
            except asyncio.CancelledError:
                packing.cancel()
                raise

    def _chunks(self, data: bytes, last: bool) -> list[_Chunk]:
        """The chunks that a run completes; runs in a worker thread, one run at a time."""
        ends = self._chunker.feed(data)
        end = self._chunker.finish() if last else None
        if end is not None:
            ends = [*ends, end]
        view = memoryview(self._tail + data) if self._tail else memoryview(data)
        base, start, chunks = self._tail_offset, 0, []
        for end in ends:
            piece = view[start : end - base]
            chunks.append(_Chunk(chunk_hash(piece), piece))
            start = end - base
        self._tail, self._tail_offset = bytes(view[start:]), base + start
        assert len(self._tail) < MAX_CHUNK
        return chunks

    def _queries(self, chunks: Sequence[_Chunk]) -> list[Hash]:
        """Chunks to ask the endpoint for: the first of the file, then eligible ones some way apart."""
        found = []
        offset = self._assembler.size
        for chunk in chunks:
            first = offset == 0
            if first or (is_eligible(chunk.hash) and offset - self._queried >= QUERY_SPACING):
                found.append(chunk.hash)
                self._queried = offset
            offset += len(chunk.data)
        return found


def _encode(chunks: Sequence[_Chunk]) -> list[EncodedChunk]:
    return [encode_chunk(chunk.data, chunk.hash) for chunk in chunks]


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
