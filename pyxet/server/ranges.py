"""Ranges of bytes: what a request asks for (RFC 9110, section 14), and a part of a stored file as an answer."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from aiohttp import web

from pyxet._platform import read_at
from pyxet.errors import ServerError
from pyxet.server.state import WORKERS, error_response, in_worker, log, send

# Bytes of one write if the loop has no sendfile.
_PIECE: Final = 1024 * 1024
# Ranges up to this size are read when the file is opened; sending from the open file would need two more calls in a thread.
_LITTLE: Final = 256 * 1024
_EXACT = re.compile(r"bytes=\d{1,18}-\d{1,18}(?:, ?\d{1,18}-\d{1,18})*\Z", re.ASCII)
_SPAN = re.compile(r"(\d+)-(\d+)", re.ASCII)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z", re.ASCII)


def one_range(request: web.Request) -> tuple[int | None, int | None] | None:
    """First and last byte of the single range that a request asks for.

    Returns
    -------
    tuple
        Either number may be ``None``, not both: without the first, the second is a number of bytes at the end of the file.
        ``None`` instead of the tuple if there is no range, several ranges or anything else.
    """
    match = _RANGE.match(request.headers.get("Range", ""))
    if match is None or not (match[1] or match[2]):
        return None
    return int(match[1]) if match[1] else None, int(match[2]) if match[2] else None


def exact_ranges(request: web.Request) -> list[tuple[int, int]]:
    """Starts and ends of the ranges that a request asks for, each with its first and last byte.

    Returns
    -------
    list
        In ascending order. Empty where there is none, or something else, also where ranges overlap: a few bytes of a header
        could ask for the same content many times.
    """
    text = request.headers.get("Range", "")
    if not _EXACT.match(text):
        return []
    found = [(int(first), int(last) + 1) for first, last in _SPAN.findall(text)]
    if any(start >= end for start, end in found) or any(end > start for (_, end), (start, _) in pairwise(found)):
        return []
    return found


async def send_part(
    request: web.Request, headers: Mapping[str, str], size: int, read: Callable[[int, int], Iterator[bytes]]
) -> web.StreamResponse:
    """Content of ``size`` bytes, or the single range of it that the request asks for, as 200, 206 or 416.

    Parameters
    ----------
    headers:
        Headers of the answer, whatever its status; ``Content-Type`` is left out of 416.
    read:
        Returns the bytes from a start to an end (exclusive), in pieces. It blocks.
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
    """Start and end of the requested range, empty if it has no bytes; ``None`` for a header to ignore."""
    found = one_range(request)
    if found is None:
        return None
    first, last = found
    if first is None:
        return max(0, size - (last or 0)), size
    if last is not None and last < first:
        return None
    return first, size if last is None else min(size, last + 1)


async def send_file_ranges(
    request: web.Request, find: Callable[[], tuple[Path, int]], ranges: Sequence[tuple[int, int]]
) -> web.StreamResponse:
    """Bytes of a file as 206; several ranges (start, end) as ``multipart/byteranges``.

    Only these numbers decide what is sent. `aiohttp.web.FileResponse` reads the request's headers again
    (``If-Range``, ``Accept-Encoding``…), so it could send another range than the one that the caller has checked.

    Parameters
    ----------
    find:
        Returns path and size of the file. It blocks.
    """
    found = await in_worker(request, _opened, find, ranges)
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    if found.content is not None:
        [(start, end)] = ranges
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
        return web.Response(body=found.content, status=206, headers=headers)
    file, size = found.file, found.size
    assert file is not None
    try:
        parts = [(b"", start, end) for start, end in ranges]
        tail = b""
        if len(ranges) == 1:
            [(start, end)] = ranges
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        else:
            headers["Content-Type"], heads, tail = framed(ranges, size)
            parts = [(head, start, end) for head, (start, end) in zip(heads, ranges, strict=True)]
        headers["Content-Length"] = str(sum(len(head) + end - start for head, start, end in parts) + len(tail))
        response = web.StreamResponse(status=206, headers=headers)
        await response.prepare(request)
        for head, start, end in parts:
            if head:
                await response.write(head)
            if not await _sent(request, response, file, start, end):
                # The status has been sent; a connection that breaks is the only way left to say so.
                log.error("%s is shorter than its index says", found.path)
                if request.transport is not None:
                    request.transport.abort()
                return response
        await response.write_eof(tail)
        return response
    finally:
        # Do not wait for this: the connection can take the next request.
        asyncio.get_running_loop().run_in_executor(request.app[WORKERS], file.close)


class _Found(NamedTuple):
    """A file to send from: an open one, or the content of a small range, which was read in the same call in a thread."""

    path: Path
    size: int
    file: BinaryIO | None = None
    content: bytes | None = None


def _opened(find: Callable[[], tuple[Path, int]], ranges: Sequence[tuple[int, int]]) -> _Found:
    path, size = find()
    file = path.open("rb", buffering=0)
    if len(ranges) == 1 and ranges[0][1] - ranges[0][0] <= _LITTLE:
        [(start, end)] = ranges
        with file:
            content = read_at(file.fileno(), end - start, start)
        if len(content) == end - start:
            return _Found(path, size, content=content)
        raise ServerError(f"the stored object {path.name} is damaged: it is shorter than its index says", status=500)
    return _Found(path, size, file=file)


def framed(ranges: Sequence[tuple[int, int]], size: int) -> tuple[str, list[bytes], bytes]:
    """What makes a ``multipart/byteranges`` of ranges (start, end): its type, what precedes each range, and what follows."""
    boundary = secrets.token_hex(16)
    heads = [_part_head(boundary, start, end, size) for start, end in ranges]
    return f"multipart/byteranges; boundary={boundary}", heads, f"\r\n--{boundary}--\r\n".encode()


def _part_head(boundary: str, start: int, end: int, size: int) -> bytes:
    lines = (
        "",
        f"--{boundary}",
        "Content-Type: application/octet-stream",
        f"Content-Range: bytes {start}-{end - 1}/{size}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


async def _sent(request: web.Request, response: web.StreamResponse, file: BinaryIO, start: int, end: int) -> bool:
    """Send bytes of a file; returns whether the file had all of them."""
    if request.transport is None:
        raise ConnectionResetError("the client has gone")
    loop = asyncio.get_running_loop()
    try:
        # TLS encrypts in this process, so sendfile cannot be used.
        if request.secure:
            raise asyncio.SendfileNotAvailableError
        sent = await loop.sendfile(request.transport, file, start, end - start, fallback=False)
    except (NotImplementedError, asyncio.SendfileNotAvailableError):
        sent = await _written(request, response, file, start, end)
    return sent == end - start


async def _written(request: web.Request, response: web.StreamResponse, file: BinaryIO, start: int, end: int) -> int:
    at = start
    while at < end:
        data = await in_worker(request, read_at, file.fileno(), min(_PIECE, end - at), at)
        if not data:
            break
        await response.write(data)
        at += len(data)
    return at - start
