"""JSON for clients that take it compressed (RFC 9110, section 12.5.3)."""

from __future__ import annotations

import gzip
import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from pyxet.server.state import in_worker

# Minimum bytes to compress, and the gzip level: levels above the first hardly make JSON smaller.
_LEAST: Final = 1024
_LEVEL: Final = 1
_REFUSED = re.compile(r"0(\.0{0,3})?\Z")


@web.middleware
async def packed_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Compress what a handler answers, if it is JSON that is long enough and the client says that it takes gzip."""
    response = await handler(request)
    if not isinstance(response, web.Response) or response.content_type != "application/json":
        return response
    body = response.body
    if not isinstance(body, bytes) or len(body) < _LEAST:
        return response
    response.headers["Vary"] = "Accept-Encoding"
    if _takes_gzip(request.headers.get("Accept-Encoding", "")):
        response.body = await in_worker(request, gzip.compress, body, _LEVEL)
        response.headers["Content-Encoding"] = "gzip"
    return response


def _takes_gzip(header: str) -> bool:
    """Whether ``gzip`` is among the codings, and not with a weight of zero."""
    for item in header[:1000].lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return not _REFUSED.match(weight.strip().removeprefix("q="))
    return False
