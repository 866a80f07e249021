"""What went wrong with a request: answers, and failures of the connection, as errors of ours."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import aiohttp

from pyxet._async.http.messages import detail_of, retry_after
from pyxet.errors import ConnectionFailedError, RemoteError, RequestTimeoutError, error_from_response

_MAX_ERROR_BODY: Final = 64 * 1024
_STALLED: Final = "no answer or no progress in time"


async def error_of(response: aiohttp.ClientResponse, what: str, progress: float) -> RemoteError:
    """The error that an answer is, with what its headers and the beginning of its body say."""
    headers = response.headers
    detail = headers.get("X-Error-Message")
    if not detail:
        data = bytearray()
        try:
            async with asyncio.timeout(progress):
                while len(data) < _MAX_ERROR_BODY and (piece := await response.content.readany()):
                    data += piece
            detail = detail_of(data)
        except (aiohttp.ClientError, TimeoutError, OSError):
            detail = None
    return error_from_response(
        response.status,
        what=what,
        code=headers.get("X-Error-Code"),
        detail=detail,
        request_id=headers.get("X-Request-Id") or headers.get("X-Amzn-Trace-Id") or headers.get("X-Amz-Cf-Id"),
        retry_after=retry_after(headers.get("Retry-After")),
    )


def translated(error: Exception, what: str) -> ConnectionFailedError | RequestTimeoutError:
    """Foreign errors as ours; the message names the host, never the query string with its signature."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RequestTimeoutError(f"{what}: no connection in time")
    if isinstance(error, TimeoutError):
        return RequestTimeoutError(f"{what}: {error if type(error) is TimeoutError and error.args else _STALLED}")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error
        text = reason.strerror or str(reason)
        if text.startswith("Connect call failed") and reason.errno:
            # asyncio repeats the address instead of saying why.
            text = os.strerror(reason.errno)
        return ConnectionFailedError(f"{what}: cannot connect to {error.host}:{error.port} ({text})")
    return ConnectionFailedError(f"{what}: the connection failed ({type(error).__name__})")
