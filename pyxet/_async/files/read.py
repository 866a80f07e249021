"""Files that are open for reading, blocking and asynchronous. Each stays on the version it was opened with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from fsspec.asyn import AbstractAsyncStreamedFile
from fsspec.caching import BaseCache
from fsspec.spec import AbstractBufferedFile

from pyxet._async.changes.view import Info
from pyxet._async.files.readahead import ReadAhead
from pyxet._async.runtime.bridge import blocking_call
from pyxet.errors import TransactionError

if TYPE_CHECKING:
    import asyncio

    from pyxet._async.fs.filesystem import AsyncXetFileSystem

# What fsspec believes to be the size of a block, in bytes.
_BLOCK: Final = 2 * 1024 * 1024
# What ``readline`` on a binary file asks for at once, in bytes.
_LINE_BLOCK: Final = 64 * 1024

Fetch = Callable[[int, int], Awaitable[bytes]]


class _AheadCache(BaseCache):  # type: ignore[misc]  # fsspec is not typed
    """`ReadAhead` as fsspec's files want it."""

    name = "xet"

    def __init__(self, ahead: ReadAhead, loop: asyncio.AbstractEventLoop, size: int) -> None:
        super().__init__(_BLOCK, None, size)
        self._ahead = ahead
        self._loop = loop

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start, stop = start or 0, self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        held = self._ahead.held(start, stop)
        return held if held is not None else blocking_call(self._loop, self._ahead.read, start, stop)

    def close(self) -> None:
        self._ahead.abandon()


class XetReadFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec is not typed
    """A file that is open for reading, blocking.

    Parameters
    ----------
    fs, path, info:
        The file system, the path as it was asked for, and what is there.
    pinned:
        The path with the commit in it, for pickling; ``None`` for content that is in no commit.
    fetch:
        Gets bytes of the version that was opened.
    block_size, cache_type, cache_options:
        One of fsspec's caches instead of reading ahead adaptively.
    """

    def __init__(
        self,
        fs: AsyncXetFileSystem,
        path: str,
        info: Info,
        *,
        pinned: str | None,
        fetch: Fetch,
        loop: asyncio.AbstractEventLoop,
        read_ahead: int,
        block_size: int | None = None,
        cache_type: str | None = None,
        cache_options: dict[str, Any] | None = None,
    ) -> None:
        self._fetch = fetch
        self._loop = loop
        self._pinned = pinned
        self._details = info
        super().__init__(
            fs, path, "rb", block_size or "default", cache_type=cache_type or "none", cache_options=cache_options,
            size=info["size"],
        )  # fmt: skip
        if cache_type is None:
            self.cache = _AheadCache(ReadAhead(fetch, self.size, read_ahead, info.get("xet_hash")), loop, self.size)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return blocking_call(self._loop, self._fetch, start, min(end, self.size))  # type: ignore[arg-type]  # they are coroutines

    def readuntil(self, char: bytes = b"\n", blocks: int | None = None) -> bytes:
        """Up to and including the next ``char``, or to the end."""
        return bytes(super().readuntil(char, blocks or _LINE_BLOCK))

    def readall(self) -> bytes:
        """All that is left."""
        return bytes(self.read())

    def close(self) -> None:
        """Let go of what was read ahead."""
        # fsspec's own did not close caches before its version 2026.7.
        if isinstance(self.cache, _AheadCache):
            self.cache.close()
        super().close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._pinned is None:
            raise TransactionError(f"{self.path!r} is pending in a transaction, which stays in its process")
        cache = getattr(self.cache, "name", None)
        return _reopen, (self.fs, self._pinned, self.blocksize, self.loc, None if cache == "xet" else cache)

    def __del__(self) -> None:
        cache = getattr(self, "cache", None)
        if isinstance(cache, _AheadCache):
            cache.close()


def _reopen(fs: Any, path: str, block_size: int, position: int, cache_type: str | None) -> Any:
    file = fs.open(path, "rb", block_size=block_size, cache_type=cache_type)
    file.seek(position)
    return file


class AsyncXetReadFile(AbstractAsyncStreamedFile):  # type: ignore[misc]  # fsspec is not typed
    """A file that is open for reading, asynchronous: ``read`` and ``close`` are awaited, ``seek`` and ``tell`` are not."""

    def __init__(self, fs: AsyncXetFileSystem, path: str, info: Info, *, fetch: Fetch, read_ahead: int) -> None:
        self._details = info
        super().__init__(fs, path, "rb", cache_type="none", size=info["size"])
        self._ahead = ReadAhead(fetch, self.size, read_ahead, info.get("xet_hash"))

    async def _fetch_range(self, start: int, end: int) -> bytes:
        held = self._ahead.held(start, end)
        return held if held is not None else await self._ahead.read(start, end)

    async def close(self) -> None:
        """Let go of what was read ahead."""
        self.closed = True
        await self._ahead.aclose()

    def __del__(self) -> None:
        if not self.closed:
            self._ahead.abandon()
