"""Reads stored content. This is the one place that decides between batches, coalesced ranges and windows.

| what is requested | how it is read |
|---|---|
| a whole small file | in a batch with others that are requested at the same time: `batches` |
| a part of a file | together with nearby parts that are requested at the same time, unless it must be verified: `ranges` |
| several parts of a file | parts near each other as one; verified if together they are the whole file |
| everything else | in windows: `reconstruct` |
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, nullcontext
from pathlib import Path

from pyxet._async.download.batches import Placed, SmallFiles, is_small
from pyxet._async.download.ranges import DEFAULT_GAP, Ranges
from pyxet._async.download.reconstruct import Downloader
from pyxet._async.download.source import Source
from pyxet._async.download.to_file import download_to
from pyxet._async.download.verifier import Verifier
from pyxet._async.http.watched import Part, Transfer, is_watched
from pyxet._async.runtime.tasks import run_all, run_each, run_together
from pyxet.protocol.hashing import Buffer
from pyxet.types import RemoteFile

# A file, the first offset, and the offset after the last byte.
Span = tuple[RemoteFile, int, int]


class Reader:
    """Reads stored files of one client. Whole files are verified; errors are those of `Downloader.read`."""

    def __init__(self, source: Source) -> None:
        self._limits = source.limits
        self._downloader = Downloader(source)
        self.small = SmallFiles(source.cas, source.limits)
        self._ranges = Ranges()

    async def read(
        self, file: RemoteFile, start: int = 0, end: int | None = None, verifier: Verifier | None = None
    ) -> bytes:
        """Bytes ``start`` to before ``end`` of a file.

        Parameters
        ----------
        verifier:
            Verifies a file that is read in several parts. Not used if this read is the whole file.
        """
        end = file.size if end is None else min(end, file.size)
        if not is_watched():
            return await self._read(file, start, end, verifier)
        with Transfer("download", Part(file.full_path, start, end)) as transfer:
            data = await self._read(file, start, end, verifier)
            transfer.came(len(data))
            return data

    async def _read(self, file: RemoteFile, start: int, end: int, verifier: Verifier | None) -> bytes:
        if is_small(file, start, end):
            return await self.small.read(file, self._downloader.read)
        if (start, end) == (0, file.size):
            return await self._downloader.read(file)
        if verifier is None:
            return await self._ranges.read(file, start, end, self._downloader.read)
        return await self._downloader.read(file, start, end, verifier)

    async def read_all(self, spans: Sequence[Span]) -> list[bytes | Exception]:
        """Parts of files, in order. If a part cannot be read, its result is the error."""
        small = [index for index, span in enumerate(spans) if is_small(*span)]
        others = [index for index, span in enumerate(spans) if not is_small(*span)]
        results: list[bytes | Exception] = [b""] * len(spans)

        async def read_small() -> None:
            files = [spans[index][0] for index in small]
            transfer = _transfer([spans[index] for index in small])
            with transfer or nullcontext():
                contents = await self.small.read_all(files, self._downloader.read)
                if transfer:
                    _tell(transfer, contents)
            for index, found in zip(small, contents, strict=True):
                results[index] = found

        async def read_one(index: int) -> bytes:
            return await self.read(*spans[index])

        async def read_others() -> None:
            contents = await run_each(read_one, others, limit=self._limits.concurrency)
            for index, found in zip(others, contents, strict=True):
                results[index] = found

        await run_together(read_small, read_others)
        return results

    async def read_ranges(
        self, file: RemoteFile, ranges: Sequence[tuple[int, int]], *, max_gap: int | None = None
    ) -> list[bytes | Exception]:
        """Byte ranges (start, end) of one file, in order.

        Parameters
        ----------
        max_gap:
            Ranges at most this many bytes apart are read as one. ``None`` means a gap that costs no more than a request.
        """
        if len(ranges) == 1 and is_small(file, *ranges[0]):
            return [await self.read(file)]
        gap = DEFAULT_GAP if max_gap is None else max_gap
        transfer = _transfer([(file, *span) for span in ranges])
        with transfer or nullcontext():
            contents = await self._downloader.read_ranges(file, ranges, max_gap=gap)
            if transfer:
                _tell(transfer, contents)
            return contents

    async def pieces(
        self, file: RemoteFile, start: int, end: int, verifier: Verifier | None = None
    ) -> Sequence[Buffer]:  # fmt: skip
        """Like `read`, but in the pieces in which the content came, without copying them into one."""
        if is_small(file, start, end):
            return [await self.read(file)]
        transfer = _transfer([(file, start, end)])
        with transfer or nullcontext():
            found = await self._downloader.pieces(file, start, end, verifier)
            if transfer:
                transfer.came(sum(map(len, found)))
            return found

    async def plan(self, file: RemoteFile, start: int, end: int) -> None:
        """Request the plan of a part that will be read later; see `Downloader.plan`."""
        if not is_small(file, start, end):
            await self._downloader.plan(file, start, end)

    async def stream(
        self, file: RemoteFile, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[Buffer, None]:  # fmt: skip
        """Bytes ``start`` to before ``end`` in order, in pieces.

        If a whole file is read and its hash is wrong, the error is raised before the last piece.
        """
        end = file.size if end is None else min(end, file.size)
        if is_small(file, start, end):
            yield await self.read(file)
            return
        async with aclosing(self._downloader.stream(file, start, end)) as pieces:
            transfer = _transfer([(file, start, end)])
            async with aclosing(_watched(pieces, transfer) if transfer else pieces) as watched:
                async for piece in watched:
                    yield piece

    async def download(self, file: RemoteFile, target: Path, progress: Callable[[int], object]) -> None:
        """Download one file to a local path. See `download_to`."""
        transfer = _transfer([(file, 0, file.size)])
        if transfer is None:
            await download_to(self._downloader, file, target, progress)
            return

        def count(size: int) -> None:
            transfer.came(size)
            progress(size)

        with transfer:
            await download_to(self._downloader, file, target, count)

    async def download_all(
        self,
        items: Sequence[Placed],
        alone: Callable[[Placed], Awaitable[None]],
        on_done: Callable[[Placed], object],
    ) -> None:
        """Download files to local paths; the first error is raised.

        Parameters
        ----------
        alone:
            Downloads one file by itself.
        on_done:
            Called for each file that came in a batch.
        """
        small = [item for item in items if is_small(item.file, 0, item.file.size)]
        others = [item for item in items if not is_small(item.file, 0, item.file.size)]
        transfer = _transfer([(item.file, 0, item.file.size) for item in small])

        async def download_small() -> None:
            if transfer is None:
                await self.small.download_all(small, alone, on_done)
                return
            numbers = {id(item): number for number, item in enumerate(small)}

            def done(item: Placed) -> None:
                transfer.came(item.file.size, numbers[id(item)])
                transfer.tell(numbers[id(item)], None)
                on_done(item)

            async def by_itself(item: Placed) -> None:
                transfer.handled(numbers[id(item)])
                await alone(item)

            with transfer:
                await self.small.download_all(small, by_itself, done)

        async def download_others() -> None:
            await run_all(alone, others, limit=self._limits.concurrency)

        await run_together(download_small, download_others)


def _transfer(spans: Sequence[Span]) -> Transfer | None:
    """The download of these parts as one transfer, if somebody watches transfers; otherwise ``None``."""
    if not is_watched():
        return None
    return Transfer("download", *(Part(file.full_path, start, end) for file, start, end in spans))


def _tell(transfer: Transfer, contents: Sequence[bytes | Exception]) -> None:
    """Report the result of each part."""
    for index, found in enumerate(contents):
        if isinstance(found, bytes):
            transfer.came(len(found), index)
        transfer.tell(index, found if isinstance(found, Exception) else None)


async def _watched(pieces: AsyncGenerator[Buffer, None], transfer: Transfer) -> AsyncGenerator[Buffer, None]:
    """The same pieces, reported to those who watch transfers."""
    try:
        while True:
            with transfer.counting():
                piece = await anext(pieces, None)
            if piece is None:
                break
            transfer.came(len(piece))
            yield piece
    except BaseException as error:
        transfer.end(error)
        raise
    transfer.end(None)
