"""How stored content is read: the one place that decides between batches, coalesced ranges and windows.

| what is asked for | how it is read |
|---|---|
| a whole small file | in a batch with others that are asked for at the same time: `batches` |
| a part of a file | as one with parts nearby that are asked for at the same time, if nobody has to verify it: `ranges` |
| several parts of a file | those near each other as one; verified if together they are the file |
| everything else | in windows: `reconstruct` |
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from pyxet._async.download.batches import Placed, SmallFiles, is_small
from pyxet._async.download.ranges import DEFAULT_GAP, Ranges
from pyxet._async.download.reconstruct import Downloader
from pyxet._async.download.source import Source
from pyxet._async.download.to_file import download_to
from pyxet._async.download.verifier import Verifier
from pyxet._async.runtime.tasks import run_all, run_each, run_together
from pyxet.protocol.hashing import Buffer
from pyxet.types import RemoteFile

# A file, and from where to before where in it.
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
            Takes note of what is not the whole file, for a file that is read in pieces.
        """
        end = file.size if end is None else min(end, file.size)
        if is_small(file, start, end):
            return await self.small.read(file, self._downloader.read)
        if (start, end) == (0, file.size):
            return await self._downloader.read(file)
        if verifier is None:
            return await self._ranges.read(file, start, end, self._downloader.read)
        return await self._downloader.read(file, start, end, verifier)

    async def read_all(self, spans: Sequence[Span]) -> list[bytes | Exception]:
        """Parts of files, in order; an error is the result of the part that it is about."""
        small = [index for index, span in enumerate(spans) if is_small(*span)]
        others = [index for index, span in enumerate(spans) if not is_small(*span)]
        results: list[bytes | Exception] = [b""] * len(spans)

        async def read_small() -> None:
            files = [spans[index][0] for index in small]
            for index, found in zip(small, await self.small.read_all(files, self._downloader.read), strict=True):
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
            Ranges that are at most this many bytes apart are read as one; a gap that costs no more than a request if ``None``.
        """
        if len(ranges) == 1 and is_small(file, *ranges[0]):
            return [await self.read(file)]
        gap = DEFAULT_GAP if max_gap is None else max_gap
        return await self._downloader.read_ranges(file, ranges, max_gap=gap)

    async def pieces(
        self, file: RemoteFile, start: int, end: int, verifier: Verifier | None = None
    ) -> Sequence[Buffer]:  # fmt: skip
        """Like `read`, in the pieces in which it came, without the copy that makes them one."""
        if is_small(file, start, end):
            return [await self.read(file)]
        return await self._downloader.pieces(file, start, end, verifier)

    async def stream(
        self, file: RemoteFile, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[Buffer, None]:  # fmt: skip
        """Bytes ``start`` to before ``end`` in order, in pieces.

        A whole file that does not have its hash is an error before the last of them.
        """
        end = file.size if end is None else min(end, file.size)
        if is_small(file, start, end):
            yield await self.read(file)
            return
        async with aclosing(self._downloader.stream(file, start, end)) as pieces:
            async for piece in pieces:
                yield piece

    async def download(self, file: RemoteFile, target: Path, progress: Callable[[int], object]) -> None:
        """Download one file to a local path. See `download_to`."""
        await download_to(self._downloader, file, target, progress)

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

        async def download_small() -> None:
            await self.small.download_all(small, alone, on_done)

        async def download_others() -> None:
            await run_all(alone, others, limit=self._limits.concurrency)

        await run_together(download_small, download_others)
