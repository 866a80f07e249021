"""Reads and writes what callers pass instead of local paths: blocking or asynchronous files, and asynchronous iterators.

Blocking files are used in threads. Asynchronous ones belong to the event loop of the coroutine that they were passed to,
and are read and written on that loop, whichever loop the rest of the work runs on.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sized
from typing import Any, Final

from pyxet._async.runtime.bridge import on_loop
from pyxet._async.runtime.threads import in_own_thread
from pyxet.protocol.hashing import Buffer

# Bytes that one call reads from a file.
PIECE: Final = 2 * 1024 * 1024
_END: Final = object()


def is_stream(given: Any) -> bool:
    """Whether a caller passed an object to read from or write to, instead of the name of a file."""
    if isinstance(given, (str, os.PathLike)):
        return False
    return any(hasattr(given, name) for name in ("read", "write", "__aiter__"))


def is_asynchronous(stream: Any) -> bool:
    """Whether a stream is asynchronous: its methods are coroutine functions, or it is an asynchronous iterator."""
    return (
        hasattr(stream, "__aiter__")
        or hasattr(stream, "__aenter__")
        or any(inspect.iscoroutinefunction(getattr(stream, name, None)) for name in ("read", "write", "drain"))
    )


class Stream:
    """A file or an iterator that a caller passed. It is used from its current position, and not closed.

    Parameters
    ----------
    given:
        The file or iterator, see `is_stream`.
    loop:
        The event loop that it belongs to, if it is asynchronous.

    Raises
    ------
    TypeError
        Its ``read`` takes no size, so it cannot be read in pieces.
    """

    def __init__(self, given: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self._given = given
        self._loop = loop
        kind = type(given).__name__
        if hasattr(given, "read") and not hasattr(given, "tell") and not _takes_size(given.read):
            raise TypeError(
                f"read() of this {kind} takes no size, so it would read everything at once; give the object that it reads from, "
                "or an asynchronous iterator of its pieces"
            )

    async def feed(self, take: Callable[[Any], Awaitable[object]]) -> None:
        """Read to the end. Each piece is passed to ``take`` before the next one is read.

        Raises
        ------
        TypeError
            The file is open for writing only.
        BlockingIOError
            The file is in non-blocking mode and has nothing to read at the moment.
        """
        if self._loop is None or self._loop is asyncio.get_running_loop():
            await self._feed(take)
            return
        # One task there reads all pieces: what belongs to a task, like an anyio scope in a generator, must stay in one.
        home = asyncio.get_running_loop()

        async def carry(piece: Any) -> None:
            async def taken() -> None:
                await take(piece)

            await on_loop(home, taken())

        await on_loop(self._loop, self._feed(carry))

    async def _feed(self, take: Callable[[Any], Awaitable[object]]) -> None:
        if hasattr(self._given, "read"):
            while True:
                data = await self._called(self._given.read, PIECE)
                if data is None:
                    raise BlockingIOError(
                        f"this {type(self._given).__name__} has nothing to read yet and does not wait: make it blocking"
                    )
                if isinstance(data, Sized) and not len(data):
                    return
                await take(data)
        elif hasattr(self._given, "__aiter__"):
            await self._feed_from_iterator(take)
        else:
            raise TypeError(f"this {type(self._given).__name__} can be written to, but not read from")

    async def _feed_from_iterator(self, take: Callable[[Any], Awaitable[object]]) -> None:
        pieces = aiter(self._given)
        try:
            while (piece := await anext(pieces, _END)) is not _END:
                if isinstance(piece, (bytes, bytearray)) and not piece:
                    # An iterator that yields empty pieces for ever must not keep other tasks from running.
                    await asyncio.sleep(0)
                    continue
                await take(piece)
        finally:
            # Perhaps nobody else can close the generator. If it has ended or was cancelled, this does nothing.
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def write(self, data: Buffer) -> None:
        """Write all of these bytes.

        Raises
        ------
        TypeError
            The file is open for reading only.
        BlockingIOError
            The file is in non-blocking mode and accepts no more at the moment.
        """
        if self._loop is None or self._loop is asyncio.get_running_loop():
            await self._write(data)
        else:
            await on_loop(self._loop, self._write(data))

    async def _write(self, data: Buffer) -> None:
        if not hasattr(self._given, "write"):
            raise TypeError(f"this {type(self._given).__name__} cannot be written to")
        while True:
            written = await self._called(self._given.write, data)
            if written is None and isinstance(self._given, io.RawIOBase):
                written = 0
            if not isinstance(written, int) or written >= len(data):
                break
            if written <= 0:
                raise BlockingIOError(f"this {type(self._given).__name__} is full and does not wait: make it blocking")
            # Files without a buffer may take less.
            data = memoryview(data)[written:]
        drain = getattr(self._given, "drain", None)
        if not inspect.iscoroutinefunction(self._given.write) and inspect.iscoroutinefunction(drain):
            # Streams of asyncio buffer everything that is written, unless the writer awaits `drain`.
            await drain()

    async def _called(self, method: Callable[[Any], Any], argument: Any) -> Any:
        result = await in_own_thread(method, argument) if self._loop is None else method(argument)
        return await result if inspect.isawaitable(result) else result


def _takes_size(read: Callable[..., Any]) -> bool:
    try:
        inspect.signature(read).bind(PIECE)
    except TypeError:
        return False
    except ValueError:
        # The function has no signature that can be inspected.
        return True
    return True
