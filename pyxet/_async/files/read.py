"""Files that are open for reading, blocking and asynchronous. Each stays on the version it was opened with."""

from __future__ import annotations

import asyncio
import io
import operator
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Final, NoReturn, Self, SupportsIndex, TypeVar

from fsspec.asyn import AbstractAsyncStreamedFile
from fsspec.caching import BaseCache
from fsspec.spec import AbstractBufferedFile

from pyxet._async.files.cursor import Cursor, Place, Steps
from pyxet._async.files.owner import FileSystem
from pyxet._async.files.readahead import ReadAhead
from pyxet._async.runtime.bridge import blocking_call
from pyxet._platform import frame_of
from pyxet.errors import IntegrityError, TransactionError
from pyxet.protocol.kernels import joined
from pyxet.types import Info

# The block size that fsspec is told, in bytes.
_BLOCK: Final = 2 * 1024 * 1024

T = TypeVar("T")
Fetch = Callable[[int, int], Awaitable[bytes]]


class _AheadCache(BaseCache):  # type: ignore[misc]  # fsspec is not typed
    """`ReadAhead` in the form that fsspec's file objects expect."""

    name = "xet"

    def __init__(self, ahead: ReadAhead, loop: asyncio.AbstractEventLoop, size: int) -> None:
        # fsspec's caching file systems take the fetcher and put a cache of their own in place of this one.
        super().__init__(_BLOCK, _AheadFetcher(ahead, loop, size), size)
        self._ahead = ahead


class _AheadFetcher:
    """Reads bytes through a `ReadAhead`, for blocking callers."""

    def __init__(self, ahead: ReadAhead, loop: asyncio.AbstractEventLoop, size: int) -> None:
        self._ahead = ahead
        self._loop = loop
        self._size = size

    def __call__(self, start: int, stop: int) -> bytes:
        stop = min(stop, self._size)
        held = self._ahead.held(start, stop)
        return held if held is not None else joined(blocking_call(self._loop, self._ahead.pieces, start, stop))


class _Readable(AbstractBufferedFile):  # type: ignore[misc]  # fsspec is not typed
    """What blocking and asynchronous files for reading share: the `Cursor`, and refusing to be written to."""

    size: int
    _cursor: Cursor

    @property
    def loc(self) -> int:
        """The position, under the name that fsspec's files have for it."""
        return self._cursor.at

    @loc.setter
    def loc(self, at: int) -> None:
        self._cursor.at = at

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def readable(self) -> bool:
        self._check_open()
        return True

    def seekable(self) -> bool:
        self._check_open()
        return True

    def writable(self) -> bool:
        self._check_open()
        return False

    def tell(self) -> int:
        """The position, in bytes from the start."""
        self._check_open()
        return self._cursor.at

    def seek(self, loc: SupportsIndex, whence: int = 0) -> int:
        """Move to an offset from the start (0), the position (1) or the end (2), and return the new position."""
        self._check_open()
        return self._cursor.seek(loc, whence)

    def write(self, data: Any) -> NoReturn:
        self._check_open()
        raise io.UnsupportedOperation("the file is open for reading; open it with 'wb' to write")

    def detach(self) -> NoReturn:
        raise io.UnsupportedOperation("there is no raw stream beneath the file")

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


class XetReadFile(_Readable):
    """A blocking file that is open for reading; it behaves like an `io.BufferedReader`.

    Parameters
    ----------
    fs, path, info:
        The file system, the path as the caller gave it, and the entry that is there.
    pinned:
        The path with the commit instead of the branch, for pickling; ``None`` for content that is in no commit.
    fetch:
        Fetches bytes of the version that was opened.
    block_size, cache_type, cache_options:
        Use one of fsspec's caches instead of the read-ahead that adapts to the reader.
    """

    def __init__(
        self,
        fs: FileSystem,
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
        self._cursor = Cursor(info["size"])
        # Threads may share a file, as with Python's own files: no two reads return the same bytes.
        self._lock, self._pid = threading.RLock(), os.getpid()
        super().__init__(
            fs, path, "rb", block_size or "default", cache_type=cache_type or "none", cache_options=cache_options,
            size=info["size"],
        )  # fmt: skip
        self._ahead: ReadAhead | None = None
        if cache_type is None:
            self._ahead = ReadAhead(fetch, self.size, read_ahead, info.get("xet_hash"))
            self.cache = _AheadCache(self._ahead, loop, self.size)

    @property
    def cache(self) -> Any:
        """The cache that all reads go through. Another one may be assigned: it gets the bytes of the version that was opened."""
        return self._cache

    @cache.setter
    def cache(self, cache: Any) -> None:
        # fsspec's block cache would ask the file system for several ranges. The file system may see a newer version by
        # then, cannot verify the content as it does not know the other reads, and returns errors in place of content.
        if getattr(cache, "multi_fetcher", None) is not None:
            cache.multi_fetcher = None
        self._cache = cache

    def _fetch_range(self, start: int, end: int) -> bytes:
        return blocking_call(self._loop, self._fetch, start, min(end, self.size))  # type: ignore[arg-type]  # they are coroutines

    def read(self, length: SupportsIndex | None = -1) -> bytes:
        """Read ``length`` bytes, fewer only at the end of the file; all that is left if ``length`` is negative or ``None``."""
        return self._read(self._cursor.place, length)

    def _read(self, place: Place, length: SupportsIndex | None) -> bytes:
        with self._alone():
            self._check_open()
            self._cursor.begin(place)
            here = self._cursor.here(length)
            return self._carry_out(self._cursor.take(length)) if here is None else here

    def seek(self, loc: SupportsIndex, whence: int = 0) -> int:
        """Move to an offset from the start (0), the position (1) or the end (2), and return the new position.

        Native code that reads directly after it reads from there, whatever other threads do meanwhile.
        """
        self._check_open()
        return self._cursor.seek(loc, whence, is_about_to_read=self._is_about_to_read)

    def readall(self) -> bytes:
        """Read all that is left."""
        return self._read(self._cursor.place, -1)

    def read1(self, size: SupportsIndex | None = -1) -> bytes:
        """Read up to ``size`` bytes, with at most one fetch."""
        return self._done(self._cursor.place, self._cursor.some(size))

    def peek(self, size: SupportsIndex | None = 0) -> bytes:
        """Return what comes next without moving the position: at least ``size`` bytes, unless the file ends before."""
        return self._done(self._cursor.place, self._cursor.peek(size))

    def readinto(self, b: Any) -> int:
        """Fill a buffer, with fewer bytes only at the end of the file. Returns the number of bytes."""
        place = self._cursor.place
        return _fill(b, lambda size: self._read(place, size))

    def readinto1(self, b: Any) -> int:
        """Read into a buffer with at most one fetch. Returns the number of bytes."""
        place = self._cursor.place
        return _fill(b, lambda size: self._done(place, self._cursor.some(size)))

    def readline(self, size: SupportsIndex | None = -1) -> bytes:
        """Read up to and including the next newline, or to the end; at most ``size`` bytes if that is not negative."""
        if size == -1:
            place = self._cursor.place
            return place.next_line() or self._line(place)
        return self.readuntil(b"\n", limit=size)

    def readlines(self, hint: SupportsIndex | None = -1) -> list[bytes]:
        """Read the lines that are left; with a positive ``hint``, only until they have that many bytes together."""
        most = operator.index(hint) if hint is not None else -1
        lines: list[bytes] = []
        total = 0
        while (most <= 0 or total < most) and (line := self.readline()):
            lines.append(line)
            total += len(line)
            if most <= 0:
                lines += self._cursor.place.next_lines(-1)
            elif total < most:
                more = self._cursor.place.next_lines(most - total)
                lines += more
                total += sum(map(len, more))
        return lines

    def readuntil(self, char: bytes = b"\n", blocks: int | None = None, limit: SupportsIndex | None = -1) -> bytes:
        """Read up to and including the next ``char``, or to the end; at most ``limit`` bytes if that is not negative."""
        return self._done(self._cursor.place, self._cursor.until(char, limit))

    def __iter__(self) -> Iterator[bytes]:
        self._check_open()
        # Lines that stand ready are taken without a call of Python for each. Position and content are those of the file, so
        # whoever reads, seeks or takes lines meanwhile does so as if this called `__next__`.
        return chain.from_iterable(_Lines(self))

    def __next__(self) -> bytes:
        place = self._cursor.place
        line = place.next_line() or self._line(place)
        if not line:
            raise StopIteration
        return line

    def _line(self, place: Place) -> bytes:
        """Read the next line if none is ready; empty at the end."""
        with self._alone():
            self._check_open()
            self._cursor.begin(place)
            return self._cursor.line() or self._carry_out(self._cursor.until())

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def close(self) -> None:
        """Release what was read ahead."""
        self._cursor.release()
        self._let_go()
        super().close()

    def _done(self, place: Place, steps: Steps[T]) -> T:
        """Carry out an operation that was called when the cursor was at ``place``."""
        with self._alone():
            self._check_open()
            self._cursor.begin(place)
            return self._carry_out(steps)

    def _carry_out(self, steps: Steps[T]) -> T:
        """Fetch the ranges that an operation asks for."""
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(bytes(self.cache._fetch(*wanted)))
        except StopIteration as end:
            found: T = end.value
            return found
        except IntegrityError:
            # The bytes that are held of it may be wrong as well.
            self._cursor.release()
            raise

    def _is_about_to_read(self, thread: int) -> bool:
        """Whether a thread has called a read that has not begun yet: the interpreter may switch to another thread at that point.

        It is the only such point between a ``seek`` and a ``read`` that native code calls directly after each other.
        """
        frame = frame_of(thread)
        return frame is not None and frame.f_code in _READS and frame.f_locals.get("self") is self

    def _alone(self) -> threading.RLock:
        if self._pid != os.getpid():
            # A thread of the parent process may have held the lock at the moment of the fork.
            self._lock, self._pid = threading.RLock(), os.getpid()
        return self._lock

    def _let_go(self) -> None:
        ahead = getattr(self, "_ahead", None)
        if ahead is not None:
            ahead.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._pinned is None:
            raise TransactionError(
                f"{self.path!r} is pending in a transaction, so it cannot be pickled: transactions stay in their process"
            )
        cache = getattr(self.cache, "name", None)
        return _reopen, (self.fs, self._pinned, self.blocksize, self.loc, None if cache == "xet" else cache)

    def __del__(self) -> None:
        self._let_go()


class _Lines:
    """The lines of a file as an iterator of iterables: those that stand ready, which end where another operation begins."""

    def __init__(self, file: XetReadFile) -> None:
        self._file = file

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Iterable[bytes]:
        first = next(self._file)
        return chain((first,), self._file._cursor.place.ready)


# Methods that read the cursor's place before anything else.
_READS: Final = frozenset(
    method.__code__
    for method in (
        XetReadFile.read, XetReadFile.readall, XetReadFile.read1, XetReadFile.peek, XetReadFile.readinto,
        XetReadFile.readinto1, XetReadFile.readline, XetReadFile.readuntil, XetReadFile.__next__,
    )
)  # fmt: skip


def _reopen(fs: Any, path: str, block_size: int, position: int, cache_type: str | None) -> Any:
    file = fs.open(path, "rb", block_size=block_size, cache_type=cache_type)
    file.seek(position)
    return file


def _fill(buffer: Any, read: Callable[[int], bytes]) -> int:
    target = memoryview(buffer).cast("B")
    data = read(target.nbytes)
    target[: len(data)] = data
    return len(data)


class AsyncXetReadFile(_Readable, AbstractAsyncStreamedFile):  # type: ignore[misc]  # fsspec is not typed
    """An asynchronous file that is open for reading.

    It behaves like an `io.BufferedReader` whose reads are awaited; ``seek`` and ``tell`` are not awaited. ``async for`` gives its
    lines.
    """

    def __init__(self, fs: FileSystem, path: str, info: Info, *, fetch: Fetch, read_ahead: int) -> None:
        self._details = info
        self._cursor = Cursor(info["size"])
        super().__init__(fs, path, "rb", cache_type="none", size=info["size"])
        self._ahead = ReadAhead(fetch, self.size, read_ahead, info.get("xet_hash"))

    async def _fetch_range(self, start: int, end: int) -> bytes:
        held = self._ahead.held(start, end)
        return held if held is not None else await self._ahead.read(start, end)

    async def read(self, length: SupportsIndex | None = -1) -> bytes:
        """Read ``length`` bytes, fewer only at the end of the file; all that is left if ``length`` is negative or ``None``."""
        return await self._done(self._cursor.take(length))

    async def readall(self) -> bytes:
        """Read all that is left."""
        return await self.read()

    async def read1(self, size: SupportsIndex | None = -1) -> bytes:
        """Read up to ``size`` bytes, with at most one fetch."""
        return await self._done(self._cursor.some(size))

    async def peek(self, size: SupportsIndex | None = 0) -> bytes:
        """Return what comes next without moving the position: at least ``size`` bytes, unless the file ends before."""
        return await self._done(self._cursor.peek(size))

    async def readinto(self, b: Any) -> int:
        """Fill a buffer, with fewer bytes only at the end of the file. Returns the number of bytes."""
        data = await self.read(memoryview(b).nbytes)
        return _fill(b, lambda _: data)

    async def readinto1(self, b: Any) -> int:
        """Read into a buffer with at most one fetch. Returns the number of bytes."""
        data = await self.read1(memoryview(b).nbytes)
        return _fill(b, lambda _: data)

    async def readline(self, size: SupportsIndex | None = -1) -> bytes:
        """Read up to and including the next newline, or to the end; at most ``size`` bytes if that is not negative."""
        if size == -1:
            line = self._cursor.place.next_line()
            if line:
                return line
            self._check_open()
            self._cursor.begin(self._cursor.place)
            return self._cursor.line() or await self._done(self._cursor.until())
        return await self.readuntil(b"\n", limit=size)

    async def readlines(self, hint: SupportsIndex | None = -1) -> list[bytes]:
        """Read the lines that are left; with a positive ``hint``, only until they have that many bytes together."""
        most = operator.index(hint) if hint is not None else -1
        lines: list[bytes] = []
        total = 0
        while (most <= 0 or total < most) and (line := await self.readline()):
            lines.append(line)
            total += len(line)
        return lines

    async def readuntil(
        self, char: bytes = b"\n", blocks: int | None = None, limit: SupportsIndex | None = -1
    ) -> bytes:  # fmt: skip
        """Read up to and including the next ``char``, or to the end; at most ``limit`` bytes if that is not negative."""
        return await self._done(self._cursor.until(char, limit))

    def __iter__(self) -> NoReturn:
        raise TypeError("an asynchronous file: use `async for`")

    def __enter__(self) -> NoReturn:
        raise TypeError("an asynchronous file: use `async with`")

    def __aiter__(self) -> Self:
        self._check_open()
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    async def close(self) -> None:
        """Release what was read ahead."""
        self.closed = True
        self._cursor.release()
        await self._ahead.aclose()

    async def _done(self, steps: Steps[T]) -> T:
        """Carry out an operation of the cursor, and fetch the ranges that it asks for."""
        self._check_open()
        self._cursor.begin(self._cursor.place)
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(await self._fetch_range(*wanted))
        except StopIteration as end:
            found: T = end.value
            return found
        except IntegrityError:
            # The bytes that are held of it may be wrong as well.
            self._cursor.release()
            raise

    def __del__(self) -> None:
        if not self.closed:
            self._ahead.close()
