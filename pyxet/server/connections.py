"""How many connections a client may have, and how long the head of a request may take.

aiohttp closes idle connections (``keepalive_timeout``). This module adds what it lacks: a time limit for the head of a
request, and a limit for each client, so that none can take all the connections that the process has room for.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

# The most seconds from the first byte of a request's head to its last, and the most seconds without a request.
HEAD_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 120.0
# The most connections of one address, and in all.
PER_CLIENT: Final = 512
TOTAL: Final = 1024
_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n"
    b"X-Error-Message: too many connections; close some, or try again in a moment\r\n\r\n"
)


class Connections:
    """The connections of an endpoint.

    Parameters
    ----------
    per_client, total:
        How many connections there may be at once, from one address and in all. Further ones get 503 and are closed.
    head_seconds:
        How long the head of a request may take to arrive.
    """

    def __init__(self, per_client: int = PER_CLIENT, total: int = TOTAL, head_seconds: float = HEAD_SECONDS) -> None:
        self.per_client = per_client
        self.total = total
        self.head_seconds = head_seconds
        self._open: Counter[str] = Counter()
        self._guards: dict[asyncio.BaseProtocol, _Guard] = {}

    def guarded(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """A protocol factory for accepted connections that puts a guard before ``server``."""
        return lambda: _Guard(self, server())

    @contextmanager
    def answering(self, request: web.Request) -> Iterator[None]:
        """While a request is answered, no time limit for a head runs on its connection."""
        guard = self._guards.get(request.protocol)
        if guard is not None:
            guard.begin()
        try:
            yield
        finally:
            if guard is not None:
                guard.end()

    def admit(self, protocol: asyncio.BaseProtocol, guard: _Guard, address: str) -> bool:
        """Count a connection and return ``True``; ``False`` if it would be over a limit."""
        if self._open[address] >= self.per_client or len(self._guards) >= self.total:
            return False
        self._open[address] += 1
        self._guards[protocol] = guard
        return True

    def release(self, protocol: asyncio.BaseProtocol, address: str) -> None:
        """Stop counting an admitted connection, which has ended."""
        del self._guards[protocol]
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


CONNECTIONS: Final = web.AppKey("connections", Connections)


class _Log(logging.LoggerAdapter[logging.Logger]):
    """The log of aiohttp's protocol. Errors about unreadable input quote it, and it may contain a token: they are cut."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            # This is an error of the client, which gets an answer about it, not of the endpoint.
            super().log(min(level, logging.INFO), "a client sent what cannot be read: %s", type(error).__name__)
        else:
            super().log(level, msg, *args, **kwargs)


LOG: Final = _Log(logging.getLogger(__name__), {})


class _Guard(asyncio.Protocol):
    """Stands between a connection and aiohttp's protocol for it."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._inner = inner
        self._admitted = False
        self._address = ""
        self._answering = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: Any = None

    def begin(self) -> None:
        """The head is complete."""
        self._answering = True
        self._stop_timer()

    def end(self) -> None:
        """The next bytes are those of another request."""
        self._answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._admitted = self._connections.admit(self._inner, self, self._address)
        if self._admitted:
            self._inner.connection_made(transport)
        else:
            self._refuse(_BUSY)

    def data_received(self, data: bytes) -> None:
        if not self._admitted:
            return
        if not self._answering and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._connections.head_seconds, self._refuse, _SLOW)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._admitted else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._admitted:
            self._connections.release(self._inner, self._address)
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._admitted:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._admitted:
            self._inner.resume_writing()

    def _refuse(self, answer: bytes) -> None:
        self._stop_timer()
        self._transport.write(answer)
        self._transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class GuardedSite(web.BaseSite):
    """Listens on an address, as `aiohttp.web.TCPSite` does, with `Connections` between."""

    def __init__(
        self, runner: web.AppRunner, connections: Connections, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:  # fmt: skip
        super().__init__(runner, ssl_context=tls)
        assert runner.server is not None
        self._factory = connections.guarded(runner.server)
        self._place = (host, port)
        self._handshake_seconds = connections.head_seconds

    @property
    def name(self) -> str:
        """The URL."""
        host, port = self._place
        return f"{self.scheme}://{host}:{port}"

    @property
    def scheme(self) -> str:
        """Whether connections are encrypted: ``https`` or ``http``."""
        return "http" if self._ssl_context is None else "https"

    async def start(self) -> None:
        """Begin to listen; `OSError` if the address cannot be used."""
        await super().start()
        self._server = await asyncio.get_running_loop().create_server(
            self._factory,
            *self._place,
            backlog=self._backlog,
            ssl=self._ssl_context,
            # `Connections` does not count a connection before its handshake is done.
            ssl_handshake_timeout=None if self._ssl_context is None else self._handshake_seconds,
        )
