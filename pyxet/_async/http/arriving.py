"""Answers whose bodies are still arriving: read in pieces or whole, checked for speed and length, given back at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import aiohttp

from pyxet._async.http.failures import error_of, translated
from pyxet._async.http.limiter import Permit, metered
from pyxet._async.http.messages import OVERLOADED, Answer, Request, SpeedCheck, check_encoding, is_quota
from pyxet._async.http.packed import is_packed, unpacked
from pyxet._async.http.partial import PlainReader, RangeReader
from pyxet._async.http.receiving import Receiver, receiver_of
from pyxet._async.runtime.threads import in_thread
from pyxet.errors import Asked, ConnectionFailedError, FormatError, RemoteError, RequestTimeoutError
from pyxet.protocol.hashing import Buffer
from pyxet.watching import request_ended

# Compressed bytes that are unpacked at once: they become a few mebibytes at the most.
_FEW_PACKED: Final = 4 * 1024


class StreamAnswer:
    """An answer whose body is still arriving. It is one of the process's requests until it is closed."""

    __slots__ = (
        "_asked", "_attempt", "_bandwidth", "_came", "_failure", "_permit", "_progress", "_receiver", "_request",
        "_response", "_speed", "headers", "status",
    )  # fmt: skip

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        permit: Permit,
        request: Request,
        attempt: int,
        *,
        progress: float,
        speed: SpeedCheck,
        bandwidth: int | None,
        asked: Asked | None,
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._request = request
        self._attempt = attempt
        self._permit = permit
        self._progress = progress
        self._speed = speed
        self._asked = asked
        self._bandwidth = bandwidth
        # Bytes that the check of the speed has not been told of.
        self._came = 0
        # What broke the body off.
        self._failure: BaseException | None = None
        self._receiver: Receiver | None = None

    async def piece(self) -> bytes:
        """The next piece of the body, as large as it arrived; empty at the end. One that breaks off or stalls raises."""
        content = self._response.content
        waited = 0.0
        try:
            # What is there already needs no time-out; setting one for every piece would cost more than the piece.
            piece = content.read_nowait()
            while not piece and not content.at_eof():
                loop = asyncio.get_running_loop()
                began = loop.time()
                async with asyncio.timeout(self._progress):
                    piece = await content.readany()
                waited += loop.time() - began
            self._came += len(piece)
            if waited:
                came, self._came = self._came, 0
                self._speed.note(came, waited)
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
            # The library says so of a session that was closed meanwhile.
            raise self._failed(error) from None
        except asyncio.CancelledError as error:
            self._failure = error
            raise
        if piece:
            self._permit.received += len(piece)
            if self._bandwidth is not None:
                await metered(len(piece), self._bandwidth, spent=True)
        return piece

    async def pieces(self, reader: RangeReader) -> AsyncGenerator[Buffer, None]:
        """What a reader takes out of the body, as it comes.

        A body that is nothing but the range comes straight into memory of ours, where that is possible; others through the
        HTTP library, in its pieces.
        """
        if not isinstance(reader, PlainReader) or not reader.takes_all(self._response.content_length):
            while not reader.is_complete and (data := await self.piece()):
                for piece in reader.take(data):
                    yield piece
            return
        # A limited bandwidth is paid for piece by piece, and what is not read yet holds up the endpoint.
        if self._bandwidth is None:
            self._receiver = receiver_of(self._response)
        if self._receiver is None:
            while data := await self.piece():
                yield data
            return
        waited = 0.0
        came = 0
        while True:
            try:
                # Only now: what came is there, however slowly it did.
                self._speed.note(came, waited)
                runs, waited = await self._receiver.runs(self._progress)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._failed(error) from None
            except asyncio.CancelledError as error:
                self._failure = error
                raise
            if not runs:
                return
            came = sum(map(len, runs))
            self._permit.received += came
            for run in runs:
                yield run

    def _failed(self, error: Exception) -> ConnectionFailedError | RequestTimeoutError:
        """A body that breaks off or stalls, as an error of ours."""
        if isinstance(error, TimeoutError):
            self._permit.refused()
        self._failure = failure = translated(error, self._request.what, self._response.url.raw_authority)
        return failure

    async def whole(self, most: int) -> Answer:
        """The whole answer; it is closed then.

        Parameters
        ----------
        most:
            Bytes that make sense.

        Raises
        ------
        FormatError
            The body has more than ``most`` bytes, is compressed and was not asked for like that, or is a web page.
        """
        try:
            self._refuse_page()
            what, headers = self._request.what, self.headers
            packed = False
            if "Content-Encoding" in headers:
                asked = self._request.headers
                packed = asked is not None and "Accept-Encoding" in asked and is_packed(headers)
                if not packed:
                    check_encoding(headers, what)
            data = await self._read(most)
            if packed:
                few = len(data) <= _FEW_PACKED
                data = unpacked(data, most, what=what) if few else await in_thread(_unpack, data, most, what)
            return Answer(self.status, headers, data)
        finally:
            self.close()

    async def _read(self, most: int) -> bytes:
        pieces = []
        size = self._response.content_length or 0
        came = 0
        while size <= most and (piece := await self.piece()):
            pieces.append(piece)
            came += len(piece)
            size = max(size, came)
        if size > most:
            what = self._request.what
            raise FormatError(f"{what}: the answer has more than {most // 1024:,} KiB, the most that is read here")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _refuse_page(self) -> None:
        """Raise `FormatError` where a web page came instead of what was asked for; an empty one is none."""
        if self._response.content_type == "text/html" and self._response.content_length != 0:
            host = self._response.url.raw_authority
            raise FormatError(
                f"{self._request.what}: {host} sent a web page instead of an answer; a proxy or a log-in page may be in "
                "between, or it is not an endpoint: check the endpoint and the network"
            )

    async def error(self, longest_pause: float) -> RemoteError:
        """The answer as an error.

        All requests to its origin wait as long as it asks for, if that is not too long; where a quota is used up, those
        wait that it is for.
        """
        try:
            error = await error_of(self._response, self._request.what, self._progress, self._asked)
        except asyncio.CancelledError as cancelled:
            self._failure = cancelled
            raise
        if error.status in OVERLOADED and not is_quota(self.status, self.headers):
            pause = error.retry_after or 0.0
            self._permit.refused(pause if pause <= longest_pause else 0.0)
        return error

    def close(self) -> None:
        """Give the connection back, or close it if the body was not read to its end."""
        response, permit, request = self._response, self._permit, self._request
        if self._receiver is not None:
            self._receiver.give_back()
        if self.status >= 300:
            # `piece` has not counted it: of errors and redirects only the beginning is read, if that.
            permit.received = response.content.total_bytes
        if response.content.at_eof():
            response.release()
            seconds = permit.end(self.status if self.status not in OVERLOADED else None)
        else:
            response.close()
            seconds = permit.end()
        failure, self._failure = self._failure, None
        request_ended(
            request.method, response.url.raw_authority, request.what, self._attempt, seconds,
            status=self.status, sent=permit.sent, received=permit.received, error=failure,
        )  # fmt: skip


def _unpack(data: bytes, most: int, what: str) -> bytes:
    return unpacked(data, most, what=what)
