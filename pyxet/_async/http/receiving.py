"""Receives a body straight into memory of ours, without the copies that the HTTP library makes of it.

The library parses the head of an answer as always. Then its connection is lent to a `Receiver`: what the socket has goes
into stretches of memory that are used again and again, and the connection is given back the moment the last byte has come,
in the state in which each answer leaves it. Only a body whose length is known beforehand can be received like this, and
only by asyncio's own transports; all others take the ordinary way, through the library (`arriving.StreamAnswer`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from pyxet._async.runtime.memory import STRETCH, STRETCHES
from pyxet.protocol.hashing import Buffer

# Bytes that are received at once, so that other connections and tasks of the loop have their turn.
_MOST: Final = 1024 * 1024
# Shorter bodies mostly come with the head of the answer, or in one piece after it: to lend a connection saves nothing then.
_LEAST: Final = 256 * 1024
# Full stretches for which whoever waits is woken.
_ENOUGH: Final = 2
# Those that are known to hand a socket's bytes to one protocol after another. uvloop's, and what may come, are not.
_TRANSPORTS: Final = frozenset({"asyncio.selector_events", "asyncio.sslproto"})


def receiver_of(response: aiohttp.ClientResponse) -> Receiver | None:
    """What receives the body of an answer that has just begun; ``None`` where only the ordinary way is known to work."""
    size = response.content_length
    connection, content = response.connection, response.content
    if (
        not size
        or size < _LEAST
        or connection is None
        or content.exception() is not None
        or "Transfer-Encoding" in response.headers
    ):
        return None
    handler, transport = connection.protocol, connection.transport
    if not isinstance(handler, ResponseHandler) or not isinstance(transport, asyncio.Transport):
        return None
    if (
        type(transport).__module__ not in _TRANSPORTS
        or transport.is_closing()
        or transport.get_protocol() is not handler
    ):
        return None
    # What came together with the head. Taking it also makes the library read on where it had stopped, and parse what it
    # had put aside; once nothing is left and the transport reads, all the rest is still to come from the socket.
    begun: list[Buffer] = []
    while piece := content.read_nowait():
        begun.append(piece)
    return Receiver(begun, size, content, handler, transport)


class Receiver(asyncio.BufferedProtocol):
    """Receives the rest of a body. All of it runs on the connection's loop.

    Parameters
    ----------
    begun:
        What has come of it.
    size:
        Bytes of the whole body.
    """

    def __init__(
        self,
        begun: list[Buffer],
        size: int,
        content: aiohttp.StreamReader,
        handler: ResponseHandler,
        transport: asyncio.Transport,
    ) -> None:
        self._full = begun
        # Bytes that have not come.
        self._left = size - sum(map(len, begun))
        # What is filled now, and how much of it is.
        self._memory = memoryview(b"")
        self._at = 0
        self._content = content
        self._handler = handler
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        # When some came last, and who waits for more.
        self._moved = self._loop.time()
        self._waiter: asyncio.Future[None] | None = None
        # A transport that does not read now was closed while that was taken which had come.
        self._lent = not content.is_eof() and transport.is_reading()
        if self._lent:
            transport.set_protocol(self)

    async def runs(self, patience: float) -> tuple[list[Buffer], float]:
        """What came since the last call, and the seconds in which this waited for it; nothing at the end.

        Waits for some mebibytes, or the end; for ``patience`` seconds at the most, if anything came in them.

        Raises
        ------
        TimeoutError
            No byte came for ``patience`` seconds.
        aiohttp.ClientError
            The body broke off.
        """
        began = self._loop.time()
        while self._lent and len(self._full) < _ENOUGH:
            some = self._full or self._at
            now = self._loop.time()
            until = (began if some else max(began, self._moved)) + patience
            if now >= until:
                if not some:
                    raise TimeoutError
                break
            await self._wait(until)
        self._cut()
        if not self._full and self._left:
            raise self._content.exception() or aiohttp.ClientPayloadError("the connection was closed")
        found, self._full = self._full, []
        return found, self._loop.time() - began

    async def _wait(self, until: float) -> None:
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_at(until, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _cut(self) -> None:
        """Hand out what is filled of the present stretch; the rest of it goes on being filled."""
        if self._at:
            self._full.append(self._memory[: self._at].toreadonly())
            self._memory = self._memory[self._at :]
            self._at = 0

    def give_back(self) -> None:
        """Hand the connection back to the library, if that is not done; nothing more is received."""
        if self._lent:
            self._lent = False
            # One of TLS that was closed twice has forgotten what it was.
            with suppress(AttributeError):
                self._transport.set_protocol(self._handler)
        self._wake()

    # -- called by the transport ----------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._at == len(self._memory):
            size = min(STRETCH, self._left + 1) if self._left != STRETCH else STRETCH // 2
            self._memory, self._at = STRETCHES.take(size), 0
        # The last bytes have room for one more, by which an endpoint is noticed that sends more than it said.
        most = _MOST + 1 if self._left == _MOST else _MOST
        return self._memory[self._at : self._at + most]

    def buffer_updated(self, nbytes: int) -> None:
        self._moved = self._loop.time()
        self._left -= nbytes
        self._at += nbytes
        if self._left <= 0:
            self._end()
        elif self._at == len(self._memory):
            self._cut()
            if len(self._full) >= _ENOUGH:
                self._wake()

    def _end(self) -> None:
        """The whole body is there: leave the connection as the library leaves it at the end of an answer."""
        if self._left:
            self._at += self._left
            self._left = 0
            self._handler.force_close()
        self._cut()
        self.give_back()
        # Its parser still waits for the body. A new one waits for the next answer, and takes other bytes for an error.
        self._handler.set_response_params()
        # This also releases the connection.
        self._content.feed_eof()

    def eof_received(self) -> None:
        self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        # The library notes it, and makes of it the error of the body.
        self.give_back()
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()
