"""The part of the file system that reads a file piece by piece: open files."""

from __future__ import annotations

from collections.abc import Sequence

from pyxet._async.download.verifier import Verifier
from pyxet._async.files.read import AsyncXetReadFile, Fetch
from pyxet._async.files.readahead import Content
from pyxet._async.fs.base import at_home
from pyxet._async.fs.reading import Reading, file_of
from pyxet.protocol.hashing import Buffer
from pyxet.types import Info, RemoteFile


class Streaming(Reading):
    """See `AsyncXetFileSystem`."""

    @at_home
    async def _open_for_reading(self, path: str) -> tuple[Info, str | None, Fetch]:
        """What is at a path, the path with the commit in it (if it is in one), and a function that reads that version.

        What is read with it is verified as soon as all of the file has been read, in whatever pieces.
        """
        url, repo, revision = self._parse_file(path)
        view, found = await self._lookup(url, repo, revision)
        file = file_of(path, found)
        transaction = self._open_transaction()
        stored = view.stored_content(file)
        verifier = Verifier(stored) if stored is not None else None

        async def fetch(start: int, end: int) -> bytes:
            if transaction is not None and not isinstance(file.content, RemoteFile):
                return await transaction.at_home(self._content, view, file, start, end, verifier)
            return await self._content(view, file, start, end, verifier)

        async def pieces(start: int, end: int) -> Sequence[Buffer]:
            if isinstance(file.content, RemoteFile):
                return await (await self._connect()).reader.pieces(file.content, start, end, verifier)
            return [await fetch(start, end)]

        pinned = f"{repo.path}/{view.commit}/{url.path}" if isinstance(file.content, RemoteFile) else None
        return view.info(url.branch_path, file), pinned, Content(fetch, pieces)

    async def _open_to_read(self, path: str) -> AsyncXetReadFile:
        info, _, fetch = await self._open_for_reading(path)
        return AsyncXetReadFile(self, self._strip_protocol(path), info, fetch=fetch, read_ahead=self.limits.memory // 4)
