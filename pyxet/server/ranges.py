"""Ranges of bytes: what a request asks for (RFC 9110, section 14), and a part of a stored file as an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from pyxet._platform import read_at
from pyxet.server.state import WORKERS, error_response, in_worker, log, send

# What is written at a time where the loop has no sendfile.
_PIECE: Final = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z", re.ASCII)


def one_range(request: web.Request) -> tuple[int | None, int | None] | None:
    """First and last byte of the single range that a request asks for.

    Returns
    -------
    tuple
        Either may be ``None``, not both: without the first byte, the second number is the length of the file's end. ``None``
        for the tuple where there is no range, several, or something else.
    """
    match = _RANGE.match(request.headers.get("Range", ""))
    if match is None or not (match[1] or match[2]):
        return None
    return int(match[1]) if match[1] else None, int(match[2]) if match[2] else None


async def send_part(
    request: web.Request, headers: Mapping[str, str], size: int, read: Callable[[int, int], Iterator[bytes]]
) -> web.StreamResponse:
    """Content of ``size`` bytes, or the single range of it that the request asks for, as 200, 206 or 416.

    Parameters
    ----------
    headers:
        Of the answer, whatever it is; ``Content-Type`` is left out of 416.
    read:
        Bytes from a start to before an end, in pieces. It blocks.
    """
    start, end, status = 0, size, 200
    found = dict(headers)
    wanted = _requested(request, size)
    if wanted is not None:
        start, end = wanted
        if start >= end:
            found.pop("Content-Type", None)
            return error_response(
                416, f"the file has {size:,} bytes", headers=found | {"Content-Range": f"bytes */{size}"}
            )
        status = 206
        found["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    found["Content-Length"] = str(end - start)
    return await send(request, web.StreamResponse(status=status, headers=found), read(start, end))


def _requested(request: web.Request, size: int) -> tuple[int, int] | None:
    """Start and end of the requested range, empty where it has no bytes; ``None`` for what is to be ignored."""
    found = one_range(request)
    if found is None:
        return None
    first, last = found
    if first is None:
        return max(0, size - (last or 0)), size
    if last is not None and last < first:
        return None
    return first, size if last is None else min(size, last + 1)


async def send_file_range(request: web.Request, path: Path, start: int, end: int, size: int) -> web.StreamResponse:
    """Bytes ``start`` to before ``end`` of a file of ``size`` bytes, as 206.

    Nothing but these two numbers decides what is sent. `aiohttp.web.FileResponse` reads the request's headers again
    (``If-Range``, ``Accept-Encoding``…), and a caller who has checked a range would have checked something else.
    """
    loop = asyncio.get_running_loop()
    file = await in_worker(request, _open, path)
    try:
        response = web.StreamResponse(
            status=206,
            headers={
                "Accept-Ranges": "bytes",
                "Content-Length": str(end - start),
                "Content-Range": f"bytes {start}-{end - 1}/{size}",
                "Content-Type": "application/octet-stream",
            },
        )
        await response.prepare(request)
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        try:
            sent = await loop.sendfile(request.transport, file, start, end - start, fallback=False)
        except (NotImplementedError, asyncio.SendfileNotAvailableError):
            sent = await _written(request, response, file, start, end)
        if sent != end - start:
            # The status has been sent; a connection that breaks is the only way left to say so.
            log.error("%s is shorter than its index says", path)
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response
    finally:
        # Not waited for: the connection goes on with the next request.
        loop.run_in_executor(request.app[WORKERS], file.close)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


async def _written(request: web.Request, response: web.StreamResponse, file: BinaryIO, start: int, end: int) -> int:
    at = start
    while at < end:
        data = await in_worker(request, read_at, file.fileno(), min(_PIECE, end - at), at)
        if not data:
            break
        await response.write(data)
        at += len(data)
    return at - start
