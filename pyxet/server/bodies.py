"""Reads bodies of requests piece by piece, once the caller's right to send them is checked, with size and time limits."""

from __future__ import annotations

import asyncio
import mmap
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web

from pyxet.errors import BadRequestError, ServerError
from pyxet.protocol.messages import decode
from pyxet.server.state import account_of, in_checker, in_worker

T = TypeVar("T")
# The most bytes of a JSON message or a form: enough for about ten thousand paths.
MAX_MESSAGE: Final = 16 * 1024 * 1024
# The same for an anonymous caller.
MAX_ANONYMOUS: Final = 1024 * 1024
# The most bytes of bodies that all requests together collect in memory at the same time.
_MAX_HELD: Final = 512 * 1024 * 1024
# A body may take this many seconds, plus its size divided by the lowest speed (bytes a second). Only the time spent
# waiting for the client counts.
_PATIENCE: Final = 60.0
_LOWEST_SPEED: Final = 1024
# `spooled` writes bodies larger than `_IN_MEMORY` bytes to the disk, in pieces of `_BATCH` bytes.
_IN_MEMORY: Final = 1024 * 1024
_BATCH: Final = 4 * 1024 * 1024
# Bytes of a body that are processed at a time while it arrives; at most about this much is left when all has arrived.
_PIECE: Final = 4 * 1024 * 1024
_MAX_FIELDS: Final = 100_000
_NAME = re.compile(rb'^content-disposition:[^\r\n]*?;[ \t]*name="?(?P<name>[^"\r\n;]*)"?', re.I | re.M)
_BOUNDARY = re.compile(r';\s*boundary=(?:"(?P<quoted>[^"\r\n]{1,70})"|(?P<plain>[^\s;"]{1,70}))', re.I)


class Held:
    """How many bytes of bodies all requests together hold in memory at the moment."""

    bytes = 0


HELD: Final = web.AppKey("held", Held)


async def continue_later(request: web.Request) -> None:
    """For aiohttp to call on ``Expect: 100-continue``. Sends nothing yet: the right to send the body is not checked.

    Raises
    ------
    HTTPExpectationFailed
        The header expects something else.
    """
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed


async def pieces(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    """The pieces of a body as they arrive.

    Parameters
    ----------
    limit:
        The most bytes that it may have.

    Raises
    ------
    BadRequestError
        413: it is larger. 408: the client stopped sending, or sends next to nothing. 400: its encoding is damaged.
    ConnectionError
        The client has gone.
    """
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    if request.version >= (1, 1) and "Expect" in request.headers and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    loop = asyncio.get_running_loop()
    size = 0
    waited = 0.0
    while True:
        before = loop.time()
        try:
            async with asyncio.timeout(_PATIENCE + size / _LOWEST_SPEED - waited):
                piece = await request.content.readany()
        except TimeoutError:
            # Anything else that arrives on this connection is the rest of this body, which nobody reads.
            request.content.feed_eof()
            request.protocol.close()
            raise BadRequestError(
                f"the body is too slow: {size:,} bytes came in {waited + _PATIENCE:.0f} s", status=408
            ) from None
        except web.RequestPayloadError as error:
            raise BadRequestError(f"the body is damaged: {error}", status=400) from error
        waited += loop.time() - before
        if not piece:
            return
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        yield piece


async def receive(request: web.Request, write: Callable[[list[bytes]], object], limit: int) -> None:
    """Pass a body to ``write``, which works on one piece while the next one arrives.

    Parameters
    ----------
    write:
        Takes some bytes. It blocks, and is not called again before it has returned.
    limit:
        The most bytes that the body may have.

    Raises
    ------
    BadRequestError, ConnectionError
        As in `pieces`.
    """
    length = 0
    waiting: list[bytes] = []
    writing: asyncio.Future[object] = _done()
    try:
        async for data in pieces(request, limit):
            waiting.append(data)
            length += len(data)
            if length >= _PIECE:
                await writing
                writing = asyncio.ensure_future(in_checker(request, write, waiting))
                waiting, length = [], 0
        await writing
        await in_checker(request, write, waiting)
    finally:
        # The caller closes the target of ``write`` after this, so no call may still be running.
        await asyncio.gather(writing, return_exceptions=True)


def _done() -> asyncio.Future[object]:
    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


async def read_body(request: web.Request, limit: int = MAX_MESSAGE) -> bytes:
    """A whole body in memory.

    Raises
    ------
    ServerError
        503: the bodies of other requests use all the memory; the client can try again.
    BadRequestError, ConnectionError
        As in `pieces`.
    """
    held = request.app[HELD]
    found: list[bytes] = []
    size = 0
    try:
        async for piece in pieces(request, limit):
            size += len(piece)
            held.bytes += len(piece)
            if held.bytes > _MAX_HELD:
                raise ServerError("too many large requests at once; try again in a moment", status=503)
            found.append(piece)
        return b"".join(found)
    finally:
        held.bytes -= size


async def read_message(request: web.Request, kind: type[T], *, what: str, optional: bool = False) -> T:
    """The body decoded as a message of type ``kind``; with ``optional``, an empty body gives a message of defaults."""
    data = await read_body(request, _most(request))
    return decode(data or b"{}" if optional else data, kind, what=what)


@asynccontextmanager
async def spooled(
    request: web.Request, limit: int, scratch: Callable[[], BinaryIO]
) -> AsyncIterator[bytes | mmap.mmap]:
    """A whole body, of which little is held in memory: a large one is kept in a file that ``scratch`` makes."""
    waiting: list[bytes] = []
    length = 0
    file: BinaryIO | None = None
    try:
        async for piece in pieces(request, limit):
            waiting.append(piece)
            length += len(piece)
            if length >= (_BATCH if file else _IN_MEMORY):
                if file is None:
                    file = await in_worker(request, scratch)
                await in_worker(request, file.writelines, waiting)
                waiting, length = [], 0
        if file is None:
            yield b"".join(waiting)
        else:
            yield await in_worker(request, _mapped, file, waiting)
    finally:
        if file is not None:
            await _finished(in_worker(request, file.close))


def _mapped(file: BinaryIO, rest: list[bytes]) -> mmap.mmap:
    file.writelines(rest)
    file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


async def _finished(work: Awaitable[object]) -> None:
    """Wait until work has ended, also if this task is cancelled meanwhile."""
    await asyncio.wait([asyncio.ensure_future(work)])


async def read_form(request: web.Request) -> list[tuple[str, str]]:
    """The fields of a form, ``application/x-www-form-urlencoded`` or ``multipart/form-data``.

    Raises
    ------
    BadRequestError
        The body is not a form or is damaged; also the errors of `pieces`.
    """
    data = await read_body(request, _most(request))
    try:
        if request.content_type == "multipart/form-data":
            return _multipart(data, request.headers.get("Content-Type", ""))
        return parse_qsl(data.rstrip().decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise BadRequestError(f"the form is damaged: {error}", status=400) from error


def _multipart(data: bytes, content_type: str) -> list[tuple[str, str]]:
    """The fields of a multipart form (RFC 7578), without file names and types; `ValueError` if the data is not one."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise ValueError("its boundary is missing")
    delimiter = b"\r\n--" + (found["quoted"] or found["plain"]).encode()
    _, *parts = (b"\r\n" + data).split(delimiter, _MAX_FIELDS)
    if not parts or not parts[-1].startswith(b"--"):
        raise ValueError("it does not end")
    fields = []
    for part in parts[:-1]:
        head, separator, value = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not separator or name is None:
            raise ValueError("a part has no name")
        fields.append((name["name"].decode(), value.decode()))
    return fields


def _most(request: web.Request) -> int:
    return MAX_MESSAGE if account_of(request) else MAX_ANONYMOUS


def _too_large(limit: int) -> BadRequestError:
    return BadRequestError(f"the body is too large: at most {limit:,} bytes", status=413)


def with_late_continue(add_route: Any) -> Any:
    """A router's ``add_route``, changed so that its routes leave ``100 Continue`` to `pieces`."""

    def add(method: str, path: str, handler: Any, *, name: str | None = None) -> Any:
        return add_route(method, path, handler, name=name, expect_handler=continue_later)

    return add
