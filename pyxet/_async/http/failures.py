"""Makes our errors of answers that are errors, and of failures of the connection."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import aiohttp

from pyxet._async.http.messages import detail_of, wait_of
from pyxet._async.http.packed import beginning, is_packed
from pyxet.errors import Asked, ConnectionFailedError, RemoteError, RequestTimeoutError, error_from_response

_MAX_ERROR_BODY: Final = 64 * 1024
_CHECK: Final = "check the endpoint (endpoint=, XET_ENDPOINT or the URL) and the network"
_TRUST: Final = "check the endpoint; a certificate of your own is trusted by way of SSL_CERT_FILE"
_LATER: Final = "try again later, or allow more time (timeouts=Timeouts(…))"
_STALLED: Final = "no answer or no progress in time"


async def error_of(response: aiohttp.ClientResponse, what: str, progress: float, asked: Asked | None) -> RemoteError:
    """The error for an answer, with the explanations in its headers and in the beginning of its body."""
    headers = response.headers
    detail = headers.get("X-Error-Message")
    if not detail:
        data = bytearray()
        try:
            async with asyncio.timeout(progress):
                while len(data) < _MAX_ERROR_BODY and (piece := await response.content.readany()):
                    data += piece
            detail = detail_of(beginning(data, _MAX_ERROR_BODY) if is_packed(headers) else data)
        except (aiohttp.ClientError, TimeoutError, OSError):
            detail = None
    return error_from_response(
        response.status,
        what=what,
        code=headers.get("X-Error-Code"),
        detail=detail,
        request_id=headers.get("X-Request-Id") or headers.get("X-Amzn-Trace-Id") or headers.get("X-Amz-Cf-Id"),
        retry_after=wait_of(response.status, headers),
        asked=asked,
    )


def translated(error: Exception, what: str, host: str) -> ConnectionFailedError | RequestTimeoutError:
    """Raise our errors in place of foreign ones. The message names the host, and never the query string, which may be signed."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RequestTimeoutError(f"{what}: no connection to {host} in time", hint=_CHECK, sent=False)
    if isinstance(error, TimeoutError):
        reason = str(error) if type(error) is TimeoutError and error.args else _STALLED
        return RequestTimeoutError(f"{what} from {host}: {reason}", hint=_LATER)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "it is not one that this machine trusts"
        text = f"the certificate of {error.host}:{error.port} is refused ({reason})"
        return ConnectionFailedError(f"{what}: {text}", hint=_TRUST, sent=False)
    if isinstance(error, aiohttp.ClientConnectorError):
        text = f"cannot connect to {error.host}:{error.port} ({_reason(error.os_error)})"
        return ConnectionFailedError(f"{what}: {text}", hint=_CHECK, sent=False)
    if isinstance(error, aiohttp.ClientResponseError):
        return ConnectionFailedError(f"{what}: what came from {host} is not HTTP", hint=_CHECK)
    return ConnectionFailedError(f"{what}: the connection to {host} broke ({type(error).__name__})")


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    if text.startswith("Connect call failed") and error.errno:
        # asyncio repeats the address instead of saying why.
        return os.strerror(error.errno)
    return text
