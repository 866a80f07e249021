"""What callers give besides local paths: open files, blocking or asynchronous, and asynchronous iterators.

Blocking files are used in worker threads. Asynchronous ones belong to the event loop of the coroutine that they were given
to, and are read and written there, whichever loop the work itself runs on.
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

# Bytes that a file is asked for at once.
PIECE: Final = 2 * 1024 * 1024
_END: Final = object()


def is_stream(given: Any) -> bool:
    """Whether what a caller gives is to be read from or written to itself, and names no file."""
    if isinstance(given, (str, os.PathLike)):
        return False
    return any(hasattr(given, name) for name in ("read", "write", "__aiter__"))


def is_asynchronous(stream: Any) -> bool:
    """Whether a stream is asynchronous: its methods are coroutines, or it is an iterator to be awaited."""
    return (
        hasattr(stream, "__aiter__")
        or hasattr(stream, "__aenter__")
        or any(inspect.iscoroutinefunction(getattr(stream, name, None)) for name in ("read", "write", "drain"))
    )


class Stream:
    """A file or an iterator that a caller gave. It is used from where it stands, and not closed.

    Parameters
    ----------
    given:
        See `is_stream`.
    loop:
        The event loop that it belongs to, if it is asynchronous.

    Raises
    ------
    TypeError
        It cannot be read in pieces.
    """

    def __init__(self, given: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self._given = given
        self._loop = loop
        kind = type(given).__name__
        if hasattr(given, "read") and not hasattr(given, "tell") and not _takes_size(given.read):
            raise TypeError(
                f"the read of this {kind} takes no size, so it would bring everything at once; give what it reads from, or "
                "an asynchronous iterator of its pieces"
            )

    async def feed(self, take: Callable[[Any], Awaitable[object]]) -> None:
        """Read to the end, and have each piece taken before the next one is read.

        Raises
        ------
        TypeError
            It is open for writing only.
        BlockingIOError
            It has nothing to read at the moment, and does not wait for it.
        """
        if self._loop is None or self._loop is asyncio.get_running_loop():
            await self._feed(take)
            return
        # As one task there: what belongs to a task, like an anyio scope in a generator, outlasts the pieces.
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
            raise TypeError(f"this {type(self._given).__name__} can be written to and not read from")

    async def _feed_from_iterator(self, take: Callable[[Any], Awaitable[object]]) -> None:
        pieces = aiter(self._given)
        try:
            while (piece := await anext(pieces, _END)) is not _END:
                if isinstance(piece, (bytes, bytearray)) and not piece:
                    # An iterator that gives nothing for ever does not keep others from their turn.
                    await asyncio.sleep(0)
                    continue
                await take(piece)
        finally:
            # Nobody else may have it. A generator that has come to its end, or was cancelled, has nothing to do here.
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def write(self, data: Buffer) -> None:
        """Write bytes, all of them.

        Raises
        ------
        TypeError
            It is open for reading only.
        BlockingIOError
            It takes no more at the moment, and does not wait.
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
                raise BlockingIOError(
                    f"this {type(self._given).__name__} takes no more and does not wait: make it blocking"
                )
            # Files without a buffer may take less.
            data = memoryview(data)[written:]
        drain = getattr(self._given, "drain", None)
        if not inspect.iscoroutinefunction(self._given.write) and inspect.iscoroutinefunction(drain):
            # As asyncio's own streams: they keep what is written until somebody waits for them.
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
        # It has none that could be looked at.
        return True
    return True
