"""The part of the file system that reads a file piece by piece: open files, and streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from pyxet._async.changes.transaction import Transaction
from pyxet._async.changes.view import Entry, View
from pyxet._async.download.verifier import Verifier
from pyxet._async.files.read import AsyncXetReadFile, Fetch
from pyxet._async.files.readahead import Content
from pyxet._async.fs.calls import at_home
from pyxet._async.fs.contents import PIECE, bounds, content_of, file_of
from pyxet._async.fs.lookup import Lookup
from pyxet.options import public
from pyxet.protocol.constants import MIB
from pyxet.protocol.hashing import Buffer
from pyxet.types import Info, RemoteFile

# The least size in bytes of a piece of a stream, except for the last one. Yielding each chunk by itself would be slow.
_PIECE: Final = MIB


class _Opened(NamedTuple):
    """A file that is being read, the view it was found in, and the transaction that its reader takes part in."""

    view: View
    file: Entry
    transaction: Transaction | None


class Streaming(Lookup):
    """The base of the part that opens files, and itself a part of `AsyncXetFileSystem`."""

    @at_home
    async def _open_for_reading(self, path: str) -> tuple[Info, str | None, Fetch]:
        """Look up a file: its info, its path at the commit (``None`` if pending), and a `Content` that reads this version.

        The content is verified as soon as the whole file has been read, in whatever pieces.
        """
        opened = await self._opened(path)
        view, file, _ = opened
        stored = view.stored_content(file)
        verifier = Verifier(stored) if stored is not None else None

        async def fetch(start: int, end: int) -> bytes:
            return await self._fetch(opened, start, end, verifier)

        async def pieces(start: int, end: int) -> Sequence[Buffer]:
            if isinstance(file.content, RemoteFile):
                return await (await self._connect()).reader.pieces(file.content, start, end, verifier)
            return [await fetch(start, end)]

        async def plan(start: int, end: int) -> None:
            if isinstance(file.content, RemoteFile):
                await (await self._connect()).reader.plan(file.content, start, end)

        url, repo, _ = self._parse_file(path)
        pinned = f"{repo.path}/{view.commit}/{url.path}" if isinstance(file.content, RemoteFile) else None
        return view.info(url.branch_path, file), pinned, Content(fetch, pieces, plan)

    async def _open_to_read(self, path: str) -> AsyncXetReadFile:
        info, _, fetch = await self._open_for_reading(path)
        return AsyncXetReadFile(self, self._strip_protocol(path), info, fetch=fetch, read_ahead=self.limits.memory // 4)

    @public()
    async def _stream(
        self, /, path: str, start: int | None = None, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:  # fmt: skip
        """Read a file of any size, or its bytes ``start`` to before ``end``, in pieces, for example for an HTTP response.

        All pieces are of the version that the file has when the first one is requested. `Limits` bound how far the stream
        reads ahead; a consumer that is slow or stops does not hold up other readers.

        Parameters
        ----------
        path:
            A file.
        start, end:
            As in `_cat_file`: negative numbers count from the end.

        Yields
        ------
        bytes
            One to a few MiB; the last piece may be shorter. Nothing is yielded if the file, or the range, is empty.

        Raises
        ------
        NotFoundError
            There is no such file.
        IsADirectoryError
            The path is a folder.
        IntegrityError
            The bytes received are not the file's content. The hash of a whole file is checked before the last piece is
            yielded; on an error, discard the earlier pieces. Of a range, only headers and lengths are checked.
        """
        opened = await self._opened(path)
        first, last = bounds(opened.file.size, start, end)
        content = opened.file.content
        if not isinstance(content, RemoteFile):
            stored = opened.view.stored_content(opened.file) if (first, last) == (0, opened.file.size) else None
            verifier = Verifier(stored) if stored is not None else None
            for begin in range(first, last, PIECE):
                yield await self._fetch(opened, begin, min(last, begin + PIECE), verifier)
            return
        async with aclosing((await self._connect()).reader.stream(content, first, last)) as chunks:
            waiting: list[Buffer] = []
            size = 0
            async for chunk in chunks:
                waiting.append(chunk)
                size += len(chunk)
                if size >= _PIECE:
                    piece, waiting, size = b"".join(waiting), [], 0
                    yield piece
            if waiting:
                yield b"".join(waiting)

    @at_home
    async def _opened(self, path: str) -> _Opened:
        view, found = await self._lookup(*self._parse_file(path), to_read=True)
        return _Opened(view, file_of(path, found), self._open_transaction())

    async def _fetch(self, opened: _Opened, start: int, end: int, verifier: Verifier | None = None) -> bytes:
        """Read bytes of a file. Pending content is read on the event loop of its transaction."""
        view, file, transaction = opened
        if transaction is not None and not isinstance(file.content, RemoteFile):
            return await transaction.at_home(content_of, await self._connect(), view, file, start, end, verifier)
        return await content_of(await self._connect(), view, file, start, end, verifier)
