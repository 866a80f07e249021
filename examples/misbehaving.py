"""A proxy in front of an endpoint, for head_to_head.py. It counts requests and simulates faults of networks and busy servers."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import aiohttp
from aiohttp import web

# Routes that return content: pieces of it from the store, and whole files.
CONTENT = r"GET /(v1/xorbs/|.+/resolve/)"
_DROPPED = {"content-length", "transfer-encoding", "connection", "server", "date"}


class Misbehaving:
    """The proxy; ``with`` it, its ``url`` is an endpoint.

    Attributes
    ----------
    requests:
        How many came since `reset`.
    content:
        Bytes of content that were sent since then.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.reset()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def reset(self) -> None:
        """Stop all faults, and count from zero."""
        self.requests = self.content = 0
        self._busy: str | None = None
        self._change: Callable[[bytes], bytes] | None = None
        self._left: int | None = None
        self.stalled = threading.Event()

    def too_many(self, pattern: str) -> None:
        """Answer requests that match with 429."""
        self._busy = pattern

    def flip_a_bit(self) -> None:
        """Change one bit in the middle of all content."""
        self._change = lambda body: (
            body[: len(body) // 2] + bytes([body[len(body) // 2] ^ 1]) + body[len(body) // 2 + 1 :]
        )

    def stall_after(self, size: int) -> None:
        """Send this many bytes of content, and then nothing more."""
        self._left = size

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = "http://{}:{}".format(*runner.addresses[0][:2])
            self._ready.set()
            await self._end.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        line = f"{request.method} {request.path}"
        self.requests += 1
        if self._busy is not None and re.match(self._busy, line):
            return web.json_response({"error": "too many requests"}, status=429)
        async with self._session.request(
            request.method,
            self._upstream + request.raw_path,
            headers=request.headers,
            data=await request.read(),
            allow_redirects=False,
            # Add no headers that the client did not send: with Accept-Encoding, for example, the answer could be compressed.
            skip_auto_headers=["Accept", "Accept-Encoding", "Content-Type", "User-Agent"],
        ) as answer:
            body = await answer.read()
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
        if not re.match(CONTENT, line) or answer.status not in (200, 206):
            return web.Response(status=answer.status, headers=headers, body=body)
        if self._change is not None and body:
            body = self._change(body)
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        await self._send(response, body)
        return response

    async def _send(self, response: web.StreamResponse, body: bytes) -> None:
        # A client that was interrupted has closed its connection.
        with suppress(ConnectionResetError):
            for at in range(0, len(body), 256 * 1024):
                piece = body[at : at + 256 * 1024]
                if self._left is not None:
                    self._left -= len(piece)
                    if self._left < 0:
                        self.stalled.set()
                        await self._end.wait()
                await response.write(piece)
                self.content += len(piece)
            await response.write_eof()
