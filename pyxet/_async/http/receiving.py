"""Receives a body straight into memory of the caller, without the copies that the HTTP library makes of it.

The library parses the head of an answer as always. Then its connection is lent to a `Receiver`: what the socket has goes
into the caller's memory, and the connection is given back the moment the last byte has come, in the state in which
each answer leaves it. Only a body whose length is known beforehand can be received like this, and only by asyncio's own
transports; all others take the ordinary way, through the library (`arriving.StreamAnswer`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

# Bytes that are received at once, so that other connections and tasks of the loop have their turn.
_MOST: Final = 1024 * 1024
# Those that are known to hand a socket's bytes to one protocol after another. uvloop's, and what may come, are not.
_TRANSPORTS: Final = frozenset({"asyncio.selector_events", "asyncio.sslproto"})


def receiver_of(response: aiohttp.ClientResponse, memory: memoryview) -> Receiver | None:
    """What receives the body of an answer that has just begun; ``None`` where only the ordinary way is known to work.

    Parameters
    ----------
    memory:
        For the body and one byte more, by which an endpoint is noticed that sends more than it said.
    """
    size = response.content_length
    connection, content = response.connection, response.content
    if not size or connection is None or content.exception() is not None or "Transfer-Encoding" in response.headers:
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
    assert len(memory) == size + 1, "the body and one byte more"
    # What came together with the head. Taking it also makes the library read on where it had stopped, and parse what it
    # had put aside; once nothing is left and the transport reads, all the rest is still to come from the socket.
    filled = 0
    while piece := content.read_nowait():
        memory[filled : filled + len(piece)] = piece
        filled += len(piece)
    return Receiver(memory, filled, content, handler, transport)


class Receiver(asyncio.BufferedProtocol):
    """Receives the rest of a body. All of it runs on the connection's loop.

    Attributes
    ----------
    filled:
        Bytes of the body that are in the memory.
    """

    def __init__(
        self,
        memory: memoryview,
        filled: int,
        content: aiohttp.StreamReader,
        handler: ResponseHandler,
        transport: asyncio.Transport,
    ) -> None:
        self.filled = filled
        self._memory = memory
        self._size = len(memory) - 1
        self._content = content
        self._handler = handler
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._told = 0
        # The bytes that somebody waits for, the moment when some came last, and who waits.
        self._mark = 0
        self._moved = self._loop.time()
        self._waiter: asyncio.Future[None] | None = None
        # A transport that does not read now was closed while that was taken which had come.
        self._lent = not content.is_eof() and transport.is_reading()
        if self._lent:
            transport.set_protocol(self)

    async def arrived(self, least: int, patience: float) -> tuple[int, float]:
        """Bytes that came since the last call, and the seconds in which this waited for them; no bytes are the end.

        Parameters
        ----------
        least:
            Waits until so many have come, or until the end; for ``patience`` at the most, if there are any.

        Raises
        ------
        TimeoutError
            No byte came for ``patience`` seconds.
        aiohttp.ClientError
            The body broke off.
        """
        began = self._loop.time()
        self._mark = min(self._size, self._told + least)
        while self.filled < self._mark and self._lent:
            now = self._loop.time()
            until = (began if self.filled > self._told else max(began, self._moved)) + patience
            if now >= until:
                if self.filled > self._told:
                    break
                raise TimeoutError
            await self._wait(until)
        if self.filled == self._told and self.filled < self._size:
            raise self._content.exception() or aiohttp.ClientPayloadError("the connection was closed")
        came, self._told = self.filled - self._told, self.filled
        return came, self._loop.time() - began

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

    def give_back(self) -> None:
        """Hand the connection back to the library, if that is not done; nothing is written to the memory any more."""
        if self._lent:
            self._lent = False
            # One of TLS that was closed twice has forgotten what it was.
            with suppress(AttributeError):
                self._transport.set_protocol(self._handler)
        self._memory = memoryview(b"")
        self._wake()

    # -- called by the transport ----------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._memory[self.filled : self.filled + _MOST]

    def buffer_updated(self, nbytes: int) -> None:
        self._moved = self._loop.time()
        self.filled += nbytes
        if self.filled >= self._size:
            self._end()
        elif self.filled >= self._mark:
            self._wake()

    def _end(self) -> None:
        """The whole body is there: leave the connection as the library leaves it at the end of an answer."""
        if self.filled > self._size:
            self.filled = self._size
            self._handler.force_close()
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
