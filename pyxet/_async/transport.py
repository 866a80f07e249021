"""HTTP: the only client module that knows aiohttp.

Sessions belong to a running event loop and to a process, and are made when first needed. An async generator keeps each
of them, because ending a loop (`asyncio.run`) closes its async generators: that closes the session in time without a
task of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from yarl import URL

from pyxet._async.fanout import REQUESTS
from pyxet._version import __version__
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.errors import (
    ConnectionFailedError,
    RateLimitedError,
    RemoteError,
    RequestTimeoutError,
    ServerError,
    error_from_response,
)

_SLICE: Final = 1024 * 1024
_MAX_ERROR_BODY: Final = 64 * 1024
_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# "not now": the endpoint is busy with this resource.
_BUSY: Final = frozenset({408, 423, 425})

Query = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Body:
    """What a request sends: slices in order, kept so that a retry can send them again."""

    slices: Sequence[bytes | bytearray | memoryview]
    content_type: str = "application/octet-stream"

    @cached_property
    def size(self) -> int:
        """Bytes in all."""
        return sum(len(piece) for piece in self.slices)

    @classmethod
    def json(cls, message: Any) -> Body:
        """A message as JSON."""
        from pyxet.protocol.messages import encode

        return cls((encode(message),), "application/json")


@dataclass(frozen=True)
class Answer:
    """A whole answer; header names compare without case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)


@dataclass(frozen=True)
class StreamAnswer:
    """An answer whose body is still arriving."""

    status: int
    headers: Mapping[str, str]
    _response: aiohttp.ClientResponse = field(repr=False)
    what: str

    async def chunks(self) -> AsyncIterator[bytes]:
        """Pieces of the body, as large as they arrive. A body that breaks off or stalls raises."""
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error, self.what) from error


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help."""
    if isinstance(error, ServerError):
        return error.status not in (501, 505, 507)
    if isinstance(error, RemoteError):
        return isinstance(error, RateLimitedError) or error.status in _BUSY
    return isinstance(error, (ConnectionFailedError, RequestTimeoutError))


def is_refused(error: BaseException) -> bool:
    """Whether the request certainly was not carried out, and may be later: for requests that must not run twice."""
    if isinstance(error, RemoteError):
        return (
            isinstance(error, RateLimitedError)
            or error.status in _BUSY
            or (error.status == 503 and error.retry_after is not None)
        )
    return isinstance(error, ConnectionFailedError) and isinstance(error.__cause__, aiohttp.ClientConnectorError)


class Transport:
    """Requests to one endpoint, and to where it sends us, with retries, time-outs and typed errors."""

    def __init__(
        self, endpoint: str, credential: Credential, *, limits: Limits, retry: RetryPolicy, timeouts: Timeouts
    ) -> None:
        self.endpoint = endpoint
        self._credential = credential
        self._limits = limits
        self._retry = retry
        self._timeouts = timeouts
        self._pid = os.getpid()
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept] = WeakKeyDictionary()

    async def aclose(self) -> None:
        """Close the session of the running loop."""
        kept = self._sessions.pop(asyncio.get_running_loop(), None)
        if kept is not None and self._pid == os.getpid():
            await kept.keeper.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        what: str,
        bearer: str | None = None,
        params: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        retry: Callable[[BaseException], bool] = is_transient,
        redirect: bool = False,
    ) -> Answer:
        """Send a request and read the whole answer, trying again where that may help.

        Parameters
        ----------
        method, url, params, headers, body:
            The request; ``url`` may be a path on the endpoint, percent-encoded.
        what:
            What is being done, for error messages.
        bearer:
            A token; by default that of the credential, which goes to the endpoint only.
        retry:
            Which errors are worth another try.
        redirect:
            Whether to follow redirects; a token does not follow to another origin.

        Raises
        ------
        RemoteError, ConnectionFailedError, RequestTimeoutError
            The answer has a status of 400 or more, or there is none.
        """
        async for attempt in self._attempts(retry):
            with attempt:
                async with self.stream(
                    method, url, what=what, bearer=bearer, params=params, headers=headers, body=body, redirect=redirect
                ) as answer:
                    data = b"".join([piece async for piece in answer.chunks()])
                    return Answer(answer.status, answer.headers, data, str(answer._response.url))
        raise AssertionError("unreachable: attempts end with a result or an error")

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        what: str,
        bearer: str | None = None,
        params: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        redirect: bool = False,
    ) -> AsyncIterator[StreamAnswer]:
        """Send a request once and give the answer while its body arrives. Raises like `request`."""
        target = url if "://" in url else self.endpoint + url
        async with REQUESTS.hold(1, self._limits.concurrency):
            for _ in range(_MAX_REDIRECTS + 1):
                response = await self._send(method, target, what, bearer, params, headers, body)
                try:
                    if response.status in _REDIRECTS and redirect and "Location" in response.headers:
                        target, params = urljoin(target, response.headers["Location"]), None
                        bearer = bearer if _origin(target) == _origin(str(response.url)) else ""
                        continue
                    if response.status >= 300:
                        raise await _error(response, what)
                    yield StreamAnswer(response.status, response.headers, response, what)
                    return
                finally:
                    # A body that was not read to its end must not go back to the pool of connections.
                    response.close() if not response.content.at_eof() else response.release()
            raise ConnectionFailedError(f"{what}: more than {_MAX_REDIRECTS} redirects")

    async def ranged(
        self, url: str, start: int, end: int, *, what: str, bearer: str | None = None, redirect: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """Bytes ``start`` to before ``end`` of a resource; a body that breaks off is continued from its last good byte."""
        failures = 0
        at = start
        while at < end:
            try:
                span = {"Range": f"bytes={at}-{end - 1}"}
                async with self.stream("GET", url, what=what, bearer=bearer, headers=span, redirect=redirect) as answer:
                    if answer.status != 206 and at != start:
                        raise ConnectionFailedError(f"{what}: the endpoint does not continue a range")
                    async with aclosing(answer.chunks()) as chunks:  # type: ignore[type-var]  # it is a generator
                        async for piece in chunks:
                            piece = piece[: end - at]
                            at += len(piece)
                            failures = 0
                            yield piece
                if at < end:
                    raise ConnectionFailedError(f"{what}: the body ended {end - at:,} bytes early")
            except (RemoteError, ConnectionFailedError, RequestTimeoutError) as error:
                failures += 1
                if not is_transient(error) or failures >= self._retry.attempts:
                    raise
                await asyncio.sleep(self._wait(failures, error))

    async def _send(
        self,
        method: str,
        url: str,
        what: str,
        bearer: str | None,
        params: Query | None,
        headers: Mapping[str, str] | None,
        body: Body | None,
    ) -> aiohttp.ClientResponse:
        all_headers = {"Accept-Encoding": "identity", **(headers or {})}
        token = self._credential.token if bearer is None and _origin(url) == _origin(self.endpoint) else bearer
        if token:
            all_headers["Authorization"] = f"Bearer {token}"
        data: AsyncIterator[bytes] | None = None
        session = await self._session()
        try:
            async with asyncio.timeout(self._timeouts.response) as deadline:
                if body is not None:
                    all_headers["Content-Type"] = body.content_type
                    all_headers["Content-Length"] = str(body.size)
                    data = self._sending(body, deadline)
                return await session.request(
                    method,
                    URL(url, encoded=True).extend_query(params or {}),
                    headers=all_headers,
                    data=data,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error, what) from error

    async def _sending(self, body: Body, deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
        """The body in slices of a mebibyte; each one sent moves the deadline, so only a stall runs into it."""
        loop = asyncio.get_running_loop()
        for piece in body.slices:
            view = memoryview(piece)
            for at in range(0, len(view), _SLICE):
                deadline.reschedule(loop.time() + self._timeouts.progress)
                yield view[at : at + _SLICE]  # type: ignore[misc]  # aiohttp writes any buffer
        deadline.reschedule(loop.time() + self._timeouts.response)

    async def _session(self) -> aiohttp.ClientSession:
        if self._pid != os.getpid():
            # Forked: the parent's sockets are not ours to use or to close.
            self._pid, self._sessions = os.getpid(), WeakKeyDictionary()
        loop = asyncio.get_running_loop()
        kept = self._sessions.get(loop)
        if kept is None or kept.session.closed:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._timeouts.connect, sock_read=self._timeouts.progress
                ),
                headers={"User-Agent": f"pyxet/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=True,
                read_bufsize=_SLICE,
            )
            kept = _Kept(session, _keep(session))
            await anext(kept.keeper)
            self._sessions[loop] = kept
        return kept.session

    def _attempts(self, retry: Callable[[BaseException], bool]) -> AsyncRetrying:
        def worthwhile(error: BaseException) -> bool:
            asked = error.retry_after if isinstance(error, RemoteError) else None
            return retry(error) and (asked is None or asked <= self._retry.max_retry_after)

        def wait(state: RetryCallState) -> float:
            return self._wait(state.attempt_number, state.outcome.exception() if state.outcome else None)

        return AsyncRetrying(
            retry=retry_if_exception(worthwhile), wait=wait, stop=stop_after_attempt(self._retry.attempts), reraise=True
        )

    def _wait(self, failures: int, error: BaseException | None) -> float:
        """Seconds before the next try: what the endpoint asked for, else doubling with jitter."""
        if isinstance(error, RemoteError) and error.retry_after is not None:
            return error.retry_after
        longest = min(self._retry.max_delay, self._retry.base_delay * 2.0 ** (failures - 1))
        return longest * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class _Kept:
    session: aiohttp.ClientSession
    keeper: AsyncGenerator[None, None]


async def _keep(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await session.close()


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


async def _error(response: aiohttp.ClientResponse, what: str) -> RemoteError:
    headers = response.headers
    detail = headers.get("X-Error-Message")
    if not detail:
        try:
            data = await response.content.read(_MAX_ERROR_BODY)
            parsed = json.loads(data)
            detail = parsed.get("error") if isinstance(parsed, dict) else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            detail = None
    return error_from_response(
        response.status,
        what=what,
        code=headers.get("X-Error-Code"),
        detail=detail if isinstance(detail, str) else None,
        request_id=headers.get("X-Request-Id") or headers.get("X-Amzn-Trace-Id"),
        retry_after=_retry_after(headers.get("Retry-After")),
    )


def _retry_after(text: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, given as seconds or as a date."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _translated(error: Exception, what: str) -> ConnectionFailedError | RequestTimeoutError:
    """Foreign errors as ours; the message names the host, never the query string with its signature."""
    if isinstance(error, TimeoutError):
        return RequestTimeoutError(f"{what}: no answer or no progress in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectionFailedError(
            f"{what}: cannot connect to {error.host}:{error.port} ({error.os_error.strerror or error.os_error})"
        )
    return ConnectionFailedError(f"{what}: the connection failed ({type(error).__name__})")
