"""File objects: blocking and asynchronous, for reading and for writing.

A file that is read stays on the version it was opened with. A file that is written uploads while it is written and is
published by its ``close`` (outside a transaction) or with the transaction's commit; one whose block raises is discarded,
also where only ``close`` is reached, as under text and compression wrappers: `sys.exception` tells. What the layers above a
discarded file still write is taken and forgotten, and they are closed: their own end, whenever they are collected, is quiet.
"""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from zipfile import ZipFile

from fsspec.asyn import AbstractAsyncStreamedFile
from fsspec.caching import BaseCache
from fsspec.core import OpenFile
from fsspec.spec import AbstractBufferedFile

from pyxet._async.bridge import blocking_call
from pyxet._async.layers import close_layers
from pyxet._async.readahead import ReadAhead
from pyxet._async.view import Info
from pyxet._async.writing import Writing
from pyxet.errors import TransactionError

if TYPE_CHECKING:
    import asyncio

    from pyxet._async.filesystem import AsyncXetFileSystem

# What a blocking file collects before it goes through the bridge, in bytes.
_PIECE: Final = 2 * 1024 * 1024
# What ``readline`` on a binary file asks for at once, in bytes.
_LINE_BLOCK: Final = 64 * 1024

Fetch = Callable[[int, int], Awaitable[bytes]]


class _AheadCache(BaseCache):  # type: ignore[misc]  # fsspec is not typed
    """`ReadAhead` as fsspec's files want it."""

    name = "xet"

    def __init__(self, ahead: ReadAhead, loop: asyncio.AbstractEventLoop, size: int) -> None:
        super().__init__(_PIECE, None, size)
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
        return blocking_call(self._loop, self._fetch, start, min(end, self.size))  # type: ignore[arg-type]

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


class XetWriteFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec is not typed
    """A file that is open for writing, blocking.

    Parameters
    ----------
    fs, path, mode:
        As it was opened; the mode is ``wb``, ``xb`` or ``ab``.
    writing:
        Takes the content.
    autocommit:
        Whether ``close`` publishes; otherwise ``commit`` does.
    """

    def __init__(
        self,
        fs: AsyncXetFileSystem,
        path: str,
        mode: str,
        writing: Writing,
        *,
        loop: asyncio.AbstractEventLoop,
        autocommit: bool,
    ) -> None:
        # Not the parent's: it would set up buffers and caches for a protocol of blocks.
        self.fs = fs
        self.path = path
        self.mode = mode
        self.autocommit = autocommit
        self.blocksize = _PIECE
        self.kwargs: dict[str, Any] = {}
        self.loc = writing.size
        self._writing = writing
        self._loop = loop
        self._waiting = bytearray()
        # Threads may share a file as they may share one of Python's own: each write is whole, and the end comes after it.
        self._lock = threading.RLock()
        self._error_at_open = sys.exception()
        # Discarded, and there may be layers above that write all the same when they end.
        self._ends_quietly = False
        self.closed = False

    def join_transaction(self, outermost: Any) -> None:
        """Let the transaction, if there is one, hold the file by its outermost wrapper."""
        if self._writing.transaction is not None:
            self._writing.transaction.hold(self._writing, outermost, self)

    def expect(self, error: BaseException | None) -> None:
        """Take an exception that is being handled for none of this file's: ``close`` publishes all the same."""
        self._error_at_open = error

    def write(self, data: Any) -> int:
        """Take bytes; the content goes up while it is written.

        Raises
        ------
        ValueError
            The file is closed.
        TransactionError
            Its transaction has ended, or this process is a fork of the one that opened it.
        """
        view = memoryview(data).cast("B")
        if self._ends_quietly:
            return len(view)
        # Before the lock, which a thread of the parent may have held at the moment of the fork.
        self._check_process()
        with self._lock:
            if self.closed:
                raise ValueError("I/O operation on closed file")
            self._take(view)
        return len(view)

    def _take(self, view: memoryview) -> None:
        if len(self._waiting) + len(view) >= _PIECE:
            self._push()
        if len(view) >= _PIECE:
            blocking_call(self._loop, self._writing.write, view)
        else:
            self._waiting += view
        self.loc += len(view)

    def flush(self, force: bool = False) -> None:
        """Nothing: what is written becomes visible when the file is published."""
        if self.closed and not self._ends_quietly:
            raise ValueError("I/O operation on closed file")

    def close(self) -> None:
        """Complete the file: published now, or with its transaction; discarded if an exception is on its way out."""
        if self.closed:
            return
        if self._ends_quietly:
            # By the wrapper that was dropped, and has passed on what it had.
            self.closed = True
            self.settle()
            return
        error = sys.exception()
        if error is not None and (error is not self._error_at_open or _raised_in_block(self)):
            self.discard()
            return
        try:
            self._check_process()
            self._complete()
        except BaseException:
            self.discard()
            raise

    def _complete(self) -> None:
        with self._lock:
            if self.closed:
                return
            self._push()
            if self.autocommit:
                blocking_call(self._loop, self._writing.publish)
            self._forget()
            self.closed = True

    def commit(self) -> None:
        """Publish a closed file that was opened with ``autocommit=False``; in a transaction, add it to that."""
        if not self.closed:
            raise ValueError("close the file before its commit")
        self._check_process()
        blocking_call(self._loop, self._writing.publish)

    def discard(self) -> None:
        """Throw the content away; nothing is published."""
        was_open = not self.closed
        self.drop()
        if was_open:
            close_layers([self])
        self.settle()
        if not self._writing.is_inherited:
            blocking_call(self._loop, self._writing.discard)

    def abandon(self) -> None:
        """Like `discard`, without waiting: for files that nobody will close any more."""
        self.drop()
        self._writing.abandon()

    def drop(self) -> None:
        """Be closed, with the content thrown away; until `settle`, layers above find a file that takes what they write."""
        self._ends_quietly = True
        self._forget()
        self.closed = True

    def settle(self) -> None:
        """The layers above are closed: whoever writes now is told."""
        self._ends_quietly = False

    def _forget(self) -> None:
        self._error_at_open = None
        self._waiting.clear()

    def _check_process(self) -> None:
        if self._writing.is_inherited:
            raise TransactionError(f"{self.path!r} was opened by another process, of which this one is a fork")

    def seek(self, loc: int, whence: int = 0) -> int:
        """Not even to where the file stands: `zipfile` would take that for a file that can be sought in."""
        raise io.UnsupportedOperation("a file that is being written cannot be sought in")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.closed:
            self.discard()
        self.close()

    def _dealloc_warn(self, source: object) -> None:
        """Called by a text wrapper that is dropped unclosed, before it would close us: then nothing is published.

        We are not closed yet: the wrapper would refuse to flush, and say so.
        """
        if self.closed or self._ends_quietly:
            return
        self._ends_quietly = True
        try:
            if not self._writing.is_inherited:
                warnings.warn(
                    f"unclosed file {self.path!r}: nothing is published", ResourceWarning, source=source, stacklevel=2
                )
        finally:
            self._forget()
            self._writing.abandon()

    def __del__(self) -> None:
        try:
            self._dealloc_warn(self)
        finally:
            if not self.closed or not self.autocommit:
                # Closed, and neither committed nor discarded since; or collected before what wraps it.
                self.abandon()

    # Not the parent's, which asks the endpoint.
    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a file that is open for writing cannot be pickled")

    def _push(self) -> None:
        if self._waiting:
            data, self._waiting = bytes(self._waiting), bytearray()
            blocking_call(self._loop, self._writing.write, data)


def _raised_in_block(file: XetWriteFile) -> bool:
    """Whether an `OpenFile` of fsspec closes the file since its block raised, which `OpenFile.__exit__` keeps to itself.

    In an ``except`` clause the block may raise again what was being handled when the file was opened.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is OpenFile.__exit__.__code__:
            local = frame.f_locals
            if any(opened is file for opened in local["self"].fobjects):
                return any(argument is not None for argument in local.get("args", ()))
        frame = frame.f_back
    return False


class _Archive(ZipFile):
    """An archive that `ZippedMember` closes. Dropped together with its member, its parent would raise."""

    def __del__(self) -> None:
        pass


class ZippedMember(io.BufferedIOBase):
    """The one member of a zip archive, as fsspec's codec ``zip`` makes it, and the archive, which ends with it."""

    def __init__(self, raw: XetWriteFile) -> None:
        self._archive = _Archive(raw, "w")
        self._member = self._archive.open("file", "w")

    def write(self, data: Any) -> int:
        """Add bytes to the member."""
        return self._member.write(data)

    def tell(self) -> int:
        """Bytes of uncompressed content so far."""
        return self._member.tell()

    def close(self) -> None:
        """End the member and the archive."""
        try:
            self._member.close()
        finally:
            try:
                self._archive.close()
            finally:
                super().close()


class CompressedWriter(io.BufferedIOBase):
    """A compressing wrapper and the file beneath it, which closes with it: the codecs of the library leave it open.

    Parameters
    ----------
    inner:
        The codec's file object, which writes to ``raw``.
    """

    def __init__(self, inner: Any, raw: XetWriteFile) -> None:
        self._inner = inner
        self._raw = raw

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Compress bytes."""
        return int(self._inner.write(data))

    def flush(self) -> None:
        """Let the codec pass on what it has."""
        if not self.closed:
            self._inner.flush()

    def tell(self) -> int:
        """Bytes of uncompressed content so far."""
        return int(self._inner.tell())

    @property
    def closed(self) -> bool:
        """Whether the file beneath is closed."""
        return bool(self._raw.closed)

    def close(self) -> None:
        """End the compressed stream and the file."""
        if self.closed:
            self._end_codec()
            return
        try:
            self._inner.close()
        except BaseException:
            self._raw.discard()
            raise
        self._raw.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.closed:
            self._raw.discard()
        self.close()

    def _end_codec(self) -> None:
        """Nothing where the codec has ended; of a file that was discarded, it may say what it wants."""
        with suppress(Exception):
            self._inner.close()

    def _dealloc_warn(self, source: object) -> None:
        self._raw._dealloc_warn(source)

    def __del__(self) -> None:
        raw = getattr(self, "_raw", None)
        if raw is not None:
            try:
                raw._dealloc_warn(self)
            finally:
                self._end_codec()


class XetTextFile(io.TextIOWrapper):
    """Text over a file that is written; a block that raises discards it whatever was raised before."""

    def __init__(self, beneath: XetWriteFile | CompressedWriter, **options: Any) -> None:
        super().__init__(beneath, **options)  # type: ignore[arg-type]  # it is a buffer in all that matters here
        self._beneath = beneath

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.closed:
            self._beneath.__exit__(kind, error, trace)
        self.close()


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


class AsyncXetWriteFile(AbstractAsyncStreamedFile):  # type: ignore[misc]  # fsspec is not typed
    """A file that is open for writing, asynchronous."""

    def __init__(self, fs: AsyncXetFileSystem, path: str, mode: str, writing: Writing) -> None:
        self.fs = fs
        self.path = path
        self.mode = mode
        self.autocommit = True
        self.loc = writing.size
        self._writing = writing
        self._error_at_open = sys.exception()
        self.closed = False

    async def write(self, data: Any) -> int:
        """Take bytes; waits while earlier ones are on their way."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        view = memoryview(data).cast("B")
        await self._writing.write(view)
        self.loc += len(view)
        return len(view)

    async def flush(self, force: bool = False) -> None:
        """Nothing: what is written becomes visible when the file is published."""

    async def close(self) -> None:
        """Complete the file: published now, or with its transaction; discarded if an exception is on its way out."""
        if self.closed:
            return
        error = sys.exception()
        if error is not None and error is not self._error_at_open:
            await self.discard()
            return
        try:
            await self._writing.publish()
        except BaseException:
            await self.discard()
            raise
        self.drop()

    async def discard(self) -> None:
        """Throw the content away; nothing is published."""
        self.drop()
        await self._writing.discard()

    def abandon(self) -> None:
        """Like `discard`, without waiting."""
        self.drop()
        self._writing.abandon()

    def drop(self) -> None:
        """Be closed, whatever becomes of the content."""
        self.closed = True
        self._error_at_open = None

    def settle(self) -> None:
        """Nothing: there are no layers above."""

    def expect(self, error: BaseException | None) -> None:
        """Take an exception that is being handled for none of this file's: ``close`` publishes all the same."""
        self._error_at_open = error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.closed:
            await self.discard()
        await self.close()

    def __del__(self) -> None:
        if not self.closed:
            try:
                warnings.warn(
                    f"unclosed file {self.path!r}: nothing is published", ResourceWarning, source=self, stacklevel=2
                )
            finally:
                self.abandon()

    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a file that is open for writing cannot be pickled")
