"""HTTP: the only client module that knows aiohttp.

Sessions belong to a running event loop and to a process, and are made when first needed. An async generator keeps each
of them, because ending a loop (`asyncio.run`) closes its async generators: that closes the session in time without a
task of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import os
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]
from weakref import WeakSet

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from yarl import URL

from pyxet._async.exchange import SLICE, Answer, Body, detail_of, retry_after, skipped, sliced
from pyxet._async.fanout import REQUESTS, in_thread
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

_SMALL_BODY: Final = 64 * 1024
_MAX_ERROR_BODY: Final = 64 * 1024
_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# "not now": the endpoint is busy with this resource.
_BUSY: Final = frozenset({408, 423, 425})

Query = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True)
class StreamAnswer:
    """An answer whose body is still arriving."""

    status: int
    headers: Mapping[str, str]
    what: str
    _response: aiohttp.ClientResponse = field(repr=False)
    _progress: float

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Pieces of the body, as large as they arrive. A body that breaks off or stalls raises."""
        content = self._response.content
        try:
            while True:
                # What is there already needs no time-out; setting one for every piece would cost more than the piece.
                piece = content.read_nowait()
                if not piece:
                    if content.at_eof():
                        return
                    async with asyncio.timeout(self._progress):
                        piece = await content.readany()
                if piece:
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error, self.what) from error


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help."""
    if isinstance(error, ServerError):
        return error.status not in (501, 505, 507)
    if isinstance(error, RemoteError):
        return _is_busy(error)
    return isinstance(error, (ConnectionFailedError, RequestTimeoutError))


def is_refused(error: BaseException) -> bool:
    """Whether the request certainly was not carried out, and may be later: for requests that must not run twice."""
    if isinstance(error, RemoteError):
        return _is_busy(error) or (error.status == 503 and error.retry_after is not None)
    return isinstance(error.__cause__, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))


def never(error: BaseException) -> bool:
    """For requests that are sent once."""
    return False


def _is_busy(error: RemoteError) -> bool:
    # A conflict is for good, unless the endpoint says when to come back.
    busy = error.status in _BUSY or (error.status == 409 and error.retry_after is not None)
    return isinstance(error, RateLimitedError) or busy


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
        self._sessions: dict[asyncio.AbstractEventLoop, _Kept] = {}
        _transports.add(self)

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
        check: Callable[[Answer], object] = lambda answer: None,
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
        check:
            Raises where an answer of success is an error all the same, so that it is tried again too.

        Raises
        ------
        RemoteError, ConnectionFailedError, RequestTimeoutError
            The answer has a status of 300 or more, or there is none.
        """

        def worthwhile(error: BaseException) -> bool:
            return retry(error) and not self._waits_too_long(error)

        def wait(state: RetryCallState) -> float:
            return self._wait(state.attempt_number, state.outcome.exception() if state.outcome else None)

        attempts = AsyncRetrying(
            retry=retry_if_exception(worthwhile), wait=wait, stop=stop_after_attempt(self._retry.attempts), reraise=True
        )
        async for attempt in attempts:
            with attempt:
                async with self.stream(
                    method, url, what=what, bearer=bearer, params=params, headers=headers, body=body, redirect=redirect
                ) as answer:
                    data = b"".join([piece async for piece in answer.chunks()])
                    whole = Answer(answer.status, answer.headers, data, str(answer._response.url))
                check(whole)
                return whole
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
        """Send a request once and give the answer while its body arrives. Raises like `request`.

        It counts as one of the process's requests until the block ends, so the block must not wait for another one.
        """
        target = url if "://" in url else self.endpoint + url
        async with REQUESTS.hold(1, self._limits.concurrency):
            for _ in range(_MAX_REDIRECTS + 1):
                response = await self._send(method, target, what, bearer, params, headers, body)
                try:
                    if response.status in _REDIRECTS and redirect and "Location" in response.headers:
                        here, target, params = target, urljoin(target, response.headers["Location"]), None
                        if _origin(target) != _origin(here):
                            bearer = ""
                        continue
                    if response.status >= 300:
                        raise await _error(response, what, self._timeouts.progress)
                    yield StreamAnswer(response.status, response.headers, what, response, self._timeouts.progress)
                    return
                finally:
                    # A body that was not read to its end must not go back to the pool of connections.
                    response.close() if not response.content.at_eof() else response.release()
            raise ConnectionFailedError(f"{what}: more than {_MAX_REDIRECTS} redirects")

    async def ranged(
        self,
        url: str,
        start: int,
        end: int,
        *,
        what: str,
        bearer: str | None = None,
        redirect: bool = False,
        total: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Bytes ``start`` to before ``end`` of a resource; a body that breaks off is continued from its last good byte.

        Never more than was asked for, whatever the answer has. Consumers must not wait for other requests.

        Raises
        ------
        IntegrityError
            The answer says that the resource does not have ``total`` bytes, where that is given.
        FormatError
            The answer is not the range that was asked for.
        """
        failures = 0
        at = start
        while at < end:
            try:
                span = {"Range": f"bytes={at}-{end - 1}"}
                async with self.stream("GET", url, what=what, bearer=bearer, headers=span, redirect=redirect) as answer:
                    skip = skipped(answer.status, answer.headers, at, end, total=total, what=what)
                    async with aclosing(answer.chunks()) as chunks:
                        async for piece in chunks:
                            if skip:
                                skip, piece = max(0, skip - len(piece)), piece[skip:]
                            if len(piece) > end - at:
                                piece = piece[: end - at]
                            if piece:
                                at += len(piece)
                                failures = 0
                                yield piece
                            if at == end:
                                break
                if at < end:
                    raise ConnectionFailedError(f"{what}: the body ended {end - at:,} bytes early")
            except (RemoteError, ConnectionFailedError, RequestTimeoutError) as error:
                failures += 1
                if not is_transient(error) or self._waits_too_long(error) or failures >= self._retry.attempts:
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
        kept = await self._session()
        proxy = kept.proxy(url)
        if proxy.headers is not None and url.startswith("http:"):
            # Only a tunnel has headers of its own.
            all_headers.update(proxy.headers)
        try:
            async with asyncio.timeout(self._timeouts.connect + self._timeouts.response) as deadline:
                if body is not None:
                    all_headers["Content-Type"] = body.content_type
                    # A body of many slices may make them only when they are asked for.
                    size = body.size if len(body.slices) <= 1 else await in_thread(lambda: body.size)
                    all_headers["Content-Length"] = str(size)
                    data = self._sending(body, deadline)
                return await kept.session.request(
                    method,
                    URL(url, encoded=True).extend_query(params or {}),
                    headers=all_headers,
                    data=data,
                    allow_redirects=False,
                    proxy=proxy.url,
                    proxy_headers=proxy.headers,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error, what) from error

    async def _sending(self, body: Body, deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
        """The body in slices of about a mebibyte; each one sent moves the deadline, so only a stall runs into it.

        An answer may come before the body has left; then the deadline is over, and nobody wants the rest.
        """
        loop = asyncio.get_running_loop()
        slices = sliced(body.slices)
        while (
            piece := next(slices, None) if body.size <= _SMALL_BODY else await in_thread(next, slices, None)
        ) is not None:
            if not _reschedule(deadline, loop.time() + self._timeouts.progress):
                raise ConnectionResetError("the answer came before the whole request was sent")
            yield piece  # type: ignore[misc]  # aiohttp writes any buffer
        _reschedule(deadline, loop.time() + self._timeouts.response)

    async def _session(self) -> _Kept:
        if self._pid != os.getpid():
            # Forked: the parent's sockets are not ours to use or to close, so nothing may collect them either.
            _inherited.append(self._sessions)
            self._pid, self._sessions = os.getpid(), {}
        loop = asyncio.get_running_loop()
        kept = self._sessions.get(loop)
        if kept is not None and not kept.session.closed:
            return kept
        context = await in_thread(_tls, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        kept = self._sessions.get(loop)
        if kept is None or kept.session.closed:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, ssl=context),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect),
                headers={"User-Agent": f"pyxet/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=SLICE,
            )
            kept = _Kept(session, _keep(session, self._sessions, loop), {})
            await anext(kept.keeper)
            self._sessions[loop] = kept
        return kept

    def _waits_too_long(self, error: BaseException) -> bool:
        asked = error.retry_after if isinstance(error, RemoteError) else None
        return asked is not None and asked > self._retry.max_retry_after

    def _wait(self, failures: int, error: BaseException | None) -> float:
        """Seconds before the next try: what the endpoint asked for, else doubling with jitter."""
        if isinstance(error, RemoteError) and error.retry_after is not None:
            return error.retry_after
        longest = min(self._retry.max_delay, self._retry.base_delay * 2.0 ** (failures - 1))
        return longest * random.uniform(0.5, 1.0)


class _Proxy(NamedTuple):
    url: URL | None
    headers: Mapping[str, str] | None


@dataclass(frozen=True)
class _Kept:
    session: aiohttp.ClientSession
    keeper: AsyncGenerator[None, None]
    proxies: dict[tuple[str, str], _Proxy]

    def proxy(self, url: str) -> _Proxy:
        """The proxy of the environment for a URL, looked up once for each origin.

        aiohttp's own ``trust_env`` also reads ``.netrc``, whose passwords would contradict our tokens.
        """
        origin = _origin(url)
        if origin not in self.proxies:
            scheme, host = origin
            found = getproxies_environment()
            value = None if proxy_bypass_environment(host) else found.get(scheme) or found.get("all")
            target = URL(value) if value else None
            headers = None
            if target is not None and target.user is not None:
                basic = base64.b64encode(f"{target.user}:{target.password or ''}".encode()).decode()
                target, headers = target.with_user(None), {"Proxy-Authorization": f"Basic {basic}"}
            self.proxies[origin] = _Proxy(target, headers)
        return self.proxies[origin]


async def _keep(
    session: aiohttp.ClientSession, kept: dict[asyncio.AbstractEventLoop, _Kept], loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        # The session refers to its loop, so the loop would never go while its session is kept.
        kept.pop(loop, None)
        await session.close()


_transports: WeakSet[Transport] = WeakSet()
_inherited: list[object] = []


@atexit.register
def _close_at_exit() -> None:
    """Close what still is open on loops that run in other threads, as those threads just stop."""
    for transport in list(_transports):
        if transport._pid != os.getpid():
            continue
        for loop in list(transport._sessions):
            if loop.is_running():
                with suppress(Exception):
                    asyncio.run_coroutine_threadsafe(transport.aclose(), loop).result(1.0)


@lru_cache(maxsize=4)
def _tls(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Certificates as the environment names them now: OpenSSL reads the variables, which are the cache's key."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _reschedule(deadline: asyncio.Timeout, when: float) -> bool:
    try:
        deadline.reschedule(when)
    except RuntimeError:
        return False
    return True


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


async def _error(response: aiohttp.ClientResponse, what: str, progress: float) -> RemoteError:
    headers = response.headers
    detail = headers.get("X-Error-Message")
    if not detail:
        data = bytearray()
        try:
            async with asyncio.timeout(progress):
                while len(data) < _MAX_ERROR_BODY and (piece := await response.content.readany()):
                    data += piece
            detail = detail_of(data)
        except (
            aiohttp.ClientError,
            TimeoutError,
            OSError,
        ):
            detail = None
    return error_from_response(
        response.status,
        what=what,
        code=headers.get("X-Error-Code"),
        detail=detail,
        request_id=headers.get("X-Request-Id") or headers.get("X-Amzn-Trace-Id") or headers.get("X-Amz-Cf-Id"),
        retry_after=retry_after(headers.get("Retry-After")),
    )


def _translated(error: Exception, what: str) -> ConnectionFailedError | RequestTimeoutError:
    """Foreign errors as ours; the message names the host, never the query string with its signature."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RequestTimeoutError(f"{what}: no connection in time")
    if isinstance(error, TimeoutError):
        return RequestTimeoutError(f"{what}: no answer or no progress in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectionFailedError(
            f"{what}: cannot connect to {error.host}:{error.port} ({error.os_error.strerror or error.os_error})"
        )
    return ConnectionFailedError(f"{what}: the connection failed ({type(error).__name__})")
