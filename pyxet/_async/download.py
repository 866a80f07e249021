"""Reading content: plan → fetch → decode → in order, verified.

A file is read in windows. Each window gets a plan of its own, trimmed to it, so that what is in flight is bounded
whatever the size of the file, and so that windows of one file and of several run beside each other. A chunk that
crosses the end of a window belongs to the window it starts in; the next one drops it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from pyxet._async.cas import Cas, UrlExpiredError
from pyxet._async.client import Client
from pyxet._async.fanout import READ_MEMORY, in_thread, ordered_window, run_all, run_each
from pyxet.errors import AccessDeniedError, FormatError, IntegrityError, RangeNotSatisfiableError
from pyxet.protocol.constants import MIB
from pyxet.protocol.hashing import Buffer, FileHasher, Hash, chunk_hash, hash_from_hex, hash_to_hex
from pyxet.protocol.reconstruction import FetchRange, Plan, coalesce_ranges
from pyxet.protocol.xorb import ChunkDecoder
from pyxet.types import RemoteFile

WINDOW: Final = 16 * MIB
# Bytes that are handed to a worker thread at once.
_RUN: Final = 2 * MIB
# New plans for one window whose URLs are refused, before that is taken for an answer.
_MAX_PLANS: Final = 3
# Requests in flight for the ranges of one file; the process-wide limit lies above it.
_RANGES_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class FileChunk:
    """A decoded chunk: its offset in the file, its content, and its hash (empty where nobody verifies)."""

    offset: int
    data: Buffer
    hash: Hash

    @property
    def end(self) -> int:
        """Offset after the chunk."""
        return self.offset + len(self.data)


class Downloader:
    """Reads files of one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._memory = client.limits.memory // 2

    async def read(self, file: RemoteFile, start: int = 0, end: int | None = None) -> bytes:
        """Bytes ``start`` to before ``end``; a whole file is verified.

        Raises
        ------
        IntegrityError
            The content does not have the file's hash or length.
        """
        async with aclosing(self.stream(file, start, end)) as pieces:
            found = [piece async for piece in pieces]
        return bytes(found[0]) if len(found) == 1 else b"".join(found)

    async def read_ranges(
        self, file: RemoteFile, ranges: Sequence[tuple[int, int]], *, max_gap: int
    ) -> list[bytes | Exception]:
        """Byte ranges (start, end) of one file; those nearer than ``max_gap`` bytes to each other are read as one."""
        merged = coalesce_ranges(ranges, max_gap=max_gap, max_size=WINDOW)
        contents = await run_each(
            (lambda item=item: self.read(file, item.start, item.end) for item in merged),  # type: ignore[misc]
            limit=_RANGES_AT_ONCE,
        )
        results: list[bytes | Exception] = [b""] * len(ranges)
        for item, content in zip(merged, contents, strict=True):
            for member in item.members:
                start, end = ranges[member]
                if isinstance(content, Exception) or (start, end) == (item.start, item.end):
                    results[member] = content
                else:
                    results[member] = content[start - item.start : end - item.start]
        return results

    async def stream(self, file: RemoteFile, start: int = 0, end: int | None = None) -> AsyncGenerator[Buffer, None]:
        """Bytes ``start`` to before ``end`` in order, in pieces; a whole file is verified at its end."""
        end = file.size if end is None else min(end, file.size)
        if start >= end:
            return
        whole = start == 0 and end == file.size
        if file.xet_hash is None:
            async for data in self._plain(file, start, end, whole):
                yield data
            return
        hasher = FileHasher()
        async with aclosing(self.chunks(file, start, end, verify=whole)) as runs:
            async for run in runs:
                if whole:
                    hasher.update((chunk.hash, len(chunk.data)) for chunk in run)
                for chunk in run:
                    yield _cut(chunk, start, end)
        if whole:
            check_hash(file, hasher)

    async def chunks(
        self, file: RemoteFile, start: int, end: int, *, verify: bool
    ) -> AsyncGenerator[list[FileChunk], None]:  # fmt: skip
        """Whole chunks that overlap a range of a Xet file, in order, a list for each window.

        The hash of each chunk is computed if ``verify`` is set. A short or long result raises `IntegrityError`.
        """
        assert file.xet_hash is not None
        value = hash_from_hex(file.xet_hash)
        cas = self._client.cas(file.repo)
        starts = range(start, end, WINDOW)

        async def window(begin: int) -> list[FileChunk]:
            last = min(begin + WINDOW, end)
            await READ_MEMORY.acquire(last - begin, self._memory)
            try:
                return await self._window(cas, value, begin, last, verify)
            except BaseException:
                READ_MEMORY.release(last - begin)
                raise

        def discard(task_result: list[FileChunk], begin: int) -> None:
            READ_MEMORY.release(min(begin + WINDOW, end) - begin)

        position = start
        limit = max(1, min(len(starts), self._memory // WINDOW))
        taken = 0
        async with ordered_window(starts, window, limit=limit, on_discard=discard) as results:
            async for found in results:
                begin, taken = starts[taken], taken + 1
                try:
                    fresh = [chunk for chunk in found if chunk.offset >= position or chunk.offset < begin == start]
                    if not fresh and position < min(begin + WINDOW, end):
                        raise IntegrityError(f"{file.full_path}: the plan leaves a gap at byte {position:,}")
                    for chunk in fresh:
                        if chunk.offset > position:
                            raise IntegrityError(f"{file.full_path}: the plan leaves a gap at byte {position:,}")
                        position = chunk.end
                    if fresh:
                        yield fresh
                finally:
                    discard(found, begin)
        if position < end or (end == file.size and position != end):
            raise IntegrityError(f"{file.full_path}: {position:,} bytes came, {end:,} were expected")

    async def _window(self, cas: Cas, value: Hash, start: int, end: int, verify: bool) -> list[FileChunk]:
        for attempt in range(_MAX_PLANS):
            try:
                plan = await cas.reconstruction(value, start, end)
                return await self._execute(cas, plan, start, verify)
            except UrlExpiredError as error:
                if attempt == _MAX_PLANS - 1:
                    raise AccessDeniedError(f"reading {hash_to_hex(value)}: {error}", status=403) from error
            except RangeNotSatisfiableError as error:
                raise IntegrityError(f"content {hash_to_hex(value)} is shorter than its repository says") from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _execute(self, cas: Cas, plan: Plan, start: int, verify: bool) -> list[FileChunk]:
        fetches = list(dict.fromkeys(part.fetch for part in plan.terms))
        decoded = dict(
            zip(
                fetches,
                await run_all(
                    (lambda fetch=fetch: self._fetch(cas, fetch, verify) for fetch in fetches),  # type: ignore[misc]
                    limit=_RANGES_AT_ONCE,
                ),
                strict=True,
            )
        )
        chunks: list[FileChunk] = []
        offset = start - plan.skip
        for part in plan.terms:
            first = part.term.chunk_start - part.fetch.chunk_start
            run = decoded[part.fetch][first : first + part.term.chunk_end - part.term.chunk_start]
            if sum(len(data) for data, _ in run) != part.term.raw_length:
                raise FormatError(f"xorb {hash_to_hex(part.term.xorb_hash)}: its chunks do not have the term's length")
            for data, digest in run:
                chunks.append(FileChunk(offset, data, digest))
                offset += len(data)
        return chunks

    async def _fetch(self, cas: Cas, fetch: FetchRange, verify: bool) -> list[tuple[Buffer, Hash]]:
        """The chunks of one fetch, decoded while the next bytes arrive."""
        decoder = ChunkDecoder()
        chunks: list[tuple[Buffer, Hash]] = []
        run = bytearray()
        decoding: asyncio.Task[list[tuple[Buffer, Hash]]] | None = None
        try:
            async with aclosing(cas.fetch(fetch)) as pieces:
                async for piece in pieces:
                    run += piece
                    if len(run) >= _RUN:
                        if decoding is not None:
                            chunks += await decoding
                        decoding = asyncio.create_task(in_thread(_decode, decoder, bytes(run), verify))
                        run = bytearray()
            if decoding is not None:
                chunks += await decoding
            chunks += await in_thread(_decode, decoder, bytes(run), verify)
        finally:
            if decoding is not None and not decoding.done():
                decoding.cancel()
        decoder.finish()
        if len(chunks) != fetch.chunk_end - fetch.chunk_start:
            raise FormatError(f"xorb: {len(chunks)} chunks came, {fetch.chunk_end - fetch.chunk_start} were announced")
        return chunks

    async def _plain(self, file: RemoteFile, start: int, end: int, whole: bool) -> AsyncIterator[bytes]:
        """A file that is not in Xet, over plain HTTP."""
        digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {file.size}\0".encode())
        size = 0
        async for piece in self._client.hub.read_file(file, start, end):
            if whole:
                await in_thread(digest.update, piece)
            size += len(piece)
            yield piece
        expected = file.sha256 or file.blob_id
        if size != end - start or (whole and digest.hexdigest() != expected):
            raise IntegrityError(f"{file.full_path}: what came is not what its repository names ({expected})")


def check_hash(file: RemoteFile, hasher: FileHasher) -> None:
    """Compare what was read with the file's Xet hash."""
    found = hash_to_hex(hasher.digest())
    if found != file.xet_hash:
        raise IntegrityError(f"{file.full_path}: the content's Xet hash is {found}, not {file.xet_hash}")


def _decode(decoder: ChunkDecoder, data: bytes, verify: bool) -> list[tuple[Buffer, Hash]]:
    return [(chunk.data, chunk_hash(chunk.data) if verify else b"") for chunk in decoder.feed(data)]


def _cut(chunk: FileChunk, start: int, end: int) -> Buffer:
    if chunk.offset >= start and chunk.end <= end:
        return chunk.data
    return memoryview(chunk.data)[max(0, start - chunk.offset) : end - chunk.offset]
